//! One call: its state and what each message, request and timer does in it (Q.931 §5).
//!
//! The side that sends SETUP goes through the states of the outgoing call, the other through those
//! of the incoming call. States have the user side's numbers when the user made the call (U1, U3,
//! U4 and N1, N3, N4), and those of a call to the user otherwise (U6 to U9, N6 to N9).

use std::time::Instant;

use super::element::{
    BearerCapability, Cause, ChannelIdentification, Channels, Element, Location, Number,
};
use super::message::{CallReference, Message, MessageType};
use super::timer::{Running, Timer, Timers};
use crate::{Side, Variant};

/// A call on a D channel; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// States of Q.931 §2.1.1 and §2.2.1, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallState {
    /// 0: null.
    Null = 0,
    /// 1: call initiated.
    CallInitiated = 1,
    /// 2: overlap sending.
    OverlapSending = 2,
    /// 3: outgoing call proceeding.
    OutgoingCallProceeding = 3,
    /// 4: call delivered.
    CallDelivered = 4,
    /// 6: call present.
    CallPresent = 6,
    /// 7: call received.
    CallReceived = 7,
    /// 8: connect request.
    ConnectRequest = 8,
    /// 9: incoming call proceeding.
    IncomingCallProceeding = 9,
    /// 10: active.
    Active = 10,
    /// 11: disconnect request.
    DisconnectRequest = 11,
    /// 12: disconnect indication.
    DisconnectIndication = 12,
    /// 19: release request.
    ReleaseRequest = 19,
    /// 25: overlap receiving.
    OverlapReceiving = 25,
}

/// A call to be made or offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// B channel, by its timeslot.
    pub channel: u8,
    /// The channel may not be changed by the other end.
    pub exclusive: bool,
    /// What the B channel carries.
    pub bearer: BearerCapability,
    /// Called number.
    pub called: Number,
    /// Calling number.
    pub calling: Option<Number>,
    /// All digits are there.
    pub sending_complete: bool,
}

/// What the owner asks of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// CALL PROCEEDING: all digits are there, the call is under way.
    Proceeding,
    /// PROGRESS with something to hear.
    Progress,
    /// ALERTING.
    Alerting {
        /// A ring-back tone can be heard.
        in_band: bool,
    },
    /// CONNECT.
    Connect,
    /// Ends the call, as its state asks for: DISCONNECT, RELEASE or RELEASE COMPLETE.
    Disconnect {
        /// Q.850 cause.
        cause: u8,
        /// A tone can be heard until the other end releases.
        in_band: bool,
    },
    /// Ends the call in the same way, with a cause that came from another line: it keeps its location
    /// (Q.850 §2.2.3).
    PassOn {
        /// The cause as it came.
        cause: Cause,
    },
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indication {
    /// The other end calls.
    Setup(Box<Setup>),
    /// CALL PROCEEDING came.
    Proceeding {
        /// Something can be heard.
        in_band: bool,
    },
    /// PROGRESS came.
    Progress {
        /// Something can be heard.
        in_band: bool,
    },
    /// ALERTING came.
    Alerting {
        /// A ring-back tone can be heard.
        in_band: bool,
    },
    /// CONNECT came; it was acknowledged.
    Connect,
    /// CONNECT ACKNOWLEDGE came.
    ConnectAcknowledged,
    /// The call is to end: DISCONNECT came or a timer ran out. Answer with
    /// [`Request::Disconnect`]; [`Indication::Released`] follows.
    Disconnect {
        /// The cause.
        cause: Cause,
        /// A tone or announcement can be heard.
        in_band: bool,
    },
    /// Nothing is left of the call.
    Released {
        /// The cause.
        cause: Cause,
    },
}

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

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub id: CallId,
    pub reference: CallReference,
    pub state: CallState,
    pub channel: u8,
    side: Side,
    /// We sent SETUP.
    outgoing: bool,
    /// SETUP as sent, for its repetition.
    setup: Vec<Element>,
    /// A message that names the channel was sent in answer to SETUP (§5.1.2, §5.2.3.1).
    channel_named: bool,
    repeated: bool,
    /// The cause with which we clear.
    cause: Cause,
    running: Running,
    timers: Timers,
}

impl Call {
    /// A call that we make; SETUP is sent.
    pub fn outgoing(
        now: Instant,
        id: CallId,
        reference: u16,
        side: Side,
        setup: &Setup,
        variant: &Variant,
        timers: Timers,
    ) -> (Self, Step) {
        let mut elements = vec![
            Element::BearerCapability(setup.bearer),
            channel_element(setup.channel, setup.exclusive),
            Element::CalledPartyNumber(setup.called.clone()),
        ];
        elements.extend(setup.calling.clone().map(Element::CallingPartyNumber));
        if setup.sending_complete && variant.sending_complete {
            elements.push(Element::SendingComplete);
        }
        let mut call = Self::new(id, reference, side, true, setup.channel, timers);
        call.setup.clone_from(&elements);
        let mut step = Step::default();
        step.send(MessageType::Setup, elements);
        call.running.start(now, Timer::T303, &call.timers);
        (call, step)
    }

    /// A call that the other end makes.
    pub fn incoming(
        id: CallId,
        reference: u16,
        side: Side,
        setup: Setup,
        timers: Timers,
    ) -> (Self, Step) {
        let call = Self::new(id, reference, side, false, setup.channel, timers);
        let mut step = Step::default();
        step.indicate(Indication::Setup(Box::new(setup)));
        (call, step)
    }

    fn new(
        id: CallId,
        reference: u16,
        side: Side,
        outgoing: bool,
        channel: u8,
        timers: Timers,
    ) -> Self {
        let mut call = Self {
            id,
            reference: CallReference { value: reference, to_origin: outgoing },
            state: CallState::Null,
            channel,
            side,
            outgoing,
            setup: Vec::new(),
            channel_named: false,
            repeated: false,
            cause: Cause { value: 16, location: own_location(side) },
            running: Running::default(),
            timers,
        };
        call.state = call.initial();
        call
    }

    /// Whether the user's side made the call, which decides the numbers of the states.
    fn is_from_user(&self) -> bool {
        (self.side == Side::User) == self.outgoing
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
        if (self.side == Side::User) == by_us {
            CallState::DisconnectRequest
        } else {
            CallState::DisconnectIndication
        }
    }

    /// Before answer, or answered: a call that can still be disconnected.
    fn is_up(&self) -> bool {
        !matches!(
            self.state,
            CallState::Null
                | CallState::DisconnectRequest
                | CallState::DisconnectIndication
                | CallState::ReleaseRequest
        )
    }

    /// The next time at which [`Call::timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.running.next_deadline()
    }

    /// A message for this call came.
    pub fn message(&mut self, now: Instant, message: &Message) -> Step {
        let mut step = Step::default();
        let in_band = message.is_in_band();
        let named = message.channel().map(|(channel, _)| channel);
        if self.outgoing
            && named.is_some_and(|channel| channel != self.channel)
            && self.is_before(CallState::Active)
            && answers_setup(message.message_type)
        {
            // §5.1.2, §5.2.3.1: the channel was asked for as the only one; 6, channel
            // unacceptable.
            self.give_up(now, 6, &mut step);
            return step;
        }
        match message.message_type {
            MessageType::SetupAcknowledge if self.outgoing && self.state == self.initial() => {
                // §5.1.3: the number was sent whole; T304 guards the wait.
                self.state = self.overlap();
                self.running.start(now, Timer::T304, &self.timers);
            }
            MessageType::CallProceeding if self.outgoing && self.is_before(self.proceeding()) => {
                self.state = self.proceeding();
                self.running.start(now, Timer::T310, &self.timers);
                step.indicate(Indication::Proceeding { in_band });
            }
            MessageType::Progress if self.outgoing && self.is_up() => {
                if in_band {
                    // §5.1.6: the call left the ISDN, no more messages need come.
                    self.running.stop();
                }
                step.indicate(Indication::Progress { in_band });
            }
            MessageType::Alerting if self.outgoing && self.is_before(self.alerting()) => {
                self.state = self.alerting();
                self.running.start(now, Timer::T301, &self.timers);
                step.indicate(Indication::Alerting { in_band });
            }
            MessageType::Connect if self.outgoing && self.is_before(CallState::Active) => {
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
            MessageType::ConnectAcknowledge if self.state == CallState::Active => {}
            MessageType::Disconnect if self.is_up() => {
                // §5.8.6.1: without a cause it is 31, normal, unspecified.
                let cause = message.cause().unwrap_or(Cause { value: 31, ..self.cause });
                self.state = self.disconnecting(false);
                self.running.stop();
                step.indicate(Indication::Disconnect { cause, in_band });
            }
            MessageType::Disconnect if self.state == self.disconnecting(true) => {
                // §5.3.5: clear collision.
                self.release(now, &mut step);
            }
            MessageType::Disconnect => {}
            MessageType::Release => {
                let cause = message.cause().unwrap_or(self.cause);
                if self.state != CallState::ReleaseRequest {
                    step.send(MessageType::ReleaseComplete, Vec::new());
                }
                self.gone(&mut step, cause);
            }
            MessageType::ReleaseComplete => {
                let cause = message.cause().unwrap_or(self.cause);
                self.gone(&mut step, cause);
            }
            MessageType::StatusEnquiry => self.send_status(&mut step, 30),
            MessageType::Status => self.status(now, message, &mut step),
            MessageType::Information | MessageType::Notify | MessageType::Setup => {}
            // §5.8.4: a message that does not exist or does not fit the state.
            MessageType::Other(_) => self.send_status(&mut step, 97),
            _ => self.send_status(&mut step, 98),
        }
        step
    }

    /// The owner asks for something.
    pub fn request(&mut self, now: Instant, request: Request) -> Result<Step, CallState> {
        let mut step = Step::default();
        match request {
            Request::Proceeding if !self.outgoing && self.is_before(self.proceeding()) => {
                self.state = self.proceeding();
                self.running.stop();
                let elements = self.name_channel();
                step.send(MessageType::CallProceeding, elements);
            }
            Request::Progress if !self.outgoing && self.is_before(CallState::Active) => {
                if self.state == self.initial() {
                    self.state = self.proceeding();
                    self.running.stop();
                    let elements = self.name_channel();
                    step.send(MessageType::CallProceeding, elements);
                }
                step.send(MessageType::Progress, vec![Element::ProgressIndicator(8)]);
            }
            Request::Alerting { in_band } if !self.outgoing && self.is_before(self.alerting()) => {
                self.state = self.alerting();
                self.running.stop();
                let mut elements = self.name_channel();
                if in_band {
                    elements.push(Element::ProgressIndicator(8));
                }
                step.send(MessageType::Alerting, elements);
            }
            Request::Connect if !self.outgoing && self.is_before(CallState::Active) => {
                let elements = self.name_channel();
                step.send(MessageType::Connect, elements);
                self.running.stop();
                if self.side == Side::User {
                    // §5.2.7: the user waits for the network's acknowledgement.
                    self.state = CallState::ConnectRequest;
                    self.running.start(now, Timer::T313, &self.timers);
                } else {
                    self.state = CallState::Active;
                }
            }
            Request::Disconnect { cause, in_band } => {
                self.cause = Cause { value: cause, location: own_location(self.side) };
                self.disconnect(now, in_band, &mut step);
            }
            Request::PassOn { cause } => {
                self.cause = cause;
                self.disconnect(now, false, &mut step);
            }
            _ => return Err(self.state),
        }
        Ok(step)
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
                self.running.start(now, Timer::T303, &self.timers);
            }
            Timer::T303 => {
                // Nobody answers: RELEASE COMPLETE, as no response was received (§5.3.2 c).
                let cause = self.timer_cause();
                step.send(MessageType::ReleaseComplete, vec![Element::Cause(cause)]);
                // Towards the network it is recovery on timer expiry; from the network's view the
                // user does not respond (§5.2.5.4).
                let value = if self.side == Side::Network { 18 } else { 102 };
                self.gone(&mut step, Cause { value, ..cause });
            }
            Timer::T301 => self.give_up(now, 19, &mut step),
            Timer::T302 => self.give_up(now, 28, &mut step),
            Timer::T304 | Timer::T313 => self.give_up(now, 102, &mut step),
            Timer::T310 => {
                let value = if self.side == Side::Network { 18 } else { 102 };
                self.give_up(now, value, &mut step);
            }
            Timer::T305 => self.release(now, &mut step),
            Timer::T308 if !self.repeated => {
                self.repeated = true;
                step.send(MessageType::Release, vec![Element::Cause(self.timer_cause())]);
                self.running.start(now, Timer::T308, &self.timers);
            }
            Timer::T308 => {
                let cause = self.cause;
                self.gone(&mut step, cause);
            }
            Timer::T309 => {
                let cause = Cause { value: 27, location: own_location(self.side) };
                self.gone(&mut step, cause);
            }
            Timer::T316 => {}
        }
        step
    }

    /// The data link went down (§5.8.9): an active call waits for it, others are cleared.
    pub fn link_down(&mut self, now: Instant) -> Step {
        let mut step = Step::default();
        if self.state == CallState::Active {
            self.running.start(now, Timer::T309, &self.timers);
        } else {
            let cause = Cause { value: 27, location: own_location(self.side) };
            self.gone(&mut step, cause);
        }
        step
    }

    /// The data link is back (§5.8.8, §5.8.9): the other end is asked where it stands.
    pub fn link_up(&mut self) -> Step {
        self.running.stop_t309();
        let mut step = Step::default();
        step.send(MessageType::StatusEnquiry, Vec::new());
        step
    }

    /// The channel was restarted (§5.5): the call is gone without a message.
    pub fn restarted(&mut self) -> Step {
        let mut step = Step::default();
        let cause = Cause { value: 41, location: own_location(self.side.other()) };
        self.gone(&mut step, cause);
        step
    }

    fn is_before(&self, state: CallState) -> bool {
        let rank = |state: CallState| match state {
            CallState::CallInitiated | CallState::CallPresent => 0,
            CallState::OverlapSending | CallState::OverlapReceiving => 1,
            CallState::OutgoingCallProceeding | CallState::IncomingCallProceeding => 2,
            CallState::CallDelivered | CallState::CallReceived => 3,
            CallState::ConnectRequest => 4,
            CallState::Active => 5,
            _ => 6,
        };
        rank(self.state) < rank(state)
    }

    fn disconnect(&mut self, now: Instant, in_band: bool, step: &mut Step) {
        if !self.outgoing && self.state == self.initial() {
            // §5.2.5.1: refused before any answer.
            step.send(MessageType::ReleaseComplete, vec![Element::Cause(self.cause)]);
            let cause = self.cause;
            self.gone(step, cause);
        } else if self.is_up() {
            let mut elements = vec![Element::Cause(self.cause)];
            if in_band {
                elements.push(Element::ProgressIndicator(8));
            }
            step.send(MessageType::Disconnect, elements);
            self.state = self.disconnecting(true);
            self.running.start(now, Timer::T305, &self.timers);
        } else if self.state == self.disconnecting(false) {
            // §5.3.3, §5.3.4: the answer to DISCONNECT.
            self.release(now, step);
        }
    }

    /// A timer says that the call leads nowhere; the owner is told, and the other end.
    fn give_up(&mut self, now: Instant, value: u8, step: &mut Step) {
        self.cause = Cause { value, location: own_location(self.side) };
        step.indicate(Indication::Disconnect { cause: self.cause, in_band: false });
        self.disconnect(now, false, step);
    }

    fn release(&mut self, now: Instant, step: &mut Step) {
        step.send(MessageType::Release, vec![Element::Cause(self.cause)]);
        self.state = CallState::ReleaseRequest;
        self.repeated = false;
        self.running.start(now, Timer::T308, &self.timers);
    }

    fn gone(&mut self, step: &mut Step, cause: Cause) {
        self.state = CallState::Null;
        self.running.stop();
        self.running.stop_t309();
        step.indicate(Indication::Released { cause });
        step.gone = true;
    }

    /// §5.8.11: the other end says in which state it is.
    fn status(&mut self, now: Instant, message: &Message, step: &mut Step) {
        let state = message.find(|element| match element {
            Element::CallState(state) => Some(*state),
            _ => None,
        });
        match state {
            Some(0) => {
                let cause = message.cause().unwrap_or(self.cause);
                self.gone(step, cause);
            }
            Some(state) if !self.is_compatible(state) => self.give_up(now, 101, step),
            _ => {}
        }
    }

    /// An end that is still setting up or already clearing does not fit an active call.
    fn is_compatible(&self, other: u8) -> bool {
        let clearing = matches!(other, 11 | 12 | 19);
        match self.state {
            CallState::Active => matches!(other, 8 | 10) || clearing,
            _ => true,
        }
    }

    fn send_status(&self, step: &mut Step, value: u8) {
        let cause = Cause { value, location: own_location(self.side) };
        let state = Element::CallState(self.state as u8);
        step.send(MessageType::Status, vec![Element::Cause(cause), state]);
    }

    /// The first answer to SETUP names the channel (§5.1.2, §5.2.3.1).
    fn name_channel(&mut self) -> Vec<Element> {
        if std::mem::replace(&mut self.channel_named, true) {
            Vec::new()
        } else {
            vec![channel_element(self.channel, true)]
        }
    }

    fn timer_cause(&self) -> Cause {
        Cause { value: 102, location: own_location(self.side) }
    }
}

/// Messages in which the called side names the channel.
fn answers_setup(message_type: MessageType) -> bool {
    matches!(
        message_type,
        MessageType::SetupAcknowledge
            | MessageType::CallProceeding
            | MessageType::Alerting
            | MessageType::Connect
    )
}

fn channel_element(channel: u8, exclusive: bool) -> Element {
    let channels = Channels::Listed(vec![channel]);
    Element::ChannelIdentification(ChannelIdentification { exclusive, channels })
}

/// Where causes of this side are given (Q.850 §2.2.3).
pub(crate) fn own_location(side: Side) -> Location {
    match side {
        Side::User => Location::User,
        Side::Network => Location::PublicLocal,
    }
}
