//! SRTP with keys in session descriptions, against foreign phones and between our own gateways.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::baresip::Baresip;
use crate::common::sipp::{self, Sipp};
use crate::common::{
    ended_call, exchange_calls, has, records, speech_with_silence, system, wait_for, wait_idle,
};
use serde_json::{Value, json};
use trunkline_demo::network::{Layout, Network, post};
use trunkline_demo::speech;

/// What gateway A wrote into the record of the first call about the packet leg's SRTP.
fn recorded(network: &Network) -> Value {
    let record = wait_for("the call record", Duration::from_secs(5), || {
        records(network, 'a').into_iter().next()
    });
    let legs = record["legs"].as_array().expect("legs");
    let packet = legs.iter().find(|leg| leg["kind"] == "packet").expect("a packet leg");
    assert!(packet["media"]["packets_received"].as_u64() > Some(50), "{packet}");
    let srtp = &packet["media"]["srtp"];
    if !srtp.is_null() {
        assert!(srtp["suite"].is_string(), "{srtp}");
        // baresip has put its keys away when it says its RTCP BYE.
        assert!(srtp["packets_refused_authentication"].as_u64() <= Some(1), "{srtp}");
        assert_eq!(srtp["packets_replayed"], 0, "{srtp}");
    }
    srtp.clone()
}

/// Fails unless `heard` has what is in `said`, in shape: other programs round in their own ways.
fn assert_heard(said: &str, heard: &PathBuf, layout: &Layout) {
    let read = |path: &PathBuf| speech::read(path).expect("a recording");
    crate::common::begins_at_ms(&read(&layout.file(said)), &read(heard));
}

/// Neither the log of gateway A nor its records have anything of a key; gives the log.
fn log_without_keys(layout: &Layout) -> String {
    let log = std::fs::read_to_string(layout.file("gateway-a.log")).expect("the gateway's log");
    let records = std::fs::read_to_string(layout.file("records-a.jsonl")).unwrap_or_default();
    for text in [&log, &records] {
        assert!(!text.contains("inline") && !text.contains("a=crypto"), "{text}");
    }
    log
}

#[test]
fn baresip_and_a_telephone_talk_under_srtp() {
    if !has("baresip") {
        return;
    }
    let (network, _folder) = system(64, |layout| {
        layout.speech_s = 4;
        layout.more_of_gateway_a = "srtp: { policy: require }\n".to_owned();
    });
    let layout = &network.layout;
    let says = speech_with_silence(layout);
    let baresip = Baresip::secure(layout, Baresip::free_address(), "PCMA", &says);
    let mut peer = baresip.call(layout.gateway_a(), "0333331234", 9);
    let call = ended_call(&network, 1);
    assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());

    let recording = PathBuf::from(call["recording"].as_str().expect("a recording"));
    assert_heard("caller.wav", &recording, layout);
    assert_heard("telephone-a.wav", &baresip.heard(), layout);
    assert!(!recorded(&network).is_null());
    wait_idle(layout.gateway_a());
    let log = log_without_keys(layout);
    assert_eq!(log.matches("srtp.policy").count(), 1, "one warning: {log}");
}

#[test]
fn a_telephone_calls_baresip_under_srtp() {
    if !has("baresip") {
        return;
    }
    let address = Baresip::free_address();
    let (network, _folder) = system(65, |layout| {
        layout.speech_s = 4;
        layout.more_of_gateway_a = format!(
            "phones:\n  - {{ number: \"03-1111-0005\", uri: \"sip:baresip@{address}\" }}\n\
             srtp: {{ peers: [{{ host: {}, policy: prefer }}] }}\n",
            Ipv4Addr::LOCALHOST
        );
    });
    let layout = &network.layout;
    let baresip = Baresip::secure(layout, address, "PCMA", &speech_with_silence(layout));
    let mut peer = baresip.answer(10);
    let exchange = layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    post(&telephone, &json!({ "to": "03-1111-0005" })).expect("the telephone dials");
    let call = ended_call(&network, 1);
    assert_eq!(call["cause"], 16, "{call}");
    assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());

    let recording = PathBuf::from(call["recording"].as_str().expect("a recording"));
    assert_heard("caller.wav", &recording, layout);
    assert_heard("telephone-a.wav", &baresip.heard(), layout);
    assert!(!recorded(&network).is_null());
    wait_idle(layout.gateway_a());
    assert_eq!(log_without_keys(layout).matches("srtp.peers.0.policy").count(), 1);
}

#[test]
fn plain_rtp_is_refused_where_srtp_is_required() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(66, |layout| {
        layout.speech_s = 1;
        layout.more_of_gateway_a = "srtp: { policy: require }\n".to_owned();
    });
    let sipp = Sipp::at(&network.layout, 3);
    let gateway = network.layout.gateway_a();
    let scenario = sipp::refused(488);
    let mut peer = sipp.call(&network.layout, "plain", gateway, "0333331234", &scenario);
    assert!(
        peer.succeeds(Duration::from_secs(20)),
        "{}",
        sipp::complaints(&network.layout, "plain")
    );
    assert!(exchange_calls(&network).is_empty(), "nobody's telephone rings");
    wait_idle(gateway);
}

#[test]
fn a_gateway_that_knows_no_srtp_is_called_with_plain_rtp() {
    let (network, _folder) = system(67, |layout| {
        layout.speech_s = 2;
        layout.hang_up_after_ms = Some(3_000);
        layout.more_of_gateway_a = "srtp: { policy: prefer }\n".to_owned();
    });
    let exchange = network.layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    post(&telephone, &json!({ "to": "0469-59-5678" })).expect("the telephone dials");
    let call = ended_call(&network, 1);
    assert_eq!(call["cause"], 16, "{call}");
    assert_eq!(recorded(&network), Value::Null);
    // Refused with 488, then taken.
    let causes = wait_for("gateway B's records", Duration::from_secs(5), || {
        let records = records(&network, 'b').into_iter().map(|record| record["cause"].clone());
        Some(records.collect::<Vec<_>>()).filter(|causes| causes.len() == 2)
    });
    assert_eq!(causes, [65, 16]);
    wait_idle(network.layout.gateway_a());
    wait_idle(network.layout.gateway_b());
}
