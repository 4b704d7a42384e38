//! What happens on the packet side: every event of a SIP leg becomes a call of call control's methods.

use std::time::{Duration, Instant};

use trunkline_call::LegId;
use trunkline_call::control::Release;
use trunkline_call::interworking::Location;
use trunkline_call::routing::PacketTarget;
use trunkline_sip::{Event as SipEvent, IncomingInvite, Sdp, Uri};

use super::identities::offer_of_invite;
use super::packet_legs::{PacketLeg, names_a_number, refuses_the_offer, release_of_failure};
use super::voice::VoiceError;
use super::{BEARER_NOT_IMPLEMENTED, Switch, TEMPORARY_FAILURE};
use crate::configuration::SrtpPolicy;

impl Switch {
    /// Something happened on a SIP leg.
    pub fn sip_event(&mut self, event: SipEvent) {
        let now = Instant::now();
        match event {
            SipEvent::Invite(invite) => self.invited(now, &invite),
            SipEvent::Provisional { leg, status, sdp } => {
                self.provisional(now, leg, status, sdp.as_deref());
            }
            SipEvent::Answered { leg, sdp } => self.packet_answered(now, leg, sdp.as_deref()),
            SipEvent::Failed { leg, status, cause, .. } => {
                self.packet_failed(now, leg, status, cause);
            }
            SipEvent::Cancelled { leg, cause } => {
                let release = Release {
                    location: Some(Location::USER),
                    status: Some(487),
                    ..Release::with_cause(cause.unwrap_or(16))
                };
                self.packet_gone(now, leg, release);
            }
            SipEvent::Bye { leg, cause } => {
                self.packet_gone(now, leg, Release::with_cause(cause.unwrap_or(16)));
            }
            // Q.850 102: recovery on timer expiry.
            SipEvent::AckTimeout { leg } | SipEvent::SessionExpired { leg } => {
                self.packet_gone(now, leg, Release::by_gateway(102));
            }
            SipEvent::Acked { leg, sdp: Some(answer) } => {
                if let Some(leg) = self.packets.leg_of(leg)
                    && let Err(error) = self.voice.answered(leg, &answer, None)
                {
                    tracing::warn!(%error, "the answer in an ACK cannot be used");
                    let why = Release::by_gateway(BEARER_NOT_IMPLEMENTED);
                    self.control.leg_disconnected(now, leg, why);
                }
            }
            SipEvent::Acked { leg, sdp: None } => {
                // RFC 3261 §13.2.1: our offer went out in the 200, the ACK must answer it.
                if let Some(leg) = self.packets.leg_of(leg)
                    && self.voice.waits_for_answer(leg)
                {
                    tracing::warn!("an ACK without an answer to our offer");
                    let why = Release::by_gateway(BEARER_NOT_IMPLEMENTED);
                    self.control.leg_disconnected(now, leg, why);
                }
            }
            SipEvent::ReInvite { leg, sdp } => self.offered_again(leg, &sdp),
            SipEvent::ReInviteAnswered { leg, sdp } => self.onward_accepted(leg, sdp.as_deref()),
            SipEvent::ReInviteRefused { leg, status } => self.onward_refused(now, leg, status),
            SipEvent::Registered { user, contact, expires_s } => {
                self.registered(&user, Some(contact), expires_s);
            }
            SipEvent::Unregistered { user } => self.registered(&user, None, 0),
            _ => {}
        }
        self.carry_out(now);
    }

    fn invited(&mut self, now: Instant, invite: &IncomingInvite) {
        *self.calls.offered.entry("packet").or_default() += 1;
        self.look_for_room(now);
        let host = invite.source.ip().to_string();
        let trusted = self.configuration.trusts(&host);
        let (call, leg) = self.control.offered_by_packet(now, offer_of_invite(invite, trusted));
        let number = match self.control.routing.understood(&invite.request_uri.user) {
            Some(number) if names_a_number(&invite.request_uri) => Some(number),
            _ => None,
        };
        let name = self.name_call(call, number);
        tracing::info!(
            call = %name,
            sip_call_id = %invite.call_id,
            from = %invite.from.uri,
            to = %invite.request_uri,
            source = %invite.source,
            "call from SIP"
        );
        let mut packet = PacketLeg {
            source: Some(invite.source.ip()),
            offered: invite.sdp.clone(),
            ..PacketLeg::new(invite.leg, true)
        };
        if self.control.is_releasing(leg) || self.control.will_be_pair(leg) {
            // It goes nowhere, and no port is opened for it; or its media is opened together with
            // that of whoever is called.
            self.packets.insert(leg, packet);
            return;
        }
        let terms = self.configuration.terms_of_caller(&host);
        let opened = match &invite.sdp {
            Some(offer) => self.voice.accept(leg, offer, invite.source.ip(), &terms),
            // RFC 3261 §13.2.1: no offer in the INVITE, so ours goes into the answer; whoever
            // refuses that has no call, so SRTP is offered only where nothing else will do.
            None => self.voice.offer(leg, &terms, terms.srtp == SrtpPolicy::Require),
        };
        match opened {
            Ok(description) => {
                packet.description = Some(Sdp(description));
                self.packets.insert(leg, packet);
            }
            Err(error) => {
                self.packets.insert(leg, packet);
                if let Some(congestion) = error.congestion() {
                    // The last room was given away since it was looked for.
                    self.control.refuse(now, call, congestion);
                    return;
                }
                tracing::warn!(call = %name, %error, "no media for the call");
                let cause = match error {
                    VoiceError::Description(_) => BEARER_NOT_IMPLEMENTED,
                    _ => TEMPORARY_FAILURE,
                };
                self.control.leg_disconnected(now, leg, Release::by_gateway(cause));
            }
        }
    }

    pub(super) fn provisional(
        &mut self,
        now: Instant,
        sip: trunkline_sip::LegId,
        status: u16,
        description: Option<&[u8]>,
    ) {
        let Some(leg) = self.packets.leg_of(sip) else { return };
        let mut in_band = false;
        if let Some(description) = description {
            match self.voice.answered(leg, description, None) {
                Ok(()) => {
                    in_band = true;
                    self.settle_caller(leg);
                }
                Err(error) => tracing::warn!(%error, "early media cannot be used"),
            }
        }
        match status {
            180 => self.control.leg_alerting(now, leg, in_band),
            _ if in_band => self.control.leg_progressed(leg),
            _ => {}
        }
    }

    fn packet_answered(
        &mut self,
        now: Instant,
        sip: trunkline_sip::LegId,
        description: Option<&[u8]>,
    ) {
        let Some(leg) = self.packets.leg_of(sip) else { return };
        if let Some(packet) = self.packets.of(leg) {
            packet.answered = true;
        }
        let outcome = match description {
            Some(description) => self.voice.answered(leg, description, None),
            // The answer came in a provisional response (RFC 3261 §13.2.1).
            None if self.voice.has_answer(leg) => Ok(()),
            None => Err(VoiceError::NoAnswer),
        };
        match outcome {
            Ok(()) => {
                self.settle_caller(leg);
                self.control.leg_answered(now, leg);
            }
            Err(error) => {
                tracing::warn!(%error, "the answer cannot be used");
                let why = Release::with_cause(BEARER_NOT_IMPLEMENTED);
                self.control.leg_disconnected(now, leg, why);
            }
        }
    }

    fn packet_failed(
        &mut self,
        now: Instant,
        sip: trunkline_sip::LegId,
        status: u16,
        cause: Option<u8>,
    ) {
        if refuses_the_offer(status) && self.call_again_plain(sip) {
            return;
        }
        if let Some(leg) = self.packets.leg_of(sip) {
            self.voice.give_up(leg);
        }
        let release = release_of_failure(&self.configuration.causes, status, cause);
        self.packet_gone(now, sip, release);
    }

    /// Somebody on the packet side whom somebody else there has called has answered: the caller gets
    /// the same codec if it can have it and has not been told anything yet.
    fn settle_caller(&mut self, called: LegId) {
        let Some((caller, _)) = self.control.packet_pair(called).filter(|(_, leg)| *leg == called)
        else {
            return;
        };
        let Some(packet) = self.packets.of(caller).filter(|caller| !caller.described) else {
            return;
        };
        let (Some(offer), Some(from)) = (packet.offered.clone(), packet.source) else { return };
        match self.voice.settle_caller(caller, &offer, from, called) {
            Ok(description) => packet.description = Some(Sdp(description)),
            Err(error) => tracing::warn!(%error, "the caller's answer stays as it was"),
        }
    }

    fn packet_gone(&mut self, now: Instant, sip: trunkline_sip::LegId, release: Release) {
        let Some(leg) = self.packets.leg_of(sip) else { return };
        self.packets.remove(leg);
        self.voice.close(leg);
        self.control.leg_released(now, leg, release);
    }

    fn registered(&mut self, user: &str, contact: Option<Uri>, expires_s: u32) {
        let Some(number) = self.control.routing.understood(user) else {
            tracing::warn!(user, "registered under something that is no number");
            return;
        };
        match &contact {
            Some(contact) => tracing::info!(%number, %contact, expires_s, "phone registered"),
            None => tracing::info!(%number, "phone unregistered"),
        }
        let routing = &mut self.control.routing;
        match contact {
            Some(contact) => {
                let until = Instant::now() + Duration::from_secs(expires_s.into());
                routing.register(number, PacketTarget(contact.to_string()), until);
            }
            None => routing.unregister(&number),
        }
    }
}
