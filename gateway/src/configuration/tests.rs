//! Configurations that cannot work are refused before the start, with key and remedy.

use super::*;

const LEAST: &str = r#"
name: a
sip: { udp: ["127.0.0.1:5060"] }
rtp: { address: 127.0.0.1 }
http: 127.0.0.1:9100
spans: []
trunk_groups: []
routes: []
"#;

fn read(text: &str) -> Result<Configuration, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    Configuration::read(&path).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(more: &str, key: &str, remedy: &str) {
    let error = read(&format!("{LEAST}{more}")).expect_err(more);
    assert!(error.contains(key) && error.contains(remedy), "{more}: {error}");
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    let first = read(LEAST).unwrap().to_yaml();
    assert_eq!(read(&first).unwrap().to_yaml(), first);
}

#[test]
fn limits_that_would_clear_every_call_or_overflow_are_refused() {
    assert_refused("limits: { setup_s: 0 }\n", "limits.setup_s", "from 1");
    assert_refused("limits: { drain_s: 18446744073709551615 }\n", "limits.drain_s", "to 86400");
    assert_refused("limits: { media_load: 0 }\n", "limits.media_load", "up to 1");
    assert_refused("limits: { media_load: 80 }\n", "limits.media_load", "0.8");
    assert_refused("limits: { media_load: .nan }\n", "limits.media_load", "up to 1");
    assert_refused("limits: { rtp_rate: 1000 }\n", "limits.rtp_rate", "to 100");
    assert_refused("limits: { calls: 10000000000 }\n", "limits.calls", "to 60000");
}

#[test]
fn a_packet_time_that_a_codec_does_not_have_is_refused() {
    let text = LEAST.replace("127.0.0.1 }", "127.0.0.1, ptime_ms: 30 }");
    assert!(read(&format!("{text}codecs: [pcma]\n")).is_ok());
    let error = read(&format!("{text}codecs: [opus, pcma]\n")).unwrap_err();
    assert!(error.contains("rtp.ptime_ms") && error.contains("20, 40 or 60"), "{error}");
}

#[test]
fn a_prefix_is_routed_once_for_the_calls_of_a_side() {
    let routes = |second: &str| {
        let peer = "peers: [\"sip:192.0.2.7\"]";
        LEAST.replace(
            "routes: []",
            &format!("routes:\n- {{ prefix: +81, {peer} }}\n- {{ prefix: +81, {peer}{second} }}"),
        )
    };
    assert!(read(&routes(", calls_from: line")).is_ok());
    for second in ["", ", calls_from: both"] {
        let error = read(&routes(second)).unwrap_err();
        assert!(error.contains("routes.1.prefix") && error.contains("routed twice"), "{error}");
    }
}

#[test]
fn a_route_leads_to_lines_or_to_peers() {
    for (route, problem) in [
        ("prefix: +81", "has neither"),
        ("prefix: +81, trunk_groups: [a], peers: [\"sip:192.0.2.7\"]", "has both"),
        ("prefix: +81, peers: [\"tel:+81333331234\"]", "names no host"),
    ] {
        let text = LEAST.replace("routes: []", &format!("routes: [{{ {route} }}]"));
        let error = read(&text).unwrap_err();
        assert!(error.contains("routes.0") && error.contains(problem), "{error}");
    }
}

#[test]
fn a_phone_that_cannot_be_called_is_refused() {
    let phone = "phones: [{ number: \"03-1111-0005\", uri: \"desk at host\" }]\n";
    assert_refused(phone, "phones.0.uri", "SIP URI");
}

#[test]
fn a_phone_may_register_under_the_spellings_of_its_number_that_are_dialled() {
    let text = LEAST.replace("] }", "], registrations: [\"03-3333-1234\"] }");
    let configuration = read(&text).unwrap();
    let users = configuration.registrar_users();
    assert_eq!(users, ["+81333331234", "03-3333-1234", "0333331234"]);
    // What may register must also be understood when it does, or it would never ring.
    for user in users {
        let number = Dialled::parse(&user, &configuration.file.country);
        assert_eq!(number, Ok(Dialled::E164(configuration.registrations[0])), "{user}");
    }
}

#[test]
fn the_trust_domain_is_a_list_of_hosts() {
    let text = LEAST.replace("] }", "], trusted: [\"192.0.2.7\", \"GW.example\"] }");
    let configuration = read(&text).unwrap();
    assert!(configuration.trusts("192.0.2.7") && configuration.trusts("gw.example"));
    assert!(!configuration.trusts("192.0.2.70"));
}

#[test]
fn srtp_is_off_unless_written_and_then_by_peer() {
    assert_eq!(read(LEAST).unwrap().file.srtp.key_that_permits(), None);
    let peers = "peers: [{ host: 192.0.2.7, policy: require }, { host: Old.example, policy: off }]";
    let text = format!("{LEAST}srtp: {{ policy: accept, suites: [AEAD_AES_128_GCM], {peers} }}\n");
    let srtp = read(&text).unwrap().file.srtp;
    assert_eq!(srtp.policy_of("192.0.2.7"), SrtpPolicy::Require);
    assert_eq!(srtp.policy_of("old.example"), SrtpPolicy::Off);
    assert_eq!(srtp.policy_of("192.0.2.8"), SrtpPolicy::Accept);
    assert_eq!(srtp.key_that_permits().as_deref(), Some("srtp.policy"));
    let srtp = read(&format!("{LEAST}srtp: {{ {peers} }}\n")).unwrap().file.srtp;
    assert_eq!(srtp.key_that_permits().as_deref(), Some("srtp.peers.0.policy"));
}

#[test]
fn srtp_that_cannot_be_agreed_on_is_refused() {
    assert_refused("srtp: { suites: [] }\n", "srtp.suites", "list suites");
    assert_refused("srtp: { suites: [NULL_CIPHER] }\n", "NULL_CIPHER", "AEAD_AES_128_GCM");
    let twice = "srtp: { suites: [AEAD_AES_128_GCM, AEAD_AES_128_GCM] }\n";
    assert_refused(twice, "srtp.suites.1", "each suite once");
    let peers = "srtp: { peers: [{ host: A, policy: off }, { host: a, policy: require }] }\n";
    assert_refused(peers, "srtp.peers.1.host", "one policy");
    assert_refused("srtp: { policy: sometimes }\n", "sometimes", "prefer");
}
