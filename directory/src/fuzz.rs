//! What reads messages from strangers and files from operators as `fn(&[u8])` for fuzzers, with what
//! must hold whatever the bytes are. Compiled with `--cfg fuzzing` and in the tests of this crate.
#![allow(clippy::missing_panics_doc)]

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use domain::base::{Message, Name};
use domain::rdata::AllRecordData;
use ring::digest::{SHA256, digest};
use trunkline_number::CountryProfile;
use trunkline_program::ConfigurationError;

use crate::client::message::{Query, Reading};
use crate::client::rule::{RULES_MAX, routes};
use crate::configuration::{Configuration, table};
use crate::edition::Edition;
use crate::enum_server::answer::answer_truncated;
use crate::enum_server::{
    Asked, Kind, Transport, UDP_ANSWER_MAX_OCTETS, Zone, answer, has_valid_cookie,
};
use crate::fleet::{Fleet, FleetSettings, LeaseId};
use crate::gateways::{Standing, State};
use crate::http::gateways::registration;
use crate::provisioning::table_csv;
use crate::samples;
use crate::table::{Choice, Digits, Found, Route, Table, file};
use crate::wire::{Coming, Told};
use crate::written::WrittenRoute;

#[cfg(test)]
#[path = "../../fuzz/corpus.rs"]
mod corpus;

/// The patent's two areas, one with so many gateways that their answer does not fit UDP, and one
/// whose only gateway is dead.
static EDITION: LazyLock<Edition> = LazyLock::new(|| {
    let mut text = "gateways:\n".to_owned();
    let mut many = String::new();
    for index in 0..32 {
        text += &format!("  g{index}: {{ sip: gateway-number-{index}.example.net:5060 }}\n");
        many += &format!("{{ name: g{index}, order: {index} }}, ");
    }
    text += &format!(
        "prefixes:\n- prefix: '03'\n  gateways: [{{ name: g0 }}]\n\
         - prefix: '0469'\n  gateways: [{{ name: g1 }}, {{ name: g0, order: 20 }}]\n\
         - prefix: '+4930'\n  gateways: [{many}]\n\
         - prefix: '+4420'\n  gateways: [{{ name: g31 }}]\n  rn: '+4499'\n\
         - prefix: '+33'\n  gateways: [{{ name: g30 }}]\n"
    );
    let mut states = vec![State::default(); 31];
    states[30].standing = Standing::Dead;
    let gateway_domain = Some("gw.example".parse().expect("a name"));
    samples::edition(&text, &states, Zone { gateway_domain, ..samples::zone() })
});

/// A query at the ENUM server: its answer can be read, belongs to it and is as long as its way allows.
pub fn enum_query(bytes: &[u8]) {
    let mut out = Vec::new();
    for (transport, most) in
        [(Transport::Udp, usize::from(UDP_ANSWER_MAX_OCTETS)), (Transport::Tcp, 65_535)]
    {
        let source = [127, 0, 0, 1].into();
        let asked = Asked { query: bytes, source, transport, unix_s: 1_800_000_000, draw: 4 };
        has_valid_cookie(&asked, &EDITION.zone);
        let answered = answer(&asked, &EDITION, &mut out);
        assert_eq!(answered.kind == Kind::Dropped, out.is_empty());
        if out.is_empty() {
            continue;
        }
        assert!(out.len() <= most);
        assert_eq!(out[..2], bytes[..2]);
        let message = Message::from_octets(&out).expect("what we write can be read");
        assert!(message.header().qr());
        assert_eq!(message.header().tc(), answered.truncated);
        // Only what is too long for UDP asks for TCP, and there it fits.
        assert!(transport == Transport::Udp || !answered.truncated);
        for record in message.iter() {
            let (record, _) = record.expect("a whole record");
            record.into_any_record::<AllRecordData<_, _>>().expect("of a form that is known");
        }
    }
    if answer_truncated(bytes, &mut out) {
        assert!(out.len() <= bytes.len());
        let message = Message::from_octets(&out).expect("what we write can be read");
        assert!(message.header().tc() && message.header().qr());
    }
}

/// An answer at the client, whoever has made it: what it leads to can be called.
pub fn enum_answer(bytes: &[u8]) {
    const ID: [u8; 2] = [0x12, 0x34];
    let number = Digits::read("81333331234").expect("a number");
    let query = Query::new(u16::from_be_bytes(ID), number, &EDITION.zone.apexes[0]);
    // Nobody gets by the id by chance.
    let answer: Vec<u8> = ID.into_iter().chain(bytes.iter().skip(2).copied()).collect();
    let Reading::Rules { rules, .. } = query.read(&answer) else {
        return;
    };
    assert!((1..=RULES_MAX).contains(&rules.len()));
    for target in routes(rules, number) {
        assert!(target.port > 0 && !target.host.is_empty());
        assert!(target.uri.bytes().all(|octet| octet.is_ascii_graphic()), "{}", target.uri);
    }
}

/// A number table: it is refused with a reason and a line of its own, or answers for each number.
pub fn directory_table(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match table(&text) {
        Ok(provisioned) => {
            let gateways = provisioned.gateways.len();
            let table = Table::new(provisioned.prefixes);
            for number in ["81333331234", "81469595678", "1", "999999999999999"] {
                if let Found::Routes(matched) = table.find(Digits::read(number).expect("digits")) {
                    assert!(number.starts_with(&matched.prefix.to_string()));
                    assert!(matched.choices().all(|choice| (choice.gateway as usize) < gateways));
                }
            }
        }
        Err(error) => check_error(&error, &text),
    }
}

/// A table to be imported: it is refused with its mistakes, or comes back from an export as it was.
pub fn directory_csv(bytes: &[u8]) {
    let names = ["a", "b"];
    let places = names.iter().zip(0..).map(|(name, place)| ((*name).to_owned(), place)).collect();
    let read = |bytes| table_csv::read(bytes, &COUNTRY, &places, &AtomicU64::new(0));
    match read(bytes) {
        Ok(snapshot) => {
            let mut out = Vec::new();
            table_csv::write_header(&mut out).expect("memory");
            let name = |place: u32| names.get(place as usize).copied();
            table_csv::write(snapshot.iter(), name, &mut out).expect("memory");
            let again = read(&out).expect("what we write can be read");
            assert!(again.iter().eq(snapshot.iter()));
        }
        Err(mistakes) => assert!(!mistakes.is_empty()),
    }
}

/// A table in a file, whose checksum is right: it is refused, or all that is in it is found.
pub fn directory_snapshot(bytes: &[u8]) {
    let mut octets = bytes.to_vec();
    octets.extend_from_slice(digest(&SHA256, bytes).as_ref());
    let route = |gateway: u32| Ok(Route::new(vec![Choice::new(gateway, 10, 10)]));
    let Ok((snapshot, _)) = file::read(&octets, route) else {
        return;
    };
    let mut entries = 0;
    for (prefix, route) in snapshot.iter() {
        assert_eq!(snapshot.entry(prefix), Some(route), "+{prefix}");
        entries += 1;
    }
    assert_eq!(snapshot.entries(), entries);
}

/// What gateways and operators send over HTTP: it is refused, or can be used.
pub fn directory_body(bytes: &[u8]) {
    if let Ok(written) = serde_json::from_slice::<WrittenRoute>(bytes)
        && let Ok(route) = written.read(&COUNTRY, |name| Some(name.len() as u32))
    {
        let again = WrittenRoute::new(&route, |_| Some("a"));
        assert_eq!(again.gateways.len(), written.gateways.len());
    }
    let now = Instant::now();
    let mut fleet = Fleet::new(FleetSettings::default());
    if let Ok(coming) = serde_json::from_slice::<Coming>(bytes)
        && let Ok(registration) = registration(coming, &COUNTRY, "g".to_owned(), 6)
        && let Ok(lasts) = fleet.register(now, registration.clone(), LeaseId(1))
    {
        assert_eq!(fleet.registered_prefixes().entries(), registration.prefixes.len());
        fleet.timeout(now + lasts);
        assert_eq!(fleet.gateways().state(0).standing, Standing::Dead);
    }
    let _ = serde_json::from_slice::<Told>(bytes);
}

static COUNTRY: LazyLock<CountryProfile> = LazyLock::new(CountryProfile::japan);

/// The daemon's configuration: it is refused with a reason, or numbers fit below all its domains.
pub fn directory_configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Configuration::parse(&text) {
        Ok((configuration, source)) => {
            let zone = configuration.zone(&source, 1).expect("it was checked");
            let longest = "9.".repeat(15);
            for apex in zone.apexes {
                let name = format!("{longest}{apex}");
                assert!(name.parse::<Name<Vec<u8>>>().is_ok(), "{name}");
            }
        }
        Err(error) => check_error(&error, &text),
    }
}

fn check_error(error: &ConfigurationError, text: &str) {
    assert!(!error.problem.is_empty());
    // What ends a line in YAML 1.1 §5.4; the end of the file may be a line of its own.
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    assert!(error.line.is_none_or(|line| line <= lines + 1), "{error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("enum_query", enum_query);
        corpus::replay("enum_answer", enum_answer);
        corpus::replay("directory_table", directory_table);
        corpus::replay("directory_configuration", directory_configuration);
        corpus::replay("directory_csv", directory_csv);
        corpus::replay("directory_snapshot", directory_snapshot);
        corpus::replay("directory_body", directory_body);
    }
}
