//! The register of the end that is called.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::Configuration;
use super::super::variant::a;
use super::{Outcome, digit_of};
use crate::{Called, Output, cause};

/// What the next forward signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    CalledDigit,
    Category,
    CallingDigit,
    /// The category, answered by group B.
    GroupTwo,
    /// None: the call is offered, accepted, refused.
    Nothing,
}

/// What we have decided on the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    None,
    Accepted,
    Refused,
}

#[derive(Clone, Debug)]
pub(in crate::r2) struct Incoming {
    configuration: Configuration,
    call: Called,
    awaited: Awaited,
    verdict: Verdict,
    /// The forward signal that sounds.
    heard: Option<u8>,
    /// A backward signal sounds, as the answer to the one that is heard.
    answering: bool,
    /// A backward signal sounds by itself.
    pulsing: bool,
    deadline: Option<Instant>,
}

impl Incoming {
    pub(in crate::r2) fn new(now: Instant, configuration: Configuration) -> Self {
        Self {
            configuration,
            call: Called::default(),
            awaited: Awaited::CalledDigit,
            verdict: Verdict::None,
            heard: None,
            answering: false,
            pulsing: false,
            deadline: Some(now + configuration.times.backward),
        }
    }

    pub(in crate::r2) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The call was accepted; the other end may not have heard it yet.
    pub(in crate::r2) fn is_accepted(&self) -> bool {
        self.verdict == Verdict::Accepted
    }

    /// The call was refused; the other end may not have heard it yet.
    pub(in crate::r2) fn is_refused(&self) -> bool {
        self.verdict == Verdict::Refused
    }

    /// A forward signal began, or ended.
    pub(in crate::r2) fn heard(
        &mut self,
        now: Instant,
        signal: Option<u8>,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Outcome> {
        self.heard = signal;
        let Some(signal) = signal else {
            return self.forward_ended(now, outputs);
        };
        if self.answering {
            // It changed without a pause: only its end counts.
            return None;
        }
        if self.is_refused() {
            self.answer(now, a::CONGESTION, outputs);
            return None;
        }
        match self.awaited {
            Awaited::CalledDigit => {
                self.call.called.extend(digit_of(signal));
                let enough = usize::from(self.configuration.called_digits);
                if signal == 15 || self.call.called.len() == enough {
                    self.number_is_whole(now, outputs);
                } else {
                    self.ask(now, Awaited::CalledDigit, a::NEXT, outputs);
                }
            }
            Awaited::Category => {
                self.call.category = Some(signal);
                self.ask(now, Awaited::CallingDigit, a::CALLING, outputs);
            }
            Awaited::CallingDigit => {
                let calling = self.call.calling.get_or_insert_default();
                calling.extend(digit_of(signal));
                let enough = usize::from(self.configuration.calling_digits);
                if digit_of(signal).is_none() || calling.len() == enough {
                    self.ask(now, Awaited::GroupTwo, a::TO_GROUP_B, outputs);
                } else {
                    self.ask(now, Awaited::CallingDigit, a::CALLING, outputs);
                }
            }
            Awaited::GroupTwo => {
                self.call.category = Some(signal);
                self.awaited = Awaited::Nothing;
                // As long as nobody says what becomes of the call; the other end waits 15 s.
                self.deadline = None;
                let mut call = std::mem::take(&mut self.call);
                call.calling = call.calling.filter(|calling| !calling.is_empty());
                return Some(Outcome::Called(call));
            }
            Awaited::Nothing => {}
        }
        None
    }

    /// Says that the called party is free; `false` where nobody has asked.
    pub(in crate::r2) fn accept(
        &mut self,
        now: Instant,
        charge: bool,
        outputs: &mut VecDeque<Output>,
    ) -> bool {
        if self.awaited != Awaited::Nothing || self.verdict != Verdict::None {
            return false;
        }
        self.verdict = Verdict::Accepted;
        let variant = self.configuration.variant;
        let signal = if charge { variant.free_with_charge } else { variant.free_without_charge };
        self.answer(now, signal, outputs);
        true
    }

    /// Says that the call is refused, at once or with the answer to the next signal.
    pub(in crate::r2) fn refuse(
        &mut self,
        now: Instant,
        cause: u8,
        outputs: &mut VecDeque<Output>,
    ) {
        let is_asked = self.awaited == Awaited::Nothing && self.verdict == Verdict::None;
        self.verdict = Verdict::Refused;
        if is_asked {
            self.answer(now, self.configuration.variant.refusal(cause), outputs);
        } else if !self.answering && !self.pulsing {
            self.pulse(now, a::CONGESTION, outputs);
        }
    }

    /// Time is over: no forward signal began, or it does not end (Q.476).
    pub(in crate::r2) fn timeout(
        &mut self,
        now: Instant,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Outcome> {
        self.deadline = None;
        if self.pulsing {
            self.pulsing = false;
            outputs.push_back(Output::Tone(None));
            self.deadline = Some(now + self.configuration.times.backward);
            return self.is_refused().then_some(Outcome::RefusalSaid);
        }
        let is_silent = self.heard.is_none() && !self.answering;
        if is_silent && self.awaited == Awaited::CalledDigit && !self.call.called.is_empty() {
            // Q.441 §4.2.3: the number is whole, and the other end is told by a pulse.
            self.awaited = Awaited::GroupTwo;
            self.pulse(now, a::TO_GROUP_B, outputs);
            return None;
        }
        if self.is_refused() {
            outputs.push_back(Output::Tone(None));
            return Some(Outcome::RefusalSaid);
        }
        let cause = if self.answering { cause::TEMPORARY_FAILURE } else { cause::INVALID_NUMBER };
        self.verdict = Verdict::Refused;
        self.answering = false;
        self.pulse(now, a::CONGESTION, outputs);
        Some(Outcome::Failed { cause })
    }

    fn number_is_whole(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.configuration.calling_digits > 0 {
            self.ask(now, Awaited::Category, a::CALLING, outputs);
        } else {
            self.ask(now, Awaited::GroupTwo, a::TO_GROUP_B, outputs);
        }
    }

    fn ask(&mut self, now: Instant, awaited: Awaited, signal: u8, outputs: &mut VecDeque<Output>) {
        self.awaited = awaited;
        self.answer(now, signal, outputs);
    }

    fn answer(&mut self, now: Instant, signal: u8, outputs: &mut VecDeque<Output>) {
        self.pulsing = false;
        self.answering = true;
        self.deadline = Some(now + self.configuration.times.backward);
        outputs.push_back(Output::Tone(Some(signal)));
        if self.heard.is_none() {
            // The forward signal has ended meanwhile: there is nothing to compel the end of ours.
            self.answering = false;
            self.pulsing = true;
            self.deadline = Some(now + self.configuration.times.pulse);
        }
    }

    fn pulse(&mut self, now: Instant, signal: u8, outputs: &mut VecDeque<Output>) {
        self.pulsing = true;
        self.deadline = Some(now + self.configuration.times.pulse);
        outputs.push_back(Output::Tone(Some(signal)));
    }

    fn forward_ended(&mut self, now: Instant, outputs: &mut VecDeque<Output>) -> Option<Outcome> {
        if !std::mem::take(&mut self.answering) {
            return None;
        }
        outputs.push_back(Output::Tone(None));
        let times = self.configuration.times;
        match self.verdict {
            Verdict::Accepted => return Some(Outcome::Done),
            Verdict::Refused => return Some(Outcome::RefusalSaid),
            Verdict::None => {}
        }
        let wait = match self.awaited {
            Awaited::CalledDigit => times.next_digit,
            _ => times.backward,
        };
        self.deadline = Some(now + wait);
        None
    }
}
