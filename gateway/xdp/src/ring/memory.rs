//! The memory of a ring: its slots and the two indexes, mapped from the kernel.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// The mapping of a ring and its two indexes.
#[derive(Debug)]
pub(crate) struct Memory<T> {
    mapping: NonNull<libc::c_void>,
    octets: usize,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    slots: NonNull<T>,
    pub(super) size: u32,
}

// SAFETY: the mapping belongs to this value; nothing in it is tied to a thread.
unsafe impl<T: Send> Send for Memory<T> {}

impl<T> Memory<T> {
    /// Maps a ring of `size` slots (a power of two) of a socket.
    pub(crate) fn map(
        socket: BorrowedFd<'_>,
        page_offset: i64,
        at: libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let octets = at.desc as usize + size as usize * size_of::<T>();
        // SAFETY: a new shared mapping of the socket's ring.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                octets,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                page_offset,
            )
        };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = NonNull::new(mapping).ok_or_else(io::Error::last_os_error)?;
        let inside = |offset: u64| {
            // SAFETY: the kernel's offsets lie inside the ring, whose length they gave.
            unsafe { mapping.cast::<u8>().add(offset as usize) }
        };
        Ok(Self {
            mapping,
            octets,
            producer: inside(at.producer).cast(),
            consumer: inside(at.consumer).cast(),
            flags: inside(at.flags).cast(),
            slots: inside(at.desc).cast(),
            size,
        })
    }

    /// Slots written so far.
    pub(super) fn producer(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, aligned by the kernel, and atomic on both sides.
        unsafe { self.producer.as_ref() }
    }

    /// Slots read so far.
    pub(super) fn consumer(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, aligned by the kernel, and atomic on both sides.
        unsafe { self.consumer.as_ref() }
    }

    /// Whether the kernel waits for a system call.
    pub(super) fn wants_wakeup(&self) -> bool {
        // SAFETY: inside the mapping, aligned by the kernel, and atomic on both sides.
        let flags = unsafe { self.flags.as_ref() };
        flags.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Fills a slot.
    ///
    /// # Safety
    /// The slot must be ours: read by the other side, or never written.
    pub(super) unsafe fn write(&self, index: u32, value: T) {
        // SAFETY: masked, so inside the slots; and the caller's promise.
        unsafe { self.slot(index).write(value) };
    }

    /// Empties a slot.
    ///
    /// # Safety
    /// The slot must be ours: published by the other side, and not given back yet.
    pub(super) unsafe fn read(&self, index: u32) -> T {
        // SAFETY: masked, so inside the slots; and the caller's promise.
        unsafe { self.slot(index).read() }
    }

    fn slot(&self, index: u32) -> NonNull<T> {
        // SAFETY: masked, so inside the slots.
        unsafe { self.slots.add((index & (self.size - 1)) as usize) }
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, unmapped once.
        unsafe { libc::munmap(self.mapping.as_ptr(), self.octets) };
    }
}
