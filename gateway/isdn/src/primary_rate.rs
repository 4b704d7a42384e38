//! Data link and calls of one D channel together.
//!
//! | file | subject |
//! |---|---|
//! | `arrival.rs` | calls that the other end makes, and which channel they get |
//! | `restart.rs` | RESTART of channels, by either end |
//! | `service.rs` | SERVICE, where the variant has it |

mod arrival;
mod restart;
mod service;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::q921::{DataLink, LinkConfiguration, LinkCounters, LinkOutput};
use crate::q931::accompanying::{Accompanying, DISPENSABLE};
use crate::q931::call::{Call, CallId, Indication, Request, Rules, Setup, Step};
use crate::q931::element::Element;
use crate::q931::message::{CallReference, Message, MessageType};
use crate::q931::timer::Timers;
use crate::{IsdnError, Side, Variant};
use restart::Restarting;
pub use service::{ServiceCoding, ServiceState};

/// How an interface is set up.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Side that we are.
    pub side: Side,
    /// National variant.
    pub variant: Variant,
    /// Data link.
    pub link: LinkConfiguration,
    /// Timers of the calls.
    pub timers: Timers,
}

impl Configuration {
    /// A side of a variant with the timers of the standards.
    pub fn new(side: Side, variant: Variant) -> Self {
        Self { side, variant, link: LinkConfiguration::new(side), timers: variant.timers(side) }
    }
}

/// What an interface gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A frame for the D channel, without flags and FCS.
    Frame(Vec<u8>),
    /// Something happened to a call.
    Call {
        /// The call.
        call: CallId,
        /// What happened.
        indication: Indication,
    },
    /// Calls can be made.
    LinkUp,
    /// No calls can be made; those that are there wait by T309.
    LinkDown,
    /// The data link does not come up. It is tried on, and said once.
    LinkNotEstablished {
        /// The other end answers, and refuses (DM); else nothing comes from it.
        refused: bool,
    },
    /// The other end restarted these channels (every channel where none are listed), or has
    /// acknowledged that we did: they are idle at both ends.
    Restarted {
        /// B channels; `None` for all.
        channels: Option<Vec<u8>>,
    },
    /// The other end does not acknowledge that a channel (or all) is restarted: it is out of order
    /// until it is restarted anew (Q.931 §5.5.1).
    RestartFailed {
        /// B channel; `None` for all.
        channel: Option<u8>,
    },
    /// The other end says by SERVICE whether a channel is in service, or acknowledges that we did.
    Service {
        /// B channel.
        channel: u8,
        /// What it is in from now on.
        state: ServiceState,
        /// It was announced by us.
        acknowledged: bool,
    },
}

/// What an interface has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The data link.
    pub link: LinkCounters,
    /// Messages received.
    pub messages_received: u64,
    /// Messages sent.
    pub messages_sent: u64,
    /// Messages that could not be read.
    pub messages_refused: u64,
    /// Messages for a call that does not exist.
    pub unknown_call_references: u64,
    /// Calls of the other end that were refused here: on a channel that is busy or does not exist,
    /// or by a SETUP that lacks what it must have.
    pub setups_refused: u64,
    /// Calls of ours that gave way to one of the other end on the same channel.
    pub collisions: u64,
    /// STATUS received.
    pub statuses_received: u64,
    /// STATUS sent.
    pub statuses_sent: u64,
    /// RESTART that were not acknowledged in time.
    pub restarts_failed: u64,
    /// Messages that were too long for N201 and lost elements that can be done without.
    pub messages_shortened: u64,
}

/// One D channel: its data link and its calls.
#[derive(Debug)]
pub struct PrimaryRate {
    configuration: Configuration,
    link: DataLink,
    calls: BTreeMap<CallReference, Call>,
    references: BTreeMap<CallId, CallReference>,
    calls_begun: u64,
    last_reference: u16,
    /// RESTART that are to be sent or wait for their acknowledgement; the first is under way.
    restarting: VecDeque<Restarting>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl PrimaryRate {
    /// An interface whose line is down.
    pub fn new(configuration: Configuration) -> Self {
        let link = DataLink::new(configuration.link);
        Self {
            configuration,
            link,
            calls: BTreeMap::new(),
            references: BTreeMap::new(),
            calls_begun: 0,
            last_reference: 0,
            restarting: VecDeque::new(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The line works: the data link is brought up and kept up.
    pub fn line_up(&mut self, now: Instant) {
        self.link.establish(now);
        self.drain_link(now);
    }

    /// The line is gone.
    pub fn line_down(&mut self, now: Instant) {
        self.link.line_lost();
        self.drain_link(now);
    }

    /// Calls can be made.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// A frame came from the D channel, without flags and FCS.
    pub fn frame(&mut self, now: Instant, octets: &[u8]) {
        self.link.frame(now, octets);
        self.drain_link(now);
    }

    /// Makes a call on a B channel of the caller's choice, one that no call has but for calls that
    /// are being cleared.
    pub fn setup(&mut self, now: Instant, setup: &Setup) -> Result<CallId, IsdnError> {
        if !self.link.is_up() {
            return Err(IsdnError::LinkDown);
        }
        let channel = setup.channel;
        if !self.configuration.variant.b_channels.contains(&channel) {
            return Err(IsdnError::NoSuchChannel { channel });
        }
        if self.calls.values().any(|call| call.holds(channel) && call.is_up()) {
            return Err(IsdnError::ChannelBusy { channel });
        }
        let reference = self.free_reference()?;
        let id = self.new_id();
        let (call, step) = Call::outgoing(now, id, reference, self.rules(), setup);
        self.references.insert(id, call.reference);
        let key = call.reference;
        self.calls.insert(key, call);
        self.carry_out(now, key, step);
        self.drain_link(now);
        Ok(id)
    }

    /// Asks something of a call.
    pub fn request(
        &mut self,
        now: Instant,
        call: CallId,
        request: Request,
    ) -> Result<(), IsdnError> {
        self.request_with(now, call, request, &Accompanying::default())
    }

    /// Asks something of a call; `accompanying` goes along with the message that it makes.
    pub fn request_with(
        &mut self,
        now: Instant,
        call: CallId,
        request: Request,
        accompanying: &Accompanying,
    ) -> Result<(), IsdnError> {
        let key = *self.references.get(&call).ok_or(IsdnError::NoSuchCall)?;
        let call = self.calls.get_mut(&key).ok_or(IsdnError::NoSuchCall)?;
        let step = call
            .request(now, request, accompanying)
            .map_err(|state| IsdnError::WrongState { state: state as u8 })?;
        self.carry_out(now, key, step);
        self.drain_link(now);
        Ok(())
    }

    /// Takes another channel for a call that the other end makes: before anything is asked of the
    /// call, and if the other end's channel was only preferred (Q.931 §5.1.2, §5.2.3.1).
    pub fn move_call(&mut self, call: CallId, channel: u8) -> Result<(), IsdnError> {
        if !self.configuration.variant.b_channels.contains(&channel) {
            return Err(IsdnError::NoSuchChannel { channel });
        }
        if self.calls.values().any(|other| other.holds(channel)) {
            return Err(IsdnError::ChannelBusy { channel });
        }
        let key = *self.references.get(&call).ok_or(IsdnError::NoSuchCall)?;
        let call = self.calls.get_mut(&key).ok_or(IsdnError::NoSuchCall)?;
        call.move_to(channel).map_err(|state| IsdnError::WrongState { state: state as u8 })
    }

    /// The B channel of a call.
    pub fn channel(&self, call: CallId) -> Option<u8> {
        Some(self.calls.get(self.references.get(&call)?)?.channel)
    }

    /// Calls that are there.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The calls that are there, those that are being cleared included.
    pub fn call_ids(&self) -> impl Iterator<Item = CallId> {
        self.calls.values().map(|call| call.id)
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        Counters { link: self.link.counters(), ..self.counters }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        self.link.timeout(now);
        let due: Vec<CallReference> = self
            .calls
            .iter()
            .filter(|(_, call)| call.next_deadline().is_some_and(|at| at <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let step = self.calls.get_mut(&key).map(|call| call.timeout(now));
            self.carry_out(now, key, step.unwrap_or_default());
        }
        self.restart_timeout(now);
        self.drain_link(now);
    }

    /// When [`PrimaryRate::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.calls
            .values()
            .filter_map(Call::next_deadline)
            .chain(self.link.next_deadline())
            .chain(self.restart_deadline())
            .min()
    }

    /// The next output; drain it after every call of another method.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn rules(&self) -> Rules {
        let Configuration { side, variant, timers, .. } = self.configuration;
        Rules { side, variant, timers }
    }

    fn new_id(&mut self) -> CallId {
        self.calls_begun += 1;
        CallId(self.calls_begun)
    }

    /// §4.3: a call reference of ours that no call has.
    fn free_reference(&mut self) -> Result<u16, IsdnError> {
        let max = if self.configuration.variant.call_reference_octets == 1 { 0x7f } else { 0x7fff };
        for _ in 0..max {
            self.last_reference = self.last_reference % max + 1;
            // What comes to us for our own calls has the flag set.
            let key = CallReference { value: self.last_reference, to_origin: true };
            if !self.calls.contains_key(&key) {
                return Ok(self.last_reference);
            }
        }
        Err(IsdnError::NoCallReference)
    }

    fn drain_link(&mut self, now: Instant) {
        while let Some(output) = self.link.poll_output() {
            match output {
                LinkOutput::Frame(octets) => self.outputs.push_back(Output::Frame(octets)),
                LinkOutput::Data(octets) => self.message(now, &octets),
                LinkOutput::Established => {
                    self.outputs.push_back(Output::LinkUp);
                    self.for_each_call(now, |call| call.link_up(now));
                    self.restart_again(now);
                }
                LinkOutput::NotEstablished { refused } => {
                    self.outputs.push_back(Output::LinkNotEstablished { refused });
                }
                LinkOutput::Released => {
                    self.outputs.push_back(Output::LinkDown);
                    self.for_each_call(now, |call| call.link_down(now));
                }
            }
        }
    }

    fn for_each_call(&mut self, now: Instant, mut act: impl FnMut(&mut Call) -> Step) {
        let keys: Vec<CallReference> = self.calls.keys().copied().collect();
        for key in keys {
            let step = self.calls.get_mut(&key).map(&mut act);
            self.carry_out(now, key, step.unwrap_or_default());
        }
    }

    fn message(&mut self, now: Instant, octets: &[u8]) {
        self.counters.messages_received += 1;
        let message = match Message::decode(octets) {
            Ok(message) => message,
            Err(IsdnError::OtherProtocol { .. }) if self.maintenance(now, octets) => return,
            Err(_) => {
                // §5.8.1, §5.8.2: too short or of another protocol, ignored.
                self.counters.messages_refused += 1;
                return;
            }
        };
        self.counters.statuses_received += u64::from(message.message_type == MessageType::Status);
        let key = message.reference;
        if key.value == 0 {
            self.global(now, &message);
        } else if let Some(call) = self.calls.get_mut(&key) {
            let step = call.message(now, &message);
            self.carry_out(now, key, step);
        } else {
            self.unknown_call(now, key, &message);
        }
    }

    /// §5.8.3.2: a message for no call that is known.
    fn unknown_call(&mut self, now: Instant, key: CallReference, message: &Message) {
        let rules = self.rules();
        let cause = |value| Element::Cause(rules.cause(value));
        match message.message_type {
            MessageType::Setup if !key.to_origin => self.arrival(now, key, message),
            // §5.8.3.2 b), c).
            MessageType::Setup | MessageType::ReleaseComplete => {}
            MessageType::Status => {
                let is_null = message.elements.contains(&Element::CallState(0));
                if !is_null {
                    self.send(now, key, MessageType::ReleaseComplete, vec![cause(101)]);
                }
            }
            MessageType::StatusEnquiry => {
                let elements = vec![cause(30), Element::CallState(0)];
                self.send(now, key, MessageType::Status, elements);
            }
            _ => {
                self.counters.unknown_call_references += 1;
                self.send(now, key, MessageType::ReleaseComplete, vec![cause(81)]);
            }
        }
    }

    fn carry_out(&mut self, now: Instant, key: CallReference, step: Step) {
        let Some(call) = self.calls.get(&key) else { return };
        let id = call.id;
        for (message_type, elements) in step.messages {
            self.send(now, key, message_type, elements);
        }
        for indication in step.indications {
            self.outputs.push_back(Output::Call { call: id, indication });
        }
        if step.gone {
            self.calls.remove(&key);
            self.references.remove(&id);
        }
    }

    /// Answers with the other flag than that of what comes (§4.3).
    fn send(
        &mut self,
        now: Instant,
        key: CallReference,
        message_type: MessageType,
        elements: Vec<Element>,
    ) {
        let reference = CallReference { value: key.value, to_origin: !key.to_origin };
        self.put(now, &Message { reference, message_type, elements });
    }

    fn put(&mut self, now: Instant, message: &Message) {
        self.counters.messages_sent += 1;
        self.counters.statuses_sent += u64::from(message.message_type == MessageType::Status);
        let reference_octets = self.configuration.variant.call_reference_octets;
        let mut octets = message.encode(reference_octets);
        if octets.len() > self.configuration.link.n201_octets {
            self.counters.messages_shortened += 1;
            let mut shortened = message.clone();
            for identifier in DISPENSABLE {
                shortened.elements.retain(|element| element.identifier() != identifier);
                octets = shortened.encode(reference_octets);
                if octets.len() <= self.configuration.link.n201_octets {
                    break;
                }
            }
        }
        self.link.data(now, octets);
    }
}

#[cfg(test)]
mod tests;
