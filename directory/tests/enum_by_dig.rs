//! The ENUM server as BIND's dig, NLnet Labs' drill and Kamailio see it, over real sockets.

#[path = "enum/kamailio.rs"]
mod kamailio;
mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::{Files, TABLE};
use trunkline_directory::Directory;

/// False, with the reason, where a program is not installed; in CI that is a failure.
fn is_here(program: &str, package: &str) -> bool {
    if Command::new(program).arg("-v").output().is_ok() {
        return true;
    }
    let reason = format!("{program} is not installed: apt install {package}");
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    println!("skipped: {reason}");
    false
}

fn dig_is_here() -> bool {
    is_here("dig", "bind9-dnsutils")
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

/// Two domains, one of which the test's own network does not see, gateways with names, and a number
/// that was ported away.
const CARRIER: &str = "\
listen: [127.0.0.1:0]
http: 127.0.0.1:0
response_rate: { per_second: 0 }
apexes: [e164.arpa, ENUM.example.net, inside.example.net]
gateway_domain: gw.example.net
clients:
  - { network: 127.0.0.0/8, apexes: [e164.arpa, enum.example.net] }
  - { network: 127.9.0.0/16, deny: true }
cookies: { secret: 000102030405060708090a0b0c0d0e0f }
table: table.yaml
tokens:
  - name: admin
    sha256: b34bb4ba4dffcd7b277bb47c0711b684d87debbda47a7f074496372b89dbdd89
    scopes: [admin]
";

async fn carrier() -> (Files, Directory) {
    let ported = "  - prefix: '+81-52-123'\n    rn: '+81399990000'\n";
    let files = Files::new(&format!("{TABLE}{ported}"));
    files.write_configuration(CARRIER);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    (files, directory)
}

#[tokio::test]
async fn dig_gets_domains_names_of_gateways_porting_and_cookies() {
    if !dig_is_here() {
        return;
    }
    let (_files, directory) = carrier().await;
    let server = directory.listen()[0];
    let number = "4.3.2.1.3.3.3.3.3.1.8";
    for (question, status, content) in [
        // The case of the question is the asker's.
        (
            format!("NAPTR {number}.eNuM.Example.NET"),
            "NOERROR",
            format!(
                "{number}.eNuM.Example.NET. 60 IN NAPTR 10 10 \"u\" \"E2U+sip\" \"!^.*$!sip:+81333331234@a.gw.example.net!\" ."
            ),
        ),
        (format!("NAPTR {number}.inside.example.net"), "REFUSED", "EDE: 18 (Prohibited)".into()),
        (format!("-b 127.9.0.1 NAPTR {number}.e164.arpa"), "REFUSED", "EDE: 18".into()),
        (
            "NAPTR 3.3.3.2.5.1.8.e164.arpa".into(),
            "NXDOMAIN",
            "e164.arpa. 5 IN SOA localhost.".into(),
        ),
        (
            "NAPTR 7.6.5.4.3.2.1.2.5.1.8.e164.arpa".into(),
            "NOERROR",
            "\"E2U+pstn:tel\" \"!^.*$!tel:+81521234567;npdi;rn=+81399990000!\" .".into(),
        ),
        (
            "SRV _sip._udp.b.gw.example.net".into(),
            "NOERROR",
            "_sip._udp.b.gw.example.net. 60 IN SRV 0 0 5060 b.gw.example.net.".into(),
        ),
        ("A b.gw.example.net".into(), "NOERROR", "b.gw.example.net. 60 IN A 127.0.0.20".into()),
        ("A c.gw.example.net".into(), "NXDOMAIN", "gw.example.net. 5 IN SOA".into()),
        ("AAAA b.gw.example.net".into(), "NOERROR", "ANSWER: 0".into()),
    ] {
        let answer = dig(server, &question).await;
        // dig lines columns up with tabs.
        let plain = answer.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plain.contains(&format!("status: {status}")), "{question}: {answer}");
        assert!(plain.contains(&content), "{question}: {answer}");
        assert!(!answer.contains("WARNING"), "{question}: {answer}");
    }
    let answer = dig(server, "+cookie=0102030405060708 SOA e164.arpa").await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("; COOKIE: ")).unwrap();
    let cookie = cookie.strip_suffix(" (good)").expect(cookie);
    assert!(cookie.starts_with("0102030405060708") && cookie.len() == 48, "{cookie}");
    let again = dig(server, &format!("+cookie={cookie} SOA e164.arpa")).await;
    assert!(again.contains("(good)"), "{again}");
    let malformed = dig(server, "+nocookie +ednsopt=10:0102 SOA e164.arpa").await;
    assert!(malformed.contains("status: FORMERR"), "{malformed}");
    directory.stop().await;
}

#[tokio::test]
async fn dig_is_told_which_gateways_of_a_known_number_are_out() {
    if !dig_is_here() {
        return;
    }
    let (_files, directory) = carrier().await;
    let server = directory.listen()[0];
    let api = support::api::Api {
        address: directory.http().unwrap(),
        token: Some(support::ADMIN.into()),
    };
    let drain = serde_json::json!({ "drain": true });
    assert_eq!(api.put("/v1/gateways/a/drain", drain).await.0, 204);
    let answer = dig(server, "NAPTR 4.3.2.1.3.3.3.3.3.1.8.e164.arpa").await;
    assert!(answer.contains("status: NOERROR") && answer.contains("ANSWER: 0"), "{answer}");
    assert!(answer.contains("e164.arpa.\t\t1\tIN\tSOA"), "{answer}");
    let reason = "EDE: 49152: (no gateway in service for +813: a draining)";
    assert!(answer.contains(reason), "{answer}");
    let answer = dig(server, "SRV _sip._udp.a.gw.example.net").await;
    assert!(answer.contains("EDE: 49152: (gateway a is draining)"), "{answer}");
    directory.stop().await;
}

#[tokio::test]
async fn who_asks_too_fast_by_udp_is_sent_to_tcp_and_gets_through_with_a_cookie() {
    if !dig_is_here() {
        return;
    }
    let files = Files::new(TABLE);
    files.write_configuration(
        "listen: [127.0.0.1:0]\ntable: table.yaml\nudp_workers: 1\n\
         response_rate: { per_second: 1, burst: 1 }\n",
    );
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let server = directory.listen()[0];
    let number = "NAPTR 4.3.2.1.3.3.3.3.3.1.8.e164.arpa";
    let first = dig(server, &format!("+cookie=0102030405060708 {number}")).await;
    let cookie = first.lines().find_map(|line| line.strip_prefix("; COOKIE: ")).unwrap();
    let cookie = cookie.trim_end_matches(" (good)").to_owned();
    // Every second one gets no answer; the others dig asks again over TCP, as it is told.
    let mut sent_on = String::new();
    for _ in 0..10 {
        sent_on = dig(server, &format!("+nocookie +time=1 {number}")).await;
        if sent_on.contains("Truncated, retrying in TCP mode") {
            break;
        }
    }
    assert!(sent_on.contains("Truncated, retrying in TCP mode"), "{sent_on}");
    assert!(sent_on.contains("sip:+81333331234@127.0.0.10"), "{sent_on}");
    for _ in 0..3 {
        let known = dig(server, &format!("+ignore +cookie={cookie} {number}")).await;
        assert!(known.contains("sip:+81333331234@127.0.0.10"), "{known}");
    }
    directory.stop().await;
}

#[tokio::test]
async fn drill_reads_the_same_answers() {
    if !is_here("drill", "ldnsutils") {
        return;
    }
    let (_files, directory) = carrier().await;
    let server = directory.listen()[0];
    for (options, name, kind, rcode, content) in [
        (
            "",
            "4.3.2.1.3.3.3.3.3.1.8.e164.arpa",
            "NAPTR",
            "NOERROR",
            "\"!^.*$!sip:+81333331234@a.gw.example.net!\"",
        ),
        ("-t", "8.7.6.5.9.5.9.6.4.1.8.e164.arpa", "NAPTR", "NOERROR", "@b.gw.example.net"),
        ("-b 1232", "7.6.5.4.3.2.1.2.5.1.8.e164.arpa", "NAPTR", "NOERROR", "npdi;rn=+81399990000"),
        ("", "1.6.1.8.e164.arpa", "NAPTR", "NXDOMAIN", "SOA"),
        ("", "1.8.e164.arpa", "NAPTR", "NOERROR", "SOA"),
        ("", "1.8.example.org", "NAPTR", "REFUSED", "ANSWER: 0"),
        ("", "_sip._udp.b.gw.example.net", "SRV", "NOERROR", "5060 b.gw.example.net."),
    ] {
        let mut command = Command::new("drill");
        command.args(["-p", &server.port().to_string()]).args(options.split_whitespace());
        command.args([name, &format!("@{}", server.ip()), kind]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.contains(&format!("rcode: {rcode}")), "{name}: {answer}");
        assert!(answer.contains(content), "{name}: {answer}");
    }
    directory.stop().await;
}
