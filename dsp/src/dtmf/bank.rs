//! The detector of DTMF digits for sixteen channels.
//!
//! # What it does
//! The same as sixteen [`Detector`](super::Detector)s, with the same limits, at a small part of
//! their cost.
//!
//! # How it works
//! As the detector of one channel, which is the oracle of the tests, with three differences that
//! change nothing but cost. A window is symmetrical about its middle, so its samples are first
//! added and subtracted in pairs: the sums are correlated with cosines only, the differences with
//! sines only. Angles come from polynomials instead of libm. Harmonics and the band of voices are
//! looked into only when a channel has passed everything else.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::dtmf::{DetectorBank, Event, Generator};
//! use trunkline_dsp::lanes::{LANES, Row, interleave};
//!
//! let mut samples = [0_i16; 1_600];
//! let mut generator = Generator::default();
//! generator.send('7', 100, 100).unwrap();
//! generator.fill(&mut samples);
//! let mut channels = [&[0_i16; 1_600][..]; LANES];
//! channels[5] = &samples;
//! let mut rows = vec![Row::ZERO; 1_600];
//! interleave(&channels, &mut rows);
//!
//! let mut digits = Vec::new();
//! DetectorBank::new().process(&rows, |lane, event| {
//!     if let Event::Begin { digit, .. } = event {
//!         digits.push((lane, digit));
//!     }
//! });
//! assert_eq!(digits, [(5, '7')]);
//! ```
//!
//! # Cost
//! 27 multiplications a sample while there is sound on any channel, 2 in silence.

use std::f32::consts::TAU;
use std::sync::LazyLock;

use super::detector::{
    DEVIATION_MAX, HARMONIC_MAX, HIGH_OVER_LOW_MAX, HOP, LEVEL_MIN_DBM0, LOW_OVER_HIGH_MAX, QUIET,
    SHARE_MIN, VOICE_HZ, VOICE_MAX, WINDOW,
};
use super::runs::{Event, Runs};
use super::{HIGH_HZ, KEYS, LOW_HZ};
use crate::SAMPLE_RATE_HZ;
use crate::lanes::{LANES, Lanes, Row, Width, Work};
use crate::level::rms;

/// Finds digits on sixteen channels at 8 kHz.
#[derive(Clone, Debug)]
pub struct DetectorBank {
    width: Width,
    /// The window in the making; `held` rows of it are there.
    window: Box<[Row; WINDOW]>,
    held: usize,
    /// Correlations of the window before.
    before: Spectrum,
    runs: [Runs; LANES],
    power_min: f32,
}

impl DetectorBank {
    /// A bank that has heard nothing, with the best instructions there are.
    pub fn new() -> Self {
        Self::with(Width::best())
    }

    /// A bank that has heard nothing.
    pub fn with(width: Width) -> Self {
        Self {
            width,
            window: Box::new([Row::ZERO; WINDOW]),
            held: WINDOW - HOP,
            before: [Wave::ZERO; FREQUENCIES],
            runs: [Runs::new(); LANES],
            power_min: rms(LEVEL_MIN_DBM0).powi(2),
        }
    }

    /// Listens to a block of any length and reports what it finds, with the channel.
    pub fn process(&mut self, mut rows: &[Row], mut report: impl FnMut(usize, Event)) {
        while !rows.is_empty() {
            let (now, later) = rows.split_at(rows.len().min(WINDOW - self.held));
            self.window[self.held..][..now.len()].copy_from_slice(now);
            self.held += now.len();
            rows = later;
            if self.held == WINDOW {
                let heard = self.width.run(Listen {
                    window: &self.window,
                    before: &mut self.before,
                    power_min: self.power_min,
                });
                for (lane, runs) in self.runs.iter_mut().enumerate() {
                    runs.window(heard.digit(lane), |event| report(lane, event));
                }
                self.window.copy_within(HOP.., 0);
                self.held = WINDOW - HOP;
            }
        }
    }

    /// The digit that sounds now on a channel.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn digit(&self, lane: usize) -> Option<char> {
        self.runs[lane].digit()
    }

    /// Forgets what a channel has heard: a new call. Its positions begin anew.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn reset(&mut self, lane: usize) {
        self.window.iter_mut().for_each(|row| row.0[lane] = 0.0);
        for wave in &mut self.before {
            (wave.real.0[lane], wave.imaginary.0[lane]) = (0.0, 0.0);
        }
        self.runs[lane] = Runs::new();
    }
}

impl Default for DetectorBank {
    fn default() -> Self {
        Self::new()
    }
}

/// The digits in a window.
struct Heard {
    /// A bit for each channel that has one.
    lanes: u16,
    row: Row,
    column: Row,
    power: Row,
}

impl Heard {
    fn digit(&self, lane: usize) -> Option<(char, f32)> {
        let key = || KEYS[self.row.0[lane] as usize][self.column.0[lane] as usize];
        (self.lanes >> lane & 1 == 1).then(|| (key(), self.power.0[lane]))
    }
}

/// Correlations with the eight frequencies, low group first.
type Spectrum = [Wave; FREQUENCIES];

const GROUP: usize = LOW_HZ.len();
const FREQUENCIES: usize = GROUP + HIGH_HZ.len();

/// A correlation with one frequency, relative to the middle of the window.
#[derive(Clone, Copy, Debug)]
struct Wave {
    real: Row,
    imaginary: Row,
}

impl Wave {
    const ZERO: Self = Self { real: Row::ZERO, imaginary: Row::ZERO };
}

const HALF: usize = WINDOW / 2;
const _: () = assert!(HALF.is_multiple_of(3), "sums of the power");

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

/// What the window is multiplied by; the first of each is that of the two middle samples.
#[derive(Debug)]
struct Tables {
    /// The window itself; its sum is 1.
    shape: [f32; HALF],
    /// Cosine and sine of each frequency under the window, scaled so that a squared magnitude is
    /// the power.
    digits: [[(f32, f32); FREQUENCIES]; HALF],
    voice: [[(f32, f32); VOICE_HZ.len()]; HALF],
    tones: [Nominal; FREQUENCIES],
}

/// Constants of a frequency.
#[derive(Clone, Copy, Debug)]
struct Nominal {
    frequency_hz: f32,
    /// Cosine and sine of its turn from window to window.
    turn: (f32, f32),
    /// Cosine and sine of half a sample of its second harmonic.
    harmonic: (f32, f32),
}

impl Tables {
    fn new() -> Self {
        let time = |n: usize| n as f32 + 0.5;
        let shape: [f32; HALF] =
            std::array::from_fn(|n| (1.0 + (TAU * time(n) / WINDOW as f32).cos()) / WINDOW as f32);
        let wave = |n: usize, hz: f32| {
            let (sine, cosine) = (angle(hz) * time(n)).sin_cos();
            let scale = shape[n] * std::f32::consts::SQRT_2;
            (scale * cosine, scale * sine)
        };
        let mut hz = LOW_HZ.into_iter().chain(HIGH_HZ);
        let hz: [f32; FREQUENCIES] = std::array::from_fn(|_| hz.next().unwrap_or_default());
        let of = |angle: f32| (angle.cos(), angle.sin());
        Self {
            shape,
            digits: std::array::from_fn(|n| hz.map(|hz| wave(n, hz))),
            voice: std::array::from_fn(|n| VOICE_HZ.map(|hz| wave(n, hz))),
            tones: hz.map(|frequency_hz| Nominal {
                frequency_hz,
                turn: of(angle(frequency_hz) * HOP as f32),
                harmonic: of(angle(2.0 * frequency_hz) * 0.5),
            }),
        }
    }
}

/// How far a frequency turns in a sample.
fn angle(hz: f32) -> f32 {
    TAU * hz / SAMPLE_RATE_HZ as f32
}

/// Looks for digits in a full window.
struct Listen<'a> {
    window: &'a [Row; WINDOW],
    before: &'a mut Spectrum,
    power_min: f32,
}

impl Work for Listen<'_> {
    type Output = Heard;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Heard {
        let tables = &*TABLES;
        let mut heard = Heard { lanes: 0, row: Row::ZERO, column: Row::ZERO, power: Row::ZERO };
        for part in 0..L::PARTS {
            let window = Window { l, rows: self.window, part };
            let power = window.power(&tables.shape);
            let loud = l.greater(power, l.splat(QUIET * self.power_min));
            if l.bits(loud) == 0 {
                for before in &mut *self.before {
                    l.store(&mut before.real, part, l.splat(0.0));
                    l.store(&mut before.imaginary, part, l.splat(0.0));
                }
                continue;
            }
            let spectrum = window.correlate(&tables.digits);
            let low = Tone::strongest::<0>(l, tables, &spectrum, self.before, part);
            let high = Tone::strongest::<GROUP>(l, tables, &spectrum, self.before, part);
            for (before, (real, imaginary)) in self.before.iter_mut().zip(spectrum) {
                let zero = l.splat(0.0);
                l.store(&mut before.real, part, l.select(loud, real, zero));
                l.store(&mut before.imaginary, part, l.select(loud, imaginary, zero));
            }
            let both = l.add(low.power, high.power);
            let at_least = |a, b| l.greater(a, l.mul(b, l.splat(1.0 - 1e-7)));
            let mut accepted = l.both(low.is_near, high.is_near);
            for passed in [
                at_least(l.min(low.power, high.power), l.splat(self.power_min)),
                at_least(both, l.mul(l.splat(SHARE_MIN), power)),
                at_least(l.mul(l.splat(HIGH_OVER_LOW_MAX), low.power), high.power),
                at_least(l.mul(l.splat(LOW_OVER_HIGH_MAX), high.power), low.power),
            ] {
                accepted = l.both(accepted, passed);
            }
            if l.bits(accepted) == 0 {
                continue;
            }
            accepted = l.both(accepted, window.has_no_harmonics(&low, &high));
            accepted = l.both(accepted, window.has_no_voice(&tables.voice, both));
            heard.lanes |= l.bits(accepted) << (part * LANES / L::PARTS);
            l.store(&mut heard.row, part, low.index);
            l.store(&mut heard.column, part, high.index);
            l.store(&mut heard.power, part, both);
        }
        heard
    }
}

/// A register's part of the window.
#[derive(Clone, Copy)]
struct Window<'a, L> {
    l: L,
    rows: &'a [Row; WINDOW],
    part: usize,
}

impl<L: Lanes> Window<'_, L> {
    /// Sum and difference of the samples so far before and after the middle.
    #[inline(always)]
    fn pair(&self, n: usize) -> (L::Values, L::Values) {
        let earlier = self.l.load(&self.rows[HALF - 1 - n], self.part);
        let later = self.l.load(&self.rows[HALF + n], self.part);
        (self.l.add(later, earlier), self.l.sub(later, earlier))
    }

    #[inline(always)]
    fn power(&self, shape: &[f32; HALF]) -> L::Values {
        let l = self.l;
        // Several sums, so that none waits for the addition before.
        const SUMS: usize = 3;
        let mut power = [l.splat(0.0); SUMS];
        for (step, shape) in shape.as_chunks::<SUMS>().0.iter().enumerate() {
            for (k, (power, &shape)) in power.iter_mut().zip(shape).enumerate() {
                let n = SUMS * step + k;
                let earlier = l.load(&self.rows[HALF - 1 - n], self.part);
                let later = l.load(&self.rows[HALF + n], self.part);
                let square = l.mul_add(earlier, earlier, l.mul(later, later));
                *power = l.mul_add(square, l.splat(shape), *power);
            }
        }
        l.add(l.add(power[0], power[1]), power[2])
    }

    /// Correlations with frequencies, real and imaginary part.
    #[inline(always)]
    fn correlate<const N: usize>(
        &self,
        table: &[[(f32, f32); N]; HALF],
    ) -> [(L::Values, L::Values); N] {
        let l = self.l;
        let mut waves = [(l.splat(0.0), l.splat(0.0)); N];
        for (n, factors) in table.iter().enumerate() {
            let (sum, difference) = self.pair(n);
            for (wave, &(cosine, sine)) in waves.iter_mut().zip(factors) {
                wave.0 = l.mul_add(sum, l.splat(cosine), wave.0);
                wave.1 = l.mul_sub_from(difference, l.splat(sine), wave.1);
            }
        }
        waves
    }

    #[inline(always)]
    fn has_no_harmonics(&self, low: &Tone<L>, high: &Tone<L>) -> L::Mask {
        /// Twice the low frequency can lie so near the high one that they are not told apart.
        const APART_HZ: f32 = 200.0;
        let l = self.l;
        let limit = l.splat(HARMONIC_MAX);
        let apart = l.abs(l.sub(l.add(low.frequency_hz, low.frequency_hz), high.frequency_hz));
        let of_low = l.select(
            l.greater(apart, l.splat(APART_HZ)),
            self.power_at(low.harmonic),
            l.splat(0.0),
        );
        let of_high = self.power_at(high.harmonic);
        let pure = |limit, power| l.greater(limit, l.mul(power, l.splat(1.0 - 1e-7)));
        l.both(pure(l.mul(limit, high.power), of_high), pure(l.mul(limit, low.power), of_low))
    }

    /// Power at a frequency given by cosine and sine of half a sample.
    #[inline(always)]
    fn power_at(&self, half: (L::Values, L::Values)) -> L::Values {
        let l = self.l;
        let (mut cosine, mut sine) = half;
        // Twice the angle: a whole sample.
        let turn_cosine = l.mul_sub_from(sine, sine, l.mul(cosine, cosine));
        let turn_sine = l.mul(l.add(cosine, cosine), sine);
        let (mut real, mut imaginary) = (l.splat(0.0), l.splat(0.0));
        for n in 0..HALF {
            let (sum, difference) = self.pair(n);
            let shape = l.splat(TABLES.shape[n]);
            real = l.mul_add(l.mul(sum, shape), cosine, real);
            imaginary = l.mul_add(l.mul(difference, shape), sine, imaginary);
            (cosine, sine) = (
                l.mul_sub_from(sine, turn_sine, l.mul(cosine, turn_cosine)),
                l.mul_add(sine, turn_cosine, l.mul(cosine, turn_sine)),
            );
        }
        let power = l.mul_add(real, real, l.mul(imaginary, imaginary));
        l.add(power, power)
    }

    #[inline(always)]
    fn has_no_voice(
        &self,
        table: &[[(f32, f32); VOICE_HZ.len()]; HALF],
        power: L::Values,
    ) -> L::Mask {
        let l = self.l;
        let mut most = l.splat(0.0);
        for (real, imaginary) in self.correlate(table) {
            most = l.max(most, l.mul_add(real, real, l.mul(imaginary, imaginary)));
        }
        l.greater(l.mul(l.splat(VOICE_MAX), power), most)
    }
}

/// The strongest tone of a group.
struct Tone<L: Lanes> {
    /// Which of the four it is.
    index: L::Values,
    /// Whether it is near enough to its nominal frequency.
    is_near: L::Mask,
    frequency_hz: L::Values,
    power: L::Values,
    /// Cosine and sine of half a sample of its second harmonic.
    harmonic: (L::Values, L::Values),
}

impl<L: Lanes> Tone<L> {
    /// What there is to know of the `k`th tone of a group.
    #[inline(always)]
    fn candidate(
        l: L,
        tables: &Tables,
        spectrum: &[(L::Values, L::Values); FREQUENCIES],
        before: &Spectrum,
        part: usize,
        (first, k): (usize, usize),
    ) -> [L::Values; 11] {
        let nominal = &tables.tones[first + k];
        let (real, imaginary) = spectrum[first + k];
        [
            l.mul_add(real, real, l.mul(imaginary, imaginary)),
            real,
            imaginary,
            l.load(&before[first + k].real, part),
            l.load(&before[first + k].imaginary, part),
            l.splat(k as f32),
            l.splat(nominal.frequency_hz),
            l.splat(nominal.turn.0),
            l.splat(nominal.turn.1),
            l.splat(nominal.harmonic.0),
            l.splat(nominal.harmonic.1),
        ]
    }

    /// That of the group which begins with the frequency `FIRST`.
    #[inline(always)]
    fn strongest<const FIRST: usize>(
        l: L,
        tables: &Tables,
        spectrum: &[(L::Values, L::Values); FREQUENCIES],
        before: &Spectrum,
        part: usize,
    ) -> Self {
        let mut best = Self::candidate(l, tables, spectrum, before, part, (FIRST, 0));
        for k in 1..GROUP {
            let next = Self::candidate(l, tables, spectrum, before, part, (FIRST, k));
            let louder = l.greater(next[0], best[0]);
            for (best, next) in best.iter_mut().zip(next) {
                *best = l.select(louder, next, *best);
            }
        }
        let [magnitude, a, b, c, d, index, nominal_hz, cosine, sine, ..] = best;
        // The turn since the window before, less the one of the nominal frequency.
        let (real, imaginary) = (l.mul_add(a, c, l.mul(b, d)), l.mul_sub_from(a, d, l.mul(b, c)));
        let along = l.mul_add(imaginary, sine, l.mul(real, cosine));
        let across = l.mul_sub_from(real, sine, l.mul(imaginary, cosine));
        let length = l.sqrt(l.mul_add(along, along, l.mul(across, across)));
        // tan(φ / 2); φ is below 1.2 where it matters, and there is none after silence.
        let tangent = l.div(across, l.add(length, along));
        let excess = polynomial(l, tangent, &HALF_ANGLE);
        let hz_a_radian = SAMPLE_RATE_HZ as f32 / (TAU * HOP as f32);
        let deviation_hz = l.mul(excess, l.splat(hz_a_radian));
        let limit = l.mul(nominal_hz, l.splat(DEVIATION_MAX));
        let is_near = l.both(
            l.greater(limit, l.abs(deviation_hz)),
            l.both(
                l.greater(l.splat(TANGENT_MAX), l.abs(tangent)),
                l.greater(l.add(length, along), l.splat(0.0)),
            ),
        );
        let x = l.mul(deviation_hz, l.splat(WINDOW as f32 / SAMPLE_RATE_HZ as f32));
        let response = even_polynomial(l, x, &RESPONSE);
        // Half a sample of the second harmonic turns as a whole one of the tone itself.
        let small = l.mul(deviation_hz, l.splat(TAU / SAMPLE_RATE_HZ as f32));
        let (small_cosine, small_sine) =
            (even_polynomial(l, small, &COSINE), polynomial(l, small, &SINE));
        let [.., harmonic_cosine, harmonic_sine] = best;
        let harmonic = (
            l.mul_sub_from(harmonic_sine, small_sine, l.mul(harmonic_cosine, small_cosine)),
            l.mul_add(harmonic_sine, small_cosine, l.mul(harmonic_cosine, small_sine)),
        );
        Self {
            index,
            is_near,
            frequency_hz: l.add(nominal_hz, deviation_hz),
            power: l.div(magnitude, l.mul(response, response)),
            harmonic,
        }
    }
}

/// Beyond it the polynomial below is not good enough; every limit of a deviation lies within.
const TANGENT_MAX: f32 = 0.7;
/// 2 · atan(t), |t| ≤ 0.7, to 2 · 10⁻⁷: coefficients of t, t³ …
const HALF_ANGLE: [f32; 6] =
    [1.999_999_7, -0.666_615_4, 0.398_742, -0.274_070_2, 0.170_689_6, -0.062_335_38];
/// sin(πx) / (πx · (1 − x²)), |x| ≤ 0.55, the response of a Hann window: of 1, x² …
const RESPONSE: [f32; 5] = [1.0, -0.644_934_1, 0.166_808_36, -0.023_943_466, 0.002_204_382];
/// cos(x), |x| ≤ 0.1.
const COSINE: [f32; 3] = [1.0, -0.5, 1.0 / 24.0];
/// sin(x), |x| ≤ 0.1: of x, x³ …
const SINE: [f32; 3] = [1.0, -1.0 / 6.0, 1.0 / 120.0];

#[inline(always)]
fn even_polynomial<L: Lanes, const N: usize>(
    l: L,
    x: L::Values,
    coefficients: &[f32; N],
) -> L::Values {
    let square = l.mul(x, x);
    let mut sum = l.splat(0.0);
    for &coefficient in coefficients.iter().rev() {
        sum = l.mul_add(sum, square, l.splat(coefficient));
    }
    sum
}

/// With odd powers only.
#[inline(always)]
fn polynomial<L: Lanes, const N: usize>(l: L, x: L::Values, odd: &[f32; N]) -> L::Values {
    l.mul(x, even_polynomial(l, x, odd))
}

#[cfg(test)]
mod tests;
