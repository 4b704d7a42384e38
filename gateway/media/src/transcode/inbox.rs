//! Packets that wait for the tick, in the order of their numbers.

use trunkline_rtp::packet::{SequenceNumber, Timestamp};

use super::Arrived;
use crate::packet_io::BURST_PER_PORT;
use crate::spec::Payload;

/// Packets that can wait: as many as come to a port at a time, and some that have waited.
const LETTERS_MAX: usize = BURST_PER_PORT + 8;
/// Room for their payloads: three quarters of a second of G.711.
const OCTETS_MAX: usize = 6 * 1024;

/// What waits.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The first one is the next.
    letters: Vec<Letter>,
    octets: Box<[u8; OCTETS_MAX]>,
    used: usize,
}

/// A packet whose payload lies in the inbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    pub(super) ssrc: u32,
    pub(super) sequence: SequenceNumber,
    pub(super) timestamp: Timestamp,
    pub(super) marker: bool,
    pub(super) payload: Option<Payload>,
    pub(super) restarted: bool,
    pub(super) timestamp_offset: Option<u32>,
    /// It was here in the last tick already.
    pub(super) waited: bool,
    at: usize,
    len: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            letters: Vec::with_capacity(LETTERS_MAX),
            octets: Box::new([0; OCTETS_MAX]),
            used: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Puts a packet before those that are newer; false if there is no room.
    pub(super) fn put(&mut self, packet: Arrived<'_>) -> bool {
        let Arrived { header, payload, octets, restarted, timestamp_offset } = packet;
        let Some(room) = self.octets.get_mut(self.used..self.used + octets.len()) else {
            return false;
        };
        if self.letters.len() == LETTERS_MAX {
            return false;
        }
        room.copy_from_slice(octets);
        let letter = Letter {
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload,
            restarted,
            timestamp_offset,
            waited: false,
            at: self.used,
            len: octets.len(),
        };
        self.used += octets.len();
        // Nothing goes before another speaker, or before a new numbering.
        let newer = self.letters.iter().rev().take_while(|other| {
            !restarted
                && !other.restarted
                && other.ssrc == letter.ssrc
                && other.sequence.is_after(letter.sequence)
        });
        let place = self.letters.len() - newer.count();
        self.letters.insert(place, letter);
        true
    }

    pub(super) fn first(&self) -> Option<(&Letter, &[u8])> {
        let letter = self.letters.first()?;
        Some((letter, &self.octets[letter.at..letter.at + letter.len]))
    }

    pub(super) fn drop_first(&mut self) {
        if !self.letters.is_empty() {
            self.letters.remove(0);
        }
    }

    /// A tick is over: what is still here has waited.
    pub(super) fn pass_tick(&mut self) {
        self.used = 0;
        if self.letters.is_empty() {
            return;
        }
        let lay = *self.octets;
        for letter in &mut self.letters {
            let (from, to) = (letter.at, self.used);
            self.octets[to..to + letter.len].copy_from_slice(&lay[from..from + letter.len]);
            letter.at = to;
            letter.waited = true;
            self.used += letter.len;
        }
    }

    pub(super) fn clear(&mut self) {
        self.letters.clear();
        self.used = 0;
    }
}
