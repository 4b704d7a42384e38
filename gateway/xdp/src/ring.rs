//! The rings between the kernel and an AF_XDP socket: one writes, the other reads, nobody locks.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// The mapping of a ring and its two indexes.
#[derive(Debug)]
struct Shared<T> {
    mapping: NonNull<libc::c_void>,
    octets: usize,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    slots: NonNull<T>,
    size: u32,
}

// SAFETY: the mapping belongs to this value; nothing in it is tied to a thread.
unsafe impl<T: Send> Send for Shared<T> {}

/// A ring we fill and the kernel empties.
#[derive(Debug)]
pub(crate) struct ToKernel<T> {
    shared: Shared<T>,
    /// Written so far, published or not.
    written: u32,
    /// Read by the kernel when we last looked.
    read: u32,
}

/// A ring the kernel fills and we empty.
#[derive(Debug)]
pub(crate) struct FromKernel<T> {
    shared: Shared<T>,
    read: u32,
    /// Written by the kernel when we last looked.
    written: u32,
}

impl<T> Shared<T> {
    /// Maps a ring of `size` slots (a power of two) of a socket.
    fn map(
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

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, aligned by the kernel, and atomic on both sides.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, aligned by the kernel, and atomic on both sides.
        unsafe { self.consumer.as_ref() }
    }

    fn wants_wakeup(&self) -> bool {
        // SAFETY: inside the mapping, aligned by the kernel, and atomic on both sides.
        let flags = unsafe { self.flags.as_ref() };
        flags.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn slot(&self, index: u32) -> *mut T {
        // SAFETY: masked, so inside the slots.
        unsafe { self.slots.add((index & (self.size - 1)) as usize).as_ptr() }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, unmapped once.
        unsafe { libc::munmap(self.mapping.as_ptr(), self.octets) };
    }
}

impl<T: Copy> ToKernel<T> {
    pub(crate) fn map(
        socket: BorrowedFd<'_>,
        page_offset: i64,
        at: libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        Ok(Self { shared: Shared::map(socket, page_offset, at, size)?, written: 0, read: 0 })
    }

    /// Writes a slot; false when the ring is full.
    pub(crate) fn push(&mut self, value: T) -> bool {
        if self.written.wrapping_sub(self.read) == self.shared.size {
            self.read = self.shared.consumer().load(Ordering::Acquire);
            if self.written.wrapping_sub(self.read) == self.shared.size {
                return false;
            }
        }
        // SAFETY: a slot the kernel has read, or never had: ours until it is published.
        unsafe { self.shared.slot(self.written).write(value) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Shows the kernel what has been written.
    pub(crate) fn publish(&mut self) {
        self.shared.producer().store(self.written, Ordering::Release);
    }

    /// Slots the kernel has not read yet.
    pub(crate) fn unread(&mut self) -> u32 {
        self.read = self.shared.consumer().load(Ordering::Acquire);
        self.written.wrapping_sub(self.read)
    }

    /// Whether the kernel waits for a system call.
    pub(crate) fn wants_wakeup(&self) -> bool {
        self.shared.wants_wakeup()
    }
}

impl<T: Copy> FromKernel<T> {
    pub(crate) fn map(
        socket: BorrowedFd<'_>,
        page_offset: i64,
        at: libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        Ok(Self { shared: Shared::map(socket, page_offset, at, size)?, read: 0, written: 0 })
    }

    /// The next slot, if the kernel had written one at the last [`FromKernel::look`].
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.read == self.written {
            return None;
        }
        // SAFETY: a slot the kernel has published and does not touch before it is released.
        let value = unsafe { self.shared.slot(self.read).read() };
        self.read = self.read.wrapping_add(1);
        Some(value)
    }

    /// Learns what the kernel has written; how many slots that are.
    pub(crate) fn look(&mut self) -> u32 {
        self.written = self.shared.producer().load(Ordering::Acquire);
        self.written.wrapping_sub(self.read)
    }

    /// Gives the kernel back what has been read.
    pub(crate) fn release(&mut self) {
        self.shared.consumer().store(self.read, Ordering::Release);
    }
}
