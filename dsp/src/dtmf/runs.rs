//! From windows that heard a digit or did not, to digits with a begin and an end.

use super::detector::{HOP, WINDOW};
use crate::SAMPLE_RATE_HZ;
use crate::level::level_of_power;

/// Samples of a window that may lie outside the tone before it fails.
const MARGIN: usize = 35;
/// Windows with the same digit before it is reported.
const HITS_TO_BEGIN: u32 = 7;
/// Windows without the digit before its end is reported.
const MISSES_TO_END: u32 = 5;

/// What the detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A digit began; reported about 36 ms after it did.
    Begin {
        /// The digit.
        digit: char,
        /// Power of both tones together.
        level_dbm0: f32,
        /// Sample, counted from the detector's first, at which it began, to within about 3 ms.
        position: u64,
    },
    /// It ended.
    End {
        /// The digit.
        digit: char,
        /// How long it sounded, to within about 6 ms.
        duration_ms: u32,
    },
}

/// What the windows of one channel have heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    /// Number of windows done.
    windows: u64,
    candidate: Option<Run>,
    active: Option<Run>,
}

/// Windows in which the same digit was heard.
#[derive(Clone, Copy, Debug)]
struct Run {
    digit: char,
    /// First and last window that heard it.
    first: u64,
    last: u64,
    hits: u32,
}

impl Runs {
    /// Before the first window.
    pub(super) fn new() -> Self {
        Self { windows: 0, candidate: None, active: None }
    }

    /// The digit that sounds now.
    pub(super) fn digit(&self) -> Option<char> {
        self.active.map(|run| run.digit)
    }

    /// Takes what the next window heard: a digit with its power.
    pub(super) fn window(&mut self, heard: Option<(char, f32)>, mut report: impl FnMut(Event)) {
        let window = self.windows;
        self.windows += 1;
        if let (Some((digit, _)), Some(run)) = (heard, &mut self.active)
            && run.digit == digit
        {
            run.last = window;
            self.candidate = None;
            return;
        }
        if let Some(run) = self.active
            && window - run.last >= u64::from(MISSES_TO_END)
        {
            report(self.end(run));
        }
        let Some((digit, power)) = heard else {
            // Noise may spoil one window of a short digit, not two.
            self.candidate = self.candidate.filter(|run| window - run.last < 2);
            return;
        };
        let run = match self.candidate {
            Some(run) if run.digit == digit => Run { last: window, hits: run.hits + 1, ..run },
            _ => Run { digit, first: window, last: window, hits: 1 },
        };
        self.candidate = Some(run);
        if run.hits >= HITS_TO_BEGIN {
            if let Some(before) = self.active {
                report(self.end(before));
            }
            (self.candidate, self.active) = (None, Some(run));
            // The first window ended at (first + 1) · HOP; on average half a hop is lost.
            let end = (run.first + 1) * HOP as u64;
            let position = end.saturating_sub((WINDOW - MARGIN + HOP / 2) as u64);
            report(Event::Begin { digit, level_dbm0: level_of_power(power), position });
        }
    }

    fn end(&mut self, run: Run) -> Event {
        let samples = (run.last - run.first) * HOP as u64 + (WINDOW - 2 * MARGIN + HOP / 2) as u64;
        let duration_ms = (samples * 1_000 / u64::from(SAMPLE_RATE_HZ)) as u32;
        self.active = None;
        Event::End { digit: run.digit, duration_ms }
    }
}
