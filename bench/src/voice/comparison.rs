//! All playouts on all traces, and whether ours is as good as it shall be.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::VoiceError;
use super::peers::{NetEq, SpeexDsp};
use super::score::{Score, Scorer};
use super::speech::Speech;
use super::trace::{HOPELESS, Trace};
use super::{fixed, ours, trace};

/// Delays among which the best fixed one is looked for, ms.
const FIXED_MS: [usize; 7] = [5, 20, 40, 60, 80, 120, 160];

/// Mean conversational quality that ours shall have.
pub const MEAN_MIN: f64 = 3.65;
/// As much may ours be worse than the best of the others on a trace.
pub const BEHIND_MAX: f64 = 0.05;
/// Delay that ours may have where nothing goes wrong, ms.
pub const CLEAN_MAX_MS: f64 = 24.0;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many times eight seconds are spoken.
    pub segments: usize,
    /// Which recordings.
    pub speech_seed: u64,
    /// Which networks.
    pub seeds: Vec<u64>,
    /// The Python that has PESQ.
    pub python: PathBuf,
    /// Where the drivers of the others are.
    pub peers: PathBuf,
    /// Runs with fixed delays as well.
    pub with_fixed: bool,
}

/// How one playout did on one trace, mean over the seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Listening quality.
    pub pesq: f64,
    /// Delay, ms.
    pub delay_ms: f64,
    /// Conversational quality.
    pub mos_cq: f64,
    /// Processor time for 10 ms, µs; 0 where it says nothing.
    pub cost_us: f64,
}

/// A trace and how the playouts did on it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The trace.
    pub name: &'static str,
    /// Our playout.
    pub ours: Figures,
    /// SpeexDSP's jitter buffer with our concealment, if it is there.
    pub speexdsp: Option<Figures>,
    /// NetEQ, if it is there.
    pub neteq: Option<Figures>,
    /// The best fixed delay of each seed.
    pub fixed: Option<Figures>,
    /// What ours made of the speech: share concealed, and samples added and removed a minute.
    pub concealed: f64,
    /// Samples added or removed, a minute.
    pub adjusted: f64,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order of the traces.
    pub rows: Vec<Row>,
    /// Mean conversational quality of ours with each seed, without the hopeless trace.
    pub by_seed: Vec<f64>,
    /// How many voices spoke.
    pub voices: usize,
    /// How long, s.
    pub speech_s: usize,
}

/// One trace with one seed.
struct Outcome {
    seed: usize,
    trace: usize,
    ours: Figures,
    speexdsp: Option<Figures>,
    neteq: Option<Figures>,
    fixed: Option<Figures>,
    concealed: f64,
    adjusted: f64,
}

/// Runs it, on as many processors as there are.
///
/// # Errors
/// [`VoiceError`]: no speech, no scorer, a driver that fails.
pub fn run(plan: &Plan) -> Result<Comparison, VoiceError> {
    let speech = Speech::read(plan.segments, plan.speech_seed)?;
    let packets = speech.alaw.len() / ours::PACKET;
    let traces: Vec<Vec<Trace>> =
        plan.seeds.iter().map(|seed| trace::all(packets, *seed)).collect();
    let jobs: Vec<(usize, usize)> = (0..traces.len())
        .flat_map(|seed| (0..traces[seed].len()).map(move |trace| (seed, trace)))
        .collect();
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), VoiceError> {
        let mut bench = Bench::new(plan, &speech)?;
        while let Some(&(seed, trace)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = bench.run(seed, trace, &traces[seed][trace])?;
            outcomes.lock().unwrap_or_else(|broken| broken.into_inner()).push(outcome);
        }
        Ok(())
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().expect("no worker panics"));
        ended.collect::<Result<Vec<()>, VoiceError>>()
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_else(|broken| broken.into_inner());
    Ok(Comparison {
        rows: (0..traces[0].len()).map(|n| row(traces[0][n].name, n, &outcomes)).collect(),
        by_seed: (0..traces.len()).map(|seed| mean_of_seed(seed, &traces, &outcomes)).collect(),
        voices: speech.voices,
        speech_s: speech.samples.len() / 8_000,
    })
}

impl Comparison {
    /// Mean conversational quality without the hopeless trace.
    pub fn mean(&self, figures: impl Fn(&Row) -> Option<Figures>) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.name != HOPELESS);
        let qualities: Option<Vec<f64>> =
            rows.map(|row| figures(row).map(|figures| figures.mos_cq)).collect();
        let qualities = qualities.filter(|qualities| !qualities.is_empty())?;
        Some(qualities.iter().sum::<f64>() / qualities.len() as f64)
    }

    /// In what ours is not as good as it shall be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mean = self.mean(|row| Some(row.ours)).unwrap_or_default();
        if mean < MEAN_MIN {
            faults.push(format!("mean conversational MOS {mean:.3}, below {MEAN_MIN}"));
        }
        for row in &self.rows {
            let others = [row.speexdsp, row.neteq].into_iter().flatten();
            let best = others.map(|figures| figures.mos_cq).fold(0.0, f64::max);
            let behind = best - row.ours.mos_cq;
            if behind > BEHIND_MAX {
                let ours = row.ours.mos_cq;
                faults.push(format!("{}: {ours:.3}, {behind:.3} behind the best", row.name));
            }
            if row.name == "clean" && row.ours.delay_ms > CLEAN_MAX_MS {
                let delay_ms = row.ours.delay_ms;
                faults.push(format!("{delay_ms:.1} ms where nothing goes wrong"));
            }
        }
        faults
    }
}

/// What a worker needs.
struct Bench<'a> {
    plan: &'a Plan,
    speech: &'a Speech,
    scorer: Scorer,
    speexdsp: Option<SpeexDsp>,
    neteq: Option<NetEq>,
    files: Files,
}

impl<'a> Bench<'a> {
    fn new(plan: &'a Plan, speech: &'a Speech) -> Result<Self, VoiceError> {
        let files = Files::new()?;
        Ok(Self {
            plan,
            speech,
            scorer: Scorer::start(&plan.python, speech, &files.0)?,
            speexdsp: SpeexDsp::find(&plan.peers),
            neteq: NetEq::find(&plan.peers),
            files,
        })
    }

    fn run(&mut self, seed: usize, number: usize, trace: &Trace) -> Result<Outcome, VoiceError> {
        let (alaw, arrivals) = (&self.speech.alaw, &trace.arrivals);
        let heard = ours::play(arrivals, alaw);
        let ours = figures(self.scorer.score(&heard.samples)?, heard.cost_us);
        let mut speexdsp = None;
        if let Some(peer) = &self.speexdsp {
            let heard = peer.play(arrivals, alaw, &self.files.0)?;
            speexdsp = Some(figures(self.scorer.score(&heard)?, 0.0));
        }
        let mut neteq = None;
        if let Some(peer) = &self.neteq {
            let (heard, cost_us) = peer.play(arrivals, alaw, &self.files.0)?;
            neteq = Some(figures(self.scorer.score(&heard)?, cost_us));
        }
        let mut fixed: Option<Figures> = None;
        for delay_ms in FIXED_MS.into_iter().filter(|_| self.plan.with_fixed) {
            let heard = fixed::play(arrivals, alaw, delay_ms);
            let next = figures(self.scorer.score(&heard)?, 0.0);
            fixed = Some(fixed.filter(|best| best.mos_cq >= next.mos_cq).unwrap_or(next));
        }
        let (playout, samples) = (heard.playout, heard.samples.len() as f64);
        let adjusted = (playout.lengthened + playout.shortened) as f64;
        Ok(Outcome {
            seed,
            trace: number,
            ours,
            speexdsp,
            neteq,
            fixed,
            concealed: playout.concealed as f64 / samples,
            adjusted: adjusted / (samples / 480_000.0),
        })
    }
}

/// A folder that is gone with its owner.
struct Files(PathBuf);

impl Files {
    fn new() -> Result<Self, VoiceError> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trunkline-bench-voice-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(VoiceError::file(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn figures(score: Score, cost_us: f64) -> Figures {
    let Score { pesq, delay_ms } = score;
    Figures { pesq, delay_ms, mos_cq: score.mos_cq(), cost_us }
}

fn row(name: &'static str, trace: usize, outcomes: &[Outcome]) -> Row {
    let of_trace: Vec<&Outcome> = outcomes.iter().filter(|o| o.trace == trace).collect();
    let mean_of = |value: &dyn Fn(&Outcome) -> f64| {
        of_trace.iter().map(|o| value(o)).sum::<f64>() / of_trace.len() as f64
    };
    let mean = |pick: &dyn Fn(&Outcome) -> Option<Figures>| {
        let all: Option<Vec<Figures>> = of_trace.iter().map(|outcome| pick(outcome)).collect();
        let all = all?;
        let part = |part: fn(&Figures) -> f64| all.iter().map(part).sum::<f64>() / all.len() as f64;
        Some(Figures {
            pesq: part(|f| f.pesq),
            delay_ms: part(|f| f.delay_ms),
            mos_cq: part(|f| f.mos_cq),
            cost_us: part(|f| f.cost_us),
        })
    };
    Row {
        name,
        ours: mean(&|outcome| Some(outcome.ours)).unwrap_or_default(),
        speexdsp: mean(&|outcome| outcome.speexdsp),
        neteq: mean(&|outcome| outcome.neteq),
        fixed: mean(&|outcome| outcome.fixed),
        concealed: mean_of(&|outcome| outcome.concealed),
        adjusted: mean_of(&|outcome| outcome.adjusted),
    }
}

fn mean_of_seed(seed: usize, traces: &[Vec<Trace>], outcomes: &[Outcome]) -> f64 {
    let counts = |o: &&Outcome| o.seed == seed && traces[seed][o.trace].name != HOPELESS;
    let qualities: Vec<f64> = outcomes.iter().filter(counts).map(|o| o.ours.mos_cq).collect();
    qualities.iter().sum::<f64>() / qualities.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures_of(mos_cq: f64, delay_ms: f64) -> Figures {
        Figures { mos_cq, delay_ms, ..Figures::default() }
    }

    fn row_of(name: &'static str, ours: Figures, neteq: Option<Figures>) -> Row {
        Row { name, ours, speexdsp: None, neteq, fixed: None, concealed: 0.0, adjusted: 0.0 }
    }

    #[test]
    fn what_is_worse_than_it_shall_be_is_named() {
        let good = row_of("clean", figures_of(4.1, 22.0), Some(figures_of(4.14, 50.0)));
        let hopeless = row_of(HOPELESS, figures_of(1.0, 500.0), None);
        let of = |rows| Comparison { rows, by_seed: vec![], voices: 1, speech_s: 8 };
        let comparison = of(vec![good.clone(), hopeless.clone()]);
        assert_eq!(comparison.mean(|row| Some(row.ours)), Some(4.1));
        assert_eq!(comparison.mean(|row| row.speexdsp), None);
        assert!(comparison.faults().is_empty());
        let slow = row_of("clean", figures_of(4.0, 25.0), None);
        let behind = row_of("wifi", figures_of(3.0, 60.0), Some(figures_of(3.06, 50.0)));
        let faults = of(vec![slow, behind, hopeless]).faults();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].contains("3.500") && faults[2].starts_with("wifi"));
    }
}
