//! The flooder against the bare relay, on loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use trunkline_bench::load::report::Report;

/// A relay that ends with the test.
struct Relay {
    process: Child,
    calls: String,
}

impl Relay {
    fn start(calls: &str, first_port: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_trunkline-bare-relay"))
            .args(["--calls", calls, "--first-port", first_port])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut list = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut list).unwrap();
        Self { process, calls: list }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn flood(relay: &Relay, arguments: &[&str]) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls.json");
    std::fs::write(&file, &relay.calls).unwrap();
    let outcome = Command::new(env!("CARGO_BIN_EXE_trunkline-flood"))
        .arg(&file)
        .args(arguments)
        .args(["--watch", &relay.process.id().to_string()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{told}");
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn ten_calls_through_the_bare_relay_arrive_whole_and_are_counted_exactly() {
    let relay = Relay::start("10", "21000");
    let report = flood(&relay, &["--seconds", "1", "--warm-up-seconds", "0.2"]);
    assert_eq!(report.sent, 10 * 2 * 50);
    assert_eq!(report.counts.received, 1000);
    assert_eq!(report.counts.warm_up_received, 200);
    assert!(report.counts.clean(), "{report}");
    let latency = report.latency.unwrap();
    assert!(latency.p50_us > 0.0 && latency.p50_us < 1_000_000.0, "{report}");
    assert!(report.watched[0].cpu_ns > 0, "{report}");
    assert_eq!(report.watched[0].name, "trunkline-bare-");
}

#[test]
fn packets_to_a_relay_that_is_gone_are_all_lost() {
    let mut relay = Relay::start("1", "21100");
    relay.process.kill().unwrap();
    relay.process.wait().unwrap();
    let calls = relay.calls.clone();
    let gone = Relay { process: Command::new("sleep").arg("60").spawn().unwrap(), calls };
    let report = flood(&gone, &["--seconds", "0.2", "--warm-up-seconds", "0"]);
    assert_eq!((report.sent, report.counts.lost, report.counts.received), (20, 20, 0));
    assert_eq!(report.latency, None);
}
