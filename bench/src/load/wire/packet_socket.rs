//! All parties over one packet socket to send and one ring to receive (packet(7)).
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, size_of};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::call_list::CallList;
use super::super::clock::SECOND_NS;
use super::super::error::LoadError;
use super::{Arrival, BATCH, Wire};

/// Ethernet, IPv4 without options and UDP.
const HEADERS: usize = ETHERNET + IPV4 + UDP;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// The receive ring: 32 MiB, two seconds of 50,000 packets a second.
const BLOCK_OCTETS: usize = 1 << 20;
const BLOCKS: usize = 32;
/// A block that is not full is handed over after this time. The time stamps are the kernel's, so
/// it delays no figure.
const RETIRE_MS: u32 = 5;

/// The far end of the flooder's device.
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    /// Ethernet address of the flooder's device.
    pub from: [u8; 6],
    /// Ethernet address of the relay's device.
    pub to: [u8; 6],
}

/// A [`Wire`] of raw Ethernet frames.
#[derive(Debug)]
pub struct PacketSocket {
    sending: OwnedFd,
    ring: Ring,
    /// The headers of each party's packets, and the part of the UDP checksum that stays.
    headers: Vec<([u8; HEADERS], u64)>,
    packet_octets: usize,
    /// [`BATCH`] frames of equal length.
    arena: Vec<u8>,
    staged: usize,
    /// The party of each staged frame.
    senders: [usize; BATCH],
    overrun: u64,
}

impl PacketSocket {
    /// Opens `device` for the parties of `list`.
    ///
    /// # Errors
    /// If there is no such device, or no right to raw packets.
    pub fn open(
        device: &str,
        gateway: Gateway,
        list: &CallList,
        packet_octets: usize,
    ) -> Result<Self, LoadError> {
        let index = device_index(device)?;
        // Protocol 0: this one only sends.
        let sending = open_socket(index, 0)?;
        set_option(&sending, libc::PACKET_QDISC_BYPASS, &1_i32)?;
        take_frames_of_xdp(&sending, device);
        let ring = Ring::open(index)?;
        let headers = (0..list.parties())
            .map(|party| {
                let leg = list.leg(party);
                headers(gateway, leg.party, leg.relay, packet_octets)
            })
            .collect();
        Ok(Self {
            sending,
            ring,
            headers,
            packet_octets,
            arena: vec![0; BATCH * (HEADERS + packet_octets)],
            staged: 0,
            senders: [0; BATCH],
            overrun: 0,
        })
    }

    fn frame_octets(&self) -> usize {
        HEADERS + self.packet_octets
    }

    /// Writes headers and checksum in front of what was staged.
    fn finish(&mut self) {
        let octets = self.frame_octets();
        let frames = self.arena.chunks_exact_mut(octets);
        for (frame, &sender) in frames.zip(&self.senders).take(self.staged) {
            let (headers, fixed) = &self.headers[sender];
            let (head, packet) = frame.split_at_mut(HEADERS);
            head.copy_from_slice(headers);
            let checksum = match !fold(fixed + sum(packet)) {
                // None is sent as all ones (RFC 768).
                0 => 0xffff,
                checksum => checksum,
            };
            head[HEADERS - 2..].copy_from_slice(&checksum.to_be_bytes());
        }
    }
}

impl Wire for PacketSocket {
    fn stage(&mut self, sender: usize) -> &mut [u8] {
        debug_assert!(self.staged < BATCH);
        self.senders[self.staged] = sender;
        let start = self.staged * self.frame_octets() + HEADERS;
        self.staged += 1;
        &mut self.arena[start..start + self.packet_octets]
    }

    fn flush(&mut self) -> u64 {
        self.finish();
        let octets = self.frame_octets();
        // SAFETY: all-zero vectors and headers are valid and empty.
        let mut vectors: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (at, frame) in self.arena.chunks_exact_mut(octets).take(self.staged).enumerate() {
            vectors[at] = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: octets };
            messages[at].msg_hdr.msg_iov = &raw mut vectors[at];
            messages[at].msg_hdr.msg_iovlen = 1;
        }
        let (mut done, mut refused) = (0, 0);
        while done < self.staged {
            let rest = (self.staged - done) as u32;
            // SAFETY: `rest` messages from `done` on, each with one vector into the arena.
            let sent = unsafe {
                libc::sendmmsg(
                    self.sending.as_raw_fd(),
                    messages[done..].as_mut_ptr(),
                    rest,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => done += sent,
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest was not taken: the far end has no room, or is down.
                Err(_) => {
                    refused += 1;
                    done += 1;
                }
            }
        }
        self.staged = 0;
        refused
    }

    fn drain(&mut self, enter: &mut dyn FnMut(&Arrival<'_>)) {
        self.ring.drain(enter);
    }

    fn overrun(&mut self) -> u64 {
        self.overrun += self.ring.dropped();
        self.overrun
    }

    fn name(&self) -> &'static str {
        "packet socket"
    }
}

/// The headers of a party's packets, with the UDP checksum left at 0, and the sum of all that it
/// covers but the UDP payload.
fn headers(
    gateway: Gateway,
    from: SocketAddrV4,
    to: SocketAddrV4,
    packet_octets: usize,
) -> ([u8; HEADERS], u64) {
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
    (all, fixed)
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

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Reads a frame as UDP over IPv4 without options; none if it is anything else.
fn parse(
    frame: &[u8],
    checksum_left_out: bool,
) -> Option<(SocketAddrV4, SocketAddrV4, &[u8], bool)> {
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
    let from = SocketAddrV4::new(address(12), port(0));
    Some((from, SocketAddrV4::new(address(16), port(2)), packet, right))
}

/// Frames as the kernel puts them into memory that we share with it (TPACKET_V3).
#[derive(Debug)]
struct Ring {
    socket: OwnedFd,
    blocks: *mut u8,
    /// The block to read next.
    next: usize,
}

impl Ring {
    fn open(device: i32) -> Result<Self, LoadError> {
        // The relay's frames only; see below for ours.
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let socket = open_socket(device, protocol)?;
        set_option(&socket, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        set_option(&socket, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as i32))?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_OCTETS as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: 2048,
            tp_frame_nr: (BLOCK_OCTETS / 2048 * BLOCKS) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: maps the ring that was just made, whole, at an address the kernel chooses.
        let blocks = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BLOCKS * BLOCK_OCTETS,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                0,
            )
        };
        if blocks == libc::MAP_FAILED {
            return Err(LoadError::last("mapping the receive ring"));
        }
        Ok(Self { socket, blocks: blocks.cast(), next: 0 })
    }

    fn drain(&mut self, enter: &mut dyn FnMut(&Arrival<'_>)) {
        // At most once around, so that a flood cannot keep us from sending.
        for _ in 0..BLOCKS {
            // SAFETY: `next` stays below BLOCKS; the mapping is BLOCKS blocks long and page-aligned.
            let block = unsafe { self.blocks.add(self.next * BLOCK_OCTETS) };
            // SAFETY: a block begins with its description.
            let description =
                unsafe { &raw mut (*block.cast::<libc::tpacket_block_desc>()).hdr.bh1 };
            // SAFETY: aligned, and written by both sides only as a whole.
            let status = unsafe { AtomicU32::from_ptr(&raw mut (*description).block_status) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return;
            }
            // SAFETY: the block is ours until the status is given back below.
            unsafe { read_block(block, &*description, enter) };
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % BLOCKS;
        }
    }

    /// Frames dropped for want of room since the last call.
    fn dropped(&self) -> u64 {
        let mut counts = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: writes up to `length` octets of the counts.
        let outcome = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut length,
            )
        };
        if outcome == 0 { counts.tp_drops.into() } else { 0 }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this length; nothing refers to it any more.
        unsafe { libc::munmap(self.blocks.cast(), BLOCKS * BLOCK_OCTETS) };
    }
}

/// Hands over the frames of one block.
///
/// # Safety
/// `block` is a block of the ring that the kernel has handed over, with this description.
unsafe fn read_block(
    block: *const u8,
    description: &libc::tpacket_hdr_v1,
    enter: &mut dyn FnMut(&Arrival<'_>),
) {
    let mut at = description.offset_to_first_pkt as usize;
    for _ in 0..description.num_pkts {
        // SAFETY: the kernel's offsets lead from frame to frame within the block.
        let header = unsafe { &*block.add(at).cast::<libc::tpacket3_hdr>() };
        let start = at + usize::from(header.tp_mac);
        // SAFETY: the frame's octets lie in the block, as the kernel says.
        let frame =
            unsafe { std::slice::from_raw_parts(block.add(start), header.tp_snaplen as usize) };
        // A sender in this machine leaves the checksum to a device; on a veth pair nobody fills it.
        let left_out = header.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
        if let Some((from, to, packet, checksum_right)) = parse(frame, left_out) {
            let at_ns = u64::from(header.tp_sec) * SECOND_NS + u64::from(header.tp_nsec);
            enter(&Arrival { packet, from, to, at_ns, checksum_right });
        }
        at += header.tp_next_offset as usize;
    }
}

fn device_index(device: &str) -> Result<i32, LoadError> {
    let path = format!("/sys/class/net/{device}/ifindex");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| LoadError::File { path: path.into(), error })?;
    text.trim().parse().map_err(|_| LoadError::Argument {
        name: "--device",
        value: device.to_owned(),
        allowed: "it has no index",
    })
}

fn open_socket(device: i32, protocol: u16) -> Result<OwnedFd, LoadError> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if socket < 0 {
        return Err(LoadError::System {
            what: "opening a packet socket".to_owned(),
            error: io::Error::last_os_error(),
            hint: "; it takes CAP_NET_RAW, --wire sockets works without",
        });
    }
    // SAFETY: just opened, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all-zero is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = device;
    // SAFETY: the address is as long as said.
    let outcome = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(socket) } else { Err(LoadError::last("binding a packet socket")) }
}

/// Switches on generic receive offload, by which the end of a veth pair also takes what a program
/// in the kernel sends (`XDP_TX` at the far end). Packets of sockets come as before. Where it is
/// refused, relays of that kind lose everything, and the ledger shows it.
fn take_frames_of_xdp(socket: &OwnedFd, device: &str) {
    /// From linux/ethtool.h, which libc does not carry.
    const ETHTOOL_SGRO: u32 = 0x2c;
    /// `struct ethtool_value`.
    #[repr(C)]
    struct EthtoolValue {
        command: u32,
        data: u32,
    }
    let mut value = EthtoolValue { command: ETHTOOL_SGRO, data: 1 };
    // SAFETY: all-zero is a valid request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last octet stays 0, as the name must end.
    let name = device.bytes().take(request.ifr_name.len() - 1);
    for (to, octet) in request.ifr_name.iter_mut().zip(name) {
        *to = octet.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: request and value outlive the call; the command reads the value.
    let _ = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
}

fn set_option<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> Result<(), LoadError> {
    // SAFETY: the value is as long as said.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(LoadError::last(format!("option {option} of a packet socket")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATEWAY: Gateway = Gateway { from: [2, 0, 0, 0, 0, 1], to: [2, 0, 0, 0, 0, 2] };

    fn frame(packet: &[u8]) -> Vec<u8> {
        let from = "10.98.1.1:20000".parse().unwrap();
        let (head, fixed) =
            headers(GATEWAY, from, "10.99.0.2:30000".parse().unwrap(), packet.len());
        let mut frame = [&head, packet].concat();
        let checksum = !fold(fixed + sum(packet));
        frame[HEADERS - 2..HEADERS].copy_from_slice(&checksum.to_be_bytes());
        frame
    }

    #[test]
    fn a_frame_reads_back_with_addresses_payload_and_a_right_checksum() {
        let frame = frame(b"seven o");
        let (from, to, packet, right) = parse(&frame, false).unwrap();
        assert_eq!(
            (from, to),
            ("10.98.1.1:20000".parse().unwrap(), "10.99.0.2:30000".parse().unwrap())
        );
        assert_eq!(packet, b"seven o");
        assert!(right);
        assert_eq!(fold(sum(&frame[ETHERNET..ETHERNET + IPV4])), 0xffff);
    }

    #[test]
    fn a_wrong_checksum_is_seen_unless_none_was_made() {
        let mut frame = frame(b"octets");
        frame[HEADERS] ^= 1;
        assert!(!parse(&frame, false).unwrap().3);
        assert!(parse(&frame, true).unwrap().3);
        frame[HEADERS - 2..HEADERS].fill(0);
        assert!(parse(&frame, false).unwrap().3);
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
