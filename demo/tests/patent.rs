//! The calls of the patent, with all programs of the system.

mod common;

use std::time::Duration;

use common::{pesq, records, status, system, wait_idle};
use trunkline_demo::call::{self, Direction, Embodiment};
use trunkline_demo::ladder::Ladder;
use trunkline_demo::network::{TELEPHONE_A, TELEPHONE_B};

fn assert_intact(directions: &[Direction; 2]) {
    for direction in directions {
        assert!(direction.comparison.is_intact(), "{}", direction.report());
        let score = pesq(&direction.said, &direction.heard, direction.comparison.delay_ms);
        if let Some(score) = score {
            println!("{}: PESQ {score:.2}", direction.name);
            // Two cores carry exchange, gateways and phone: a tick that comes late lets the playout
            // adjust, and each adjustment within a word costs up to a quarter of a point.
            assert!(score >= 3.5, "{}: PESQ {score}", direction.name);
        }
    }
}

#[test]
fn all_calls_of_the_patent_carry_speech_intact_and_leave_nothing() {
    let (mut network, _folder) = system(1, |_| {});
    let mut ladder = Ladder::default();

    let first = call::click(&mut network, &mut ladder, TELEPHONE_A, Embodiment::First);
    assert_intact(&first.unwrap_or_else(|error| panic!("{error}")));
    let second = call::click(&mut network, &mut ladder, TELEPHONE_B, Embodiment::Second);
    assert_intact(&second.unwrap_or_else(|error| panic!("{error}")));
    let third = call::telephone_to_telephone(&mut network, &mut ladder);
    assert_intact(&third.unwrap_or_else(|error| panic!("{error}")));

    let (a, b) = (network.layout.gateway_a(), network.layout.gateway_b());
    wait_idle(a);
    wait_idle(b);
    assert_eq!(status(a)["spans"][0]["channels"]["idle"], 30);

    // One record a call and gateway, with both legs' causes and what the media did.
    let (of_a, of_b) = common::wait_for("all records", Duration::from_secs(5), || {
        let (a, b) = (records(&network, 'a'), records(&network, 'b'));
        (a.len() == 2 && b.len() == 2).then_some((a, b))
    });
    let click = &of_a[0];
    assert_eq!(click["number"], "+81333331234");
    assert_eq!(click["cause"], 16);
    assert_eq!(click["legs"].as_array().map(Vec::len), Some(2));
    assert!(click["legs"].as_array().unwrap().iter().all(|leg| leg["cause"] == 16));
    let media = click["legs"].as_array().unwrap().iter().find_map(|leg| leg.get("media")).unwrap();
    assert!(media["packets_received"].as_u64().unwrap() > 200, "{media}");
    assert_eq!(media["packets_lost"], 0, "{media}");
    // Each side rates what it hears, and tells the other.
    for heard in ["quality", "remote_quality"] {
        assert!(media[heard]["mos_cq"].as_f64().is_some_and(|mos| mos > 3.6), "{media}");
    }
    assert!(click["answered_ms"].as_u64().unwrap() > 5_000);
    let from_telephone = &of_a[1];
    assert_eq!(from_telephone["calling"], "+81333331234");
    assert_eq!(from_telephone["number"], "+81469595678");
    assert_eq!(of_b[1]["calling"], "+81333331234", "the calling number crosses both gateways");

    let layout = network.layout.clone();
    network.end().unwrap_or_else(|error| panic!("{error}"));
    for address in [format!("{a}:5060"), format!("{b}:5060"), layout.directory()] {
        assert!(std::net::UdpSocket::bind(&address).is_ok(), "{address} is still in use");
        assert!(std::net::TcpListener::bind(&address).is_ok(), "{address} is still in use");
    }
}
