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

#[cfg(test)]
mod tests {
    use trunkline_rtp::packet::{HEADER_OCTETS, RtpHeader, SequenceNumber, Timestamp};

    use super::*;

    const PACKET: usize = 160;

    /// Speech in A-law: a voice of 100 Hz for two seconds, a quiet hum for one, and so on.
    fn speech(packets: usize) -> Vec<u8> {
        let sample = |n: usize| {
            let turn = std::f32::consts::TAU * n as f32 / 8_000.0;
            let speaks = n / 8_000 % 3 < 2;
            let voice =
                (100.0 * turn).sin() + 0.6 * (300.0 * turn).sin() + 0.3 * (1_100.0 * turn).sin();
            let hum = 40.0 * (50.0 * turn).sin();
            if speaks { 4_000.0 * voice } else { hum }
        };
        (0..packets * PACKET).map(|n| Law::A.encode(sample(n) as i16)).collect()
    }

    /// What the line plays, in blocks of 1 ms, if packet `n` comes `late_ms(n)` after it was sent.
    fn played(
        said: &[u8],
        late_ms: impl Fn(usize) -> Option<usize>,
    ) -> (Vec<u8>, PlayoutStatistics) {
        let mut line = VirtualLine::new(Law::A, PlayoutConfig::default());
        let mut coming: Vec<(usize, usize)> = (0..said.len() / PACKET)
            .filter_map(|n| Some((20 * (n + 1) + late_ms(n)?, n)))
            .collect();
        coming.sort_unstable();
        let mut coming = coming.into_iter().peekable();
        let mut heard = vec![0; said.len() + 8 * PACKET];
        for (ms, block) in heard.chunks_exact_mut(8).enumerate() {
            while let Some((_, n)) = coming.next_if(|(at_ms, _)| *at_ms <= ms) {
                let header = RtpHeader {
                    marker: n == 0,
                    payload_type: 8,
                    sequence: SequenceNumber(n as u16),
                    timestamp: Timestamp((n * PACKET) as u32),
                    ssrc: 7,
                };
                let mut packet = header.to_bytes().to_vec();
                packet.extend(&said[n * PACKET..(n + 1) * PACKET]);
                assert_eq!(packet.len(), HEADER_OCTETS + PACKET);
                line.hear(&RtpPacket::parse(&packet).unwrap());
            }
            line.play_octets(block);
        }
        (heard, line.playout())
    }

    /// Packets of `said` of which all octets were heard as they were sent, from packet `from` on.
    fn intact(said: &[u8], heard: &[u8], from: usize) -> Vec<usize> {
        let mut at = 0;
        let mut intact = Vec::new();
        for (n, packet) in said.chunks_exact(PACKET).enumerate().skip(from) {
            // The voice repeats itself: a packet is where the one before was, give or take a change.
            let expected = (n + 1) * PACKET;
            let found = (expected.max(at)..expected + 100 * 8)
                .find(|&start| heard.get(start..start + PACKET) == Some(packet));
            if let Some(start) = found {
                at = start + PACKET;
                intact.push(n);
            }
        }
        intact
    }

    #[test]
    fn a_clean_path_is_bit_exact_and_the_delay_is_a_packet_and_a_little() {
        let said = speech(500);
        let (heard, playout) = played(&said, |_| Some(2));
        // What was held back at the start was given up in the first pause.
        assert_eq!(intact(&said, &heard, 200).len(), 300);
        assert_eq!((playout.lengthened, playout.shortened), (0, 80));
        assert!(heard[200 * PACKET + PACKET + 16..].starts_with(&said[200 * PACKET..201 * PACKET]));
        // Before the first packet and after the last one, and nothing in between.
        assert!(playout.concealed <= 960, "{playout:?}");
    }

    #[test]
    fn a_packet_behind_a_gap_is_as_it_was_sent_where_it_was_known_before() {
        let said = speech(1_000);
        let lost = |n: usize| n % 40 == 23;
        let (heard, playout) = played(&said, |n| (!lost(n)).then_some(2));
        let intact = intact(&said, &heard, 500);
        let behind: Vec<usize> = (500..1_000).filter(|n| lost(n - 1)).collect();
        assert!(behind.iter().all(|n| intact.contains(n)), "{intact:?}");
        assert_eq!(intact.len() + behind.len(), 500);
        assert!(playout.concealed <= 25 * PACKET as u64 + 960, "{playout:?}");
    }

    #[test]
    fn speech_is_not_torn_when_more_jitter_asks_for_more_delay() {
        let said = speech(1_000);
        // 4 ms more from packet 320 on, in the midst of speech.
        let late_ms = |n: usize| Some(2 + if n >= 320 && n.is_multiple_of(16) { 4 } else { 0 });
        let (_, playout) = played(&said, late_ms);
        assert!((16..=64).contains(&playout.lengthened), "{playout:?}");
        // Until the next pause some packets missed their first 4 ms.
        assert!(playout.concealed <= 960 + 10 * 32, "{playout:?}");
        assert_eq!(playout.discarded, 0);
    }
}
