//! Calls between two peers on the packet side: the gateway between them is nobody's telephone.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_demo::network::{Layout, get};
use trunkline_demo::speech;

use crate::common::baresip::Baresip;
use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{
    begins_at_ms, ended_call, has, records, speech_with_silence, status, system, wait_for,
    wait_idle,
};

/// Longest time for a call of these tests.
const CALL_MAX: Duration = Duration::from_secs(45);

/// A route of gateway A over these peers.
fn route(prefix: &str, peers: &[String]) -> String {
    format!("  - prefix: \"{prefix}\"\n    peers: {peers:?}\n")
}

/// The SIP URI of a SIPp at `127.x.y.last`.
fn uri(layout: &Layout, last: u8) -> String {
    let sipp = Sipp::at(layout, last);
    format!("sip:{}:{}", sipp.address, sipp.port())
}

/// The legs of a record, and what the media of the two that talked has counted.
fn legs(record: &Value) -> (Vec<&str>, Vec<&Value>) {
    let legs = record["legs"].as_array().expect("legs");
    let kinds = legs.iter().filter_map(|leg| leg["kind"].as_str()).collect();
    (kinds, legs.iter().map(|leg| &leg["media"]).filter(|media| !media.is_null()).collect())
}

#[test]
fn a_mu_law_phone_talks_through_two_gateways_to_a_telephone() {
    if !has("baresip") {
        return;
    }
    let (network, _folder) = system(35, |layout| {
        layout.speech_s = 4;
        // Gateway B refuses SRTP: it is called again without.
        layout.more_routes_of_gateway_a = format!(
            "  - {{ prefix: \"0469\", peers: [{{ uri: \"{}:5060\", srtp: prefer, \
             codecs: [pcma] }}] }}\n",
            layout.gateway_b()
        );
    });
    let layout = &network.layout;
    let speech = speech_with_silence(layout);
    let baresip = Baresip::at(layout, Baresip::free_address(), "PCMU", &speech);
    let mut peer = baresip.call(layout.gateway_a(), "0469595678", 10);
    let call = ended_call(&network, 1);
    assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());

    let read = |path: PathBuf| speech::read(&path).expect("a recording");
    let recording = PathBuf::from(call["recording"].as_str().expect("a recording"));
    begins_at_ms(&read(layout.file("caller.wav")), &read(recording));
    begins_at_ms(&read(layout.file("telephone-b.wav")), &read(baresip.heard()));
    wait_idle(layout.gateway_a());
    wait_idle(layout.gateway_b());
    let record = wait_for("the record", Duration::from_secs(5), || {
        records(&network, 'a').into_iter().next()
    });
    let (kinds, media) = legs(&record);
    assert_eq!(kinds, ["packet", "packet"], "no channel of the line is used");
    assert_eq!(media.len(), 2, "{record}");
    for (one, other) in [(media[0], media[1]), (media[1], media[0])] {
        assert!(one["packets_received"].as_u64() > Some(150), "{record}");
        let (came, went) = (&one["packets_received"], &other["packets_sent"]);
        assert_eq!(came, went, "each packet goes on, as one: {record}");
    }
    let of_b = records(&network, 'b');
    assert_eq!(of_b.last().expect("a record")["cause"], 16);
}

#[test]
fn the_next_peer_is_called_where_one_is_out_of_order_and_is_told_of_a_hold() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(36, |layout| {
        layout.speech_s = 4;
        layout.more_routes_of_gateway_a = route("050", &[uri(layout, 4), uri(layout, 5)]);
    });
    let layout = &network.layout;
    let broken = Scenario::default()
        .expect_request("INVITE")
        .respond(503, "Service Unavailable", false)
        .expect_request("ACK");
    let mut first = Sipp::at(layout, 4).answer(layout, "first", &broken);
    let echo = Sipp { options: vec!["-rtp_echo".to_owned()], ..Sipp::at(layout, 5) };
    let told = Scenario::default()
        .expect_request("INVITE")
        .respond(180, "Ringing", false)
        .respond(200, "OK", true)
        .expect_request("ACK")
        .expect_offer(1, "sendonly", "recvonly")
        .expect_offer(2, "sendrecv", "sendrecv")
        .expect_request("BYE")
        .respond_within();
    let mut second = echo.answer(layout, "second", &told);
    let speech = sipp::a_law_file(&layout.file("caller.wav"));
    let scenario = Scenario::default()
        .invite("[rtpstream_audio_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .play(&speech)
        .pause(2_000)
        .offer_again(2, "sendonly", "recvonly")
        .pause(500)
        .offer_again(3, "sendrecv", "sendrecv")
        .pause(1_500)
        .bye()
        .expect(200);
    let gateway = layout.gateway_a();
    let mut caller = Sipp::at(layout, 3).call(layout, "caller", gateway, "05033331234", &scenario);
    let line = "trunkline_calls_up{between=\"packet_to_packet\"} 1";
    wait_for("the call is up", Duration::from_secs(10), || {
        let page = get(&format!("http://{gateway}:9100/metrics")).expect("metrics");
        page.as_str()?.lines().any(|there| there == line).then_some(())
    });
    assert!(caller.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "caller"));
    assert!(first.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "first"));
    assert!(second.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "second"));
    wait_idle(gateway);

    let record = wait_for("the record", Duration::from_secs(5), || {
        records(&network, 'a').into_iter().next()
    });
    assert_eq!(record["cause"], 16, "{record}");
    assert_eq!(record["between"], "packet_to_packet", "{record}");
    let (kinds, media) = legs(&record);
    assert_eq!(kinds, ["packet", "packet", "packet"], "the caller, and two that were called");
    assert_eq!(record["legs"][1]["sip_status"], 503, "{record}");
    // What the caller says comes back from the second; while it holds it hears nothing.
    let (of_caller, of_second) = (media[0], media[1]);
    let came = of_caller["packets_received"].as_u64().expect("a count");
    assert!(came > 150, "{record}");
    assert_eq!(of_second["packets_sent"], came, "{record}");
    let heard = of_caller["packets_sent"].as_u64().expect("a count");
    assert!(heard > came / 2 && heard < came - 15, "half a second of {came} is held: {heard}");
    let status = status(gateway);
    assert_eq!(status["calls"]["answered_between"], json!({ "packet_to_packet": 1 }), "{status}");
    let page = get(&format!("http://{gateway}:9100/metrics")).expect("metrics");
    let line = "trunkline_calls_answered_total{between=\"packet_to_packet\"} 1";
    assert!(page.as_str().expect("text").lines().any(|there| there == line), "{page}");
}

#[test]
fn a_peers_own_words_reach_the_caller_and_a_call_in_circles_ends() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(37, |layout| {
        layout.speech_s = 1;
        layout.more_routes_of_gateway_a = [
            route("050", &[uri(layout, 4)]),
            route("0120", &[format!("sip:{}", layout.gateway_a())]),
        ]
        .concat();
    });
    let layout = &network.layout;
    let gateway = layout.gateway_a();
    let gone = Scenario::default()
        .expect_request("INVITE")
        .respond(410, "Gone", false)
        .expect_request("ACK");
    let mut peer = Sipp::at(layout, 4).answer(layout, "gone", &gone);
    for (number, status) in [("05033331234", 410), ("0120444444", 482)] {
        let name = format!("refused-{status}");
        let scenario = sipp::refused(status);
        let mut caller = Sipp::at(layout, 3).call(layout, &name, gateway, number, &scenario);
        assert!(caller.succeeds(CALL_MAX), "{}", sipp::complaints(layout, &name));
    }
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "gone"));
    wait_idle(gateway);
    // RFC 3261 §16.3, item 4: it comes back to where it is already. Q.850 25: routing error.
    let records = wait_for("the records", Duration::from_secs(5), || {
        Some(records(&network, 'a')).filter(|records| records.len() == 2)
    });
    let causes: Vec<&Value> = records.iter().map(|record| &record["cause"]).collect();
    assert_eq!(causes, [22, 25], "{records:?}");
    assert_eq!(status(gateway)["media"]["legs"], 0);
}

#[test]
fn the_directory_leads_to_another_gateway_and_a_caller_who_gives_up_leaves_nothing() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(38, |layout| {
        layout.speech_s = 1;
        layout.more_routes_of_gateway_a = "  - { prefix: \"0469\", directory: true }\n".to_owned();
    });
    let layout = &network.layout;
    let gateway = layout.gateway_a();
    let scenario = sipp::given_up(200);
    let mut caller = Sipp::at(layout, 3).call(layout, "caller", gateway, "0469595678", &scenario);
    assert!(caller.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "caller"));
    assert_eq!(ended_call(&network, 1)["cause"], 16, "its telephone rings no more");
    wait_idle(gateway);
    wait_idle(layout.gateway_b());
    let record = wait_for("the record", Duration::from_secs(5), || records(&network, 'a').pop());
    assert_eq!((&record["cause"], &record["answered_at"]), (&json!(16), &json!(null)), "{record}");
    let peer = record["legs"][1]["peer"].as_str().expect("the peer that was called");
    assert!(peer.contains(&layout.gateway_b().to_string()), "{record}");
    let status = status(gateway);
    assert_eq!(status["inquiries"]["gateways"], 1, "{status}");
}

#[test]
fn a_hold_by_the_called_side_reaches_a_caller_with_another_codec() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(39, |layout| {
        layout.speech_s = 1;
        // The caller speaks A-law only, the peer is to be spoken to in mu-law or not at all.
        layout.more_routes_of_gateway_a = format!(
            "  - {{ prefix: \"050\", peers: [{{ uri: \"{}\", codecs: [pcmu] }}] }}\n",
            uri(layout, 4)
        );
    });
    let layout = &network.layout;
    let gateway = layout.gateway_a();
    let called = Scenario::default()
        .expect_call()
        .respond(200, "OK", true)
        .expect_request("ACK")
        .pause(300)
        .offer_to_caller(2, "inactive", "inactive")
        .expect_request("BYE")
        .respond_within()
        .in_mu_law();
    let mut peer = Sipp::at(layout, 4).answer(layout, "called", &called);
    let speech = sipp::a_law_file(&layout.file("caller.wav"));
    let scenario = Scenario::default()
        .invite("[rtpstream_audio_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .play(&speech)
        .expect_offer(1, "inactive", "inactive")
        .pause(200)
        .bye()
        .expect(200);
    let mut caller = Sipp::at(layout, 3).call(layout, "caller", gateway, "05033331234", &scenario);
    assert!(caller.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "caller"));
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(layout, "called"));
    wait_idle(gateway);
    let record = wait_for("the record", Duration::from_secs(5), || records(&network, 'a').pop());
    let (_, media) = legs(&record);
    assert!(media[1]["packets_sent"].as_u64() > Some(5), "transcoded to the peer: {record}");
}
