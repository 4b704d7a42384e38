//! From a loss to what is known of the time after it.

use super::continuation::Continuation;
use super::{HISTORY, PITCH_MIN, SILENCE_AFTER};
use crate::samples_in;

/// Samples compared when the period of what comes after a loss is looked for: little of it is known.
const COMPARED: usize = samples_in(5);
/// So many samples must be known to lead to them, over so many at least.
const KNOWN_MIN: usize = COMPARED + PITCH_MIN;
const LENGTH_MIN: usize = samples_in(4);

/// A way back from samples behind a loss that are known before the loss has been filled: the voice is
/// continued from both sides, and cross-faded from the one to the other.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// The voice before the known samples, the last one first.
    backward: [f32; SILENCE_AFTER],
    /// Samples left, and in all, up to the known ones.
    left: usize,
    length: usize,
}

impl Bridge {
    /// Leads nowhere.
    pub fn new() -> Self {
        Self { backward: [0.0; SILENCE_AFTER], left: 0, length: 0 }
    }

    /// Leads to `known`, which follows after `length` more samples; false, and nowhere, if too little
    /// is known or the way is too short.
    pub fn lay(&mut self, length: usize, known: &[i16]) -> bool {
        let known = &known[..known.len().min(HISTORY)];
        (self.left, self.length) = (0, 0);
        if known.len() < KNOWN_MIN || length < LENGTH_MIN {
            return false;
        }
        let mut source = [0.0; HISTORY];
        for (to, &from) in source.iter_mut().rev().zip(known) {
            *to = f32::from(from);
        }
        let mut continuation = Continuation::of(&source, known.len(), COMPARED);
        for sample in self.backward.iter_mut().take(length) {
            (*sample, _) = continuation.next();
        }
        (self.left, self.length) = (length, length);
        true
    }

    /// Samples left to what is known; 0 when it leads nowhere.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Leads nowhere from now on.
    pub fn clear(&mut self) {
        (self.left, self.length) = (0, 0);
    }

    /// The next sample of the way, of which the continuation of what was before is `forward`.
    pub(super) fn lead(&mut self, forward: f32) -> f32 {
        if self.left == 0 {
            self.length = 0;
            return forward;
        }
        self.left -= 1;
        let share = (self.length - self.left) as f32 / (self.length + 1) as f32;
        let backward = self.backward.get(self.left).copied().unwrap_or(0.0);
        forward + share * (backward - forward)
    }

    pub(super) fn is_crossed(&self) -> bool {
        self.left == 0 && self.length > 0
    }
}

impl Default for Bridge {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Concealment;
    use super::*;
    use crate::level::level_of;

    /// A voice that glides from 80 Hz upwards and becomes louder.
    fn voice(samples: usize) -> Vec<i16> {
        let mut phase = 0.0_f32;
        let sample = |n: usize| {
            phase += std::f32::consts::TAU * (80.0 + n as f32 / 40.0) / 8_000.0;
            let wave = phase.sin() + 0.5 * (3.0 * phase).sin() + 0.3 * (7.0 * phase + 1.0).cos();
            ((2_000.0 + n as f32 * 0.7) * wave) as i16
        };
        (0..samples).map(sample).collect()
    }

    /// What is heard if 160 samples are missing, and how far below the voice the error is.
    fn heard(bridged: bool, block: usize) -> (Vec<i16>, f32) {
        let original = voice(1_600);
        let mut heard = original.clone();
        let mut concealment = Concealment::new();
        concealment.good(&mut heard[..800]);
        let mut bridge = Bridge::new();
        assert!(bridge.lay(160, &original[960..1_120]));
        for block in heard[800..960].chunks_mut(block) {
            match bridged {
                true => concealment.conceal_towards(block, &mut bridge),
                false => concealment.conceal(block),
            }
        }
        concealment.good(&mut heard[960..]);
        let gap: Vec<i16> = (800..1_000).map(|n| heard[n] - original[n]).collect();
        let below = level_of(&original[800..1_000]) - level_of(&gap);
        (heard, below)
    }

    #[test]
    fn a_gap_is_filled_better_from_both_sides() {
        let (bridged, continued) = (heard(true, 160).1, heard(false, 160).1);
        assert!(bridged > continued + 4.0, "{bridged} dB and {continued} dB below the voice");
    }

    #[test]
    fn what_follows_a_bridge_stays_as_it_was_bit_by_bit() {
        assert_eq!(heard(true, 160).0[960..], voice(1_600)[960..]);
        assert_ne!(heard(false, 160).0[960..], voice(1_600)[960..]);
    }

    #[test]
    fn the_lengths_of_blocks_do_not_matter() {
        assert_eq!(heard(true, 8).0, heard(true, 160).0);
        assert_eq!(heard(true, 1).0, heard(true, 160).0);
    }

    #[test]
    fn a_bridge_that_is_left_early_is_blended_like_any_loss() {
        let original = voice(1_600);
        let mut heard = original.clone();
        let mut concealment = Concealment::new();
        concealment.good(&mut heard[..800]);
        let mut bridge = Bridge::new();
        bridge.lay(160, &original[960..1_120]);
        concealment.conceal_towards(&mut heard[800..880], &mut bridge);
        concealment.good(&mut heard[880..]);
        assert_ne!(heard[880..900], original[880..900]);
        assert_eq!(heard[920..], original[920..]);
    }

    #[test]
    fn a_short_way_or_little_knowledge_is_no_bridge() {
        let known = voice(1_600);
        let mut bridge = Bridge::new();
        assert!(!bridge.lay(LENGTH_MIN - 1, &known));
        assert!(!bridge.lay(160, &known[..KNOWN_MIN - 1]));
        assert!(!bridge.lay(160, &[]));
        assert_eq!(bridge.left(), 0);
        // As little and as much as there may be.
        for (length, known_samples) in [(LENGTH_MIN, KNOWN_MIN), (2_000, 1_600), (500, 100)] {
            assert!(bridge.lay(length, &known[..known_samples]));
            let mut out = vec![0; length];
            let mut concealment = Concealment::new();
            concealment.conceal_towards(&mut out, &mut bridge);
            assert_eq!(bridge.left(), 0);
        }
    }
}
