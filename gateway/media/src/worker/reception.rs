//! What a worker does with the packets its back end shows it.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use slab::Slab;

use crate::counters::WorkerCounters;
use crate::leg::{Channel, Events, Leg, Surroundings, Turn};
use crate::packet_io::{Datagram, PortIndex, Sink, Verdict};

/// A worker's legs while packets come.
pub(super) struct Reception<'a> {
    pub(super) legs: &'a mut Slab<Box<Leg>>,
    /// Whose port it is, by [`PortIndex`].
    pub(super) owners: &'a [Option<(usize, Channel)>],
    pub(super) turns: &'a mut [Option<Turn>],
    pub(super) mates: &'a [Option<usize>],
    /// Legs whose stream may be relayed below, if any may.
    pub(super) steady: Option<&'a mut Vec<usize>>,
    /// Legs whose code has failed in this tick.
    pub(super) failed: &'a mut Vec<usize>,
    pub(super) now: Instant,
    pub(super) counters: &'a mut WorkerCounters,
    pub(super) events: &'a mut Events,
}

impl Sink for Reception<'_> {
    fn expect(&mut self, port: PortIndex) {
        let owner = self.owners.get(port.0 as usize).copied().flatten();
        let Some((index, Channel::Rtp)) = owner else { return };
        if let Some(leg) = self.legs.get(index) {
            leg.prefetch();
        }
        let mate = self.mates.get(index).copied().flatten();
        if let Some(mate) = mate.and_then(|mate| self.legs.get(mate)) {
            mate.prefetch_sending();
        }
    }

    fn look(&mut self, port: PortIndex, from: SocketAddr, datagram: &mut Datagram<'_>) -> Verdict {
        let Self { legs, owners, turns, steady, failed, now, counters, events, .. } = self;
        let Some((index, channel)) = owners.get(port.0 as usize).copied().flatten() else {
            return Verdict::Consumed;
        };
        let mut at_work = index;
        let mut around = Surroundings { now: *now, counters, events };
        let work = || {
            let leg = legs.get_mut(index)?;
            let passed = leg.datagram(channel, from, datagram, &mut around);
            if let Some(turn) = turns.get_mut(index) {
                *turn = Some(leg.turn());
            }
            if let Some(steady) = steady.as_mut().filter(|_| leg.is_steady()) {
                // More than it holds without growing are not needed in a tick.
                if steady.len() < steady.capacity() {
                    steady.push(index);
                }
            }
            let passed = passed?;
            at_work = passed.mate;
            Some(legs.get_mut(passed.mate)?.relay(&passed, datagram, &mut around))
        };
        // A failed leg costs that call, not the worker.
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(verdict) => verdict.unwrap_or(Verdict::Consumed),
            Err(_) => {
                if !failed.contains(&at_work) {
                    failed.push(at_work);
                }
                Verdict::Consumed
            }
        }
    }
}
