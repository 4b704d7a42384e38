//! What a sender counts for its reports, and the round trip it learns from theirs (RFC 3550 §6.4.1).
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::ntp::{self, NtpTime};
use crate::packet::Timestamp;
use crate::rtcp::{ReportBlock, SenderReport};

/// Counters of the stream this side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transmission {
    packets: u64,
    payload_octets: u64,
}

impl Transmission {
    /// Nothing sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a packet with `payload_octets` of payload, header and padding not counted.
    pub fn packet_sent(&mut self, payload_octets: usize) {
        self.packets += 1;
        self.payload_octets += payload_octets as u64;
    }

    /// Counts packets that were sent in our name.
    pub fn packets_sent(&mut self, packets: u64, payload_octets: u64) {
        self.packets += packets;
        self.payload_octets += payload_octets;
    }

    /// Packets sent.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload octets sent.
    pub fn payload_octets(&self) -> u64 {
        self.payload_octets
    }

    /// The sender report; `timestamp` is what a packet sampled at `now` would carry.
    pub fn report(&self, now: NtpTime, timestamp: Timestamp) -> SenderReport {
        SenderReport {
            ntp: now,
            timestamp,
            // Both counters wrap at 32 bits (RFC 3550 §6.4.1).
            packets: self.packets as u32,
            octets: self.payload_octets as u32,
        }
    }
}

/// The round trip told by a block about our stream that arrived at `now`: A - LSR - DLSR.
///
/// None when the other side has not had a sender report of ours, or its figures cannot be true
/// (a round trip below zero or above 60 s).
pub fn round_trip(block: &ReportBlock, now: NtpTime) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let units = now.middle().wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    let span = ntp::from_short(units);
    (span <= Duration::from_secs(60)).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(last_sr: u32, delay_since_last_sr: u32) -> ReportBlock {
        ReportBlock { last_sr, delay_since_last_sr, ..ReportBlock::default() }
    }

    #[test]
    fn round_trip_of_the_standards_example() {
        // RFC 3550 Figure 2: A = 0xb710:8000, LSR = 0xb705:2000, DLSR = 5.250 s, round trip 6.125 s.
        let now = NtpTime(0x0000_b710_8000_0000);
        let trip = round_trip(&block(0xb705_2000, 0x0005_4000), now);
        assert_eq!(trip, Some(Duration::from_millis(6_125)));
    }

    #[test]
    fn impossible_round_trips_are_ignored() {
        let now = NtpTime(0x0000_b710_8000_0000);
        assert_eq!(round_trip(&block(0, 0), now), None);
        assert_eq!(round_trip(&block(0xb710_8000, 0x0001_0000), now), None);
    }

    #[test]
    fn report_carries_what_was_sent() {
        let mut sent = Transmission::new();
        sent.packet_sent(160);
        sent.packet_sent(4);
        let report = sent.report(NtpTime(9), Timestamp(320));
        assert_eq!((report.packets, report.octets), (2, 164));
        assert_eq!((sent.packets(), sent.payload_octets()), (2, 164));
        assert_eq!((report.ntp, report.timestamp), (NtpTime(9), Timestamp(320)));
    }
}
