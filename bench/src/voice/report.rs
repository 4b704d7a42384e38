//! The table, as Markdown.

use std::fmt::Write;

use super::comparison::{Comparison, Figures, Plan, Row};
use super::trace::HOPELESS;

/// What is written below the table.
const METHOD: &str = "\
Recorded speech of several voices (Debian's Asterisk prompts, active level -26 dBov) goes through A-law
in packets of 20 ms, which come as twenty networks let them come: losses by themselves and in bursts,
jitter with short and long tails, spikes, clocks that differ, a route that changes, overtaking,
duplicates, contention of a radio network, and a modem line shared with downloads. Delays are without
the part that is the same for all packets; a packet (20 ms) is in them, so 20 ms is the least.

- **ours**: the code of the gateway from the timeline to the line, in blocks of 1 ms, with packets seen
  each 5 ms as by a worker. All of it runs in virtual time.
- **SpeexDSP**: its jitter buffer in ticks of 20 ms that fall on the packets, with our concealment
  (from one side, since it hands out a packet at a time).
- **NetEQ**: WebRTC's as Debian has it, ticks of 10 ms, defaults.
- **best fixed**: for each trace and seed the best of seven fixed delays with our concealment, which
  only somebody who has seen all of it can choose.
- **PESQ**: ITU-T P.862.1, each segment of 8 s at its own median delay. **Delay**: by cross-correlation
  of windows of 240 ms with speech in them.
- **MOS-CQ**: PESQ as R, less what the delay and a network of 100 ms take (Cole and Rosenbluth), as MOS.
- Each figure is the mean over the seeds. Means leave `modem_fifo` out, whose delay is beyond any
  conversation.
- **µs**: processor time for 10 ms of sound, jitter buffer and all; on a shared machine.
";

/// Writes the whole of `voice.md`.
pub fn write(plan: &Plan, command: &str, comparison: &Comparison) -> String {
    let mut out = String::from("# Speech from a bad network\n\n");
    let _ = writeln!(
        out,
        "`{command}`: {} s of {} voices, traces with the seeds {}. ![MOS-CQ](voice.svg)\n",
        comparison.speech_s,
        comparison.voices,
        plan.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    );
    out += "Cells are PESQ / delay in ms / **MOS-CQ**.\n\n";
    out += "| trace | ours | SpeexDSP | NetEQ | best fixed | concealed | adjusted a minute |\n";
    out += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for row in &comparison.rows {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {:.1} % | {:.0} ms |",
            row.name,
            cell(Some(row.ours)),
            cell(row.speexdsp),
            cell(row.neteq),
            cell(row.fixed),
            100.0 * row.concealed,
            row.adjusted / 8.0,
        );
    }
    let mean = |figures: &dyn Fn(&Row) -> Option<Figures>| {
        comparison.mean(figures).map_or("-".into(), |mean| format!("**{mean:.3}**"))
    };
    let _ = writeln!(
        out,
        "| mean without {HOPELESS} | {} | {} | {} | {} | | |\n",
        mean(&|row| Some(row.ours)),
        mean(&|row| row.speexdsp),
        mean(&|row| row.neteq),
        mean(&|row| row.fixed),
    );
    let by_seed: Vec<String> = comparison.by_seed.iter().map(|mean| format!("{mean:.3}")).collect();
    let _ = writeln!(out, "Ours by seed: {}.", by_seed.join(", "));
    let cost = |figures: &dyn Fn(&Row) -> Option<Figures>| {
        let mut costs: Vec<f64> =
            comparison.rows.iter().filter_map(figures).map(|figures| figures.cost_us).collect();
        costs.sort_by(f64::total_cmp);
        costs.get(costs.len() / 2).map_or("-".into(), |median| format!("{median:.2} µs"))
    };
    let _ = writeln!(
        out,
        "Processor time for 10 ms, median of the traces: ours {}, NetEQ {}.\n",
        cost(&|row| Some(row.ours)),
        cost(&|row| row.neteq),
    );
    let faults = comparison.faults();
    if faults.is_empty() {
        out += "Ours is as good as it shall be: see `bench/src/voice/comparison.rs`.\n\n";
    }
    for fault in faults {
        let _ = writeln!(out, "**Not as good as it shall be**: {fault}\n");
    }
    out += "## Method\n\n";
    out += METHOD;
    out
}

fn cell(figures: Option<Figures>) -> String {
    figures.map_or("-".into(), |Figures { pesq, delay_ms, mos_cq, .. }| {
        format!("{pesq:.2} / {delay_ms:.0} / **{mos_cq:.2}**")
    })
}
