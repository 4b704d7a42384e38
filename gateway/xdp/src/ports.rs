//! What the XDP program knows of each RTP port, in memory it shares with us.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use crate::bpf::{Map, MapKind};
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence, spin_loop};

/// What shall be done with the packets for a port.
pub(crate) mod action {
    /// The kernel has them.
    pub(crate) const PASS: u32 = 0;
    /// A worker has them.
    pub(crate) const STEER: u32 = 1;
    /// The program itself sends them on; what it does not understand goes to the worker.
    pub(crate) const RELAY: u32 = 2;
}

/// A port. Written here, read by the program; the counters the other way round.
///
/// Addresses, ports and SSRC are in network order.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) action: AtomicU32,
    /// Whose the port is.
    pub(crate) worker: AtomicU32,
    /// 4 or 6.
    pub(crate) version: AtomicU32,
    /// The local address; of IPv4 only the first word.
    pub(crate) local: [AtomicU32; 4],
    /// The only one that is let in by the port; 0: everybody. Of IPv4 only.
    pub(crate) admitted: AtomicU32,
    pub(crate) admitted_port: AtomicU16,
    _pad_0: AtomicU16,

    // From here on for a relay.
    /// The only one that is relayed.
    pub(crate) peer: AtomicU32,
    pub(crate) peer_port: AtomicU16,
    pub(crate) payload_type_in: AtomicU8,
    pub(crate) payload_type_out: AtomicU8,
    pub(crate) ssrc_in: AtomicU32,
    pub(crate) ssrc_out: AtomicU32,
    /// Added to the timestamp, in our order.
    pub(crate) timestamp_offset: AtomicU32,
    /// Added to the sequence number, in our order.
    pub(crate) sequence_offset: AtomicU16,
    /// 1 if the checksums that come are whole, so that they can be mended.
    pub(crate) whole_checksums: AtomicU16,
    /// Addresses and ports of the packet as it goes out.
    pub(crate) source: AtomicU32,
    pub(crate) destination: AtomicU32,
    pub(crate) source_port: AtomicU16,
    pub(crate) destination_port: AtomicU16,
    /// Destination and source of the Ethernet frame.
    pub(crate) ethernet: [AtomicU32; 3],
    /// The first two octets of the IP header: version, length, and traffic class.
    pub(crate) ip_begin: AtomicU16,
    _pad: AtomicU16,
    /// Sum of the IP header's constant words, as they are in memory.
    pub(crate) ip_sum: AtomicU32,

    // Counted by the program.
    /// The newest sequence number that was given, in our order.
    pub(crate) sequence: AtomicU32,
    /// Its timestamp, in our order.
    pub(crate) timestamp: AtomicU32,
    _pad_2: AtomicU32,
    /// Packets the program has begun to relay.
    pub(crate) begun: AtomicU64,
    /// And has done with.
    pub(crate) packets: AtomicU64,
    /// Of payload.
    pub(crate) octets: AtomicU64,
    /// Packets of others than the one that is let in.
    pub(crate) kept_out: AtomicU64,
}

/// Octets of an entry.
pub(crate) const ENTRY_OCTETS: usize = size_of::<Entry>();
#[cfg(not(loom))]
const _: () = assert!(ENTRY_OCTETS.is_multiple_of(8));

/// How the program itself relays the packets of a port, and out of which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// Who is relayed; anybody else's packets go to the worker.
    pub peer: SocketAddrV4,
    /// The payload type that is relayed, and what it becomes.
    pub payload_type: (u8, u8),
    /// The stream that is relayed, and the name it gets.
    pub ssrc: (u32, u32),
    /// Added to each sequence number.
    pub sequence_offset: u16,
    /// Added to each timestamp.
    pub timestamp_offset: u32,
    /// The newest sequence number given so far, and its timestamp.
    pub newest: (u16, u32),
    /// Whether the peer's UDP checksums are whole; if not, packets go out without.
    pub whole_checksums: bool,
    /// The port they leave by.
    pub source: SocketAddrV4,
    /// Where they go.
    pub destination: SocketAddrV4,
    /// Ethernet addresses of the frame: destination, source.
    pub ethernet: [[u8; 6]; 2],
    /// The traffic class of the packets that go out.
    pub traffic_class: u8,
}

/// Looks at a port that the program is at work on, some tens of microseconds.
const PATIENCE: u32 = 10_000;

/// What the program has relayed from a port since it was told to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Packets.
    pub packets: u64,
    /// Octets of payload.
    pub octets: u64,
    /// The newest sequence number that was given.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
}

/// The ports of a range.
#[derive(Debug)]
pub struct PortTable {
    map: Map,
    entries: NonNull<Entry>,
    first: u16,
    count: u32,
}

// SAFETY: the memory belongs to the map for as long as this lives, and has atomic fields only.
unsafe impl Send for PortTable {}
// SAFETY: as above.
unsafe impl Sync for PortTable {}

impl PortTable {
    pub(crate) fn new(first: u16, last: u16) -> io::Result<Self> {
        let count = u32::from(last.saturating_sub(first)) + 1;
        let map = Map::new(MapKind::Array, "rtp_ports", ENTRY_OCTETS, count, true)?;
        // SAFETY: a new shared mapping of the map's memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mapped_octets(count),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let entries = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { map, entries, first, count })
    }

    pub(crate) fn map(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    pub(crate) fn first(&self) -> u16 {
        self.first
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Gives the packets for `local` to a worker; false if the port is not of the range.
    pub fn steer(&self, local: SocketAddr, worker: u32) -> bool {
        let Some(entry) = self.entry(local.port()) else { return false };
        entry.action.store(action::PASS, Ordering::Release);
        let words = match local.ip() {
            IpAddr::V4(v4) => [u32::from_ne_bytes(v4.octets()), 0, 0, 0],
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                std::array::from_fn(|word| {
                    u32::from_ne_bytes(std::array::from_fn(|octet| octets[4 * word + octet]))
                })
            }
        };
        for (to, word) in entry.local.iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        entry.version.store(if local.is_ipv4() { 4 } else { 6 }, Ordering::Relaxed);
        entry.worker.store(worker, Ordering::Relaxed);
        entry.admitted.store(0, Ordering::Relaxed);
        entry.kept_out.store(0, Ordering::Relaxed);
        entry.action.store(action::STEER, Ordering::Release);
        true
    }

    /// Leaves the packets for a port to the kernel.
    pub fn pass(&self, port: u16) {
        if let Some(entry) = self.entry(port) {
            entry.action.store(action::PASS, Ordering::Release);
        }
    }

    /// Lets nobody but `only` in by a port that is steered; none: everybody. Others are dropped, and
    /// counted. Of IPv6 everybody is let in.
    pub fn admit(&self, port: u16, only: Option<SocketAddr>) {
        let Some(entry) = self.entry(port) else { return };
        // While it changes nobody is kept out.
        entry.admitted.store(0, Ordering::Release);
        if let Some(SocketAddr::V4(only)) = only {
            entry.admitted_port.store(only.port().to_be(), Ordering::Relaxed);
            entry.admitted.store(word(*only.ip()), Ordering::Release);
        }
    }

    /// Packets that were kept out of a port since it was steered.
    pub fn kept_out(&self, port: u16) -> u64 {
        self.entry(port).map_or(0, |entry| entry.kept_out.load(Ordering::Relaxed))
    }

    /// Has the program relay what comes to a port that is steered. Its counters begin anew.
    pub fn relay(&self, port: u16, relay: &Relay) {
        if let Some(entry) = self.entry(port) {
            entry.relay(relay);
        }
    }

    /// Brings the packets of a relayed port back to the worker, and waits the moment that the
    /// program may need for one it is at work on: what it has relayed is final then.
    pub fn recall(&self, port: u16) -> Relayed {
        self.entry(port).map(Entry::recall).unwrap_or_default()
    }

    /// What the program has relayed.
    pub fn relayed(&self, port: u16) -> Relayed {
        self.entry(port).map(Entry::relayed).unwrap_or_default()
    }

    fn entry(&self, port: u16) -> Option<&Entry> {
        let index = u32::from(port.checked_sub(self.first)?);
        // SAFETY: the mapping has `count` entries, which live as long as `self`; the kernel writes
        // them too, and all fields are atomic.
        (index < self.count).then(|| unsafe { self.entries.add(index as usize).as_ref() })
    }
}

impl Entry {
    fn relay(&self, relay: &Relay) {
        let order = Ordering::Relaxed;
        self.peer.store(word(*relay.peer.ip()), order);
        self.peer_port.store(relay.peer.port().to_be(), order);
        self.payload_type_in.store(relay.payload_type.0, order);
        self.payload_type_out.store(relay.payload_type.1, order);
        self.ssrc_in.store(relay.ssrc.0.to_be(), order);
        self.ssrc_out.store(relay.ssrc.1.to_be(), order);
        self.timestamp_offset.store(relay.timestamp_offset, order);
        self.sequence_offset.store(relay.sequence_offset, order);
        self.whole_checksums.store(relay.whole_checksums.into(), order);
        self.source.store(word(*relay.source.ip()), order);
        self.destination.store(word(*relay.destination.ip()), order);
        self.source_port.store(relay.source.port().to_be(), order);
        self.destination_port.store(relay.destination.port().to_be(), order);
        let octets = relay.ethernet.as_flattened();
        for (number, to) in self.ethernet.iter().enumerate() {
            let four = std::array::from_fn(|octet| octets[4 * number + octet]);
            to.store(u32::from_ne_bytes(four), order);
        }
        let begin = u16::from_ne_bytes([0x45, relay.traffic_class]);
        self.ip_begin.store(begin, order);
        self.ip_sum.store(constant_sum(begin, relay), order);
        self.sequence.store(relay.newest.0.into(), order);
        self.timestamp.store(relay.newest.1, order);
        self.begun.store(0, order);
        self.packets.store(0, order);
        self.octets.store(0, order);
        self.action.store(action::RELAY, Ordering::Release);
    }

    fn recall(&self) -> Relayed {
        self.action.store(action::STEER, Ordering::Relaxed);
        // Either the program sees this, or we see that it has begun: each side has a full barrier
        // between what it says and what it looks at.
        fence(Ordering::SeqCst);
        // The program cannot be stopped half-way but by a kernel that schedules it as a thread: a
        // worker of higher priority must not wait for it for ever.
        for _ in 0..PATIENCE {
            let done = self.packets.load(Ordering::Acquire);
            if self.begun.load(Ordering::Acquire) == done {
                break;
            }
            spin_loop();
        }
        self.relayed()
    }

    fn relayed(&self) -> Relayed {
        Relayed {
            packets: self.packets.load(Ordering::Acquire),
            octets: self.octets.load(Ordering::Relaxed),
            sequence: self.sequence.load(Ordering::Relaxed) as u16,
            timestamp: self.timestamp.load(Ordering::Relaxed),
        }
    }
}

impl Drop for PortTable {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), mapped_octets(self.count)) };
    }
}

fn mapped_octets(count: u32) -> usize {
    (count as usize * ENTRY_OCTETS).next_multiple_of(4096)
}

fn word(ip: std::net::Ipv4Addr) -> u32 {
    u32::from_ne_bytes(ip.octets())
}

/// What of the IP header is the same in every packet: identification 0, do not fragment, 64 hops,
/// UDP (RFC 791 §3.1, RFC 6864 §4.1).
fn constant_sum(begin: u16, relay: &Relay) -> u32 {
    let addresses = [*relay.source.ip(), *relay.destination.ip()].map(|ip| ip.octets());
    let words = addresses.as_flattened().chunks_exact(2).map(|two| [two[0], two[1]]);
    let fixed = [[0x40, 0x00], [64, 17]];
    u32::from(begin) + words.chain(fixed).map(|two| u32::from(u16::from_ne_bytes(two))).sum::<u32>()
}

#[cfg(all(test, loom))]
mod model {
    use std::sync::Arc;

    use loom::thread;

    use super::*;

    /// What the program does with a packet of the stream, in the order of its instructions
    /// (`program.rs` `relay`): the number under which it went out, or none if the worker gets it.
    fn packet(entry: &Entry, number: u32) -> Option<u32> {
        if entry.action.load(Ordering::Relaxed) != action::RELAY {
            return None;
        }
        // An atomic that fetches is a full barrier in the kernel's memory model.
        entry.begun.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if entry.action.load(Ordering::Relaxed) != action::RELAY {
            entry.begun.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let sent = number + u32::from(entry.sequence_offset.load(Ordering::Relaxed));
        entry.sequence.store(sent, Ordering::Relaxed);
        entry.timestamp.store(160 * sent, Ordering::Relaxed);
        entry.octets.fetch_add(160, Ordering::Relaxed);
        entry.packets.fetch_add(1, Ordering::SeqCst);
        Some(sent)
    }

    fn relay() -> Relay {
        let address = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 5004);
        Relay {
            peer: address,
            payload_type: (8, 8),
            ssrc: (1, 2),
            sequence_offset: 100,
            timestamp_offset: 0,
            newest: (100, 0),
            whole_checksums: true,
            source: address,
            destination: address,
            ethernet: [[0; 6]; 2],
            traffic_class: 0,
        }
    }

    #[test]
    fn what_is_recalled_is_final_and_no_packet_goes_both_ways() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let entry = Arc::new(Entry::default());
            entry.relay(&relay());
            let theirs = Arc::clone(&entry);
            let program = thread::spawn(move || [1, 2].map(|number| packet(&theirs, number)));
            let final_figures = entry.recall();
            // From here on the worker numbers packets itself.
            let went = program.join().unwrap();
            let relayed: Vec<u32> = went.into_iter().flatten().collect();
            assert_eq!(final_figures.packets, relayed.len() as u64);
            assert_eq!(final_figures.octets, 160 * relayed.len() as u64);
            let newest = relayed.last().copied().unwrap_or(100);
            assert_eq!(u32::from(final_figures.sequence), newest);
            assert!(went[0].is_some() || went[1].is_none(), "in order: the second is not ahead");
        });
    }
}
