//! Which gateways this node hears of, for the others: told when something changes, at most once a
//! second for each, and taken back when a gateway has been silent for its lease. Time comes in, what
//! is to be written comes out.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::rows::Vouch;

/// The gateways that are heard here.
#[derive(Debug, Default)]
pub(super) struct Vouching {
    heard: HashMap<String, Heard>,
    /// When there is something to be told of whom.
    deadlines: BTreeSet<(Instant, String)>,
}

#[derive(Debug)]
struct Heard {
    vouch: Vouch,
    since: Instant,
    until: Instant,
    /// What the others were told last, and when.
    told: Option<(Vouch, Instant)>,
}

/// What is to be written for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// A gateway is heard, and says this.
    Vouch(String, Vouch),
    /// It is heard no more.
    Gone(String),
}

/// A gateway's free circuits may change with every call; the others are not told more often.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Vouching {
    /// A gateway has spoken.
    pub(super) fn heard(&mut self, now: Instant, name: String, vouch: Vouch, lease: Duration) {
        let told = self.take(&name).and_then(|before| before.told);
        self.put(name, Heard { vouch, since: now, until: now + lease, told });
    }

    /// A gateway has left.
    pub(super) fn left(&mut self, now: Instant, name: &str) {
        if let Some(heard) = self.take(name) {
            self.put(name.to_owned(), Heard { until: now, ..heard });
        }
    }

    /// What the others were told is lost: all is to be told anew.
    pub(super) fn untold(&mut self) {
        self.deadlines.clear();
        for (name, heard) in &mut self.heard {
            heard.told = None;
            self.deadlines.insert((heard.deadline(), name.clone()));
        }
    }

    /// The next that is to be told; to be asked until there is nothing.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Tell> {
        while self.next_deadline()? <= now {
            let (_, name) = self.deadlines.pop_first()?;
            let heard = self.heard.remove(&name)?;
            if heard.until > now {
                let vouch = heard.vouch.clone();
                self.put(name.clone(), Heard { told: Some((vouch.clone(), now)), ..heard });
                return Some(Tell::Vouch(name, vouch));
            }
            if heard.told.is_some() {
                return Some(Tell::Gone(name));
            }
        }
        None
    }

    /// When there is something to be told.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    fn take(&mut self, name: &str) -> Option<Heard> {
        let heard = self.heard.remove(name)?;
        self.deadlines.remove(&(heard.deadline(), name.to_owned()));
        Some(heard)
    }

    fn put(&mut self, name: String, heard: Heard) {
        self.deadlines.insert((heard.deadline(), name.clone()));
        self.heard.insert(name, heard);
    }
}

impl Heard {
    fn deadline(&self) -> Instant {
        let due = match &self.told {
            None => self.since,
            Some((told, at)) if *told != self.vouch => *at + TELL_EVERY,
            Some(_) => self.until,
        };
        due.min(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{GroupReport, LeaseId, Report};

    fn vouch(free: u32) -> Vouch {
        let groups = vec![GroupReport { free, alarmed: false }];
        Vouch::new(LeaseId(1), &Report { groups, ..Report::default() })
    }

    #[test]
    fn changes_are_told_once_a_second_and_silence_at_once() {
        let mut vouching = Vouching::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let lease = Duration::from_secs(6);
        vouching.heard(at(0), "a".into(), vouch(30), lease);
        assert_eq!(vouching.poll(at(0)), Some(Tell::Vouch("a".into(), vouch(30))));
        assert_eq!(vouching.poll(at(0)), None);
        vouching.heard(at(100), "a".into(), vouch(29), lease);
        vouching.heard(at(200), "a".into(), vouch(28), lease);
        assert_eq!((vouching.poll(at(999)), vouching.next_deadline()), (None, Some(at(1_000))));
        assert_eq!(vouching.poll(at(1_000)), Some(Tell::Vouch("a".into(), vouch(28))));
        vouching.heard(at(2_000), "a".into(), vouch(28), lease);
        assert_eq!((vouching.poll(at(7_999)), vouching.next_deadline()), (None, Some(at(8_000))));
        vouching.untold();
        assert_eq!(vouching.poll(at(7_999)), Some(Tell::Vouch("a".into(), vouch(28))));
        assert_eq!(vouching.poll(at(8_000)), Some(Tell::Gone("a".into())));
        assert_eq!((vouching.poll(at(9_000)), vouching.next_deadline()), (None, None));
    }

    #[test]
    fn who_leaves_before_anybody_was_told_needs_no_word() {
        let mut vouching = Vouching::default();
        let now = Instant::now();
        vouching.heard(now, "a".into(), vouch(1), Duration::from_secs(6));
        vouching.left(now, "a");
        assert_eq!((vouching.poll(now), vouching.next_deadline()), (None, None));
    }
}
