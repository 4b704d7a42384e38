//! What a receiver knows of one source: which packets are valid, lost, late or twice there, and how
//! they jitter (RFC 3550 §6.4.1, Appendix A.1, A.3, A.8).
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::ntp::{self, NtpTime};
use crate::packet::{SequenceNumber, Timestamp};
use crate::rtcp::ReportBlock;

/// A forward jump of this many packets or more is no loss but a restart (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3_000;
/// A packet this far behind is late; further behind it is a restart (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;
/// `RTP_SEQ_MOD + 1`: no sequence number equals it.
const NO_SEQUENCE: u32 = (1 << 16) + 1;
/// A transit step longer than this is a new time base, not jitter.
const TIME_BASE_STEP_S: u32 = 10;

/// Sequence, loss and jitter bookkeeping for one synchronisation source.
#[derive(Debug, Clone)]
pub struct Reception {
    clock_hz: u32,
    minimum_sequential: u8,
    probation: u8,
    started: bool,
    max: SequenceNumber,
    cycles: u32,
    base: u32,
    bad: u32,
    /// Bit `n` says that packet `max - n` arrived.
    seen: u64,
    received: u32,
    expected_prior: u32,
    received_prior: u32,
    totals: Totals,
    epoch: Option<Instant>,
    transit: Option<u32>,
    /// Sixteen times the jitter, RTP clock steps.
    jitter_x16: u32,
    last_report: Option<(u32, Instant)>,
}

/// What is kept over restarts of the source.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    expected: u64,
    received: u64,
    duplicates: u64,
    reordered: u64,
    restarts: u32,
    refused: u64,
}

/// What a packet turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The newest so far; `missing` packets before it have not come (yet).
    InOrder {
        /// Sequence number with the wraps counted in.
        extended: u32,
        /// Packets between the newest before and this one.
        missing: u16,
    },
    /// Older than the newest, and not seen before.
    Reordered {
        /// Sequence number with the wraps counted in.
        extended: u32,
    },
    /// Here already: do not play it again.
    Duplicate,
    /// The source began a new numbering: what was before does not matter any more.
    Restarted {
        /// Sequence number, wraps counted from here.
        extended: u32,
    },
    /// The source has not sent enough packets in a row yet: do not play it.
    Probation,
    /// A wild jump, to be believed only if the next packet follows on: do not play it.
    Jump,
}

/// Figures of a whole leg, for its record and the scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceptionStatistics {
    /// Valid packets, duplicates included.
    pub received: u64,
    /// Expected minus received, never below zero.
    pub lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after a newer one.
    pub reordered: u64,
    /// Times the source began a new numbering.
    pub restarts: u32,
    /// Packets in probation or after a wild jump.
    pub refused: u64,
    /// Interarrival jitter, µs.
    pub jitter_us: u32,
}

impl Reception {
    /// A source whose timestamps count at `clock_hz` and that must send `minimum_sequential` packets in
    /// a row first (RFC 3550 uses 2; 1 or 0 where another check has vetted the source).
    pub fn new(clock_hz: u32, minimum_sequential: u8) -> Self {
        Self {
            clock_hz: clock_hz.max(1),
            minimum_sequential,
            probation: minimum_sequential,
            started: false,
            max: SequenceNumber(0),
            cycles: 0,
            base: 0,
            bad: NO_SEQUENCE,
            seen: 0,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            totals: Totals::default(),
            epoch: None,
            transit: None,
            jitter_x16: 0,
            last_report: None,
        }
    }

    /// Takes note of a packet. `timestamp` is none for packets whose timestamp does not tell when they
    /// were sent, as telephone-events (RFC 4733 §2.5.1.2): they count, but say nothing about jitter.
    pub fn packet_arrived(
        &mut self,
        sequence: SequenceNumber,
        timestamp: Option<Timestamp>,
        now: Instant,
    ) -> Arrival {
        let arrival = self.place(sequence);
        match arrival {
            Arrival::InOrder { .. } | Arrival::Reordered { .. } | Arrival::Restarted { .. } => {
                if let Some(timestamp) = timestamp {
                    self.measure_jitter(timestamp, now);
                }
            }
            Arrival::Duplicate => self.totals.duplicates += 1,
            Arrival::Probation | Arrival::Jump => self.totals.refused += 1,
        }
        arrival
    }

    /// Takes note of packets that arrived without being seen one by one, the newest of them
    /// `newest`; of their jitter nothing is known. The arrival of the newest; `missing` are those
    /// before it that did not come.
    pub fn packets_arrived_unseen(&mut self, packets: u32, newest: SequenceNumber) -> Arrival {
        let step = newest.0.wrapping_sub(self.max.0);
        if packets == 0 || self.probation > 0 || !self.started {
            return Arrival::Duplicate;
        }
        self.received = self.received.wrapping_add(packets);
        if step != 0 && step < MAX_DROPOUT {
            if newest.0 < self.max.0 {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.max = newest;
            // Which of them are missing is not known: one that is seen yet is believed.
            self.seen = self.seen.checked_shl(u32::from(step)).unwrap_or(0) | 1;
            let missing = u32::from(step).saturating_sub(packets) as u16;
            return Arrival::InOrder { extended: self.extended_max(), missing };
        }
        Arrival::Reordered { extended: self.extended_max() }
    }

    /// RFC 3550 A.1, `update_seq`, with a memory of the last 64 packets to know duplicates.
    fn place(&mut self, sequence: SequenceNumber) -> Arrival {
        if !self.started {
            self.started = true;
            self.probation = self.minimum_sequential;
            self.max = SequenceNumber(sequence.0.wrapping_sub(1));
            if self.probation <= 1 {
                return self.begin(sequence);
            }
        }
        if self.probation > 0 {
            if sequence == self.max.next() {
                self.max = sequence;
                self.probation -= 1;
                if self.probation == 0 {
                    return self.begin(sequence);
                }
            } else {
                self.probation = self.minimum_sequential - 1;
                self.max = sequence;
            }
            return Arrival::Probation;
        }
        let step = sequence.0.wrapping_sub(self.max.0);
        if step == 0 {
            self.received += 1;
            Arrival::Duplicate
        } else if step < MAX_DROPOUT {
            if sequence.0 < self.max.0 {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.max = sequence;
            self.seen = self.seen.checked_shl(u32::from(step)).unwrap_or(0) | 1;
            self.received += 1;
            Arrival::InOrder { extended: self.extended_max(), missing: step - 1 }
        } else if step <= 0u16.wrapping_sub(MAX_MISORDER) {
            if u32::from(sequence.0) != self.bad {
                self.bad = u32::from(sequence.0.wrapping_add(1));
                return Arrival::Jump;
            }
            // Two in a row: the other side restarted without telling.
            self.totals.expected += u64::from(self.expected());
            self.totals.received += u64::from(self.received);
            self.totals.restarts += 1;
            self.transit = None;
            self.begin(sequence);
            Arrival::Restarted { extended: self.extended_max() }
        } else {
            self.received += 1;
            let back = u32::from(self.max.0.wrapping_sub(sequence.0));
            if let Some(bit) = 1_u64.checked_shl(back) {
                if self.seen & bit != 0 {
                    return Arrival::Duplicate;
                }
                self.seen |= bit;
            }
            self.totals.reordered += 1;
            Arrival::Reordered { extended: self.extended_max().wrapping_sub(back) }
        }
    }

    /// RFC 3550 A.1, `init_seq`, and the first valid packet.
    fn begin(&mut self, sequence: SequenceNumber) -> Arrival {
        self.probation = 0;
        self.base = u32::from(sequence.0);
        self.max = sequence;
        self.bad = NO_SEQUENCE;
        self.cycles = 0;
        self.seen = 1;
        self.received = 1;
        self.received_prior = 0;
        self.expected_prior = 0;
        Arrival::InOrder { extended: self.extended_max(), missing: 0 }
    }

    /// RFC 3550 A.8.
    fn measure_jitter(&mut self, timestamp: Timestamp, now: Instant) {
        let since = now.saturating_duration_since(*self.epoch.get_or_insert(now));
        let part = u64::from(since.subsec_nanos()) * u64::from(self.clock_hz) / 1_000_000_000;
        let arrival =
            (since.as_secs().wrapping_mul(u64::from(self.clock_hz)).wrapping_add(part)) as u32;
        let transit = arrival.wrapping_sub(timestamp.0);
        if let Some(before) = self.transit.replace(transit) {
            let step = (transit.wrapping_sub(before) as i32).unsigned_abs();
            if step < self.clock_hz.saturating_mul(TIME_BASE_STEP_S) {
                let shrink = self.jitter_x16.saturating_add(8) >> 4;
                self.jitter_x16 = self.jitter_x16.saturating_add(step) - shrink;
            }
        }
    }

    /// Takes note of a sender report of this source, for LSR, DLSR.
    pub fn sender_report_arrived(&mut self, ntp: NtpTime, now: Instant) {
        self.last_report = Some((ntp.middle(), now));
    }

    /// The report block about this source, `ssrc`, since the block before (RFC 3550 §6.4.1, A.3).
    /// None while no packet is valid yet.
    pub fn report(&mut self, ssrc: u32, now: Instant) -> Option<ReportBlock> {
        if !self.is_valid() {
            return None;
        }
        let expected = self.expected();
        let expected_interval = expected.wrapping_sub(self.expected_prior);
        let received_interval = self.received.wrapping_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_interval = i64::from(expected_interval) - i64::from(received_interval);
        let fraction_lost = if expected_interval == 0 || lost_interval <= 0 {
            0
        } else {
            ((lost_interval << 8) / i64::from(expected_interval)).min(255) as u8
        };
        let lost = i64::from(expected) - i64::from(self.received);
        let (last_sr, delay_since_last_sr) = match self.last_report {
            Some((ntp, at)) => (ntp, ntp::to_short(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.extended_max(),
            jitter: self.jitter_x16 >> 4,
            last_sr,
            delay_since_last_sr,
        })
    }

    /// Whether enough packets in a row made this a valid source.
    pub fn is_valid(&self) -> bool {
        self.started && self.probation == 0
    }

    /// Interarrival jitter.
    pub fn jitter(&self) -> Duration {
        let nanos = u64::from(self.jitter_x16 >> 4) * 1_000_000_000 / u64::from(self.clock_hz);
        Duration::from_nanos(nanos)
    }

    /// The figures since the beginning, restarts included.
    pub fn statistics(&self) -> ReceptionStatistics {
        let valid = self.is_valid();
        let received = self.totals.received + if valid { u64::from(self.received) } else { 0 };
        let expected = self.totals.expected + if valid { u64::from(self.expected()) } else { 0 };
        ReceptionStatistics {
            received,
            lost: expected.saturating_sub(received),
            duplicates: self.totals.duplicates,
            reordered: self.totals.reordered,
            restarts: self.totals.restarts,
            refused: self.totals.refused,
            jitter_us: u32::try_from(self.jitter().as_micros()).unwrap_or(u32::MAX),
        }
    }

    fn extended_max(&self) -> u32 {
        self.cycles.wrapping_add(u32::from(self.max.0))
    }

    fn expected(&self) -> u32 {
        self.extended_max().wrapping_sub(self.base).wrapping_add(1)
    }
}

#[cfg(test)]
mod tests;
