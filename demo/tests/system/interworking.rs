//! What one side says of a call's end and of its parties reaches the other: SIPp on the packet side,
//! the exchange on the line.

use std::time::Duration;

use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{ended_call, exchange_calls, has, system, wait_for, wait_idle};
use serde_json::{Value, json};
use trunkline_demo::network::{Layout, Network, post};

/// Longest time for a call of these tests.
const CALL_MAX: Duration = Duration::from_secs(45);

/// The phone of these tests, under 03-1111-0006.
fn with_phone(layout: &mut Layout, last: u8) {
    layout.speech_s = 1;
    let phone = Sipp::at(layout, last).address;
    layout.more_of_gateway_a =
        format!("phones:\n  - {{ number: \"03-1111-0006\", uri: \"sip:desk@{phone}:5060\" }}\n");
}

/// The telephone of network A calls the phone.
fn telephone_calls(network: &Network, how: &Value) {
    let mut body = json!({ "to": "03-1111-0006" });
    let fields = how.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    let exchange = network.layout.exchange_http();
    post(&format!("{exchange}/telephones/81333331234/call"), &body).expect("the telephone dials");
}

fn hang_up(network: &Network, call: u64, cause: u8) {
    let exchange = network.layout.exchange_http();
    let url = format!("{exchange}/calls/{call}/hang-up");
    post(&url, &json!({ "cause": cause })).expect("it hangs up");
}

fn run(network: &Network, sipp: &Sipp, name: &str, scenario: &Scenario) {
    let gateway = network.layout.gateway_a();
    let mut peer = sipp.call(&network.layout, name, gateway, "0333331234", scenario);
    let succeeded = peer.succeeds(CALL_MAX);
    assert!(succeeded, "{name}: {}", sipp::complaints(&network.layout, name));
}

#[test]
fn a_reason_is_told_to_the_line_before_any_table_and_the_lines_cause_in_a_reason() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(35, |layout| {
        with_phone(layout, 5);
        layout.more_of_gateway_a.push_str(
            "causes:\n  standard: rfc4497\n  to_status: { 38: 500 }\n  to_cause: { 480: 20 }\n",
        );
        layout.more_telephones =
            "  - { number: \"03-3333-0019\", network: A, when_called: ring_only }\n  \
             - { number: \"03-3333-0038\", network: A, when_called: { refuse_with_cause: 38 } }\n"
                .to_owned();
    });
    let caller = Sipp::at(&network.layout, 3);
    // BYE, with a line of Reason for each protocol (RFC 3326 §2).
    let bye = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .pause(100)
        .bye()
        .and("Reason: SIP;cause=200\nReason: Q.850;cause=31;text=\"so it is\"")
        .expect(200);
    run(&network, &caller, "bye", &bye);
    assert_eq!(ended_call(&network, 1)["cause"], 31);
    // CANCEL.
    let cancel = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 183])
        .expect(180)
        .cancel()
        .and("Reason: Q.850;cause=26")
        .expect(200)
        .expect(487)
        .ack_refusal();
    let gateway = network.layout.gateway_a();
    let mut peer = caller.call(&network.layout, "cancel", gateway, "0333330019", &cancel);
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "cancel"));
    assert_eq!(ended_call(&network, 2)["cause"], 26);
    // A final response: its Reason, else what the operator has set, else the standard.
    let phone = Sipp::at(&network.layout, 5);
    for (call, reason, status, cause) in
        [(3, "Reason: Q.850;cause=88", 480, 88), (4, "", 480, 20), (5, "", 403, 21)]
    {
        let mut refusal = Scenario::default().expect_request("INVITE").respond(status, "No", false);
        if !reason.is_empty() {
            refusal = refusal.and(reason);
        }
        let name = format!("refusal-{call}");
        let mut peer = phone.answer(&network.layout, &name, &refusal.expect_request("ACK"));
        telephone_calls(&network, &json!({}));
        assert_eq!(ended_call(&network, call)["cause"], cause, "{name}");
        assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, &name));
    }
    // From the line: in a final response, with the operator's status; in BYE; in CANCEL.
    let refused = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 180, 183])
        .expect_with(500, "Reason", "Q.850 *;.*cause=38")
        .ack_refusal();
    let mut peer = caller.call(&network.layout, "refused", gateway, "0333330038", &refused);
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "refused"));
    let told = |method| [(method, ("Reason", "Q.850 *;.*cause=41"))];
    let [(bye, reason)] = told("BYE");
    let talking = Scenario::default()
        .expect_request("INVITE")
        .respond(200, "OK", true)
        .expect_request("ACK")
        .expect_request_with(bye, &[reason])
        .respond_within();
    let mut peer = phone.answer(&network.layout, "bye-to-us", &talking);
    telephone_calls(&network, &json!({}));
    wait_for("the call is answered", Duration::from_secs(10), || {
        exchange_calls(&network).into_iter().find(|call| call["state"] == "talking")
    });
    hang_up(&network, 7, 41);
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "bye-to-us"));
    let [(cancel, reason)] = told("CANCEL");
    let ringing = Scenario::default()
        .expect_request("INVITE")
        .respond(180, "Ringing", false)
        .expect_request_with(cancel, &[reason])
        .respond_within();
    let mut peer = phone.answer(&network.layout, "cancel-to-us", &ringing);
    telephone_calls(&network, &json!({}));
    wait_for("the phone rings", Duration::from_secs(10), || {
        let status = crate::common::status(gateway);
        (status["calls"]["alerting"] == 1).then_some(())
    });
    hang_up(&network, 8, 41);
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "cancel-to-us"));
}

#[test]
fn who_calls_and_who_redirected_the_call_is_told_from_sip_to_the_line_and_back() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(36, |layout| {
        with_phone(layout, 6);
        layout.more_trusted_by_gateway_a = vec![6];
    });
    let call = |headers: &str| {
        Scenario::default()
            .invite("[media_port]")
            .and(headers)
            .maybe(&[100, 183, 180])
            .answered()
            .ack()
            .pause(100)
            .bye()
            .expect(200)
    };
    let peer = Sipp::at(&network.layout, 6);
    let identities = "P-Asserted-Identity: \"B, b\" <sip:+81469595678@example.net>, <tel:+81469595678>\n\
         Privacy: id\n\
         Diversion: <sip:+81355551111@example.net>;reason=user-busy;privacy=off;screen=yes, \
         <sip:+81355552222@example.net>;reason=unconditional";
    run(&network, &peer, "trusted", &call(identities));
    let trusted = ended_call(&network, 1);
    assert_eq!(trusted["other"], "469595678", "{trusted}");
    assert_eq!(trusted["number_type"], "national", "{trusted}");
    assert_eq!(trusted["presentation"], "restricted", "{trusted}");
    assert_eq!(trusted["screening"], "user_passed", "{trusted}");
    assert_eq!(trusted["redirecting"], "355551111", "{trusted}");
    assert_eq!(trusted["redirecting_reason"], 1, "call forwarding busy: {trusted}");
    // A stranger's word on who calls is not taken; what History-Info says is passed on as unscreened.
    let stranger = Sipp::at(&network.layout, 3);
    let history = "P-Asserted-Identity: <sip:+81469595678@example.net>\n\
         History-Info: <sip:+81355553333@example.net>;index=1, \
         <sip:0333331234@example.net;cause=408>;index=1.1;mp=1";
    run(&network, &stranger, "stranger", &call(history));
    let strange = ended_call(&network, 2);
    assert_eq!(strange["other"], Value::Null, "{strange}");
    assert_eq!(strange["redirecting"], "355553333", "{strange}");
    assert_eq!(strange["redirecting_reason"], 2, "call forwarding no reply: {strange}");
    // From the line, to a phone that is trusted.
    let told = Scenario::default()
        .expect_request_with(
            "INVITE",
            &[
                ("From", "sip:anonymous@"),
                ("Privacy", "id"),
                ("P-Asserted-Identity", "sip:.81333331234@"),
                ("Diversion", "sip:.81355551111@.*;reason=unconditional;privacy=off;screen=yes"),
                ("History-Info", "sip:.81355551111@.*;index=1, .*;cause=302.*;index=1.1;mp=1"),
            ],
        )
        .respond(200, "OK", true)
        .expect_request("ACK")
        .expect_request("BYE")
        .respond_within();
    let mut phone = peer.answer(&network.layout, "told", &told);
    let how = json!({
        "restricted": true, "redirecting": "81355551111", "redirecting_reason": 15,
    });
    telephone_calls(&network, &how);
    wait_for("the call is answered", Duration::from_secs(10), || {
        exchange_calls(&network).into_iter().find(|call| call["state"] == "talking")
    });
    hang_up(&network, 3, 16);
    assert!(phone.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "told"));
    wait_idle(network.layout.gateway_a());
}
