//! Data link and calls of one D channel together.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::q921::{DataLink, LinkConfiguration, LinkCounters, LinkOutput};
use crate::q931::call::{Call, CallId, Indication, Request, Setup, Step, own_location};
use crate::q931::element::{
    BearerCapability, Cause, ChannelIdentification, Channels, Element, RestartClass,
    TransferCapability,
};
use crate::q931::message::{CallReference, Message, MessageType};
use crate::q931::timer::Timers;
use crate::{IsdnError, Side, Variant};

/// RESTART is sent so often before the other end is given up (N316 of Q.931 §5.5.1).
const RESTARTS_MAX: u32 = 2;

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
        Self { side, variant, link: LinkConfiguration::new(side), timers: Timers::default() }
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
    /// No calls can be made; active ones wait for T309.
    LinkDown,
    /// The other end restarted these channels (every channel where none are listed): they are idle.
    Restarted {
        /// B channels; `None` for all.
        channels: Option<Vec<u8>>,
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
}

/// A RESTART that waits for its acknowledgement.
#[derive(Debug)]
struct Restarting {
    channel: Option<u8>,
    sent: u32,
    expires_at: Instant,
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
    restarting: Option<Restarting>,
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
            restarting: None,
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

    /// Makes a call on a B channel of the caller's choice.
    pub fn setup(&mut self, now: Instant, setup: &Setup) -> Result<CallId, IsdnError> {
        if !self.link.is_up() {
            return Err(IsdnError::LinkDown);
        }
        let reference = self.free_reference()?;
        let id = self.new_id();
        let Configuration { side, ref variant, timers, .. } = self.configuration;
        let (call, step) = Call::outgoing(now, id, reference, side, setup, variant, timers);
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
        let key = *self.references.get(&call).ok_or(IsdnError::NoSuchCall)?;
        let call = self.calls.get_mut(&key).ok_or(IsdnError::NoSuchCall)?;
        let step = call
            .request(now, request)
            .map_err(|state| IsdnError::WrongState { state: state as u8 })?;
        self.carry_out(now, key, step);
        self.drain_link(now);
        Ok(())
    }

    /// Restarts a B channel, or all (§5.5.1): both ends take it as idle afterwards.
    pub fn restart(&mut self, now: Instant, channel: Option<u8>) {
        let expires_at = now + self.configuration.timers.t316;
        self.restarting = Some(Restarting { channel, sent: 1, expires_at });
        self.send_restart(now, channel);
        self.clear_restarted(now, channel.map(|channel| vec![channel]).as_deref());
        self.drain_link(now);
    }

    /// The B channel of a call.
    pub fn channel(&self, call: CallId) -> Option<u8> {
        Some(self.calls.get(self.references.get(&call)?)?.channel)
    }

    /// Calls that are there.
    pub fn calls(&self) -> usize {
        self.calls.len()
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
        if self.restarting.as_ref().is_some_and(|restarting| restarting.expires_at <= now) {
            self.restart_expired(now);
        }
        self.drain_link(now);
    }

    /// When [`PrimaryRate::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.calls
            .values()
            .filter_map(Call::next_deadline)
            .chain(self.link.next_deadline())
            .chain(self.restarting.as_ref().map(|restarting| restarting.expires_at))
            .min()
    }

    /// The next output; drain it after every call of another method.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
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
                    self.for_each_call(now, |call| call.link_up());
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
            Err(_) => {
                // §5.8.1, §5.8.2: too short or of another protocol, ignored.
                self.counters.messages_refused += 1;
                return;
            }
        };
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
        let cause = |value| {
            Element::Cause(Cause { value, location: own_location(self.configuration.side) })
        };
        match message.message_type {
            MessageType::Setup if !key.to_origin => self.incoming_setup(now, key, message),
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

    fn incoming_setup(&mut self, now: Instant, key: CallReference, message: &Message) {
        let bearer = message.find(|element| match element {
            Element::BearerCapability(bearer) => Some(*bearer),
            _ => None,
        });
        let invalid = |identifier| message.elements.contains(&Element::Invalid(identifier));
        let refusal = match (bearer, message.channel()) {
            // §5.8.6.1, §5.8.6.2: a mandatory element is missing, or makes no sense.
            (None, _) if invalid(0x04) => Some(100),
            (None, _) => Some(96),
            (_, None) if invalid(0x18) => Some(100),
            (_, None) => Some(96),
            (_, Some((channel, _)))
                if !self.configuration.variant.b_channels.contains(&channel) =>
            {
                Some(82)
            }
            _ => None,
        };
        if let Some(value) = refusal {
            let cause = Cause { value, location: own_location(self.configuration.side) };
            let elements = vec![Element::Cause(cause)];
            self.send(now, key, MessageType::ReleaseComplete, elements);
            return;
        }
        let (channel, exclusive) = message.channel().unwrap_or_default();
        let setup = Setup {
            channel,
            exclusive,
            bearer: bearer.unwrap_or(BearerCapability {
                transfer: TransferCapability::Speech,
                user_layer_1: None,
            }),
            called: message
                .find(|element| match element {
                    Element::CalledPartyNumber(number) => Some(number.clone()),
                    _ => None,
                })
                .unwrap_or_default(),
            calling: message.find(|element| match element {
                Element::CallingPartyNumber(number) => Some(number.clone()),
                _ => None,
            }),
            sending_complete: message.elements.contains(&Element::SendingComplete),
        };
        let id = self.new_id();
        let Configuration { side, timers, .. } = self.configuration;
        let (call, step) = Call::incoming(id, key.value, side, setup, timers);
        self.references.insert(id, key);
        self.calls.insert(key, call);
        self.carry_out(now, key, step);
    }

    /// §5.5: messages of the global call reference.
    fn global(&mut self, now: Instant, message: &Message) {
        match message.message_type {
            MessageType::Restart => {
                let listed = message.find(|element| match element {
                    Element::ChannelIdentification(ChannelIdentification {
                        channels: Channels::Listed(listed),
                        ..
                    }) => Some(listed.clone()),
                    _ => None,
                });
                let class = message.find(|element| match element {
                    Element::RestartIndicator(class) => Some(*class),
                    _ => None,
                });
                let channels = match (class, listed) {
                    (Some(RestartClass::Indicated), Some(listed)) => Some(listed),
                    (Some(RestartClass::Interface | RestartClass::AllInterfaces), _) => None,
                    // §5.8.6: without a scope that can be read nothing is restarted.
                    _ => {
                        let invalid = message.elements.contains(&Element::Invalid(0x79));
                        self.global_status(now, message, if invalid { 100 } else { 96 });
                        return;
                    }
                };
                self.clear_restarted(now, channels.as_deref());
                let reference = CallReference { value: 0, to_origin: false };
                // §5.5.2: what was restarted is said back.
                self.send(
                    now,
                    reference,
                    MessageType::RestartAcknowledge,
                    message.elements.clone(),
                );
                self.outputs.push_back(Output::Restarted { channels });
            }
            MessageType::RestartAcknowledge => self.restarting = None,
            MessageType::Status => {}
            _ => {
                self.counters.unknown_call_references += 1;
                self.global_status(now, message, 81);
            }
        }
    }

    /// A STATUS for the global call reference (§5.8.3.2 f).
    fn global_status(&mut self, now: Instant, message: &Message, value: u8) {
        let location = own_location(self.configuration.side);
        let elements = vec![Element::Cause(Cause { value, location }), Element::CallState(0)];
        self.send(now, message.reference, MessageType::Status, elements);
    }

    fn clear_restarted(&mut self, now: Instant, channels: Option<&[u8]>) {
        let keys: Vec<CallReference> = self
            .calls
            .iter()
            .filter(|(_, call)| channels.is_none_or(|channels| channels.contains(&call.channel)))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let step = self.calls.get_mut(&key).map(Call::restarted);
            self.carry_out(now, key, step.unwrap_or_default());
        }
    }

    fn restart_expired(&mut self, now: Instant) {
        let t316 = self.configuration.timers.t316;
        let Some(restarting) = &mut self.restarting else { return };
        if restarting.sent >= RESTARTS_MAX {
            self.restarting = None;
            return;
        }
        restarting.sent += 1;
        restarting.expires_at = now + t316;
        let channel = restarting.channel;
        self.send_restart(now, channel);
    }

    fn send_restart(&mut self, now: Instant, channel: Option<u8>) {
        let mut elements = Vec::new();
        match channel {
            Some(channel) => {
                let channels = Channels::Listed(vec![channel]);
                elements.push(Element::ChannelIdentification(ChannelIdentification {
                    exclusive: true,
                    channels,
                }));
                elements.push(Element::RestartIndicator(RestartClass::Indicated));
            }
            None => elements.push(Element::RestartIndicator(RestartClass::Interface)),
        }
        let message = Message {
            reference: CallReference { value: 0, to_origin: false },
            message_type: MessageType::Restart,
            elements,
        };
        self.put(now, &message);
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
        let octets = message.encode(self.configuration.variant.call_reference_octets);
        self.link.data(now, octets);
    }
}

#[cfg(test)]
mod tests;
