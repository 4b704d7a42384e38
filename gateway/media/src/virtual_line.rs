//! A timeslot and its jitter buffer without sockets, threads or a clock: for measuring the playout.
//!
//! What is between the source rule and the line is the product's own: timeline, jitter buffer,
//! playout policy, decoders, concealment, stretching. Only who comes by and when is up to the caller,
//! so that minutes of a bad network take a second and come out the same each time.

use trunkline_dsp::g711::Law;
use trunkline_rtp::jitter::Insertion;
use trunkline_rtp::packet::RtpPacket;
use trunkline_rtp::playout::{PlayoutConfig, PlayoutStatistics, Timeline};

use crate::bridge::{TimeslotBridge, timeslot};
use crate::config::MediaConfig;
use crate::format::Format;
use crate::timeslot::TimeslotEnd;

/// A line of one timeslot that hears G.711 from the network.
#[derive(Debug)]
pub struct VirtualLine {
    bridge: TimeslotBridge,
    timeline: Timeline,
    end: TimeslotEnd,
    law: Law,
}

impl VirtualLine {
    /// A line of that law whose packets carry G.711 of the same.
    pub fn new(law: Law, playout: PlayoutConfig) -> Self {
        let (bridge, line) = timeslot(MediaConfig::default().jitter_packets);
        let end = TimeslotEnd::new(law, playout, line);
        Self { bridge, timeline: Timeline::new(1), end, law }
    }

    /// A packet arrives, after as much as the line has played up to now. None if there is no voice in
    /// it.
    pub fn hear(&mut self, packet: &RtpPacket<'_>) -> Option<Insertion> {
        let format = Format::G711(self.law);
        let samples = format.samples(packet.payload)?;
        Some(self.bridge.insert(&mut self.timeline, format, samples, packet))
    }

    /// The next block that the line plays, linear.
    pub fn play(&mut self, block: &mut [i16]) {
        self.end.exchange_linear(&[], block);
    }

    /// The next block that the line plays, in its law.
    pub fn play_octets(&mut self, block: &mut [u8]) {
        self.end.exchange(&[], block);
    }

    /// What the playout has done so far.
    pub fn playout(&self) -> PlayoutStatistics {
        self.end.playout()
    }
}
