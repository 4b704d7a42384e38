//! How well the voice of a leg arrives: which packets could not be played and how they cluster
//! (RFC 3611 §4.7.2), and what that does to its quality (ITU-T G.107).
//!
//! [`LossPattern`] hears of every packet, [`LossFigures`] sums up, [`Quality`] rates it.
#![forbid(unsafe_code)]

mod bursts;
mod e_model;

pub use e_model::Quality;

use crate::reception::Arrival;
use bursts::Bursts;

/// Received packets in a row that end a burst (RFC 3611 §4.7.2: 16 is recommended).
pub const GMIN: u8 = 16;

/// Packets that are still open: one that is missing may come, one that came may not be played.
const WINDOW: u32 = 64;

/// Which packets of a leg were lost or discarded, in their order.
///
/// Small and of fixed size: a packet costs no allocation.
#[derive(Debug, Clone, Copy, Default)]
pub struct LossPattern {
    bursts: Bursts,
    discarded: u64,
    /// The window's packets; the newest is that of bit 0.
    held: u32,
    /// Bit `n`: the packet `n` before the newest has come.
    came: u64,
    /// Bit `n`: it came, but is not played.
    unplayed: u64,
    newest: u32,
    /// Where the packet stands that came last, if it is in the window.
    last: Option<u32>,
}

/// The sum of a [`LossPattern`]. Packets are counted from the first that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossFigures {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late or too early to be played.
    pub discarded: u64,
    /// Times that one packet or more in a row were lost or discarded.
    pub runs: u64,
    /// The periods with many losses.
    pub bursts: Periods,
    /// The periods with few or none.
    pub gaps: Periods,
}

/// Bursts, or gaps, of a leg.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Periods {
    /// How many there were.
    pub count: u64,
    /// The packets in them, lost ones included.
    pub packets: u64,
    /// Those of them that were lost or discarded.
    pub missing: u64,
}

impl LossPattern {
    /// Takes note of what reception said of a packet.
    pub fn packet_arrived(&mut self, arrival: Arrival) {
        self.last = None;
        match arrival {
            Arrival::InOrder { extended, missing } => {
                if self.held > 0 {
                    for _ in 0..missing {
                        self.push(false);
                    }
                }
                self.push(true);
                self.newest = extended;
                self.last = Some(0);
            }
            Arrival::Reordered { extended } => {
                let back = self.newest.wrapping_sub(extended);
                if back < self.held {
                    self.came |= 1 << back;
                    self.last = Some(back);
                }
            }
            Arrival::Restarted { extended } => {
                self.source_changed();
                self.push(true);
                self.newest = extended;
                self.last = Some(0);
            }
            Arrival::Duplicate | Arrival::Probation | Arrival::Jump => {}
        }
    }

    /// Takes note of packets that arrived unseen, in what order nobody knows: those that are missing
    /// are taken to be the ones before the newest.
    pub fn packets_arrived_unseen(&mut self, packets: u32, newest: Arrival) {
        if let Arrival::InOrder { .. } = newest {
            (1..packets).for_each(|_| self.push(true));
        }
        self.packet_arrived(newest);
    }

    /// The packet that came last is not played: its turn was over, or there was no room for it.
    pub fn last_discarded(&mut self) {
        match self.last {
            Some(back) => self.unplayed |= 1 << back,
            // Beyond the window it counts as missing already.
            None => self.discarded += 1,
        }
    }

    /// So many packets were dropped after they had been stored. Which ones is known only to the playout;
    /// it drops what has waited longest, all of it of late: the newest that came are taken for them.
    pub fn stored_discarded(&mut self, packets: u64) {
        for _ in 0..packets.min(u64::from(WINDOW)) {
            let playable = self.came & !self.unplayed;
            self.unplayed |= playable & playable.wrapping_neg();
        }
    }

    /// Another source, or a new numbering: what has not come by now never will.
    pub fn source_changed(&mut self) {
        while self.held > 0 {
            self.settle_oldest();
        }
        (self.came, self.unplayed) = (0, 0);
    }

    /// The figures so far.
    pub fn figures(&self) -> LossFigures {
        let mut all = *self;
        all.source_changed();
        let (packets, missing, runs) = all.bursts.totals();
        let (bursts, gaps) = all.bursts.periods();
        LossFigures {
            expected: packets,
            lost: missing.saturating_sub(all.discarded),
            discarded: all.discarded,
            runs,
            bursts,
            gaps,
        }
    }

    /// The next packet by sequence number.
    fn push(&mut self, came: bool) {
        if self.held == WINDOW {
            self.settle_oldest();
        }
        self.held += 1;
        self.came = self.came << 1 | u64::from(came);
        self.unplayed <<= 1;
    }

    /// The oldest packet's fate is sealed.
    fn settle_oldest(&mut self) {
        self.held -= 1;
        let came = self.came >> self.held & 1 != 0;
        let unplayed = self.unplayed >> self.held & 1 != 0;
        self.discarded += u64::from(came && unplayed);
        self.bursts.packet(came && !unplayed);
    }
}

impl LossFigures {
    /// Packets lost, as a share of those expected.
    pub fn loss_rate(&self) -> f64 {
        share(self.lost, self.expected)
    }

    /// Packets discarded, as a share of those expected.
    pub fn discard_rate(&self) -> f64 {
        share(self.discarded, self.expected)
    }

    /// How much more losses cluster than random ones of the same rate would: 1 is random (ITU-T G.107
    /// §7.5, BurstR).
    pub fn burst_ratio(&self) -> f64 {
        let missing = self.lost + self.discarded;
        let rate = share(missing, self.expected);
        if self.runs == 0 || rate >= 1.0 {
            return 1.0;
        }
        // Random losses of rate p come in runs of 1 / (1 - p).
        share(missing, self.runs) * (1.0 - rate)
    }
}

impl Periods {
    /// Packets lost or discarded, as a share of those in the periods.
    pub fn density(&self) -> f64 {
        share(self.missing, self.packets)
    }

    /// Mean duration for packets of `packet_ms`, ms.
    pub fn mean_duration_ms(&self, packet_ms: f64) -> f64 {
        share(self.packets, self.count) * packet_ms
    }
}

/// A share as eight bits, as reports have it: 256 times, at most 255 (RFC 3611 §4.7.1).
pub fn in_256ths(share: f64) -> u8 {
    (share * 256.0) as u8
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
