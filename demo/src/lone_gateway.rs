//! A gateway by itself, between parties on the packet side and a line of another kind than the
//! demonstration's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_dsp::g711::Law;

use crate::comparison::{Comparison, compare};
use crate::network::{NetworkError, get};
use crate::program::{LogEvent, Program};

/// A gateway that runs.
#[derive(Debug)]
pub struct LoneGateway {
    program: Program,
    http: String,
    records: PathBuf,
    /// Kept, so that the log's reader has somebody to tell.
    _events: Receiver<LogEvent>,
}

impl LoneGateway {
    /// Starts `program` with this configuration, whose HTTP server is at `http`. Configuration,
    /// log and call records (`records.jsonl`, which the configuration must name) are in `folder`.
    pub fn start(
        program: &Path,
        folder: &Path,
        configuration: &str,
        http: &str,
    ) -> Result<Self, NetworkError> {
        let failed = |error| NetworkError::System { what: "the gateway".to_owned(), error };
        let file = folder.join("gateway.yaml");
        std::fs::write(&file, configuration).map_err(failed)?;
        let (sender, events) = channel();
        let mut command = Command::new(program);
        command.args(["--log", "json", "run"]).arg(file);
        let program = Program::start("gateway", command, folder, sender).map_err(failed)?;
        let records = folder.join("records.jsonl");
        Ok(Self { program, http: format!("http://{http}"), records, _events: events })
    }

    /// What `/status` says; nothing while the gateway starts.
    pub fn status(&self) -> Value {
        get(&format!("{}/status", self.http)).unwrap_or_default()
    }

    /// A line of `/metrics`, by its name with its labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = get(&format!("{}/metrics", self.http)).ok()?;
        let line =
            page.as_str()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.trim().parse().ok()
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        self.program.last_lines()
    }

    /// The call records so far.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.records).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until the status is so; gives how long that took.
    ///
    /// # Panics
    /// If it is not so within `limit`, or the gateway ends.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&Value) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                println!("{what}: after {} ms", begun.elapsed().as_millis());
                return begun.elapsed();
            }
            let ended = self.program.ended().ok().flatten();
            assert!(
                ended.is_none() && begun.elapsed() < limit,
                "{what}: not within {limit:?}; {ended:?}, spans {}\n{}",
                status["spans"],
                self.program.last_lines()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until no call is left anywhere.
    ///
    /// # Panics
    /// If that takes more than 10 s.
    pub fn until_idle(&mut self) {
        self.until("no call is left", Duration::from_secs(10), |status| {
            let phases = ["inquiring", "dialling", "alerting", "answered", "clearing"];
            let spans = status["spans"].as_array();
            phases.iter().all(|phase| status["calls"][phase] == 0)
                && status["media"]["legs"] == 0
                && spans.is_some_and(|spans| spans.iter().all(|span| span["channels"]["busy"] == 0))
        });
    }

    /// Ends it.
    ///
    /// # Panics
    /// If it does not end well.
    pub fn end(mut self) {
        let status = self.program.end().expect("the gateway ends");
        assert!(
            status.is_some_and(|status| status.success()),
            "{status:?}\n{}",
            self.program.last_lines()
        );
    }
}

/// Compares octets of A-law that were said with those that were heard.
pub fn compare_octets(said: &[u8], heard: &[u8]) -> Comparison {
    let samples =
        |octets: &[u8]| -> Vec<i16> { octets.iter().map(|octet| Law::A.decode(*octet)).collect() };
    compare(&samples(said), &samples(heard))
}

/// Whether what arrived is what was said, sample by sample, but for what the gateway itself reports
/// that it concealed because packets came too late to it: an emulated processor on a busy machine
/// makes them so.
pub fn is_intact(comparison: &Comparison, record: &Value) -> bool {
    const BLOCK_MS: f64 = 20.0;
    let legs = record["legs"].as_array();
    let concealed_ms = legs.and_then(|legs| {
        let media = legs.iter().map(|leg| &leg["media"]).find(|media| media.is_object())?;
        media["concealed_ms"].as_f64()
    });
    let concealed = (concealed_ms.unwrap_or(0.0) / BLOCK_MS).ceil() as usize;
    // A concealed stretch lies in two blocks, and its cross-fades in those beside them.
    let explained = 2 * concealed + 3 * comparison.adjustments;
    let lost = comparison.blocks_sent - comparison.blocks_exact;
    comparison.is_intact() || comparison.exact_share() >= 0.9 && lost <= explained
}

/// Speech that is never the same twice, in A-law: words of loud noise with pauses between them, so
/// that a playout that must adjust itself has somewhere to do it.
pub fn words(seed: u32, time: Duration) -> Vec<u8> {
    const WORD_SAMPLES: u32 = 6_400;
    const PAUSE_SAMPLES: u32 = 1_600;
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..time.as_millis() as u32 * 8)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_word = at % (WORD_SAMPLES + PAUSE_SAMPLES) >= PAUSE_SAMPLES;
            Law::A.encode(if is_word { ((state >> 18) as i16) - 8_192 } else { 0 })
        })
        .collect()
}
