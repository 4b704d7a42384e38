//! Offers within calls that are up: what parties on the packet side offer, and what they are offered
//! for the one at the other end.

use std::time::{Duration, Instant};

use trunkline_call::LegId;
use trunkline_call::control::Wish;

use super::Switch;

/// Request pending (RFC 3261 §21.4.27): our offer met one of theirs.
const REQUEST_PENDING: u16 = 491;

impl Switch {
    /// A party offers something else. It is answered at once; whether the other is to know of it is
    /// call control's affair.
    pub(super) fn offered_again(&mut self, sip: trunkline_sip::LegId, description: &[u8]) {
        let Some(leg) = self.packets.leg_of(sip) else { return };
        let from = self.packets.of(leg).and_then(|packet| packet.source);
        let other = self.control.wish_to(leg);
        let outcome = match self.voice.offered_again(leg, description, from, other) {
            Ok((answer, wish)) => {
                self.control.leg_offered(leg, wish);
                self.endpoint.answer_reinvite(sip, answer)
            }
            Err(error) => {
                tracing::warn!(%error, "a re-INVITE cannot be accepted");
                // RFC 3261 §14.2: the session stays as it was.
                self.endpoint.reject_reinvite(sip, 488)
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "SIP leg already gone");
        }
    }

    /// Offers a party what the other one wishes.
    pub(super) fn offer_onward(&mut self, now: Instant, leg: LegId, wish: Wish) {
        let Some(sip) = self.packets.of(leg).map(|packet| packet.sip) else { return };
        let offered = match self.voice.offer_onward(leg, wish) {
            Ok(offer) => self.endpoint.reinvite(sip, offer).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = offered {
            tracing::warn!(%error, "a party is not told what the other wishes");
            self.control.offer_refused(now, leg, None);
        }
    }

    /// It accepted.
    pub(super) fn onward_accepted(&mut self, sip: trunkline_sip::LegId, answer: Option<&[u8]>) {
        let Some(leg) = self.packets.leg_of(sip) else { return };
        let from = self.packets.of(leg).and_then(|packet| packet.source);
        if let Some(answer) = answer
            && let Err(error) = self.voice.answered_onward(leg, answer, from)
        {
            tracing::warn!(%error, "the answer to a re-INVITE cannot be used");
        }
        self.control.offer_accepted(leg);
    }

    /// It refused: the session stays as it was (RFC 3261 §14.1).
    pub(super) fn onward_refused(&mut self, now: Instant, sip: trunkline_sip::LegId, status: u16) {
        let Some(leg) = self.packets.leg_of(sip) else { return };
        let calls_us = self.packets.of(leg).is_some_and(|packet| packet.incoming);
        // RFC 3261 §14.1: whoever chose the Call-ID lets the other go first, in units of 10 ms.
        let units = if calls_us { 0..=200 } else { 210..=400 };
        let after = Duration::from_millis(10 * rand::random_range::<u64, _>(units));
        tracing::debug!(status, "a party refuses what the other wishes");
        self.control.offer_refused(now, leg, (status == REQUEST_PENDING).then_some(after));
    }
}
