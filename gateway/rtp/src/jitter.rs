//! The lock-free jitter buffer between the network and the playout side.
//!
//! A fixed ring of slots. The network worker owns the [`Inserter`] and puts packets in by extended
//! sequence number, in whatever order they come; the playout side, on another core and on another
//! clock, owns the [`Taker`] and takes them out by sequence. Atomics only: no lock, and no
//! allocation after [`buffer`].
//!
//! Each slot carries a state word, the sequence number shifted left by two with the state below:
//!
//! ```text
//! vacant ──► writing(n) ──► ready(n) ──► taken(n) ──► writing(n + slots) …
//!               ▲               │ taker was too slow: overwritten, counted
//!               └───────────────┘
//! ```
//!
//! Only the inserter writes `writing` and `ready`, only the taker writes `taken`. The payload is
//! held in atomic words, so a packet that is overwritten while it is being read is no data race:
//! the reader finds at the end that the state word has moved on and throws away what it read.
//!
//! Beside the packets every arrival leaves a note (media time and playout clock in one word), late
//! packets as well, so that the playout policy sees the delay of packets it never gets to play.

mod slot;

use slot::{Slot, State};

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The largest payload a slot holds, in octets: 60 ms of G.711.
pub const PAYLOAD_MAX_OCTETS: usize = slot::PAYLOAD_WORDS * 8;

/// Most slots a buffer may have.
pub const SLOTS_MAX: usize = 1024;

/// Notes of arrivals kept for the playout side; older ones are lost, which only costs the policy
/// some of its history.
const NOTES: u64 = if cfg!(loom) { 2 } else { 64 };

/// Makes a buffer of `slots` packets, rounded up to a power of two and at most [`SLOTS_MAX`], and
/// gives its two halves.
pub fn buffer(slots: usize) -> (Inserter, Taker) {
    let slots = slots.clamp(2, SLOTS_MAX).next_power_of_two();
    let ring = Arc::new(Ring {
        mask: slots as u64 - 1,
        slots: (0..slots).map(|_| Slot::vacant()).collect(),
        notes: (0..NOTES).map(|_| AtomicU64::new(0)).collect(),
        network: Line(Network { highest: AtomicU64::new(0), noted: AtomicU64::new(0) }),
        playout: Line(PlayoutSide { head: AtomicU64::new(0), clock: AtomicU64::new(0) }),
    });
    (
        Inserter { ring: Arc::clone(&ring), highest: 0, noted: 0, counts: Counts::default() },
        Taker { ring, head: 0, clock: 0, noted: 0 },
    )
}

/// A packet on its way into the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Extended sequence number, 1 or more, below 2⁶².
    pub sequence: u64,
    /// Where the packet's first sample stands on the continuous media timeline, in samples.
    pub media_time: i64,
    /// How long the packet plays, in samples.
    pub samples: u16,
    /// The owner's tag of the payload format, 0..=31.
    pub format: u8,
    /// The RTP marker bit.
    pub marker: bool,
    /// The payload as received.
    pub payload: &'a [u8],
}

/// What became of an inserted packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// It waits for the playout side.
    Stored,
    /// The same sequence number is or was already there.
    Duplicate,
    /// Its turn is over, or a newer packet holds its slot.
    Late,
    /// The payload is longer than [`PAYLOAD_MAX_OCTETS`].
    TooLong,
}

/// What the network side has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets put into the ring.
    pub stored: u64,
    /// Packets refused because their sequence number was already there.
    pub duplicate: u64,
    /// Packets refused because their turn was over.
    pub late: u64,
    /// Packets that were never taken and gave way to a newer one.
    pub overwritten: u64,
    /// Packets refused for their length.
    pub too_long: u64,
}

/// A packet that waits in the buffer, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Extended sequence number.
    pub sequence: u64,
    /// Media time of its first sample, in samples.
    pub media_time: i64,
    /// How long it plays, in samples.
    pub samples: u16,
    /// The owner's tag of the payload format.
    pub format: u8,
    /// The RTP marker bit.
    pub marker: bool,
    /// Playout clock at the time it arrived, in samples, low 32 bits.
    pub arrived: u32,
}

/// The note that every stored or late packet leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Media time of the packet's first sample, in samples, low 32 bits.
    pub media_time: u32,
    /// Playout clock at the time of the arrival, in samples, low 32 bits.
    pub clock: u32,
}

/// The network side of the buffer.
#[derive(Debug)]
pub struct Inserter {
    ring: Arc<Ring>,
    highest: u64,
    noted: u64,
    counts: Counts,
}

impl Inserter {
    /// Puts a packet into its slot.
    pub fn insert(&mut self, frame: Frame<'_>) -> Insertion {
        debug_assert!(frame.sequence > 0 && frame.format < 32);
        if frame.payload.len() > PAYLOAD_MAX_OCTETS {
            self.counts.too_long += 1;
            return Insertion::TooLong;
        }
        let head = self.ring.playout.0.head.load(Ordering::Acquire);
        let slot = self.ring.slot(frame.sequence);
        let replaced = loop {
            let (holder, state) = slot.state(Ordering::Acquire);
            if state != State::Vacant && holder == frame.sequence {
                self.counts.duplicate += 1;
                return Insertion::Duplicate;
            }
            if frame.sequence < head || (state != State::Vacant && holder > frame.sequence) {
                self.counts.late += 1;
                self.note(frame.media_time);
                return Insertion::Late;
            }
            // The taker can spoil this once, by taking what is there; then the slot is free.
            if slot.begin_write((holder, state), frame.sequence) {
                break state == State::Ready && holder >= head;
            }
        };
        slot.write(&frame, self.clock() as u32);
        self.counts.overwritten += u64::from(replaced);
        self.counts.stored += 1;
        self.note(frame.media_time);
        if frame.sequence > self.highest {
            self.highest = frame.sequence;
            self.ring.network.0.highest.store(self.highest, Ordering::Release);
        }
        Insertion::Stored
    }

    /// The playout clock: samples the playout side has asked for so far. Arrivals are stamped
    /// with it, so that delays are measured on the clock that matters and no other is read.
    pub fn clock(&self) -> u64 {
        self.ring.playout.0.clock.load(Ordering::Relaxed)
    }

    /// What has been seen so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn note(&mut self, media_time: i64) {
        let word = u64::from(media_time as u32) << 32 | u64::from(self.clock() as u32);
        self.ring.notes[(self.noted % NOTES) as usize].store(word, Ordering::Relaxed);
        self.noted += 1;
        self.ring.network.0.noted.store(self.noted, Ordering::Release);
    }
}

/// The playout side of the buffer.
#[derive(Debug)]
pub struct Taker {
    ring: Arc<Ring>,
    head: u64,
    clock: u64,
    noted: u64,
}

impl Taker {
    /// The waiting packet with the lowest sequence number whose turn is not over.
    pub fn peek(&self) -> Option<Waiting> {
        let highest = self.ring.network.0.highest.load(Ordering::Acquire);
        let oldest = (highest + 1).saturating_sub(self.ring.mask + 1);
        (self.head.max(oldest).max(1)..=highest)
            .find_map(|sequence| self.ring.slot(sequence).peek(sequence))
    }

    /// Takes the packet with this sequence number: copies its payload to the front of `payload`
    /// and gives its length in octets. Everything up to and with it is late from now on.
    ///
    /// `None` when the packet is not there, or was overwritten in the meantime.
    pub fn take(&mut self, sequence: u64, payload: &mut [u8; PAYLOAD_MAX_OCTETS]) -> Option<usize> {
        let taken = self.ring.slot(sequence).take(sequence, payload);
        self.expire_before(sequence + 1);
        taken
    }

    /// Copies the payload of the packet with this sequence number to the front of `payload` and gives
    /// its length in octets; the packet goes on waiting.
    ///
    /// `None` when the packet is not there, or was overwritten in the meantime.
    pub fn copy(&self, sequence: u64, payload: &mut [u8; PAYLOAD_MAX_OCTETS]) -> Option<usize> {
        self.ring.slot(sequence).copy(sequence, payload)
    }

    /// Declares the turn of all packets below `sequence` over: they count as late when they come.
    pub fn expire_before(&mut self, sequence: u64) {
        if sequence > self.head {
            self.head = sequence;
            self.ring.playout.0.head.store(sequence, Ordering::Release);
        }
    }

    /// Advances the playout clock by the samples that were asked for.
    pub fn advance(&mut self, samples: u32) {
        self.clock += u64::from(samples);
        self.ring.playout.0.clock.store(self.clock, Ordering::Relaxed);
    }

    /// The notes of packets that came since the last call, oldest first.
    pub fn arrivals(&mut self) -> impl Iterator<Item = Arrival> {
        let noted = self.ring.network.0.noted.load(Ordering::Acquire);
        // Whoever pulls too seldom loses the oldest notes.
        let from = self.noted.max(noted.saturating_sub(NOTES));
        self.noted = noted;
        let notes = &self.ring.notes;
        (from..noted).map(move |n| {
            let word = notes[(n % NOTES) as usize].load(Ordering::Relaxed);
            Arrival { media_time: (word >> 32) as u32, clock: word as u32 }
        })
    }
}

#[derive(Debug)]
struct Ring {
    mask: u64,
    slots: Box<[Slot]>,
    notes: Box<[AtomicU64]>,
    network: Line<Network>,
    playout: Line<PlayoutSide>,
}

impl Ring {
    fn slot(&self, sequence: u64) -> &Slot {
        &self.slots[(sequence & self.mask) as usize]
    }
}

/// Written by the inserter only.
#[derive(Debug)]
struct Network {
    highest: AtomicU64,
    noted: AtomicU64,
}

/// Written by the taker only.
#[derive(Debug)]
struct PlayoutSide {
    head: AtomicU64,
    clock: AtomicU64,
}

/// Keeps what one core writes off the cache lines another core writes (two lines: the prefetcher
/// fetches pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

#[cfg(all(test, not(loom)))]
mod tests;
