//! Calls that the other end makes, and which channel they get (Q.931 §5.1.2, §5.2.3.1, §5.7).

use std::time::Instant;

use super::PrimaryRate;
use crate::Side;
use crate::q931::accompanying::Accompanying;
use crate::q931::call::{Call, Fault, Setup, fault_in};
use crate::q931::element::{Channels, Element, Number, id};
use crate::q931::message::{CallReference, Message, MessageType};

/// Why a call is refused at once, as its cause.
const INVALID_NUMBER: u8 = 28;
const NO_CHANNEL: u8 = 34;
const CHANNEL_BUSY: u8 = 44;
const NO_SUCH_CHANNEL: u8 = 82;

impl PrimaryRate {
    /// SETUP came with a call reference that is free.
    pub(super) fn arrival(&mut self, now: Instant, key: CallReference, message: &Message) {
        if let Some(Fault { cause, identifiers }) = fault_in(message, self.configuration.side) {
            // §5.8.6.1, §5.8.6.2.
            self.refuse(now, key, cause, identifiers);
            return;
        }
        if message.elements.contains(&Element::Invalid(id::CALLED_PARTY_NUMBER)) {
            // Without it, it would be a call that is yet to be dialled.
            self.refuse(now, key, INVALID_NUMBER, Vec::new());
            return;
        }
        let (channel, exclusive) = match self.channel_for(now, message) {
            Ok(chosen) => chosen,
            Err(cause) => {
                self.refuse(now, key, cause, Vec::new());
                return;
            }
        };
        let called = message.find(|element| match element {
            Element::CalledPartyNumber(number) => Some(number.clone()),
            _ => None,
        });
        // §5.1.1: the number may be dialled as keypad facility.
        let keypad = || {
            message.find(|element| match element {
                Element::KeypadFacility(digits) => {
                    Some(Number { digits: digits.clone(), ..Number::default() })
                }
                _ => None,
            })
        };
        let setup = Setup {
            channel,
            exclusive,
            bearer: message
                .find(|element| match element {
                    Element::BearerCapability(bearer) => Some(*bearer),
                    _ => None,
                })
                .unwrap_or_default(),
            called: called.or_else(keypad).unwrap_or_default(),
            calling: message.find(|element| match element {
                Element::CallingPartyNumber(number) => Some(number.clone()),
                _ => None,
            }),
            // Without overlap every number is whole.
            sending_complete: !self.configuration.variant.overlap
                || message.elements.contains(&Element::SendingComplete),
            accompanying: Accompanying::of(message),
        };
        let id = self.new_id();
        let (call, step) = Call::incoming(id, key.value, self.rules(), setup);
        self.references.insert(id, key);
        self.calls.insert(key, call);
        self.carry_out(now, key, step);
    }

    /// The channel of a call that arrives, and whether no other will do.
    fn channel_for(&mut self, now: Instant, message: &Message) -> Result<(u8, bool), u8> {
        let wanted = message.find(|element| match element {
            Element::ChannelIdentification(identification) => Some(identification.clone()),
            _ => None,
        });
        let listed = wanted.as_ref().and_then(|wanted| match &wanted.channels {
            Channels::Listed(listed) => Some((*listed.first()?, wanted.exclusive)),
            Channels::None | Channels::Any => None,
        });
        let Some((channel, exclusive)) = listed else {
            // §5.1.2 c): any channel is acceptable.
            return self.free_channel().map(|channel| (channel, false)).ok_or(NO_CHANNEL);
        };
        if !self.configuration.variant.b_channels.contains(&channel) {
            return Err(NO_SUCH_CHANNEL);
        }
        self.give_way(now, channel);
        if !self.calls.values().any(|call| call.holds(channel)) {
            return Ok((channel, exclusive));
        }
        if exclusive {
            return Err(CHANNEL_BUSY);
        }
        // §5.7: what was only preferred moves.
        self.free_channel().map(|channel| (channel, false)).ok_or(NO_CHANNEL)
    }

    /// §5.7: both ends call on the same channel. The network's call has it; the user's own, which
    /// has not been answered, is over.
    fn give_way(&mut self, now: Instant, channel: u8) {
        if self.configuration.side != Side::User {
            return;
        }
        let seizing = self.calls.iter().find(|(_, call)| call.is_seizing(channel));
        let Some(key) = seizing.map(|(key, _)| *key) else { return };
        self.counters.collisions += 1;
        let step = self.calls.get_mut(&key).map(|call| call.yield_channel(now));
        self.carry_out(now, key, step.unwrap_or_default());
    }

    /// The highest channel that no call has: the side that calls out picks its own from below, or
    /// where it likes.
    fn free_channel(&self) -> Option<u8> {
        let is_free = |channel: &u8| !self.calls.values().any(|call| call.holds(*channel));
        self.configuration.variant.b_channels.iter().copied().rev().find(is_free)
    }

    fn refuse(&mut self, now: Instant, key: CallReference, cause: u8, diagnostic: Vec<u8>) {
        self.counters.setups_refused += 1;
        let element = Element::Diagnosed(self.rules().cause(cause), diagnostic);
        self.send(now, key, MessageType::ReleaseComplete, vec![element]);
    }
}
