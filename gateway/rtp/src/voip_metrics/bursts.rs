//! Bursts and gaps of a stream of packets (RFC 3611 §4.7.2).
//!
//! A burst begins and ends with a missing packet and holds no [`GMIN`] received ones in a row. A single
//! missing packet with as many received ones on either side belongs to the gap around it. What is before
//! the beginning and after the end counts as received.
#![forbid(unsafe_code)]

use super::{GMIN, Periods};

/// The bursts and gaps so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bursts {
    /// Missing packets, from the first to the last, without [`GMIN`] received ones in a row between.
    cluster: Stretch,
    /// Packets received since the last missing one, below [`GMIN`]; beyond it they are in the gap.
    received: u64,
    /// The gap that goes on.
    gap: Stretch,
    /// Packets missing in a row at the end.
    is_missing: bool,
    runs: u64,
    bursts: Periods,
    gaps: Periods,
}

/// Packets in a row.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    packets: u64,
    missing: u64,
}

impl Bursts {
    /// The next packet was received and played, or is missing.
    pub(super) fn packet(&mut self, received: bool) {
        if received {
            self.is_missing = false;
            if self.cluster.missing == 0 {
                self.gap.packets += 1;
                return;
            }
            self.received += 1;
            if self.received == u64::from(GMIN) {
                self.end_cluster();
            }
        } else {
            self.runs += u64::from(!self.is_missing);
            self.is_missing = true;
            self.cluster.packets += self.received + 1;
            self.cluster.missing += 1;
            self.received = 0;
        }
    }

    /// Packets, missing ones, and times that some were missing in a row.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let settled = |periods: &Periods| (periods.packets, periods.missing);
        let open = |stretch: &Stretch| (stretch.packets, stretch.missing);
        let parts =
            [settled(&self.bursts), settled(&self.gaps), open(&self.gap), open(&self.cluster)];
        let packets: u64 = parts.iter().map(|(packets, _)| packets).sum();
        let missing = parts.iter().map(|(_, missing)| missing).sum();
        (packets + self.received, missing, self.runs)
    }

    /// The bursts and the gaps, as if nothing came any more.
    pub(super) fn periods(&self) -> (Periods, Periods) {
        let mut all = *self;
        if all.cluster.missing > 0 {
            all.end_cluster();
        }
        all.end_gap();
        (all.bursts, all.gaps)
    }

    /// Enough packets were received: the cluster was a burst, or one lost packet in a gap.
    fn end_cluster(&mut self) {
        if self.cluster.missing > 1 {
            self.end_gap();
            self.bursts.add(self.cluster);
        } else {
            self.gap.packets += self.cluster.packets;
            self.gap.missing += self.cluster.missing;
        }
        self.cluster = Stretch::default();
        self.gap.packets += self.received;
        self.received = 0;
    }

    fn end_gap(&mut self) {
        if self.gap.packets > 0 {
            self.gaps.add(self.gap);
            self.gap = Stretch::default();
        }
    }
}

impl Periods {
    fn add(&mut self, stretch: Stretch) {
        self.count += 1;
        self.packets += stretch.packets;
        self.missing += stretch.missing;
    }
}
