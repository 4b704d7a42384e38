//! Events from the span's thread to its owner: a bounded queue that wakes a future.
//!
//! The span's thread never waits for its owner: what does not fit is dropped and counted. Waking
//! costs it one atomic exchange while nobody waits, and the wake of the owner's runtime when
//! somebody does; events are rare beside blocks.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use crossbeam::queue::ArrayQueue;

use super::{Shared, SpanEvent};

/// The queue.
pub(super) struct EventQueue {
    events: ArrayQueue<SpanEvent>,
    waker: AtomicWaker,
    /// The thread has put in its last event.
    closed: AtomicBool,
}

impl EventQueue {
    pub fn new(events_max: usize) -> Self {
        Self {
            events: ArrayQueue::new(events_max),
            waker: AtomicWaker::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Gives an event to the owner; false if it was dropped because the queue is full.
    pub fn push(&self, event: SpanEvent) -> bool {
        let fits = self.events.push(event).is_ok();
        self.waker.wake();
        fits
    }

    /// Says that no event will follow.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The events of a span, for its owner.
#[derive(Debug)]
pub struct SpanEvents {
    shared: Arc<Shared>,
}

impl SpanEvents {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits for the next event, in any runtime; `None` when the span has ended and all its
    /// events are taken. May be cancelled without losing an event.
    pub async fn next(&mut self) -> Option<SpanEvent> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<SpanEvent> {
        self.shared.events.events.pop()
    }

    /// Like [`next`](Self::next), for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<SpanEvent>> {
        let queue = &self.shared.events;
        if let Some(event) = queue.events.pop() {
            return Poll::Ready(Some(event));
        }
        queue.waker.register(context.waker());
        // What came between looking and registering would not wake.
        let closed = queue.closed.load(Ordering::Acquire);
        match queue.events.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
