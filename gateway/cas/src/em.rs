//! E&M: a timeslot is on hook or off hook at each end, and that is all its bits say.
//!
//! The end that calls goes off hook. With wink start the other end answers by going off hook for a
//! moment when it is ready for digits, with immediate start it says nothing. Digits go as DTMF. The
//! called end goes off hook when its party answers; whoever goes on hook has ended the call
//! (ANSI T1.403.02 §5; ITU-T Q.310 ff. for the like).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::recognition::Recognition;
use crate::{Bits, Called, CasError, Indication, Output, Request, cause};

/// When digits may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A moment after the timeslot was seized.
    Immediate,
    /// When the other end has winked.
    Wink,
}

/// The bits of both states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookBits {
    /// On hook.
    pub on_hook: Bits,
    /// Off hook.
    pub off_hook: Bits,
    /// Those that tell which: the others are whatever they are.
    pub mask: Bits,
}

impl HookBits {
    /// Of a T1: all bits alike, so that it does not matter how many there are. Bit A tells.
    pub const T1: Self =
        Self { on_hook: Bits::new(0b0000), off_hook: Bits::new(0b1111), mask: Bits::new(0b1000) };

    /// Of an E1, where timeslot 16 must not be all zeros: D is always 1.
    pub const E1: Self =
        Self { on_hook: Bits::new(0b0001), off_hook: Bits::new(0b1001), mask: Bits::new(0b1000) };

    fn is_off_hook(self, bits: Bits) -> bool {
        bits.abcd() & self.mask.abcd() == self.off_hook.abcd() & self.mask.abcd()
    }
}

/// Times, all settable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Bits count once they have stood so long.
    pub recognition: Duration,
    /// Immediate start: from seizing to the first digit (at least 65 ms, so that the other end is ready).
    pub immediate: Duration,
    /// Wink start: from being seized to the wink (less than 5 s).
    pub before_wink: Duration,
    /// Length of a wink (140 to 290 ms).
    pub wink: Duration,
    /// Off hook for longer than this is no wink: the other end has seized the timeslot as well.
    pub wink_max: Duration,
    /// The wink must come within this.
    pub wink_wait: Duration,
    /// From the wink to the first digit (at least 70 ms).
    pub after_wink: Duration,
    /// The first digit must come within this.
    pub first_digit: Duration,
    /// A digit must come within this, or the number is whole.
    pub next_digit: Duration,
    /// On hook for so long is the end of the call, less is none.
    pub disconnect: Duration,
    /// A timeslot rests for so long before it is seized anew.
    pub guard: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            recognition: ms(20),
            immediate: ms(150),
            before_wink: ms(150),
            wink: ms(200),
            wink_max: ms(350),
            wink_wait: ms(5_000),
            after_wink: ms(100),
            first_digit: ms(10_000),
            next_digit: ms(4_000),
            disconnect: ms(160),
            guard: ms(800),
        }
    }
}

/// How a timeslot is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// When digits may be sent.
    pub start: Start,
    /// The bits.
    pub bits: HookBits,
    /// A number is whole with so many digits; 0: when no more come in time, or with `#`.
    pub digits: u8,
    /// Both ends have seized the timeslot: ours goes on, the other end's gives way. One end is set
    /// so, the other not.
    pub keeps_on_collision: bool,
    /// Times.
    pub times: Times,
}

impl Configuration {
    /// With the usual times; numbers are whole when no more digits come.
    pub fn new(start: Start, bits: HookBits) -> Self {
        let times = Times::default();
        Self { start, bits, digits: 0, keeps_on_collision: false, times }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Both on hook.
    Idle,
    /// Ours is off hook; the digits wait for the other end's wink.
    AwaitingWink { digits: String },
    /// The other end is off hook: winking, or it has seized the timeslot too.
    Winking { digits: String },
    /// Both ends have seized the timeslot and ours keeps it: the other end goes on hook.
    Collided { digits: String },
    /// The digits go out when this is over.
    BeforeDigits { digits: String },
    /// The digits go out.
    Dialling,
    /// The other end's party is to answer.
    AwaitingAnswer,
    /// Seized by the other end, not winked yet.
    Seized,
    /// Our wink.
    OurWink,
    /// Digits come.
    Collecting { digits: String },
    /// A call has come and waits for the owner's word.
    Offered,
    /// Both off hook.
    Up,
    /// The other end went on hook, perhaps for a moment only.
    OnHook { was: Box<State> },
    /// Ours is on hook; the other end's is not yet.
    Clearing,
    /// Both on hook, resting.
    Guard,
}

/// A timeslot with E&M signalling.
#[derive(Clone, Debug)]
pub struct EAndM {
    configuration: Configuration,
    recognition: Recognition,
    state: State,
    deadline: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl EAndM {
    /// An idle timeslot; it sends on hook.
    pub fn new(configuration: Configuration) -> Self {
        let Configuration { bits, times, .. } = configuration;
        Self {
            configuration,
            recognition: Recognition::new(times.recognition, bits.on_hook),
            state: State::Idle,
            deadline: None,
            outputs: VecDeque::from([Output::Bits(bits.on_hook)]),
        }
    }

    /// The timeslot can be seized.
    pub fn is_free(&self) -> bool {
        self.state == State::Idle
    }

    /// The other end sends these bits from now on.
    pub fn bits(&mut self, now: Instant, bits: Bits) {
        self.timeout(now);
        self.recognition.bits(now, bits);
        self.timeout(now);
    }

    /// A digit was heard: `0` to `9`, `*`, `#`, `A` to `D`. Where none is expected it is speech.
    pub fn digit(&mut self, now: Instant, digit: char) {
        self.timeout(now);
        let State::Collecting { digits } = &mut self.state else { return };
        let ends = digit == '#' && self.configuration.digits == 0;
        if !ends {
            digits.push(digit);
        }
        let count = digits.len();
        if ends || count == usize::from(self.configuration.digits) {
            self.number_is_whole();
        } else {
            self.deadline = Some(now + self.configuration.times.next_digit);
        }
    }

    /// The digits of [`Output::Digits`] are sent.
    pub fn digits_sent(&mut self, now: Instant) {
        self.timeout(now);
        if self.state == State::Dialling {
            self.enter(State::AwaitingAnswer, None);
            self.indicate(Indication::Dialled);
        }
    }

    /// Asks something of the timeslot.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<(), CasError> {
        self.timeout(now);
        let times = self.configuration.times;
        match (request, &self.state) {
            (Request::Call(Called { called, .. }), State::Idle) => {
                let is_digit = |digit: &char| "0123456789*#ABCD".contains(*digit);
                let wrong = called.chars().find(|digit| !is_digit(digit));
                if wrong.is_some() || called.is_empty() {
                    return Err(CasError::Digit(wrong));
                }
                self.send(true);
                match self.configuration.start {
                    Start::Wink => {
                        let state = State::AwaitingWink { digits: called };
                        self.enter(state, Some(now + times.wink_wait));
                    }
                    Start::Immediate => {
                        let state = State::BeforeDigits { digits: called };
                        self.enter(state, Some(now + times.immediate));
                    }
                }
            }
            (Request::Call(_), _) => return Err(CasError::NotIdle),
            // Nothing says on the line that it rings.
            (Request::Accept { .. }, State::Offered) => {}
            (Request::Answer, State::Offered) => {
                self.send(true);
                self.enter(State::Up, None);
            }
            (Request::Release { .. }, State::Idle | State::Clearing | State::Guard) => {
                return Err(CasError::WrongState);
            }
            (Request::Release { cause }, _) => self.release(now, cause, true),
            _ => return Err(CasError::WrongState),
        }
        Ok(())
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        // In the order in which it was due.
        loop {
            let bits_at = self.recognition.deadline().filter(|at| *at <= now);
            let timer_at = self.deadline.filter(|at| *at <= now);
            match (bits_at, timer_at) {
                (Some(at), timer_at) if timer_at.is_none_or(|timer_at| at <= timer_at) => {
                    if let Some(bits) = self.recognition.recognised(at) {
                        self.hook(at, self.configuration.bits.is_off_hook(bits));
                    }
                }
                (_, Some(at)) => {
                    self.deadline = None;
                    self.expired(at);
                }
                _ => return,
            }
        }
    }

    /// When [`timeout`](Self::timeout) wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.recognition.deadline().into_iter().chain(self.deadline).min()
    }

    /// The next output; drain it after every call of another method.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The other end went off hook or on hook.
    fn hook(&mut self, now: Instant, is_off_hook: bool) {
        let times = self.configuration.times;
        let on_hook_at = Some(now + times.disconnect.saturating_sub(times.recognition));
        match (std::mem::replace(&mut self.state, State::Idle), is_off_hook) {
            (State::Idle | State::Guard, true) => {
                self.indicate(Indication::Seized);
                match self.configuration.start {
                    Start::Wink => self.enter(State::Seized, Some(now + times.before_wink)),
                    Start::Immediate => self.collect(now),
                }
            }
            (State::AwaitingWink { digits }, true) => {
                let state = State::Winking { digits };
                self.enter(state, Some(now + times.wink_max));
            }
            (State::Winking { digits } | State::Collided { digits }, false) => {
                self.enter(State::BeforeDigits { digits }, Some(now + times.after_wink));
            }
            // Immediate start: so soon nobody has answered.
            (state @ State::BeforeDigits { .. }, true) => {
                self.state = state;
                if self.configuration.start == Start::Immediate && !self.keeps() {
                    self.give_way(now);
                }
            }
            (State::Dialling | State::AwaitingAnswer, true) => {
                self.indicate(Indication::Answered);
                self.enter(State::Up, None);
            }
            (
                was @ (State::Seized
                | State::OurWink
                | State::Collecting { .. }
                | State::Offered
                | State::Up),
                false,
            ) => {
                self.enter(State::OnHook { was: Box::new(was) }, on_hook_at);
            }
            (State::OnHook { was }, true) => {
                let again = match &*was {
                    State::Seized | State::OurWink => Some(now),
                    State::Collecting { .. } => Some(now + times.next_digit),
                    _ => None,
                };
                self.enter(*was, again);
            }
            (State::Clearing, false) => self.rest(now),
            (state, _) => self.state = state,
        }
    }

    fn expired(&mut self, now: Instant) {
        let times = self.configuration.times;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::AwaitingWink { .. } => self.release(now, cause::TEMPORARY_FAILURE, true),
            state @ State::Winking { .. } if !self.keeps() => {
                self.state = state;
                self.give_way(now);
            }
            State::Winking { digits } => {
                self.enter(State::Collided { digits }, Some(now + times.wink_wait));
            }
            State::Collided { .. } => self.release(now, cause::CHANNEL_UNAVAILABLE, true),
            State::BeforeDigits { digits } => {
                self.enter(State::Dialling, None);
                self.outputs.push_back(Output::Digits(digits));
            }
            State::Seized => {
                self.send(true);
                self.enter(State::OurWink, Some(now + times.wink));
            }
            State::OurWink => {
                self.send(false);
                self.collect(now);
            }
            State::Collecting { digits } if digits.is_empty() => {
                self.release(now, cause::INVALID_NUMBER, true);
            }
            state @ State::Collecting { .. } => {
                self.state = state;
                self.number_is_whole();
            }
            State::OnHook { .. } => {
                self.indicate(Indication::Released { cause: cause::NORMAL, by_us: false });
                self.send(false);
                self.rest(now);
            }
            State::Guard => self.indicate(Indication::Free),
            state => self.state = state,
        }
    }

    fn keeps(&self) -> bool {
        self.configuration.keeps_on_collision
    }

    /// Both ends have seized the timeslot, and the other end's call goes on: that we go on hook is to
    /// it the end of a wink.
    fn give_way(&mut self, now: Instant) {
        self.indicate(Indication::Released { cause: cause::CHANNEL_UNAVAILABLE, by_us: true });
        self.indicate(Indication::Seized);
        self.send(false);
        self.collect(now);
    }

    fn collect(&mut self, now: Instant) {
        let first_digit = self.configuration.times.first_digit;
        self.enter(State::Collecting { digits: String::new() }, Some(now + first_digit));
    }

    fn number_is_whole(&mut self) {
        if let State::Collecting { digits } = std::mem::replace(&mut self.state, State::Offered) {
            self.deadline = None;
            self.indicate(Indication::Called(Called { called: digits, ..Called::default() }));
        }
    }

    fn release(&mut self, now: Instant, cause: u8, by_us: bool) {
        self.indicate(Indication::Released { cause, by_us });
        self.send(false);
        if self.configuration.bits.is_off_hook(self.recognition.standing()) {
            self.enter(State::Clearing, None);
        } else {
            self.rest(now);
        }
    }

    fn rest(&mut self, now: Instant) {
        self.enter(State::Guard, Some(now + self.configuration.times.guard));
    }

    fn enter(&mut self, state: State, deadline: Option<Instant>) {
        self.state = state;
        self.deadline = deadline;
    }

    fn send(&mut self, off_hook: bool) {
        let HookBits { on_hook, off_hook: off, .. } = self.configuration.bits;
        self.outputs.push_back(Output::Bits(if off_hook { off } else { on_hook }));
    }

    fn indicate(&mut self, indication: Indication) {
        self.outputs.push_back(Output::Indication(indication));
    }
}
