//! Resampling between 8, 16 and 48 kHz.
//!
//! # What it does
//! Turns blocks of samples at one rate into blocks at another and keeps what it needs from block
//! to block. Blocks that are a multiple of the ratio (6 samples from 48 to 8 kHz) give blocks of
//! exactly the right length each time.
//!
//! # How it works
//! A finite impulse response low pass in polyphase form. It spans 32 samples of the lower rate:
//! the pass band ends at 0.425 of it (3.4 kHz of 8 kHz), the stop band, 60 dB down and more,
//! begins at 0.55 (4.4 kHz). Going up, each sample gives as many new ones as the ratio says, each
//! by its own phase of the filter; going down, only the samples wanted are computed.
//!
//! The delay is 16 samples of the lower rate: 2 ms at 8 kHz, 1 ms at 16 kHz.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::SampleRate;
//! use trunkline_dsp::resample::Resampler;
//!
//! let mut up = Resampler::new(SampleRate::Hz8000, SampleRate::Hz48000);
//! let mut wide = [0; 960];
//! assert_eq!(up.process(&[0; 160], &mut wide), 960);
//! ```
//! For rates in any other ratio, and to follow the clock of a sound card, see [`crate::drift`].
//!
//! # Cost
//! 32 multiplications in lanes a sample of the higher rate going up, or of the same going down.
//! `new` allocates.

use crate::filter::{SPAN, response};
use crate::pitch::dot;
use crate::rate::SampleRate;

/// Samples taken in at a time.
const CHUNK: usize = 240;

/// Turns samples at one rate into samples at another.
#[derive(Clone, Debug)]
pub struct Resampler {
    /// Phases of the filter, each in the order of the samples it is multiplied with.
    phases: Vec<Box<[f32]>>,
    /// Length of a phase.
    taps: usize,
    /// Samples to go forward after all phases were computed.
    forward: usize,
    /// Samples that the filter still needs, `held` of them.
    samples: Vec<f32>,
    held: usize,
    from: SampleRate,
    to: SampleRate,
}

impl Resampler {
    /// A resampler that has seen silence.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        let (up, down) = if to > from {
            ((to.hz() / from.hz()) as usize, 1)
        } else {
            (1, (from.hz() / to.hz()) as usize)
        };
        let ratio = up.max(down);
        let phases = match ratio {
            1 => vec![Box::from([1.0])],
            _ if up > 1 => (0..up).map(|phase| interpolating_phase(phase, up)).collect(),
            _ => vec![decimating_filter(down)],
        };
        let taps = phases[0].len();
        let samples = vec![0.0; taps + CHUNK];
        Self { phases, taps, forward: down, samples, held: taps - down, from, to }
    }

    /// The rate of the samples that go in.
    pub fn from(&self) -> SampleRate {
        self.from
    }

    /// The rate of the samples that come out.
    pub fn to(&self) -> SampleRate {
        self.to
    }

    /// The most samples that may come out for so many that go in.
    pub fn output_max(&self, input: usize) -> usize {
        (input * self.phases.len()).div_ceil(self.forward)
    }

    /// Takes all of `input` and returns the samples written. `output` must have room for
    /// [`output_max`](Self::output_max); what finds no room is dropped.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let mut written = 0;
        for chunk in input.chunks(CHUNK) {
            for (slot, &sample) in self.samples[self.held..].iter_mut().zip(chunk) {
                *slot = f32::from(sample);
            }
            self.held += chunk.len();
            let mut at = 0;
            while at + self.taps <= self.held {
                let window = &self.samples[at..at + self.taps];
                for (phase, out) in self.phases.iter().zip(output.iter_mut().skip(written)) {
                    *out = dot(phase, window).round() as i16; // saturates
                }
                written = (written + self.phases.len()).min(output.len());
                at += self.forward;
            }
            self.samples.copy_within(at..self.held, 0);
            self.held -= at;
        }
        written
    }
}

/// One of the phases that make `up` samples of each one.
fn interpolating_phase(phase: usize, up: usize) -> Box<[f32]> {
    // The middle of the filter lies between two samples of the higher rate, so that all phases
    // have the same length and the sum of each is near 1.
    let middle = (SPAN * up - 1) as f64 / 2.0;
    let taps: Vec<f64> = (0..SPAN)
        .rev()
        .map(|tap| response(((tap * up + phase) as f64 - middle) / up as f64))
        .collect();
    normalised(&taps)
}

/// The filter that takes one of each `down` samples.
fn decimating_filter(down: usize) -> Box<[f32]> {
    let middle = (SPAN * down - 1) as f64 / 2.0;
    let taps: Vec<f64> =
        (0..SPAN * down).map(|tap| response((tap as f64 - middle) / down as f64)).collect();
    normalised(&taps)
}

/// The same with a sum of exactly 1: a constant goes through unchanged.
fn normalised(taps: &[f64]) -> Box<[f32]> {
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::level_of;
    use SampleRate::{Hz8000, Hz16000, Hz48000};

    const PAIRS: [(SampleRate, SampleRate); 6] = [
        (Hz8000, Hz16000),
        (Hz8000, Hz48000),
        (Hz16000, Hz48000),
        (Hz16000, Hz8000),
        (Hz48000, Hz8000),
        (Hz48000, Hz16000),
    ];

    fn sine(frequency_hz: f64, rate: SampleRate, samples: usize) -> Vec<i16> {
        let turn = std::f64::consts::TAU * frequency_hz / f64::from(rate.hz());
        (0..samples).map(|n| (10_000.0 * (turn * n as f64).sin()).round() as i16).collect()
    }

    fn resampled(input: &[i16], from: SampleRate, to: SampleRate) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut output = vec![0; resampler.output_max(input.len())];
        let written = resampler.process(input, &mut output);
        output.truncate(written);
        output
    }

    /// What is left of a signal, in dB, when the best sine of a frequency is taken away.
    fn residue_db(samples: &[i16], frequency_hz: f64, rate: SampleRate) -> f64 {
        let turn = std::f64::consts::TAU * frequency_hz / f64::from(rate.hz());
        let (mut sine, mut cosine) = (0.0, 0.0);
        let scale = 2.0 / samples.len() as f64;
        for (n, &sample) in samples.iter().enumerate() {
            sine += scale * f64::from(sample) * (turn * n as f64).sin();
            cosine += scale * f64::from(sample) * (turn * n as f64).cos();
        }
        let residue: f64 = samples
            .iter()
            .enumerate()
            .map(|(n, &sample)| {
                let angle = turn * n as f64;
                (f64::from(sample) - sine * angle.sin() - cosine * angle.cos()).powi(2)
            })
            .sum();
        10.0 * (residue / samples.len() as f64 / (10_000.0_f64.powi(2) / 2.0)).log10()
    }

    #[test]
    fn a_tone_in_the_pass_band_stays_that_tone() {
        for (from, to) in PAIRS {
            let lower_hz = f64::from(from.min(to).hz());
            for part in [0.0375, 0.125, 0.3, 0.4, 0.425] {
                let frequency_hz = lower_hz * part;
                let input = sine(frequency_hz, from, from.hz() as usize);
                let output = resampled(&input, from, to);
                assert_eq!(output.len(), to.hz() as usize);
                let steady = &output[to.hz() as usize / 5..];
                let change = level_of(steady) - level_of(&input);
                assert!(change.abs() < 0.05, "{change} dB from {from} to {to}, {frequency_hz} Hz");
                let residue = residue_db(steady, frequency_hz, to);
                assert!(residue < -60.0, "{residue} dB from {from} to {to}, {frequency_hz} Hz");
            }
        }
    }

    #[test]
    fn a_tone_in_the_stop_band_does_not_fold_back() {
        for (from, to) in [(Hz16000, Hz8000), (Hz48000, Hz8000), (Hz48000, Hz16000)] {
            for part in [0.552, 0.6, 0.7, 0.9] {
                let input = sine(f64::from(to.hz()) * part, from, from.hz() as usize);
                let output = resampled(&input, from, to);
                let change = level_of(&output[to.hz() as usize / 5..]) - level_of(&input);
                assert!(change < -60.0, "{change} dB from {from} to {to} at {part}");
            }
        }
    }

    #[test]
    fn whole_blocks_give_whole_blocks_from_the_first() {
        for (from, to) in PAIRS {
            let mut resampler = Resampler::new(from, to);
            let (input, mut output) = (from.hz() as usize / 1_000, [0; 48]);
            for _ in 0..10 {
                let written = resampler.process(&vec![0; input], &mut output);
                assert_eq!(written, to.hz() as usize / 1_000);
            }
        }
    }

    #[test]
    fn the_same_rate_is_a_copy_and_full_scale_clips() {
        let input = sine(1_000.0, Hz8000, 500);
        assert_eq!(resampled(&input, Hz8000, Hz8000), input);
        let square: Vec<i16> =
            (0..800).map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let output = resampled(&square, Hz8000, Hz16000);
        // An overshoot that wrapped would change its sign at each peak.
        let changes =
            output[100..].windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        assert_eq!(changes, 19);
        assert_eq!(output.iter().max(), Some(&i16::MAX));
    }

    proptest! {
        #[test]
        fn the_lengths_of_blocks_do_not_matter(
            input in proptest::collection::vec(any::<i16>(), 0..1_500),
            cut in 1..700_usize,
            pair in 0..PAIRS.len(),
            room in 0..50_usize,
        ) {
            let (from, to) = PAIRS[pair];
            let mut resampler = Resampler::new(from, to);
            let mut output = Vec::new();
            for block in input.chunks(cut) {
                let mut out = vec![0; resampler.output_max(block.len())];
                let written = resampler.process(block, &mut out);
                output.extend_from_slice(&out[..written]);
            }
            prop_assert_eq!(output, resampled(&input, from, to));
            // Too little room is survived.
            prop_assert!(resampler.process(&input, &mut vec![0; room]) <= room);
        }
    }
}
