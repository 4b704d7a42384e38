//! Fax and modem tones, on sixteen channels: CNG, CED, ANSam, the preamble of V.21.
//!
//! # What it does
//! Reports who speaks on a channel if it is a machine:
//!
//! | sound | what it is | from |
//! |---|---|---|
//! | [`Sound::Calling`] | 1100 Hz for half a second, each 3.5 s: a calling fax (CNG) | T.30 §4.3.3.3 |
//! | [`Sound::Answer`] | 2100 Hz: an answering fax or modem (CED, ANS) | T.30 §4.3.3.2, V.25 |
//! | … with `reversals` | its phase turns over each 450 ms: echo cancellers go off | V.25 §3 |
//! | … with `modulated` | its amplitude moves at 15 Hz: a modem with V.8 (ANSam) | V.8 §3.2 |
//! | [`Sound::Preamble`] | HDLC flags at 300 bit/s in channel 2 of V.21: a fax talks | T.30 §5.3.1 |
//!
//! A gateway switches a call to voice-band data on an answer tone or a preamble.
//!
//! # How it works
//! Samples are correlated with the four frequencies, 1100, 2100, 1650 and 1850 Hz, and added up
//! over each millisecond. Sums over 5 ms say whether 1100 or 2100 Hz has nearly all the power;
//! their phases from sum to sum say how far the frequency is off and where the phase turns over,
//! their magnitudes how the amplitude moves (`answer.rs`). Sums over 3 ms, shorter than a bit of
//! V.21, are its bits; runs of six ones between two zeros are flags (`preamble.rs`).
//!
//! # How to use it
//! ```
//! use trunkline_dsp::fax::{Event, FaxBank, Sound};
//! use trunkline_dsp::lanes::Row;
//!
//! let mut bank = FaxBank::new();
//! let turn = std::f32::consts::TAU * 2_100.0 / 8_000.0;
//! let tone: Vec<Row> = (0..4_000).map(|n| Row::splat(2_000.0 * (n as f32 * turn).sin())).collect();
//! let mut heard = Vec::new();
//! bank.process(&tone, |lane, event| heard.push((lane, event)));
//! let plain = Sound::Answer { reversals: false, modulated: false };
//! assert_eq!(heard[3], (3, Event::Heard(plain)));
//! ```
//!
//! # Cost
//! Nine multiplications a sample.

mod answer;
mod calling;
mod correlator;
mod preamble;

pub(crate) use answer::AnswerTone;
use calling::CallingTone;
pub(crate) use correlator::{Amount, PERIOD as WAVES_PERIOD, WAVES};
use correlator::{Correlator, Tone};
use preamble::Preamble;

use crate::lanes::{LANES, Row, Width};

/// What machines send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sound {
    /// CNG: a fax calls.
    Calling,
    /// 2100 Hz: a fax or modem answers.
    Answer {
        /// The phase turns over: echo cancellers are to go off.
        reversals: bool,
        /// The amplitude is modulated by 15 Hz: a modem that knows V.8.
        modulated: bool,
    },
    /// Flags of V.21, channel 2: a fax begins to talk.
    Preamble,
}

/// What a bank found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there. An answer tone is reported after 300 ms, and again when its phase turns over.
    Heard(Sound),
    /// It is over. The calling tone is reported only when it is, so it has no end of its own.
    Ended(Sound),
}

/// Finds the tones of machines on sixteen channels at 8 kHz.
#[derive(Clone, Debug)]
pub struct FaxBank {
    width: Width,
    correlator: Correlator,
    answer: [AnswerTone; LANES],
    calling: [CallingTone; LANES],
    preamble: [Preamble; LANES],
}

impl FaxBank {
    /// A bank that has heard nothing, with the best instructions there are.
    pub fn new() -> Self {
        Self::with(Width::best())
    }

    /// A bank that has heard nothing.
    pub fn with(width: Width) -> Self {
        Self {
            width,
            correlator: Correlator::new(),
            answer: [const { AnswerTone::new() }; LANES],
            calling: [CallingTone::new(); LANES],
            preamble: [Preamble::new(); LANES],
        }
    }

    /// Listens to a block of any length and reports what it finds, with the channel.
    pub fn process(&mut self, mut rows: &[Row], mut report: impl FnMut(usize, Event)) {
        while !rows.is_empty() {
            let (taken, step) = self.correlator.take(self.width, rows);
            rows = &rows[taken..];
            let Some(step) = step else { continue };
            for (lane, preamble) in self.preamble.iter_mut().enumerate() {
                if let Some(event) = preamble.millisecond(step.bit(lane)) {
                    report(lane, event);
                }
            }
            let Some(sum) = step.sum else { continue };
            for lane in 0..LANES {
                if self.calling[lane].listen(sum.tone(Tone::Calling, lane)) {
                    report(lane, Event::Heard(Sound::Calling));
                }
                let tone = sum.tone(Tone::Answer, lane);
                self.answer[lane].listen(tone, |event| report(lane, event));
            }
        }
    }

    /// Forgets what a channel has heard: a new call.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn reset(&mut self, lane: usize) {
        self.answer[lane] = AnswerTone::new();
        self.calling[lane] = CallingTone::new();
        self.preamble[lane] = Preamble::new();
    }
}

impl Default for FaxBank {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
