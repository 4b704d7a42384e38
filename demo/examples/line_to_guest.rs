//! The gateway is one end of an E1 by TDM over Ethernet, a guest with the real DAHDI driver and libpri
//! the other (`demo/line/exchange.c`): calls both ways, alarms, loss of the line during calls. Between
//! them stands a wire that can be cut each way. Run by `make test-line`.
//!
//! usage: line_to_guest GATEWAY LINE_GUEST EXCHANGE

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_demo::lone_gateway::{LoneGateway, compare_octets, is_intact, words};
use trunkline_demo::party::{Conversation, Party, PartyError};

const PATIENCE: Duration = Duration::from_secs(20);
const SPEECH: Duration = Duration::from_secs(4);
/// How long what is said back may be on its way.
const ROUND_TRIP: Duration = Duration::from_millis(1_000);

/// Addresses that no other run has.
struct Layout {
    gateway: Ipv4Addr,
    party: [SocketAddr; 3],
    /// The gateway's end of the line, and the wire's end towards it.
    line: [SocketAddr; 2],
    /// The guest's end of the line, and the wire's end towards it.
    guest: [SocketAddr; 2],
}

impl Layout {
    fn new() -> Self {
        let [low, high, ..] = std::process::id().to_le_bytes();
        let host = |last| Ipv4Addr::new(127, 100 + high % 100, low, last);
        let at = |last, port| SocketAddr::new(host(last).into(), port);
        Self {
            gateway: host(1),
            party: [at(2, 5060), at(3, 5060), at(4, 5060)],
            line: [at(1, 40010), at(5, 40010)],
            guest: [at(6, 40010), at(7, 40010)],
        }
    }

    fn configuration(&self, records: &Path) -> String {
        let Self { gateway, party, line, .. } = self;
        format!(
            "name: host\nsip: {{ udp: [\"{gateway}:5060\"] }}\nhttp: \"{gateway}:9100\"\n\
             rtp: {{ address: {gateway}, back_end: mio }}\ncodecs: [pcma]\n\
             spans:\n  - name: e1\n    side: network\n    line:\n      tdmoe: {{ local: \"{}\", \
             remote: \"{}\", clock: internal }}\n\
             trunk_groups:\n  - {{ name: line, spans: [e1] }}\n\
             routes:\n  - {{ prefix: \"03\", trunk_groups: [line] }}\n  \
               - {{ prefix: \"0469\", calls_from: line, peers: [\"sip:{}\"] }}\n\
             records: {}\n",
            line[0],
            line[1],
            party[2],
            records.display()
        )
    }
}

/// The Ethernet address that goes with an end of the line (`TdmoeConfig::e1`).
fn ethernet_address(end: SocketAddr) -> String {
    let SocketAddr::V4(end) = end else { unreachable!("they are all IPv4") };
    let [_, a, b, c] = end.ip().octets();
    let [d, e] = end.port().to_be_bytes();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

/// A wire between gateway and guest.
struct Wire {
    /// Cut towards the guest, and towards the gateway.
    cut: [Arc<AtomicBool>; 2],
}

impl Wire {
    fn lay(layout: &Layout) -> std::io::Result<Self> {
        let to_gateway = UdpSocket::bind(layout.line[1])?;
        let to_guest = UdpSocket::bind(layout.guest[1])?;
        let cut: [Arc<AtomicBool>; 2] = Default::default();
        let way = |from: &UdpSocket, by: &UdpSocket, to, cut: &Arc<AtomicBool>| {
            let (from, by, cut) = (from.try_clone()?, by.try_clone()?, Arc::clone(cut));
            thread::spawn(move || {
                let mut frame = [0; 2_048];
                loop {
                    // Before the guest is there, nobody listens: same as a cut.
                    let Ok(size) = from.recv(&mut frame) else { continue };
                    if !cut.load(Relaxed) {
                        let _ = by.send_to(&frame[..size], to);
                    }
                }
            });
            Ok::<(), std::io::Error>(())
        };
        way(&to_gateway, &to_guest, layout.guest[0], &cut[0])?;
        way(&to_guest, &to_gateway, layout.line[0], &cut[1])?;
        Ok(Self { cut })
    }

    fn cut(&self, to_guest: bool, to_gateway: bool) {
        self.cut[0].store(to_guest, Relaxed);
        self.cut[1].store(to_gateway, Relaxed);
    }
}

fn start_guest(layout: &Layout, line_guest: &str, exchange: &str) -> Child {
    let [guest, wire] = layout.guest;
    let netdev = format!(
        "-netdev dgram,id=line,local.type=inet,local.host={},local.port={},remote.type=inet,\
         remote.host={},remote.port={} -device e1000,netdev=line,mac={}",
        guest.ip(),
        guest.port(),
        wire.ip(),
        wire.port(),
        ethernet_address(layout.line[1]),
    );
    Command::new(line_guest)
        .args(["--modules", "dahdi_dynamic_eth e1000", "--qemu", &netdev, exchange, "user"])
        .arg(ethernet_address(layout.line[0]))
        .env("LINE_GUEST_TIMEOUT_S", "200")
        .stdout(Stdio::piped())
        .spawn()
        .expect("scripts/line-guest runs")
}

/// The gateway with its line, and who calls through it.
struct Test {
    layout: Layout,
    gateway: LoneGateway,
    wire: Wire,
}

impl Test {
    fn gateway_sip(&self) -> SocketAddr {
        SocketAddr::new(self.layout.gateway.into(), 5060)
    }

    fn dial(&self, party: &mut Party, number: &str) -> Result<Conversation, PartyError> {
        party.call(self.gateway_sip(), "0469595678", number, PATIENCE)
    }

    fn until_in_service(&mut self, what: &str) {
        self.gateway.until(what, Duration::from_secs(60), |status| {
            let span = &status["spans"][0];
            span["in_service"] == true && span["alarm"] == "none"
        });
    }

    fn until_alarm(&mut self, alarm: &str, limit: Duration) {
        let what = format!("alarm {alarm}");
        self.gateway.until(&what, limit, |status| status["spans"][0]["alarm"] == alarm);
    }

    fn last_record(&self, between: &str) -> Value {
        let records = self.gateway.records();
        let found = records.into_iter().rev().find(|record| record["between"] == between);
        found.unwrap_or_else(|| panic!("no record of a call {between}"))
    }

    /// A call to a telephone that says back what it hears, and one from it.
    fn speech_both_ways(&mut self) {
        for attempt in 1..=5 {
            let said = words(attempt, SPEECH);
            let mut caller = Party::at(self.layout.party[0]).expect("a party");
            let mut call = self.dial(&mut caller, "0333331201").expect("the call is answered");
            let heard = caller.talk(&mut call, &said, SPEECH + ROUND_TRIP).expect("it talks");
            caller.hang_up(call).expect("it hangs up");
            let compared = compare_octets(&said, &heard);
            println!("to the guest and back: {compared:?}");
            self.gateway.until_idle();
            if is_intact(&compared, &self.last_record("packet_to_line")) {
                break;
            }
            assert!(attempt < 5, "speech was damaged in five calls");
        }
        for attempt in 1..=5 {
            let said = words(10 + attempt, SPEECH);
            let mut callee = Party::at(self.layout.party[2]).expect("a party");
            let mut caller = Party::at(self.layout.party[0]).expect("a party");
            let mut call = self.dial(&mut caller, "0333331204").expect("the call is answered");
            caller.await_end(&mut call, PATIENCE).expect("it is cleared");
            let mut call = callee.answer(PATIENCE).expect("the guest calls");
            let heard = callee.talk(&mut call, &said, SPEECH + ROUND_TRIP).expect("it talks");
            callee.await_end(&mut call, PATIENCE).expect("the guest hangs up");
            let compared = compare_octets(&said, &heard);
            println!("from the guest, there and back: {compared:?}");
            self.gateway.until_idle();
            if is_intact(&compared, &self.last_record("line_to_packet")) {
                break;
            }
            assert!(attempt < 5, "speech was damaged in five calls");
        }
    }

    fn clearing(&mut self) {
        let mut party = Party::at(self.layout.party[0]).expect("a party");
        match self.dial(&mut party, "0333331202") {
            Err(PartyError::Refused { status: 486, reason }) => {
                assert!(reason.is_empty() || reason.contains("17"), "{reason}");
            }
            other => panic!("a busy telephone: {other:?}"),
        }
        let mut call = self.dial(&mut party, "0333331203").expect("the call is answered");
        party.await_end(&mut call, PATIENCE).expect("the guest hangs up");
        self.gateway.until_idle();
        let records = self.gateway.records();
        let causes: Vec<&Value> = records.iter().map(|record| &record["cause"]).collect();
        assert!(causes.ends_with(&[&17.into(), &16.into()]), "{causes:?}");
    }

    /// The line is gone during two calls.
    fn loss(&mut self) {
        let mut parties = [0, 1].map(|party| Party::at(self.layout.party[party]).expect("a party"));
        let mut calls: Vec<Conversation> = parties
            .iter_mut()
            .map(|party| {
                party
                    .call(
                        SocketAddr::new(self.layout.gateway.into(), 5060),
                        "0469595678",
                        "0333331201",
                        PATIENCE,
                    )
                    .expect("the call is answered")
            })
            .collect();
        let records_before = self.gateway.records().len();
        self.wire.cut(true, true);
        let cut = Instant::now();
        self.until_alarm("red", Duration::from_secs(3));
        for (party, call) in parties.iter().zip(&mut calls) {
            party.await_end(call, Duration::from_secs(5)).expect("the call is cleared");
        }
        println!("calls cleared {} ms after the line was cut", cut.elapsed().as_millis());
        self.gateway.until_idle();
        let records = self.gateway.records();
        // Q.850 27: destination out of order.
        assert_eq!(records.len(), records_before + 2, "{records:?}");
        assert!(
            records[records_before..].iter().all(|record| record["cause"] == 27),
            "{records:?}"
        );
        match self.dial(&mut parties[0], "0333331201") {
            Err(PartyError::Refused { status: 503, .. }) => {}
            other => panic!("a call while the line is gone: {other:?}"),
        }
        // Longer than the driver takes to see it.
        thread::sleep(Duration::from_millis(1_500).saturating_sub(cut.elapsed()));
        self.wire.cut(false, false);
        self.until_in_service("the line is back");
    }

    /// One way only: who hears nothing is in RED, and says so to the other, who is in YELLOW.
    fn alarms(&mut self) {
        self.wire.cut(true, false);
        self.until_alarm("yellow", Duration::from_secs(10));
        let yellow = self.gateway.metric("trunkline_span_alarm{alarm=\"yellow\",span=\"e1\"}");
        assert_eq!(yellow, Some(1.0));
        self.wire.cut(false, false);
        self.until_in_service("no alarm after YELLOW");
        self.wire.cut(false, true);
        self.until_alarm("red", Duration::from_secs(3));
        // The guest is told for a while.
        thread::sleep(Duration::from_secs(1));
        self.wire.cut(false, false);
        self.until_in_service("no alarm after RED");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [gateway, line_guest, exchange] = &arguments[..] else {
        panic!("usage: line_to_guest GATEWAY LINE_GUEST EXCHANGE");
    };
    let layout = Layout::new();
    let folder = std::env::temp_dir().join(format!("trunkline-line-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let wire = Wire::lay(&layout).expect("a wire");
    let guest = start_guest(&layout, line_guest, exchange);
    let http = format!("{}:9100", layout.gateway);
    let configuration = layout.configuration(&folder.join("records.jsonl"));
    let gateway = LoneGateway::start(Path::new(gateway), &folder, &configuration, &http);
    let mut test = Test { layout, gateway: gateway.expect("the gateway starts"), wire };
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // Nothing is there before the guest has booted.
        test.until_in_service("the data link is up");
        test.speech_both_ways();
        test.clearing();
        test.loss();
        test.speech_both_ways();
        test.alarms();
        test.clearing();
        let counters = test.gateway.status()["spans"][0]["counters"].clone();
        println!("{counters}");
        let mut party = Party::at(test.layout.party[0]).expect("a party");
        let ended = test.dial(&mut party, "0333331200");
        assert!(matches!(ended, Err(PartyError::Refused { .. })), "{ended:?}");
    }));
    if run.is_err() {
        // It would wait for calls until its time is over. The script ends the guest with itself.
        // SAFETY: the child is not waited for yet, so its number is still its own.
        unsafe { libc::kill(guest.id() as libc::pid_t, libc::SIGTERM) };
    }
    let output = guest.wait_with_output().expect("the guest's output");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("--- the guest:\n{said}---");
    if let Err(panic) = run {
        std::panic::resume_unwind(panic);
    }
    assert!(output.status.success(), "the guest ended with {}", output.status);
    test.gateway.end();
    let alarms: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("alarms ")).collect();
    assert!(alarms.contains(&"yellow") && alarms.contains(&"red"), "{alarms:?}");
    assert_eq!(alarms.last(), Some(&"none"), "{alarms:?}");
    let _ = std::fs::remove_dir_all(folder);
    println!("done");
}
