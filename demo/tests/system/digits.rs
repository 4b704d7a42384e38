//! Digits in both directions: from a phone to a telephone's line, where they are heard as tones,
//! and keyed on a telephone, from where they reach a SIP peer as telephone events (RFC 4733).

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{ended_call, exchange_calls, has, status, system, wait_for, wait_idle};
use serde_json::json;
use trunkline_demo::network::post;

/// Payload type that the scenarios offer for telephone events.
const TELEPHONE_EVENT: u8 = 101;

#[test]
fn digits_of_the_phone_are_heard_by_the_telephone() {
    let (mut network, _folder) = system(60, |layout| layout.speech_s = 1);
    let arguments =
        ["call", "03-3333-1234", "--yes", "--silent", "--digits", "12#", "--hang-up-after-s", "3"];
    let mut phone = network.phone("phone", &arguments).expect("the phone starts");
    let call = ended_call(&network, 1);
    let ended = phone.wait(Duration::from_secs(5)).expect("a child").expect("it ends");
    assert!(ended.success(), "{}", phone.last_lines());
    assert_eq!(call["digits"], "12#", "{call}");
    let counters = status(network.layout.gateway_a())["media"]["counters"].clone();
    assert_eq!(counters["digits_from_rtp"], 3, "{counters}");
    wait_idle(network.layout.gateway_a());
    network.check().unwrap_or_else(|error| panic!("{error}"));
}

/// Telephone events that arrive at a socket until nothing comes for a second: event code and the
/// longest duration told, in timestamp units, one entry an event.
fn events(socket: &UdpSocket, limit: Duration, enough: usize) -> Vec<(u8, u16)> {
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let deadline = Instant::now() + limit;
    let mut events: Vec<(u32, u8, u16)> = Vec::new();
    let mut over = 0;
    let mut packet = [0; 1_500];
    while Instant::now() < deadline && over < enough {
        let Ok(length) = socket.recv(&mut packet) else { continue };
        let Some((header, payload)) = packet[..length].split_at_checked(12) else { continue };
        if header[1] & 0x7f != TELEPHONE_EVENT || payload.len() < 4 {
            continue;
        }
        // RFC 4733 §2.5.1.2: all packets of an event have the timestamp of its begin.
        let timestamp = u32::from_be_bytes(header[4..8].try_into().expect("four octets"));
        let duration = u16::from_be_bytes([payload[2], payload[3]]);
        match events.iter_mut().find(|event| event.0 == timestamp) {
            Some(event) => event.2 = event.2.max(duration),
            None => events.push((timestamp, payload[0], duration)),
        }
        // §2.5.1.4: the last packet is sent three times.
        over += usize::from(payload[1] & 0x80 != 0);
    }
    events.into_iter().map(|(_, code, duration)| (code, duration)).collect()
}

#[test]
fn digits_keyed_on_a_telephone_reach_a_sip_peer_as_telephone_events() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(61, |layout| {
        layout.speech_s = 1;
        layout.more_telephones = "  - number: \"03-3333-0007\"\n    network: A\n    \
             when_called: { answer_after_ms: 200 }\n    \
             keys: { after_ms: 800, digits: \"159#\" }\n"
            .to_owned();
    });
    let sipp = Sipp::at(&network.layout, 3);
    let media = UdpSocket::bind((sipp.address, 31_000)).expect("a media port");
    let scenario = Scenario::default()
        .invite("31000")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .pause(4_000)
        .bye()
        .expect(200);
    let layout = &network.layout;
    let mut peer = sipp.call(layout, "digits", layout.gateway_a(), "0333330007", &scenario);
    let keyed = events(&media, Duration::from_secs(4), 4 * 3);
    let codes: Vec<u8> = keyed.iter().map(|event| event.0).collect();
    // RFC 4733 §3.2: 0 to 9 are the digits, 10 is *, 11 is #.
    assert_eq!(codes, [1, 5, 9, 11], "{keyed:?}");
    for (code, duration) in keyed {
        // Keyed for 100 ms; the detector may see the edges a little late. 8 units a ms.
        assert!((40 * 8..=160 * 8).contains(&duration), "event {code}: {duration} units");
    }
    // Later in the call too.
    post(&format!("{}/calls/1/keys", layout.exchange_http()), &json!({ "digits": "0" }))
        .expect("the telephone keys");
    let later = events(&media, Duration::from_secs(2), 3);
    assert_eq!(later.first().map(|event| event.0), Some(0), "{later:?}");
    assert!(peer.succeeds(Duration::from_secs(15)), "{}", sipp::complaints(layout, "digits"));
    assert_eq!(status(layout.gateway_a())["media"]["counters"]["digits_from_line"], 5);
    wait_for("the call is over", Duration::from_secs(5), || {
        exchange_calls(&network).iter().all(|call| call["state"] == "ended").then_some(())
    });
    wait_idle(layout.gateway_a());
}
