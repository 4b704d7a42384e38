//! Counters of the ENUM server: each thread counts for itself, the scrape adds up.

use std::sync::atomic::{AtomicU64, Ordering};

use super::answer::{Answered, Kind};

/// Counters of one UDP thread, or of all TCP connections. On cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    kinds: [AtomicU64; Kind::ALL.len()],
    truncated: AtomicU64,
    rate_limited: AtomicU64,
    errors: AtomicU64,
    connections: AtomicU64,
    connections_refused: AtomicU64,
}

/// How often each kind of answer was given, in the order of [`Kind::ALL`].
pub type KindCounts = [u64; Kind::ALL.len()];

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountersSnapshot {
    /// Queries by kind of answer.
    pub kinds: KindCounts,
    /// Answers that did not fit.
    pub truncated: u64,
    /// Answers held back by the response rate.
    pub rate_limited: u64,
    /// Sends and receives that failed.
    pub errors: u64,
    /// TCP connections accepted.
    pub connections: u64,
    /// TCP connections closed at once, over the limit.
    pub connections_refused: u64,
}

impl Counters {
    pub(crate) fn answered(&self, answered: &Answered) {
        self.kinds[answered.kind as usize].fetch_add(1, Ordering::Relaxed);
        if answered.truncated {
            self.truncated.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn rate_limited(&self) {
        self.rate_limited.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds these counters to a snapshot.
    pub fn add_to(&self, sum: &mut CountersSnapshot) {
        for (sum, kind) in sum.kinds.iter_mut().zip(&self.kinds) {
            *sum += kind.load(Ordering::Relaxed);
        }
        sum.truncated += self.truncated.load(Ordering::Relaxed);
        sum.rate_limited += self.rate_limited.load(Ordering::Relaxed);
        sum.errors += self.errors.load(Ordering::Relaxed);
        sum.connections += self.connections.load(Ordering::Relaxed);
        sum.connections_refused += self.connections_refused.load(Ordering::Relaxed);
    }
}
