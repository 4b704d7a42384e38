//! What a telephone does in a call: rings, is answered, keys digits, hangs up. Pure: time comes
//! in, deeds come out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::configuration::{TelephoneEntry, WhenCalled};

/// What the telephone does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It rings: the caller is to hear the ring-back tone.
    Ring,
    /// It is answered.
    Answer,
    /// Digits are keyed.
    Key(String),
    /// The call is ended or refused, with a Q.850 cause.
    HangUp(u8),
}

/// A telephone in one call.
#[derive(Debug)]
pub struct Telephone {
    hang_up_after: Option<Duration>,
    keys: Option<(Duration, String)>,
    due: Vec<(Instant, Deed)>,
    deeds: VecDeque<Deed>,
}

impl Telephone {
    /// A telephone that is being called.
    pub fn called(now: Instant, entry: &TelephoneEntry) -> Self {
        let mut telephone = Self::idle(entry);
        match entry.when_called {
            WhenCalled::AnswerAfterMs(ms) => {
                telephone.deeds.push_back(Deed::Ring);
                telephone.due.push((now + Duration::from_millis(ms), Deed::Answer));
            }
            WhenCalled::RingOnly => telephone.deeds.push_back(Deed::Ring),
            // Q.850: 17, user busy.
            WhenCalled::Busy => telephone.deeds.push_back(Deed::HangUp(17)),
            WhenCalled::RefuseWithCause(cause) => telephone.deeds.push_back(Deed::HangUp(cause)),
        }
        telephone
    }

    /// A telephone that calls; [`Telephone::answered`] tells it when the other one answers.
    pub fn calling(entry: &TelephoneEntry) -> Self {
        Self::idle(entry)
    }

    fn idle(entry: &TelephoneEntry) -> Self {
        Self {
            hang_up_after: entry.hang_up_after_ms.map(Duration::from_millis),
            keys: entry
                .keys
                .as_ref()
                .map(|keys| (Duration::from_millis(keys.after_ms), keys.digits.clone())),
            due: Vec::new(),
            deeds: VecDeque::new(),
        }
    }

    /// The call is answered, by either side.
    pub fn answered(&mut self, now: Instant) {
        if let Some(after) = self.hang_up_after {
            // Q.850: 16, normal call clearing.
            self.due.push((now + after, Deed::HangUp(16)));
        }
        if let Some((after, digits)) = self.keys.take() {
            self.due.push((now + after, Deed::Key(digits)));
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        self.due.sort_by_key(|(at, _)| *at);
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            self.deeds.push_back(self.due.remove(0).1);
        }
    }

    /// When [`Telephone::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// The next deed.
    pub fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::super::configuration::Keys;
    use super::*;

    fn entry(when_called: WhenCalled) -> TelephoneEntry {
        TelephoneEntry {
            number: "03-3333-1234".into(),
            network: "A".into(),
            when_called,
            speak: None,
            record: true,
            hang_up_after_ms: Some(9_000),
            keys: Some(Keys { after_ms: 2_000, digits: "12#".into() }),
        }
    }

    #[test]
    fn it_rings_is_answered_keys_and_hangs_up() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut telephone = Telephone::called(t0, &entry(WhenCalled::AnswerAfterMs(1_000)));
        assert_eq!(telephone.poll_deed(), Some(Deed::Ring));
        telephone.timeout(at(999));
        assert_eq!(telephone.poll_deed(), None);
        telephone.timeout(at(1_000));
        assert_eq!(telephone.poll_deed(), Some(Deed::Answer));
        telephone.answered(at(1_000));
        assert_eq!(telephone.next_deadline(), Some(at(3_000)));
        telephone.timeout(at(10_000));
        assert_eq!(telephone.poll_deed(), Some(Deed::Key("12#".into())));
        assert_eq!(telephone.poll_deed(), Some(Deed::HangUp(16)));
        assert_eq!(telephone.next_deadline(), None);
    }

    #[test]
    fn a_busy_telephone_does_not_ring() {
        let mut telephone = Telephone::called(Instant::now(), &entry(WhenCalled::Busy));
        assert_eq!(telephone.poll_deed(), Some(Deed::HangUp(17)));
        assert_eq!(telephone.poll_deed(), None);
    }
}
