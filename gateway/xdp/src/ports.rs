//! What the XDP program knows of each RTP port, in memory it shares with us.

mod admission;
mod entry;

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use crate::bpf::{Map, MapKind};
pub use admission::Sender;
pub(crate) use admission::{CLOSED, Place, SENDERS, SET};
pub(crate) use entry::{ENTRY_OCTETS, Entry, action};

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
        entry.steer(local, worker);
        true
    }

    /// Leaves the packets for a port to the kernel.
    pub fn pass(&self, port: u16) {
        if let Some(entry) = self.entry(port) {
            entry.pass();
        }
    }

    /// Lets nobody but `only` in by a port that is steered; none: everybody. Others are dropped, and
    /// counted. Only the worker that the port is steered to may call it.
    pub fn admit(&self, port: u16, only: Option<[Sender; 2]>) {
        if let Some(entry) = self.entry(port) {
            entry.admission.change(only);
        }
    }

    /// Packets that were kept out of a port since it was steered.
    pub fn kept_out(&self, port: u16) -> u64 {
        self.entry(port).map_or(0, Entry::kept_out)
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

impl Drop for PortTable {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), mapped_octets(self.count)) };
    }
}

fn mapped_octets(count: u32) -> usize {
    (count as usize * ENTRY_OCTETS).next_multiple_of(4096)
}
