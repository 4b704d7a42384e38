//! One call: its state and what each message, request and timer does in it (Q.931 §5).
//!
//! The side that sends SETUP goes through the states of the outgoing call, the other through those
//! of the incoming call. States have the user side's numbers when the user made the call (U1, U3,
//! U4 and N1, N3, N4), and those of a call to the user otherwise (U6 to U9, N6 to N9).
//!
//! | file | subject |
//! |---|---|
//! | `vocabulary.rs` | what the owner asks for and is told |
//! | `establishment.rs` | from SETUP to CONNECT ACKNOWLEDGE, digit by digit if need be |
//! | `clearing.rs` | DISCONNECT, RELEASE, RELEASE COMPLETE |
//! | `recovery.rs` | what the other end takes the state for; a data link that was down |
//! | `validity.rs` | messages that lack an element or make no sense |

mod clearing;
mod establishment;
mod recovery;
mod validity;
mod vocabulary;

use std::time::Instant;

use super::accompanying::Accompanying;
use super::element::{Cause, ChannelIdentification, Channels, Element, Progress};
use super::message::{CallReference, Message, MessageType};
use super::timer::{Running, Timer, Timers};
use crate::{Side, Variant};
pub(crate) use validity::{Fault, fault_in};
pub use vocabulary::{CallId, CallState, Indication, Request, Setup};

/// What a call does in one step.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub messages: Vec<(MessageType, Vec<Element>)>,
    pub indications: Vec<Indication>,
    /// The call is over.
    pub gone: bool,
}

impl Step {
    fn send(&mut self, message_type: MessageType, elements: Vec<Element>) {
        self.messages.push((message_type, elements));
    }

    fn indicate(&mut self, indication: Indication) {
        self.indications.push(indication);
    }
}

/// What is the same for every call of an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub side: Side,
    pub variant: Variant,
    pub timers: Timers,
}

impl Rules {
    /// A cause that is given here.
    pub fn cause(&self, value: u8) -> Cause {
        Cause { value, location: self.variant.location(self.side) }
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub id: CallId,
    pub reference: CallReference,
    pub state: CallState,
    pub channel: u8,
    /// The channel is the only one that will do.
    exclusive: bool,
    /// The owner has been told that the call is over; what is left is between the two ends.
    disowned: bool,
    rules: Rules,
    /// We sent SETUP.
    outgoing: bool,
    /// SETUP as sent, for its repetition.
    setup: Vec<Element>,
    /// A message that names the channel was sent in answer to SETUP (§5.1.2, §5.2.3.1).
    channel_named: bool,
    /// The message that T303 or T308 guards was sent twice.
    repeated: bool,
    /// The cause with which we clear.
    cause: Cause,
    /// What was wrong with the DISCONNECT that came.
    fault: Option<Fault>,
    /// STATUS ENQUIRY that were sent and not answered, and our state at the first.
    enquiries: u32,
    enquired_in: CallState,
    running: Running,
}

impl Call {
    /// A call that we make; SETUP is sent.
    pub fn outgoing(
        now: Instant,
        id: CallId,
        reference: u16,
        rules: Rules,
        setup: &Setup,
    ) -> (Self, Step) {
        let mut call = Self::new(id, reference, rules, true, setup.channel, setup.exclusive);
        call.setup = establishment::setup_elements(setup, &rules);
        let mut step = Step::default();
        step.send(MessageType::Setup, call.setup.clone());
        call.start(now, Timer::T303);
        (call, step)
    }

    /// A call that the other end makes.
    pub fn incoming(id: CallId, reference: u16, rules: Rules, setup: Setup) -> (Self, Step) {
        let call = Self::new(id, reference, rules, false, setup.channel, setup.exclusive);
        let mut step = Step::default();
        step.indicate(Indication::Setup(Box::new(setup)));
        (call, step)
    }

    fn new(
        id: CallId,
        reference: u16,
        rules: Rules,
        outgoing: bool,
        channel: u8,
        exclusive: bool,
    ) -> Self {
        let from_user = (rules.side == Side::User) == outgoing;
        Self {
            id,
            reference: CallReference { value: reference, to_origin: outgoing },
            state: if from_user { CallState::CallInitiated } else { CallState::CallPresent },
            channel,
            exclusive,
            disowned: false,
            rules,
            outgoing,
            setup: Vec::new(),
            channel_named: false,
            repeated: false,
            cause: rules.cause(16),
            fault: None,
            enquiries: 0,
            enquired_in: CallState::Null,
            running: Running::default(),
        }
    }

    /// The next time at which [`Call::timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.running.next_deadline()
    }

    /// A message for this call came.
    pub fn message(&mut self, now: Instant, message: &Message) -> Step {
        let mut step = Step::default();
        let fault = fault_in(message, self.rules.side);
        match message.message_type {
            MessageType::Disconnect => self.disconnected(now, message, fault, &mut step),
            MessageType::Release => self.released(message, &mut step),
            MessageType::ReleaseComplete => {
                // §5.8.6.1: without a cause it is 31, normal, unspecified; as the answer to our
                // RELEASE it needs none.
                let cause = match message.cause() {
                    Some(cause) => cause,
                    None if self.state == CallState::ReleaseRequest => self.cause,
                    None => self.rules.cause(31),
                };
                self.gone(&mut step, cause);
            }
            // §5.8.4: a message that does not exist. A SEGMENT is one of these: messages that fit
            // into N201 need none (§5.8.1, annex H is not used).
            MessageType::Other(octet) => self.send_status(&mut step, 97, &[octet]),
            _ if let Some(fault) = fault => {
                // §5.8.6: no action, but for telling why.
                self.send_status(&mut step, fault.cause, &fault.identifiers);
            }
            MessageType::StatusEnquiry => self.send_status(&mut step, 30, &[]),
            MessageType::Status => self.status(now, message, &mut step),
            MessageType::Notify => {
                if let Some(description) = message.find(|element| match element {
                    Element::NotificationIndicator(description) => Some(*description),
                    _ => None,
                }) {
                    step.indicate(Indication::Notify { description });
                }
            }
            MessageType::Information => self.information(now, message, &mut step),
            // §5.8.3.2 c): SETUP for a call that is there.
            MessageType::Setup => {}
            _ => self.establishing(now, message, &mut step),
        }
        let accompanying = Accompanying::of(message);
        if !step.indications.is_empty() && accompanying.is_worth_telling() {
            step.indications.insert(0, Indication::Accompanying(Box::new(accompanying)));
        }
        self.own(step)
    }

    /// The owner asks for something; `accompanying` goes along with its message.
    pub fn request(
        &mut self,
        now: Instant,
        request: Request,
        accompanying: &Accompanying,
    ) -> Result<Step, CallState> {
        let mut step = Step::default();
        if self.disowned {
            return Err(CallState::Null);
        }
        match request {
            Request::Disconnect { cause, in_band } => {
                self.cause = self.rules.cause(cause);
                self.disconnect(now, in_band, &mut step);
            }
            Request::PassOn { cause } => {
                self.cause = cause;
                self.disconnect(now, false, &mut step);
            }
            Request::Enquire if self.is_up() => self.enquire(now, &mut step),
            Request::Enquire => return Err(self.state),
            // §5.9: while the call is answered, or on its way to be.
            Request::Notify { description } if self.is_up() && self.state != self.initial() => {
                let element = Element::NotificationIndicator(description);
                step.send(MessageType::Notify, vec![element]);
            }
            Request::Notify { .. } => return Err(self.state),
            request => self.establish(now, request, &mut step)?,
        }
        if let Some((_, elements)) = step.messages.last_mut() {
            elements.extend(accompanying.elements(self.rules.side, &self.rules.variant));
        }
        Ok(self.own(step))
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) -> Step {
        let mut step = Step::default();
        let Some(timer) = self.running.expired(now) else { return step };
        match timer {
            Timer::T303 if !self.repeated => {
                // §5.1.1, §5.2.5.4: SETUP once more.
                self.repeated = true;
                step.send(MessageType::Setup, self.setup.clone());
                self.start(now, Timer::T303);
            }
            Timer::T303 => {
                // Nobody answers: RELEASE COMPLETE, as no response was received (§5.3.2 c).
                let element = self.expiry(timer);
                step.send(MessageType::ReleaseComplete, vec![element]);
                // Towards the network it is recovery on timer expiry; from the network's view the
                // user does not respond (§5.2.5.4).
                let value = if self.rules.side == Side::Network { 18 } else { 102 };
                self.end(&mut step, self.rules.cause(value));
            }
            Timer::T302 => {
                // §5.1.3, §5.2.4: no more digits come; whether they suffice is the owner's to say.
                step.indicate(Indication::Digits { digits: String::new(), complete: true });
            }
            Timer::T301 => self.give_up(now, 19, &mut step),
            // §5.2.4: for the one who calls the number is incomplete; the other end is told of the
            // timer.
            Timer::T304 => self.give_up_by(now, 28, timer, &mut step),
            Timer::T313 => self.give_up_by(now, 102, timer, &mut step),
            Timer::T310 => {
                let value = if self.rules.side == Side::Network { 18 } else { 102 };
                self.give_up_by(now, value, timer, &mut step);
            }
            // §5.3.3, §5.3.4: with the cause that DISCONNECT had.
            Timer::T305 | Timer::T306 => self.release(now, &mut step),
            Timer::T308 if !self.repeated => {
                self.repeated = true;
                let element = self.expiry(timer);
                step.send(MessageType::Release, vec![element]);
                self.start(now, Timer::T308);
            }
            Timer::T308 => self.end(&mut step, self.cause),
            Timer::T309 => self.end(&mut step, self.rules.cause(27)),
            Timer::T322 => self.enquiry_unanswered(now, &mut step),
            // Of the interface, not of a call.
            Timer::T316 => {}
        }
        self.own(step)
    }

    /// The channel was restarted by the other end, or here (§5.5): the call is gone without a
    /// message.
    pub fn restarted(&mut self, by_us: bool) -> Step {
        let mut step = Step::default();
        if by_us {
            self.end(&mut step, self.rules.cause(41));
        } else {
            let location = self.rules.variant.location(self.rules.side.other());
            self.gone(&mut step, Cause { value: 41, location });
        }
        self.own(step)
    }

    /// We called on this channel, and there is no answer yet.
    pub fn is_seizing(&self, channel: u8) -> bool {
        self.outgoing && self.state == self.initial() && self.channel == channel
    }

    /// Holds its channel: one that is being cleared after a collision does not.
    pub fn holds(&self, channel: u8) -> bool {
        !self.disowned && self.channel == channel
    }

    /// Indications of a call that the owner does not know any more lead nowhere.
    fn own(&self, mut step: Step) -> Step {
        if self.disowned {
            step.indications.clear();
        }
        step
    }

    /// Whether the user's side made the call, which decides the numbers of the states.
    fn is_from_user(&self) -> bool {
        (self.rules.side == Side::User) == self.outgoing
    }

    fn initial(&self) -> CallState {
        if self.is_from_user() { CallState::CallInitiated } else { CallState::CallPresent }
    }

    fn overlap(&self) -> CallState {
        if self.is_from_user() { CallState::OverlapSending } else { CallState::OverlapReceiving }
    }

    fn proceeding(&self) -> CallState {
        if self.is_from_user() {
            CallState::OutgoingCallProceeding
        } else {
            CallState::IncomingCallProceeding
        }
    }

    fn alerting(&self) -> CallState {
        if self.is_from_user() { CallState::CallDelivered } else { CallState::CallReceived }
    }

    /// The state after a DISCONNECT that `by_us` sent.
    fn disconnecting(&self, by_us: bool) -> CallState {
        if (self.rules.side == Side::User) == by_us {
            CallState::DisconnectRequest
        } else {
            CallState::DisconnectIndication
        }
    }

    /// Before answer, or answered: a call that can still be disconnected.
    pub fn is_up(&self) -> bool {
        !matches!(
            self.state,
            CallState::Null
                | CallState::DisconnectRequest
                | CallState::DisconnectIndication
                | CallState::ReleaseRequest
        )
    }

    fn is_before(&self, state: CallState) -> bool {
        self.state.rank() < state.rank()
    }

    fn start(&mut self, now: Instant, timer: Timer) {
        self.running.start(now, timer, &self.rules.timers);
    }

    /// In-band information is available, as this side says it.
    fn in_band(&self) -> Element {
        let location = self.rules.variant.location(self.rules.side);
        Element::ProgressIndicator(Progress { description: Progress::IN_BAND, location })
    }

    /// Cause 102 with the timer's number as its diagnostic (Q.850 §2.2.5).
    fn expiry(&self, timer: Timer) -> Element {
        Element::Diagnosed(self.rules.cause(102), timer.number().to_string().into_bytes())
    }
}

fn channel_element(channel: u8, exclusive: bool) -> Element {
    let channels = Channels::Listed(vec![channel]);
    Element::ChannelIdentification(ChannelIdentification { exclusive, channels })
}

#[cfg(test)]
mod table;
