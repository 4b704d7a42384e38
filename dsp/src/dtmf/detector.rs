//! The detector of DTMF digits.
//!
//! # What it does
//! Reports each digit in samples at 8 kHz once, with its begin and its end. Within the limits of
//! Q.24 and with some margin: tones of 40 ms and more are found, under 24 ms are not; frequencies
//! off by up to 1.5 % + 2 Hz are accepted, off by 3.5 % are not; levels from −36 dBm0 a tone up to
//! overload; the high group up to 5 dB above, the low group up to 9 dB above the other; pauses of
//! 20 ms divide digits, interruptions of 10 ms do not; noise down to 9 dB below the digit.
//!
//! # How it works
//! Windows of 102 samples (12.75 ms, Hann), one each 34 samples, are correlated with the eight
//! frequencies: eight Goertzel filters in non-recursive form, eight lanes side by side. The Hann
//! window keeps the two groups apart. For the strongest frequency of each group:
//!
//! 1. The turn of its phase since the window before tells the true frequency to within about 2 Hz,
//!    far finer than the windows resolve. So accuracy does not cost time.
//! 2. Its power is corrected for the deviation from the nominal frequency.
//! 3. The two powers together must make up [`SHARE_MIN`] of all power in the window. Everything
//!    else (neighbouring frequencies, speech, noise) counts against the digit.
//! 4. Twist and level must be within their limits, and there must be neither second harmonics nor
//!    sound below the digits: a voice has both.
//!
//! Seven windows with the same digit begin it, five without it end it (`runs.rs`). A
//! window still passes with about 35 of its samples outside the tone, so a tone of D samples gives
//! (D − 32) / 34 hits, one more or less: at most 5 for 23 ms, at least 8 for 40 ms.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::dtmf::{Detector, Event, Generator};
//!
//! let mut samples = [0_i16; 1_600];
//! let mut generator = Generator::default();
//! generator.send('7', 100, 100).unwrap();
//! generator.fill(&mut samples);
//!
//! let mut digits = String::new();
//! Detector::new().process(&samples, |event| {
//!     if let Event::Begin { digit, .. } = event {
//!         digits.push(digit);
//!     }
//! });
//! assert_eq!(digits, "7");
//! ```
//!
//! # Cost
//! 48 multiplications a sample in lanes while there is sound, two in silence.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use super::runs::{Event, Runs};
use super::{HIGH_HZ, KEYS, LOW_HZ};
use crate::SAMPLE_RATE_HZ;
use crate::level::rms;

/// Samples in a window.
pub(super) const WINDOW: usize = 102;
/// Samples from window to window.
pub(super) const HOP: usize = 34;
/// Level of the weaker tone, below which nothing is a digit.
pub(super) const LEVEL_MIN_DBM0: f32 = -36.5;
/// A window below this part of the least power of a tone, −12 dB, is not looked into.
pub(super) const QUIET: f32 = 0.063;
/// Share of the power that the two tones must have; noise 9 dB below leaves 0.89.
pub(super) const SHARE_MIN: f32 = 0.77;
/// Deviation from the nominal frequency: between 1.5 % + 2 Hz and 3.5 %.
pub(super) const DEVIATION_MAX: f32 = 0.026;
/// Power of the high group over that of the low group: 5 dB.
pub(super) const HIGH_OVER_LOW_MAX: f32 = 3.162;
/// Power of the low group over that of the high group: 9 dB.
pub(super) const LOW_OVER_HIGH_MAX: f32 = 7.943;
/// Power of a second harmonic over that of its tone: −12 dB.
pub(super) const HARMONIC_MAX: f32 = 0.063;

/// Bands below the digits, each about 150 Hz wide.
pub(super) const VOICE_HZ: [f32; 3] = [190.0, 340.0, 490.0];
/// Power in one of them over that of the digit: −15 dB.
pub(super) const VOICE_MAX: f32 = 0.032;

/// Finds digits in samples at 8 kHz.
#[derive(Clone, Debug)]
pub struct Detector {
    bank: &'static Bank,
    /// The window in the making; `held` samples of it are there.
    window: [f32; WINDOW],
    held: usize,
    /// Correlations of the window before.
    before: Spectrum,
    runs: Runs,
    power_min: f32,
}

impl Detector {
    /// A detector that has heard nothing.
    pub fn new() -> Self {
        Self {
            bank: &BANK,
            window: [0.0; WINDOW],
            held: WINDOW - HOP,
            before: Spectrum::default(),
            runs: Runs::new(),
            power_min: rms(LEVEL_MIN_DBM0).powi(2),
        }
    }

    /// Listens to a block of any length and reports what it finds.
    pub fn process(&mut self, mut samples: &[i16], mut report: impl FnMut(Event)) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(WINDOW - self.held));
            for (slot, &sample) in self.window[self.held..].iter_mut().zip(now) {
                *slot = f32::from(sample);
            }
            self.held += now.len();
            samples = later;
            if self.held == WINDOW {
                let heard = self.listen();
                self.runs.window(heard, &mut report);
                self.window.copy_within(HOP.., 0);
                self.held = WINDOW - HOP;
            }
        }
    }

    /// The digit that sounds now, from 36 ms after its begin to 21 ms after its end.
    pub fn digit(&self) -> Option<char> {
        self.runs.digit()
    }

    /// The digit in the full window, with its power.
    fn listen(&mut self) -> Option<(char, f32)> {
        let power = self.bank.power(&self.window);
        if power < QUIET * self.power_min {
            self.before = Spectrum::default();
            return None;
        }
        let spectrum = self.bank.correlate(&self.window);
        let before = std::mem::replace(&mut self.before, spectrum.clone());
        let row = spectrum.strongest(0);
        let column = spectrum.strongest(LOW_HZ.len());
        let low = Tone::measure(LOW_HZ[row], &spectrum, &before, row)?;
        let high = Tone::measure(HIGH_HZ[column], &spectrum, &before, LOW_HZ.len() + column)?;
        let accepted = low.power.min(high.power) >= self.power_min
            && low.power + high.power >= SHARE_MIN * power
            && high.power <= HIGH_OVER_LOW_MAX * low.power
            && low.power <= LOW_OVER_HIGH_MAX * high.power
            && !self.has_harmonics(&low, &high)
            && !self.has_voice(low.power + high.power);
        accepted.then(|| (KEYS[row][column], low.power + high.power))
    }

    fn has_harmonics(&self, low: &Tone, high: &Tone) -> bool {
        // Twice the low frequency can lie so near the high one that they are not told apart.
        const APART_HZ: f32 = 200.0;
        let of_low = 2.0 * low.frequency_hz;
        let of_high = 2.0 * high.frequency_hz;
        self.bank.power_at(&self.window, of_high) > HARMONIC_MAX * high.power
            || (of_low - high.frequency_hz).abs() > APART_HZ
                && self.bank.power_at(&self.window, of_low) > HARMONIC_MAX * low.power
    }

    /// A voice has its fundamental or low harmonics below the digits, where white noise 9 dB below
    /// a digit has −24 dB in each of these bands.
    fn has_voice(&self, power: f32) -> bool {
        let below = VOICE_HZ.iter().map(|&hz| self.bank.power_at(&self.window, hz));
        below.fold(0.0, f32::max) > VOICE_MAX * power
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

/// Correlations with the eight frequencies, low group first.
#[derive(Clone, Debug, Default)]
struct Spectrum {
    real: [f32; LANES],
    imaginary: [f32; LANES],
}

const LANES: usize = LOW_HZ.len() + HIGH_HZ.len();

impl Spectrum {
    fn magnitude_squared(&self, lane: usize) -> f32 {
        self.real[lane].powi(2) + self.imaginary[lane].powi(2)
    }

    /// The strongest frequency of the group that begins at a lane.
    fn strongest(&self, group: usize) -> usize {
        (1..LOW_HZ.len()).fold(0, |best, next| {
            let louder =
                self.magnitude_squared(group + next) > self.magnitude_squared(group + best);
            if louder { next } else { best }
        })
    }
}

/// A tone near one of the eight frequencies.
struct Tone {
    frequency_hz: f32,
    power: f32,
}

impl Tone {
    /// The tone's true frequency and power; `None` if it is too far from the nominal frequency.
    fn measure(
        nominal_hz: f32,
        spectrum: &Spectrum,
        before: &Spectrum,
        lane: usize,
    ) -> Option<Self> {
        let (a, b) = (spectrum.real[lane], spectrum.imaginary[lane]);
        let (c, d) = (before.real[lane], before.imaginary[lane]);
        if c == 0.0 && d == 0.0 {
            return None; // The window before was silent: there is no turn.
        }
        let turn = (b * c - a * d).atan2(a * c + b * d);
        let expected = TAU * nominal_hz * HOP as f32 / SAMPLE_RATE_HZ as f32;
        let excess = (turn - expected + PI).rem_euclid(TAU) - PI;
        let deviation_hz = excess * SAMPLE_RATE_HZ as f32 / (TAU * HOP as f32);
        if deviation_hz.abs() > DEVIATION_MAX * nominal_hz {
            return None;
        }
        // Amplitude response of the Hann window off its centre: sinc(x) / (1 − x²).
        let x = deviation_hz * WINDOW as f32 / SAMPLE_RATE_HZ as f32;
        let response = match x.abs() {
            x if x < 0.001 => 1.0,
            x => (PI * x).sin() / (PI * x * (1.0 - x * x)),
        };
        let power = spectrum.magnitude_squared(lane) / response.powi(2);
        Some(Self { frequency_hz: nominal_hz + deviation_hz, power })
    }
}

static BANK: LazyLock<Bank> = LazyLock::new(Bank::new);

/// The eight frequencies under the window, scaled so that a squared magnitude is the power.
#[derive(Debug)]
struct Bank {
    cosine: [[f32; LANES]; WINDOW],
    sine: [[f32; LANES]; WINDOW],
    /// The window itself; its sum is 1.
    shape: [f32; WINDOW],
}

impl Bank {
    fn new() -> Self {
        let mut bank = Self {
            cosine: [[0.0; LANES]; WINDOW],
            sine: [[0.0; LANES]; WINDOW],
            shape: [0.0; WINDOW],
        };
        for n in 0..WINDOW {
            let angle = TAU * (n as f32 + 0.5) / WINDOW as f32;
            bank.shape[n] = (1.0 - angle.cos()) / WINDOW as f32;
            for (lane, hz) in LOW_HZ.into_iter().chain(HIGH_HZ).enumerate() {
                let angle = TAU * hz * n as f32 / SAMPLE_RATE_HZ as f32;
                bank.cosine[n][lane] = bank.shape[n] * angle.cos() * std::f32::consts::SQRT_2;
                bank.sine[n][lane] = -bank.shape[n] * angle.sin() * std::f32::consts::SQRT_2;
            }
        }
        bank
    }

    fn power(&self, window: &[f32; WINDOW]) -> f32 {
        window.iter().zip(&self.shape).map(|(sample, weight)| weight * sample * sample).sum()
    }

    fn correlate(&self, window: &[f32; WINDOW]) -> Spectrum {
        let mut spectrum = Spectrum::default();
        for ((sample, cosine), sine) in window.iter().zip(&self.cosine).zip(&self.sine) {
            for lane in 0..LANES {
                spectrum.real[lane] += sample * cosine[lane];
                spectrum.imaginary[lane] += sample * sine[lane];
            }
        }
        spectrum
    }

    fn power_at(&self, window: &[f32; WINDOW], frequency_hz: f32) -> f32 {
        let (turn_sine, turn_cosine) = (TAU * frequency_hz / SAMPLE_RATE_HZ as f32).sin_cos();
        let (mut sine, mut cosine) = (0.0, 1.0);
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (sample, weight) in window.iter().zip(&self.shape) {
            real += weight * sample * cosine;
            imaginary += weight * sample * sine;
            (sine, cosine) =
                (sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine);
        }
        2.0 * (real * real + imaginary * imaginary)
    }
}

#[cfg(test)]
mod tests;
