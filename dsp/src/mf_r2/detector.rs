//! The detector of MFC/R2 signals.

use std::f32::consts::TAU;
use std::sync::LazyLock;

use super::{Direction, signal_of};
use crate::SAMPLE_RATE_HZ;
use crate::level::rms;

/// Samples in a window.
const WINDOW: usize = 133;
/// Samples from window to window.
const HOP: usize = 40;
/// Level of the weaker frequency, below which nothing is a signal: Q.455 wants −35 dBm0.
const LEVEL_MIN_DBM0: f32 = -37.0;
/// Power of the stronger frequency over the weaker: 9 dB; Q.455 wants 7.
const TWIST_MAX: f32 = 8.0;
/// Share of all power that the two frequencies have.
const SHARE_MIN: f32 = 0.75;
/// Windows with the same signal that begin it, and windows without it that end it.
const RUN: u32 = 2;

/// Finds the signals of one direction in samples at 8 kHz.
#[derive(Clone, Debug)]
pub struct Detector {
    bank: &'static Bank,
    window: [f32; WINDOW],
    held: usize,
    power_min: f32,
    sounding: Option<u8>,
    /// What the last windows heard instead, and how many of them.
    candidate: (Option<u8>, u32),
}

impl Detector {
    /// A detector that has heard nothing.
    pub fn new(direction: Direction) -> Self {
        let bank: &'static Bank = match direction {
            Direction::Forward => &FORWARD,
            Direction::Backward => &BACKWARD,
        };
        Self {
            bank,
            window: [0.0; WINDOW],
            held: WINDOW - HOP,
            power_min: rms(LEVEL_MIN_DBM0).powi(2),
            sounding: None,
            candidate: (None, 0),
        }
    }

    /// Listens to a block of any length; reports the signal that sounds from now on, or that none
    /// does.
    pub fn process(&mut self, mut samples: &[i16], mut report: impl FnMut(Option<u8>)) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(WINDOW - self.held));
            for (held, sample) in self.window[self.held..].iter_mut().zip(now) {
                *held = f32::from(*sample);
            }
            self.held += now.len();
            samples = later;
            if self.held == WINDOW {
                let heard = self.bank.signal(&self.window, self.power_min);
                self.window.copy_within(HOP.., 0);
                self.held = WINDOW - HOP;
                if let Some(change) = self.change(heard) {
                    report(change);
                }
            }
        }
    }

    fn change(&mut self, heard: Option<u8>) -> Option<Option<u8>> {
        if heard == self.sounding {
            self.candidate = (None, 0);
            return None;
        }
        let (candidate, run) = self.candidate;
        self.candidate = (heard, if candidate == heard { run + 1 } else { 1 });
        if self.candidate.1 < RUN {
            return None;
        }
        self.sounding = heard;
        self.candidate = (None, 0);
        Some(heard)
    }
}

static FORWARD: LazyLock<Bank> = LazyLock::new(|| Bank::new(Direction::Forward));
static BACKWARD: LazyLock<Bank> = LazyLock::new(|| Bank::new(Direction::Backward));

/// The six frequencies, scaled so that a squared magnitude is the power.
#[derive(Debug)]
struct Bank {
    cosine: [[f32; 6]; WINDOW],
    sine: [[f32; 6]; WINDOW],
}

impl Bank {
    fn new(direction: Direction) -> Self {
        let scale = std::f32::consts::SQRT_2 / WINDOW as f32;
        let at = |n: usize, hz: f32| TAU * hz * n as f32 / SAMPLE_RATE_HZ as f32;
        let frequencies_hz = direction.frequencies_hz();
        let row = |n, wave: fn(f32) -> f32| frequencies_hz.map(|hz| scale * wave(at(n, hz)));
        Self {
            cosine: std::array::from_fn(|n| row(n, f32::cos)),
            sine: std::array::from_fn(|n| row(n, f32::sin)),
        }
    }

    fn signal(&self, window: &[f32; WINDOW], power_min: f32) -> Option<u8> {
        let power = window.iter().map(|sample| sample * sample).sum::<f32>() / WINDOW as f32;
        if power < power_min {
            return None;
        }
        let (mut real, mut imaginary) = ([0.0_f32; 6], [0.0_f32; 6]);
        for ((sample, cosine), sine) in window.iter().zip(&self.cosine).zip(&self.sine) {
            for lane in 0..6 {
                real[lane] += sample * cosine[lane];
                imaginary[lane] += sample * sine[lane];
            }
        }
        let powers: [f32; 6] =
            std::array::from_fn(|lane| real[lane].powi(2) + imaginary[lane].powi(2));
        let mut order = [0, 1, 2, 3, 4, 5];
        order.sort_unstable_by(|a, b| powers[*b].total_cmp(&powers[*a]));
        let [first, second, ..] = order;
        let is_signal = powers[second] >= power_min
            && powers[first] <= TWIST_MAX * powers[second]
            && powers[first] + powers[second] >= SHARE_MIN * power;
        is_signal.then(|| signal_of(first.min(second), first.max(second)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, pair_of};
    use super::*;
    use crate::level::peak_of_sine;
    use crate::noise::Noise;
    use crate::oscillator::Oscillator;

    fn heard(direction: Direction, samples: &[i16]) -> Vec<Option<u8>> {
        let mut heard = Vec::new();
        let mut detector = Detector::new(direction);
        for block in samples.chunks(53) {
            detector.process(block, |signal| heard.push(signal));
        }
        heard
    }

    /// A signal whose frequencies are off, each with a level of its own.
    fn sounding(direction: Direction, signal: u8, off_hz: [f32; 2], levels: [f32; 2]) -> Vec<i16> {
        let (low, high) = pair_of(signal).unwrap();
        let hz = direction.frequencies_hz();
        let mut first = Oscillator::new(hz[low] + off_hz[0], SAMPLE_RATE_HZ);
        let mut second = Oscillator::new(hz[high] + off_hz[1], SAMPLE_RATE_HZ);
        let peaks = levels.map(peak_of_sine);
        let sample = |_| (peaks[0] * first.next() + peaks[1] * second.next()).round() as i16;
        (0..800).map(sample).collect()
    }

    #[test]
    fn every_signal_is_heard_and_its_end_while_the_other_direction_sounds_not() {
        for direction in [Direction::Forward, Direction::Backward] {
            for signal in 1..=15 {
                let mut generator = Generator::new(direction);
                generator.sound(Some(signal));
                let mut samples = [0_i16; 960];
                generator.fill(&mut samples[..480]);
                assert_eq!(heard(direction, &samples), [Some(signal), None]);
                assert_eq!(heard(direction.other(), &samples), []);
            }
        }
    }

    #[test]
    fn what_q_455_wants_heard_is_heard() {
        for direction in [Direction::Forward, Direction::Backward] {
            for signal in 1..=15 {
                for levels in [[-5.0, -5.0], [-35.0, -35.0], [-12.0, -19.0], [-35.0, -28.0]] {
                    for off_hz in [[10.0, 10.0], [-10.0, 10.0], [10.0, -10.0]] {
                        let samples = sounding(direction, signal, off_hz, levels);
                        let heard = heard(direction, &samples);
                        assert_eq!(heard, [Some(signal)], "{off_hz:?} {levels:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_q_455_wants_unheard_is_not_heard() {
        let direction = Direction::Forward;
        // Too weak; one frequency by itself; seven milliseconds; noise.
        assert_eq!(heard(direction, &sounding(direction, 6, [0.0; 2], [-42.0; 2])), []);
        assert_eq!(heard(direction, &sounding(direction, 6, [0.0; 2], [-8.0, -40.0])), []);
        let mut short = sounding(direction, 6, [0.0; 2], [-11.5; 2]);
        short[56..].fill(0);
        assert_eq!(heard(direction, &short), []);
        let mut noise = Noise::new(3);
        let noise: Vec<i16> = (0..80_000).map(|_| (noise.next() * 3_000.0) as i16).collect();
        assert_eq!(heard(direction, &noise), []);
    }

    #[test]
    fn a_signal_is_heard_within_30_ms_and_its_end_too() {
        for signal in 1..=15 {
            let mut samples = sounding(Direction::Forward, signal, [0.0; 2], [-11.5; 2]);
            samples[400..].fill(0);
            let mut detector = Detector::new(Direction::Forward);
            let mut times = Vec::new();
            for (at, block) in samples.chunks(8).enumerate() {
                detector.process(block, |_| times.push(at + 1));
            }
            assert!(matches!(times[..], [on, off] if on <= 30 && off <= 50 + 30), "{times:?}");
        }
    }
}
