//! What is left of an echo gives way to comfort noise while only the far end talks (the non-linear
//! processor of G.168).
//!
//! The noise has the level of the background at the near end, so that the line does not seem to go
//! dead whenever the other side talks. Going over and back takes 4 ms.

use super::filter::Eight;
use crate::lanes::{LANES, Lanes, Row};

/// Blocks for going over.
const BLOCKS: f32 = 4.0;

/// The suppressors of sixteen channels.
#[derive(Clone, Debug)]
pub(super) struct Suppressor {
    /// How much of the output is noise, and how much shall be, 0 or 1.
    share: Row,
    wanted: Row,
    /// Root mean square of the noise.
    rms: Row,
    noise: [u32; LANES],
}

impl Suppressor {
    /// Suppresses nothing.
    pub(super) fn new() -> Self {
        // Each channel has noise of its own.
        let noise = std::array::from_fn(|lane| 0x9E37_79B9_u32.wrapping_mul(lane as u32 + 1));
        Self { share: Row::ZERO, wanted: Row::ZERO, rms: Row::ZERO, noise }
    }

    /// Whether to suppress on a channel from now on, by noise of this power.
    pub(super) fn suppress(&mut self, lane: usize, is_wanted: bool, noise: f32) {
        self.wanted.0[lane] = f32::from(u8::from(is_wanted));
        self.rms.0[lane] = noise.sqrt();
    }

    /// Forgets a channel.
    pub(super) fn forget(&mut self, lane: usize) {
        (self.share.0[lane], self.wanted.0[lane]) = (0.0, 0.0);
    }

    /// Noise in the place of a block, as far as it is wanted.
    #[inline(always)]
    pub(super) fn process<L: Lanes>(&mut self, l: L, block: &mut Eight) {
        let mut noise = [Row::ZERO; super::BLOCK];
        for row in &mut noise {
            // A linear congruential generator a channel; constants of Numerical Recipes.
            for (value, state) in row.0.iter_mut().zip(&mut self.noise) {
                *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value = *state as i32 as f32;
            }
        }
        for part in 0..L::PARTS {
            // Evenly distributed numbers have a mean square of a third.
            let scale = l.splat(1.732_050_8 / 2_147_483_648.0);
            let rms = l.mul(l.load(&self.rms, part), scale);
            let (mut share, wanted) = (l.load(&self.share, part), l.load(&self.wanted, part));
            let step = l.splat(1.0 / (BLOCKS * super::BLOCK as f32));
            for (row, noise) in block.iter_mut().zip(&noise) {
                let up = l.min(l.add(share, step), wanted);
                share = l.select(l.greater(wanted, share), up, l.max(l.sub(share, step), wanted));
                let sample = l.load(row, part);
                let noise = l.mul(rms, l.load(noise, part));
                l.store(row, part, l.mul_add(share, l.sub(noise, sample), sample));
            }
            l.store(&mut self.share, part, share);
        }
    }
}
