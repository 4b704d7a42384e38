//! A voice that goes on as it was: its last periods, over and over, and more and more quietly.

use super::{ATTENUATE_AFTER, HISTORY, PITCH_MAX, PITCH_MIN, SILENCE_AFTER};
use crate::pitch::best_lag;
use crate::samples_in;

/// Samples after which a further period is repeated.
const STEP: usize = samples_in(10);
/// The voice as it might go on.
#[derive(Clone, Debug)]
pub(super) struct Continuation {
    source: [f32; HISTORY],
    pitch: usize,
    /// Length of all cross-fades: a quarter of a period.
    pub(super) seam: usize,
    /// As many periods as are known are repeated at most.
    periods_max: usize,
    /// Samples given so far.
    pub(super) given: usize,
    repetition: Repetition,
    /// The repetition before this one, while it is faded out.
    previous: Option<(Repetition, usize)>,
    /// What the last good sample was above the repetition.
    step: f32,
}

/// Where the reading of the last periods stands.
#[derive(Clone, Copy, Debug)]
struct Repetition {
    periods: usize,
    position: usize,
}

impl Continuation {
    /// Goes on after the end of `source`, of which the last `known` samples are known, with the period
    /// by which the last `compared` of them are most like those before.
    ///
    /// `known` is at least the shortest period and `compared`.
    pub(super) fn of(source: &[f32; HISTORY], known: usize, compared: usize) -> Self {
        let longest = PITCH_MAX.min(known - compared);
        let lags = PITCH_MIN..=longest;
        let pitch = best_lag(&source[HISTORY - known..], compared, lags).samples;
        let seam = pitch / 4;
        Self {
            source: *source,
            pitch,
            seam,
            periods_max: ((known - seam) / pitch).clamp(1, 3),
            given: 0,
            repetition: Repetition { periods: 1, position: 0 },
            previous: None,
            step: source[HISTORY - 1] - source[HISTORY - 1 - pitch],
        }
    }

    /// The next sample, and the share of the voice that it was attenuated to.
    pub(super) fn next(&mut self) -> (f32, f32) {
        if self.given >= SILENCE_AFTER {
            return (0.0, 0.0);
        }
        if (self.given == STEP || self.given == 2 * STEP)
            && self.repetition.periods < self.periods_max
        {
            self.repeat_one_more();
        }
        let mut sample = self.read(self.repetition);
        if let Some((repetition, left)) = self.previous {
            sample += (self.read(repetition) - sample) * left as f32 / (self.seam + 1) as f32;
            self.previous = (left > 1).then(|| (self.advanced(repetition), left - 1));
        }
        if self.given < self.seam {
            sample += self.step * (self.seam - self.given) as f32 / (self.seam + 1) as f32;
        }
        self.repetition = self.advanced(self.repetition);
        let left = (SILENCE_AFTER - self.given) as f32;
        self.given += 1;
        let gain = (left / (SILENCE_AFTER - ATTENUATE_AFTER) as f32).min(1.0);
        (sample * gain, gain)
    }

    /// Goes back to the oldest of one period more, at the same place within the period.
    fn repeat_one_more(&mut self) {
        let Repetition { periods, position } = self.repetition;
        self.previous = Some((self.repetition, self.seam));
        self.repetition = Repetition { periods: periods + 1, position: position % self.pitch };
    }

    fn read(&self, Repetition { periods, position }: Repetition) -> f32 {
        let length = periods * self.pitch;
        let index = HISTORY - length + position;
        let sample = self.source[index];
        // The last quarter of a period leads over to the first sample.
        match (position + self.seam).checked_sub(length) {
            Some(n) => {
                let share = (n + 1) as f32 / (self.seam + 1) as f32;
                sample + share * (self.source[index - length] - sample)
            }
            None => sample,
        }
    }

    fn advanced(&self, Repetition { periods, position }: Repetition) -> Repetition {
        Repetition { periods, position: (position + 1) % (periods * self.pitch) }
    }
}
