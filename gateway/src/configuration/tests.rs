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
fn causes_and_statuses_that_do_not_exist_are_refused() {
    assert_refused(
        "causes: { to_status: { 128: 503 } }\n",
        "causes.to_status.128",
        "from 1 to 127",
    );
    assert_refused(
        "causes: { to_status: { 34: 200 } }\n",
        "causes.to_status.34",
        "from 400 to 699",
    );
    assert_refused("causes: { to_cause: { 180: 16 } }\n", "causes.to_cause.180", "from 300 to 699");
    assert_refused("causes: { to_cause: { 480: 0 } }\n", "causes.to_cause.480", "from 1 to 127");
    let text = "causes: { standard: q1912_5, to_status: { 34: 486 } }\n";
    let causes = read(&format!("{LEAST}{text}")).unwrap().causes;
    assert_eq!((causes.status_of_cause(34, false), causes.status_of_cause(18, false)), (486, 480));
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

fn with_routes(routes: &str) -> String {
    LEAST.replace("routes: []", &format!("routes:\n{routes}"))
}

#[test]
fn a_route_leads_to_lines_or_to_peers_or_where_the_directory_says() {
    for (route, problem) in [
        ("prefix: +81", "has none of"),
        ("prefix: +81, trunk_groups: [a], peers: [\"sip:192.0.2.7\"]", "trunk_groups and peers"),
        ("prefix: +81, directory: true, peers: [\"sip:192.0.2.7\"]", "peers and directory"),
        ("prefix: +81, directory: true", "directory.servers"),
        ("prefix: +81, peers: [\"tel:+81333331234\"]", "names no host"),
        ("prefix: +81, peers: [\"sips:gw.example\"]", "no sip: URI"),
        ("prefix: +81, peers: [{ uri: gw.example, codec: [pcma] }]", "codec"),
        ("prefix: +81, peers: [{ uri: gw.example, codecs: [] }]", "peers.0.codecs"),
        ("prefix: +81, peers: [7]", "host:port"),
    ] {
        let error = read(&with_routes(&format!("- {{ {route} }}\n"))).unwrap_err();
        assert!(error.contains("routes") && error.contains(problem), "{route}: {error}");
    }
    let servers = "directory: { servers: [\"127.0.0.1:5300\"] }\n";
    let text = format!("{}{servers}", with_routes("- { prefix: +, directory: true }"));
    let configuration = read(&text).unwrap();
    assert_eq!(configuration.routes[0].via, Via::Directory);
    assert!(configuration.reaches_peers());
}

#[test]
fn a_peer_of_a_route_has_terms_of_its_own_or_those_of_everybody() {
    let text = with_routes(
        "- { prefix: +81, peers: [\"192.0.2.7:5070\", { uri: \"sip:192.0.2.8\", srtp: require, \
         codecs: [g722, pcmu] }] }\n",
    );
    let configuration = read(&format!("{text}srtp: {{ policy: off }}\ncodecs: [pcma]\n")).unwrap();
    let Via::Peers(peers) = &configuration.routes[0].via else { panic!("peers") };
    assert_eq!(peers[0].0, "sip:192.0.2.7:5070");
    let terms = |place: usize, host| configuration.terms_with(&peers[place], host);
    let everybodys = Terms { srtp: SrtpPolicy::Off, codecs: vec![Codec::Pcma] };
    assert_eq!(terms(0, "192.0.2.7"), everybodys);
    let own = Terms { srtp: SrtpPolicy::Require, codecs: vec![Codec::G722, Codec::Pcmu] };
    assert_eq!(terms(1, "192.0.2.8"), own);
    assert_eq!(configuration.terms_of_caller("192.0.2.8"), everybodys);
    assert_eq!(configuration.key_that_permits_srtp().as_deref(), Some("routes.0.peers.1.srtp"));
    // What check prints is read again.
    let written = configuration.to_yaml();
    assert_eq!(read(&written).unwrap().to_yaml(), written);
    // One switch cannot have two sets of terms.
    let twice = "- { prefix: +82, peers: [{ uri: \"192.0.2.8\", srtp: off }] }\n";
    let error = read(&text.replace("routes:\n", &format!("routes:\n{twice}"))).unwrap_err();
    assert!(error.contains("routes.1.peers.1") && error.contains("same srtp"), "{error}");
}

#[test]
fn a_peers_codecs_must_have_packets_of_the_packet_time() {
    let peer = "- { prefix: +81, peers: [{ uri: gw.example, codecs: [opus] }] }\n";
    let text = with_routes(peer).replace("127.0.0.1 }", "127.0.0.1, ptime_ms: 30 }");
    let error = read(&format!("{text}codecs: [pcma]\n")).unwrap_err();
    assert!(error.contains("rtp.ptime_ms") && error.contains("routes.0.peers.0.codecs"), "{error}");
}

#[test]
fn the_kernel_relay_is_switched_on_and_off_or_left_to_the_device() {
    let relay = |word: &str| {
        let rtp = format!("127.0.0.1, kernel_relay: {word} }}");
        read(&LEAST.replace("127.0.0.1 }", &rtp)).map(|read| read.file.rtp.kernel_relay)
    };
    use KernelRelay::{Auto, Off, On};
    assert_eq!(read(LEAST).unwrap().file.rtp.kernel_relay, Auto);
    for (word, read) in [("auto", Auto), ("on", On), ("off", Off), ("true", On), ("false", Off)] {
        assert_eq!(relay(word), Ok(read), "{word}");
    }
    for word in ["sometimes", "1"] {
        let error = relay(word).unwrap_err();
        assert!(error.contains("kernel_relay") && error.contains("write one of them"), "{error}");
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

fn span(more: &str) -> String {
    let line = "line: { tdmoe: { local: \"127.0.0.1:40010\", remote: \"127.0.0.2:40010\" } }";
    LEAST.replace("spans: []", &format!("spans:\n- {{ name: a, {line}{more} }}"))
}

#[test]
fn a_span_of_dahdi_is_one_that_the_driver_can_have() {
    let dahdi = |lines: &[&str]| {
        let spans = lines.iter().enumerate().map(|(number, line)| {
            format!("- {{ name: s{number}, line: {{ dahdi: {{ {line} }} }} }}\n")
        });
        LEAST.replace("spans: []", &format!("spans:\n{}", spans.collect::<String>()))
    };
    let read_back = read(&dahdi(&["span: 1", "span: 2, block_ms: 20"])).unwrap().to_yaml();
    assert!(read_back.contains("block_ms: 10") && read_back.contains("block_ms: 20"));
    for (lines, key, remedy) in [
        (&["span: 0"][..], "spans.0.line.dahdi.span", "/proc/dahdi"),
        (&["span: 3", "span: 3"], "spans.1.line.dahdi.span", "its own span"),
        (&["span: 1, block_ms: 1"], "spans.0.line.dahdi.block_ms", "2 to 20"),
        (&["span: 1, block_ms: 21"], "spans.0.line.dahdi.block_ms", "2 to 20"),
        (&["span: 1, buffers: { count: 2 }"], "dahdi.buffers.count", "4 to 32"),
        (&["span: 1, buffers: { ahead: 5 }"], "dahdi.buffers.ahead", "half of the count"),
        (&["span: 1, gains_db: { receive: 40 }"], "dahdi.gains_db.receive", "-24 to 12"),
        (&["span: 1, echo_canceller: { taps: 100 }"], "dahdi.echo_canceller.taps", "256"),
        (&["span: 1, set_up: { coding: b8zs }"], "dahdi.set_up.coding", "hdb3 or ami"),
        (&["span: 1, set_up: { d4: true }"], "dahdi.set_up.d4", "leave it out"),
        (
            &["span: 1, set_up: { dynamic: { driver: usb, address: \"1:0\" } }"],
            "dahdi.set_up.dynamic.driver",
            "eth or loc",
        ),
    ] {
        let error = read(&dahdi(lines)).unwrap_err();
        assert!(error.contains(key) && error.contains(remedy), "{lines:?}: {error}");
    }
}

#[test]
fn a_span_of_dahdi_is_set_up_by_its_frame_format_and_its_side() {
    use trunkline_tdm::dahdi::device::{Coding, Framing};
    let dahdi = |line: &str, more: &str| {
        let spans = format!("spans:\n- {{ name: a, line: {{ dahdi: {{ {line} }} }}{more} }}");
        let read = read(&LEAST.replace("spans: []", &spans)).unwrap();
        let span = &read.file.spans[0];
        let LineEntry::Dahdi(entry) = &span.line else { panic!("{:?}", span.line) };
        (entry.config(span, span.interface().variant.d_channel), entry.delays_ms())
    };
    let (config, delays_ms) = dahdi("span: 3", "");
    assert_eq!((config.set_up, config.echo_canceller, delays_ms), (None, None, (20, 20)));
    let (config, delays_ms) = dahdi(
        "span: 1, block_ms: 4, set_up: {}, echo_canceller: { name: mg2 }, \
         buffers: { count: 10, policy: half_full }, gains_db: { transmit: -3 }",
        "",
    );
    let line = config.set_up.expect("a set-up").line;
    assert_eq!((line.framing, line.coding), (Framing::Ccs { crc4: true }, Coding::Hdb3));
    assert_eq!((line.sync, config.echo_canceller.unwrap().taps), (1, 256));
    assert_eq!((config.gains.transmit_db, delays_ms), (-3.0, (8, 20)));
    let set_up = "span: 1, set_up: { dynamic: { driver: loc, address: \"1:0\" } }";
    let (config, _) = dahdi(set_up, ", variant: ins_1500, side: network");
    let set_up = config.set_up.expect("a set-up");
    assert_eq!((set_up.line.framing, set_up.line.coding), (Framing::Esf, Coding::B8zs));
    assert_eq!((set_up.line.sync, config.d_channel), (0, Some(24)));
    assert_eq!(set_up.dynamic.expect("a dynamic span").address, "1:0");
}

#[test]
fn a_span_speaks_the_variant_that_it_is_given_with_the_timers_that_it_is_given() {
    let text = ", variant: ins_1500, timers_s: { t303: 5, t309: 6 }, data_link: { n200: 4 }";
    let first = read(&span(text)).unwrap();
    let interface = first.file.spans[0].interface();
    assert_eq!((interface.variant.name, interface.variant.b_channels.len()), ("ins_1500", 23));
    assert_eq!(first.file.spans[0].law(), trunkline_dsp::g711::Law::Mu);
    assert_eq!(
        (interface.timers.t303, interface.timers.t309, interface.timers.t308),
        (Duration::from_secs(5), Duration::from_secs(6), Duration::from_secs(4))
    );
    assert_eq!((interface.link.n200, interface.link.k), (4, 7));
    // What is printed by `check` means the same.
    assert_eq!(read(&first.to_yaml()).unwrap().file.spans[0].interface().timers, interface.timers);
}

#[test]
fn a_variant_is_spoken_in_another_frame_format_where_that_is_asked_for() {
    for (text, d_channel) in [
        ("", 16),
        (", variant: ni_2", 24),
        (", variant: qsig, frame: t1", 24),
        (", variant: ni_2, frame: e1", 16),
        (", variant: ins_1500, frame: j1", 24),
    ] {
        let variant = read(&span(text)).unwrap().file.spans[0].interface().variant;
        assert_eq!(variant.d_channel, d_channel, "{text}");
        assert!(!variant.b_channels.contains(&d_channel), "{text}");
    }
}

#[test]
fn an_interface_that_cannot_be_is_refused() {
    for (text, key, remedy) in [
        (", variant: ni_3", "ni_3", "euro_isdn"),
        (", frame: e3", "frame", "e1"),
        (", timers_s: { t999: 4 }", "t999", "t303"),
        (", timers_s: { t303: 0 }", "spans.0.timers_s.t303", "from 1"),
        (", timers_s: { t301: 100000 }", "spans.0.timers_s.t301", "to 3600"),
        (", data_link: { k: 0 }", "spans.0.data_link.k", "to 127"),
        (", data_link: { t203_ms: 900 }", "spans.0.data_link.t203_ms", "from 1001"),
        (", data_link: { n201_octets: 300 }", "spans.0.data_link.n201_octets", "to 260"),
        (", overlap_receiving_digits: 0", "spans.0.overlap_receiving_digits", "from 1"),
        (", variant: ni_2, overlap_receiving_digits: 10", "overlap_receiving_digits", "leave"),
    ] {
        let error = read(&span(text)).expect_err(text);
        assert!(error.contains(key) && error.contains(remedy), "{text}: {error}");
    }
}

#[test]
fn what_is_registered_must_fit_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "tl_secret\n").unwrap();
    let register = |more: &str| {
        format!(
            "directory:\n  register:\n    token_file: {}\n    prefixes: [{{ prefix: \"03\" }}]\n{more}",
            token.display()
        )
    };
    let at = "    at: ['http://192.0.2.53:9153']\n";
    let good = read(&format!("{LEAST}{}", register(at))).unwrap();
    let settings = good.registration.as_ref().unwrap();
    assert_eq!(
        (settings.coming.sip.as_str(), settings.token.as_str()),
        ("127.0.0.1:5060", "tl_secret")
    );
    assert!(!format!("{good:?}{}", good.to_yaml()).contains("tl_secret"));
    for (more, key, remedy) in [
        ("    at: []\n", "directory.register.at", "list the directories"),
        ("    at: ['ns1']\n", "register.at.0", "https://host:port"),
        ("    at: ['https://ns1']\n", "register.authorities", "PEM"),
        (&format!("{at}    lease_s: 0\n"), "register.lease_s", "1 to 3600"),
        (&format!("{at}    sip: a b\n"), "register.sip", "host:port"),
    ] {
        assert_refused(&register(more), key, remedy);
    }
    for (prefix, key, remedy) in [
        ("{ prefix: \"3\" }", "register.prefixes.0.prefix", "area code"),
        ("{ prefix: \"03\" }, { prefix: \"+813\" }", "register.prefixes.1.prefix", "once"),
        ("{ prefix: \"03\", trunk_group: x }", "register.prefixes.0.trunk_group", "name one of"),
    ] {
        assert_refused(&register(at).replace("{ prefix: \"03\" }", prefix), key, remedy);
    }
    let missing = register(at).replace("/token", "/nowhere");
    assert_refused(&missing, "register.token_file", "trunkline-directory token");
}
