//! The gateway on the real DAHDI driver, in a guest: two spans back to back, set up by the gateway's
//! own configuration. A party on the packet side calls through the one, the call comes back by the
//! other and goes to a second party. Run by `make test-line`.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use trunkline_demo::lone_gateway::{LoneGateway, compare_octets, is_intact, words};
use trunkline_demo::party::{Conversation, Party, PartyError};
use trunkline_dsp::g711::Law;

const GATEWAY: &str = "127.0.0.1:5060";
const HTTP: &str = "127.0.0.1:9100";
const CALLER: &str = "127.0.0.2:5060";
const CALLEE: &str = "127.0.0.3:5060";
const PATIENCE: Duration = Duration::from_secs(20);
const SPEECH: Duration = Duration::from_secs(4);

/// The guest's processor is emulated and shared: blocks are long, and many are under way.
fn configuration(more: &str) -> String {
    let span = |name: &str, number: u8, side: &str, more: &str| {
        let dynamic = format!("{{ driver: loc, address: \"1:{}\" }}", number - 1);
        format!(
            "  - name: {name}\n    side: {side}\n    line:\n      dahdi:\n        span: {number}\n        \
             block_ms: 20\n        buffers: {{ count: 16, ahead: 6 }}\n        \
             set_up: {{ dynamic: {dynamic} }}\n{more}"
        )
    };
    format!(
        "name: guest\nsip: {{ udp: [\"{GATEWAY}\"] }}\nhttp: \"{HTTP}\"\n\
         rtp: {{ address: 127.0.0.1, ports: 20000-20099, back_end: mio }}\ncodecs: [pcma]\n\
         spans:\n{}{}\
         trunk_groups:\n  - {{ name: out, spans: [net] }}\n  - {{ name: back, spans: [usr] }}\n\
         routes:\n  - {{ prefix: \"03\", trunk_groups: [out] }}\n  \
           - {{ prefix: \"06\", trunk_groups: [back] }}\n  \
           - {{ prefix: \"03\", calls_from: line, peers: [\"sip:{CALLEE}\"] }}\n  \
           - {{ prefix: \"06\", calls_from: line, peers: [\"sip:{CALLEE}\"] }}\n\
         records: /tmp/records.jsonl\n",
        span("net", 1, "network", more),
        span("usr", 2, "user", more),
    )
}

fn up(configuration: &str) -> LoneGateway {
    let program = Path::new("/bin/trunkline-gateway");
    let mut gateway =
        LoneGateway::start(program, Path::new("/tmp"), configuration, HTTP).expect("it starts");
    until_in_service(&mut gateway);
    gateway
}

fn until_in_service(gateway: &mut LoneGateway) {
    gateway.until("both data links are up", Duration::from_secs(60), |status| {
        let spans = status["spans"].as_array();
        spans.is_some_and(|spans| spans.iter().all(|span| span["in_service"] == true))
    });
}

/// Tries until it is well, five times at most: a guest that was held up for long is no line to judge.
fn undisturbed(
    gateway: &mut LoneGateway,
    mut attempt: impl FnMut(&mut LoneGateway, u32) -> Result<(), String>,
) {
    for number in 1..=5 {
        match attempt(gateway, number) {
            Ok(()) => return,
            Err(problem) => println!("again: {problem}\n{}", gateway.last_lines()),
        }
        gateway.until_idle();
        until_in_service(gateway);
    }
    panic!("five calls were not well");
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// A call over both spans, in which each party says something: what the callee and the caller heard.
fn call(number: &str, said: [Vec<u8>; 2], time: Duration) -> Result<[Vec<u8>; 2], String> {
    let mut callee = Party::at(at(CALLEE)).expect("a party");
    let mut caller = Party::at(at(CALLER)).expect("a party");
    let [by_caller, by_callee] = said;
    let called = thread::spawn(move || -> Result<Vec<u8>, PartyError> {
        let mut call = callee.answer(PATIENCE)?;
        let heard = callee.talk(&mut call, &by_callee, time)?;
        callee.await_end(&mut call, PATIENCE)?;
        Ok(heard)
    });
    let mut talked = || -> Result<Vec<u8>, PartyError> {
        let mut call: Conversation = caller.call(at(GATEWAY), "0469595678", number, PATIENCE)?;
        let heard = caller.talk(&mut call, &by_caller, time)?;
        caller.hang_up(call)?;
        Ok(heard)
    };
    let by_the_caller = talked();
    let by_the_callee = called.join().expect("the callee's thread");
    match (by_the_callee, by_the_caller) {
        (Ok(callee), Ok(caller)) => Ok([callee, caller]),
        failed => Err(format!("the call to {number}: {failed:?}")),
    }
}

/// The records of the last call, by the side that it came from: packet, line. The gateway's playout
/// of what the caller says is in the one, of what the callee says in the other.
fn records_of_call(gateway: &LoneGateway) -> [Value; 2] {
    ["packet_to_line", "line_to_packet"].map(|between| {
        let records = gateway.records();
        let found = records.into_iter().rev().find(|record| record["between"] == between);
        found.unwrap_or_else(|| panic!("no record of a call {between}"))
    })
}

fn span<'a>(status: &'a Value, name: &str) -> &'a Value {
    let spans = status["spans"].as_array().expect("spans");
    spans.iter().find(|span| span["name"] == name).expect("a span of this name")
}

fn counter(gateway: &LoneGateway, name: &str, event: &str) -> f64 {
    let metric = format!("trunkline_span_events_total{{event=\"{event}\",span=\"{name}\"}}");
    gateway.metric(&metric).expect(&metric)
}

/// What may not happen on the line while the speech of a call is compared.
const FAULTS: [&str; 8] = [
    "slips",
    "blocks_not_sent",
    "read_overruns",
    "write_underruns",
    "hdlc_bad_fcs",
    "hdlc_aborts",
    "crc4_errors",
    "bipolar_violations",
];

fn faults(gateway: &LoneGateway) -> Vec<f64> {
    let of = |name: &'static str| FAULTS.map(|event| counter(gateway, name, event));
    ["net", "usr"].into_iter().flat_map(of).collect()
}

/// 2100 Hz whose phase turns over each 450 ms (V.25), in A-law.
fn answer_tone(time: Duration) -> Vec<u8> {
    let turn = std::f32::consts::TAU * 2_100.0 / 8_000.0;
    (0..time.as_millis() as u32 * 8)
        .map(|at| {
            let sign = if at / 3_600 % 2 == 1 { -1.0 } else { 1.0 };
            Law::A.encode((sign * 6_000.0 * (at as f32 * turn).sin()) as i16)
        })
        .collect()
}

fn main() {
    // Without an echo canceller no sample may change.
    let mut gateway = up(&configuration(""));
    for (number, out, back) in [("0333331234", "net", "usr"), ("0633331234", "usr", "net")] {
        undisturbed(&mut gateway, |gateway, attempt| {
            let before = faults(gateway);
            let said = [words(attempt, SPEECH), words(attempt + 10, SPEECH)];
            let heard = call(number, said.clone(), SPEECH + Duration::from_millis(800))?;
            let compared = [0, 1].map(|way| compare_octets(&said[way], &heard[way]));
            println!("{number} out by {out}, back by {back}: {compared:?}");
            gateway.until_idle();
            let records = records_of_call(gateway);
            let is_well = compared
                .iter()
                .zip(&records)
                .all(|(compared, record)| record["cause"] == 16 && is_intact(compared, record));
            let after = faults(gateway);
            if is_well && after == before {
                return Ok(());
            }
            Err(format!("speech damaged; faults {before:?}, then {after:?}"))
        });
    }
    let status = gateway.status();
    for name in ["net", "usr"] {
        let span = span(&status, name);
        println!("{span}");
        assert_eq!((&span["alarm"], &span["line"]["kind"]), (&"none".into(), &"dahdi".into()));
        assert_eq!(span["line"]["delay_to_line_ms"], 120);
        assert!(counter(&gateway, name, "d_channel_frames_received") >= 10.0);
        assert_eq!(counter(&gateway, name, "echo_cancellers_on"), 0.0);
    }
    gateway.end();

    // With one it is on for the call, on both spans, and a modem switches it off.
    let echo = "        echo_canceller: { name: mg2 }\n        gains_db: { transmit: -3 }\n";
    let mut gateway = up(&configuration(echo));
    undisturbed(&mut gateway, |gateway, _| {
        let counts =
            |gateway: &LoneGateway, event| ["net", "usr"].map(|name| counter(gateway, name, event));
        let on_before = counts(gateway, "echo_cancellers_on");
        let time = Duration::from_secs(3);
        let [heard, _] = call("0333331234", [answer_tone(time), vec![]], time)?;
        let loudest = heard.iter().map(|octet| Law::A.decode(*octet).unsigned_abs()).max();
        let expected = 6_000.0 * 10_f32.powf(-3.0 / 20.0);
        let ratio = f32::from(loudest.unwrap_or(0)) / expected;
        gateway.until_idle();
        assert_eq!(counts(gateway, "echo_cancellers_on"), on_before.map(|count| count + 1.0));
        assert_eq!(counts(gateway, "echo_cancellers_refused"), [0.0; 2]);
        let by_tone = counts(gateway, "echo_cancellers_off_by_tone");
        println!("a modem, 3 dB softer: {loudest:?}; cancellers off by its tone: {by_tone:?}");
        if by_tone.iter().all(|count| *count >= 1.0) && (0.9..1.1).contains(&ratio) {
            return Ok(());
        }
        Err("the tone was damaged".to_owned())
    });
    gateway.end();
    println!("done");
}
