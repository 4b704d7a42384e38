//! Comfort noise: the background that is played while the sender is silent (RFC 3389).
//!
//! # What it does
//! [`NoiseEstimate`] listens to the background and writes the payload of a CN packet;
//! [`ComfortNoise`] takes such a payload and plays noise of the same level and spectrum.
//!
//! # How it works
//! The payload is the level in −dBov and, optionally, the reflection coefficients of an all-pole
//! model, quantised as RFC 3389 §3.2 says. The coefficients come from the autocorrelation of the
//! last quarter of a second by the recursion of Levinson and Durbin; their sign is that of the
//! field, k₁ = −R(1) / R(0), which the RFC leaves open. The generator filters white noise by a
//! lattice with these coefficients, which is stable for any payload, and approaches a new level
//! in about 20 ms instead of stepping to it.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::comfort_noise::{ComfortNoise, NoiseEstimate};
//!
//! let mut estimate = NoiseEstimate::new();
//! estimate.observe(&[12, -9, 4, -15, 8, 1, -7, 11]);
//! let mut payload = [0; 11];
//! let octets = estimate.write(&mut payload);
//!
//! let mut noise = ComfortNoise::new();
//! noise.update(&payload[..octets]);
//! noise.fill(&mut [0_i16; 160]);
//! ```
//!
//! # Cost
//! Two multiplications a sample and coefficient.

use crate::level::{dbm0_of_dbov, dbov_of_dbm0, level_of_power, rms};
use crate::noise::Noise;

/// Reflection coefficients written and used at most; G.711 Appendix II has ten.
pub const ORDER_MAX: usize = 10;

/// Level before the first payload, in −dBov.
const LEVEL_AT_FIRST: u8 = 70;

/// Plays the background of a silent sender.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    noise: Noise,
    reflection: [f32; ORDER_MAX],
    lattice: [f32; ORDER_MAX],
    /// Root mean square of what goes into the lattice, and the value it approaches.
    rms: f32,
    rms_wanted: f32,
}

impl ComfortNoise {
    /// White noise at −70 dBov, as long as nothing better is known.
    pub fn new() -> Self {
        let mut noise = Self {
            noise: Noise::new(1),
            reflection: [0.0; ORDER_MAX],
            lattice: [0.0; ORDER_MAX],
            rms: 0.0,
            rms_wanted: 0.0,
        };
        noise.update(&[LEVEL_AT_FIRST]);
        noise
    }

    /// Takes the payload of a CN packet. An empty one changes nothing, coefficients beyond the
    /// tenth are ignored, as RFC 3389 §3 allows.
    pub fn update(&mut self, payload: &[u8]) {
        /// Keeps the lattice from ringing for long.
        const REFLECTION_MAX: f32 = 0.98;
        let Some((&level, coefficients)) = payload.split_first() else {
            return;
        };
        self.reflection = [0.0; ORDER_MAX];
        for (reflection, &index) in self.reflection.iter_mut().zip(coefficients) {
            let value = f32::from(i16::from(index) - 127) * QUANTISATION_STEP;
            *reflection = value.clamp(-REFLECTION_MAX, REFLECTION_MAX);
        }
        // The lattice amplifies power by the inverse of this product.
        let loss: f32 = self.reflection.iter().map(|value| 1.0 - value * value).product();
        // RFC 3389 §3.1: the most significant bit is unused.
        self.rms_wanted = rms(dbm0_of_dbov(-f32::from(level & 0x7F))) * loss.sqrt();
    }

    /// Fills a block with noise.
    pub fn fill(&mut self, out: &mut [i16]) {
        /// 1 / 20 ms
        const APPROACH: f32 = 1.0 / 160.0;
        for sample in out {
            self.rms += APPROACH * (self.rms_wanted - self.rms);
            let mut forward = self.rms * self.noise.next();
            for n in (0..ORDER_MAX).rev() {
                forward -= self.reflection[n] * self.lattice[n];
                let backward = self.reflection[n] * forward + self.lattice[n];
                if let Some(next) = self.lattice.get_mut(n + 1) {
                    *next = backward;
                }
            }
            self.lattice[0] = forward;
            *sample = forward.round() as i16; // saturates
        }
    }
}

impl Default for ComfortNoise {
    fn default() -> Self {
        Self::new()
    }
}

/// Step of a quantised reflection coefficient (RFC 3389 §3.2: 258 in units of 2⁻¹⁵).
const QUANTISATION_STEP: f32 = 258.0 / 32_768.0;

/// Level and spectrum of the background.
#[derive(Clone, Debug)]
pub struct NoiseEstimate {
    /// Mean of the products of samples so far apart.
    autocorrelation: [f32; ORDER_MAX + 1],
    /// The last samples, latest first.
    past: [f32; ORDER_MAX],
    observed: u32,
}

impl NoiseEstimate {
    /// An estimate of silence.
    pub fn new() -> Self {
        Self { autocorrelation: [0.0; ORDER_MAX + 1], past: [0.0; ORDER_MAX], observed: 0 }
    }

    /// Listens to background: samples of which it is known that there is no voice in them.
    pub fn observe(&mut self, samples: &[i16]) {
        /// Samples that count: a quarter of a second.
        const MEMORY: u32 = 2_000;
        for &sample in samples {
            self.observed = (self.observed + 1).min(MEMORY);
            let step = 1.0 / self.observed as f32;
            let sample = f32::from(sample);
            let (zeroth, others) = self.autocorrelation.split_at_mut(1);
            zeroth[0] += step * (sample * sample - zeroth[0]);
            for (mean, past) in others.iter_mut().zip(self.past) {
                *mean += step * (sample * past - *mean);
            }
            self.past.copy_within(..ORDER_MAX - 1, 1);
            self.past[0] = sample;
        }
    }

    /// Level of the background.
    pub fn level_dbm0(&self) -> f32 {
        level_of_power(self.autocorrelation[0])
    }

    /// Writes the payload of a CN packet: the level and as many coefficients, up to
    /// [`ORDER_MAX`], as there is room for. Returns the octets written.
    pub fn write(&self, payload: &mut [u8]) -> usize {
        let Some((level, coefficients)) = payload.split_first_mut() else {
            return 0;
        };
        *level = (-dbov_of_dbm0(self.level_dbm0())).round().clamp(0.0, 127.0) as u8;
        for (index, value) in coefficients.iter_mut().zip(self.reflection()) {
            *index = (127.0 + (value / QUANTISATION_STEP).round()).clamp(0.0, 254.0) as u8;
        }
        1 + coefficients.len().min(ORDER_MAX)
    }

    /// Reflection coefficients by the recursion of Levinson and Durbin.
    fn reflection(&self) -> [f32; ORDER_MAX] {
        let r = &self.autocorrelation;
        let mut reflection = [0.0; ORDER_MAX];
        let mut predictor = [0.0_f32; ORDER_MAX];
        // A little white noise keeps pure tones from leaving no error at all.
        let mut error = r[0] * 1.000_1 + 1.0;
        for order in 0..ORDER_MAX {
            let predicted: f32 = (0..order).map(|n| predictor[n] * r[order - n]).sum();
            let value = (-(r[order + 1] + predicted) / error).clamp(-0.99, 0.99);
            let before = predictor;
            for n in 0..order {
                predictor[n] += value * before[order - 1 - n];
            }
            predictor[order] = value;
            reflection[order] = value;
            error *= 1.0 - value * value;
        }
        reflection
    }
}

impl Default for NoiseEstimate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::level_of;

    fn played(payload: &[u8]) -> Vec<i16> {
        let mut noise = ComfortNoise::new();
        noise.update(payload);
        let mut samples = vec![0; 16_000];
        noise.fill(&mut samples);
        samples.split_off(1_600)
    }

    /// R(1) / R(0): near 1 for a dull sound, near −1 for a sharp one.
    fn dullness(samples: &[i16]) -> f32 {
        let product = |shift: usize| -> f32 {
            samples.iter().zip(&samples[shift..]).map(|(&a, &b)| f32::from(a) * f32::from(b)).sum()
        };
        product(1) / product(0)
    }

    #[test]
    fn noise_has_the_level_that_the_payload_says() {
        for level in [30, 45, 60] {
            let samples = played(&[level]);
            assert!((dbov_of_dbm0(level_of(&samples)) + f32::from(level)).abs() < 0.5);
            let coloured = played(&[level, 10, 200, 100]);
            assert!((dbov_of_dbm0(level_of(&coloured)) + f32::from(level)).abs() < 1.0);
        }
        assert!(played(&[127]).iter().all(|&sample| sample == 0));
    }

    #[test]
    fn level_and_spectrum_come_through_a_payload() {
        let mut noise = Noise::new(9);
        let mut last = 0.0;
        // A first-order low pass: R(1) / R(0) is 0.8.
        let background: Vec<i16> = (0..8_000)
            .map(|_| {
                last = 0.8 * last + 60.0 * noise.next();
                last as i16
            })
            .collect();
        let mut estimate = NoiseEstimate::new();
        background.chunks(160).for_each(|block| estimate.observe(block));
        let mut payload = [0; 1 + ORDER_MAX];
        assert_eq!(estimate.write(&mut payload), 11);
        let k1 = f32::from(i16::from(payload[1]) - 127) * QUANTISATION_STEP;
        assert!((k1 + 0.8).abs() < 0.05, "{k1}");
        let samples = played(&payload);
        assert!((level_of(&samples) - level_of(&background)).abs() < 1.0);
        assert!((dullness(&samples) - 0.8).abs() < 0.05);
    }

    #[test]
    fn without_room_only_the_level_is_written() {
        let mut estimate = NoiseEstimate::new();
        assert_eq!(estimate.write(&mut []), 0);
        let mut payload = [0];
        assert_eq!(estimate.write(&mut payload), 1);
        assert_eq!(payload, [102], "silence");
        estimate.observe(&[1_000; 4_000]);
        estimate.write(&mut payload);
        assert_eq!(payload, [30], "20 log10 (1 000 / 32 768)");
    }

    #[test]
    fn a_new_level_is_approached_without_a_step() {
        let mut noise = ComfortNoise::new();
        noise.update(&[20]);
        let mut samples = [0; 160];
        noise.fill(&mut samples);
        assert!(level_of(&samples[..20]) + 15.0 < level_of(&samples[100..]));
    }

    proptest! {
        #[test]
        fn any_payload_gives_bounded_noise(payload in proptest::collection::vec(any::<u8>(), 0..30)) {
            let mut noise = ComfortNoise::new();
            noise.update(&payload);
            noise.fill(&mut [0; 800]);
            prop_assert!(noise.lattice.iter().all(|value| value.abs() < 1e7));
        }
    }
}
