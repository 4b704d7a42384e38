//! One slot of the jitter buffer: a state word and a payload of atomic words.

use super::{Frame, PAYLOAD_MAX_OCTETS, Waiting};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Payload words of a slot. The model checker gets the smallest that can tear.
pub(super) const PAYLOAD_WORDS: usize = if cfg!(loom) { 2 } else { 60 };

/// What the state word says about the packet whose sequence number it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Vacant = 0,
    Writing = 1,
    Ready = 2,
    Taken = 3,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// Sequence number << 2 | state.
    word: AtomicU64,
    media_time: AtomicU64,
    /// See [`Meta`].
    meta: AtomicU64,
    payload: [AtomicU64; PAYLOAD_WORDS],
}

impl Slot {
    pub(super) fn vacant() -> Self {
        Self {
            word: AtomicU64::new(0),
            media_time: AtomicU64::new(0),
            meta: AtomicU64::new(0),
            payload: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Who holds the slot, and how.
    pub(super) fn state(&self, order: Ordering) -> (u64, State) {
        unpack(self.word.load(order))
    }

    /// Inserter: claims the slot, which must still be as `seen`.
    pub(super) fn begin_write(&self, seen: (u64, State), sequence: u64) -> bool {
        let claimed = self
            .word
            .compare_exchange(
                pack(seen.0, seen.1),
                pack(sequence, State::Writing),
                // Acquire: the taker's reads of the old packet are over when we see `taken`.
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok();
        // Release fence: whoever reads a word we write below also sees `writing` (its acquire
        // fence is in `take` and `peek`).
        fence(Ordering::Release);
        claimed
    }

    /// Inserter: fills the claimed slot and makes it ready.
    pub(super) fn write(&self, frame: &Frame<'_>, arrived: u32) {
        let meta = Meta {
            arrived,
            samples: frame.samples,
            len: frame.payload.len(),
            marker: frame.marker,
            format: frame.format,
        };
        self.media_time.store(frame.media_time as u64, Ordering::Relaxed);
        self.meta.store(meta.pack(), Ordering::Relaxed);
        for (word, chunk) in self.payload.iter().zip(frame.payload.chunks(8)) {
            let mut octets = [0; 8];
            octets[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(octets), Ordering::Relaxed);
        }
        self.word.store(pack(frame.sequence, State::Ready), Ordering::Release);
    }

    /// Taker: the packet, if it is ready with this sequence number.
    pub(super) fn peek(&self, sequence: u64) -> Option<Waiting> {
        let ready = pack(sequence, State::Ready);
        if self.word.load(Ordering::Acquire) != ready {
            return None;
        }
        let media_time = self.media_time.load(Ordering::Relaxed) as i64;
        let meta = Meta::unpack(self.meta.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        (self.word.load(Ordering::Relaxed) == ready).then_some(Waiting {
            sequence,
            media_time,
            samples: meta.samples,
            format: meta.format,
            marker: meta.marker,
            arrived: meta.arrived,
        })
    }

    /// Taker: copies the payload out and gives the slot back; the length in octets.
    pub(super) fn take(
        &self,
        sequence: u64,
        payload: &mut [u8; PAYLOAD_MAX_OCTETS],
    ) -> Option<usize> {
        let len = self.read(sequence, payload)?;
        // Fails exactly when the inserter has overwritten the slot while we read.
        self.word
            .compare_exchange(
                pack(sequence, State::Ready),
                pack(sequence, State::Taken),
                Ordering::Release,
                Ordering::Relaxed,
            )
            .is_ok()
            .then_some(len)
    }

    /// Taker: copies the payload out and leaves the packet where it is; the length in octets.
    pub(super) fn copy(
        &self,
        sequence: u64,
        payload: &mut [u8; PAYLOAD_MAX_OCTETS],
    ) -> Option<usize> {
        let len = self.read(sequence, payload)?;
        (self.word.load(Ordering::Relaxed) == pack(sequence, State::Ready)).then_some(len)
    }

    /// What may be torn until the state word is seen to be still the same.
    fn read(&self, sequence: u64, payload: &mut [u8; PAYLOAD_MAX_OCTETS]) -> Option<usize> {
        if self.word.load(Ordering::Acquire) != pack(sequence, State::Ready) {
            return None;
        }
        // A torn meta word cannot name more octets than there are.
        let len = Meta::unpack(self.meta.load(Ordering::Relaxed)).len.min(PAYLOAD_MAX_OCTETS);
        for (word, chunk) in self.payload.iter().zip(payload[..len].chunks_mut(8)) {
            let octets = word.load(Ordering::Relaxed).to_ne_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
        fence(Ordering::Acquire);
        Some(len)
    }
}

/// What a slot knows of its packet besides time and payload, in one word.
struct Meta {
    arrived: u32,
    samples: u16,
    len: usize,
    marker: bool,
    format: u8,
}

impl Meta {
    fn pack(&self) -> u64 {
        u64::from(self.arrived)
            | u64::from(self.samples) << 32
            | (self.len as u64) << 48
            | u64::from(self.marker) << 58
            | u64::from(self.format) << 59
    }

    fn unpack(word: u64) -> Self {
        Self {
            arrived: word as u32,
            samples: (word >> 32) as u16,
            len: (word >> 48) as usize & 0x3FF,
            marker: word >> 58 & 1 == 1,
            format: (word >> 59) as u8,
        }
    }
}

fn pack(sequence: u64, state: State) -> u64 {
    sequence << 2 | state as u64
}

fn unpack(word: u64) -> (u64, State) {
    let state = match word & 3 {
        0 => State::Vacant,
        1 => State::Writing,
        2 => State::Ready,
        _ => State::Taken,
    };
    (word >> 2, state)
}
