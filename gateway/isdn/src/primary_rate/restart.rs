//! Channels are taken back to idle by either end (Q.931 §5.5).

use std::time::Instant;

use super::{Output, PrimaryRate};
use crate::q931::call::fault_in;
use crate::q931::element::{ChannelIdentification, Channels, Element, RestartClass};
use crate::q931::message::{CallReference, Message, MessageType};

/// RESTART is sent so often before the other end is given up (N316 of Q.931 §5.5.1).
const RESTARTS_MAX: u32 = 2;

/// The global call reference, as the side that begins writes it.
const GLOBAL: CallReference = CallReference { value: 0, to_origin: false };

/// A RESTART that is to be sent or waits for its acknowledgement.
#[derive(Debug)]
pub(super) struct Restarting {
    channel: Option<u8>,
    sent: u32,
    expires_at: Option<Instant>,
}

impl PrimaryRate {
    /// Restarts a B channel, or all (§5.5.1): calls on it are over at once, and both ends take it
    /// as idle when [`Output::Restarted`] says so. One restart is under way at a time, others wait.
    pub fn restart(&mut self, now: Instant, channel: Option<u8>) {
        self.clear_restarted(now, channel.map(|channel| vec![channel]).as_deref(), true);
        if !self.restarting.iter().any(|waiting| waiting.channel == channel) {
            self.restarting.push_back(Restarting { channel, sent: 0, expires_at: None });
        }
        self.send_restart(now);
        self.drain_link(now);
    }

    /// When T316 runs out.
    pub(super) fn restart_deadline(&self) -> Option<Instant> {
        self.restarting.front().and_then(|restarting| restarting.expires_at)
    }

    pub(super) fn restart_timeout(&mut self, now: Instant) {
        let Some(restarting) = self.restarting.front_mut() else { return };
        if restarting.expires_at.is_none_or(|at| at > now) {
            return;
        }
        restarting.expires_at = None;
        if restarting.sent >= RESTARTS_MAX {
            let channel = restarting.channel;
            self.restarting.pop_front();
            self.counters.restarts_failed += 1;
            self.outputs.push_back(Output::RestartFailed { channel });
        }
        self.send_restart(now);
    }

    /// The data link was established anew: a RESTART that was under way may be lost.
    pub(super) fn restart_again(&mut self, now: Instant) {
        if let Some(restarting) = self.restarting.front_mut() {
            restarting.expires_at = None;
        }
        self.send_restart(now);
    }

    /// Sends the first RESTART that waits, unless one is under way or there is no data link.
    fn send_restart(&mut self, now: Instant) {
        if !self.link.is_up() {
            return;
        }
        let t316 = self.configuration.timers.t316;
        let Some(restarting) = self.restarting.front_mut() else { return };
        if restarting.expires_at.is_some() {
            return;
        }
        restarting.sent += 1;
        restarting.expires_at = Some(now + t316);
        let mut elements = Vec::new();
        match restarting.channel {
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
        let message_type = MessageType::Restart;
        self.put(now, &Message { reference: GLOBAL, message_type, elements });
    }

    /// A message of the global call reference.
    pub(super) fn global(&mut self, now: Instant, message: &Message) {
        let fault = fault_in(message, self.configuration.side);
        match message.message_type {
            MessageType::Restart => match (fault, scope(message)) {
                (None, Some(channels)) => self.restarted(now, message, channels),
                // §5.8.6: without a scope that can be read nothing is restarted.
                (Some(fault), _) => self.global_status(now, message, fault.cause),
                (None, None) => self.global_status(now, message, 96),
            },
            MessageType::RestartAcknowledge => self.restart_acknowledged(now, message),
            MessageType::Status => {}
            _ => {
                // §5.8.3.2 f).
                self.counters.unknown_call_references += 1;
                self.global_status(now, message, 81);
            }
        }
    }

    /// §5.5.2: the other end restarts. Nothing here has to be waited for (T317): the calls are over
    /// with this message.
    fn restarted(&mut self, now: Instant, message: &Message, channels: Option<Vec<u8>>) {
        self.clear_restarted(now, channels.as_deref(), false);
        // What was restarted is said back.
        let elements = message
            .elements
            .iter()
            .filter(|element| {
                matches!(element, Element::ChannelIdentification(_) | Element::RestartIndicator(_))
            })
            .cloned()
            .collect();
        self.send(now, message.reference, MessageType::RestartAcknowledge, elements);
        self.outputs.push_back(Output::Restarted { channels });
    }

    fn restart_acknowledged(&mut self, now: Instant, message: &Message) {
        let under_way = self.restarting.front().filter(|first| first.expires_at.is_some());
        let Some(channel) = under_way.map(|first| first.channel) else { return };
        // An acknowledgement of another channel is a late one of a restart that was given up.
        let is_other = match (scope(message), channel) {
            (Some(Some(acknowledged)), Some(channel)) => !acknowledged.contains(&channel),
            _ => false,
        };
        if is_other {
            return;
        }
        self.restarting.pop_front();
        let channels = channel.map(|channel| vec![channel]);
        self.outputs.push_back(Output::Restarted { channels });
        self.send_restart(now);
    }

    /// A STATUS for the global call reference (§5.8.3.2 f).
    fn global_status(&mut self, now: Instant, message: &Message, value: u8) {
        let elements = vec![Element::Cause(self.rules().cause(value)), Element::CallState(0)];
        self.send(now, message.reference, MessageType::Status, elements);
    }

    fn clear_restarted(&mut self, now: Instant, channels: Option<&[u8]>, by_us: bool) {
        let keys: Vec<CallReference> = self
            .calls
            .iter()
            .filter(|(_, call)| channels.is_none_or(|channels| channels.contains(&call.channel)))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let step = self.calls.get_mut(&key).map(|call| call.restarted(by_us));
            self.carry_out(now, key, step.unwrap_or_default());
        }
    }
}

/// What a RESTART or its acknowledgement is about: channels, or every one (`Some(None)`). `None`
/// when it does not say.
fn scope(message: &Message) -> Option<Option<Vec<u8>>> {
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
    })?;
    match class {
        RestartClass::Indicated => listed.map(Some),
        RestartClass::Interface | RestartClass::AllInterfaces => Some(None),
    }
}
