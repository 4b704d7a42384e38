//! Resampling by a ratio that is changed while it runs: for sound cards and their clocks.
//!
//! # What it does
//! A sound card runs at 44.1 or 48 kHz by a crystal of its own, up to some hundred parts in a
//! million off the clock of the network. [`DriftResampler`] turns samples at any rate into samples
//! at any other, and lets the ratio be trimmed in parts in a million, so that the queue between
//! card and network neither runs dry nor over.
//!
//! # How it works
//! For each output sample the low pass (the same as in [`crate::resample`]) is laid around its
//! place between the input samples. The filter is kept in a table of phases, between which it is
//! interpolated linearly; the place is counted in 2⁻³² input samples, so it never drifts itself.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::drift::DriftResampler;
//!
//! let mut from_card = DriftResampler::new(44_100, 8_000);
//! let mut samples = [0; 100];
//! let written = from_card.process(&[0; 441], &mut samples); // 10 ms
//! assert!((79..=81).contains(&written));
//! from_card.adjust(-35.0); // the queue behind it grows: a little fewer samples from now on
//! ```
//! The trim is the caller's control loop: a few parts in a million for each sample that the queue
//! is off its aim, smoothed over seconds. Up to 1 000 ppm are not heard.
//!
//! # Cost
//! Two times 32 multiplications in lanes a sample of the higher rate. `new` allocates, about
//! 20 KiB.

use crate::filter::{SPAN, response};
use crate::pitch::dot;

/// Phases of the filter where the output has the higher rate.
const PHASES: usize = 128;
/// Input samples taken in at a time.
const CHUNK: usize = 240;
/// The trim goes no further.
const TRIM_MAX_PPM: f64 = 10_000.0;
/// One input sample, in the unit of places.
const ONE: f64 = 4_294_967_296.0;

/// Turns samples at one rate into samples at another that is trimmed while it runs.
#[derive(Clone, Debug)]
pub struct DriftResampler {
    /// The filter, `phases` + 1 times `taps`, each phase in the order of the input samples.
    table: Vec<f32>,
    phases: usize,
    taps: usize,
    /// Input samples an output sample, untrimmed.
    ratio: f64,
    /// Way from one output sample to the next, in 2⁻³² input samples.
    step: u64,
    /// Place of the next output sample after the first of `samples`, in the same unit.
    place: u64,
    samples: Vec<f32>,
    held: usize,
}

impl DriftResampler {
    /// A resampler that has seen silence; rates from 1 kHz to 1 MHz, others are brought there.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let (from, to) =
            (f64::from(from_hz.clamp(1_000, 1_000_000)), f64::from(to_hz.clamp(1_000, 1_000_000)));
        // Going down, the filter is that much longer and smoother.
        let slowdown = (from / to).max(1.0);
        let taps = (SPAN as f64 * slowdown).ceil() as usize;
        let phases = ((PHASES as f64 / slowdown) as usize).max(16);
        let mut table = Vec::with_capacity((phases + 1) * taps);
        for phase in 0..=phases {
            let fraction = phase as f64 / phases as f64;
            let middle = (taps / 2 - 1) as f64 + fraction;
            let row = (0..taps).map(|tap| response((tap as f64 - middle) / slowdown));
            let sum: f64 = row.clone().sum();
            table.extend(row.map(|tap| (tap / sum) as f32));
        }
        let mut resampler = Self {
            table,
            phases,
            taps,
            ratio: from / to,
            step: 0,
            place: 0,
            samples: vec![0.0; taps + CHUNK],
            held: taps - 1,
        };
        resampler.adjust(0.0);
        resampler
    }

    /// Makes so many more output samples of the same input than the rates say: parts in a million,
    /// limited to ±10 000. It replaces the last value.
    pub fn adjust(&mut self, more_ppm: f64) {
        let trim = if more_ppm.is_finite() { more_ppm } else { 0.0 };
        let trim = trim.clamp(-TRIM_MAX_PPM, TRIM_MAX_PPM);
        self.step = (self.ratio / (1.0 + trim / 1e6) * ONE).round() as u64;
    }

    /// The most samples that may come out for so many that go in, as trimmed now.
    pub fn output_max(&self, input: usize) -> usize {
        ((input + 1) as f64 * ONE / self.step as f64).ceil() as usize
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
            while (self.place >> 32) as usize + self.taps <= self.held {
                if let Some(out) = output.get_mut(written) {
                    *out = self.interpolate().round() as i16; // saturates
                    written += 1;
                }
                self.place += self.step;
            }
            // A large step may lie beyond the samples that are there.
            let done = ((self.place >> 32) as usize).min(self.held);
            self.samples.copy_within(done..self.held, 0);
            self.held -= done;
            self.place -= (done as u64) << 32;
        }
        written
    }

    /// The sample at `place`.
    fn interpolate(&self) -> f32 {
        let whole = (self.place >> 32) as usize;
        let fraction = (self.place & 0xFFFF_FFFF) as f64 / ONE * self.phases as f64;
        let (phase, between) = (fraction as usize, fraction.fract() as f32);
        let rows = &self.table[phase * self.taps..(phase + 2) * self.taps];
        let window = &self.samples[whole..whole + self.taps];
        let (before, after) = rows.split_at(self.taps);
        let sample = dot(before, window);
        sample + between * (dot(after, window) - sample)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::level_of;

    fn sine(frequency_hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
        let turn = std::f64::consts::TAU * frequency_hz / f64::from(rate_hz);
        (0..samples).map(|n| (10_000.0 * (turn * n as f64).sin()).round() as i16).collect()
    }

    fn resampled(resampler: &mut DriftResampler, input: &[i16]) -> Vec<i16> {
        let mut output = vec![0; resampler.output_max(input.len())];
        let written = resampler.process(input, &mut output);
        output.truncate(written);
        output
    }

    /// What is left of a signal, in dB, when the best sine of a frequency is taken away.
    fn residue_db(samples: &[i16], frequency_hz: f64, rate_hz: f64) -> f64 {
        let turn = std::f64::consts::TAU * frequency_hz / rate_hz;
        let scale = 2.0 / samples.len() as f64;
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (n, &sample) in samples.iter().enumerate() {
            sine += scale * f64::from(sample) * (turn * n as f64).sin();
            cosine += scale * f64::from(sample) * (turn * n as f64).cos();
        }
        let residue = samples.iter().enumerate().map(|(n, &sample)| {
            let angle = turn * n as f64;
            (f64::from(sample) - sine * angle.sin() - cosine * angle.cos()).powi(2)
        });
        10.0 * (residue.sum::<f64>() / samples.len() as f64 / 5e7).log10()
    }

    #[test]
    fn tones_keep_frequency_and_level_between_any_rates() {
        for (from_hz, to_hz) in
            [(44_100, 8_000), (8_000, 44_100), (48_000, 8_000), (16_000, 44_100), (48_000, 48_000)]
        {
            let lower_hz = f64::from(from_hz.min(to_hz));
            for frequency_hz in [lower_hz / 20.0, lower_hz * 0.4] {
                let input = sine(frequency_hz, from_hz, from_hz as usize);
                let output = resampled(&mut DriftResampler::new(from_hz, to_hz), &input);
                assert!(output.len().abs_diff(to_hz as usize) <= 1, "{} samples", output.len());
                let steady = &output[to_hz as usize / 5..][..to_hz as usize / 5 * 4 - 10];
                assert!((level_of(steady) - level_of(&input)).abs() < 0.05);
                let residue = residue_db(steady, frequency_hz, f64::from(to_hz));
                assert!(residue < -55.0, "{residue} dB, {from_hz} to {to_hz}, {frequency_hz} Hz");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_does_not_fold_back() {
        let input = sine(5_000.0, 44_100, 44_100);
        let output = resampled(&mut DriftResampler::new(44_100, 8_000), &input);
        assert!(level_of(&output[800..]) - level_of(&input) < -60.0);
    }

    #[test]
    fn a_trim_changes_the_number_of_samples_and_the_pitch_by_as_much() {
        for more_ppm in [-300.0, 200.0] {
            let mut resampler = DriftResampler::new(8_000, 8_000);
            resampler.adjust(more_ppm);
            let input = sine(1_000.0, 8_000, 800_000);
            let output = resampled(&mut resampler, &input);
            let expected = 800_000.0 * (1.0 + more_ppm / 1e6);
            assert!((output.len() as f64 - expected).abs() < 2.0, "{} samples", output.len());
            let trimmed_hz = 1_000.0 / (1.0 + more_ppm / 1e6);
            assert!(residue_db(&output[8_000..88_000], trimmed_hz, 8_000.0) < -50.0);
        }
    }

    #[test]
    fn a_trim_in_the_midst_of_a_tone_does_not_click() {
        let mut resampler = DriftResampler::new(48_000, 48_000);
        let mut output = Vec::new();
        for (n, block) in sine(400.0, 48_000, 48_000).chunks(480).enumerate() {
            resampler.adjust(if n % 2 == 0 { 500.0 } else { -500.0 });
            output.extend(resampled(&mut resampler, block));
        }
        let step = output[4_800..].windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
        // The steepest slope of the sine, and one for rounding.
        assert!(step <= 526, "{step}");
    }

    proptest! {
        #[test]
        fn any_rates_trims_and_blocks_are_survived(
            from_hz in any::<u32>(),
            to_hz in 0..100_000_u32,
            more_ppm in any::<f64>(),
            input in proptest::collection::vec(any::<i16>(), 0..600),
            cut in 1..300_usize,
        ) {
            let mut resampler = DriftResampler::new(from_hz.min(200_000), to_hz);
            resampler.adjust(more_ppm);
            let (mut parts, mut whole) = (Vec::new(), resampler.clone());
            for block in input.chunks(cut) {
                let room = resampler.output_max(block.len());
                let mut out = vec![0; room];
                let written = resampler.process(block, &mut out);
                parts.extend_from_slice(&out[..written]);
            }
            prop_assert_eq!(parts, resampled(&mut whole, &input));
        }
    }
}
