//! Kamailio's `enum_query` routes by the directory's answers.

use std::process::Command;

use crate::is_here;
use crate::support::{Files, TABLE};

/// Kamailio asks whom the system asks, at port 53: both are in namespaces of their own.
const SCRIPT: &str = r#"
set -e
cd "$FOLDER"
ip link set lo up
mount --bind resolv.conf /etc/resolv.conf
"$DIRECTORY" run directory.yaml 2> directory.log &
kamailio -f kamailio.cfg -DD -m 16 -M 4 -w . -Y . -P kamailio.pid 2> kamailio.log &
for attempt in $(seq 200); do
    if grep -q "directory answers" directory.log && [ -e kamailio.pid ]; then break; fi
    sleep 0.02
done
for number in $NUMBERS; do
    exec 3<> /dev/udp/127.0.0.1/5070
    # One write: a datagram is a message.
    printf 'OPTIONS sip:%s@127.0.0.1:5070 SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK%s\r
From: <sip:t@127.0.0.1>;tag=1\r
To: <sip:%s@127.0.0.1>\r
Call-ID: %s\r
CSeq: 1 OPTIONS\r
Max-Forwards: 9\r
Content-Length: 0\r
\r
' $number $number $number $number | dd bs=65536 iflag=fullblock status=none >&3
    timeout 5 dd bs=4096 count=1 status=none <&3
    exec 3>&-
done
"#;

const KAMAILIO: &str = r#"
listen=udp:127.0.0.1:5070
children=1
log_stderror=yes
disable_tcp=yes
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "enum.so"
modparam("enum", "domain_suffix", "e164.arpa.")
request_route {
    if (enum_query()) {
        sl_send_reply("302", "Moved Temporarily");
    } else {
        sl_send_reply("404", "Not Found");
    }
    exit;
}
"#;

#[test]
fn kamailio_finds_the_gateways_in_order() {
    if !is_here("kamailio", "kamailio") {
        return;
    }
    let ported = "  - prefix: '+81-52-123'\n    gateways: [{ name: a }]\n    rn: '+81399990000'\n";
    let files = Files::new(&format!("{TABLE}{ported}"));
    files.write_configuration("listen: ['127.0.0.1:53']\ntable: table.yaml\n");
    for (name, text) in [("kamailio.cfg", KAMAILIO), ("resolv.conf", "nameserver 127.0.0.1\n")] {
        std::fs::write(files.folder().join(name), text).unwrap();
    }
    let numbers = ["+81333331234", "+81469595678", "+81521234567", "+49301234"];
    let output = Command::new("unshare")
        // All in them ends with the script.
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", SCRIPT])
        .env("FOLDER", files.folder())
        .env("DIRECTORY", env!("CARGO_BIN_EXE_trunkline-directory"))
        .env("NUMBERS", numbers.join(" "))
        .output()
        .unwrap();
    let refusal = String::from_utf8_lossy(&output.stderr);
    if refusal.contains("Operation not permitted") {
        assert!(std::env::var_os("CI").is_none(), "this test must run here: {refusal}");
        println!("skipped: no namespaces here ({refusal}); it needs root");
        return;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let log = std::fs::read_to_string(files.folder().join("kamailio.log")).unwrap_or_default();
    let replies: Vec<&str> = text.split("SIP/2.0 ").skip(1).collect();
    // Kamailio gives the first choice the highest q.
    let wanted = [
        ("302", "Contact: <sip:+81333331234@127.0.0.10:5060>;q="),
        (
            "302",
            "Contact: <sip:+81469595678@127.0.0.20:5060>;q=0.99, <sip:+81469595678@127.0.0.10:5060>;q=0.98",
        ),
        ("302", "Contact: <sip:+81521234567@127.0.0.10:5060>;q="),
        ("404", "Not Found"),
    ];
    assert_eq!(replies.len(), wanted.len(), "{text}\n{refusal}\n{log}");
    for (reply, (status, content)) in replies.iter().zip(wanted) {
        assert!(reply.starts_with(status) && reply.contains(content), "{reply}\n{log}");
    }
}
