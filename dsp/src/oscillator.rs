//! A sine oscillator: a complex number turned by a constant angle each sample.

use std::f64::consts::TAU;

/// A sine of constant frequency and amplitude 1, continuous in phase from call to call.
///
/// In double precision the amplitude drifts by less than 10⁻⁷ in a day, so it is never corrected.
#[derive(Clone, Debug)]
pub(crate) struct Oscillator {
    sine: f64,
    cosine: f64,
    turn_sine: f64,
    turn_cosine: f64,
}

impl Oscillator {
    /// Begins at phase zero.
    pub(crate) fn new(frequency_hz: f32, rate_hz: u32) -> Self {
        let (turn_sine, turn_cosine) =
            (TAU * f64::from(frequency_hz) / f64::from(rate_hz)).sin_cos();
        Self { sine: 0.0, cosine: 1.0, turn_sine, turn_cosine }
    }

    /// The next sample.
    #[inline]
    pub(crate) fn next(&mut self) -> f32 {
        let sample = self.sine;
        self.sine = sample * self.turn_cosine + self.cosine * self.turn_sine;
        self.cosine = self.cosine * self.turn_cosine - sample * self.turn_sine;
        sample as f32
    }
}
