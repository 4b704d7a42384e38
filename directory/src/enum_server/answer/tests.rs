use domain::base::iana::OptionCode;
use domain::rdata::AllRecordData;
use proptest::prelude::*;

use super::*;
use crate::enum_server::{ClientRule, Network};
use crate::gateways::{Standing, State};
use crate::samples;
use crate::table::Found;

type Parsed = AllRecordData<Vec<u8>, Name<Vec<u8>>>;

/// The patent's two areas, a ported number in the first, and an area with many gateways.
fn edition() -> Edition {
    samples::edition(&table(), &[], samples::zone())
}

fn table() -> String {
    let mut text = "gateways:\n  a: { sip: 127.0.0.10:5060 }\n  b: { sip: 127.0.0.20:5060 }\n\
                    \x20 c: { sip: gw-c.example.net, transport: tls }\n"
        .to_owned();
    let mut many = String::new();
    for index in 0..20 {
        text += &format!("  x{index}: {{ sip: gateway-{index}.example }}\n");
        many += &format!("{{ name: x{index}, order: {index} }}, ");
    }
    text + &format!(
        "prefixes:\n\
         - prefix: '03'\n  gateways: [{{ name: b, order: 20 }}, {{ name: a }}]\n\
         - prefix: '0469'\n  gateways: [{{ name: b }}]\n\
         - prefix: '03-3333-1234'\n  gateways: [{{ name: b }}]\n\
         - prefix: '06'\n  rn: '+81-6-9999'\n  gateways: [{{ name: c }}]\n\
         - prefix: '052'\n  npdi: true\n\
         - prefix: '+4930'\n  gateways: [{many}]\n"
    )
}

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

const NOW_S: u64 = 1_800_000_000;

fn query(name: &str, rtype: Rtype, edns: Option<u16>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(4711);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name.parse::<Name<Vec<u8>>>().unwrap(), rtype)).unwrap();
    let mut builder = builder.additional();
    if let Some(size) = edns {
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(size);
                opt.set_dnssec_ok(true);
                Ok(())
            })
            .unwrap();
    }
    builder.finish()
}

fn ask(query: &[u8], transport: Transport) -> (Answered, Vec<u8>) {
    ask_edition(&edition(), query, transport)
}

fn ask_edition(edition: &Edition, query: &[u8], transport: Transport) -> (Answered, Vec<u8>) {
    let mut out = Vec::new();
    let asked = Asked { query, source: SOURCE, transport, unix_s: NOW_S, draw: 1 };
    let answered = answer(&asked, edition, &mut out);
    (answered, out)
}

fn records(message: &Message<Vec<u8>>) -> [Vec<(u32, Parsed)>; 2] {
    let read = |section: domain::base::message::RecordSection<'_, Vec<u8>>| {
        section
            .limit_to::<AllRecordData<_, _>>()
            .map(|record| {
                let record = record.unwrap();
                let data = record.data().clone();
                (record.ttl().as_secs(), domain::base::name::FlattenInto::flatten_into(data))
            })
            .collect()
    };
    [read(message.answer().unwrap()), read(message.authority().unwrap())]
}

fn message(octets: Vec<u8>) -> Message<Vec<u8>> {
    Message::from_octets(octets).unwrap()
}

const NUMBER: &str = "5.3.2.1.3.3.3.3.3.1.8.e164.arpa";

#[test]
fn number_is_answered_with_its_gateways_in_order() {
    let (answered, octets) = ask(&query(NUMBER, Rtype::NAPTR, None), Transport::Udp);
    assert_eq!(answered.kind, Kind::Hit);
    assert_eq!(answered.digits.unwrap().to_string(), "81333331235");
    let message = message(octets);
    let header = message.header();
    assert!(header.qr() && header.aa() && header.rd() && !header.ra() && !header.tc());
    assert_eq!((header.id(), header.rcode()), (4711, Rcode::NOERROR));
    assert!(message.opt().is_none());
    let [answers, _] = records(&message);
    let naptrs: Vec<String> =
        answers.iter().map(|(ttl_s, data)| format!("{ttl_s} {data}")).collect();
    assert_eq!(
        naptrs,
        [
            r#"60 10 10 "u" "E2U+sip" "!^.*$!sip:+81333331235@127.0.0.10:5060!" .."#,
            r#"60 20 10 "u" "E2U+sip" "!^.*$!sip:+81333331235@127.0.0.20:5060!" .."#,
        ]
    );
}

#[test]
fn ported_number_goes_elsewhere_and_its_neighbours_stay() {
    for (name, gateways) in [
        ("4.3.2.1.3.3.3.3.3.1.8.e164.arpa", 1),
        ("5.3.2.1.3.3.3.3.3.1.8.e164.arpa", 2),
        ("9.9.9.9.3.3.3.3.3.1.8.e164.arpa", 2),
        ("4.3.2.1.5.5.5.5.3.1.8.e164.arpa", 2),
        ("8.7.6.5.9.5.9.6.4.1.8.e164.arpa", 1),
    ] {
        let (_, octets) = ask(&query(name, Rtype::NAPTR, None), Transport::Udp);
        let message = message(octets);
        assert_eq!(message.header().rcode(), Rcode::NOERROR, "{name}");
        assert_eq!(records(&message)[0].len(), gateways, "{name}");
    }
}

#[test]
fn unknown_number_is_nxdomain_with_soa_and_short_ttl() {
    for name in ["1.2.3.4.e164.arpa", "www.e164.arpa", "0.e164.arpa"] {
        let (answered, octets) = ask(&query(name, Rtype::NAPTR, None), Transport::Udp);
        assert_eq!(answered.kind, Kind::Miss, "{name}");
        let message = message(octets);
        assert_eq!(message.header().rcode(), Rcode::NXDOMAIN);
        assert!(message.header().aa());
        let [answers, authority] = records(&message);
        assert!(answers.is_empty());
        let (ttl_s, soa) = &authority[0];
        assert_eq!(*ttl_s, 5);
        assert_eq!(soa.to_string(), "ns.example. hostmaster.example. 77 3600 600 86400 5");
    }
}

#[test]
fn name_without_the_type_is_nodata_with_soa() {
    for (name, rtype) in [
        (NUMBER, Rtype::A),
        (NUMBER, Rtype::SOA),
        // The beginning of a known prefix, as resolvers that minimise names ask (RFC 9156).
        ("8.e164.arpa", Rtype::NAPTR),
        ("6.4.1.8.e164.arpa", Rtype::NS),
        ("e164.arpa", Rtype::NAPTR),
    ] {
        let (answered, octets) = ask(&query(name, rtype, None), Transport::Udp);
        assert_eq!(answered.kind, Kind::NoData, "{name} {rtype}");
        let message = message(octets);
        assert_eq!(message.header().rcode(), Rcode::NOERROR);
        let [answers, authority] = records(&message);
        assert_eq!((answers.len(), authority.len()), (0, 1));
    }
}

#[test]
fn apex_has_soa_and_ns() {
    let (answered, octets) = ask(&query("enum.example", Rtype::SOA, None), Transport::Udp);
    assert_eq!(answered.kind, Kind::Apex);
    let text = records(&message(octets))[0][0].1.to_string();
    assert_eq!(text, "ns.example. hostmaster.example. 77 3600 600 86400 5");
    let (_, octets) = ask(&query("enum.example", Rtype::NS, None), Transport::Udp);
    assert_eq!(records(&message(octets))[0][0].1.to_string(), "ns.example.");
}

#[test]
fn questions_that_are_not_ours_are_refused() {
    let mut chaos = query(NUMBER, Rtype::NAPTR, None);
    let class_at = chaos.len() - 1;
    chaos[class_at] = 3;
    for (what, query) in [
        ("outside", query("4.3.2.1.example.org", Rtype::NAPTR, None)),
        ("root", query(".", Rtype::NS, None)),
        ("above the apex", query("arpa", Rtype::NS, None)),
        ("any", query(NUMBER, Rtype::ANY, None)),
        ("transfer", query("e164.arpa", Rtype::AXFR, None)),
        ("class", chaos),
    ] {
        let (answered, octets) = ask(&query, Transport::Udp);
        assert_eq!(answered.kind, Kind::Refused, "{what}");
        let message = message(octets);
        assert_eq!(message.header().rcode(), Rcode::REFUSED, "{what}");
        assert!(!message.header().aa());
        assert_eq!(records(&message), [vec![], vec![]]);
    }
}

#[test]
fn malformed_and_other_messages_are_answered_without_content() {
    let good = query(NUMBER, Rtype::NAPTR, Some(1232));
    let mut two_questions = good.clone();
    two_questions[5] = 2;
    let mut none = good.clone();
    none[5] = 0;
    let mut update = good.clone();
    update[2] |= 5 << 3;
    let mut two_opts = good.clone();
    two_opts.extend_from_slice(&good[good.len() - OPT_OCTETS..]);
    two_opts[11] = 2;
    for (octets, kind, rcode) in [
        (&good[..good.len() - 1], Kind::Malformed, Rcode::FORMERR),
        (&good[..20], Kind::Malformed, Rcode::FORMERR),
        (&good[..12], Kind::Malformed, Rcode::FORMERR),
        (&two_questions, Kind::Malformed, Rcode::FORMERR),
        (&none, Kind::Malformed, Rcode::FORMERR),
        (&two_opts, Kind::Malformed, Rcode::FORMERR),
        (&update, Kind::NotImplemented, Rcode::NOTIMP),
    ] {
        let (answered, reply) = ask(octets, Transport::Udp);
        assert_eq!(answered.kind, kind);
        assert_eq!(reply.len(), 12);
        let message = message(reply);
        assert_eq!((message.header().id(), message.header().rcode()), (4711, rcode));
        assert!(message.header().qr());
    }
}

#[test]
fn answers_and_fragments_get_no_answer() {
    let mut response = query(NUMBER, Rtype::NAPTR, None);
    response[2] |= 0x80;
    for octets in [&response, &response[..11], &[]] {
        let (answered, reply) = ask(octets, Transport::Udp);
        assert_eq!(answered.kind, Kind::Dropped);
        assert!(reply.is_empty());
    }
}

#[test]
fn case_of_the_question_is_kept() {
    let name = "5.3.2.1.3.3.3.3.3.1.8.E164.aRPa";
    let (answered, octets) = ask(&query(name, Rtype::NAPTR, None), Transport::Udp);
    assert_eq!(answered.kind, Kind::Hit);
    let message = message(octets);
    assert_eq!(message.sole_question().unwrap().qname().to_string(), name);
    let owner = message.answer().unwrap().next().unwrap().unwrap().owner().to_string();
    assert_eq!(owner, name);
}

#[test]
fn edns_is_answered_with_our_size_and_its_version_is_checked() {
    let (_, octets) = ask(&query(NUMBER, Rtype::NAPTR, Some(4096)), Transport::Udp);
    let reply = message(octets);
    let opt = reply.opt().unwrap();
    assert_eq!((opt.udp_payload_size(), opt.version(), opt.dnssec_ok()), (1232, 0, true));

    let mut later = query(NUMBER, Rtype::NAPTR, Some(4096));
    let version_at = later.len() - 5;
    later[version_at] = 1;
    let (answered, octets) = ask(&later, Transport::Udp);
    assert_eq!(answered.kind, Kind::BadVersion);
    let reply = message(octets);
    assert_eq!(reply.opt_rcode(), OptRcode::BADVERS);
    assert_eq!(reply.opt().unwrap().version(), 0);
}

/// A query with one EDNS option.
fn query_with(code: OptionCode, option: &[u8]) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec().question();
    builder.push((NUMBER.parse::<Name<Vec<u8>>>().unwrap(), Rtype::NAPTR)).unwrap();
    let mut builder = builder.additional();
    builder
        .opt(|opt| {
            opt.push_raw_option(code, option.len() as u16, |target| {
                domain::dep::octseq::OctetsBuilder::append_slice(target, option)
            })
        })
        .unwrap();
    builder.finish()
}

#[test]
fn unknown_edns_options_are_passed_over() {
    let (answered, _) = ask(&query_with(OptionCode::NSID, &[7; 3]), Transport::Udp);
    assert_eq!(answered.kind, Kind::Hit);
}

#[test]
fn client_gets_a_cookie_that_is_valid_from_its_address_for_an_hour() {
    let (answered, octets) = ask(&query_with(OptionCode::COOKIE, &[7; 8]), Transport::Udp);
    assert_eq!(answered.kind, Kind::Hit);
    let cookie = message(octets).opt().unwrap().opt().cookie().unwrap();
    let mut option = Vec::new();
    cookie.client().compose(&mut option).unwrap();
    cookie.server().unwrap().compose(&mut option).unwrap();
    assert_eq!((option.len(), &option[..8]), (24, &[7; 8][..]));
    let again = query_with(OptionCode::COOKIE, &option);
    let edition = edition();
    let valid = |query: &[u8], source: &str, unix_s| {
        let source = source.parse().unwrap();
        let asked = Asked { query, source, transport: Transport::Udp, unix_s, draw: 0 };
        has_valid_cookie(&asked, &edition.zone)
    };
    assert!(valid(&again, "127.0.0.1", NOW_S + 3_600));
    assert!(valid(&again, "::ffff:127.0.0.1", NOW_S));
    assert!(!valid(&again, "127.0.0.1", NOW_S + 3_601));
    assert!(!valid(&again, "127.0.0.2", NOW_S));
    option[20] ^= 1;
    assert!(!valid(&query_with(OptionCode::COOKIE, &option), "127.0.0.1", NOW_S));
    // One that the secret of before has signed.
    let source = SOURCE;
    let old = CookieSecrets { now: [6; 16], before: None }.answer(&cookie, source, NOW_S);
    let mut option = Vec::new();
    old.client().compose(&mut option).unwrap();
    old.server().unwrap().compose(&mut option).unwrap();
    assert!(valid(&query_with(OptionCode::COOKIE, &option), "127.0.0.1", NOW_S));
}

#[test]
fn cookie_of_a_length_that_none_has_is_malformed() {
    for length in [0, 7, 9, 15, 41] {
        let query = query_with(OptionCode::COOKIE, &vec![1; length]);
        let (answered, octets) = ask(&query, Transport::Udp);
        assert_eq!(answered.kind, Kind::Malformed, "{length}");
        assert_eq!(message(octets).header().rcode(), Rcode::FORMERR);
    }
}

fn reason(message: &Message<Vec<u8>>) -> Option<(u16, String)> {
    let opt = message.opt()?;
    let error = opt.opt().extended_error()?;
    let text = String::from_utf8(error.text_slice()?.to_vec()).unwrap();
    Some((error.code().to_int(), text))
}

fn standing(standing: Standing) -> State {
    State { standing, leased: true, ..State::default() }
}

#[test]
fn gateway_that_takes_no_calls_is_left_out_and_the_answer_holds_for_a_second() {
    let edition = samples::edition(&table(), &[standing(Standing::Draining)], samples::zone());
    let (_, octets) = ask_edition(&edition, &query(NUMBER, Rtype::NAPTR, None), Transport::Udp);
    let [answers, _] = records(&message(octets));
    assert_eq!(answers.len(), 1);
    let (ttl_s, naptr) = &answers[0];
    assert_eq!(*ttl_s, 1);
    assert!(naptr.to_string().contains("127.0.0.20"), "{naptr}");
}

#[test]
fn number_whose_gateways_are_all_out_is_not_an_unknown_number() {
    let states = [standing(Standing::Dead), standing(Standing::Full)];
    let edition = samples::edition(&table(), &states, samples::zone());
    let (answered, octets) =
        ask_edition(&edition, &query(NUMBER, Rtype::NAPTR, Some(1232)), Transport::Udp);
    assert_eq!(answered.kind, Kind::NoGateway);
    let message = message(octets);
    assert_eq!(message.header().rcode(), Rcode::NOERROR);
    let [answers, authority] = records(&message);
    assert_eq!((answers.len(), authority[0].0), (0, 1));
    assert_eq!(
        reason(&message),
        Some((NO_GATEWAY_INFO_CODE, "no gateway in service for +813: a dead, b full".to_owned()))
    );
}

#[test]
fn ported_number_has_its_routing_number_behind_the_gateways() {
    let answers = |name: &str| {
        let (answered, octets) = ask(&query(name, Rtype::NAPTR, None), Transport::Udp);
        assert_eq!(answered.kind, Kind::Hit);
        let [answers, _] = records(&message(octets));
        answers.into_iter().map(|(_, data)| data.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        answers("8.7.6.5.4.3.2.1.6.1.8.e164.arpa"),
        [
            r#"10 10 "u" "E2U+sip" "!^.*$!sip:+81612345678@gw-c.example.net;transport=tls!" .."#,
            r#"10 11 "u" "E2U+pstn:tel" "!^.*$!tel:+81612345678;npdi;rn=+8169999!" .."#,
        ]
    );
    assert_eq!(
        answers("8.7.6.5.4.3.2.2.5.1.8.e164.arpa"),
        [r#"10 10 "u" "E2U+pstn:tel" "!^.*$!tel:+81522345678;npdi!" .."#]
    );
}

#[test]
fn names_of_gateways_have_records_as_long_as_they_take_calls() {
    let domain = "GW.example".parse().unwrap();
    let zone = Zone { gateway_domain: Some(domain), ..samples::zone() };
    let states = [standing(Standing::InService), standing(Standing::Dead)];
    let edition = samples::edition(&table(), &states, zone);
    let ask = |name: &str, rtype| {
        let (answered, octets) =
            ask_edition(&edition, &query(name, rtype, Some(1232)), Transport::Udp);
        let message = message(octets);
        let answers: Vec<String> =
            records(&message)[0].iter().map(|(ttl_s, data)| format!("{ttl_s} {data}")).collect();
        (answered.kind, answers.join("|"), reason(&message).map_or(String::new(), |(_, text)| text))
    };
    let said = |kind, answers: &str| (kind, answers.to_owned(), String::new());
    assert_eq!(
        ask(NUMBER, Rtype::NAPTR),
        said(Kind::Hit, r#"60 10 10 "u" "E2U+sip" "!^.*$!sip:+81333331235@a.GW.example!" .."#)
    );
    use Kind::{GatewayName, Miss, NoData};
    for (name, rtype, kind, answers) in [
        ("_sip._udp.a.gw.example", Rtype::SRV, GatewayName, "1 0 0 5060 a.GW.example"),
        ("A.gw.EXAMPLE", Rtype::A, GatewayName, "1 127.0.0.10"),
        ("a.gw.example", Rtype::AAAA, NoData, ""),
        (
            "a.gw.example",
            Rtype::NAPTR,
            GatewayName,
            r#"1 10 10 "s" "SIP+D2U" "" _sip._udp.a.GW.example."#,
        ),
        ("_sips._tcp.c.gw.example", Rtype::SRV, GatewayName, "60 0 0 5061 gw-c.example.net"),
        ("c.gw.example", Rtype::A, GatewayName, "60 gw-c.example.net."),
        ("_udp.a.gw.example", Rtype::SRV, NoData, ""),
        ("_sip._tcp.a.gw.example", Rtype::SRV, Miss, ""),
        ("x._sip._udp.a.gw.example", Rtype::SRV, Miss, ""),
        ("nobody.gw.example", Rtype::A, Miss, ""),
        ("gw.example", Rtype::NS, Kind::Apex, "60 ns.example."),
        ("gw.example", Rtype::ANY, Kind::Refused, ""),
    ] {
        assert_eq!(ask(name, rtype), said(kind, answers), "{name} {rtype}");
    }
    let dead = (Kind::NoGateway, String::new(), "gateway b is dead".to_owned());
    assert_eq!(ask("_sip._udp.b.gw.example", Rtype::SRV), dead);
    assert_eq!(ask("b.gw.example", Rtype::A), dead);
}

#[test]
fn network_sees_only_its_domains() {
    let rule =
        |network: &str, sees| ClientRule { network: network.parse::<Network>().unwrap(), sees };
    let clients = Clients::new(vec![
        rule("127.0.0.0/8", Sees::Apexes(vec![1])),
        rule("10.0.0.0/8", Sees::Everything),
    ]);
    let edition = samples::edition(&table(), &[], Zone { clients, ..samples::zone() });
    let other = NUMBER.replace("e164.arpa", "enum.example");
    for (source, name, kind) in [
        ("127.0.0.1", NUMBER, Kind::Denied),
        ("127.0.0.1", other.as_str(), Kind::Hit),
        ("127.0.0.1", "example.org", Kind::Refused),
        ("10.0.0.1", NUMBER, Kind::Hit),
        ("192.0.2.1", other.as_str(), Kind::Denied),
        ("192.0.2.1", "example.org", Kind::Denied),
    ] {
        let query = query(name, Rtype::NAPTR, Some(1232));
        let source = source.parse().unwrap();
        let asked =
            Asked { query: &query, source, transport: Transport::Udp, unix_s: NOW_S, draw: 0 };
        let mut out = Vec::new();
        assert_eq!(answer(&asked, &edition, &mut out).kind, kind, "{source} {name}");
        let message = message(out);
        assert_eq!(message.header().rcode() == Rcode::REFUSED, kind != Kind::Hit);
        assert_eq!(reason(&message).is_some_and(|(code, _)| code == 18), kind == Kind::Denied);
    }
}

#[test]
fn what_does_not_fit_into_udp_says_so_and_comes_whole_over_tcp() {
    let name = "1.2.3.0.3.9.4.e164.arpa";
    for (edns, limit) in [(None, 512), (Some(100), 512), (Some(800), 800), (Some(65_535), 1232)] {
        let query = query(name, Rtype::NAPTR, edns);
        let (answered, octets) = ask(&query, Transport::Udp);
        assert!(octets.len() <= limit);
        assert!(answered.truncated, "{edns:?}");
        let reply = message(octets);
        assert!(reply.header().tc());
        assert_eq!(reply.opt().is_some(), edns.is_some());
        assert!(records(&reply)[0].is_empty());
        assert_eq!(reply.sole_question().unwrap().qname().to_string(), name);
    }
    let (answered, octets) = ask(&query(name, Rtype::NAPTR, None), Transport::Tcp);
    assert!(!answered.truncated);
    assert_eq!(records(&message(octets))[0].len(), 20);
}

#[test]
fn answer_of_a_limited_network_is_not_longer_than_its_query() {
    for edns in [None, Some(1232)] {
        let query = query(NUMBER, Rtype::NAPTR, edns);
        let mut out = Vec::new();
        assert!(answer_truncated(&query, &mut out));
        assert!(out.len() <= query.len());
        let reply = message(out);
        assert!(reply.header().tc() && reply.header().qr());
        assert_eq!(reply.header().id(), 4711);
    }
    let mut out = Vec::new();
    assert!(!answer_truncated(&[1, 2, 3], &mut out));
    assert!(out.is_empty());
}

#[test]
fn question_that_grows_when_it_is_written_out_gets_no_answer_of_a_limited_network() {
    // Its name points at the header, whose first ten octets it reads as a label once more.
    let mut octets = query("a", Rtype::NAPTR, None);
    octets[0] = 10;
    octets.truncate(12);
    octets.extend_from_slice(&[1, b'a', 0xc0, 0, 0, 35, 0, 1]);
    let mut out = Vec::new();
    assert!(!answer_truncated(&octets, &mut out));
    assert!(out.is_empty());
}

#[test]
fn a_pointer_loop_in_the_question_is_malformed() {
    let mut octets = query(NUMBER, Rtype::NAPTR, None);
    octets.truncate(12);
    octets.extend_from_slice(&[0xc0, 12, 0, 35, 0, 1]);
    assert_eq!(ask(&octets, Transport::Udp).0.kind, Kind::Malformed);
}

proptest! {
    #[test]
    fn any_octets_are_answered_in_bounds(
        octets in proptest::collection::vec(any::<u8>(), 0..600),
        header in proptest::option::of(Just([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
    ) {
        // Half of them with a header that lets the parser go on.
        let mut query = header.map_or(Vec::new(), |header: [u8; 12]| header.to_vec());
        query.extend_from_slice(&octets);
        let (answered, reply) = ask(&query, Transport::Udp);
        prop_assert!(reply.len() <= usize::from(UDP_ANSWER_MAX_OCTETS));
        prop_assert_eq!(reply.is_empty(), answered.kind == Kind::Dropped);
        if !reply.is_empty() {
            prop_assert!(Message::from_octets(reply).unwrap().header().qr());
        }
        let mut out = Vec::new();
        answer_truncated(&query, &mut out);
        prop_assert!(out.len() <= query.len());
    }

    #[test]
    fn a_damaged_query_is_answered(
        place in 0_usize..100, octet: u8, cut in 0_usize..100, edns in proptest::option::of(any::<u16>()),
    ) {
        let mut octets = query(NUMBER, Rtype::NAPTR, edns);
        let length = octets.len();
        octets[place % length] = octet;
        octets.truncate(length - cut % length);
        let (answered, reply) = ask(&octets, Transport::Tcp);
        prop_assert_eq!(reply.is_empty(), answered.kind == Kind::Dropped);
    }

    #[test]
    fn every_number_gets_what_the_table_says(number in "[0-9]{1,15}") {
        let digits = Digits::read(&number).unwrap();
        let name = enum_name::name(digits, "e164.arpa");
        let (answered, _) = ask(&query(&name, Rtype::NAPTR, None), Transport::Tcp);
        let expected = match edition().table.find(digits) {
            Found::Routes(_) => Kind::Hit,
            Found::Interior => Kind::NoData,
            Found::Nothing => Kind::Miss,
        };
        prop_assert_eq!(answered.kind, expected);
        prop_assert!(name.parse::<Name<Vec<u8>>>().unwrap().label_count() > 2);
    }
}

/// What a message says, without how its names are compressed.
fn meaning(octets: &[u8]) -> (String, Vec<String>) {
    let message = message(octets.to_vec());
    let header = format!("{:?} {:?}", message.header(), message.header_counts());
    let mut parts = vec![message.sole_question().unwrap().to_string()];
    for record in message.iter() {
        let (record, section) = record.unwrap();
        let owner = record.owner().to_string();
        let (class, ttl) = (record.class(), record.ttl().as_secs());
        let data = record.into_any_record::<AllRecordData<_, _>>().unwrap();
        parts.push(format!("{section:?} {owner} {class} {ttl} {}", data.data()));
    }
    (header, parts)
}

fn both_ways_say_the_same(edition: &Edition, query: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let asked = Asked { query, source: SOURCE, transport, unix_s: NOW_S, draw: 9 };
        let mut plain = Vec::new();
        let found = Plain::read(&asked, &edition.zone);
        let Some(answered) = found.and_then(|found| found.answer(&asked, edition, &mut plain))
        else {
            continue;
        };
        let mut any = Vec::new();
        assert_eq!(answered, answer_any(&asked, edition, &mut any));
        // The general way compresses the names in the SOA.
        assert!(plain.len() >= any.len());
        assert_eq!(meaning(&plain), meaning(&any));
    }
}

#[test]
fn plain_questions_are_answered_without_taking_them_apart() {
    for (name, edns, is_plain) in [
        (NUMBER, None, true),
        (NUMBER, Some(1232), true),
        ("4.3.2.1.3.3.3.3.3.1.8.E164.Arpa", None, true),
        ("1.2.3.9.9.9.6.6.1.8.enum.example", Some(512), true),
        ("1.2.3.4.e164.arpa", Some(4096), true),
        ("4.1.8.e164.arpa", None, true),
        ("0.0.0.0.2.5.1.8.e164.arpa", None, true),
        // Too long, no number, no domain of ours, the domain itself.
        ("0.3.9.4.e164.arpa", None, false),
        ("www.e164.arpa", None, false),
        ("13.1.8.e164.arpa", None, false),
        ("1.8.example.org", None, false),
        ("e164.arpa", None, false),
    ] {
        let query = query(name, Rtype::NAPTR, edns);
        let edition = edition();
        let asked = Asked {
            query: &query,
            source: SOURCE,
            transport: Transport::Udp,
            unix_s: NOW_S,
            draw: 9,
        };
        let mut out = Vec::new();
        let found = Plain::read(&asked, &edition.zone);
        let answered = found.and_then(|found| found.answer(&asked, &edition, &mut out));
        assert_eq!(answered.is_some(), is_plain, "{name}");
        both_ways_say_the_same(&edition, &query);
    }
}

/// Zones in which it matters which domain a name belongs to.
fn nested() -> Vec<Edition> {
    let domains = |apexes: &[&str], gateways: Option<&str>| Zone {
        apexes: apexes.iter().map(|apex| apex.parse().unwrap()).collect(),
        gateway_domain: gateways.map(|domain| domain.parse().unwrap()),
        ..samples::zone()
    };
    let only_second =
        ClientRule { network: "127.0.0.0/8".parse().unwrap(), sees: Sees::Apexes(vec![1]) };
    [
        domains(&["e164.arpa", "1.8.e164.arpa"], None),
        domains(&["1.8.e164.arpa", "e164.arpa"], Some("gw.example")),
        domains(&["e164.arpa", "enum.example"], Some("example")),
        Zone { clients: Clients::new(vec![only_second]), ..samples::zone() },
    ]
    .map(|zone| samples::edition(&table(), &[], zone))
    .into()
}

proptest! {
    #[test]
    fn plain_way_says_what_the_general_way_says(
        number in "(8133|81469|8152|816|4930|8|1)?[0-9]{0,12}",
        apex in proptest::sample::select(vec!["e164.arpa", "E164.aRPA", "enum.example", "example.org"]),
        edns in proptest::option::of(0_u16..5_000),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let labels: String = number.chars().rev().flat_map(|digit| [digit, '.']).collect();
        let mut query = query(&format!("{labels}{apex}"), Rtype::NAPTR, edns);
        for (place, octet) in flips {
            let place = place.index(query.len());
            query[place] ^= octet;
        }
        both_ways_say_the_same(&edition(), &query);
        for edition in nested() {
            both_ways_say_the_same(&edition, &query);
        }
    }
}
