//! The calls of the patent, with all programs of the system.

use std::time::Duration;

use crate::common::machine::undisturbed;
use crate::common::{pesq, records, status, system_alone, wait_idle};
use trunkline_demo::call::{self, Direction, Embodiment};
use trunkline_demo::ladder::Ladder;
use trunkline_demo::network::{NetworkError, TELEPHONE_A, TELEPHONE_B};

/// What is wrong with the speech of a call, if anything.
fn check_intact(directions: &[Direction; 2]) -> Result<(), String> {
    for direction in directions {
        println!("{}", direction.report());
        if !direction.comparison.is_intact() {
            return Err(direction.report());
        }
        let score = pesq(&direction.said, &direction.heard, direction.comparison.delay_ms);
        if let Some(score) = score {
            println!("{}: PESQ {score:.2}", direction.name);
            if score < 4.0 {
                return Err(format!("{}: PESQ {score}", direction.name));
            }
        }
    }
    Ok(())
}

/// Makes a call of the demonstration until the machine lets it through undisturbed; gives how
/// many calls that took.
fn intact(mut call: impl FnMut() -> Result<[Direction; 2], NetworkError>) -> usize {
    let mut calls = 0;
    undisturbed(|| {
        calls += 1;
        check_intact(&call().unwrap_or_else(|error| panic!("{error}")))
    });
    calls
}

#[test]
fn all_calls_of_the_patent_carry_speech_intact_and_leave_nothing() {
    let (mut network, _folder) = system_alone(1, |_| {});
    let mut ladder = Ladder::default();

    let first = intact(|| call::click(&mut network, &mut ladder, TELEPHONE_A, Embodiment::First));
    let second = intact(|| call::click(&mut network, &mut ladder, TELEPHONE_B, Embodiment::Second));
    let third = intact(|| call::telephone_to_telephone(&mut network, &mut ladder));

    let (a, b) = (network.layout.gateway_a(), network.layout.gateway_b());
    wait_idle(a);
    wait_idle(b);
    assert_eq!(status(a)["spans"][0]["channels"]["idle"], 30);

    // One record a call and gateway, with both legs' causes and what the media did.
    let (of_a, of_b) = crate::common::wait_for("all records", Duration::from_secs(5), || {
        let (a, b) = (records(&network, 'a'), records(&network, 'b'));
        (a.len() == first + third && b.len() == second + third).then_some((a, b))
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
    let from_telephone = &of_a[first];
    assert_eq!(from_telephone["calling"], "+81333331234");
    assert_eq!(from_telephone["number"], "+81469595678");
    assert_eq!(of_b[second]["calling"], "+81333331234", "the calling number crosses both gateways");

    let layout = network.layout.clone();
    network.end().unwrap_or_else(|error| panic!("{error}"));
    for address in [format!("{a}:5060"), format!("{b}:5060"), layout.directory()] {
        assert!(std::net::UdpSocket::bind(&address).is_ok(), "{address} is still in use");
        assert!(std::net::TcpListener::bind(&address).is_ok(), "{address} is still in use");
    }
}
