//! A call between two peers whose packets the kernel relays on the gateway's device: the gateway is
//! a host of its own, both peers are at the far end of its cable.

#[path = "../../../gateway/media/tests/hosts/mod.rs"]
mod hosts;

use std::process::Command;
use std::time::Duration;

use hosts::{FAR, Hosts, NEAR};
use serde_json::Value;
use trunkline_demo::network::Layout;
use trunkline_dsp::g711::Law;

use crate::common::sipp::{self, Sipp};
use crate::common::{Peer, has, programs, share_machine, status, wait_for};

/// Where the called peer is.
const CALLED: &str = "10.97.0.3";
/// Packets of 20 ms that the caller sends.
const PACKETS: u64 = 200;

#[test]
fn a_call_between_peers_is_relayed_in_the_kernel_and_its_record_is_true() {
    if !has("sipp") {
        return;
    }
    share_machine();
    let Some(hosts) = Hosts::make() else { return };
    hosts.ip_far(&["addr", "add", &format!("{CALLED}/24"), "dev", "far"]);
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::apart(folder.path(), &programs(), 90);
    let records = layout.file("records.jsonl");
    let configuration = format!(
        "name: below\n\
         sip: {{ udp: [\"{near}:5060\"] }}\n\
         rtp: {{ address: {near}, back_end: af_xdp, xdp: generic, workers: [0] }}\n\
         http: {near}:9100\n\
         records: {}\n\
         spans: []\n\
         trunk_groups: []\n\
         routes: [{{ prefix: \"050\", peers: [\"sip:{CALLED}\"] }}]\n",
        records.display(),
        near = NEAR[0],
    );
    std::fs::write(layout.file("gateway.yaml"), configuration).expect("the configuration");
    let mut command = Command::new(layout.program("trunkline-gateway"));
    command.args(["--log", "json", "run"]).arg(layout.file("gateway.yaml"));
    let mut gateway = Peer::start(&mut command, &layout.file("gateway.log"));
    let at = NEAR[0].parse().expect("an address");
    wait_for("the gateway is up", Duration::from_secs(10), || {
        assert!(gateway.0.try_wait().expect("a child").is_none(), "{}", said(&layout));
        std::net::TcpStream::connect((NEAR[0], 9100)).ok()
    });
    assert_eq!(status(at)["media"]["kernel_relay"], true, "{}", said(&layout));

    let speech = layout.file("speech.alaw");
    let octets: Vec<u8> =
        (0..PACKETS as i32 * 160).map(|n| Law::A.encode(((n * 37) % 2000 - 1000) as i16)).collect();
    std::fs::write(&speech, octets).expect("the speech");
    let peer = |address: &str, options: &[&str]| Sipp {
        address: address.parse().expect("an address"),
        options: options.iter().map(ToString::to_string).collect(),
        ..Sipp::at(&layout, 1)
    };
    let (mut called, mut caller) = hosts.at_far(|| {
        let echo = peer(CALLED, &["-rtp_echo"]);
        let called = echo.answer(&layout, "called", &sipp::answering());
        let talk = sipp::talk(&speech, 5_000);
        (called, peer(FAR[0], &[]).call(&layout, "caller", at, "05033331234", &talk))
    });
    let limit = Duration::from_secs(20);
    assert!(caller.succeeds(limit), "{}{}", sipp::complaints(&layout, "caller"), said(&layout));
    assert!(called.succeeds(limit), "{}", sipp::complaints(&layout, "called"));

    let record: Value = wait_for("the record", Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&records).ok()?;
        serde_json::from_str(text.lines().next()?).ok()
    });
    let media: Vec<&Value> =
        record["legs"].as_array().expect("legs").iter().map(|leg| &leg["media"]).collect();
    for (one, other) in [(media[0], media[1]), (media[1], media[0])] {
        assert_eq!(one["packets_received"], PACKETS, "none lost or counted twice: {record}");
        assert_eq!(other["packets_sent"], PACKETS, "{record}");
    }
    let counters = &status(at)["media"]["counters"];
    // The first of each stream make it known.
    let below = counters["packets_relayed_below"].as_u64().expect("a counter");
    assert!(below > 3 * PACKETS / 2, "{below} of {} were relayed below", 2 * PACKETS);
    assert_eq!(status(at)["media"]["legs"], 0);
}

/// What the gateway has logged.
fn said(layout: &Layout) -> String {
    std::fs::read_to_string(layout.file("gateway.log")).unwrap_or_default()
}
