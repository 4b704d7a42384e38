//! CNG: 1100 Hz for 0.5 s, then 3 s of silence, all ±15 % (T.30 §4.3.3.3).

use super::correlator::Amount;

/// Part of the power that the tone must have; 38 Hz off leave 0.89 of it.
const SHARE_MIN: f32 = 0.7;
/// The shortest and the longest tone, in sums of 5 ms: 0.5 s ± 15 %, one sum more or less.
const SUMS_MIN: u32 = 84;
const SUMS_MAX: u32 = 117;
/// How far the phase may turn from sum to sum: 50 Hz of T.30's 38 and the noise.
const TURN_COSINE_MIN: f32 = 0.0;

/// Follows 1100 Hz on one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallingTone {
    /// Sums with the tone so far, and the last one's wave.
    sums: u32,
    before: (f32, f32),
    /// Whether one sum within was spoilt.
    spoilt: bool,
}

impl CallingTone {
    /// Nothing was heard.
    pub(super) fn new() -> Self {
        Self { sums: 0, before: (0.0, 0.0), spoilt: false }
    }

    /// Takes the next 5 ms; true when a calling tone has just ended.
    pub(super) fn listen(&mut self, tone: Amount) -> bool {
        let is_tone = tone.share > SHARE_MIN;
        if is_tone && (self.sums == 0 || self.spoilt || self.is_steady(tone)) {
            self.sums = (self.sums + 1 + u32::from(self.spoilt)).min(SUMS_MAX + 1);
            self.spoilt = false;
            self.before = (tone.real, tone.imaginary);
            return false;
        }
        // A click may spoil one sum.
        if self.sums > 0 && !self.spoilt {
            self.spoilt = true;
            return false;
        }
        let lasted = std::mem::replace(self, Self::new()).sums;
        (SUMS_MIN..=SUMS_MAX).contains(&lasted)
    }

    /// Whether the frequency is near enough to 1100 Hz.
    fn is_steady(&self, tone: Amount) -> bool {
        let along = self.before.0 * tone.real + self.before.1 * tone.imaginary;
        let both = self.before.0.hypot(self.before.1) * tone.real.hypot(tone.imaginary);
        along > TURN_COSINE_MIN * both
    }
}
