//! The table, as Markdown.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use super::capacity::{Capacity, LATENCY_P99_MAX_US};
use super::figures::{Figures, Row, Spread};
use super::measure::{Plan, Point};

/// Where and when a comparison was run.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The command that runs it again.
    pub command: String,
    /// When it began.
    pub began: SystemTime,
    /// What was run.
    pub plan: Plan,
}

/// What is written below the table: how the figures came about.
const METHOD: &str = "\
Two network namespaces joined by a veth pair: `trunkline-flood` in one, the relay in the other.
Every call has two parties, each with an address and port of its own; both send A-law (160 octets,
172 with the RTP header) with DSCP EF and a UDP checksum. The parties' packets are spread evenly
over the packet time in slots of 200 us (1 ms for the load of 12.5 packets a second). Each packet is
marked and checked at the party that is to receive it: once, in order, unchanged, from the relay's
port for that party.

- **process**: user and system time of all threads of the relay, from its process CPU clock, over
  one run, divided by the packets that arrived. The relay's send calls and the delivery to the
  flooder's packet socket are in it.
- **arriving**: what the kernel spends when a packet comes to the relay, up to its socket or program.
  On a veth pair this soft interrupt runs in the sender's send call, so it is the time of the
  flooder's send calls and of ksoftirqd, less that in a run of the same round in which the relay's
  end drops every packet in `tc` ingress. For a relay in the kernel it is all there is; it
  also has to bear a program on the flooder's device, without which a veth pair does not take what
  another program sends.
- **cost**: both together. The ratios are to rtpengine under the same load.
- **latency**: from before the flooder's send call (of up to 32 packets) to the kernel's time stamp
  at the receiving party.
- **KiB a call**: resident memory (without mapped files) after the run, less that of the same relay
  with one call and no traffic, divided by the calls.
- Each figure is the median over the rounds, with the least and the most in brackets. In each round
  every relay runs once under each load, another one first each time.
- Where the codecs of both sides differ, all payloads are speech of 160 octets (Opus: 16 kbit/s,
  padded), and what a party receives is known by its sequence numbers from the first packet on: a
  packet that a relay has made up for a lost one counts as received.
- Where it says SRTP, both legs of a call are AES_CM_128_HMAC_SHA1_80 (with GCM: AEAD_AES_128_GCM)
  and the parties seal and open
  every packet; the run in which packets are dropped is one of plain RTP.
- rtpengine is Debian's, in user space (`--table=-1`), with its calls set up by offer and answer
  through its ng protocol. The bare relay is epoll, recvfrom and sendto with a socket a leg.
";

/// Writes the whole of `RESULTS.md`.
pub fn write(
    circumstances: &Circumstances,
    points: &[(Point, Vec<Row>)],
    capacities: &[Capacity],
) -> String {
    let mut out = String::from("# The media plane under load\n\n");
    let Circumstances { command, began, plan } = circumstances;
    let when = humantime::format_rfc3339_seconds(*began);
    out += "Written by the program that measured it; every figure is from this one run.\n\n";
    let _ = writeln!(out, "| | |\n|---|---|\n| when | {when} |\n| command | `{command}` |");
    let (rounds, seconds) = (plan.rounds, plan.seconds);
    let _ = writeln!(out, "| runs | {rounds} rounds, {seconds} s measured each, 1 s before |");
    let (a, b) = (plan.codecs.a.rtpmap(), plan.codecs.b.rtpmap());
    let _ = writeln!(out, "| codecs | {a} and {b}, 20 ms |");
    for (name, value) in machine() {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    if cfg!(debug_assertions) {
        out += "\n**A development build: good for trying, not for comparing.**\n";
    }
    out += "\n![Cost a packet by relay and load](media.svg)\n";
    for (point, rows) in points {
        write_point(point, rows, &mut out);
    }
    write_capacities(capacities, &mut out);
    out += "\n## Method\n\n";
    out += METHOD;
    out
}

fn write_point(point: &Point, rows: &[Row], out: &mut String) {
    let Point { calls, rate } = point;
    let _ = writeln!(
        out,
        "\n## {calls} calls, {rate} packets a second each way ({:.0} relayed a second)\n\n\
         | relay | process, us a packet | arriving | cost | cost ÷ rtpengine | process ÷ rtpengine \
         | lost | faults | p50 us | p99 us | KiB a call |\n\
         |---|---|---|---|---|---|---|---|---|---|---|",
        point.packets_per_second()
    );
    for row in rows {
        let name = row.peer.name();
        let _ = match &row.outcome {
            Ok(figures) => writeln!(out, "| {name} | {} |", columns(figures)),
            Err(reason) => writeln!(out, "| {name} | not measured: {} |||||||||| ", escape(reason)),
        };
    }
    let measured = rows.iter().filter_map(|row| row.outcome.as_ref().ok());
    let (late, other) = measured.fold((0.0_f64, 0.0_f64), |(late, other), figures| {
        (late.max(figures.flooder_late_p99_us), other.max(figures.other_cores))
    });
    let _ = writeln!(
        out,
        "\nThe flooder was at most {late:.0} us late (p99); other work took at most {other:.2} cores."
    );
}

fn write_capacities(capacities: &[Capacity], out: &mut String) {
    if capacities.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n## The most calls that this machine carries\n\n\
         Relay and flooder share the machine. Carried means: 50 packets a second each way, none \
         lost, doubled or changed, and a latency of at most {:.0} ms (p99), in one of two runs. \
         Searched by halving to a twentieth.\n\n\
         | relay | calls carried | p99 us | not carried |\n|---|---|---|---|",
        LATENCY_P99_MAX_US / 1000.0
    );
    for Capacity { peer, carried, refused } in capacities {
        let (calls, p99_us) = carried.map_or_else(
            || ("none".to_owned(), "-".to_owned()),
            |(calls, p99_us)| (calls.to_string(), format!("{p99_us:.0}")),
        );
        let refused = refused
            .as_ref()
            .map_or_else(String::new, |(calls, reason)| format!("{calls}: {}", escape(reason)));
        let _ = writeln!(out, "| {} | {calls} | {p99_us} | {refused} |", peer.name());
    }
}

fn columns(figures: &Figures) -> String {
    let spread = |Spread { median, min, max }: Spread| format!("{median:.2} ({min:.2}..{max:.2})");
    let optional = |figure: Option<f64>, digits: usize| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let lost = match figures.lost {
        0 => "0".to_owned(),
        lost => format!("{lost} ({:.3} %)", lost as f64 / figures.sent as f64 * 100.0),
    };
    [
        spread(figures.process_us),
        spread(figures.arriving_us),
        spread(figures.cost_us),
        optional(figures.ratio, 3),
        optional(figures.process_ratio, 3),
        lost,
        figures.faults.to_string(),
        format!("{:.0}", figures.p50_us),
        format!("{:.0}", figures.p99_us),
        optional(figures.call_kib, 1),
    ]
    .join(" | ")
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// What machine this is, and from which source: names and values for a table.
pub fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim())
    };
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let virtual_machine =
        if field("flags").contains("hypervisor") { ", virtual machine" } else { "" };
    let memory = read("/proc/meminfo");
    let memory_kib: u64 =
        memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let mut all = vec![
        ("machine", format!("{cores} cores of {}{virtual_machine}", field("model name"))),
        ("memory", format!("{} MiB", memory_kib / 1024)),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
    ];
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    if let Some(version) = first_line("rtpengine", &["--version"]) {
        all.push(("rtpengine", version.trim_start_matches("Version: ").to_owned()));
    }
    if let Some(commit) = first_line("git", &["describe", "--always", "--dirty"]) {
        all.push(("source", commit));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::figures;
    use super::super::figures::tests::measured;
    use super::super::peer::Peer;
    use super::*;
    use crate::load::codecs::Codecs;

    #[test]
    fn the_table_has_a_row_a_relay_and_says_why_one_is_empty() {
        let circumstances = Circumstances {
            command: "make bench-media".to_owned(),
            began: SystemTime::UNIX_EPOCH,
            plan: Plan {
                points: Vec::new(),
                peers: Peer::ALL.to_vec(),
                rounds: 3,
                seconds: 8.0,
                codecs: Codecs::ALIKE,
                programs: "target".into(),
            },
        };
        let capacities = [Capacity {
            peer: Peer::Bare,
            carried: Some((1400, 812.4)),
            refused: Some((1450, "0.02 % lost".to_owned())),
        }];
        let text = write(&circumstances, &figures::rows(&measured()), &capacities);
        assert!(text.contains("| bare socket relay | 1400 | 812 | 1450: 0.02 % lost |"), "{text}");
        assert!(text.contains("| when | 1970-01-01T00:00:00Z |"), "{text}");
        let row = "| bare socket relay | 5.00 (5.00..5.00) | 1.00 (1.00..1.00) | 6.00 (6.00..6.00) \
                   | 0.500 | 0.500 | 0 | 0 | 50 | 100 | 10.0 |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| Trunkline, mio | not measured: trunkline-media-relay is not built")
        );
    }
}
