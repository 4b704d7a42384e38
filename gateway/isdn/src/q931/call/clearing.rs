//! The end of a call (Q.931 §5.3).

use std::time::Instant;

use super::super::element::{Cause, Element};
use super::super::message::{Message, MessageType};
use super::super::timer::Timer;
use super::{Call, CallState, Fault, Indication, Step};
use crate::Side;

impl Call {
    /// DISCONNECT came.
    pub(super) fn disconnected(
        &mut self,
        now: Instant,
        message: &Message,
        fault: Option<Fault>,
        step: &mut Step,
    ) {
        if self.state == self.disconnecting(true) {
            // §5.3.5: clear collision.
            self.release(now, step);
            return;
        }
        if !self.is_up() {
            return;
        }
        // §5.8.6.1, §5.8.6.2: without a cause it is 31, normal, unspecified.
        let cause = message.cause().unwrap_or(self.rules.cause(31));
        self.state = self.disconnecting(false);
        self.stop_for_clearing();
        if let Some(fault) = fault {
            // RELEASE says what was wrong with it.
            self.fault = Some(fault);
        }
        let in_band = message.is_in_band();
        step.indicate(Indication::Disconnect { cause, in_band, by_us: false });
    }

    /// RELEASE came.
    pub(super) fn released(&mut self, message: &Message, step: &mut Step) {
        let was_clearing = !self.is_up();
        let cause = match message.cause() {
            Some(cause) => cause,
            // As the answer to DISCONNECT it needs none.
            None if was_clearing => self.cause,
            None => self.rules.cause(31),
        };
        // §5.3.5: both sent RELEASE.
        if self.state != CallState::ReleaseRequest {
            let elements = match message.cause() {
                Some(_) => Vec::new(),
                None if was_clearing => Vec::new(),
                None => {
                    // §5.8.6.1, §5.8.6.2: as the first clearing message it lacks its cause.
                    let is_invalid = message.elements.contains(&Element::Invalid(0x08));
                    let value = if is_invalid { 100 } else { 96 };
                    vec![Element::Diagnosed(self.rules.cause(value), vec![0x08])]
                }
            };
            step.send(MessageType::ReleaseComplete, elements);
        }
        self.gone(step, cause);
    }

    pub(super) fn disconnect(&mut self, now: Instant, in_band: bool, step: &mut Step) {
        if !self.outgoing && self.state == self.initial() {
            // §5.2.5.1: refused before any answer.
            step.send(MessageType::ReleaseComplete, vec![Element::Cause(self.cause)]);
            self.end(step, self.cause);
        } else if self.is_up() {
            self.send_disconnect(now, Element::Cause(self.cause), in_band, step);
        } else if self.state == self.disconnecting(false) {
            // §5.3.3, §5.3.4: the answer to DISCONNECT.
            self.release(now, step);
        }
    }

    /// A timer or the other end's state says that the call leads nowhere; the owner is told, and
    /// the other end.
    pub(super) fn give_up(&mut self, now: Instant, value: u8, step: &mut Step) {
        self.cause = self.rules.cause(value);
        self.tell_of_end(step);
        self.disconnect(now, false, step);
    }

    /// The same by a timer that the other end is told of: recovery on timer expiry.
    pub(super) fn give_up_by(&mut self, now: Instant, value: u8, timer: Timer, step: &mut Step) {
        self.cause = self.rules.cause(value);
        self.tell_of_end(step);
        let element = self.expiry(timer);
        self.send_disconnect(now, element, false, step);
    }

    /// It was decided here that the call is to end.
    pub(super) fn tell_of_end(&self, step: &mut Step) {
        let Self { cause, .. } = *self;
        step.indicate(Indication::Disconnect { cause, in_band: false, by_us: true });
    }

    fn send_disconnect(&mut self, now: Instant, cause: Element, in_band: bool, step: &mut Step) {
        if self.running.is_without_link() {
            // §5.8.9: there is nobody to tell. Should the link come back, the other end asks.
            self.end(step, self.cause);
            return;
        }
        let mut elements = vec![cause];
        if in_band {
            elements.push(self.in_band());
        }
        step.send(MessageType::Disconnect, elements);
        self.state = self.disconnecting(true);
        self.stop_for_clearing();
        // §5.3.4.1: the network gives a tone for T306; without one it is T305, as for the user.
        let is_toned = in_band && self.rules.side == Side::Network;
        self.start(now, if is_toned { Timer::T306 } else { Timer::T305 });
    }

    pub(super) fn release(&mut self, now: Instant, step: &mut Step) {
        let element = match self.fault.take() {
            Some(fault) => Element::Diagnosed(self.rules.cause(fault.cause), fault.identifiers),
            None => Element::Cause(self.cause),
        };
        step.send(MessageType::Release, vec![element]);
        self.state = CallState::ReleaseRequest;
        self.repeated = false;
        self.stop_for_clearing();
        self.start(now, Timer::T308);
    }

    /// The other end's call has the channel that we have called on (§5.7): ours is over for the
    /// owner at once; the rest is between the two ends.
    pub fn yield_channel(&mut self, now: Instant) -> Step {
        let mut step = Step::default();
        self.cause = self.rules.cause(44);
        step.indicate(Indication::Released { cause: self.cause, by_us: true });
        self.release(now, &mut step);
        self.disowned = true;
        step
    }

    /// The other end has ended the call.
    pub(super) fn gone(&mut self, step: &mut Step, cause: Cause) {
        self.over(step, cause, false);
    }

    /// The call ends here, whatever the other end makes of it.
    pub(super) fn end(&mut self, step: &mut Step, cause: Cause) {
        self.over(step, cause, true);
    }

    fn over(&mut self, step: &mut Step, cause: Cause, by_us: bool) {
        self.state = CallState::Null;
        self.stop_for_clearing();
        self.running.stop_t309();
        step.indicate(Indication::Released { cause, by_us });
        step.gone = true;
    }

    /// §5.8.10: clearing ends an enquiry too.
    fn stop_for_clearing(&mut self) {
        self.running.stop();
        self.running.stop_t322();
    }
}
