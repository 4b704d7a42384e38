//! What an endpoint counts; relaxed atomics, read by the scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::screen::Fault;

/// Counters of an endpoint since its start, and how much it holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountersSnapshot {
    /// Messages that came in, UDP and TCP, good or bad.
    pub messages_received: u64,
    /// Messages refused by the screen, by reason: label and count.
    pub refused: Vec<(&'static str, u64)>,
    /// Calls that came in.
    pub invites_received: u64,
    /// Calls we made.
    pub invites_sent: u64,
    /// Incoming calls answered 503 because legs or the event queue were full.
    pub overload_refused: u64,
    /// Legs that live now.
    pub open_legs: usize,
    /// Dialogs the stack holds now.
    pub dialogs: usize,
    /// Transactions the stack runs now; ended ones are kept for 64 × T1.
    pub transactions: usize,
    /// Ended transactions the stack still remembers.
    pub ended_transactions: usize,
    /// TCP connections open now.
    pub connections: usize,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub messages_received: AtomicU64,
    pub invites_received: AtomicU64,
    pub invites_sent: AtomicU64,
    pub overload_refused: AtomicU64,
    refused: [AtomicU64; Fault::ALL.len()],
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, fault: Fault) {
        if let Some(index) = Fault::ALL.iter().position(|known| *known == fault) {
            Self::add(&self.refused[index]);
        }
    }

    pub(crate) fn snapshot(&self) -> CountersSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CountersSnapshot {
            messages_received: read(&self.messages_received),
            refused: Fault::ALL
                .iter()
                .zip(&self.refused)
                .map(|(fault, counter)| (fault.label(), read(counter)))
                .collect(),
            invites_received: read(&self.invites_received),
            invites_sent: read(&self.invites_sent),
            overload_refused: read(&self.overload_refused),
            ..CountersSnapshot::default()
        }
    }
}
