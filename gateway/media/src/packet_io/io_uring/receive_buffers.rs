//! The pool of receive buffers, shared with the kernel through a ring of its own.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::super::sockaddr::SOCKADDR_MAX_OCTETS;
use super::super::{DATAGRAM_MAX_OCTETS, TAILROOM_OCTETS};
use crate::memory::Pages;

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// Octets of `struct io_uring_recvmsg_out`, which the kernel writes before the address.
pub(super) const HEADER_OCTETS: usize = 16;

/// Octets of one buffer: header, address, the longest datagram and the room behind it, in whole
/// cache lines.
const BUFFER_OCTETS: usize =
    (HEADER_OCTETS + SOCKADDR_MAX_OCTETS + DATAGRAM_MAX_OCTETS + TAILROOM_OCTETS)
        .next_multiple_of(64);

const ENTRY_OCTETS: usize = size_of::<BufRingEntry>();

#[derive(Debug)]
pub(super) struct ReceiveBuffers {
    /// The ring of free buffers, which the kernel takes from.
    free: Pages,
    memory: Pages,
    mask: u16,
    /// What we have put into the ring so far.
    tail: u16,
}

impl ReceiveBuffers {
    /// Makes `count` buffers (rounded up to a power of two) and gives all of them to the kernel.
    pub(super) fn register(ring: &io_uring::IoUring, count: u16) -> io::Result<Self> {
        let count = count.clamp(1, 1 << 14).next_power_of_two();
        let free = Pages::new(usize::from(count) * ENTRY_OCTETS)?;
        let memory = Pages::new(usize::from(count) * BUFFER_OCTETS)?;
        let address = free.at(0, 1) as u64;
        // SAFETY: page-aligned, `count` entries long, and kept until the ring is gone.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        let mut buffers = Self { free, memory, mask: count - 1, tail: 0 };
        for buffer in 0..count {
            buffers.give_back(buffer);
        }
        Ok(buffers)
    }

    /// A buffer that a completion has named.
    pub(super) fn whole(&mut self, buffer: u16) -> &mut [u8] {
        let start = usize::from(buffer & self.mask) * BUFFER_OCTETS;
        let address = self.memory.at(start, BUFFER_OCTETS);
        // SAFETY: inside the mapping (`at` checks), initialised (mapped zeroed), and ours alone from
        // the completion to `give_back`; the borrow of `self` keeps the two apart.
        unsafe { std::slice::from_raw_parts_mut(address, BUFFER_OCTETS) }
    }

    /// Gives a buffer to the kernel.
    pub(super) fn give_back(&mut self, buffer: u16) {
        let buffer = buffer & self.mask;
        let at = usize::from(self.tail & self.mask) * ENTRY_OCTETS;
        let entry = self.free.at(at, ENTRY_OCTETS).cast::<BufRingEntry>();
        let address = self.memory.at(usize::from(buffer) * BUFFER_OCTETS, BUFFER_OCTETS);
        // SAFETY: inside the ring and aligned (16-octet entries from a page start). The kernel reads
        // entries below the tail only, and this one is not below it yet. Field by field, because the
        // tail itself lies in the reserved field of the first entry.
        unsafe {
            (*entry).set_addr(address as u64);
            (*entry).set_len(BUFFER_OCTETS as u32);
            (*entry).set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        let base = self.free.at(0, ENTRY_OCTETS).cast::<BufRingEntry>();
        // SAFETY: the tail is where the interface says, two-octet aligned, and shared with the
        // kernel, which is why it is written as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
