//! The low-pass filter of the resamplers: a sinc under a Kaiser window.

use std::f64::consts::PI;

/// Samples of the lower rate that the filter spans.
pub(crate) const SPAN: usize = 32;

/// Middle of the transition, in parts of the lower rate.
///
/// With [`SPAN`] and [`KAISER_BETA`] the pass band ends at 0.425 of the lower rate (3.4 kHz of
/// 8 kHz) and the stop band, 66 dB down, begins at 0.55 (4.4 kHz).
const CUT_OFF: f64 = 0.488;

/// Shape of the window for 66 dB: 0.1102 · (66 − 8.7).
const KAISER_BETA: f64 = 6.31;

/// The filter's response `time` after its middle, both in samples of the lower rate; its integral
/// is 1.
pub(crate) fn response(time: f64) -> f64 {
    let edge = SPAN as f64 / 2.0;
    let within = 1.0 - (time / edge).powi(2);
    if within <= 0.0 {
        return 0.0;
    }
    let window = bessel_i0(KAISER_BETA * within.sqrt()) / bessel_i0(KAISER_BETA);
    let angle = 2.0 * PI * CUT_OFF * time;
    let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
    2.0 * CUT_OFF * sinc * window
}

/// The modified Bessel function of the first kind and order zero.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..30 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_band_is_60_db_down_and_the_pass_band_flat() {
        // Amplitude at a frequency, in parts of the lower rate, summed at eight times that rate.
        let amplitude = |frequency: f64| -> f64 {
            (-128..=128)
                .map(|n| f64::from(n) / 8.0)
                .map(|time| response(time) / 8.0 * (2.0 * PI * frequency * time).cos())
                .sum()
        };
        for step in 0..=425 {
            let decibels = 20.0 * amplitude(f64::from(step) / 1_000.0).abs().log10();
            assert!(decibels.abs() < 0.02, "{decibels} dB at {step}");
        }
        for step in 552..4_000 {
            let decibels = 20.0 * amplitude(f64::from(step) / 1_000.0).abs().log10();
            assert!(decibels < -60.0, "{decibels} dB at {step}");
        }
    }
}
