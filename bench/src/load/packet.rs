//! The RTP packets of the load: marked, so that the receiving party knows each again.
//!
//! The mark stands in the payload, because a relay may give packets a sequence number, time stamp
//! and SSRC of its own. What it changes there it must change by the same amount for a whole stream.

/// Octets of an RTP header without contributing sources or extension (RFC 3550 §5.1).
pub const HEADER_OCTETS: usize = 12;
/// The shortest payload that holds the mark.
pub const PAYLOAD_MIN_OCTETS: usize = 16;
/// Octets of a payload at most, so that a packet stays within an Ethernet frame.
pub const PAYLOAD_MAX_OCTETS: usize = 1400;

/// What a packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The party that sent it.
    pub sender: u32,
    /// Its number in the stream of that party, from 0.
    pub index: u32,
    /// When it was sent, ns since 1970 by the system's clock.
    pub sent_ns: u64,
}

/// How the packets of a run look.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// RTP payload type.
    pub payload_type: u8,
    /// Octets of payload.
    pub payload_octets: usize,
    /// Clock ticks of RTP a packet.
    pub timestamp_step: u32,
}

/// A packet that is one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its mark.
    pub mark: Mark,
    /// Its sequence number less that of the stream when it was sent: the relay's offset.
    pub sequence_offset: u16,
    /// Its time stamp less that of the stream when it was sent.
    pub timestamp_offset: u32,
    /// Its source.
    pub ssrc: u32,
}

/// Why a packet is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// RTCP: a relay that is an end of its streams reports on them.
    Rtcp,
    /// No RTP of version 2 without extension, padding or contributing sources.
    Header,
    /// Another payload type.
    PayloadType,
    /// Longer, shorter, or with other octets.
    Payload,
}

impl Shape {
    /// Octets of a whole RTP packet.
    pub fn octets(&self) -> usize {
        HEADER_OCTETS + self.payload_octets
    }

    /// Writes a packet into `out`, which is [`octets`](Self::octets) long.
    pub fn write(&self, mark: Mark, out: &mut [u8]) {
        self.write_header(mark.sender, mark.index, out);
        let payload = &mut out[HEADER_OCTETS..];
        payload[..4].copy_from_slice(&mark.sender.to_be_bytes());
        payload[4..8].copy_from_slice(&mark.index.to_be_bytes());
        payload[8..16].copy_from_slice(&mark.sent_ns.to_be_bytes());
        payload[16..].copy_from_slice(self.filling(mark.sender));
    }

    /// Writes the header of packet `index` of a sender.
    pub fn write_header(&self, sender: u32, index: u32, out: &mut [u8]) {
        out[0] = 0x80;
        // The first packet of a stream begins a talkspurt (RFC 3551 §4.1).
        out[1] = self.payload_type | if index == 0 { 0x80 } else { 0 };
        out[2..4].copy_from_slice(&sequence(sender, index).to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp(sender, index).to_be_bytes());
        out[8..12].copy_from_slice(&ssrc(sender).to_be_bytes());
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// What is not as it was sent.
    pub fn read(&self, packet: &[u8]) -> Result<Arrived, Fault> {
        // The load itself may have a payload type that looks so with a marker.
        if is_rtcp(packet) && packet[1] & 0x7f != self.payload_type {
            return Err(Fault::Rtcp);
        }
        let Some((header, payload)) = packet.split_first_chunk::<HEADER_OCTETS>() else {
            return Err(Fault::Header);
        };
        if header[0] != 0x80 {
            return Err(Fault::Header);
        }
        if header[1] & 0x7f != self.payload_type {
            return Err(Fault::PayloadType);
        }
        if payload.len() != self.payload_octets {
            return Err(Fault::Payload);
        }
        let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap_or_default());
        let mark = Mark {
            sender: word(&payload[..4]),
            index: word(&payload[4..8]),
            sent_ns: u64::from_be_bytes(payload[8..16].try_into().unwrap_or_default()),
        };
        if payload[16..] != *self.filling(mark.sender) {
            return Err(Fault::Payload);
        }
        let heard = u16::from_be_bytes([header[2], header[3]]);
        Ok(Arrived {
            mark,
            sequence_offset: heard.wrapping_sub(sequence(mark.sender, mark.index)),
            timestamp_offset: word(&header[4..8])
                .wrapping_sub(self.timestamp(mark.sender, mark.index)),
            ssrc: word(&header[8..12]),
        })
    }

    fn timestamp(&self, sender: u32, index: u32) -> u32 {
        let first = sender.wrapping_mul(0x9e37_79b9);
        first.wrapping_add(index.wrapping_mul(self.timestamp_step))
    }

    /// The payload behind the mark: another piece of the same octets for each of 256 streams.
    fn filling(&self, sender: u32) -> &'static [u8] {
        let start = sender as usize % 256;
        &FILLING[start..start + self.payload_octets - PAYLOAD_MIN_OCTETS]
    }
}

/// Whether a packet is RTCP (RFC 5761 §4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, &[first, kind, ..] if first >> 6 == 2 && (192..=223).contains(&kind))
}

/// The SSRC that a party sends with.
pub fn ssrc(sender: u32) -> u32 {
    sender.wrapping_add(1).wrapping_mul(0x85eb_ca6b)
}

/// Streams begin shortly before the sequence number wraps, so that every run sees it wrap.
fn sequence(sender: u32, index: u32) -> u16 {
    (65_500 + sender % 32).wrapping_add(index) as u16
}

static FILLING: [u8; 256 + PAYLOAD_MAX_OCTETS] = {
    let mut octets = [0; 256 + PAYLOAD_MAX_OCTETS];
    let mut state = 0x2545_f491_u32;
    let mut at = 0;
    while at < octets.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        octets[at] = (state >> 24) as u8;
        at += 1;
    }
    octets
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const G711: Shape = Shape { payload_type: 8, payload_octets: 160, timestamp_step: 160 };

    fn packet(mark: Mark) -> Vec<u8> {
        let mut out = vec![0; G711.octets()];
        G711.write(mark, &mut out);
        out
    }

    #[test]
    fn a_packet_reads_back_with_its_mark_and_no_offsets() {
        let mark = Mark { sender: 77, index: 40_000, sent_ns: 1_700_000_000_123_456_789 };
        let arrived = G711.read(&packet(mark)).unwrap();
        assert_eq!(
            arrived,
            Arrived { mark, sequence_offset: 0, timestamp_offset: 0, ssrc: ssrc(77) }
        );
    }

    #[test]
    fn a_relay_that_renumbers_shows_as_an_offset() {
        let mut packet = packet(Mark { sender: 1, index: 3, sent_ns: 5 });
        let heard = u16::from_be_bytes([packet[2], packet[3]]).wrapping_add(1000);
        packet[2..4].copy_from_slice(&heard.to_be_bytes());
        assert_eq!(G711.read(&packet).unwrap().sequence_offset, 1000);
    }

    #[test]
    fn a_changed_octet_of_payload_is_seen() {
        let whole = packet(Mark { sender: 9, index: 1, sent_ns: 2 });
        let mut other = whole.clone();
        other[171] ^= 1;
        assert_eq!(G711.read(&other), Err(Fault::Payload));
        assert_eq!(G711.read(&whole[..171]), Err(Fault::Payload));
        let mut other = whole;
        other[1] = 0;
        assert_eq!(G711.read(&other), Err(Fault::PayloadType));
        assert_eq!(G711.read(&[0x80; 11]), Err(Fault::Header));
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = G711.read(&octets);
        }
    }
}
