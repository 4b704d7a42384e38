//! A telephone's mouth and ear on a B channel.
//!
//! [`Voice`] sits on the timeslot and lives on the span's thread: it speaks what it was told to
//! (a tone, recorded speech, keyed digits) and hands what it hears to the recorder. [`Mouth`] is
//! the exchange's end, which says what to speak. Sounds are encoded to A-law before they are
//! handed over, so the thread only copies octets, or turns them into the line's law.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rtrb::{Consumer, Producer, RingBuffer};
use trunkline_dsp::g711::Law;
use trunkline_tdm::Bearer;

/// A sound in A-law, 8 kHz.
#[derive(Clone, Debug)]
pub struct Sound {
    octets: Arc<[u8]>,
    /// Played again from the start when it ends.
    repeats: bool,
}

impl Sound {
    /// A sound that plays once.
    pub fn once(samples: &[i16]) -> Self {
        Self { octets: encode(samples), repeats: false }
    }

    /// A sound that plays for ever: a tone with its cadence.
    pub fn repeated(samples: &[i16]) -> Self {
        Self { octets: encode(samples), repeats: true }
    }
}

fn encode(samples: &[i16]) -> Arc<[u8]> {
    samples.iter().map(|&sample| Law::A.encode(sample)).collect()
}

/// Sounds that wait to be spoken one after the other.
const SOUNDS_WAITING: usize = 8;

/// What was heard and is not yet recorded: 4 s.
const HEARD_OCTETS: usize = 32_000;

/// The exchange's end: says what to speak.
#[derive(Debug)]
pub struct Mouth {
    sounds: Producer<Sound>,
    interrupt: Arc<AtomicBool>,
}

impl Mouth {
    /// Speaks this next, after what was handed over before. A sound too many is dropped.
    pub fn speak(&mut self, sound: Sound) {
        let _ = self.sounds.push(sound);
    }

    /// Breaks off what is being spoken.
    pub fn be_silent(&mut self) {
        self.interrupt.store(true, Relaxed);
    }
}

/// What the telephone heard, for the recorder.
#[derive(Debug)]
pub struct Heard {
    /// Octets in A-law.
    pub octets: Consumer<u8>,
}

/// The end on the timeslot.
#[derive(Debug)]
pub struct Voice {
    sounds: Consumer<Sound>,
    interrupt: Arc<AtomicBool>,
    speaking: Option<(Sound, usize)>,
    heard: Producer<u8>,
    line_law: Law,
}

impl Voice {
    /// A voice that is silent on a line of this law, with the ends of the exchange and of the
    /// recorder.
    pub fn silent(line_law: Law) -> (Self, Mouth, Heard) {
        let (producer, sounds) = RingBuffer::new(SOUNDS_WAITING);
        let (heard, octets) = RingBuffer::new(HEARD_OCTETS);
        let interrupt = Arc::new(AtomicBool::new(false));
        let voice =
            Self { sounds, interrupt: Arc::clone(&interrupt), speaking: None, heard, line_law };
        (voice, Mouth { sounds: producer, interrupt }, Heard { octets })
    }

    fn next_octet(&mut self) -> u8 {
        loop {
            if self.speaking.is_none() {
                self.speaking = self.sounds.pop().ok().map(|sound| (sound, 0));
            }
            let Some((sound, position)) = &mut self.speaking else { return Law::A.idle() };
            if let Some(&octet) = sound.octets.get(*position) {
                *position += 1;
                return octet;
            }
            if sound.repeats && !sound.octets.is_empty() {
                *position = 0;
            } else {
                self.speaking = None;
            }
        }
    }
}

impl Bearer for Voice {
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        if self.interrupt.swap(false, Relaxed) {
            self.speaking = None;
        }
        for octet in to_line {
            *octet = Law::A.convert(self.next_octet(), self.line_law);
        }
        for &octet in from_line {
            // A recorder that is too slow loses sound; the line does not wait for it.
            let _ = self.heard.push(self.line_law.convert(octet, Law::A));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(voice: &mut Voice, octets: usize) -> Vec<u8> {
        let mut to_line = vec![0; octets];
        voice.exchange(&[], &mut to_line);
        to_line
    }

    #[test]
    fn sounds_follow_one_another_and_then_silence() {
        let (mut voice, mut mouth, _heard) = Voice::silent(Law::A);
        mouth.speak(Sound::once(&[1_000; 3]));
        mouth.speak(Sound::once(&[-1_000; 2]));
        let (up, down, idle) = (Law::A.encode(1_000), Law::A.encode(-1_000), Law::A.idle());
        assert_eq!(spoken(&mut voice, 7), [up, up, up, down, down, idle, idle]);
    }

    #[test]
    fn a_tone_repeats_until_it_is_broken_off() {
        let (mut voice, mut mouth, _heard) = Voice::silent(Law::A);
        mouth.speak(Sound::repeated(&[1_000, -1_000]));
        assert_eq!(spoken(&mut voice, 5)[4], Law::A.encode(1_000));
        mouth.be_silent();
        mouth.speak(Sound::once(&[500]));
        assert_eq!(spoken(&mut voice, 2), [Law::A.encode(500), Law::A.idle()]);
    }

    #[test]
    fn what_is_heard_reaches_the_recorder_octet_by_octet() {
        let (mut voice, _mouth, mut heard) = Voice::silent(Law::A);
        voice.exchange(&[1, 2, 3], &mut [0; 3]);
        let octets: Vec<u8> = std::iter::from_fn(|| heard.octets.pop().ok()).collect();
        assert_eq!(octets, [1, 2, 3]);
    }
}
