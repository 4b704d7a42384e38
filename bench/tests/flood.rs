//! The flooder against the bare relay and our own, on loopback.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use trunkline_bench::load::call_list::CallList;
use trunkline_bench::load::report::Report;
use trunkline_media::packet_io::{Backend, probe};

/// A relay that ends with the test.
struct Relay {
    process: Child,
    calls: String,
}

impl Relay {
    fn start(calls: &str, first_port: &str) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_trunkline-bare-relay")), calls, first_port)
    }

    /// Our media plane, as an ordinary thread: tests share their machine.
    fn media(backend: Backend, calls: &str, first_port: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-media-relay"));
        command.args(["--backend", &backend.to_string(), "--priority", "0"]);
        Self::of(command, calls, first_port)
    }

    fn of(mut command: Command, calls: &str, first_port: &str) -> Self {
        let mut process = command
            .args(["--calls", calls, "--first-port", first_port])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
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
fn ten_calls_through_our_own_relay_arrive_whole_in_one_stream_each() {
    for (backend, first_port) in [(Backend::Mio, "21200"), (Backend::IoUring, "21300")] {
        if backend != Backend::Mio && probe(None).backend != backend {
            eprintln!("skipped: this host has no {backend}");
            continue;
        }
        let mut relay = Relay::media(backend, "10", first_port);
        let report = flood(&relay, &["--seconds", "1", "--warm-up-seconds", "0.2"]);
        assert_eq!((report.sent, report.counts.received), (1000, 1000), "{backend}: {report}");
        assert!(report.counts.clean(), "{backend}: {report}");
        let mut kill = Command::new("kill");
        assert!(kill.arg(relay.process.id().to_string()).status().unwrap().success());
        assert!(relay.process.wait().unwrap().success());
        let mut told = String::new();
        relay.process.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        let sum = format!("trunkline-media-relay: {backend}: 1200 packets in, 1200 out\n");
        assert_eq!(told, sum);
    }
}

#[test]
fn protected_calls_arrive_whole_and_nobody_understands_them_without_the_keys() {
    let load = ["--seconds", "1", "--warm-up-seconds", "0.2"];
    for (suite, first_port, without_port) in
        [("AES_CM_128_HMAC_SHA1_80", "21800", "21900"), ("AEAD_AES_128_GCM", "21850", "21950")]
    {
        let relay = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-media-relay"));
            command.args(["--backend", "mio", "--priority", "0", "--srtp", suite]);
            command
        };
        let report = flood(&Relay::of(relay(), "5", first_port), &load);
        assert_eq!((report.sent, report.counts.received), (500, 500), "{suite}: {report}");
        assert!(report.counts.clean(), "{suite}: {report}");
        let mut without = Relay::of(relay(), "1", without_port);
        without.calls = plain(&without.calls);
        let report = flood(&without, &["--seconds", "0.2", "--warm-up-seconds", "0"]);
        assert_eq!(report.counts.received, 0, "{suite}: {report}");
    }
}

/// A call list without its keys.
fn plain(calls: &str) -> String {
    let mut list: CallList = serde_json::from_str(calls).unwrap();
    for call in &mut list.calls {
        (call.a.srtp, call.b.srtp) = (None, None);
    }
    serde_json::to_string(&list).unwrap()
}

#[test]
fn transcoded_calls_arrive_whole_and_are_known_by_their_numbers() {
    for (codec, first_port) in [("pcmu", "21400"), ("g722", "21500"), ("opus", "21600")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-media-relay"));
        command.args(["--backend", "mio", "--priority", "0", "--codec-b", codec]);
        let relay = Relay::of(command, "5", first_port);
        let load = ["--seconds", "1", "--warm-up-seconds", "0.2", "--codec-b", codec];
        let report = flood(&relay, &load);
        assert_eq!((report.sent, report.counts.received), (500, 500), "{codec}: {report}");
        assert!(report.counts.clean(), "{codec}: {report}");
        assert!(report.latency.unwrap().p50_us < 1_000_000.0, "{codec}: {report}");
    }
    // Who speaks otherwise than the relay was told is not understood.
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-media-relay"));
    command.args(["--backend", "mio", "--priority", "0", "--codec-b", "pcmu"]);
    let relay = Relay::of(command, "1", "21700");
    let report = flood(&relay, &["--seconds", "0.2", "--warm-up-seconds", "0"]);
    assert_eq!(report.counts.received, 0, "{report}");
}

#[test]
fn a_relay_that_cannot_run_says_why_in_its_last_line() {
    for (arguments, reason) in [
        (&["--calls", "1", "--address", "192.0.2.1"][..], "192.0.2.1"),
        (&["--calls", "14000", "--addresses", "250"], "--calls: 14000"),
        (&["--calls", "1", "--tick", "1s"], "tick"),
    ] {
        let outcome = Command::new(env!("CARGO_BIN_EXE_trunkline-media-relay"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!outcome.status.success() && outcome.stdout.is_empty());
        let told = String::from_utf8_lossy(&outcome.stderr);
        let last = told.lines().last().unwrap();
        assert!(last.starts_with("trunkline-media-relay: ") && last.contains(reason), "{told}");
    }
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
