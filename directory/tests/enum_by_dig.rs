//! The ENUM server as BIND's dig sees it, over real sockets.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::{Files, TABLE};
use trunkline_directory::Directory;

/// False, with the reason, where dig is not installed; in CI that is a failure.
fn dig_is_here() -> bool {
    if Command::new("dig").arg("-v").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "dig is not installed: apt install bind9-dnsutils");
    println!("skipped: dig is not installed (apt install bind9-dnsutils)");
    false
}

async fn dig(server: SocketAddr, arguments: &str) -> String {
    let mut command = Command::new("dig");
    command
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string(), "+tries=1", "+time=5", "+norecurse"])
        .args(arguments.split_whitespace());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn dig_gets_gateways_errors_and_soa() {
    if !dig_is_here() {
        return;
    }
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let server = directory.listen()[0];

    for transport in ["", "+tcp", "+noedns", "+tcp +keepopen"] {
        let number = "NAPTR 4.3.2.1.3.3.3.3.3.1.8.e164.arpa";
        let answer = dig(server, &format!("{transport} {number}")).await;
        assert!(answer.contains("status: NOERROR"), "{answer}");
        assert!(answer.contains("flags: qr aa;"), "{answer}");
        assert!(
            answer
                .contains("10 10 \"u\" \"E2U+sip\" \"!^.*$!sip:+81333331234@127.0.0.10:5060!\" ."),
            "{answer}"
        );
        assert!(!answer.contains("WARNING") && !answer.contains("Warning"), "{answer}");
        assert_eq!(answer.contains("EDNS: version: 0"), transport != "+noedns", "{answer}");
    }

    let both = dig(server, "+short NAPTR 8.7.6.5.9.5.9.6.4.1.8.e164.arpa").await;
    let lines: Vec<&str> = both.lines().collect();
    assert_eq!(
        lines,
        [
            "10 10 \"u\" \"E2U+sip\" \"!^.*$!sip:+81469595678@127.0.0.20:5060!\" .",
            "20 10 \"u\" \"E2U+sip\" \"!^.*$!sip:+81469595678@127.0.0.10:5060!\" .",
        ]
    );

    for (question, status, content) in [
        ("NAPTR 1.2.3.4.5.6.1.e164.arpa", "NXDOMAIN", "e164.arpa.\t\t5\tIN\tSOA\tlocalhost."),
        ("A 4.3.2.1.3.3.3.3.3.1.8.e164.arpa", "NOERROR", "IN\tSOA\tlocalhost."),
        ("NAPTR 1.8.e164.arpa", "NOERROR", "IN\tSOA\tlocalhost."),
        ("NAPTR 4.3.2.1.example.org", "REFUSED", "ANSWER: 0"),
        ("+notcp ANY 4.3.2.1.3.3.3.3.3.1.8.e164.arpa", "REFUSED", "ANSWER: 0"),
        ("SOA e164.arpa", "NOERROR", "e164.arpa.\t\t60\tIN\tSOA\tlocalhost."),
        ("+edns=5 +noednsnegotiation SOA e164.arpa", "BADVERS", "ANSWER: 0"),
        ("+opcode=notify SOA e164.arpa", "NOTIMP", "ANSWER: 0"),
        ("AXFR e164.arpa", "", "Transfer failed."),
    ] {
        let answer = dig(server, question).await;
        assert!(status.is_empty() || answer.contains(&format!("status: {status}")), "{answer}");
        assert!(answer.contains(content), "{question}: {answer}");
    }
    directory.stop().await;
}

/// The case that DNS wildcards get wrong.
#[tokio::test]
async fn ported_number_inside_an_area_leaves_its_neighbours() {
    if !dig_is_here() {
        return;
    }
    let ported = format!("{TABLE}  - prefix: '+81-3-3333-1234'\n    gateways: [{{ name: b }}]\n");
    let files = Files::new(&ported);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    for (number, gateway) in [
        ("4.3.2.1.3.3.3.3.3.1.8", "127.0.0.20"),
        ("5.3.2.1.3.3.3.3.3.1.8", "127.0.0.10"),
        ("9.9.9.9.3.3.3.3.3.1.8", "127.0.0.10"),
        ("4.3.2.1.5.5.5.5.3.1.8", "127.0.0.10"),
        ("4.3.2.1.2.2.9.6.4.1.8", "127.0.0.20"),
    ] {
        let question = format!("+short NAPTR {number}.e164.arpa");
        let answer = dig(directory.listen()[0], &question).await;
        let first = answer.lines().next().unwrap();
        assert!(first.contains(&format!("@{gateway}:5060!")), "{number}: {answer}");
    }
    directory.stop().await;
}
