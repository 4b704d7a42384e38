//! Voice activity: whether someone is speaking, cheaply.
//!
//! # What it does
//! Decides for samples at 8 kHz whether there is a voice or only background. A playout changes its
//! delay first where there is none; comfort noise is estimated there.
//!
//! # How it works
//! The level of each 10 ms is compared with a floor that follows the background: down at once by
//! a third of the difference, up by 2 dB a second, so that a voice hardly lifts it. More than 9 dB
//! above the floor, and above −52 dBm0, is a voice; it is held for 150 ms more, so that the soft
//! ends of words and the gaps within them are not cut off.
//!
//! A steady loud sound becomes background after a while: this is no detector of silence for a
//! codec that would then drop it, such as music on hold.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::activity::Activity;
//!
//! let mut activity = Activity::new();
//! assert!(!activity.listen(&[0; 160]));
//! ```
//!
//! # Cost
//! A multiplication a sample, a logarithm each 10 ms.

use crate::level::level_of_power;
use crate::samples_in;

/// Samples on which a decision rests.
const FRAME: usize = samples_in(10);
/// Frames for which a voice is held after its last loud one.
const HANGOVER_FRAMES: u32 = 15;
/// Above the floor by more than this is a voice.
const ABOVE_FLOOR_DB: f32 = 9.0;
/// Nothing fainter is a voice.
const VOICE_MIN_DBM0: f32 = -52.0;
/// The floor of a connection of which nothing is known yet.
const FLOOR_AT_FIRST_DBM0: f32 = -50.0;
/// The floor does not sink below this: near digital silence everything would be a voice.
const FLOOR_MIN_DBM0: f32 = -70.0;
/// Share of the way down to a fainter frame that the floor goes.
const FALL: f32 = 0.33;
/// How far the floor rises each frame: 2 dB a second.
const RISE_DB: f32 = 0.02;

/// Follows one voice.
#[derive(Clone, Debug)]
pub struct Activity {
    floor_dbm0: f32,
    energy: f32,
    /// Samples in `energy`.
    held: usize,
    /// Frames for which a voice is still assumed.
    hangover: u32,
}

impl Activity {
    /// A connection of which nothing is known yet.
    pub fn new() -> Self {
        Self { floor_dbm0: FLOOR_AT_FIRST_DBM0, energy: 0.0, held: 0, hangover: 0 }
    }

    /// Listens to a block of any length; true if there is a voice at its end.
    pub fn listen(&mut self, mut samples: &[i16]) -> bool {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(FRAME - self.held));
            self.energy += now.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>();
            self.held += now.len();
            samples = later;
            if self.held == FRAME {
                self.decide(level_of_power(self.energy / FRAME as f32));
                (self.energy, self.held) = (0.0, 0);
            }
        }
        self.is_voice()
    }

    /// Whether there is a voice.
    pub fn is_voice(&self) -> bool {
        self.hangover > 0
    }

    /// Level of the background.
    pub fn floor_dbm0(&self) -> f32 {
        self.floor_dbm0
    }

    fn decide(&mut self, level_dbm0: f32) {
        if level_dbm0 < self.floor_dbm0 {
            self.floor_dbm0 += FALL * (level_dbm0.max(FLOOR_MIN_DBM0) - self.floor_dbm0);
        } else {
            self.floor_dbm0 += RISE_DB.min(level_dbm0 - self.floor_dbm0);
        }
        if level_dbm0 > (self.floor_dbm0 + ABOVE_FLOOR_DB).max(VOICE_MIN_DBM0) {
            self.hangover = HANGOVER_FRAMES;
        } else {
            self.hangover = self.hangover.saturating_sub(1);
        }
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::rms;
    use crate::noise::Noise;

    fn noise(level_dbm0: f32, duration_ms: u32) -> Vec<i16> {
        let mut noise = Noise::new(5);
        let rms = rms(level_dbm0);
        (0..samples_in(duration_ms)).map(|_| (rms * noise.next()).round() as i16).collect()
    }

    #[test]
    fn a_voice_over_background_is_noticed_within_10_ms_and_held_for_150_ms() {
        for background_dbm0 in [-90.0, -60.0, -45.0] {
            let mut activity = Activity::new();
            activity.listen(&noise(background_dbm0, 5_000));
            assert!(!activity.is_voice());
            assert!(activity.listen(&noise(-25.0, 10)));
            assert!(activity.listen(&noise(-25.0, 2_000)));
            assert!(activity.listen(&noise(background_dbm0, 140)));
            assert!(!activity.listen(&noise(background_dbm0, 20)));
        }
    }

    #[test]
    fn the_floor_follows_louder_background_slowly() {
        let mut activity = Activity::new();
        activity.listen(&noise(-60.0, 2_000));
        assert!(activity.listen(&noise(-40.0, 2_000)));
        assert!(!activity.listen(&noise(-40.0, 6_000)));
        assert!((activity.floor_dbm0() + 42.0).abs() < 4.0);
    }

    #[test]
    fn silence_is_no_voice_and_the_lengths_of_blocks_do_not_matter() {
        let (mut whole, mut parts) = (Activity::new(), Activity::new());
        let samples = [noise(-65.0, 300), noise(-20.0, 95), noise(-65.0, 300)].concat();
        whole.listen(&samples);
        samples.chunks(7).for_each(|block| {
            parts.listen(block);
        });
        assert_eq!(whole.is_voice(), parts.is_voice());
        assert!((whole.floor_dbm0() - parts.floor_dbm0()).abs() < 0.01);
        assert!(!Activity::new().listen(&[0; 8_000]));
    }
}
