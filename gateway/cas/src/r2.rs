//! MFC/R2 on E1 lines: line signals in the bits (ITU-T Q.421 to Q.424), register signals as compelled
//! multifrequency tones (Q.440 to Q.490).
//!
//! | | forward AB | backward AB |
//! |---|---|---|
//! | idle | 10 | 10 |
//! | seized | 00 | 11 is the acknowledgement |
//! | answered | 00 | 01 |
//! | clear back | 00 | 11 |
//! | clear forward | 10 | until 10 |
//! | blocked | 10 | 11 |
//!
//! C and D do not change: 01 (Q.421 §2). Between acknowledgement and answer the registers speak, each
//! tone kept up until the other end has answered it with one of its own (`register/`).

mod register;
#[cfg(test)]
mod tests;
mod variant;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::recognition::Recognition;
use crate::{Bits, Called, CasError, Indication, Output, Request, cause};
use register::{Incoming, Outcome, Outgoing};
pub use variant::Variant;

/// Which register of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// That of the end that calls: it sends forward signals and hears backward ones.
    Outgoing,
    /// That of the end that is called.
    Incoming,
}

/// Times, all settable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Bits count once they have stood so long (Q.422 §2.2: 20 ± 10 ms).
    pub recognition: Duration,
    /// The acknowledgement of a seizing must come within this (Q.422 §2.3.1: 200 ms to some seconds).
    pub seizing: Duration,
    /// A clear-back must last so long to end the call; shorter ones are metering pulses.
    pub clear_back: Duration,
    /// A forward signal must be answered within this (Q.476: 15 ± 3 s).
    pub forward: Duration,
    /// The outgoing register waits so long in silence for a pulse (Q.476: 24 s or more).
    pub silence: Duration,
    /// The incoming register waits so long for a forward signal to begin or end (Q.476: 8 to 24 s).
    pub backward: Duration,
    /// A digit must come within this, or the called number is whole.
    pub next_digit: Duration,
    /// Length of a signal in a pulse (Q.442: 150 ± 50 ms).
    pub pulse: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            recognition: ms(20),
            seizing: ms(2_000),
            clear_back: ms(0),
            forward: ms(15_000),
            silence: ms(24_000),
            backward: ms(15_000),
            next_digit: ms(4_000),
            pulse: ms(150),
        }
    }
}

/// How a timeslot is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What the country has made of it.
    pub variant: Variant,
    /// A called number is whole with so many digits; 0: when no more come in time, or the other end
    /// says so.
    pub called_digits: u8,
    /// The calling number is asked for, so many digits of it; 0: it is not.
    pub calling_digits: u8,
    /// Times.
    pub times: Times,
}

impl Configuration {
    /// A variant with the usual times, numbers of any length, the calling number of up to 20 digits.
    pub fn new(variant: Variant) -> Self {
        Self { variant, called_digits: 0, calling_digits: 20, times: Times::default() }
    }
}

const IDLE: Bits = Bits::new(0b1001);
const SEIZE: Bits = Bits::new(0b0001);
/// Acknowledgement of a seizing, clear-back, and blocked.
const ACKNOWLEDGE: Bits = Bits::new(0b1101);
const ANSWER: Bits = Bits::new(0b0101);
/// A and B.
const MASK: u8 = 0b1100;

#[derive(Clone, Debug)]
enum State {
    Idle,
    /// The other end does not want to be called.
    Blocked,
    /// Seized by us, not acknowledged yet.
    Seizing(Called),
    /// Our outgoing register is at work.
    Dialling(Outgoing),
    /// Our call rings.
    AwaitingAnswer,
    /// Our call is answered.
    Up,
    /// The other end has cleared back, or sends a metering pulse.
    ClearBack,
    /// We have cleared forward; the other end is to go idle.
    ClearingForward,
    /// Our incoming register is at work.
    Receiving(Incoming),
    /// The call that came rings.
    Accepted,
    /// The call that came is answered.
    Answered,
    /// The call that came is over; the other end is to clear forward.
    ClearingBack,
}

/// A timeslot with MFC/R2 signalling.
#[derive(Clone, Debug)]
pub struct R2 {
    configuration: Configuration,
    recognition: Recognition,
    state: State,
    deadline: Option<Instant>,
    /// The owner has answered before the registers were done.
    is_to_answer: bool,
    outputs: VecDeque<Output>,
}

impl R2 {
    /// An idle timeslot; it sends idle.
    pub fn new(configuration: Configuration) -> Self {
        Self {
            configuration,
            recognition: Recognition::new(configuration.times.recognition, IDLE),
            state: State::Idle,
            deadline: None,
            is_to_answer: false,
            outputs: VecDeque::from([Output::Bits(IDLE)]),
        }
    }

    /// The timeslot can be seized.
    pub fn is_free(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// The other end sends these bits from now on.
    pub fn bits(&mut self, now: Instant, bits: Bits) {
        self.timeout(now);
        // C and D are of no meaning.
        self.recognition.bits(now, Bits::new(bits.abcd() & MASK | IDLE.abcd() & !MASK));
        self.timeout(now);
    }

    /// A register signal of the other end was heard, or its end (`None`).
    pub fn tone(&mut self, now: Instant, signal: Option<u8>) {
        self.timeout(now);
        let outcome = match &mut self.state {
            State::Dialling(register) => register.heard(now, signal, &mut self.outputs),
            State::Receiving(register) => register.heard(now, signal, &mut self.outputs),
            _ => None,
        };
        self.register_came_to(outcome);
    }

    /// Asks something of the timeslot.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<(), CasError> {
        self.timeout(now);
        match (request, &mut self.state) {
            (Request::Call(call), State::Idle) => {
                let calling = call.calling.as_deref().unwrap_or_default();
                let digits = call.called.chars().chain(calling.chars());
                let wrong = digits.clone().find(|digit| !digit.is_ascii_digit());
                if wrong.is_some() || call.called.is_empty() {
                    return Err(CasError::Digit(wrong));
                }
                self.outputs.push_back(Output::Bits(SEIZE));
                let seizing = self.configuration.times.seizing;
                self.enter(State::Seizing(call), Some(now + seizing));
            }
            (Request::Call(_), _) => return Err(CasError::NotIdle),
            (Request::Accept { charge }, State::Receiving(register)) => {
                if !register.accept(now, charge, &mut self.outputs) {
                    return Err(CasError::WrongState);
                }
            }
            (Request::Answer, State::Receiving(register)) => {
                if !register.is_accepted() && !register.accept(now, true, &mut self.outputs) {
                    return Err(CasError::WrongState);
                }
                self.is_to_answer = true;
            }
            (Request::Answer, State::Accepted) => self.answer(),
            (Request::Release { cause }, State::Receiving(register)) => {
                register.refuse(now, cause, &mut self.outputs);
                self.indicate(Indication::Released { cause, by_us: true });
            }
            (Request::Release { cause }, State::Accepted | State::Answered) => {
                self.outputs.push_back(Output::Bits(ACKNOWLEDGE));
                self.indicate(Indication::Released { cause, by_us: true });
                self.enter(State::ClearingBack, None);
            }
            (
                Request::Release { cause },
                State::Seizing(_)
                | State::Dialling(_)
                | State::AwaitingAnswer
                | State::Up
                | State::ClearBack,
            ) => self.clear_forward(cause, true),
            _ => return Err(CasError::WrongState),
        }
        Ok(())
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        // In the order in which it was due.
        loop {
            let bits_at = self.recognition.deadline().filter(|at| *at <= now);
            let timer_at = self.timer().filter(|at| *at <= now);
            match (bits_at, timer_at) {
                (Some(at), timer_at) if timer_at.is_none_or(|timer_at| at <= timer_at) => {
                    if let Some(bits) = self.recognition.recognised(at) {
                        self.line(at, bits);
                    }
                }
                (_, Some(at)) => self.expired(at),
                _ => return,
            }
        }
    }

    /// When [`timeout`](Self::timeout) wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.recognition.deadline().into_iter().chain(self.timer()).min()
    }

    /// The next output; drain it after every call of another method.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn timer(&self) -> Option<Instant> {
        match &self.state {
            State::Dialling(register) => register.deadline(),
            State::Receiving(register) => register.deadline(),
            _ => self.deadline,
        }
    }

    /// A line signal came.
    fn line(&mut self, now: Instant, bits: Bits) {
        let times = self.configuration.times;
        match (std::mem::replace(&mut self.state, State::Idle), bits) {
            (State::Idle, SEIZE) => {
                self.outputs.push_back(Output::Bits(ACKNOWLEDGE));
                self.outputs.push_back(Output::Register(Some(Role::Incoming)));
                self.indicate(Indication::Seized);
                let register = Incoming::new(now, self.configuration);
                self.enter(State::Receiving(register), None);
            }
            (State::Idle, ACKNOWLEDGE | ANSWER) => {
                self.indicate(Indication::Blocked);
                self.enter(State::Blocked, None);
            }
            (State::Blocked | State::ClearingForward, IDLE) => self.free(),
            (State::Seizing(call), ACKNOWLEDGE) => {
                self.outputs.push_back(Output::Register(Some(Role::Outgoing)));
                let register = Outgoing::new(now, call, self.configuration, &mut self.outputs);
                self.enter(State::Dialling(register), None);
            }
            // Both ends have seized it (Q.422 §2.3.4).
            (State::Seizing(_), SEIZE) => self.clear_forward(cause::CHANNEL_UNAVAILABLE, true),
            (State::AwaitingAnswer, ANSWER) => {
                self.indicate(Indication::Answered);
                self.enter(State::Up, None);
            }
            (State::Up, ACKNOWLEDGE) => {
                self.enter(State::ClearBack, Some(now + times.clear_back));
            }
            (State::ClearBack, ANSWER) => self.enter(State::Up, None),
            // Idle or something else where a call is: it is none for the other end (Q.422 §2.3.3).
            (State::Dialling(_) | State::AwaitingAnswer | State::Up | State::ClearBack, _) => {
                self.clear_forward(cause::TEMPORARY_FAILURE, false);
            }
            (state @ (State::Receiving(_) | State::Accepted | State::Answered), IDLE) => {
                // Whoever has refused the call has said so.
                let is_refused =
                    matches!(&state, State::Receiving(register) if register.is_refused());
                self.end_register(&state);
                if !is_refused {
                    self.indicate(Indication::Released { cause: cause::NORMAL, by_us: false });
                }
                self.outputs.push_back(Output::Bits(IDLE));
                self.free();
            }
            (State::ClearingBack, IDLE) => {
                self.outputs.push_back(Output::Bits(IDLE));
                self.free();
            }
            (state, _) => self.state = state,
        }
    }

    fn expired(&mut self, now: Instant) {
        let outcome = match &mut self.state {
            State::Dialling(register) => register.timeout(now, &mut self.outputs),
            State::Receiving(register) => register.timeout(now, &mut self.outputs),
            State::Seizing(_) => {
                self.clear_forward(cause::TEMPORARY_FAILURE, true);
                None
            }
            State::ClearBack => {
                self.clear_forward(cause::NORMAL, false);
                None
            }
            _ => {
                self.deadline = None;
                None
            }
        };
        self.register_came_to(outcome);
    }

    fn register_came_to(&mut self, outcome: Option<Outcome>) {
        match outcome {
            None => {}
            Some(Outcome::Accepted { charge }) => {
                self.outputs.push_back(Output::Register(None));
                self.indicate(Indication::Dialled);
                self.indicate(Indication::Accepted { charge });
                self.enter(State::AwaitingAnswer, None);
            }
            Some(Outcome::Refused { cause, by_us }) => self.clear_forward(cause, by_us),
            Some(Outcome::Called(called)) => self.indicate(Indication::Called(called)),
            Some(Outcome::Done) => {
                self.outputs.push_back(Output::Register(None));
                self.enter(State::Accepted, None);
                if std::mem::take(&mut self.is_to_answer) {
                    self.answer();
                }
            }
            Some(Outcome::Failed { cause }) => {
                self.indicate(Indication::Released { cause, by_us: true });
            }
            Some(Outcome::RefusalSaid) => {
                self.outputs.push_back(Output::Register(None));
                self.enter(State::ClearingBack, None);
            }
        }
    }

    fn answer(&mut self) {
        self.outputs.push_back(Output::Bits(ANSWER));
        self.enter(State::Answered, None);
    }

    fn clear_forward(&mut self, cause: u8, by_us: bool) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.end_register(&state);
        self.outputs.push_back(Output::Bits(IDLE));
        self.indicate(Indication::Released { cause, by_us });
        if self.recognition.standing() == IDLE {
            self.free();
        } else {
            self.enter(State::ClearingForward, None);
        }
    }

    fn end_register(&mut self, state: &State) {
        if matches!(state, State::Dialling(_) | State::Receiving(_)) {
            self.outputs.push_back(Output::Tone(None));
            self.outputs.push_back(Output::Register(None));
        }
    }

    fn free(&mut self) {
        self.is_to_answer = false;
        self.enter(State::Idle, None);
        self.indicate(Indication::Free);
    }

    fn enter(&mut self, state: State, deadline: Option<Instant>) {
        self.state = state;
        self.deadline = deadline;
    }

    fn indicate(&mut self, indication: Indication) {
        self.outputs.push_back(Output::Indication(indication));
    }
}
