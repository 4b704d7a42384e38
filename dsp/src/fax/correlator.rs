//! Correlations with the frequencies of machines, over milliseconds and sums of them.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::lanes::{LANES, Lanes, Row, Width, Work};

/// 1100 and 2100 Hz, then mark and space of V.21, channel 2.
const HZ: [f64; 4] = [1_100.0, 2_100.0, 1_650.0, 1_850.0];
const MARK: usize = 2;
const SPACE: usize = 3;

/// A tone that lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    /// 1100 Hz.
    Calling,
    /// 2100 Hz.
    Answer,
}

/// Rows of a millisecond.
const STEP: usize = 8;
/// Milliseconds of a sum for tones: short enough for a tone 38 Hz off.
const SUM_STEPS: usize = 5;
/// Milliseconds of a sum for bits: less than the 3.3 that a bit takes.
const BIT_STEPS: usize = 3;

/// Sums a second.
pub(super) const SUMS_PER_S: f32 = 200.0;

/// All frequencies are multiples of 50 Hz: after so many rows their phases begin anew.
pub(crate) const PERIOD: usize = 160;

/// Nothing fainter is a tone, −43 dBm0. V.25 and T.30 send at −9 to −15 dBm0, lines lose some 20 dB.
const LEAST_POWER: f32 = 13_060.0;

/// Part of the power that is in the frequency of a bit; where one bit follows another it is less.
const BIT_SHARE: f32 = 0.5;

/// Cosines and sines of the frequencies.
pub(crate) static WAVES: LazyLock<[[(f32, f32); HZ.len()]; PERIOD]> = LazyLock::new(|| {
    std::array::from_fn(|n| {
        HZ.map(|hz| {
            let angle = TAU * (hz * n as f64 / 8_000.0).fract();
            (angle.cos() as f32, angle.sin() as f32)
        })
    })
});

/// Correlates the samples of sixteen channels.
#[derive(Clone, Debug)]
pub(super) struct Correlator {
    /// The millisecond in the making.
    rows: [Row; STEP],
    held: usize,
    /// Milliseconds done.
    steps: usize,
    /// The last of them, as a ring.
    last: [Millisecond; SUM_STEPS],
}

/// Correlations over a millisecond, with the energy.
#[derive(Clone, Copy, Debug)]
struct Millisecond {
    waves: [(Row, Row); HZ.len()],
    energy: Row,
}

impl Millisecond {
    const ZERO: Self = Self { waves: [(Row::ZERO, Row::ZERO); HZ.len()], energy: Row::ZERO };
}

/// What a millisecond brings.
pub(super) struct Step {
    /// A bit a channel: whether there is a bit of V.21, and whether it is a one.
    valid: u16,
    mark: u16,
    /// Each fifth.
    pub(super) sum: Option<Sum>,
}

impl Step {
    /// The bit of V.21 on a channel.
    pub(super) fn bit(&self, lane: usize) -> Option<bool> {
        (self.valid >> lane & 1 == 1).then_some(self.mark >> lane & 1 == 1)
    }
}

/// Correlations over 5 ms.
pub(super) struct Sum {
    waves: [(Row, Row); 2],
    energy: Row,
}

/// How much of a tone there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Part of the power that the tone has; 0 where everything is too faint.
    pub(super) share: f32,
    /// Its wave over the 5 ms.
    pub(super) real: f32,
    /// The same.
    pub(super) imaginary: f32,
}

impl Amount {
    /// That in a wave of 5 ms with this energy.
    pub(crate) fn of(real: f32, imaginary: f32, energy: f32) -> Self {
        const SAMPLES: f32 = (SUM_STEPS * STEP) as f32;
        let in_tone = 2.0 / SAMPLES * (real * real + imaginary * imaginary);
        let is_loud = energy > SAMPLES * LEAST_POWER;
        Self { share: if is_loud { in_tone / energy } else { 0.0 }, real, imaginary }
    }
}

impl Sum {
    /// How much of a tone there is on a channel.
    pub(super) fn tone(&self, tone: Tone, lane: usize) -> Amount {
        let (real, imaginary) = &self.waves[tone as usize];
        Amount::of(real.0[lane], imaginary.0[lane], self.energy.0[lane])
    }
}

impl Correlator {
    /// Nothing was heard.
    pub(super) fn new() -> Self {
        Self { rows: [Row::ZERO; STEP], held: 0, steps: 0, last: [Millisecond::ZERO; SUM_STEPS] }
    }

    /// Takes some of the rows, up to the end of a millisecond; says how many, and what the
    /// millisecond brought if it is full.
    pub(super) fn take(&mut self, width: Width, rows: &[Row]) -> (usize, Option<Step>) {
        let count = rows.len().min(STEP - self.held);
        self.rows[self.held..][..count].copy_from_slice(&rows[..count]);
        self.held += count;
        if self.held < STEP {
            return (count, None);
        }
        self.held = 0;
        (count, Some(width.run(Correlate(self))))
    }
}

struct Correlate<'a>(&'a mut Correlator);

impl Work for Correlate<'_> {
    type Output = Step;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Step {
        let correlator = self.0;
        let now = correlator.steps % SUM_STEPS;
        let phase = correlator.steps * STEP % PERIOD;
        correlator.steps += 1;
        let is_sum = now + 1 == SUM_STEPS;
        let mut step = Step { valid: 0, mark: 0, sum: None };
        let mut sum = Millisecond::ZERO;
        for part in 0..L::PARTS {
            millisecond(l, part, &correlator.rows, &WAVES[phase..], &mut correlator.last[now]);
            let bit = add(
                l,
                part,
                &correlator.last,
                (0..BIT_STEPS).map(|n| (now + SUM_STEPS - n) % SUM_STEPS),
            );
            let power = |k: usize| {
                let (real, imaginary) = bit.waves[k];
                l.mul_add(real, real, l.mul(imaginary, imaginary))
            };
            let (mark, space) = (power(MARK), power(SPACE));
            // 2 / N · |wave|² is the energy in a tone.
            let least = l.mul(bit.energy, l.splat(BIT_SHARE * (BIT_STEPS * STEP) as f32 / 2.0));
            let floor = (BIT_STEPS * STEP) as f32 * LEAST_POWER;
            let valid =
                l.both(l.greater(l.max(mark, space), least), l.greater(bit.energy, l.splat(floor)));
            let shift = part * LANES / L::PARTS;
            step.valid |= l.bits(valid) << shift;
            step.mark |= l.bits(l.greater(mark, space)) << shift;
            if is_sum {
                let all = add(l, part, &correlator.last, 0..SUM_STEPS);
                for (to, from) in sum.waves.iter_mut().zip(all.waves) {
                    l.store(&mut to.0, part, from.0);
                    l.store(&mut to.1, part, from.1);
                }
                l.store(&mut sum.energy, part, all.energy);
            }
        }
        if is_sum {
            let [calling, answer, ..] = sum.waves;
            step.sum = Some(Sum { waves: [calling, answer], energy: sum.energy });
        }
        step
    }
}

/// Correlates a millisecond of rows.
#[inline(always)]
fn millisecond<L: Lanes>(
    l: L,
    part: usize,
    rows: &[Row; STEP],
    table: &[[(f32, f32); HZ.len()]],
    out: &mut Millisecond,
) {
    let mut waves = [(l.splat(0.0), l.splat(0.0)); HZ.len()];
    let mut energy = l.splat(0.0);
    for (row, factors) in rows.iter().zip(table) {
        let sample = l.load(row, part);
        energy = l.mul_add(sample, sample, energy);
        for (wave, &(cosine, sine)) in waves.iter_mut().zip(factors) {
            wave.0 = l.mul_add(sample, l.splat(cosine), wave.0);
            wave.1 = l.mul_sub_from(sample, l.splat(sine), wave.1);
        }
    }
    for (to, from) in out.waves.iter_mut().zip(waves) {
        l.store(&mut to.0, part, from.0);
        l.store(&mut to.1, part, from.1);
    }
    l.store(&mut out.energy, part, energy);
}

/// Some milliseconds together.
struct Together<L: Lanes> {
    waves: [(L::Values, L::Values); HZ.len()],
    energy: L::Values,
}

#[inline(always)]
fn add<L: Lanes>(
    l: L,
    part: usize,
    last: &[Millisecond; SUM_STEPS],
    which: impl Iterator<Item = usize>,
) -> Together<L> {
    let mut sum =
        Together::<L> { waves: [(l.splat(0.0), l.splat(0.0)); HZ.len()], energy: l.splat(0.0) };
    for n in which {
        for (to, from) in sum.waves.iter_mut().zip(&last[n].waves) {
            to.0 = l.add(to.0, l.load(&from.0, part));
            to.1 = l.add(to.1, l.load(&from.1, part));
        }
        sum.energy = l.add(sum.energy, l.load(&last[n].energy, part));
    }
    sum
}
