//! The frame of DAHDI's `dahdi_dynamic` in an Ethernet frame of `dahdi_dynamic_eth`:
//!
//! | octets | content |
//! |---|---|
//! | 6, 6, 2 | destination, source, type d00d |
//! | 2 | subaddress, big endian |
//! | 1 | samples a timeslot: 8 |
//! | 1 | flags: 1 yellow alarm, 2 signalling bits present, 4 loopback |
//! | 2, 2 | sequence number, number of timeslots, big endian |
//! | 2 for each 4 timeslots | ABCD bits, the first timeslot in the lowest four bits, big endian |
//! | 8 for each timeslot | its octets |

use std::fmt;

use crate::line::Block;

/// Samples a timeslot in a frame: 1 ms.
pub const SAMPLES: usize = 8;
/// A frame of 31 timeslots with signalling bits.
pub const FRAME_SIZE_OCTETS_MAX: usize = HEADER_SIZE_OCTETS + 16 + 31 * SAMPLES;

const HEADER_SIZE_OCTETS: usize = 22;
const ETHERTYPE: [u8; 2] = [0xd0, 0x0d];
const FLAG_YELLOW: u8 = 1;
const FLAG_CAS: u8 = 2;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Whom a frame is for and from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Ethernet destination.
    pub destination: MacAddress,
    /// Ethernet source.
    pub source: MacAddress,
    /// Which span of the two.
    pub subaddress: u16,
}

/// A frame, taken apart but not copied.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Whom it is for and from.
    pub addresses: Addresses,
    /// The sender is in RED alarm.
    pub yellow: bool,
    /// Counts up by one a frame.
    pub sequence: u16,
    /// 31 or 24.
    pub timeslots: u8,
    cas: Option<&'a [u8]>,
    octets: &'a [u8],
}

/// Why octets are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not so long as its header says.
    #[error("{0} octets do not hold the frame")]
    Length(usize),
    /// Another Ethernet type.
    #[error("Ethernet type {0:#06x} is not TDM over Ethernet")]
    Ethertype(u16),
    /// Not eight samples a timeslot.
    #[error("{0} samples a timeslot instead of 8")]
    Samples(u8),
    /// Neither E1 nor T1.
    #[error("{0} timeslots are neither an E1 nor a T1")]
    Timeslots(u16),
}

/// Reads a frame.
pub fn decode(datagram: &[u8]) -> Result<Frame<'_>, Malformed> {
    let Some((header, body)) = datagram.split_first_chunk::<HEADER_SIZE_OCTETS>() else {
        return Err(Malformed::Length(datagram.len()));
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let mac = |at: usize| MacAddress(std::array::from_fn(|octet| header[at + octet]));
    if header[12..14] != ETHERTYPE {
        return Err(Malformed::Ethertype(word(12)));
    }
    if usize::from(header[16]) != SAMPLES {
        return Err(Malformed::Samples(header[16]));
    }
    let timeslots = match word(20) {
        timeslots @ (24 | 31) => timeslots as u8,
        other => return Err(Malformed::Timeslots(other)),
    };
    let flags = header[17];
    let has_cas = flags & FLAG_CAS != 0;
    let cas_size_octets = if has_cas { cas_size_octets(timeslots) } else { 0 };
    if body.len() != cas_size_octets + usize::from(timeslots) * SAMPLES {
        return Err(Malformed::Length(datagram.len()));
    }
    let (cas, octets) = body.split_at(cas_size_octets);
    Ok(Frame {
        addresses: Addresses { destination: mac(0), source: mac(6), subaddress: word(14) },
        yellow: flags & FLAG_YELLOW != 0,
        sequence: word(18),
        timeslots,
        cas: has_cas.then_some(cas),
        octets,
    })
}

impl Frame<'_> {
    /// Puts its content into a block. Without signalling bits those of the block stay.
    pub fn read_into(&self, block: &mut Block) {
        block.set_samples(SAMPLES);
        block.yellow = self.yellow;
        block.red = false;
        block.blue = false;
        for (timeslot, octets) in (1_u8..).zip(self.octets.as_chunks::<SAMPLES>().0) {
            block.timeslot_mut(timeslot).copy_from_slice(octets);
        }
        for (at, cas) in self.cas.unwrap_or_default().as_chunks::<2>().0.iter().enumerate() {
            let word = u16::from_be_bytes(*cas);
            for timeslot in (4 * at + 1..=4 * at + 4).take_while(|t| *t <= self.timeslots.into()) {
                block.cas[timeslot] = (word >> (4 * ((timeslot - 1) % 4))) as u8 & 0x0f;
            }
        }
    }
}

/// Writes a frame with signalling bits and returns its length. The block has eight samples.
///
/// # Panics
/// If `datagram` is shorter than [`FRAME_SIZE_OCTETS_MAX`] or the block has not eight samples.
pub fn encode(
    datagram: &mut [u8],
    addresses: Addresses,
    timeslots: u8,
    sequence: u16,
    block: &Block,
) -> usize {
    datagram[..6].copy_from_slice(&addresses.destination.0);
    datagram[6..12].copy_from_slice(&addresses.source.0);
    datagram[12..14].copy_from_slice(&ETHERTYPE);
    datagram[14..16].copy_from_slice(&addresses.subaddress.to_be_bytes());
    datagram[16] = SAMPLES as u8;
    datagram[17] = FLAG_CAS | if block.yellow { FLAG_YELLOW } else { 0 };
    datagram[18..20].copy_from_slice(&sequence.to_be_bytes());
    datagram[20..22].copy_from_slice(&u16::from(timeslots).to_be_bytes());
    let mut at = HEADER_SIZE_OCTETS;
    for first in (1..=timeslots).step_by(4) {
        let word = (first..=timeslots.min(first + 3)).fold(0, |word, timeslot| {
            word | u16::from(block.cas[usize::from(timeslot)] & 0x0f) << (4 * (timeslot - first))
        });
        datagram[at..at + 2].copy_from_slice(&word.to_be_bytes());
        at += 2;
    }
    for timeslot in 1..=timeslots {
        datagram[at..at + SAMPLES].copy_from_slice(block.timeslot(timeslot));
        at += SAMPLES;
    }
    at
}

const fn cas_size_octets(timeslots: u8) -> usize {
    timeslots.div_ceil(4) as usize * 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADDRESSES: Addresses = Addresses {
        destination: MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
        source: MacAddress([2, 0, 0, 0, 0, 1]),
        subaddress: 0x0102,
    };

    /// An E1 frame as DAHDI puts it on the wire, written out by hand.
    fn e1_frame() -> Vec<u8> {
        let mut frame = vec![0x52, 0x54, 0, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 1, 0xd0, 0x0d, 1, 2];
        frame.extend([8, 0b011, 0xab, 0xcd, 0, 31]);
        // Timeslots 1..4 have 1, 2, 3, 4; timeslot 31 has 0xd.
        frame.extend([0x43, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0d, 0]);
        for timeslot in 1..=31_u8 {
            frame.extend((0..8).map(|sample| timeslot * 8 + sample));
        }
        frame
    }

    #[test]
    fn the_frame_of_dahdi_is_read() {
        let bytes = e1_frame();
        assert_eq!(bytes.len(), 286);
        let frame = decode(&bytes).unwrap();
        assert_eq!(frame.addresses, ADDRESSES);
        assert!(frame.yellow);
        assert_eq!((frame.sequence, frame.timeslots), (0xabcd, 31));
        let mut block = Block::new(8);
        frame.read_into(&mut block);
        assert!(block.yellow);
        assert_eq!(block.timeslot(1), [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(block.timeslot(31), [248, 249, 250, 251, 252, 253, 254, 255]);
        assert_eq!(block.cas[1..=5], [1, 2, 3, 4, 0]);
        assert_eq!(block.cas[31], 0xd);
    }

    #[test]
    fn what_is_written_is_the_frame_of_dahdi() {
        let bytes = e1_frame();
        let mut block = Block::new(8);
        decode(&bytes).unwrap().read_into(&mut block);
        let mut written = [0; FRAME_SIZE_OCTETS_MAX];
        let size_octets = encode(&mut written, ADDRESSES, 31, 0xabcd, &block);
        assert_eq!(written[..size_octets], bytes);
        assert_eq!(encode(&mut written, ADDRESSES, 24, 0, &block), 22 + 12 + 24 * 8);
    }

    #[test]
    fn wrong_frames_are_told_apart() {
        let good = e1_frame();
        let with = |at: usize, octet: u8| {
            let mut frame = good.clone();
            frame[at] = octet;
            decode(&frame).unwrap_err()
        };
        assert_eq!(with(13, 0x0e), Malformed::Ethertype(0xd00e));
        assert_eq!(with(16, 16), Malformed::Samples(16));
        assert_eq!(with(21, 30), Malformed::Timeslots(30));
        assert_eq!(with(21, 24), Malformed::Length(286));
        assert_eq!(with(17, 0), Malformed::Length(286));
        assert_eq!(decode(&good[..285]).unwrap_err(), Malformed::Length(285));
        assert_eq!(decode(&good[..10]).unwrap_err(), Malformed::Length(10));
        assert_eq!(decode(&[]).unwrap_err(), Malformed::Length(0));
    }

    proptest! {
        #[test]
        fn arbitrary_octets_are_survived(
            mut octets in proptest::collection::vec(any::<u8>(), 0..400), like in any::<bool>(),
        ) {
            if like && octets.len() > 22 {
                octets[..22].copy_from_slice(&e1_frame()[..22]);
            }
            if let Ok(frame) = decode(&octets) {
                frame.read_into(&mut Block::new(8));
            }
        }
    }
}
