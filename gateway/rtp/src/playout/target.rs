//! The offset to aim at: what the last packets needed, weighed against the price of delay.

/// Packets remembered: at 20 ms about four seconds, so that a spike is forgotten soon.
const WINDOW: usize = 200;

/// Fewer packets than this say nothing yet.
const SETTLED_AFTER: usize = 25;

/// The offset that costs least over the last packets: each sample of delay costs one, each packet
/// in a hundred that would come late costs `late_cost`.
///
/// This is the quantile method (Moon, Kurose and Towsley 1998) with the quantile chosen by cost
/// instead of fixed beforehand.
#[derive(Debug)]
pub(super) struct TargetOffset {
    late_cost: i64,
    /// What the last packets needed, in order of arrival (a ring).
    recent: [i64; WINDOW],
    /// The same, in order of size.
    sorted: [i64; WINDOW],
    len: usize,
    oldest: usize,
    best: i64,
    /// What the last packet needed, while packets come that were held up together.
    spike: Option<i64>,
}

/// This far above the target a packet is the beginning of a spike, in samples.
const SPIKE: i64 = 480;

impl TargetOffset {
    pub(super) fn new(late_cost: u32) -> Self {
        Self {
            late_cost: i64::from(late_cost),
            recent: [0; WINDOW],
            sorted: [0; WINDOW],
            len: 0,
            oldest: 0,
            best: 0,
            spike: None,
        }
    }

    /// Nothing that was seen counts any more.
    pub(super) fn forget(&mut self) {
        (self.len, self.oldest, self.spike) = (0, 0, None);
    }

    /// A packet needed this offset to play in time.
    pub(super) fn observe(&mut self, needed: i64) {
        if self.in_tail_of_spike(needed) {
            return;
        }
        if self.len == WINDOW {
            let gone = std::mem::replace(&mut self.recent[self.oldest], needed);
            self.oldest = (self.oldest + 1) % WINDOW;
            let at = self.sorted[..self.len].partition_point(|n| *n < gone);
            self.sorted.copy_within(at + 1..self.len, at);
            self.len -= 1;
        } else {
            self.recent[self.len] = needed;
        }
        let at = self.sorted[..self.len].partition_point(|n| *n < needed);
        self.sorted.copy_within(at..self.len, at + 1);
        self.sorted[at] = needed;
        self.len += 1;
        self.best = self.cheapest();
    }

    /// The offset to aim at, once enough packets have been seen.
    pub(super) fn settled(&self) -> Option<i64> {
        (self.len >= SETTLED_AFTER).then_some(self.best)
    }

    /// What the fastest packet of the window needed.
    pub(super) fn least(&self) -> Option<i64> {
        self.sorted[..self.len].first().copied()
    }

    /// How far the target stands above the fastest packet, in samples.
    pub(super) fn above_least(&self) -> u32 {
        match (self.settled(), self.least()) {
            (Some(best), Some(least)) => (best - least).clamp(0, i64::from(u32::MAX)) as u32,
            _ => 0,
        }
    }

    /// Packets that were held up together need less and less, one after the other. They cost one
    /// stall, not one each, so only the first counts (Ramjee et al. 1994 leave their estimate
    /// alone likewise during a spike). A delay that stays is no spike: it does not fall.
    fn in_tail_of_spike(&mut self, needed: i64) -> bool {
        let above = self.settled().is_some_and(|best| needed > best);
        let tail = above && self.spike.is_some_and(|last| needed < last);
        let begins = self.settled().is_some_and(|best| needed > best + SPIKE);
        self.spike = (tail || begins).then_some(needed);
        tail
    }

    /// `late` packets of the window are given up for the offset the next one needs.
    fn cheapest(&self) -> i64 {
        let sorted = &self.sorted[..self.len];
        let mut best = (i64::MAX, 0);
        for (late, needed) in sorted.iter().rev().take(self.len / 8 + 1).enumerate() {
            let cost = needed + self.late_cost * 100 * late as i64 / self.len as i64;
            if cost < best.0 {
                best = (cost, *needed);
            }
        }
        best.1
    }
}
