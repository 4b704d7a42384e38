//! The register of the end that calls.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::variant::a;
use super::super::{Configuration, Times, Variant};
use super::{Outcome, signal_of};
use crate::{Called, Output, cause};

/// Category of a subscriber without priority (II-1).
const SUBSCRIBER: u8 = 1;

#[derive(Clone, Debug)]
pub(in crate::r2) struct Outgoing {
    variant: Variant,
    times: Times,
    call: Called,
    /// The digit of the called number that was sent last.
    at: usize,
    /// Digits of the calling number that were sent; `None`: not even the category was.
    calling_sent: Option<usize>,
    /// Backward signals are of group B.
    is_group_b: bool,
    /// What sounds forward.
    sounding: bool,
    /// The backward signal that sounds.
    heard: Option<u8>,
    deadline: Option<Instant>,
}

impl Outgoing {
    /// Begins with the first digit (Q.440 §4.1).
    pub(in crate::r2) fn new(
        now: Instant,
        call: Called,
        configuration: Configuration,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let mut register = Self {
            variant: configuration.variant,
            times: configuration.times,
            call,
            at: 0,
            calling_sent: None,
            is_group_b: false,
            sounding: false,
            heard: None,
            deadline: None,
        };
        register.called_digit(now, outputs);
        register
    }

    pub(in crate::r2) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A backward signal began, or ended.
    pub(in crate::r2) fn heard(
        &mut self,
        now: Instant,
        signal: Option<u8>,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Outcome> {
        match (self.heard, signal) {
            // Only its end counts; until then it is answered by silence. Without a forward signal it
            // is a pulse.
            (_, Some(signal)) => {
                self.heard = Some(signal);
                if std::mem::take(&mut self.sounding) {
                    outputs.push_back(Output::Tone(None));
                }
                self.deadline = Some(now + self.times.forward);
                None
            }
            (Some(signal), None) => {
                self.heard = None;
                self.answered(now, signal, outputs)
            }
            (None, None) => None,
        }
    }

    /// Time is over: nothing was heard, or it does not end (Q.476).
    pub(in crate::r2) fn timeout(
        &mut self,
        _now: Instant,
        _outputs: &mut VecDeque<Output>,
    ) -> Option<Outcome> {
        self.deadline = None;
        Some(Outcome::Refused { cause: cause::TEMPORARY_FAILURE, by_us: true })
    }

    fn answered(
        &mut self,
        now: Instant,
        signal: u8,
        outputs: &mut VecDeque<Output>,
    ) -> Option<Outcome> {
        let Variant { free_with_charge, free_without_charge, .. } = self.variant;
        let refused = |cause| Some(Outcome::Refused { cause, by_us: false });
        if self.is_group_b {
            return match signal {
                signal if signal == free_with_charge => Some(Outcome::Accepted { charge: true }),
                signal if signal == free_without_charge => {
                    Some(Outcome::Accepted { charge: false })
                }
                other => refused(self.variant.cause(other)),
            };
        }
        match signal {
            a::NEXT => {
                self.at += 1;
                self.called_digit(now, outputs);
            }
            a::CALLING => self.calling_digit(now, outputs),
            a::TO_GROUP_B => {
                self.is_group_b = true;
                self.sound(now, self.call.category.unwrap_or(SUBSCRIBER), outputs);
            }
            a::CONGESTION | a::INTERNATIONAL_CONGESTION => return refused(cause::CONGESTION),
            signal if Some(signal) == self.variant.complete => {
                return Some(Outcome::Accepted { charge: true });
            }
            signal => {
                let back = self.variant.back.iter().find(|(known, _)| *known == signal);
                let Some((_, back)) = back else {
                    return Some(Outcome::Refused { cause: cause::PROTOCOL, by_us: true });
                };
                let sent = self.at.min(self.call.called.chars().count());
                self.at = sent.saturating_sub(usize::from(*back));
                self.called_digit(now, outputs);
            }
        }
        None
    }

    fn called_digit(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        match (self.call.called.chars().nth(self.at), self.variant.called_end) {
            (Some(digit), _) => self.sound(now, signal_of(digit), outputs),
            (None, Some(end)) => self.sound(now, end, outputs),
            // The other end will say by a pulse that it has enough.
            (None, None) => self.deadline = Some(now + self.times.silence),
        }
    }

    fn calling_digit(&mut self, now: Instant, outputs: &mut VecDeque<Output>) {
        let Variant { calling_end, calling_refused, .. } = self.variant;
        let signal = match (self.calling_sent, &self.call.calling) {
            (None, _) => self.call.category.unwrap_or(SUBSCRIBER),
            (Some(_), None) => calling_refused,
            (Some(at), Some(calling)) => calling.chars().nth(at).map_or(calling_end, signal_of),
        };
        self.calling_sent = Some(self.calling_sent.map_or(0, |sent| sent + 1));
        self.sound(now, signal, outputs);
    }

    fn sound(&mut self, now: Instant, signal: u8, outputs: &mut VecDeque<Output>) {
        self.sounding = true;
        self.deadline = Some(now + self.times.forward);
        outputs.push_back(Output::Tone(Some(signal)));
    }
}
