//! How many calls a relay carries: the most at which nothing is lost and latency stays bounded.

use super::measure::{self, CompareError, Plan, Point};
use super::network::Network;
use super::peer::Peer;
use crate::load::report::Report;

/// Packets a second of each party.
const RATE: f64 = 50.0;
/// Where the search begins.
const FIRST_CALLS: usize = 200;
/// A relay with a longer 99th percentile is not keeping up, even if its queues lose nothing yet.
pub const LATENCY_P99_MAX_US: f64 = 20_000.0;
/// A flooder with a longer one does not send what it says.
const FLOODER_LATE_P99_MAX_US: f64 = 5_000.0;

/// What a relay carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    /// Which relay.
    pub peer: Peer,
    /// The most calls that went well, and the latency then (99th percentile, µs); none if not even
    /// the first.
    pub carried: Option<(usize, f64)>,
    /// The fewest calls that did not, and why; none if the search ended before.
    pub refused: Option<(usize, String)>,
}

/// Searches the capacity of each relay of the plan, one after the other.
pub fn search(plan: &Plan, network: &Network, tell: &dyn Fn(&str)) -> Vec<Capacity> {
    let each = plan.peers.iter().map(|&peer| {
        let mut found = Capacity { peer, carried: None, refused: None };
        let mut search = Search::default();
        while let Some(calls) = search.next() {
            let outcome = attempt(plan, network, peer, calls);
            tell(&match &outcome {
                Ok(p99_us) => format!("{}: {calls} calls carried, p99 {p99_us:.0} us", peer.name()),
                Err(refusal) => format!("{}: {calls} calls not carried: {refusal}", peer.name()),
            });
            search.enter(calls, outcome.is_ok());
            match outcome {
                Ok(p99_us) => found.carried = Some((calls, p99_us)),
                Err(refusal) => {
                    found.refused = Some((calls, refusal.to_string()));
                    // A relay that does not start will not with fewer calls either.
                    if matches!(refusal, Refusal::NotRun(_)) && found.carried.is_none() {
                        break;
                    }
                }
            }
        }
        found
    });
    each.collect()
}

/// Why a number of calls is not carried.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    NotRun(#[from] CompareError),
    #[error("the flooder could not keep time (p99 {0:.0} us late)")]
    FlooderLate(f64),
    #[error("{0:.2} % lost")]
    Lost(f64),
    #[error("{0} packets doubled or changed")]
    Faults(u64),
    #[error("latency p99 {0:.0} us")]
    Latency(f64),
}

/// The latency if so many calls are carried in one of two runs: other work can spoil one.
fn attempt(plan: &Plan, network: &Network, peer: Peer, calls: usize) -> Result<f64, Refusal> {
    let point = Point { calls, rate: RATE };
    let run = || judge(&measure::relay(plan, network, &point, peer)?);
    match run() {
        Err(Refusal::NotRun(error)) => Err(Refusal::NotRun(error)),
        outcome => outcome.or_else(|_| run()),
    }
}

/// The latency of a run that went well, or why it did not. Packets out of order are no reason: a
/// relay of several threads has some, and they are in the table.
fn judge(report: &Report) -> Result<f64, Refusal> {
    let late_us = report.lateness.map_or(0.0, |times| times.p99_us);
    let p99_us = report.latency.map_or(f64::INFINITY, |times| times.p99_us);
    let counts = &report.counts;
    let faults = counts.faults() - counts.reordered;
    if late_us > FLOODER_LATE_P99_MAX_US {
        Err(Refusal::FlooderLate(late_us))
    } else if counts.lost > 0 {
        Err(Refusal::Lost(counts.lost as f64 / report.sent as f64 * 100.0))
    } else if faults > 0 {
        Err(Refusal::Faults(faults))
    } else if p99_us > LATENCY_P99_MAX_US {
        Err(Refusal::Latency(p99_us))
    } else {
        Ok(p99_us)
    }
}

/// Growth by half until a number is too high, then halving, to a twentieth.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    good: usize,
    bad: Option<usize>,
}

impl Search {
    /// What to try next; none when the answer is near enough.
    fn next(&self) -> Option<usize> {
        match self.bad {
            None if self.good == 0 => Some(FIRST_CALLS),
            None => Some(self.good + self.good / 2),
            Some(bad) if bad - self.good <= (bad / 20).max(1) => None,
            Some(bad) => Some(usize::midpoint(self.good, bad)),
        }
    }

    fn enter(&mut self, calls: usize, went_well: bool) {
        if went_well {
            self.good = calls;
        } else {
            self.bad = Some(calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::report;
    use super::*;

    /// The answer of the search, and after how many tries, if `limit` is the truth.
    fn found(limit: usize) -> (usize, usize) {
        let mut search = Search::default();
        let mut tries = 0;
        while let Some(calls) = search.next() {
            search.enter(calls, calls <= limit);
            tries += 1;
        }
        (search.good, tries)
    }

    #[test]
    fn the_search_comes_within_a_twentieth_in_few_tries() {
        for limit in [60, 199, 200, 777, 1500, 9000] {
            let (good, tries) = found(limit);
            assert!(good <= limit && good + limit / 19 + 1 >= limit, "{limit}: {good}");
            assert!(tries <= 18, "{limit}: {tries}");
        }
    }

    #[test]
    fn a_relay_that_carries_nothing_ends_the_search() {
        assert_eq!(found(0).0, 0);
    }

    #[test]
    fn loss_delay_faults_and_a_late_flooder_are_told_apart() {
        let good = report(10, 5);
        let refusal = |report: &Report| judge(report).unwrap_err().to_string();
        assert_eq!(judge(&good).unwrap(), 100.0);

        let mut lossy = good.clone();
        lossy.counts.lost = 10;
        assert_eq!(refusal(&lossy), "1.00 % lost");

        let mut slow = good.clone();
        slow.latency.as_mut().unwrap().p99_us = 30_000.0;
        assert_eq!(refusal(&slow), "latency p99 30000 us");

        let mut doubling = good.clone();
        doubling.counts.reordered = 5;
        assert!(judge(&doubling).is_ok());
        doubling.counts.doubled = 2;
        assert_eq!(refusal(&doubling), "2 packets doubled or changed");

        let mut late = lossy;
        late.lateness.as_mut().unwrap().p99_us = 9_000.0;
        assert!(refusal(&late).starts_with("the flooder"));
    }
}
