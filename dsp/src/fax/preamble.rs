//! The preamble of V.21: HDLC flags at 300 bit/s, channel 2 (T.30 §5.3.1).
//!
//! A flag is 0111 1110, so flags are six ones (20 ms of 1650 Hz) and two zeros (6.7 ms of 1850 Hz)
//! by turns, or one zero (3.3 ms) where flags share it. Nothing else, least of all speech, goes on
//! so for a tenth of a second.

use super::{Event, Sound};

/// How long six ones may seem to last, with the edges of a sum of 3 ms.
const ONES_MS: std::ops::RangeInclusive<u32> = 17..=23;
/// How long one zero or two.
const ZEROS_MS: std::ops::RangeInclusive<u32> = 2..=9;
/// Flags in a row before the preamble is reported: 107 ms of its second.
const FLAGS: u32 = 4;
/// Milliseconds without a flag before it is over.
const SILENCE_MS: u32 = 60;

/// Follows the bits of one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preamble {
    /// The bit that goes on, and since how many milliseconds.
    bit: Option<bool>,
    lasts_ms: u32,
    flags: u32,
    since_flag_ms: u32,
    /// Milliseconds without a bit.
    gap_ms: u32,
}

impl Preamble {
    /// Nothing was heard.
    pub(super) fn new() -> Self {
        Self { bit: None, lasts_ms: 0, flags: 0, since_flag_ms: 0, gap_ms: 0 }
    }

    /// Takes the bit that sounds now, if there is one.
    pub(super) fn millisecond(&mut self, bit: Option<bool>) -> Option<Event> {
        let was_heard = self.flags >= FLAGS;
        self.since_flag_ms += 1;
        match bit {
            // Where one bit follows another neither has enough power for a moment.
            None if self.bit.is_some() && self.gap_ms < 2 => self.gap_ms += 1,
            None => (self.bit, self.lasts_ms) = (None, 0),
            Some(_) if bit == self.bit => {
                self.lasts_ms += 1 + self.gap_ms;
                self.gap_ms = 0;
            }
            Some(_) => {
                self.run_ended();
                (self.bit, self.lasts_ms) = (bit, 1 + self.gap_ms / 2);
                self.gap_ms = 0;
            }
        }
        if self.since_flag_ms > SILENCE_MS {
            self.flags = 0;
        }
        match (was_heard, self.flags >= FLAGS) {
            (false, true) => Some(Event::Heard(Sound::Preamble)),
            (true, false) => Some(Event::Ended(Sound::Preamble)),
            _ => None,
        }
    }

    /// Counts flags: ones of the right length after zeros of the right length.
    fn run_ended(&mut self) {
        match self.bit {
            Some(true) if ONES_MS.contains(&self.lasts_ms) => {
                self.flags = (self.flags + 1).min(FLAGS);
                self.since_flag_ms = 0;
            }
            Some(false) if ZEROS_MS.contains(&self.lasts_ms) => {}
            // Data follow the preamble; it is over when no flag comes for a while.
            _ if self.flags >= FLAGS => {}
            _ => self.flags = 0,
        }
    }
}
