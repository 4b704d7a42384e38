//! baresip, a foreign phone with a jitter buffer and codecs of its own, calls a telephone of the
//! exchange through the gateway and is called by it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::baresip::Baresip;
use crate::common::machine::undisturbed;
use crate::common::{
    begins_at_ms, ended_call, exchange_calls, has, pesq, speech_with_silence, system_alone,
    wait_for, wait_idle,
};
use serde_json::{Value, json};
use trunkline_demo::network::{Layout, post};
use trunkline_demo::speech;

/// Whether what was heard is what was said, and clear; else what is wrong.
///
/// baresip's G.711 encoder rounds in its own way, so its samples are not the ones that ours would
/// make: the speech is judged by its shape and by PESQ, not bit for bit.
///
/// baresip paces its packets by a thread that a busy machine holds up, and each playout adjustment
/// that follows costs some tenths of the score: hence 3.5 and not 4.0.
fn check_clear(what: &str, said: &Path, heard: &Path) -> Result<(), String> {
    let read = |path: &Path| speech::read(path).expect("a recording");
    let begins_at_ms = begins_at_ms(&read(said), &read(heard));
    let Some(score) = pesq(said, heard, begins_at_ms) else { return Ok(()) };
    println!("{what}: PESQ {score:.2}, begins at {begins_at_ms} ms");
    if score < 3.5 { Err(format!("{what}: PESQ {score}")) } else { Ok(()) }
}

/// The same for both directions of the exchange's `call`, of which baresip heard `heard`.
fn check_both_ways(layout: &Layout, call: &Value, heard: &Path) -> Result<(), String> {
    let recording = PathBuf::from(call["recording"].as_str().expect("a recording"));
    check_clear("baresip to telephone", &layout.file("caller.wav"), &recording)?;
    check_clear("telephone to baresip", &layout.file("telephone-a.wav"), heard)
}

#[test]
fn baresip_and_a_telephone_hear_one_another() {
    if !has("baresip") {
        return;
    }
    let (network, _folder) = system_alone(40, |layout| layout.speech_s = 4);
    let layout = &network.layout;
    let baresip =
        Baresip::at(layout, Baresip::free_address(), "PCMA", &speech_with_silence(layout));
    let mut number = 0;
    undisturbed(|| {
        number += 1;
        let mut peer = baresip.call(layout.gateway_a(), "0333331234", 10);
        let call = ended_call(&network, number);
        assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());
        check_both_ways(layout, &call, &baresip.heard())
    });
    wait_idle(layout.gateway_a());
}

#[test]
fn baresip_speaks_opus_to_a_telephone() {
    if !has("baresip") {
        return;
    }
    let (network, _folder) = system_alone(42, |layout| {
        layout.speech_s = 4;
        layout.more_of_gateway_a = "codecs: [opus, pcma]\n".to_owned();
    });
    let layout = &network.layout;
    let codec = "opus/48000/2";
    let baresip = Baresip::at(layout, Baresip::free_address(), codec, &speech_with_silence(layout));
    let mut number = 0;
    undisturbed(|| {
        number += 1;
        let mut peer = baresip.call(layout.gateway_a(), "0333331234", 10);
        let call = ended_call(&network, number);
        assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());
        assert!(baresip.said().contains("opus"), "Opus was agreed on: {}", baresip.said());
        let heard = layout.file("baresip-heard-8khz.wav");
        speech::write(&heard, &narrow_band(&baresip.heard())).expect("it is written");
        check_both_ways(layout, &call, &heard)
    });
    wait_idle(layout.gateway_a());
}

/// A recording of Opus, which baresip writes with 48 kHz in stereo, as a telephone's. What went
/// in was a telephone's voice: every sixth sample has all of it.
fn narrow_band(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).expect("a recording");
    let spec = reader.spec();
    let step = usize::from(spec.channels) * spec.sample_rate as usize / 8_000;
    reader.samples().step_by(step).map(|sample| sample.expect("a sample")).collect()
}

#[test]
fn a_telephone_calls_baresip_which_speaks_mu_law() {
    if !has("baresip") {
        return;
    }
    let address = Baresip::free_address();
    let (network, _folder) = system_alone(41, |layout| {
        layout.speech_s = 4;
        layout.more_of_gateway_a = format!(
            "phones:\n  - {{ number: \"03-1111-0005\", uri: \"sip:baresip@{address}\" }}\n"
        );
    });
    let layout = &network.layout;
    let baresip = Baresip::at(layout, address, "PCMU", &speech_with_silence(layout));
    let exchange = layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    let mut number = 0;
    undisturbed(|| {
        number += 1;
        let mut peer = baresip.answer(12);
        post(&telephone, &json!({ "to": "03-1111-0005" })).expect("the telephone dials");
        wait_for("the call is answered", Duration::from_secs(10), || {
            exchange_calls(&network)
                .into_iter()
                .find(|call| call["call"] == number && call["state"] == "talking")
        });
        let call = ended_call(&network, number);
        assert_eq!(call["cause"], 16, "{call}");
        assert!(peer.succeeds(Duration::from_secs(15)), "{}", baresip.said());
        check_both_ways(layout, &call, &baresip.heard())
    });
    wait_idle(layout.gateway_a());
}
