//! What the program and we have in common of one port, and how a stream is given and recalled.

use std::net::{Ipv4Addr, SocketAddr};

use super::admission::{Admission, words};
use super::{Relay, Relayed};
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
    /// Who is let in by the port.
    pub(crate) admission: Admission,

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
    /// Packets of others than those that are let in.
    pub(crate) kept_out: AtomicU64,
}

/// Octets of an entry.
pub(crate) const ENTRY_OCTETS: usize = size_of::<Entry>();
#[cfg(not(loom))]
const _: () = assert!(ENTRY_OCTETS.is_multiple_of(8));

/// Looks at a port that the program is at work on, some tens of microseconds.
const PATIENCE: u32 = 10_000;

impl Entry {
    /// Gives the packets for `local` to a worker, whoever sends them.
    pub(super) fn steer(&self, local: SocketAddr, worker: u32) {
        // A packet that is being looked at may meet some of the old and some of the new: it is for a
        // port that nobody had, and whoever gets it sees that.
        self.pass();
        for (to, word) in self.local.iter().zip(words(local.ip())) {
            to.store(word, Ordering::Relaxed);
        }
        self.version.store(if local.is_ipv4() { 4 } else { 6 }, Ordering::Relaxed);
        self.worker.store(worker, Ordering::Relaxed);
        self.admission.change(None);
        self.kept_out.store(0, Ordering::Relaxed);
        self.action.store(action::STEER, Ordering::Release);
    }

    pub(super) fn pass(&self) {
        self.action.store(action::PASS, Ordering::Release);
    }

    pub(super) fn kept_out(&self) -> u64 {
        // A counter: nothing else is read by it.
        self.kept_out.load(Ordering::Relaxed)
    }

    pub(super) fn relay(&self, relay: &Relay) {
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

    pub(super) fn recall(&self) -> Relayed {
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

    pub(super) fn relayed(&self) -> Relayed {
        Relayed {
            packets: self.packets.load(Ordering::Acquire),
            octets: self.octets.load(Ordering::Relaxed),
            sequence: self.sequence.load(Ordering::Relaxed) as u16,
            timestamp: self.timestamp.load(Ordering::Relaxed),
        }
    }
}

fn word(ip: Ipv4Addr) -> u32 {
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
#[path = "model.rs"]
mod model;
