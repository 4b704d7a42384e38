//! How many packets the source of a leg may send: what is over is dropped before it costs anything.
//!
//! A source may send [`PacketAllowance::times`] the packets that its packet time makes, and what it
//! has not used of that for [`PacketAllowance::burst`] at once: a network that stood still delivers
//! what has piled up. Only packets that are the source's count; nobody else can use its allowance up.

use std::time::{Duration, Instant};

use super::Channel;
use crate::config::PacketAllowance;

/// Voice comes in packets of so much at the most; many peers send them whatever was asked for.
const PACKET_MS_MAX: u16 = 20;

/// RTCP: 20 packets a second. RFC 3550 §6.2 asks for at least some seconds between reports, feedback
/// (RFC 4585) may come more often.
const REPORT_TIME: Duration = Duration::from_millis(50);

/// The allowances of a leg.
#[derive(Debug)]
pub(super) struct Allowances {
    policy: Option<PacketAllowance>,
    rtp: Bucket,
    rtcp: Bucket,
    over: u64,
}

impl Allowances {
    pub(super) fn new(policy: Option<PacketAllowance>, ptime_ms: u16, now: Instant) -> Self {
        let bucket = |time| Bucket { time, paid_until: now };
        let rtp = bucket(Duration::ZERO);
        let mut allowances = Self { policy, rtp, rtcp: bucket(REPORT_TIME), over: 0 };
        allowances.expect(ptime_ms);
        allowances
    }

    /// The packet time that was agreed on.
    pub(super) fn expect(&mut self, ptime_ms: u16) {
        let packet = Duration::from_millis(ptime_ms.min(PACKET_MS_MAX).into());
        self.rtp.time = packet / self.policy.map_or(1, |policy| policy.times.max(1));
    }

    /// Whether the next packet is one too many; counted if so.
    pub(super) fn is_spent(&mut self, channel: Channel, now: Instant) -> bool {
        let Some(policy) = self.policy else { return false };
        let is_spent = self.bucket(channel).is_spent(policy.burst, now);
        self.over += u64::from(is_spent);
        is_spent
    }

    /// A packet of the source has come.
    pub(super) fn spend(&mut self, channel: Channel, now: Instant) {
        self.bucket(channel).spend(now);
    }

    /// So many packets of the source have come where nobody looked; whether the next is one too many.
    pub(super) fn spend_unseen(&mut self, packets: u64, now: Instant) -> bool {
        let Some(policy) = self.policy else { return false };
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        // They have passed; what comes next is not made to pay for more than a burst.
        let paid_until = self.rtp.paid_until.max(now) + self.rtp.time.saturating_mul(packets);
        self.rtp.paid_until = paid_until.min(now + policy.burst);
        self.rtp.is_spent(policy.burst, now)
    }

    /// Packets that were one too many.
    pub(super) fn over(&self) -> u64 {
        self.over
    }

    fn bucket(&mut self, channel: Channel) -> &mut Bucket {
        match channel {
            Channel::Rtp => &mut self.rtp,
            Channel::Rtcp => &mut self.rtcp,
        }
    }
}

/// A token bucket, kept as the time until which the packets so far have used it up.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// What a packet uses up.
    time: Duration,
    paid_until: Instant,
}

impl Bucket {
    fn is_spent(&self, burst: Duration, now: Instant) -> bool {
        self.paid_until.saturating_duration_since(now) + self.time > burst
    }

    fn spend(&mut self, now: Instant) {
        self.paid_until = self.paid_until.max(now) + self.time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowances(now: Instant, ptime_ms: u16) -> Allowances {
        Allowances::new(Some(PacketAllowance::default()), ptime_ms, now)
    }

    /// How many of `each_ms` packets a millisecond pass in so many.
    fn passed(allowances: &mut Allowances, from: Instant, for_ms: u64, each_ms: u32) -> u32 {
        let mut passed = 0;
        for ms in 0..for_ms {
            let now = from + Duration::from_millis(ms);
            for _ in 0..each_ms {
                if !allowances.is_spent(Channel::Rtp, now) {
                    allowances.spend(Channel::Rtp, now);
                    passed += 1;
                }
            }
        }
        passed
    }

    #[test]
    fn four_times_the_packets_of_the_packet_time_pass_for_ever() {
        let start = Instant::now();
        for (ptime_ms, a_second) in [(20, 200), (10, 400), (60, 200)] {
            let mut allowances = allowances(start, ptime_ms);
            for packet in 0..10 * a_second {
                let now = start + Duration::from_secs(1) * packet / a_second;
                assert!(!allowances.is_spent(Channel::Rtp, now), "{ptime_ms} ms, packet {packet}");
                allowances.spend(Channel::Rtp, now);
            }
        }
    }

    #[test]
    fn a_flood_gets_what_was_saved_up_and_then_its_rate() {
        let start = Instant::now();
        let mut allowances = allowances(start, 20);
        // 2,000 a second for two seconds: a second's worth at once, then 200 a second.
        let passed = passed(&mut allowances, start, 2_000, 2);
        assert!((598..=600).contains(&passed), "{passed}");
        assert_eq!(allowances.over(), u64::from(4_000 - passed));
    }

    #[test]
    fn what_has_piled_up_in_a_stall_comes_in_at_once() {
        let start = Instant::now();
        let mut allowances = allowances(start, 20);
        passed(&mut allowances, start, 1_000, 4);
        // After two seconds of silence: four seconds of voice.
        let later = start + Duration::from_secs(3);
        assert_eq!(passed(&mut allowances, later, 1, 250), 200);
    }

    #[test]
    fn reports_have_an_allowance_of_their_own_and_none_is_unlimited() {
        let start = Instant::now();
        let mut limited = allowances(start, 20);
        passed(&mut limited, start, 1, 1_000);
        for _ in 0..20 {
            assert!(!limited.is_spent(Channel::Rtcp, start));
            limited.spend(Channel::Rtcp, start);
        }
        assert!(limited.is_spent(Channel::Rtcp, start));
        let mut unlimited = Allowances::new(None, 20, start);
        assert_eq!(passed(&mut unlimited, start, 1, 10_000), 10_000);
    }
}
