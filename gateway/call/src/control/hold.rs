//! Hold between two packet legs: which ways the one party wants sound to go is told to the other.
//!
//! The party that holds is answered at once, whatever the other says to it: each leg is a session of
//! its own (RFC 7092 §3.2), and a peer that takes no re-INVITE cannot keep the other from holding.

use std::time::{Duration, Instant};

/// Which ways a party wants sound to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// It speaks.
    pub speaks: bool,
    /// It listens.
    pub listens: bool,
}

impl Default for Wish {
    /// A conversation.
    fn default() -> Self {
        Self { speaks: true, listens: true }
    }
}

/// A party whose offers meet ours so often is left alone until something else is wished.
const CLASHES_MAX: u8 = 5;

/// What the party on a leg was told of the other's wish.
#[derive(Debug, Default)]
pub(super) struct Telling {
    wished: Wish,
    told: Wish,
    state: State,
    clashes: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Quiet,
    /// An offer is out.
    Offered(Wish),
    /// Ours met one of theirs; there is another try then.
    Waiting(Instant),
}

impl Telling {
    /// What the other party wishes now.
    pub fn wished(&self) -> Wish {
        self.wished
    }

    /// The other party wishes something. Gives what to offer at once, as all below do.
    pub fn wish(&mut self, wish: Wish) -> Option<Wish> {
        self.wished = wish;
        self.clashes = 0;
        self.next()
    }

    /// The party has made an offer itself: the answer to it has told the other's wish.
    pub fn answered(&mut self) {
        self.told = self.wished;
        if matches!(self.state, State::Waiting(_)) {
            self.state = State::Quiet;
        }
    }

    /// Our offer was accepted.
    pub fn accepted(&mut self) -> Option<Wish> {
        let State::Offered(wish) = self.state else { return None };
        self.state = State::Quiet;
        self.told = wish;
        self.clashes = 0;
        self.next()
    }

    /// Our offer was refused: for good, or it met one of theirs and may be made again `after` that.
    pub fn refused(&mut self, now: Instant, after: Option<Duration>) -> Option<Wish> {
        let State::Offered(wish) = self.state else { return None };
        if let Some(after) = after
            && self.clashes < CLASHES_MAX
        {
            self.clashes += 1;
            self.state = State::Waiting(now + after);
            return None;
        }
        // RFC 3261 §14.1: the session stays as it was, and the same is not asked for again.
        self.state = State::Quiet;
        self.told = wish;
        self.next()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) -> Option<Wish> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.state = State::Quiet;
        }
        self.next()
    }

    /// When there is another try.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            _ => None,
        }
    }

    fn next(&mut self) -> Option<Wish> {
        if self.state != State::Quiet || self.told == self.wished {
            return None;
        }
        self.state = State::Offered(self.wished);
        Some(self.wished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Wish = Wish { speaks: true, listens: false };
    const TALK: Wish = Wish { speaks: true, listens: true };
    const AFTER: Option<Duration> = Some(Duration::from_secs(2));

    #[test]
    fn hold_and_its_end_are_told_once_each() {
        let mut telling = Telling::default();
        assert_eq!(telling.wish(HOLD), Some(HOLD));
        assert_eq!(telling.accepted(), None);
        assert_eq!(telling.wish(HOLD), None, "the other knows that");
        assert_eq!(telling.wish(TALK), Some(TALK));
        assert_eq!(telling.accepted(), None);
    }

    #[test]
    fn what_is_wished_while_an_offer_is_out_is_told_after_it() {
        let mut telling = Telling::default();
        telling.wish(HOLD);
        assert_eq!(telling.wish(TALK), None, "one offer at a time");
        assert_eq!(telling.accepted(), Some(TALK));
        assert_eq!(telling.wish(HOLD), None);
        assert_eq!(telling.wish(TALK), None, "changed back before it could be told");
        assert_eq!(telling.accepted(), None);
    }

    #[test]
    fn an_offer_that_met_one_of_theirs_is_made_again_in_time() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut telling = Telling::default();
        telling.wish(HOLD);
        assert_eq!(telling.refused(t0, AFTER), None);
        assert_eq!(telling.deadline(), Some(at(2_000)));
        assert_eq!(telling.timeout(at(1_999)), None);
        assert_eq!(telling.timeout(at(2_000)), Some(HOLD));
        assert_eq!(telling.deadline(), None);
        // Theirs comes first this time, and its answer says all.
        telling.refused(at(2_000), AFTER);
        telling.answered();
        assert_eq!((telling.deadline(), telling.timeout(at(9_000))), (None, None));
    }

    #[test]
    fn a_party_that_refuses_is_not_asked_again_until_something_else_is_wished() {
        let t0 = Instant::now();
        let mut telling = Telling::default();
        telling.wish(HOLD);
        assert_eq!(telling.refused(t0, None), None);
        assert_eq!(telling.timeout(t0 + Duration::from_secs(60)), None);
        assert_eq!(telling.wish(TALK), Some(TALK));
    }

    #[test]
    fn a_party_whose_offers_always_meet_ours_is_left_alone_in_the_end() {
        let mut now = Instant::now();
        let mut telling = Telling::default();
        let mut offers = u8::from(telling.wish(HOLD).is_some());
        while offers < 100 {
            telling.refused(now, AFTER);
            let Some(deadline) = telling.deadline() else { break };
            now = deadline;
            offers += u8::from(telling.timeout(now).is_some());
        }
        assert_eq!(offers, CLASHES_MAX + 1);
    }
}
