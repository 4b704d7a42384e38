//! From SETUP to CONNECT ACKNOWLEDGE (Q.931 §5.1, §5.2).

use std::time::Instant;

use super::super::accompanying::Accompanying;
use super::super::element::{Element, Number};
use super::super::message::{Message, MessageType};
use super::super::timer::Timer;
use super::{Call, CallState, Indication, Request, Rules, Setup, Step, channel_element};
use crate::Side;

/// The elements of SETUP.
pub(super) fn setup_elements(setup: &Setup, rules: &Rules) -> Vec<Element> {
    let mut elements = vec![
        Element::BearerCapability(setup.bearer),
        channel_element(setup.channel, setup.exclusive),
    ];
    // §5.1.1: overlap sending may begin with no digit at all.
    if !setup.called.digits.is_empty() {
        elements.push(Element::CalledPartyNumber(setup.called.clone()));
    }
    elements.extend(setup.calling.clone().map(Element::CallingPartyNumber));
    if setup.sending_complete && rules.variant.sending_complete {
        elements.push(Element::SendingComplete);
    }
    elements.extend(setup.accompanying.elements(rules.side, &rules.variant));
    elements
}

impl Call {
    /// A message of the called side, or its acknowledgement.
    pub(super) fn establishing(&mut self, now: Instant, message: &Message, step: &mut Step) {
        if !self.is_expected(message.message_type) {
            // §5.8.4: a message that does not fit the state.
            self.send_status(step, 98, &[message.message_type.octet()]);
            return;
        }
        if !self.take_channel(now, message, step) {
            return;
        }
        let in_band = message.is_in_band();
        match message.message_type {
            MessageType::SetupAcknowledge => {
                self.state = self.overlap();
                self.start(now, Timer::T304);
                step.indicate(Indication::MoreDigits { in_band });
            }
            MessageType::CallProceeding => {
                self.state = self.proceeding();
                self.start(now, Timer::T310);
                step.indicate(Indication::Proceeding { in_band });
            }
            MessageType::Progress => {
                if self.state == self.initial() {
                    // The other end has taken SETUP, and has not said that it goes on.
                    self.start(now, Timer::T310);
                } else {
                    // §5.1.6: the call left the ISDN, or something is to be heard; no more messages
                    // need come.
                    self.running.stop();
                }
                step.indicate(Indication::Progress { in_band });
            }
            MessageType::Alerting => {
                self.state = self.alerting();
                self.start(now, Timer::T301);
                step.indicate(Indication::Alerting { in_band });
            }
            MessageType::Connect => {
                self.state = CallState::Active;
                self.running.stop();
                step.send(MessageType::ConnectAcknowledge, Vec::new());
                step.indicate(Indication::Connect);
            }
            MessageType::ConnectAcknowledge if self.state == CallState::ConnectRequest => {
                self.state = CallState::Active;
                self.running.stop();
                step.indicate(Indication::ConnectAcknowledged);
            }
            // The user may acknowledge although the network did not wait for it (§5.1.8).
            _ => {}
        }
    }

    fn is_expected(&self, message_type: MessageType) -> bool {
        match message_type {
            MessageType::SetupAcknowledge => self.outgoing && self.state == self.initial(),
            MessageType::CallProceeding => self.outgoing && self.is_before(self.proceeding()),
            MessageType::Progress => self.outgoing && self.is_up(),
            MessageType::Alerting => self.outgoing && self.is_before(self.alerting()),
            MessageType::Connect => self.outgoing && self.is_before(CallState::Active),
            MessageType::ConnectAcknowledge => {
                matches!(self.state, CallState::ConnectRequest | CallState::Active)
            }
            _ => false,
        }
    }

    /// The first answer to SETUP names the channel (§5.1.2, §5.2.3.1). False when it will not do,
    /// and the call is being cleared.
    fn take_channel(&mut self, now: Instant, message: &Message, step: &mut Step) -> bool {
        let named = message.channel().map(|(channel, _)| channel);
        let Some(channel) = named.filter(|channel| *channel != self.channel) else { return true };
        if !self.outgoing || !self.is_before(CallState::Active) {
            return true;
        }
        let is_first = self.state == self.initial();
        if is_first && !self.exclusive && self.rules.variant.b_channels.contains(&channel) {
            self.channel = channel;
            step.indicate(Indication::Channel { channel });
            return true;
        }
        // 6: channel unacceptable.
        self.cause = self.rules.cause(6);
        self.tell_of_end(step);
        self.release(now, step);
        false
    }

    /// INFORMATION: digits while they are awaited (§5.1.3, §5.2.4), else what it carries.
    pub(super) fn information(&mut self, now: Instant, message: &Message, step: &mut Step) {
        let complete = message.elements.contains(&Element::SendingComplete);
        let digits = message.digits();
        if !self.outgoing && self.state == self.overlap() {
            if complete {
                self.running.stop();
            } else {
                self.start(now, Timer::T302);
            }
            let digits = digits.unwrap_or_default();
            if complete || !digits.is_empty() {
                step.indicate(Indication::Digits { digits, complete });
            }
        } else if let Some(keypad) = message.find(|element| match element {
            Element::KeypadFacility(keypad) => Some(keypad.clone()),
            _ => None,
        }) {
            step.indicate(Indication::Keypad(keypad));
        } else if Accompanying::of(message).is_worth_telling() {
            step.indicate(Indication::Information);
        }
    }

    /// What the called side's owner asks for, and digits of the calling side's.
    pub(super) fn establish(
        &mut self,
        now: Instant,
        request: Request,
        step: &mut Step,
    ) -> Result<(), CallState> {
        match request {
            Request::MoreDigits { dial_tone }
                if !self.outgoing && self.state == self.initial() && self.rules.variant.overlap =>
            {
                self.state = self.overlap();
                self.start(now, Timer::T302);
                let mut elements = self.name_channel();
                if dial_tone {
                    elements.push(self.in_band());
                }
                step.send(MessageType::SetupAcknowledge, elements);
            }
            Request::Digits { digits, complete }
                if self.outgoing && self.state == self.overlap() =>
            {
                let mut elements = Vec::new();
                if !digits.is_empty() {
                    // §5.1.3: type and plan were said with the first digits.
                    let called = self.setup.iter().find_map(|element| match element {
                        Element::CalledPartyNumber(number) => Some(number.clone()),
                        _ => None,
                    });
                    let number = Number { digits, ..called.unwrap_or_default() };
                    elements.push(Element::CalledPartyNumber(number));
                }
                if complete && self.rules.variant.sending_complete {
                    elements.push(Element::SendingComplete);
                }
                step.send(MessageType::Information, elements);
                self.start(now, Timer::T304);
            }
            Request::Proceeding if !self.outgoing && self.is_before(self.proceeding()) => {
                self.proceed(step);
            }
            Request::Progress if !self.outgoing && self.is_before(CallState::ConnectRequest) => {
                if self.is_before(self.proceeding()) {
                    self.proceed(step);
                }
                if self.rules.variant.progress {
                    step.send(MessageType::Progress, vec![self.in_band()]);
                }
            }
            Request::Alerting { in_band } if !self.outgoing && self.is_before(self.alerting()) => {
                self.state = self.alerting();
                self.running.stop();
                let mut elements = self.name_channel();
                if in_band {
                    elements.push(self.in_band());
                }
                step.send(MessageType::Alerting, elements);
            }
            Request::Connect if !self.outgoing && self.is_before(CallState::ConnectRequest) => {
                let elements = self.name_channel();
                step.send(MessageType::Connect, elements);
                self.running.stop();
                if self.rules.side == Side::User || self.rules.variant.is_symmetric {
                    // §5.2.7: the user waits for the network's acknowledgement.
                    self.state = CallState::ConnectRequest;
                    self.start(now, Timer::T313);
                } else {
                    self.state = CallState::Active;
                }
            }
            _ => return Err(self.state),
        }
        Ok(())
    }

    fn proceed(&mut self, step: &mut Step) {
        self.state = self.proceeding();
        self.running.stop();
        let elements = self.name_channel();
        step.send(MessageType::CallProceeding, elements);
    }

    /// Takes another channel than the one that the calling side preferred: before the first answer,
    /// which names it.
    pub fn move_to(&mut self, channel: u8) -> Result<(), CallState> {
        let may_move = !self.outgoing && self.state == self.initial() && !self.exclusive;
        if !may_move {
            return Err(self.state);
        }
        self.channel = channel;
        Ok(())
    }

    /// The first answer to SETUP names the channel (§5.1.2, §5.2.3.1).
    fn name_channel(&mut self) -> Vec<Element> {
        if std::mem::replace(&mut self.channel_named, true) {
            Vec::new()
        } else {
            vec![channel_element(self.channel, true)]
        }
    }
}
