//! Limit of answers to one network: a token bucket each, in a table of fixed size.
//!
//! A forged source makes a server send answers to a victim. Above the rate every second answer
//! is only the sign to ask over TCP, which a forger cannot do and an honest client can; the
//! other is left out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

/// The buckets of one UDP thread.
#[derive(Debug)]
pub struct ResponseRate {
    per_second: f32,
    burst: f32,
    slots: Box<[Slot]>,
    hash: RandomState,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send only the question with TC.
    Truncate,
    /// Send nothing.
    Drop,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    network: u64,
    tokens: f32,
    filled_at: Option<Instant>,
    slips: bool,
}

impl ResponseRate {
    /// Buckets that gain `per_second` answers a second and hold `burst`. None for no limit.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let empty = Slot { network: 0, tokens: 0.0, filled_at: None, slips: false };
        (per_second > 0).then(|| Self {
            per_second: per_second as f32,
            burst: burst.max(1) as f32,
            slots: vec![empty; SETS * WAYS].into_boxed_slice(),
            hash: RandomState::new(),
        })
    }

    /// Takes a token of the source's network.
    pub fn check(&mut self, source: IpAddr, now: Instant) -> Verdict {
        let network = network(source);
        let set = (self.hash.hash_one(network) as usize % SETS) * WAYS;
        let ways = &mut self.slots[set..set + WAYS];
        let known =
            ways.iter().position(|slot| slot.filled_at.is_some() && slot.network == network);
        let way = known.unwrap_or_else(|| {
            // The bucket longest untouched is the fullest, so losing it changes least.
            let oldest = (0..WAYS).min_by_key(|&way| ways[way].filled_at).unwrap_or(0);
            ways[oldest] = Slot { network, tokens: self.burst, filled_at: Some(now), slips: false };
            oldest
        });
        let slot = &mut ways[way];
        let since =
            slot.filled_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f32());
        slot.tokens = (slot.tokens + since * self.per_second).min(self.burst);
        slot.filled_at = Some(now);
        if slot.tokens >= 1.0 {
            slot.tokens -= 1.0;
            return Verdict::Send;
        }
        slot.slips = !slot.slips;
        if slot.slips { Verdict::Truncate } else { Verdict::Drop }
    }
}

const SETS: usize = 1024;
const WAYS: usize = 4;

/// A forger who aims at a network may use all its addresses, so they share a bucket.
fn network(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => (address.to_bits() >> 72) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn above_the_rate_every_second_answer_sends_the_client_to_tcp() {
        let mut rate = ResponseRate::new(10, 3).unwrap();
        let start = Instant::now();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let neighbour: IpAddr = "192.0.2.99".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(rate.check(source, start), Verdict::Send);
        }
        assert_eq!(rate.check(source, start), Verdict::Truncate);
        assert_eq!(rate.check(neighbour, start), Verdict::Drop);
        assert_eq!(rate.check("198.51.100.1".parse().unwrap(), start), Verdict::Send);
        // A tenth of a second later there is one token more.
        let later = start + Duration::from_millis(101);
        assert_eq!(rate.check(source, later), Verdict::Send);
        assert_ne!(rate.check(source, later), Verdict::Send);
    }

    #[test]
    fn a_flood_of_sources_takes_no_more_memory_and_hides_no_busy_network() {
        let mut rate = ResponseRate::new(1, 5).unwrap();
        let start = Instant::now();
        let size = rate.slots.len();
        let busy: IpAddr = "203.0.113.7".parse().unwrap();
        let mut sent = 0;
        for index in 0..100_000_u32 {
            let now = start + Duration::from_micros(u64::from(index));
            rate.check(IpAddr::from((index << 8).to_be_bytes()), now);
            if index % 10 == 0 && rate.check(busy, now) == Verdict::Send {
                sent += 1;
            }
        }
        assert_eq!(rate.slots.len(), size);
        assert!(sent <= 6, "{sent}");
    }

    #[test]
    fn ipv6_hosts_of_one_site_share_a_bucket() {
        let mut rate = ResponseRate::new(1, 1).unwrap();
        let now = Instant::now();
        assert_eq!(rate.check("2001:db8:0:1::1".parse().unwrap(), now), Verdict::Send);
        assert_ne!(rate.check("2001:db8:0:2::1".parse().unwrap(), now), Verdict::Send);
        assert_eq!(rate.check("2001:db9::1".parse().unwrap(), now), Verdict::Send);
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(ResponseRate::new(0, 10).is_none());
    }
}
