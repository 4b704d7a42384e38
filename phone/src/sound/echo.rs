//! Echo of the loudspeaker in the microphone, taken out by WebRTC's AEC3 (the `sonora` crate).
//!
//! Microphone and loudspeaker go by one clock here: the microphone's resampler follows the
//! loudspeaker's, so the canceller sees a steady delay, which it finds by itself.

use sonora::config::{EchoCanceller as Aec3, HighPassFilter};
use sonora::{AudioProcessing, Config, StreamConfig};
use trunkline_dsp::SAMPLE_RATE_HZ;

use super::line::BLOCK_SAMPLES;

/// The canceller of one call.
pub struct EchoCanceller {
    processing: AudioProcessing,
    block: [i16; BLOCK_SAMPLES],
}

impl EchoCanceller {
    /// A canceller that has heard nothing yet.
    pub fn new() -> Self {
        let stream = StreamConfig::new(SAMPLE_RATE_HZ, 1);
        let config = Config {
            echo_canceller: Some(Aec3::default()),
            high_pass_filter: Some(HighPassFilter::default()),
            ..Config::default()
        };
        let processing = AudioProcessing::builder()
            .config(config)
            .capture_config(stream)
            .render_config(stream)
            .build();
        Self { processing, block: [0; BLOCK_SAMPLES] }
    }

    /// What the loudspeaker will play.
    pub fn played(&mut self, speaker: &[i16; BLOCK_SAMPLES]) {
        // The only errors are formats other than that of `new`.
        let _ = self.processing.process_render_i16(speaker, &mut self.block);
    }

    /// Takes the echo out of what the microphone took.
    pub fn clean(&mut self, mic: &mut [i16; BLOCK_SAMPLES]) {
        if self.processing.process_capture_i16(mic, &mut self.block).is_ok() {
            *mic = self.block;
        }
    }
}

impl Default for EchoCanceller {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise in syllables, as speech is.
    fn speech(state: &mut u32, index: usize) -> i16 {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let loud = (index / 1_600) % 3 != 2;
        if loud { ((*state >> 16) as i16) / 6 } else { 0 }
    }

    fn power_db(samples: &[i16]) -> f64 {
        let sum: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        10.0 * (sum / samples.len() as f64 + 1.0).log10()
    }

    #[test]
    fn the_echo_of_a_loudspeaker_is_gone_and_the_person_stays() {
        let (mut far_state, mut near_state) = (1, 99);
        let mut canceller = EchoCanceller::new();
        // The room: 120 ms of sound card and way, then three reflections.
        let room = [(960, 0.4), (1_000, 0.2), (1_130, -0.1)];
        let mut played: Vec<i16> = vec![0; 2_000];
        let (mut echo_alone, mut left_alone) = (Vec::new(), Vec::new());
        let (mut said, mut sent) = (Vec::new(), Vec::new());
        for block in 0..1_500 {
            let seconds = block / 100;
            let mut mic = [0; BLOCK_SAMPLES];
            let now = played.len();
            for (offset, slot) in mic.iter_mut().enumerate() {
                let at = |delay: usize| f64::from(*played.get(now + offset - delay).unwrap_or(&0));
                *slot = room.iter().map(|&(delay, gain)| gain * at(delay)).sum::<f64>() as i16;
            }
            // The far end is silent in the last seconds, and the person here speaks.
            let far_speaks = seconds < 12;
            if seconds >= 6 && far_speaks {
                echo_alone.extend_from_slice(&mic);
            }
            if seconds >= 13 {
                for (index, slot) in mic.iter_mut().enumerate() {
                    *slot = speech(&mut near_state, block * BLOCK_SAMPLES + index);
                }
                said.extend_from_slice(&mic);
            }
            canceller.clean(&mut mic);
            if seconds >= 6 && far_speaks {
                left_alone.extend_from_slice(&mic);
            }
            if seconds >= 13 {
                sent.extend_from_slice(&mic);
            }
            let mut speaker = [0; BLOCK_SAMPLES];
            if far_speaks {
                for (index, slot) in speaker.iter_mut().enumerate() {
                    *slot = speech(&mut far_state, block * BLOCK_SAMPLES + index);
                }
            }
            canceller.played(&speaker);
            played.extend_from_slice(&speaker);
        }
        let taken_out_db = power_db(&echo_alone) - power_db(&left_alone);
        assert!(taken_out_db > 30.0, "{taken_out_db:.1} dB of the echo are gone");
        let lost_db = power_db(&said) - power_db(&sent);
        assert!(lost_db.abs() < 3.0, "the person is {lost_db:.1} dB quieter");
    }
}
