//! The rings under the model checker: the same indexes and slots in memory of our own, and the other
//! end of each in a second thread.
//!
//! The kernel keeps to the same protocol as we do (`net/xdp/xsk_queue.h`): the writer publishes by a
//! store-release of the producer index, the reader gives back by a store-release of the consumer
//! index. So its end of the ring that we fill is a ring that is emptied, and the other way round.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use loom::cell::UnsafeCell;

use crate::sync::AtomicU32;

/// Memory of a ring that two threads share.
#[derive(Debug)]
pub(crate) struct Memory<T> {
    shared: Arc<Shared<T>>,
    pub(super) size: u32,
}

#[derive(Debug)]
struct Shared<T> {
    producer: AtomicU32,
    consumer: AtomicU32,
    slots: Vec<UnsafeCell<Option<T>>>,
}

// SAFETY: the rings give each slot to one side at a time; that they do is what is checked.
unsafe impl<T: Send> Send for Memory<T> {}

impl<T: Copy> Memory<T> {
    pub(crate) fn map(
        _: BorrowedFd<'_>,
        _: i64,
        _: libc::xdp_ring_offset,
        _: u32,
    ) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Both ends' view of a ring.
    fn both(size: u32) -> (Self, Self) {
        let shared = Arc::new(Shared {
            producer: AtomicU32::new(0),
            consumer: AtomicU32::new(0),
            slots: (0..size).map(|_| UnsafeCell::new(None)).collect(),
        });
        (Self { shared: Arc::clone(&shared), size }, Self { shared, size })
    }

    pub(super) fn producer(&self) -> &AtomicU32 {
        &self.shared.producer
    }

    pub(super) fn consumer(&self) -> &AtomicU32 {
        &self.shared.consumer
    }

    pub(super) fn wants_wakeup(&self) -> bool {
        false
    }

    pub(super) unsafe fn write(&self, index: u32, value: T) {
        let slot = &self.shared.slots[(index & (self.size - 1)) as usize];
        // SAFETY: the checker sees whether another thread has it.
        slot.with_mut(|slot| unsafe { *slot = Some(value) });
    }

    pub(super) unsafe fn read(&self, index: u32) -> T {
        let slot = &self.shared.slots[(index & (self.size - 1)) as usize];
        // SAFETY: the checker sees whether another thread has it.
        slot.with(|slot| unsafe { *slot }).expect("nothing is read before it was written")
    }
}

#[cfg(test)]
mod tests {
    use loom::thread;

    use super::super::{FromKernel, ToKernel};
    use super::*;

    /// What goes through a ring of two slots: four numbers, in batches as a tick makes them.
    const NUMBERS: u64 = 4;

    fn fill(mut ring: ToKernel<u64>) {
        let mut next = 0;
        while next < NUMBERS {
            while next < NUMBERS && ring.push(next) {
                next += 1;
            }
            ring.publish();
            assert!(ring.unread() <= 2, "no more is under way than there are slots");
            thread::yield_now();
        }
    }

    fn empty(mut ring: FromKernel<u64>) {
        let mut next = 0;
        while next < NUMBERS {
            let seen = ring.look();
            for _ in 0..seen {
                assert_eq!(ring.pop(), Some(next), "in order, each once");
                next += 1;
            }
            assert_eq!(ring.pop(), None, "and no more than were seen");
            ring.release();
            thread::yield_now();
        }
    }

    #[test]
    fn every_slot_goes_over_once_whole_and_in_order() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (ours, kernels) = Memory::both(2);
            let kernel = thread::spawn(move || empty(FromKernel::over(kernels)));
            fill(ToKernel::over(ours));
            kernel.join().unwrap();
        });
    }

    #[test]
    fn what_the_kernel_fills_comes_over_once_whole_and_in_order() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (ours, kernels) = Memory::both(2);
            let kernel = thread::spawn(move || fill(ToKernel::over(kernels)));
            empty(FromKernel::over(ours));
            kernel.join().unwrap();
        });
    }
}
