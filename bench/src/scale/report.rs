//! What must hold of a run, and the table.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::Value;

use super::Load;
use super::run::{Figures, sum};
use crate::compare::results;

/// Counters of a span, at either end, that must be 0: each is a frame lost, on the line or in a
/// D channel. What is counted before the line is up is taken off.
const MUST_BE_ZERO: [&str; 5] =
    ["sequence_gaps", "slips", "malformed", "hdlc_bad_fcs", "q921_rejects"];

/// Q.850: the caller hung up.
const NORMAL_CALL_CLEARING: u64 = 16;
/// Q.850: no circuit or channel available.
const NO_CIRCUIT: u64 = 34;

/// What did not hold.
pub fn faults(load: &Load, figures: &Figures) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            faults.push(what);
        }
    };
    let records: u64 = figures.records.values().sum();
    must(records == u64::from(load.calls()), format!("{records} records of {}", load.calls()));
    let others: u64 = figures
        .records
        .iter()
        .filter(|(cause, _)| ![NORMAL_CALL_CLEARING, NO_CIRCUIT].contains(cause))
        .map(|(_, count)| count)
        .sum();
    must(
        others == 0,
        format!("{others} calls ended otherwise than by their caller: {:?}", figures.records),
    );
    must(figures.callers_content, "SIPp saw calls that went otherwise".to_owned());
    let idle = sum(&figures.status["spans"], |span| span["channels"]["idle"].as_u64());
    must(idle == u64::from(load.channels()), format!("{idle} channels idle at the end"));
    let open = figures.open_at_exchange;
    must(open == 0, format!("{open} calls not ended at the exchange"));
    for found in ["stuck_channels", "stuck_calls", "stuck_legs"] {
        let count = figures.status["channel_audit"][found].as_u64().unwrap_or_default();
        must(count == 0, format!("{count} {found}"));
    }
    for (end, spans) in [("gateway", &figures.status["spans"]), ("exchange", &figures.spans)] {
        for counter in MUST_BE_ZERO {
            let count = count(spans, counter);
            must(count == 0, format!("{end}: {count} {counter}"));
        }
    }
    faults
}

/// A counter of all spans of an end.
fn count(spans: &Value, counter: &str) -> u64 {
    sum(spans, |span| span["counters"][counter].as_u64())
}

/// The page.
pub fn page(load: &Load, figures: &Figures, began: SystemTime, loads: [&str; 2]) -> String {
    let mut out = format!(
        "# Every channel of {} E1 in calls\n\n\
         One gateway process, {} spans by TDMoE with {} B channels and {} D channels. SIPp makes {} \
         call attempts a second for {} s,\neach held {} s once answered: {:.0} erlang offered. A call \
         that finds no channel is refused with 503\nand cause 34. Voice goes both ways in every call: the telephone speaks, and an echo sends \
         every RTP packet\nback. Exchange, SIPp and echo run on the same machine.\n\n| | |\n|---|---|\n",
        load.spans,
        load.spans,
        load.channels(),
        load.spans,
        load.calls_per_s,
        load.seconds,
        load.hold_ms as f64 / 1_000.0,
        load.erlang(),
    );
    let when = humantime::format_rfc3339_seconds(began);
    let _ = writeln!(out, "| when | {when} |");
    let _ = writeln!(
        out,
        "| command | `make bench-scale` (`trunkline-bench-scale --spans {} --calls-per-s {} --seconds {} --hold-ms {}`) |",
        load.spans, load.calls_per_s, load.seconds, load.hold_ms
    );
    for (name, value) in results::machine().into_iter().filter(|(name, _)| *name != "rtpengine") {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    let _ = writeln!(out, "| load average before, behind | {}; {} |", loads[0], loads[1]);
    let cores = |ns: u64| ns as f64 / figures.measured.as_nanos() as f64;
    let ours: f64 = figures.watched.iter().map(|program| cores(program.cpu_ns)).sum();
    let _ = writeln!(
        out,
        "| other programs on the machine | {:.2} cores of {:.2} busy |",
        (figures.machine_cores - ours).max(0.0),
        figures.machine_cores
    );
    if cfg!(debug_assertions) {
        out += "\n**A development build: good for trying, not for comparing.**\n";
    }
    let faults = faults(load, figures);
    let _ = match faults.as_slice() {
        [] => writeln!(out, "\nNo frame lost, no channel stuck, one record a call.\n"),
        faults => writeln!(out, "\n**Does not hold: {}.**\n", faults.join("; ")),
    };
    out += "| correctness | |\n|---|---|\n";
    let by_cause = |cause| figures.records.get(&cause).copied().unwrap_or_default();
    let records: u64 = figures.records.values().sum();
    let _ = writeln!(
        out,
        "| call attempts, call records | {}, {records} |\n\
         | answered and ended by the caller (cause 16), refused (cause 34) | {}, {} |",
        load.calls(),
        by_cause(NORMAL_CALL_CLEARING),
        by_cause(NO_CIRCUIT)
    );
    let full = figures.busy.iter().skip(load.hold_ms.div_ceil(1_000) as usize + 1);
    let full: Vec<u64> = full.copied().collect();
    let mean = full.iter().sum::<u64>() as f64 / full.len().max(1) as f64;
    let _ = writeln!(
        out,
        "| busy channels once filled: mean, most, of | {mean:.1}, {}, {} |",
        figures.busy.iter().max().unwrap_or(&0),
        load.channels()
    );
    let both =
        |counter: &str| (count(&figures.status["spans"], counter), count(&figures.spans, counter));
    for (name, counter) in [
        ("blocks of 1 ms received", "blocks_received"),
        ("blocks lost on the line (sequence gaps)", "sequence_gaps"),
        ("blocks not there in time (missing)", "blocks_missing"),
        ("slips", "slips"),
        ("D channel frames received", "d_channel_frames_received"),
        ("D channel frames with a wrong FCS", "hdlc_bad_fcs"),
        ("I frames repeated (T200)", "q921_frames_repeated"),
    ] {
        let (gateway, exchange) = both(counter);
        let _ = writeln!(out, "| {name}: gateway, exchange | {gateway}, {exchange} |");
    }
    let idle = sum(&figures.status["spans"], |span| span["channels"]["idle"].as_u64());
    let _ = writeln!(out, "| channels idle at the end | {idle} |");
    let media = &figures.status["media"]["counters"];
    let (received, sent) = figures.echoed;
    let _ = writeln!(
        out,
        "| RTP packets: sent by the gateway, at the echo, sent back, received by the gateway | {}, {received}, {sent}, {} |\n\
         | samples concealed towards the line | {} |\n",
        media["packets_sent"], media["packets_received"], media["concealed_samples"]
    );
    out += "| program | cores | memory, MiB |\n|---|---|---|\n";
    for (program, role) in
        figures.watched.iter().zip(["gateway", "exchange", "SIPp", "echo and watch"])
    {
        let memory = match role {
            "gateway" => format!(
                "{:.1} before the first call, {:.1} at most",
                figures.idle_kib as f64 / 1_024.0,
                figures.most_kib as f64 / 1_024.0
            ),
            _ => format!("{:.1}", program.resident_kib as f64 / 1_024.0),
        };
        let _ = writeln!(out, "| {role} | {:.3} | {memory} |", cores(program.cpu_ns));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let _ = writeln!(
        out,
        "\nThe busiest media worker served its legs {:.0} % of its time on average, {:.0} % at most.",
        100.0 * mean(&figures.worker_load),
        100.0 * figures.worker_load.iter().copied().fold(0.0, f64::max)
    );
    out + OTHERS
}

/// What others publish of theirs. None of it was measured here, and none says how busy its machine
/// was.
const OTHERS: &str = "\n## Beside what is published of others\n\n\
    Their own figures, from data sheets and manuals, on their own machines; not measured here.\n\n\
    | system | lines | channels or calls at a time | calls a second |\n|---|---|---|---|\n\
    | Eltex SMG-4 | 4 E1 | 128 G.711, 72 G.729 | 40 |\n\
    | Patton SmartNode 2400 | ISDN | 120, compressed | not said |\n\
    | Ribbon SBC SWe Lite, 1 vCPU (no lines) | none | 300 proxied, 100 transcoded | 10 |\n\
    | Sangoma NetBorder SBC (no lines) | none | 4,000 with DSP hardware | 75 |\n\
    | RustPBX 0.4.10 on a Ryzen 5700X (no lines) | none | 4,670 to 4,693 relayed, 3.8 cores, 2.4 GB | 100 |\n";
