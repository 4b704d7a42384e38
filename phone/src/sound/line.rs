//! The voice's end with what the phone itself adds: mute, and ring-back tone where none comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use trunkline_dsp::tone::{ToneGenerator, japan};
use trunkline_media::TimeslotEnd;

/// Samples that are exchanged at a time: 10 ms.
pub const BLOCK_SAMPLES: usize = 80;

/// What the call tells the sound. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Controls(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    is_talking: AtomicBool,
    is_muted: AtomicBool,
    is_ringing: AtomicBool,
    /// Peaks that nobody has looked at yet.
    said: AtomicU16,
    heard: AtomicU16,
}

impl Controls {
    /// Lets the microphone through; before the answer nobody may listen.
    pub fn talk(&self) {
        self.0.is_ringing.store(false, Ordering::Relaxed);
        self.0.is_talking.store(true, Ordering::Relaxed);
    }

    /// Whether the call was answered.
    pub fn is_talking(&self) -> bool {
        self.0.is_talking.load(Ordering::Relaxed)
    }

    /// Switches the microphone off, or on again.
    pub fn mute(&self, is_muted: bool) {
        self.0.is_muted.store(is_muted, Ordering::Relaxed);
    }

    /// Whether the microphone is switched off.
    pub fn is_muted(&self) -> bool {
        self.0.is_muted.load(Ordering::Relaxed)
    }

    /// The loudest that was said and heard since the last look, 0 to 32,768 each, for level
    /// meters.
    pub fn take_peaks(&self) -> (u16, u16) {
        let take = |peak: &AtomicU16| peak.swap(0, Ordering::Relaxed);
        (take(&self.0.said), take(&self.0.heard))
    }

    /// Makes our own ring-back tone, or leaves it to the network's early media.
    pub fn ring(&self, is_ringing: bool) {
        self.0.is_ringing.store(is_ringing, Ordering::Relaxed);
    }
}

/// The voice's end, as a sound card or a file sees it.
#[derive(Debug)]
pub struct Line {
    timeslot: TimeslotEnd,
    controls: Controls,
    ring_back: ToneGenerator,
}

impl Line {
    /// The end of a leg under these controls.
    pub fn new(timeslot: TimeslotEnd, controls: Controls) -> Self {
        Self { timeslot, controls, ring_back: ToneGenerator::new(&japan::ring_back()) }
    }

    /// The controls.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Gives what the microphone took, takes what the loudspeaker is to play, as many samples of
    /// each. No allocation, lock or system call.
    pub fn exchange(&mut self, mic: &mut [i16], speaker: &mut [i16]) {
        let flags = &self.controls.0;
        if flags.is_muted.load(Ordering::Relaxed) || !self.controls.is_talking() {
            mic.fill(0);
        }
        flags.said.fetch_max(peak(mic), Ordering::Relaxed);
        self.timeslot.exchange_linear(mic, speaker);
        if flags.is_ringing.load(Ordering::Relaxed) {
            self.ring_back.fill(speaker);
        }
        flags.heard.fetch_max(peak(speaker), Ordering::Relaxed);
    }
}

fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}
