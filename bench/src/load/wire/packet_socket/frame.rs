//! Ethernet frames with IPv4 and UDP.

use std::net::SocketAddrV4;

/// The far end of the flooder's device.
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    /// Ethernet address of the flooder's device.
    pub from: [u8; 6],
    /// Ethernet address of the relay's device.
    pub to: [u8; 6],
}

/// Ethernet, IPv4 without options and UDP.
pub const HEADERS: usize = ETHERNET + IPV4 + UDP;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// The headers of a party's packets, and the part of the UDP checksum that is in all of them.
#[derive(Clone, Debug)]
pub struct Headers {
    octets: [u8; HEADERS],
    /// The sum of all that the checksum covers but the UDP payload.
    sum: u64,
}

impl Headers {
    /// The headers of packets of this length.
    pub fn new(
        gateway: Gateway,
        from: SocketAddrV4,
        to: SocketAddrV4,
        packet_octets: usize,
    ) -> Self {
        let udp_octets = (UDP + packet_octets) as u16;
        let mut ip = [0; IPV4];
        ip[0] = 0x45;
        // Expedited forwarding, as for voice (RFC 3246).
        ip[1] = 46 << 2;
        ip[2..4].copy_from_slice(&(IPV4 as u16 + udp_octets).to_be_bytes());
        ip[6] = 0x40; // Don't fragment.
        ip[8] = 64;
        ip[9] = libc::IPPROTO_UDP as u8;
        ip[12..16].copy_from_slice(&from.ip().octets());
        ip[16..20].copy_from_slice(&to.ip().octets());
        let checksum = !fold(sum(&ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());

        let mut udp = [0; UDP];
        udp[..2].copy_from_slice(&from.port().to_be_bytes());
        udp[2..4].copy_from_slice(&to.port().to_be_bytes());
        udp[4..6].copy_from_slice(&udp_octets.to_be_bytes());
        // The pseudo header: addresses, protocol, length (RFC 768).
        let fixed = sum(&ip[12..]) + u64::from(ip[9]) + u64::from(udp_octets) + sum(&udp);

        let mut all = [0; HEADERS];
        all[..6].copy_from_slice(&gateway.to);
        all[6..12].copy_from_slice(&gateway.from);
        all[12..14].copy_from_slice(&(libc::ETH_P_IP as u16).to_be_bytes());
        all[ETHERNET..ETHERNET + IPV4].copy_from_slice(&ip);
        all[ETHERNET + IPV4..].copy_from_slice(&udp);
        Self { octets: all, sum: fixed }
    }

    /// Writes them, with the checksum, in front of the packet that stands in `frame`.
    pub fn complete(&self, frame: &mut [u8]) {
        let (head, packet) = frame.split_at_mut(HEADERS);
        head.copy_from_slice(&self.octets);
        let checksum = match !fold(self.sum + sum(packet)) {
            // None is sent as all ones (RFC 768).
            0 => 0xffff,
            checksum => checksum,
        };
        head[HEADERS - 2..].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// A UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it came from.
    pub from: SocketAddrV4,
    /// Where it goes.
    pub to: SocketAddrV4,
    /// Its payload.
    pub packet: &'a [u8],
    /// Whether its checksum is right, or was not made.
    pub checksum_right: bool,
}

/// The sum of 16-bit words that checksums are made of, not yet folded (RFC 1071).
fn sum(octets: &[u8]) -> u64 {
    let words = octets.chunks_exact(4);
    let rest = words.remainder();
    let mut sum: u64 = words.map(|w| u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]]))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}

/// The sum of 16 bits with its carries (RFC 1071).
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Reads a frame as UDP over IPv4 without options; none if it is anything else.
pub fn parse(frame: &[u8], checksum_left_out: bool) -> Option<Datagram<'_>> {
    let (_, ip) = frame.split_at_checked(ETHERNET)?;
    if frame[12..14] != (libc::ETH_P_IP as u16).to_be_bytes() {
        return None;
    }
    let (ip, rest) = ip.split_first_chunk::<IPV4>()?;
    if ip[0] != 0x45 || i32::from(ip[9]) != libc::IPPROTO_UDP {
        return None;
    }
    let (udp, _) = rest.split_first_chunk::<UDP>()?;
    let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    // A short frame is padded by Ethernet; UDP says how long it is.
    let packet = rest.get(UDP..length)?;
    let address = |at: usize| <[u8; 4]>::try_from(&ip[at..at + 4]).unwrap_or_default().into();
    let port = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let carried = udp[6] != 0 || udp[7] != 0;
    let right = checksum_left_out || !carried || {
        let pseudo = sum(&ip[12..]) + u64::from(ip[9]) + length as u64;
        fold(pseudo + sum(udp) + sum(packet)) == 0xffff
    };
    Some(Datagram {
        from: SocketAddrV4::new(address(12), port(0)),
        to: SocketAddrV4::new(address(16), port(2)),
        packet,
        checksum_right: right,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATEWAY: Gateway = Gateway { from: [2, 0, 0, 0, 0, 1], to: [2, 0, 0, 0, 0, 2] };
    const PARTY: &str = "10.98.1.1:20000";
    const RELAY: &str = "10.99.0.2:30000";

    fn frame(packet: &[u8]) -> Vec<u8> {
        let (from, to) = (PARTY.parse().unwrap(), RELAY.parse().unwrap());
        let mut frame = [&[0; HEADERS][..], packet].concat();
        Headers::new(GATEWAY, from, to, packet.len()).complete(&mut frame);
        frame
    }

    #[test]
    fn a_frame_reads_back_with_addresses_payload_and_a_right_checksum() {
        let frame = frame(b"seven o");
        let (from, to) = (PARTY.parse().unwrap(), RELAY.parse().unwrap());
        let datagram = Datagram { from, to, packet: b"seven o", checksum_right: true };
        assert_eq!(parse(&frame, false), Some(datagram));
        assert_eq!(fold(sum(&frame[ETHERNET..ETHERNET + IPV4])), 0xffff);
        assert_eq!(frame[..12], [GATEWAY.to, GATEWAY.from].concat());
    }

    #[test]
    fn a_wrong_checksum_is_seen_unless_none_was_made() {
        let mut frame = frame(b"octets");
        frame[HEADERS] ^= 1;
        assert!(!parse(&frame, false).unwrap().checksum_right);
        assert!(parse(&frame, true).unwrap().checksum_right);
        frame[HEADERS - 2..HEADERS].fill(0);
        assert!(parse(&frame, false).unwrap().checksum_right);
    }

    #[test]
    fn what_is_not_udp_over_ipv4_is_left_alone() {
        let mut arp = frame(b"octets");
        arp[13] = 6;
        assert!(parse(&arp, false).is_none());
        assert!(parse(&frame(b"octets")[..HEADERS + 3], false).is_none());
        assert!(parse(&[], false).is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..90)) {
            let _ = parse(&octets, false);
            let mut udp = frame(b"");
            udp.truncate(ETHERNET);
            udp.extend(&octets);
            let _ = parse(&udp, false);
        }
    }
}
