//! The stream a leg sends: its name and its numbering, wherever the sound comes from.

use trunkline_rtp::packet::{RtpHeader, SequenceNumber, Timestamp};
use trunkline_rtp::transmission::Transmission;

use crate::spec::Sending;

/// The sending side of a leg.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) sending: Sending,
    ssrc: u32,
    /// Of the next packet.
    pub(super) sequence: SequenceNumber,
    /// Of the next packet from a line; of the newest one that was relayed.
    pub(super) timestamp: Timestamp,
    /// The next packet begins a talkspurt.
    pub(super) marker: bool,
    transmission: Transmission,
}

impl Outgoing {
    pub(super) fn new(sending: Sending) -> Self {
        Self {
            sending,
            // RFC 3550 §5.1: all three random, so that a stranger cannot guess them.
            ssrc: rand::random(),
            sequence: SequenceNumber(rand::random()),
            timestamp: Timestamp(rand::random()),
            marker: true,
            transmission: Transmission::new(),
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn transmission(&self) -> &Transmission {
        &self.transmission
    }

    pub(super) fn has_sent(&self) -> bool {
        self.transmission.packets() > 0
    }

    pub(super) fn clock_hz(&self) -> u32 {
        self.sending.codec.rtp_clock_hz()
    }

    /// Timestamp steps of a packet of the agreed length.
    pub(super) fn packet_steps(&self) -> u32 {
        self.sending.codec.timestamp_step(self.sending.ptime_ms)
    }

    pub(super) fn change(&mut self, sending: Sending) {
        if !sending.codec.same_encoding(&self.sending.codec) {
            self.marker = true;
        }
        self.sending = sending;
    }

    pub(super) fn header(
        &self,
        marker: bool,
        payload_type: u8,
        sequence: SequenceNumber,
        timestamp: Timestamp,
    ) -> RtpHeader {
        RtpHeader { marker, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// A packet has gone out with this much payload.
    pub(super) fn packet_sent(&mut self, payload_octets: usize) {
        self.transmission.packet_sent(payload_octets);
    }
}
