//! What lies between a leg on its worker and its timeslot on another thread.

use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trunkline_rtp::jitter::{self, Counts, Frame, Inserter, Insertion, Taker};
use trunkline_rtp::packet::RtpPacket;
use trunkline_rtp::playout::{PlayoutStatistics, Timeline};
use trunkline_rtp::telephone_event::Digit;

use crate::coders::Decoders;
use crate::event::PlayoutFigures;
use crate::format::Format;

/// Samples from a timeslot that can wait for the worker: a quarter of a second.
const FROM_LINE_SAMPLES: usize = 2048;

/// Messages to a timeslot that can wait.
const TO_TIMESLOT: usize = 32;

/// The worker's end of the joint with a timeslot.
#[derive(Debug)]
pub(crate) struct TimeslotBridge {
    /// Packets towards the timeslot.
    pub(crate) inserter: Inserter,
    /// Octets from the line, in its law.
    pub(crate) octets: Consumer<u8>,
    /// Samples from the line, when it is linear.
    pub(crate) linear: Consumer<i16>,
    /// Messages to the timeslot.
    pub(crate) messages: Producer<ToTimeslot>,
    pub(crate) board: Arc<TimeslotBoard>,
}

/// The timeslot's end.
#[derive(Debug)]
pub(crate) struct LineEnd {
    pub(crate) taker: Taker,
    pub(crate) octets: Producer<u8>,
    pub(crate) linear: Producer<i16>,
    pub(crate) messages: Consumer<ToTimeslot>,
    pub(crate) board: Arc<TimeslotBoard>,
}

/// What the worker tells the timeslot beside the packets.
#[derive(Debug)]
pub(crate) enum ToTimeslot {
    /// A digit begins at the RTP side.
    DigitStarted(Digit),
    /// It has ended; its tone shall have lasted this long.
    DigitEnded { duration_ms: u32 },
    /// From now on what these decode may come.
    Decoders(Decoders),
    /// The RTP side is on hold, or not any more.
    Hold(bool),
}

/// A joint for one timeslot, with room for `packets` in its jitter buffer.
pub(crate) fn timeslot(packets: usize) -> (TimeslotBridge, LineEnd) {
    let (inserter, taker) = jitter::buffer(packets);
    let (octets_in, octets_out) = RingBuffer::new(FROM_LINE_SAMPLES);
    let (linear_in, linear_out) = RingBuffer::new(FROM_LINE_SAMPLES);
    let (messages_in, messages_out) = RingBuffer::new(TO_TIMESLOT);
    let board = Arc::new(TimeslotBoard::default());
    (
        TimeslotBridge {
            inserter,
            octets: octets_out,
            linear: linear_out,
            messages: messages_in,
            board: Arc::clone(&board),
        },
        LineEnd { taker, octets: octets_in, linear: linear_in, messages: messages_out, board },
    )
}

/// What the timeslot has done, for the worker to read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct TimeslotBoard {
    played: AtomicU64,
    discarded: AtomicU64,
    concealed: AtomicU64,
    lengthened: AtomicU64,
    shortened: AtomicU64,
    target: AtomicU64,
    delay: AtomicU64,
    overflow: AtomicU64,
    delay_max: AtomicU64,
}

/// A reading of the board, in samples.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub(crate) playout: PlayoutStatistics,
    pub(crate) overflow: u64,
    /// As long as the policy lets a packet wait.
    pub(crate) delay_max: u32,
}

impl TimeslotBoard {
    pub(crate) fn publish(&self, playout: &PlayoutStatistics) {
        self.played.store(playout.played, Ordering::Relaxed);
        self.discarded.store(playout.discarded, Ordering::Relaxed);
        self.concealed.store(playout.concealed, Ordering::Relaxed);
        self.lengthened.store(playout.lengthened, Ordering::Relaxed);
        self.shortened.store(playout.shortened, Ordering::Relaxed);
        self.target.store(playout.target.into(), Ordering::Relaxed);
        self.delay.store(playout.delay.into(), Ordering::Relaxed);
    }

    pub(crate) fn set_delay_max(&self, samples: u32) {
        self.delay_max.store(samples.into(), Ordering::Relaxed);
    }

    /// The timeslot is the only writer.
    pub(crate) fn add_overflow(&self, samples: usize) {
        let before = self.overflow.load(Ordering::Relaxed);
        self.overflow.store(before + samples as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        Reading {
            playout: PlayoutStatistics {
                played: self.played.load(Ordering::Relaxed),
                discarded: self.discarded.load(Ordering::Relaxed),
                concealed: self.concealed.load(Ordering::Relaxed),
                lengthened: self.lengthened.load(Ordering::Relaxed),
                shortened: self.shortened.load(Ordering::Relaxed),
                target: self.target.load(Ordering::Relaxed) as u32,
                delay: self.delay.load(Ordering::Relaxed) as u32,
                ..PlayoutStatistics::default()
            },
            overflow: self.overflow.load(Ordering::Relaxed),
            delay_max: self.delay_max.load(Ordering::Relaxed) as u32,
        }
    }
}

impl Reading {
    pub(crate) fn figures(&self) -> PlayoutFigures {
        PlayoutFigures {
            played: self.playout.played,
            discarded: self.playout.discarded,
            concealed_ms: self.playout.concealed / 8,
            lengthened_samples: self.playout.lengthened,
            shortened_samples: self.playout.shortened,
            target_ms: self.playout.target / 8,
            delay_ms: self.playout.delay / 8,
        }
    }
}

impl TimeslotBridge {
    /// Puts a packet that plays so many samples on the timeline and into the jitter buffer.
    pub(crate) fn insert(
        &mut self,
        timeline: &mut Timeline,
        format: Format,
        samples: u16,
        packet: &RtpPacket<'_>,
    ) -> Insertion {
        let header = packet.header;
        let placed = timeline.place(
            header.ssrc,
            header.sequence.0,
            header.timestamp.0,
            header.marker,
            samples,
            self.inserter.clock(),
        );
        self.inserter.insert(Frame {
            sequence: placed.sequence,
            media_time: placed.media_time,
            samples,
            format: format.tag(),
            marker: header.marker || placed.joined,
            payload: packet.payload,
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inserter.counts()
    }
}
