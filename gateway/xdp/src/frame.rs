//! Ethernet, IPv4, IPv6 and UDP headers around a datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Octets in front of a datagram over IPv4.
pub const HEADERS_4: usize = 14 + 20 + 8;
/// Octets in front of a datagram over IPv6.
pub const HEADERS_6: usize = 14 + 40 + 8;

/// RFC 1700: hops of a new packet.
const HOPS: u8 = 64;

/// A datagram found in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Where in the frame its payload begins.
    pub begin: usize,
    /// And ends.
    pub end: usize,
}

/// Where a frame goes on its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ethernet {
    /// To whom.
    pub destination: [u8; 6],
    /// From whom.
    pub source: [u8; 6],
}

/// Finds a whole UDP datagram without IP options in an Ethernet frame. Its checksum is not looked
/// at: between machines of one host it is often not there yet, and the wire has its own.
pub fn read(frame: &[u8]) -> Option<Datagram> {
    let ip = frame.get(14..)?;
    let (from, to, udp, ip_octets): (IpAddr, IpAddr, usize, usize) = match (frame[12], frame[13]) {
        (0x08, 0x00) => {
            let head = ip.first_chunk::<20>()?;
            // A fragment is not whole.
            if head[0] != 0x45 || head[9] != 17 || head[6] & 0x3F != 0 || head[7] != 0 {
                return None;
            }
            let address = |at: usize| Ipv4Addr::from([0, 1, 2, 3].map(|n| head[at + n]));
            let octets = usize::from(u16::from_be_bytes([head[2], head[3]]));
            (address(12).into(), address(16).into(), 34, octets.checked_sub(20)?)
        }
        (0x86, 0xDD) => {
            let head = ip.first_chunk::<40>()?;
            if head[0] >> 4 != 6 || head[6] != 17 {
                return None;
            }
            let address = |at: usize| -> Option<Ipv6Addr> {
                Some(Ipv6Addr::from(<[u8; 16]>::try_from(head.get(at..at + 16)?).ok()?))
            };
            let octets = usize::from(u16::from_be_bytes([head[4], head[5]]));
            (address(8)?.into(), address(24)?.into(), 54, octets)
        }
        _ => return None,
    };
    let head = frame.get(udp..)?.first_chunk::<8>()?;
    let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let octets = usize::from(number(4));
    let (begin, end) = (udp + 8, udp + octets);
    if octets < 8 || octets > ip_octets || end > frame.len() {
        return None;
    }
    Some(Datagram {
        from: SocketAddr::new(from, number(0)),
        to: SocketAddr::new(to, number(2)),
        begin,
        end,
    })
}

/// The UDP port a frame is for, if it is what [`read`] reads.
pub fn port_of(frame: &[u8]) -> Option<u16> {
    let at = match (frame.get(12)?, frame.get(13)?) {
        (0x08, 0x00) => 36,
        (0x86, 0xDD) => 56,
        _ => return None,
    };
    Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
}

/// Octets of headers between these two, if they are of one IP version.
pub fn headers_octets(from: &SocketAddr, to: &SocketAddr) -> Option<usize> {
    match (from, to) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => Some(HEADERS_4),
        (SocketAddr::V6(_), SocketAddr::V6(_)) => Some(HEADERS_6),
        _ => None,
    }
}

/// Writes headers and checksums into a frame whose payload is in place behind them.
///
/// `from` and `to` are of one IP version, and the frame is exactly as long as headers and payload,
/// which [`headers_octets`] tells.
pub fn write(
    frame: &mut [u8],
    ethernet: &Ethernet,
    from: SocketAddr,
    to: SocketAddr,
    traffic_class: u8,
) {
    let Some(headers) = headers_octets(&from, &to).filter(|headers| *headers <= frame.len()) else {
        return;
    };
    let udp_octets = (frame.len() - headers + 8) as u16;
    frame[..6].copy_from_slice(&ethernet.destination);
    frame[6..12].copy_from_slice(&ethernet.source);
    let udp = headers - 8;
    // RFC 768, RFC 8200 §8.1: addresses, protocol and length are summed too.
    let mut sum = u64::from(17_u16.to_be()) + u64::from(udp_octets.to_be());
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame[12..14].copy_from_slice(&[0x08, 0x00]);
            let ip = &mut frame[14..34];
            ip[0] = 0x45;
            ip[1] = traffic_class;
            ip[2..4].copy_from_slice(&(udp_octets + 20).to_be_bytes());
            // RFC 6864 §4.1: what is not to be fragmented needs no identification.
            ip[4..8].copy_from_slice(&[0, 0, 0x40, 0]);
            ip[8] = HOPS;
            ip[9] = 17;
            ip[10..12].fill(0);
            ip[12..16].copy_from_slice(&from.octets());
            ip[16..20].copy_from_slice(&to.octets());
            let checksum = finish(add(0, ip));
            ip[10..12].copy_from_slice(&checksum);
            sum = add(sum, &frame[26..34]);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame[12..14].copy_from_slice(&[0x86, 0xDD]);
            let ip = &mut frame[14..54];
            ip[0] = 0x60 | traffic_class >> 4;
            ip[1] = traffic_class << 4;
            ip[2..4].fill(0);
            ip[4..6].copy_from_slice(&udp_octets.to_be_bytes());
            ip[6] = 17;
            ip[7] = HOPS;
            ip[8..24].copy_from_slice(&from.octets());
            ip[24..40].copy_from_slice(&to.octets());
            sum = add(sum, &frame[22..54]);
        }
        _ => return,
    }
    frame[udp..udp + 2].copy_from_slice(&from.port().to_be_bytes());
    frame[udp + 2..udp + 4].copy_from_slice(&to.port().to_be_bytes());
    frame[udp + 4..udp + 6].copy_from_slice(&udp_octets.to_be_bytes());
    frame[udp + 6..udp + 8].fill(0);
    let checksum = match finish(add(sum, &frame[udp..])) {
        // RFC 768: zero means that there is none.
        [0, 0] => [0xFF, 0xFF],
        checksum => checksum,
    };
    frame[udp + 6..udp + 8].copy_from_slice(&checksum);
}

/// Whether the UDP checksum of a datagram is whole; not when there is none.
pub fn is_checksum_whole(frame: &[u8], datagram: &Datagram) -> bool {
    let udp = datagram.begin - 8;
    if frame[udp + 6..udp + 8] == [0, 0] {
        return false;
    }
    let octets = (datagram.end - udp) as u16;
    let sum = u64::from(17_u16.to_be()) + u64::from(octets.to_be());
    let addresses = if datagram.to.is_ipv4() { &frame[26..34] } else { &frame[22..54] };
    finish(add(add(sum, addresses), &frame[udp..datagram.end])) == [0, 0]
}

/// Adds 16-bit words as they are in memory (RFC 1071 §2: their order does not matter).
fn add(mut sum: u64, octets: &[u8]) -> u64 {
    let mut add = |word: u64| sum += (word & 0xFFFF_FFFF) + (word >> 32);
    let (words, rest) = octets.as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_ne_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    add(u64::from_ne_bytes(last));
    sum
}

fn finish(mut sum: u64) -> [u8; 2] {
    while sum >> 16 != 0 {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (!(sum as u16)).to_ne_bytes()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ETHERNET: Ethernet = Ethernet { destination: [2, 0, 0, 0, 0, 1], source: [2; 6] };

    /// The checksum by the words of RFC 1071, for comparison.
    fn plain_sum(words: impl Iterator<Item = u8>) -> u16 {
        let octets: Vec<_> = words.collect();
        let mut sum = 0_u32;
        for two in octets.chunks(2) {
            sum += u32::from(two[0]) << 8 | u32::from(two.get(1).copied().unwrap_or(0));
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        sum as u16
    }

    fn framed(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let headers = headers_octets(&from, &to).unwrap();
        let mut frame = vec![0xEE; headers];
        frame.extend_from_slice(payload);
        write(&mut frame, &ETHERNET, from, to, 0xB8);
        frame
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_its_checksums_are_right(
            payload in prop::collection::vec(any::<u8>(), 0..400), v6: bool
        ) {
            let (from, to) = match v6 {
                false => ("192.0.2.9:20002", "198.51.100.1:4000"),
                true => ("[2001:db8::9]:20002", "[2001:db8:1::1]:4000"),
            };
            let frame = framed(from, to, &payload);
            let datagram = read(&frame).unwrap();
            prop_assert_eq!(datagram.from, from.parse().unwrap());
            prop_assert_eq!(datagram.to, to.parse().unwrap());
            prop_assert_eq!(&frame[datagram.begin..datagram.end], &payload[..]);
            prop_assert!(is_checksum_whole(&frame, &datagram));
            let udp = datagram.begin - 8;
            let addresses = if v6 { 22..54 } else { 26..34 };
            let pseudo = [0, 17].into_iter().chain(((frame.len() - udp) as u16).to_be_bytes());
            let summed = frame[addresses].iter().copied().chain(pseudo).chain(frame[udp..].to_vec());
            prop_assert_eq!(plain_sum(summed), 0xFFFF);
            if !v6 {
                prop_assert_eq!(plain_sum(frame[14..34].iter().copied()), 0xFFFF);
            }
        }

        #[test]
        fn any_octets_are_read_without_harm(
            mut frame in prop::collection::vec(any::<u8>(), 0..120), kind in 0..3
        ) {
            if frame.len() > 24 {
                let (ether_type, version) = [([8, 0], 0x45), ([0x86, 0xDD], 0x60), ([1, 2], 0)][kind as usize];
                frame[12..14].copy_from_slice(&ether_type);
                frame[14] = version;
                let protocol = if kind == 0 { 23 } else { 20 };
                frame[protocol] = 17;
            }
            if let Some(datagram) = read(&frame) {
                prop_assert!(datagram.begin <= datagram.end && datagram.end <= frame.len());
            }
        }
    }

    #[test]
    fn fragments_options_and_other_protocols_are_not_ours() {
        let good = framed("192.0.2.9:1", "192.0.2.1:2", b"12345678");
        assert!(read(&good).is_some());
        for (at, octet) in [(20, 0x20), (21, 1), (14, 0x46), (23, 6), (12, 0x81), (39, 0xFF)] {
            let mut bad = good.clone();
            bad[at] = octet;
            assert_eq!(read(&bad), None, "octet {at}");
        }
        assert_eq!(read(&good[..good.len() - 1]), None);
    }
}
