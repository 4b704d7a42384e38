//! dig, a foreign resolver, asks the directory of a running system.

use std::process::Command;

use crate::common::{has, system};
use trunkline_demo::network::Network;

/// What dig prints for a NAPTR query of this number's name: status line and short answers.
fn dig(network: &Network, name: &str, options: &[&str]) -> String {
    let server = network.layout.directory();
    let (address, port) = server.split_once(':').expect("address and port");
    let output = Command::new("dig")
        .args([&format!("@{address}"), "-p", port, "NAPTR", name, "+time=2", "+tries=1"])
        .args(options)
        .output()
        .expect("dig runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn dig_finds_the_gateway_of_a_number_over_udp_and_tcp() {
    if !has("dig") {
        return;
    }
    let (network, _folder) = system(30, |layout| layout.speech_s = 1);
    for (name, gateway) in [
        ("4.3.2.1.3.3.3.3.3.1.8.e164.arpa", network.layout.gateway_a()),
        ("8.7.6.5.9.5.9.6.4.1.8.e164.arpa", network.layout.gateway_b()),
    ] {
        let mut answers = Vec::new();
        for transport in ["+notcp", "+tcp"] {
            let text = dig(&network, name, &[transport]);
            assert!(text.contains("status: NOERROR"), "{text}");
            assert!(text.contains("\"E2U+sip\""), "{text}");
            assert!(text.contains(&format!("@{gateway}:5060")), "{text}");
            answers.push(dig(&network, name, &[transport, "+short"]));
        }
        assert_eq!(answers[0], answers[1], "both transports tell the same");
        assert_eq!(answers[0].lines().count(), 1, "{}", answers[0]);
    }
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn dig_is_told_that_a_number_or_type_has_no_answer() {
    if !has("dig") {
        return;
    }
    let (network, _folder) = system(31, |layout| layout.speech_s = 1);
    // No gateway serves Osaka; a name that is no number; a name of another domain.
    let unknown = dig(&network, "8.7.6.5.4.3.2.1.6.1.8.e164.arpa", &[]);
    assert!(unknown.contains("status: NXDOMAIN"), "{unknown}");
    assert!(unknown.contains("SOA"), "a negative answer can be cached (RFC 2308): {unknown}");
    let foreign = dig(&network, "example.com", &[]);
    assert!(foreign.contains("status: REFUSED"), "{foreign}");
    let other_type = dig(&network, "4.3.2.1.3.3.3.3.3.1.8.e164.arpa", &["-t", "A"]);
    assert!(other_type.contains("ANSWER: 0"), "{other_type}");
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
