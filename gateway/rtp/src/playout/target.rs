//! The offset to aim at: what the last packets needed, weighed by what delay and late packets do to a
//! conversation.

/// Packets remembered: at 20 ms ten seconds.
const WINDOW: usize = 500;

/// Fewer packets than this say nothing yet.
const SETTLED_AFTER: usize = 12;

/// This far above the target a packet is the beginning of a spike, in samples.
const SPIKE: i64 = 240;

/// A packet that needed this much more than any other was late by itself, in samples.
const ALONE: i64 = 120;

/// The offset at which the last packets would have made the best conversation by the E-model: the R
/// that delay takes and the R that late packets take add up to the least.
///
/// This is the method of Sun and Ifeachor (2006) on the delays as they were instead of on a
/// distribution fitted to them.
#[derive(Debug)]
pub(super) struct TargetOffset {
    /// From the mouth to the jitter buffer, in samples.
    path_delay: i64,
    /// What the last packets needed, in order of arrival (a ring).
    recent: [i64; WINDOW],
    /// The same, in order of size.
    sorted: [i64; WINDOW],
    len: usize,
    oldest: usize,
    best: i64,
    /// What the last packet needed.
    last: Option<i64>,
    /// Packets come that were held up together.
    in_spike: bool,
}

impl TargetOffset {
    pub(super) fn new(path_delay: u32) -> Self {
        Self {
            path_delay: i64::from(path_delay),
            recent: [0; WINDOW],
            sorted: [0; WINDOW],
            len: 0,
            oldest: 0,
            best: 0,
            last: None,
            in_spike: false,
        }
    }

    /// Nothing that was seen counts any more.
    pub(super) fn forget(&mut self) {
        (self.len, self.oldest) = (0, 0);
        (self.last, self.in_spike) = (None, false);
    }

    /// A packet needed this offset to play in time; `is_together`: it came with the one before.
    pub(super) fn observe(&mut self, needed: i64, is_together: bool) {
        if self.in_tail_of_spike(needed, is_together) {
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

    /// What nine packets in ten needed at most.
    pub(super) fn most_need(&self) -> i64 {
        self.sorted[..self.len].get(self.len * 9 / 10).copied().unwrap_or(0)
    }

    /// How far an offset stands above what the fastest packet needed, in samples.
    pub(super) fn above_least(&self, offset: i64) -> u32 {
        self.least().map_or(0, |least| (offset - least).clamp(0, i64::from(u32::MAX)) as u32)
    }

    /// Packets that were held up together need less and less, one after the other. They cost one
    /// stall, not one each, so only the first counts (Ramjee et al. 1994 leave their estimate
    /// alone likewise during a spike). A delay that stays is no spike: it does not fall.
    fn in_tail_of_spike(&mut self, needed: i64, is_together: bool) -> bool {
        let best = self.settled();
        let above = best.is_some_and(|best| needed > best);
        let falls = self.last.is_some_and(|last| needed < last);
        let tail = above && falls && (is_together || self.in_spike);
        self.in_spike = tail || best.is_some_and(|best| needed > best + SPIKE);
        self.last = Some(needed);
        tail
    }

    /// `late` packets of the window are given up for the offset the next one needs. One that was late by
    /// itself is free: what has happened once says nothing yet, and a delay that is raised for it, and
    /// lowered again, is worse than the gap.
    fn cheapest(&self) -> i64 {
        let sorted = &self.sorted[..self.len];
        let Some(&least) = sorted.first() else { return 0 };
        let by_itself = match sorted {
            [.., second, first] => usize::from(first - second > ALONE),
            _ => 0,
        };
        let mut best = (f32::MAX, 0);
        for (late, needed) in sorted.iter().rev().enumerate() {
            let share = late.saturating_sub(by_itself) as f32 / self.len as f32;
            let lost = late_impairment(share);
            if lost >= best.0 {
                break;
            }
            let cost = lost + delay_impairment(self.path_delay + needed - least);
            if cost < best.0 {
                best = (cost, *needed);
            }
        }
        best.1
    }
}

/// What a delay from mouth to ear of so many samples takes of R (Cole and Rosenbluth 2001, from
/// G.107 at its default values).
fn delay_impairment(samples: i64) -> f32 {
    /// 177.3 ms.
    const FELT_FROM: i64 = 1418;
    (0.024 * samples as f32 + 0.11 * (samples - FELT_FROM).max(0) as f32) / 8.0
}

/// What a share of late packets takes of R: Ie-eff of G.711 with concealment (G.107 §7.5, G.113
/// table I.4), twice. PESQ hears the first missing packets about so much more than the model.
fn late_impairment(share: f32) -> f32 {
    const ROBUSTNESS: f32 = 25.1;
    let percent = 100.0 * share;
    2.0 * 95.0 * percent / (percent + ROBUSTNESS)
}
