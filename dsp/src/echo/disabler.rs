//! The tone disabler: modems and faxes want no echo canceller between them.
//!
//! 2100 Hz whose phase turns over (V.25 §3), in either direction, turns the canceller off until
//! both directions have been quiet for a while (G.168 §7). Without reversals only the suppressor of
//! residual echo goes off: a fax at half duplex is well off with the rest.

use super::BLOCK;
use super::filter::Eight;
use crate::fax::{Amount, AnswerTone, Sound, WAVES, WAVES_PERIOD};
use crate::lanes::{LANES, Lanes, Row};
use crate::level::rms;

/// Blocks of a sum, 5 ms.
const SUM_BLOCKS: usize = 5;
/// Fainter in both directions is quiet (G.168 §7: −36 dBm0).
const QUIET_DBM0: f32 = -36.0;
/// Sums of quiet after which the canceller is on again: 250 ms (G.168 §7: ± 150 ms).
const QUIET_SUMS: u32 = 50;

/// What a disabler lets happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Everything.
    Everything,
    /// All but the suppressor.
    Cancelling,
    /// Nothing.
    Nothing,
}

/// The disablers of sixteen channels.
#[derive(Clone, Debug)]
pub(super) struct Disabler {
    /// Both directions, over the blocks of a sum so far.
    sums: [Sum; 2],
    blocks: usize,
    phase: usize,
    tones: [[AnswerTone; 2]; LANES],
    allowed: [Allowed; LANES],
    quiet: [u32; LANES],
}

#[derive(Clone, Copy, Debug)]
struct Sum {
    real: Row,
    imaginary: Row,
    energy: Row,
}

impl Sum {
    const ZERO: Self = Self { real: Row::ZERO, imaginary: Row::ZERO, energy: Row::ZERO };
}

impl Disabler {
    /// Nothing was heard.
    pub(super) fn new() -> Self {
        Self {
            sums: [Sum::ZERO; 2],
            blocks: 0,
            phase: 0,
            tones: [[const { AnswerTone::new() }; 2]; LANES],
            allowed: [Allowed::Everything; LANES],
            quiet: [0; LANES],
        }
    }

    /// What is allowed on a channel.
    pub(super) fn allowed(&self, lane: usize) -> Allowed {
        self.allowed[lane]
    }

    /// Forgets a channel.
    pub(super) fn forget(&mut self, lane: usize) {
        self.tones[lane] = [AnswerTone::new(), AnswerTone::new()];
        (self.allowed[lane], self.quiet[lane]) = (Allowed::Everything, 0);
    }

    /// Adds a block of both directions to the sums.
    #[inline(always)]
    pub(super) fn add<L: Lanes>(&mut self, l: L, far: &Eight, near: &Eight) {
        let waves = &WAVES[self.phase..self.phase + BLOCK];
        for (rows, sum) in [far, near].into_iter().zip(&mut self.sums) {
            for part in 0..L::PARTS {
                let mut real = l.load(&sum.real, part);
                let mut imaginary = l.load(&sum.imaginary, part);
                let mut energy = l.load(&sum.energy, part);
                for (row, wave) in rows.iter().zip(waves) {
                    let (cosine, sine) = wave[1];
                    let sample = l.load(row, part);
                    real = l.mul_add(sample, l.splat(cosine), real);
                    imaginary = l.mul_sub_from(sample, l.splat(sine), imaginary);
                    energy = l.mul_add(sample, sample, energy);
                }
                l.store(&mut sum.real, part, real);
                l.store(&mut sum.imaginary, part, imaginary);
                l.store(&mut sum.energy, part, energy);
            }
        }
        self.phase = (self.phase + BLOCK) % WAVES_PERIOD;
        self.blocks += 1;
    }

    /// Decides when a sum is full.
    pub(super) fn decide(&mut self) {
        if self.blocks < SUM_BLOCKS {
            return;
        }
        self.blocks = 0;
        let sums = std::mem::replace(&mut self.sums, [Sum::ZERO; 2]);
        let samples = (SUM_BLOCKS * BLOCK) as f32;
        let quiet = samples * rms(QUIET_DBM0).powi(2);
        for lane in 0..LANES {
            let is_quiet = sums.iter().all(|sum| sum.energy.0[lane] < quiet);
            for (tone, sum) in self.tones[lane].iter_mut().zip(&sums) {
                let energy = sum.energy.0[lane];
                let amount = Amount::of(sum.real.0[lane], sum.imaginary.0[lane], energy);
                tone.listen(amount, |_| ());
            }
            let heard = |sound: fn(Sound) -> bool| {
                self.tones[lane].iter().any(|tone| tone.sound().is_some_and(sound))
            };
            if heard(|sound| matches!(sound, Sound::Answer { reversals: true, .. })) {
                self.allowed[lane] = Allowed::Nothing;
            } else if self.allowed[lane] == Allowed::Everything && heard(|_| true) {
                self.allowed[lane] = Allowed::Cancelling;
            }
            self.quiet[lane] = if is_quiet { self.quiet[lane] + 1 } else { 0 };
            if self.quiet[lane] >= QUIET_SUMS {
                self.quiet[lane] = QUIET_SUMS;
                self.allowed[lane] = Allowed::Everything;
            }
        }
    }
}
