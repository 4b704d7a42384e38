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
    /// Of the present stream.
    transmission: Transmission,
    /// Packets and payload octets of the streams before.
    before: (u64, u64),
}

impl Outgoing {
    pub(super) fn new(sending: Sending) -> Self {
        Self {
            sending,
            // RFC 3550 §5.1: all three random, so that a stranger cannot guess them.
            ssrc: rand::random(),
            sequence: first_sequence(),
            timestamp: Timestamp(rand::random()),
            marker: true,
            transmission: Transmission::new(),
            before: (0, 0),
        }
    }

    /// Ends the stream and begins another under a new name; timestamps go on.
    pub(super) fn begin_anew(&mut self) {
        self.before = (self.packets(), self.octets());
        self.transmission = Transmission::new();
        self.ssrc = rand::random();
        self.sequence = first_sequence();
        self.marker = true;
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Figures of the present stream.
    pub(super) fn transmission(&self) -> &Transmission {
        &self.transmission
    }

    /// Packets sent, of all streams.
    pub(super) fn packets(&self) -> u64 {
        self.before.0 + self.transmission.packets()
    }

    /// Payload octets sent, of all streams.
    pub(super) fn octets(&self) -> u64 {
        self.before.1 + self.transmission.payload_octets()
    }

    pub(super) fn has_sent(&self) -> bool {
        self.packets() > 0
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

    /// Packets have gone out in our name.
    pub(super) fn packets_sent(&mut self, packets: u64, payload_octets: u64) {
        self.transmission.packets_sent(packets, payload_octets);
    }

    /// A packet has gone out with this much payload.
    pub(super) fn packet_sent(&mut self, payload_octets: usize) {
        self.transmission.packet_sent(payload_octets);
    }
}

/// RFC 3711 §3.3.1: below 2^15, so that a receiver that misses the first packets of an SRTP stream
/// still counts its roll-overs right. A leg may become SRTP later.
fn first_sequence() -> SequenceNumber {
    SequenceNumber(rand::random::<u16>() >> 1)
}
