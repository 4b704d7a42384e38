//! baresip, a foreign phone with a jitter buffer and codecs of its own, calls a telephone of the
//! exchange through the gateway and is called by it.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::baresip::Baresip;
use common::{ended_call, exchange_calls, has, pesq, system, wait_for, wait_idle};
use serde_json::json;
use trunkline_demo::comparison::{Comparison, compare};
use trunkline_demo::network::{Layout, post};
use trunkline_demo::speech;

/// What baresip says: the caller's speech with silence behind it, since baresip hangs up when its
/// file ends and the telephone shall have said all by then.
fn with_silence(layout: &Layout) -> PathBuf {
    let mut samples = speech::read(&layout.file("caller.wav")).expect("the caller's speech");
    samples.extend(std::iter::repeat_n(0, 2 * 8_000));
    let path = layout.file("baresip-says.wav");
    speech::write(&path, &samples).expect("it is written");
    path
}

fn compared(said: &Path, heard: &Path) -> Comparison {
    let read = |path: &Path| speech::read(path).expect("a recording");
    compare(&read(said), &read(heard))
}

fn assert_clear(what: &str, said: &Path, heard: &Path, delay_ms: f64) {
    if let Some(score) = pesq(said, heard, delay_ms) {
        println!("{what}: PESQ {score:.2}");
        assert!(score >= 4.0, "{what}: PESQ {score}");
    }
}

#[test]
fn baresip_and_a_telephone_hear_one_another() {
    if !has("baresip") {
        return;
    }
    let (network, _folder) = system(40, |layout| layout.speech_s = 4);
    let layout = &network.layout;
    let baresip = Baresip::at(layout, 5, "PCMA", &with_silence(layout));
    let mut peer = baresip.call(layout.gateway_a(), "0333331234", 10);
    let call = ended_call(&network, 1);
    assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());

    let said = layout.file("caller.wav");
    let heard = PathBuf::from(call["recording"].as_str().expect("a recording"));
    let comparison = compared(&said, &heard);
    assert!(comparison.is_intact(), "baresip to telephone: {comparison:?}");
    assert_clear("baresip to telephone", &said, &heard, comparison.delay_ms);

    let said = layout.file("telephone-a.wav");
    let heard = baresip.heard();
    let comparison = compared(&said, &heard);
    assert!(comparison.is_intact(), "telephone to baresip: {comparison:?}");
    assert_clear("telephone to baresip", &said, &heard, comparison.delay_ms);
    wait_idle(layout.gateway_a());
}

#[test]
fn a_telephone_calls_baresip_which_speaks_mu_law() {
    if !has("baresip") {
        return;
    }
    let (network, _folder) = system(41, |layout| {
        let [a, b, c] = layout.network;
        layout.speech_s = 4;
        layout.more_of_gateway_a = format!(
            "phones:\n  - {{ number: \"03-1111-0005\", uri: \"sip:baresip@{a}.{b}.{c}.5:5060\" }}\n"
        );
    });
    let layout = &network.layout;
    let baresip = Baresip::at(layout, 5, "PCMU", &with_silence(layout));
    let mut peer = baresip.answer(12);
    let exchange = layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    post(&telephone, &json!({ "to": "03-1111-0005" })).expect("the telephone dials");
    wait_for("the call is answered", Duration::from_secs(10), || {
        exchange_calls(&network).into_iter().find(|call| call["state"] == "talking")
    });
    let call = ended_call(&network, 1);
    assert_eq!(call["cause"], 16, "{call}");
    assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());

    // Another law on the way: no sample stays the same, but the speech stays clear.
    let begins_at = |said: &Path, heard: &Path| {
        common::alignment_ms(&speech::read(said).unwrap(), &speech::read(heard).unwrap())
    };
    let said = layout.file("caller.wav");
    let heard = PathBuf::from(call["recording"].as_str().expect("a recording"));
    assert_clear("baresip to telephone", &said, &heard, begins_at(&said, &heard));
    let said = layout.file("telephone-a.wav");
    let heard = baresip.heard();
    assert_clear("telephone to baresip", &said, &heard, begins_at(&said, &heard));
    wait_idle(layout.gateway_a());
}
