//! Levels: between dBm0, dBov and linear samples, and a meter.
//!
//! # What it does
//! The network states levels in dBm0, power at the zero level point; RFC 3389 states them in
//! −dBov, relative to the overload of the system. Samples are 16 bits wide.
//!
//! # How it works
//! A sine whose peak reaches the overload of A-law (32 768 in our scale) has +3.14 dBm0 (G.711,
//! table 5). So 0 dBm0 is 16 141 rms. A square wave at full scale is 0 dBov, a sine at full scale
//! −3.01 dBov: dBm0 = dBov + 6.15. µ-law overloads at +3.17 dBm0; the 0.03 dB are neglected.
//!
//! [`LevelMeter`] smooths the square of the samples with a time constant of 35 ms, as the level
//! meter of G.168 does.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::level::{LevelMeter, peak_of_sine};
//!
//! let mut meter = LevelMeter::new();
//! let peak = peak_of_sine(-10.0);
//! let sine: Vec<i16> =
//!     (0..4_000).map(|n| (peak * (n as f32 * 0.8).sin()) as i16).collect();
//! meter.measure(&sine);
//! assert!((meter.level_dbm0() + 10.0).abs() < 0.2);
//! ```
//!
//! # Cost
//! Two multiplications a sample.

/// Level of a sine that just reaches the overload of A-law (G.711, table 5).
#[expect(clippy::approx_constant, reason = "decibels, not π")]
pub const OVERLOAD_SINE_DBM0: f32 = 3.14;

/// The level reported for digital silence.
pub const SILENCE_DBM0: f32 = -96.0;

const OVERLOAD: f32 = 32_768.0;

/// Ratio of dBm0 to dBov: a sine at overload is at −3.01 dBov.
const DBM0_ABOVE_DBOV: f32 = OVERLOAD_SINE_DBM0 + 3.01;

/// Peak, in samples, of a sine with this level.
pub fn peak_of_sine(level_dbm0: f32) -> f32 {
    OVERLOAD * amplitude_ratio(level_dbm0 - OVERLOAD_SINE_DBM0)
}

/// Root mean square, in samples, of any signal with this level.
pub fn rms(level_dbm0: f32) -> f32 {
    peak_of_sine(level_dbm0) * std::f32::consts::FRAC_1_SQRT_2
}

/// Level of a signal with this mean square of its samples; not below [`SILENCE_DBM0`].
pub fn level_of_power(mean_square: f32) -> f32 {
    let full = OVERLOAD * OVERLOAD / 2.0;
    (10.0 * (mean_square / full).log10() + OVERLOAD_SINE_DBM0).max(SILENCE_DBM0)
}

/// Level of a block of samples; [`SILENCE_DBM0`] for none.
pub fn level_of(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBM0;
    }
    let energy: u64 = samples.iter().map(|&sample| u64::from(sample.unsigned_abs()).pow(2)).sum();
    level_of_power((energy as f64 / samples.len() as f64) as f32)
}

/// dBm0 as dBov.
pub fn dbov_of_dbm0(level_dbm0: f32) -> f32 {
    level_dbm0 - DBM0_ABOVE_DBOV
}

/// dBov as dBm0.
pub fn dbm0_of_dbov(level_dbov: f32) -> f32 {
    level_dbov + DBM0_ABOVE_DBOV
}

/// The factor by which a sample grows for so many decibels.
pub fn amplitude_ratio(decibels: f32) -> f32 {
    10_f32.powf(decibels / 20.0)
}

/// A meter with the 35 ms time constant of G.168.
#[derive(Clone, Debug)]
pub struct LevelMeter {
    mean_square: f32,
}

impl LevelMeter {
    /// A meter that has seen silence, for samples at 8 kHz.
    pub fn new() -> Self {
        Self { mean_square: 0.0 }
    }

    /// Follows samples at 8 kHz.
    pub fn measure(&mut self, samples: &[i16]) {
        /// 1 − e^(−1 / (8 000 Hz · 35 ms))
        const STEP: f32 = 0.003_565_1;
        for &sample in samples {
            let sample = f32::from(sample);
            self.mean_square += STEP * (sample * sample - self.mean_square);
        }
    }

    /// The level now.
    pub fn level_dbm0(&self) -> f32 {
        level_of_power(self.mean_square)
    }
}

impl Default for LevelMeter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711::Law;

    #[test]
    fn a_sine_at_overload_has_the_level_of_table_5() {
        assert!((peak_of_sine(OVERLOAD_SINE_DBM0) - 32_768.0).abs() < 0.1);
        assert!((level_of_power(rms(-20.0).powi(2)) + 20.0).abs() < 0.001);
        assert!((dbm0_of_dbov(-3.01) - OVERLOAD_SINE_DBM0).abs() < 0.001);
        assert_eq!(dbov_of_dbm0(dbm0_of_dbov(-40.0)), -40.0);
    }

    #[test]
    fn the_digital_milliwatt_is_at_0_dbm0() {
        // G.711, table 5: the periodic sequence of octets that makes 1 kHz at 0 dBm0.
        let milliwatt = [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4];
        let samples = milliwatt.map(|octet| Law::A.decode(octet));
        assert!(level_of(&samples).abs() < 0.03, "{}", level_of(&samples));
    }

    #[test]
    fn silence_has_a_floor_instead_of_minus_infinity() {
        assert_eq!(level_of(&[0; 80]), SILENCE_DBM0);
        assert_eq!(level_of(&[]), SILENCE_DBM0);
        assert_eq!(LevelMeter::new().level_dbm0(), SILENCE_DBM0);
    }

    #[test]
    fn the_meter_falls_with_its_time_constant() {
        let mut meter = LevelMeter::new();
        meter.measure(&[10_000; 8_000]);
        let before = meter.level_dbm0();
        meter.measure(&[0; 280]);
        // One time constant: e^-1 of the power is 4.34 dB.
        assert!((before - meter.level_dbm0() - 4.34).abs() < 0.05);
    }
}
