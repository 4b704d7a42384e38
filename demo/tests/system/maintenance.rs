//! An operator blocks, unblocks and resets channels of a gateway that carries calls.

use std::process::Command;
use std::time::Duration;

use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{
    ended_call, exchange_calls, has, records, status, system, wait_for, wait_idle,
};
use serde_json::{Value, json};
use trunkline_demo::network::Network;

/// Longest time for a call of these tests.
const CALL_MAX: Duration = Duration::from_secs(45);

/// Gives gateway A an order; what the command says.
fn maintain(network: &Network, arguments: &[&str]) -> Result<String, String> {
    let [deed, rest @ ..] = arguments else { panic!("a deed") };
    let output = Command::new(network.layout.program("trunkline-gateway"))
        .arg("maintain")
        .arg(network.layout.file("gateway-a.yaml"))
        .arg(deed)
        .args(rest)
        .output()
        .expect("the command runs");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn span(network: &Network) -> Value {
    status(network.layout.gateway_a())["spans"][0].clone()
}

#[test]
fn an_operator_blocks_unblocks_and_resets_channels_by_command() {
    if !has("sipp") {
        return;
    }
    let (network, _folder) = system(37, |layout| layout.speech_s = 1);
    let gateway = network.layout.gateway_a();
    let sipp = Sipp::at(&network.layout, 3);
    let call = |name: &str, scenario: &Scenario| {
        let mut peer = sipp.call(&network.layout, name, gateway, "0333331234", scenario);
        assert!(peer.succeeds(CALL_MAX), "{name}: {}", sipp::complaints(&network.layout, name));
    };
    // The gateway hunts downwards: the highest channel is the next, unless it is blocked.
    let said = maintain(&network, &["block", "e1-a", "31"]).expect("it is blocked");
    assert!(said.starts_with("channels: 1, in calls: 0"), "{said}");
    let blocked = span(&network);
    assert_eq!(blocked["kept_back"], json!({ "blocked": [31] }), "{blocked}");
    assert_eq!(
        (&blocked["channels"]["idle"], &blocked["channels"]["blocked"]),
        (&json!(29), &json!(1))
    );
    call("beside", &sipp::short_call(100));
    assert_eq!(ended_call(&network, 1)["timeslot"], 30);
    // All of it: new calls are told that it will pass.
    maintain(&network, &["block", "e1-a"]).expect("it is blocked");
    let refused = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100])
        .expect_with(503, "Reason", "Q.850 *;.*cause=41")
        .ack_refusal();
    call("refused", &refused);
    maintain(&network, &["unblock", "e1-a"]).expect("it is unblocked");
    assert_eq!(span(&network)["channels"]["idle"], 30);
    // Reset ends a call, and both ends have the channel idle again by RESTART.
    let talking = sipp::call_until_told();
    let mut peer = sipp.call(&network.layout, "reset", gateway, "0333331234", &talking);
    wait_for("the call is up", Duration::from_secs(10), || {
        exchange_calls(&network).into_iter().find(|call| call["state"] == "talking")
    });
    maintain(&network, &["reset", "e1-a", "31"]).expect("it is reset");
    assert!(peer.succeeds(CALL_MAX), "{}", sipp::complaints(&network.layout, "reset"));
    assert_eq!(ended_call(&network, 2)["timeslot"], 31);
    wait_for("the restart is acknowledged", Duration::from_secs(5), || {
        (span(&network)["channels"]["idle"] == 30).then_some(())
    });
    call("afterwards", &sipp::short_call(100));
    wait_idle(gateway);
    wait_for("the call records", Duration::from_secs(5), || {
        (records(&network, 'a').len() == 4).then_some(())
    });
    let error = maintain(&network, &["block", "e1-a", "16"]).expect_err("the D channel");
    assert!(error.contains("timeslot 16 of e1-a is no B channel"), "{error}");
    let error = maintain(&network, &["block", "e1-z"]).expect_err("no such span");
    assert!(error.contains("no span named"), "{error}");
    assert_eq!(status(gateway)["channel_audit"]["stuck_channels"], 0);
}
