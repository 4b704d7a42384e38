//! SIPp, a foreign SIP implementation, calls telephones of the exchange through the gateway and is
//! called by them.

use std::time::Duration;

use crate::common::machine::undisturbed;
use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{
    ended_call, exchange_calls, has, records, status, system, system_alone, wait_for, wait_idle,
};
use serde_json::{Value, json};
use trunkline_demo::comparison::{Comparison, compare};
use trunkline_demo::network::{Network, post};
use trunkline_demo::speech;

/// Longest time for a call of these tests.
const CALL_MAX: Duration = Duration::from_secs(45);

/// How much of what was said in `said` is in the exchange's recording of `call`.
fn heard(network: &Network, said: &str, call: &Value) -> Comparison {
    let said = speech::read(&network.layout.file(said)).expect("what was said");
    let recording = call["recording"].as_str().expect("a recording");
    compare(&said, &speech::read(recording.as_ref()).expect("what was heard"))
}

fn run(network: &Network, sipp: &Sipp, name: &str, number: &str, scenario: &Scenario) {
    let gateway = network.layout.gateway_a();
    let mut peer = sipp.call(&network.layout, name, gateway, number, scenario);
    let succeeded = peer.succeeds(CALL_MAX);
    assert!(succeeded, "{name}: {}", sipp::complaints(&network.layout, name));
}

fn wait_records(network: &Network, count: usize) -> Vec<Value> {
    wait_for("the call records", Duration::from_secs(5), || {
        Some(records(network, 'a')).filter(|records| records.len() >= count)
    })
}

#[test]
fn speech_of_sipp_reaches_the_telephone_intact_over_udp_and_tcp() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system_alone(20, |layout| layout.speech_s = 4);
    let speech = sipp::a_law_file(&network.layout.file("caller.wav"));
    let mut calls = 0;
    for transport in ["u1", "t1", "tn"] {
        let sipp = Sipp { transport, ..Sipp::at(&network.layout, 3) };
        undisturbed(|| {
            calls += 1;
            run(&network, &sipp, transport, "+81333331234", &sipp::talk(&speech, 4_500));
            let comparison = heard(&network, "caller.wav", &ended_call(&network, calls));
            comparison.is_intact().then_some(()).ok_or(format!("{transport}: {comparison:?}"))
        });
    }
    wait_idle(network.layout.gateway_a());
    let records = wait_records(&network, calls as usize);
    assert_eq!(records.len(), calls as usize);
    for record in records {
        assert_eq!(record["cause"], 16, "{record}");
        assert_eq!(record["number"], "+81333331234");
        assert!(record["answered_ms"].as_u64().expect("answered") >= 4_400, "{record}");
    }
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn numbers_as_people_write_them_reach_the_telephone() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(21, |layout| layout.speech_s = 1);
    for number in ["+81333331234", "0333331234", "03-3333-1234", "01081333331234"] {
        let name = format!("number-{}", number.replace('+', "p"));
        run(&network, &Sipp::at(&network.layout, 3), &name, number, &sipp::short_call(200));
    }
    let calls = exchange_calls(&network);
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls.iter().all(|call| call["telephone"] == "+81333331234"), "{calls:?}");
    wait_idle(network.layout.gateway_a());
}

#[test]
fn a_telephone_that_calls_an_echoing_phone_hears_itself() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system_alone(22, |layout| {
        let echo = Sipp::at(layout, 4);
        layout.speech_s = 4;
        layout.more_of_gateway_a = format!(
            "phones:\n  - {{ number: \"03-1111-0001\", uri: \"sip:echo@{}:{}\" }}\n",
            echo.address,
            echo.port()
        );
    });
    let echo = Sipp { options: vec!["-rtp_echo".to_owned()], ..Sipp::at(&network.layout, 4) };
    let exchange = network.layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    let mut calls = 0;
    undisturbed(|| {
        calls += 1;
        let mut peer = echo.answer(&network.layout, "echo", &sipp::answering());
        post(&telephone, &json!({ "to": "03-1111-0001" })).expect("the telephone dials");
        wait_for("the call is answered", Duration::from_secs(10), || {
            exchange_calls(&network).into_iter().find(|call| call["state"] == "talking")
        });
        std::thread::sleep(Duration::from_millis(5_000));
        post(&format!("{exchange}/calls/{calls}/hang-up"), &json!({})).expect("it hangs up");
        let call = ended_call(&network, calls);
        assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "echo"));
        let comparison = heard(&network, "telephone-a.wav", &call);
        comparison.is_intact().then_some(()).ok_or(format!("{comparison:?}"))
    });
    wait_idle(network.layout.gateway_a());
    let records = wait_records(&network, 1);
    assert_eq!(records[0]["cause"], 16, "{}", records[0]);
    assert_eq!(records[0]["calling"], "+81333331234");
}

#[test]
fn a_call_that_fails_says_why() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(23, |layout| {
        layout.speech_s = 1;
        layout.more_telephones =
            "  - { number: \"03-3333-0017\", network: A, when_called: busy }\n  \
             - { number: \"03-3333-0021\", network: A, when_called: { refuse_with_cause: 21 } }\n  \
             - { number: \"03-3333-0038\", network: A, when_called: { refuse_with_cause: 38 } }\n  \
             - { number: \"03-3333-0019\", network: A, when_called: ring_only }\n"
                .to_owned();
    });
    let sipp = Sipp::at(&network.layout, 3);
    // Number, status, and the line's own cause in the Reason header (RFC 3326, RFC 6432).
    for (number, status, cause) in [
        ("0333330017", 486, 17),
        ("0333330021", 403, 21),
        ("0333330038", 503, 38),
        ("0333339999", 404, 1),
        ("0469595678", 404, 3),
        ("03", 484, 28),
    ] {
        let reason = format!("Q.850 *;.*cause={cause}");
        let scenario = Scenario::default()
            .invite("[media_port]")
            .maybe(&[100, 180, 183])
            .expect_with(status, "Reason", &reason)
            .ack_refusal();
        run(&network, &sipp, &format!("refused-{number}"), number, &scenario);
    }
    let given_up = sipp::given_up(500);
    run(&network, &sipp, "given-up", "0333330019", &given_up);
    wait_idle(network.layout.gateway_a());

    let records = wait_records(&network, 7);
    let causes: Vec<u64> = records.iter().filter_map(|record| record["cause"].as_u64()).collect();
    assert_eq!(causes, [17, 21, 38, 1, 3, 28, 16]);
    let cancelled = &records[6];
    assert_eq!(cancelled["answered_at"], Value::Null, "{cancelled}");
    assert_ne!(cancelled["alerting_at"], Value::Null, "{cancelled}");
    assert_eq!(cancelled["legs"][0]["sip_status"], 487, "{cancelled}");
    let rung = ended_call(&network, 4);
    assert_eq!(rung["cause"], 16, "the telephone stopped ringing because the caller gave up");
}

#[test]
fn when_all_channels_are_busy_a_call_is_refused_and_later_ones_pass() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(24, |layout| {
        layout.speech_s = 1;
        layout.more_telephones =
            "  - { number: \"03-3333-0019\", network: A, when_called: ring_only }\n".to_owned();
    });
    let gateway = network.layout.gateway_a();
    let sipp = Sipp { calls: 30, calls_per_s: 30, ..Sipp::at(&network.layout, 3) };
    let scenario = sipp::given_up(6_000);
    let mut all = sipp.call(&network.layout, "all", gateway, "0333330019", &scenario);
    wait_for("every channel is busy", Duration::from_secs(10), || {
        let channels = &status(gateway)["spans"][0]["channels"];
        (channels["busy"] == 30 && status(gateway)["calls"]["alerting"] == 30).then_some(())
    });
    let one_more = Sipp::at(&network.layout, 4);
    let refused = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100])
        .expect_with(503, "Retry-After", "[0-9]+")
        .ack_refusal();
    run(&network, &one_more, "one-more", "+81333331234", &refused);
    assert!(all.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "all"));
    wait_idle(gateway);
    run(&network, &one_more, "afterwards", "+81333331234", &sipp::short_call(200));
    wait_idle(gateway);
    let records = wait_records(&network, 32);
    assert_eq!(records.len(), 32);
    let refused = records.iter().filter(|record| record["cause"] == 34).count();
    assert_eq!(refused, 1, "no circuit available");
}

#[test]
fn a_burst_of_calls_leaves_nothing_but_its_records() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(25, |layout| {
        layout.speech_s = 1;
        layout.more_telephones =
            "  - { number: \"03-3333-0002\", network: A, when_called: { answer_after_ms: 50 } }\n"
                .to_owned();
    });
    let sipp = Sipp { calls: 60, calls_per_s: 20, ..Sipp::at(&network.layout, 3) };
    run(&network, &sipp, "burst", "0333330002", &sipp::short_call(300));
    let gateway = network.layout.gateway_a();
    wait_idle(gateway);
    let records = wait_records(&network, 60);
    assert_eq!(records.len(), 60);
    assert!(records.iter().all(|record| record["cause"] == 16));
    let mut names: Vec<&str> =
        records.iter().filter_map(|record| record["call"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 60, "each call has a name of its own");
    let status = status(gateway);
    assert_eq!(status["calls"]["offered"]["packet"], 60, "{status}");
    assert_eq!(status["calls"]["ended_by_cause"]["16"], 60, "{status}");
    assert_eq!(status["records"], json!({ "written": 60, "lost": 0 }));
    // The gateway is done with its RELEASE COMPLETE, the exchange when that arrives.
    wait_for("the exchange has ended all calls", Duration::from_secs(5), || {
        let calls = exchange_calls(&network);
        calls.iter().all(|call| call["state"] == "ended").then_some(())
    });
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_call_to_a_phone_that_is_not_there_or_is_busy_reaches_the_telephone_as_a_cause() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(26, |layout| {
        layout.speech_s = 1;
        let busy = Sipp::at(layout, 5).address;
        layout.more_of_gateway_a =
            format!("phones:\n  - {{ number: \"03-1111-0005\", uri: \"sip:busy@{busy}:5060\" }}\n");
    });
    let busy = Sipp::at(&network.layout, 5);
    let scenario = Scenario::default()
        .expect_request("INVITE")
        .respond(486, "Busy Here", false)
        .expect_request("ACK");
    let mut peer = busy.answer(&network.layout, "busy", &scenario);
    let exchange = network.layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    post(&telephone, &json!({ "to": "03-1111-0005" })).expect("the telephone dials");
    // Q.850: 17, user busy.
    assert_eq!(ended_call(&network, 1)["cause"], 17);
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "busy"));
    // Nobody has that number: the directory says so. Q.850: 1, unallocated number.
    post(&telephone, &json!({ "to": "06-1234-5678" })).expect("the telephone dials");
    assert_eq!(ended_call(&network, 2)["cause"], 1);
    wait_idle(network.layout.gateway_a());
}
