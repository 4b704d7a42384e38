//! What arrived, packet by packet.

use serde::{Deserialize, Serialize};

use super::call_list::CallList;
use super::latency::{Percentiles, Times};
use super::packet::{Fault, Mark, Shape};
use super::speech::{Follow, Speech};
use super::wire::Arrival;

/// One entry for each packet that was sent, and what came instead.
#[derive(Debug)]
pub struct Ledger {
    content: Content,
    list: CallList,
    packets_each: u32,
    /// Packets of each stream that belong to the warm-up.
    warm_up_each: u32,
    /// One bit a packet.
    seen: Vec<u64>,
    streams: Vec<Stream>,
    counts: Counts,
    latency: Times,
}

/// What is in the packets.
#[derive(Debug)]
pub enum Content {
    /// A mark, by which each is known whatever its numbers are.
    Marked(Shape),
    /// Speech, which a relay transcodes.
    Speech(Box<Speech>),
}

impl Content {
    /// Octets of a whole packet.
    pub fn octets(&self) -> usize {
        match self {
            Self::Marked(shape) => shape.octets(),
            Self::Speech(_) => Speech::octets(),
        }
    }

    /// Writes a packet to be sent now.
    pub fn write(&mut self, mark: Mark, out: &mut [u8]) {
        match self {
            Self::Marked(shape) => shape.write(mark, out),
            Self::Speech(speech) => speech.write(mark.sender, mark.index, mark.sent_ns, out),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// SSRC and offsets of its first packet.
    first: Option<(u32, u16, u32)>,
    /// The same of speech.
    follow: Follow,
    highest: u32,
}

/// Packets by what became of them; those of the warm-up only where it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Arrived, each counted once.
    pub received: u64,
    /// Sent in the measured time and never seen.
    pub lost: u64,
    /// Of the warm-up, arrived.
    pub warm_up_received: u64,
    /// Of the warm-up, never seen.
    pub warm_up_lost: u64,
    /// Arrived once more (also in the warm-up, as all below).
    pub doubled: u64,
    /// Arrived after a later one of its stream.
    pub reordered: u64,
    /// Octets, length or payload type other than sent.
    pub wrong_payload: u64,
    /// With another SSRC than the packets before.
    pub ssrc_changed: u64,
    /// Sequence number or time stamp out of step with the packets before.
    pub numbering_changed: u64,
    /// From another port than the relay's for this party.
    pub wrong_source: u64,
    /// Arrived at another party than the sender's peer.
    pub wrong_party: u64,
    /// With a wrong UDP checksum.
    pub wrong_checksum: u64,
    /// Reports of the relay on its own streams (RTCP), which are no part of the load.
    pub rtcp: u64,
}

impl Counts {
    /// Packets that arrived other than they should: again, late, changed, or somewhere else.
    pub fn faults(&self) -> u64 {
        self.doubled
            + self.reordered
            + self.wrong_payload
            + self.ssrc_changed
            + self.numbering_changed
            + self.wrong_source
            + self.wrong_party
            + self.wrong_checksum
    }

    /// Whether every packet arrived once, in order, unchanged and where it should.
    pub fn clean(&self) -> bool {
        self.faults() + self.lost + self.warm_up_lost == 0
    }
}

impl Ledger {
    /// A ledger of streams with `packets_each` packets, of which the first are warm-up.
    pub fn new(content: Content, list: CallList, packets_each: u32, warm_up_each: u32) -> Self {
        let parties = list.parties();
        let packets = parties * packets_each as usize;
        Self {
            content,
            packets_each,
            warm_up_each,
            seen: vec![0; packets.div_ceil(64)],
            streams: vec![Stream::default(); parties],
            counts: Counts::default(),
            latency: Times::with_capacity(packets),
            list,
        }
    }

    /// Enters what arrived.
    pub fn enter(&mut self, arrival: &Arrival<'_>) {
        if !arrival.checksum_right {
            self.counts.wrong_checksum += 1;
            return;
        }
        let outcome = match &self.content {
            Content::Marked(_) => self.enter_marked(arrival),
            Content::Speech(_) => self.enter_speech(arrival),
        };
        if let Err(fault) = outcome {
            self.enter_fault(fault);
        }
    }

    /// Enters what arrived and is none of the packets that were sent.
    pub fn enter_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Rtcp => self.counts.rtcp += 1,
            Fault::Header | Fault::PayloadType | Fault::Payload => self.counts.wrong_payload += 1,
        }
    }

    /// What carries a mark.
    fn enter_marked(&mut self, arrival: &Arrival<'_>) -> Result<(), Fault> {
        let Content::Marked(shape) = &self.content else { return Err(Fault::Payload) };
        let arrived = shape.read(arrival.packet)?;
        let mark = arrived.mark;
        let sender = mark.sender as usize;
        if sender >= self.streams.len() || mark.index >= self.packets_each {
            return Err(Fault::Payload);
        }
        let Some(stream) = self.note(arrival, sender, mark.index, mark.sent_ns) else {
            return Ok(());
        };
        let heard = (arrived.ssrc, arrived.sequence_offset, arrived.timestamp_offset);
        let first = *stream.first.get_or_insert(heard);
        if heard.0 != first.0 {
            self.counts.ssrc_changed += 1;
        } else if heard != first {
            self.counts.numbering_changed += 1;
        }
        Ok(())
    }

    /// What the relay has made of speech: its first packet is taken for that of the sender's first.
    fn enter_speech(&mut self, arrival: &Arrival<'_>) -> Result<(), Fault> {
        let Content::Speech(speech) = &self.content else { return Err(Fault::Payload) };
        let heard = speech.read(arrival.to, arrival.packet)?;
        let sender = heard.receiver ^ 1;
        let place = self.streams[sender].follow.place(&heard);
        let index = u32::try_from(place.index).map_err(|_| Fault::Payload)?;
        if index >= self.packets_each {
            return Err(Fault::Payload);
        }
        let sent_ns = speech.sent_ns(sender, index);
        if self.note(arrival, sender, index, sent_ns).is_some() {
            self.counts.ssrc_changed += u64::from(place.ssrc_changed);
            self.counts.numbering_changed += u64::from(place.numbering_changed);
        }
        Ok(())
    }

    /// Notes a packet of a stream; the stream, unless the packet was there before or somewhere else.
    fn note(
        &mut self,
        arrival: &Arrival<'_>,
        sender: usize,
        index: u32,
        sent_ns: u64,
    ) -> Option<&mut Stream> {
        // The peer of an A party is the B party of the same call, and the other way round.
        let receiver = self.list.leg(sender ^ 1);
        if arrival.to != receiver.party {
            self.counts.wrong_party += 1;
            return None;
        }
        if arrival.from != receiver.relay {
            self.counts.wrong_source += 1;
        }
        let bit = sender * self.packets_each as usize + index as usize;
        let (word, mask) = (&mut self.seen[bit / 64], 1 << (bit % 64));
        if *word & mask != 0 {
            self.counts.doubled += 1;
            return None;
        }
        *word |= mask;
        let stream = &mut self.streams[sender];
        if index < stream.highest {
            self.counts.reordered += 1;
        }
        stream.highest = stream.highest.max(index);
        if index < self.warm_up_each {
            self.counts.warm_up_received += 1;
        } else {
            self.counts.received += 1;
            self.latency.push(arrival.at_ns.saturating_sub(sent_ns));
        }
        Some(stream)
    }

    /// Writes a packet that is sent now.
    pub fn write(&mut self, mark: Mark, out: &mut [u8]) {
        self.content.write(mark, out);
    }

    /// Packets that arrived so far, warm-up included.
    pub fn arrived(&self) -> u64 {
        self.counts.received + self.counts.warm_up_received
    }

    /// Closes the ledger.
    pub fn close(self) -> (Counts, Option<Percentiles>) {
        let streams = self.streams.len() as u64;
        let mut counts = self.counts;
        let measured = u64::from(self.packets_each - self.warm_up_each) * streams;
        counts.lost = measured - counts.received;
        counts.warm_up_lost = u64::from(self.warm_up_each) * streams - counts.warm_up_received;
        (counts, self.latency.percentiles())
    }
}

#[cfg(test)]
mod tests {
    use super::super::call_list::{Call, Leg};
    use super::super::codecs::{Codecs, VoiceCodec};
    use super::*;

    const SHAPE: Shape = Shape { payload_type: 8, payload_octets: 160, timestamp_step: 160 };

    fn list() -> CallList {
        let at = |last, port| std::net::SocketAddrV4::new([10, 0, 0, last].into(), port);
        let leg = |port: u16| Leg::plain(at(1, port), at(2, port));
        CallList { calls: vec![Call { a: leg(1), b: leg(2) }] }
    }

    /// Party A's packet `index`, sent at 1000 ns and arrived at party B at 1500 ns.
    fn enter(ledger: &mut Ledger, index: u32, change: impl FnOnce(&mut [u8])) {
        let mut packet = vec![0; SHAPE.octets()];
        SHAPE.write(Mark { sender: 0, index, sent_ns: 1000 }, &mut packet);
        change(&mut packet);
        let leg = list().leg(1).clone();
        ledger.enter(&Arrival {
            packet: &packet,
            from: leg.relay,
            to: leg.party,
            at_ns: 1500,
            checksum_right: true,
        });
    }

    #[test]
    fn lost_doubled_and_reordered_packets_are_counted() {
        let mut ledger = Ledger::new(Content::Marked(SHAPE), list(), 4, 1);
        for index in [0, 2, 1, 1] {
            enter(&mut ledger, index, |_| {});
        }
        let (counts, latency) = ledger.close();
        // Party B sent nothing that arrived: 3 measured and 1 of its warm-up are lost.
        let expected = Counts {
            received: 2,
            lost: 4,
            warm_up_received: 1,
            warm_up_lost: 1,
            doubled: 1,
            reordered: 1,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        assert!(!counts.clean());
        assert_eq!(latency.unwrap().max_us, 0.5);
    }

    #[test]
    fn another_ssrc_or_numbering_in_mid_stream_is_counted() {
        let mut ledger = Ledger::new(Content::Marked(SHAPE), list(), 3, 0);
        enter(&mut ledger, 0, |packet| packet[8] ^= 1);
        enter(&mut ledger, 1, |_| {});
        enter(&mut ledger, 2, |packet| {
            packet[8] ^= 1;
            packet[3] = packet[3].wrapping_add(1);
        });
        let (counts, _) = ledger.close();
        assert_eq!((counts.ssrc_changed, counts.numbering_changed), (1, 1));
    }

    #[test]
    fn a_packet_at_the_wrong_party_or_from_the_wrong_port_is_counted() {
        let mut ledger = Ledger::new(Content::Marked(SHAPE), list(), 3, 0);
        let mut packet = vec![0; SHAPE.octets()];
        SHAPE.write(Mark { sender: 0, index: 0, sent_ns: 0 }, &mut packet);
        let list = list();
        let (a, b) = (list.leg(0), list.leg(1));
        let arrival =
            Arrival { packet: &packet, from: a.relay, to: a.party, at_ns: 1, checksum_right: true };
        ledger.enter(&arrival);
        ledger.enter(&Arrival { to: b.party, ..arrival });
        ledger.enter(&Arrival { to: b.party, from: b.relay, checksum_right: false, ..arrival });
        let (counts, _) = ledger.close();
        assert_eq!((counts.wrong_party, counts.wrong_source, counts.wrong_checksum), (1, 1, 1));
        assert_eq!(counts.received, 1);
    }

    #[test]
    fn reports_of_the_relay_are_no_fault() {
        let mut ledger = Ledger::new(Content::Marked(SHAPE), list(), 3, 0);
        for index in 0..3 {
            enter(&mut ledger, index, |_| {});
        }
        // A sender report with a block (RFC 3550 §6.4.1), to the port above the party's.
        let leg = list().leg(1).clone();
        let rtcp_port = std::net::SocketAddrV4::new(*leg.party.ip(), leg.party.port() + 1);
        ledger.enter(&Arrival {
            packet: &[&[0x81, 200, 0, 12][..], &[0; 48]].concat(),
            from: leg.relay,
            to: rtcp_port,
            at_ns: 1500,
            checksum_right: true,
        });
        let (counts, _) = ledger.close();
        assert_eq!((counts.received, counts.rtcp, counts.faults()), (3, 1, 0));
    }

    #[test]
    fn a_mark_that_nobody_sent_does_no_harm() {
        let mut ledger = Ledger::new(Content::Marked(SHAPE), list(), 3, 0);
        enter(&mut ledger, 3, |_| {});
        enter(&mut ledger, u32::MAX, |_| {});
        assert_eq!(ledger.close().0.wrong_payload, 2);
    }
    #[test]
    fn speech_is_known_by_the_numbers_of_the_relays_stream() {
        let codecs = Codecs { a: VoiceCodec::Pcma, b: VoiceCodec::Pcmu };
        let speech = Box::new(Speech::new(codecs, &list(), 5));
        let mut ledger = Ledger::new(Content::Speech(speech), list(), 5, 1);
        let leg = list().leg(1).clone();
        for index in 0..5 {
            ledger.write(Mark { sender: 0, index, sent_ns: 1_000 }, &mut [0; 172]);
        }
        // The relay's own stream: other numbers, the other law; the third is lost.
        for index in [0_u16, 1, 3, 3, 4] {
            let mut packet = vec![0x80, 0];
            packet.extend_from_slice(&65_534_u16.wrapping_add(index).to_be_bytes());
            packet.extend_from_slice(&(u32::from(index) * 160).to_be_bytes());
            packet.extend_from_slice(&[0; 164]);
            let (from, to) = (leg.relay, leg.party);
            let arrival = Arrival { packet: &packet, from, to, at_ns: 1_500, checksum_right: true };
            ledger.enter(&arrival);
        }
        let (counts, latency) = ledger.close();
        assert_eq!((counts.received, counts.warm_up_received, counts.doubled), (3, 1, 1));
        assert_eq!((counts.faults(), latency.unwrap().max_us), (1, 0.5));
    }
}
