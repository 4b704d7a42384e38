//! The rings between the kernel and an AF_XDP socket: one writes, the other reads, nobody locks.

#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
mod model;

#[cfg(not(loom))]
pub(crate) use memory::Memory;
#[cfg(loom)]
pub(crate) use model::Memory;

use crate::sync::Ordering;

/// A ring we fill and the kernel empties.
#[derive(Debug)]
pub(crate) struct ToKernel<T> {
    memory: Memory<T>,
    /// Written so far, published or not.
    written: u32,
    /// Read by the kernel when we last looked.
    read: u32,
}

/// A ring the kernel fills and we empty.
#[derive(Debug)]
pub(crate) struct FromKernel<T> {
    memory: Memory<T>,
    read: u32,
    /// Written by the kernel when we last looked.
    written: u32,
}

impl<T: Copy> ToKernel<T> {
    pub(crate) fn over(memory: Memory<T>) -> Self {
        Self { memory, written: 0, read: 0 }
    }

    /// Writes a slot; false when the ring is full.
    pub(crate) fn push(&mut self, value: T) -> bool {
        if self.written.wrapping_sub(self.read) == self.memory.size {
            self.read = self.memory.consumer().load(Ordering::Acquire);
            if self.written.wrapping_sub(self.read) == self.memory.size {
                return false;
            }
        }
        // SAFETY: a slot the kernel has read, or never had: ours until it is published.
        unsafe { self.memory.write(self.written, value) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Shows the kernel what has been written.
    pub(crate) fn publish(&mut self) {
        self.memory.producer().store(self.written, Ordering::Release);
    }

    /// Slots the kernel has not read yet.
    pub(crate) fn unread(&mut self) -> u32 {
        self.read = self.memory.consumer().load(Ordering::Acquire);
        self.written.wrapping_sub(self.read)
    }

    /// Whether the kernel waits for a system call.
    pub(crate) fn wants_wakeup(&self) -> bool {
        self.memory.wants_wakeup()
    }
}

impl<T: Copy> FromKernel<T> {
    pub(crate) fn over(memory: Memory<T>) -> Self {
        Self { memory, read: 0, written: 0 }
    }

    /// The next slot, if the kernel had written one at the last [`FromKernel::look`].
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.read == self.written {
            return None;
        }
        // SAFETY: a slot the kernel has published and does not touch before it is released.
        let value = unsafe { self.memory.read(self.read) };
        self.read = self.read.wrapping_add(1);
        Some(value)
    }

    /// The slot that comes so many after the next, if it was written by then.
    pub(crate) fn ahead(&self, slots: u32) -> Option<T> {
        if slots >= self.written.wrapping_sub(self.read) {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { self.memory.read(self.read.wrapping_add(slots)) })
    }

    /// Learns what the kernel has written; how many slots that are.
    pub(crate) fn look(&mut self) -> u32 {
        self.written = self.memory.producer().load(Ordering::Acquire);
        self.written.wrapping_sub(self.read)
    }

    /// Gives the kernel back what has been read.
    pub(crate) fn release(&mut self) {
        self.memory.consumer().store(self.read, Ordering::Release);
    }
}
