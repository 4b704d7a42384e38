//! The multifrequency signals of MFC/R2 between exchanges (ITU-T Q.441, Q.454, Q.455).
//!
//! # What it does
//! A signal, 1 to 15, is two of six frequencies; the exchange that calls has others than the one
//! that is called, so that both can sound at once:
//!
//! | | f0 | f1 | f2 | f3 | f4 | f5 |
//! |---|---|---|---|---|---|---|
//! | forward, Hz | 1380 | 1500 | 1620 | 1740 | 1860 | 1980 |
//! | backward, Hz | 1140 | 1020 | 900 | 780 | 660 | 540 |
//!
//! [`Generator`] sounds a signal until it is told another or none; [`Detector`] tells when one begins
//! and ends. Levels from −35 to −5 dBm0 a frequency, 7 dB apart at most, off by up to 10 Hz.
//!
//! # How it works
//! Windows of 133 samples (16.6 ms), one each 40 samples. All frequencies are multiples of 60 Hz,
//! which is one turn in such a window: each lies where the others' spectra are zero. Two windows one
//! after the other with the same signal begin it, two without it end it.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::mf_r2::{Detector, Direction, Generator};
//!
//! let mut samples = [0_i16; 800];
//! let mut generator = Generator::new(Direction::Forward);
//! generator.sound(Some(7));
//! generator.fill(&mut samples);
//!
//! let mut heard = Vec::new();
//! Detector::new(Direction::Forward).process(&samples, |signal| heard.push(signal));
//! assert_eq!(heard, [Some(7)]);
//! ```
//!
//! # Cost
//! 40 multiplications a sample in the detector while there is sound, 8 in the generator.

mod detector;

pub use detector::Detector;

use crate::SAMPLE_RATE_HZ;
use crate::level::peak_of_sine;
use crate::oscillator::Oscillator;

/// Level of each frequency that is sent (Q.454 §3.2.3).
const LEVEL_DBM0: f32 = -11.5;

/// Which exchange's frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those of the exchange that calls.
    Forward,
    /// Those of the exchange that is called.
    Backward,
}

impl Direction {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }

    fn frequencies_hz(self) -> [f32; 6] {
        match self {
            Self::Forward => [1_380.0, 1_500.0, 1_620.0, 1_740.0, 1_860.0, 1_980.0],
            Self::Backward => [1_140.0, 1_020.0, 900.0, 780.0, 660.0, 540.0],
        }
    }
}

/// Weights of f0 to f5 as the second frequency of a signal; as the first they have 0, 1, 2, 3, 4. A
/// signal is the sum of both (Q.441 table 5).
const WEIGHTS: [u8; 6] = [0, 1, 2, 4, 7, 11];

/// The signal of two frequencies, the lower index first.
fn signal_of(low: usize, high: usize) -> u8 {
    low as u8 + WEIGHTS[high]
}

/// The two frequencies of a signal.
fn pair_of(signal: u8) -> Option<(usize, usize)> {
    (1..6)
        .flat_map(|high| (0..high).map(move |low| (low, high)))
        .find(|&(low, high)| signal_of(low, high) == signal)
}

/// Sounds signals.
#[derive(Clone, Debug)]
pub struct Generator {
    direction: Direction,
    sounding: Option<[Oscillator; 2]>,
    peak: f32,
}

impl Generator {
    /// A silent generator.
    pub fn new(direction: Direction) -> Self {
        Self { direction, sounding: None, peak: peak_of_sine(LEVEL_DBM0) }
    }

    /// Sounds a signal from now on, or none. What is no signal (0, or over 15) is silence.
    pub fn sound(&mut self, signal: Option<u8>) {
        let frequencies_hz = self.direction.frequencies_hz();
        self.sounding = signal.and_then(pair_of).map(|(low, high)| {
            [low, high].map(|at| Oscillator::new(frequencies_hz[at], SAMPLE_RATE_HZ))
        });
    }

    /// Overwrites `out` with the next samples, silence where nothing sounds; true if something did.
    pub fn fill(&mut self, out: &mut [i16]) -> bool {
        let Some([first, second]) = &mut self.sounding else {
            out.fill(0);
            return false;
        };
        for sample in out {
            *sample = (self.peak * (first.next() + second.next())).round() as i16;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifteen_signals_are_the_pairs_of_q_441() {
        let pairs = [
            (0, 1),
            (0, 2),
            (1, 2),
            (0, 3),
            (1, 3),
            (2, 3),
            (0, 4),
            (1, 4),
            (2, 4),
            (3, 4),
            (0, 5),
            (1, 5),
            (2, 5),
            (3, 5),
            (4, 5),
        ];
        for (signal, pair) in (1..).zip(pairs) {
            assert_eq!(pair_of(signal), Some(pair), "{signal}");
        }
        assert_eq!((pair_of(0), pair_of(16)), (None, None));
    }
}
