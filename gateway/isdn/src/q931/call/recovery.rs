//! What the other end takes the call's state for (Q.931 §5.8.10, §5.8.11), and a data link that was
//! down (§5.8.8, §5.8.9).

use std::time::Instant;

use super::super::element::Element;
use super::super::message::{Message, MessageType};
use super::super::timer::Timer;
use super::{Call, CallState, Step};

/// STATUS ENQUIRY is sent so often before the call is cleared (§5.8.10).
const ENQUIRIES_MAX: u32 = 3;

impl Call {
    /// The data link went down (§5.8.9): calls wait for it by T309, those in set-up too, whose own
    /// timers go on. Digits that are under way are lost, and with them the call.
    pub fn link_down(&mut self, now: Instant) -> Step {
        let mut step = Step::default();
        self.running.stop_t322();
        if self.is_up() && self.state != self.overlap() {
            self.start(now, Timer::T309);
        } else {
            self.end(&mut step, self.rules.cause(27));
        }
        self.own(step)
    }

    /// The data link is back, or was established anew (§5.8.8, §5.8.9): messages may be lost.
    pub fn link_up(&mut self, now: Instant) -> Step {
        self.running.stop_t309();
        let mut step = Step::default();
        if self.state == self.overlap() {
            // §5.8.8 a): digits may be missing; 41, temporary failure.
            self.give_up(now, 41, &mut step);
        } else if self.is_up() && !(self.outgoing && self.state == self.initial()) {
            // §5.8.8 c), §5.8.9: the other end is asked where it stands. One that has not answered
            // SETUP may not know the call; T303 repeats it.
            self.enquire(now, &mut step);
        }
        self.own(step)
    }

    /// §5.8.10: one STATUS ENQUIRY is under way at a time.
    pub(super) fn enquire(&mut self, now: Instant, step: &mut Step) {
        if self.running.is_enquiring() {
            return;
        }
        self.enquiries = 1;
        self.enquired_in = self.state;
        step.send(MessageType::StatusEnquiry, Vec::new());
        self.start(now, Timer::T322);
    }

    pub(super) fn enquiry_unanswered(&mut self, now: Instant, step: &mut Step) {
        if self.enquiries >= ENQUIRIES_MAX {
            // 41: temporary failure.
            self.give_up(now, 41, step);
            return;
        }
        self.enquiries += 1;
        step.send(MessageType::StatusEnquiry, Vec::new());
        self.start(now, Timer::T322);
    }

    /// §5.8.11: the other end says in which state it is.
    pub(super) fn status(&mut self, now: Instant, message: &Message, step: &mut Step) {
        let value = message.cause().map_or(0, |cause| cause.value);
        // §5.8.10: 30 answers an enquiry; 97 and 98 say that the other end knows none.
        let answers = self.running.is_enquiring() && value == 30;
        if matches!(value, 30 | 97 | 98) {
            self.running.stop_t322();
        }
        let reported = message.find(|element| match element {
            Element::CallState(state) => Some(*state),
            _ => None,
        });
        match reported {
            // It knows no such call: 41 for the owner, as 30 is no reason to end one.
            Some(0) => {
                let cause = message.cause().filter(|cause| cause.value != 30);
                self.gone(step, cause.unwrap_or(self.rules.cause(41)));
            }
            Some(state) if self.is_up() && !self.is_compatible(state, answers) => {
                self.give_up(now, 101, step);
            }
            _ => {}
        }
    }

    /// Whether the other end's state can be that of the same call. An answer to our enquiry tells
    /// what it had made of all that we had sent until then; any other STATUS may have crossed
    /// messages of ours.
    fn is_compatible(&self, other: u8, answers: bool) -> bool {
        let family = match other {
            1..=4 => Some(true),
            6 | 7 | 9 | 25 => Some(false),
            _ => None,
        };
        if family.is_some_and(|from_user| from_user != self.is_from_user()) {
            return false;
        }
        let rank = match other {
            1 | 6 => 0,
            2 | 25 => 1,
            3 | 9 => 2,
            4 | 7 => 3,
            // Connect request and active differ by an acknowledgement only.
            8 | 10 => 5,
            // Clearing: its message is on the way.
            11 | 12 | 19 => return true,
            _ => return false,
        };
        let settled = |state: CallState| match state {
            CallState::ConnectRequest => 5,
            state => state.rank(),
        };
        if answers {
            (settled(self.enquired_in)..=settled(self.state)).contains(&rank)
        } else {
            // It has answered, and we have not heard of it. Less may be the other end's own way of
            // counting.
            rank < 5 || settled(self.state) == 5
        }
    }

    pub(super) fn send_status(&self, step: &mut Step, value: u8, diagnostic: &[u8]) {
        let cause = Element::Diagnosed(self.rules.cause(value), diagnostic.to_vec());
        let state = Element::CallState(self.state as u8);
        step.send(MessageType::Status, vec![cause, state]);
    }
}
