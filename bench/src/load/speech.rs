//! The packets of a load that a relay transcodes. Nothing written into them would come out again: who
//! receives knows them by the sequence numbers of the relay's stream.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use super::call_list::CallList;
use super::codecs::{Codecs, PAYLOAD_OCTETS, VoiceCodec};
use super::packet::{Fault, HEADER_OCTETS, Shape, is_rtcp};

/// What all parties say, and when.
#[derive(Debug)]
pub struct Speech {
    codecs: Codecs,
    /// By party: even ones, odd ones.
    payloads: [Vec<[u8; PAYLOAD_OCTETS]>; 2],
    parties: HashMap<SocketAddrV4, usize>,
    packets_each: u32,
    /// When each packet was sent, ns since 1970.
    sent_ns: Vec<u64>,
}

/// A packet of a relay's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who received it.
    pub receiver: usize,
    /// Time stamp steps from one packet to the next.
    pub timestamp_step: u32,
    /// Its source.
    pub ssrc: u32,
    /// Its number.
    pub sequence: u16,
    /// Its time stamp.
    pub timestamp: u32,
}

impl Speech {
    /// Speech of the parties of a list.
    pub fn new(codecs: Codecs, list: &CallList, packets_each: u32) -> Self {
        Self {
            codecs,
            payloads: [codecs.a.speech(), codecs.b.speech()],
            parties: (0..list.parties()).map(|index| (list.leg(index).party, index)).collect(),
            packets_each,
            sent_ns: vec![0; list.parties() * packets_each as usize],
        }
    }

    /// Octets of a whole packet.
    pub fn octets() -> usize {
        HEADER_OCTETS + PAYLOAD_OCTETS
    }

    /// Writes packet `index` of a party into `out`, to be sent now.
    pub fn write(&mut self, sender: u32, index: u32, sent_ns: u64, out: &mut [u8]) {
        let codec = self.codecs.of(sender as usize);
        let shape = Shape {
            payload_type: codec.payload_type(),
            payload_octets: PAYLOAD_OCTETS,
            timestamp_step: codec.timestamp_step(),
        };
        shape.write_header(sender, index, out);
        let payloads = &self.payloads[sender as usize % 2];
        // Not everybody says the same at the same time.
        let piece = (index as usize + 7 * sender as usize) % payloads.len();
        out[HEADER_OCTETS..].copy_from_slice(&payloads[piece]);
        let place = sender as usize * self.packets_each as usize + index as usize;
        if let Some(at) = self.sent_ns.get_mut(place) {
            *at = sent_ns;
        }
    }

    /// When a packet was sent.
    pub fn sent_ns(&self, sender: usize, index: u32) -> u64 {
        let place = sender * self.packets_each as usize + index as usize;
        self.sent_ns.get(place).copied().unwrap_or_default()
    }

    /// Reads a packet that came to a party.
    ///
    /// # Errors
    /// What it is instead of speech that the party understands.
    pub fn read(&self, to: SocketAddrV4, packet: &[u8]) -> Result<Heard, Fault> {
        if is_rtcp(packet) {
            return Err(Fault::Rtcp);
        }
        let receiver = *self.parties.get(&to).ok_or(Fault::Header)?;
        let Some((header, payload)) = packet.split_first_chunk::<HEADER_OCTETS>() else {
            return Err(Fault::Header);
        };
        let codec = self.codecs.of(receiver);
        if header[0] != 0x80 {
            return Err(Fault::Header);
        }
        if header[1] & 0x7f != codec.payload_type() {
            return Err(Fault::PayloadType);
        }
        let is_whole = match codec {
            VoiceCodec::Opus => !payload.is_empty(),
            _ => payload.len() == PAYLOAD_OCTETS,
        };
        if !is_whole {
            return Err(Fault::Payload);
        }
        let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap_or_default());
        Ok(Heard {
            receiver,
            timestamp_step: codec.timestamp_step(),
            ssrc: word(&header[8..12]),
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: word(&header[4..8]),
        })
    }
}

/// One stream as its receiver knows it: places in it by sequence numbers, from the first that came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Follow {
    first: Option<Heard>,
    newest: i64,
}

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number from the first on; negative before it.
    pub index: i64,
    /// The source is another one than the first packet's.
    pub ssrc_changed: bool,
    /// The time stamp is out of step.
    pub numbering_changed: bool,
}

impl Follow {
    /// The place of a packet.
    pub fn place(&mut self, heard: &Heard) -> Place {
        let first = *self.first.get_or_insert(*heard);
        let newest = first.sequence.wrapping_add(self.newest as u16);
        let index = self.newest + i64::from(heard.sequence.wrapping_sub(newest).cast_signed());
        self.newest = self.newest.max(index);
        let due = first.timestamp.wrapping_add((index as u32).wrapping_mul(first.timestamp_step));
        let ssrc_changed = heard.ssrc != first.ssrc;
        let numbering_changed = !ssrc_changed && heard.timestamp != due;
        Place { index, ssrc_changed, numbering_changed }
    }
}

#[cfg(test)]
mod tests {
    use super::super::call_list::{Call, Leg};
    use super::*;

    fn list() -> CallList {
        let at = |last, port| SocketAddrV4::new([10, 0, 0, last].into(), port);
        let leg = |port: u16| Leg::plain(at(1, port), at(2, port));
        CallList { calls: vec![Call { a: leg(1), b: leg(2) }] }
    }

    #[test]
    fn each_side_says_what_it_speaks_and_understands_only_that() {
        let codecs = Codecs { a: VoiceCodec::Pcma, b: VoiceCodec::Opus };
        let mut speech = Speech::new(codecs, &list(), 3);
        let mut from_a = vec![0; Speech::octets()];
        speech.write(0, 1, 77, &mut from_a);
        assert_eq!((from_a[1], speech.sent_ns(0, 1), speech.sent_ns(0, 0)), (8, 77, 0));
        let (a, b) = (list().leg(0).party, list().leg(1).party);
        assert_eq!(speech.read(b, &from_a), Err(Fault::PayloadType));
        assert_eq!(speech.read(a, &from_a).map(|heard| heard.timestamp_step), Ok(160));
        assert_eq!(speech.read(a, &from_a[..171]), Err(Fault::Payload));
        let mut from_b = vec![0; Speech::octets()];
        speech.write(1, 0, 78, &mut from_b);
        assert_eq!(from_b[1], 0x80 | 96);
        assert_eq!(speech.read(b, &from_b[..40]).map(|heard| heard.receiver), Ok(1));
        assert_eq!(speech.read(b, &[0x81, 200, 0, 1, 0, 0, 0, 0]), Err(Fault::Rtcp));
    }

    #[test]
    fn places_are_counted_from_the_first_packet_over_every_wrap() {
        let heard = |index: u32| Heard {
            receiver: 0,
            timestamp_step: 960,
            ssrc: 5,
            sequence: 65_000_u32.wrapping_add(index) as u16,
            timestamp: (u32::MAX - 960 * 100).wrapping_add(index * 960),
        };
        let mut follow = Follow::default();
        for index in (0..200_000).step_by(7) {
            let place = follow.place(&heard(index));
            assert_eq!(place.index, i64::from(index));
            assert!(!place.numbering_changed && !place.ssrc_changed);
        }
        assert_eq!(follow.place(&heard(199_900)).index, 199_900);
        let out_of_step = Heard { timestamp: 0, ..heard(199_999) };
        assert!(follow.place(&out_of_step).numbering_changed);
        assert!(follow.place(&Heard { ssrc: 6, ..heard(200_000) }).ssrc_changed);
    }
}
