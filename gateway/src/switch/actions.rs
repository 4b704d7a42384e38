//! What call control wants done: every action becomes a SIP message, a Q.931 request or a command to the
//! media plane.

use std::sync::Arc;
use std::time::Instant;

use trunkline_call::control::{InquiryReply, Release};
use trunkline_call::identity::{Calling, Redirection};
use trunkline_call::routing::{LineNumber, NumberType, PacketTarget};
use trunkline_call::trunk::BChannel;
use trunkline_call::{Action, CallId, LegId};
use trunkline_directory::client::Resolution;
use trunkline_isdn::{Request, TransferCapability};
use trunkline_number::E164;
use trunkline_sip::{OutgoingInvite, Sdp, SipError, Uri};

use super::identities::{Telling, number_of, redirecting_of};
use super::lines::{Parties, request_of_release};
use super::packet_legs::PacketLeg;
use super::voice::{Caller, VoiceError};
use super::{BEARER_NOT_IMPLEMENTED, CallName, Switch, TEMPORARY_FAILURE, packet_legs};
use crate::configuration::{SrtpPolicy, Terms};

impl Switch {
    pub(super) fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Inquire { call, number } => self.inquire(call, number),
            // Refused for another reason before its turn came: nobody's telephone is to ring.
            Action::DialLine { leg, .. } | Action::DialPacket { leg, .. }
                if self.control.is_releasing(leg) => {}
            Action::DialLine { leg, channel, called, calling, redirection, .. } => {
                self.dial_line(now, leg, channel, &called, &calling, &redirection);
            }
            Action::DialPacket { leg, target, called, calling, redirection, hops, .. } => {
                let parties = (calling.as_ref(), redirection.as_ref());
                self.dial_packet(now, leg, &target, called, parties, hops);
            }
            Action::Join { ingress, egress, .. } => self.join(ingress, egress),
            Action::Proceed { leg } => self.ask_line(now, leg, Request::Proceeding),
            Action::Progress { leg } => {
                if self.lines.of(leg).is_some() {
                    self.ask_line(now, leg, Request::Progress);
                } else if !self.tell_page(leg) {
                    self.tell_packet(leg, 183, true);
                }
            }
            Action::Alert { leg, in_band } => {
                if self.lines.of(leg).is_some() {
                    self.ask_line(now, leg, Request::Alerting { in_band });
                } else if !self.tell_page(leg) {
                    self.tell_packet(leg, 180, in_band);
                }
            }
            Action::Answer { leg } => {
                if self.lines.of(leg).is_some() {
                    self.ask_line(now, leg, Request::Connect);
                } else if !self.answer_page(now, leg) {
                    self.answer_packet(leg);
                }
            }
            Action::Offer { leg, wish } => self.offer_onward(now, leg, wish),
            Action::Release { leg, release } => self.release(now, leg, release),
            Action::Rests { channel, rest } => self.rests(channel, rest),
            Action::Record(record) => self.call_over(*record),
        }
    }

    fn inquire(&mut self, call: CallId, number: E164) {
        if let Some(CallName { name, .. }) = self.names.get(&call) {
            tracing::info!(target: "ladder", step = 407_u32, %number, call = %name, "inquiry to the directory");
        }
        let (resolver, answers) = (Arc::clone(&self.resolver), self.inquiries.clone());
        tokio::spawn(async move {
            let reply = match resolver.resolve(&number).await {
                Resolution::Routes(routes) => InquiryReply::Gateways(
                    routes.into_iter().map(|target| PacketTarget(target.uri)).collect(),
                ),
                Resolution::UnknownNumber => InquiryReply::UnknownNumber,
                Resolution::NoGateway => InquiryReply::NoGateway,
                Resolution::Unavailable(why) => {
                    tracing::warn!(%number, %why, "directory unavailable");
                    InquiryReply::Unavailable
                }
            };
            // The control task ends only with the program.
            let _ = answers.send((call, reply)).await;
        });
    }

    fn dial_line(
        &mut self,
        now: Instant,
        leg: LegId,
        channel: BChannel,
        called: &LineNumber,
        calling: &Option<Calling>,
        redirection: &Option<Redirection<E164>>,
    ) {
        let profile = &self.control.routing.profile;
        let caller = self.control.ingress_of(leg).and_then(|leg| self.lines.caller(leg));
        let (bearer, parties) = match caller {
            Some(caller) => {
                let number = calling.as_ref().and_then(|calling| calling.number.as_ref());
                let number = number
                    .map(|number| LineNumber::from_e164(number, NumberType::National, profile));
                let calling = caller.calling_onward(number.as_ref());
                let redirecting = caller.redirecting.clone();
                (caller.bearer, Parties { calling, redirecting })
            }
            None => {
                let span = &self.lines.spans[channel.span];
                let form = (span.side, NumberType::National, profile);
                let parties = Parties {
                    calling: calling.as_ref().map(|by| number_of(by, form.0, form.1, form.2)),
                    redirecting: redirection
                        .as_ref()
                        .map(|by| redirecting_of(by, form.0, form.1, form.2)),
                };
                (span.speech(), parties)
            }
        };
        let text = format!(
            "SETUP {} on span {} timeslot {}",
            called.digits, self.lines.spans[channel.span].name, channel.timeslot
        );
        self.ladder(leg, 410, &text);
        if let Err(error) = self.lines.dial(now, leg, channel, bearer, called, parties) {
            tracing::warn!(%error, "the line cannot be dialled");
            // Q.850 38: network out of order.
            self.control.leg_released(now, leg, Release::by_gateway(38));
        }
    }

    fn dial_packet(
        &mut self,
        now: Instant,
        leg: LegId,
        target: &PacketTarget,
        called: E164,
        parties: (Option<&Calling>, Option<&Redirection<E164>>),
        hops: u8,
    ) {
        self.ladder(leg, 409, &format!("INVITE to {}", target.0));
        let outcome = self.invite(leg, target, called, parties, hops);
        if let Err(error) = outcome {
            self.voice.give_up(leg);
            let voice_error = error.downcast_ref::<VoiceError>();
            let no_room = voice_error.and_then(VoiceError::congestion);
            if let Some((congestion, call)) = no_room.zip(self.control.call_of(leg)) {
                // Another gateway to call needs the same room.
                self.control.refuse(now, call, congestion);
            } else {
                tracing::warn!(%error, %called, target = %target.0, "cannot be called");
            }
            if let Some(VoiceError::Description(_)) = voice_error
                && let Some((caller, _)) = self.control.packet_pair(leg)
            {
                // Whoever else is called could not speak with this caller either.
                let why = Release::by_gateway(BEARER_NOT_IMPLEMENTED);
                self.control.leg_disconnected(now, caller, why);
            }
            self.control.leg_released(now, leg, Release::by_gateway(TEMPORARY_FAILURE));
        }
    }

    /// Opens the media of a leg that is called, with that of its caller if that is on the packet side
    /// too; gives our offer.
    pub(super) fn offer(&mut self, leg: LegId, terms: &Terms) -> Result<Vec<u8>, VoiceError> {
        let caller = self.control.packet_pair(leg).map(|(caller, _)| caller);
        let caller = caller.and_then(|leg| Some((leg, self.packets.of(leg)?)));
        let Some((caller, packet)) = caller else {
            return self.voice.offer(leg, terms, terms.srtp.offers());
        };
        let from = packet.source.unwrap_or(self.configuration.file.rtp.address);
        let its_terms = self.configuration.terms_of_caller(&from.to_string());
        let offer = packet.offered.as_deref();
        let caller = Caller { leg: caller, offer, from, terms: &its_terms };
        let (told, offer) = self.voice.open_pair(&caller, leg, terms, terms.srtp.offers())?;
        if let Some(told) = told {
            packet.description = Some(Sdp(told));
        }
        Ok(offer)
    }

    fn invite(
        &mut self,
        leg: LegId,
        target: &PacketTarget,
        called: E164,
        (calling, redirection): (Option<&Calling>, Option<&Redirection<E164>>),
        hops: u8,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut uri: Uri = target.0.parse()?;
        if uri.user.is_empty() {
            uri.user = called.to_string();
        }
        let terms = self.configuration.terms_with(target, &uri.host);
        let offer = self.offer(leg, &terms)?;
        let own = self.configuration.file.rtp.address;
        let trusted = self.configuration.trusts(&uri.host);
        let mut stated = Telling { own, target: &uri, trusted }.state(calling, redirection);
        let from = Uri::sip(&stated.from, &own.to_string(), None);
        let mut invite = OutgoingInvite::new(uri, from, offer);
        invite.headers.append(&mut stated.headers);
        invite.headers.push(("Max-Forwards".to_owned(), hops.to_string()));
        let again_plain = (terms.srtp == SrtpPolicy::Prefer).then(|| Box::new(invite.clone()));
        self.call_packet(leg, invite, again_plain)?;
        Ok(())
    }

    fn call_packet(
        &mut self,
        leg: LegId,
        invite: OutgoingInvite,
        again_plain: Option<Box<OutgoingInvite>>,
    ) -> Result<(), SipError> {
        let sip = self.endpoint.invite(invite)?;
        self.packets.insert(leg, PacketLeg { again_plain, ..PacketLeg::new(sip, false) });
        Ok(())
    }

    /// Calls a peer that has refused SRTP again, with an offer of plain RTP; false if it may not
    /// refuse it, or cannot be called.
    pub(super) fn call_again_plain(&mut self, sip: trunkline_sip::LegId) -> bool {
        let Some(leg) = self.packets.leg_of(sip) else { return false };
        let again = self.packets.of(leg).and_then(|packet| packet.again_plain.take());
        let Some(mut invite) = again else { return false };
        let Ok(offer) = self.voice.offer_anew(leg, false) else { return false };
        tracing::info!(peer = %invite.target, "SRTP refused, plain RTP is offered");
        invite.sdp = Sdp(offer);
        let failed_leg = self.packets.remove(leg);
        let outcome = self.call_packet(leg, *invite, None);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "cannot be called again");
            failed_leg.into_iter().for_each(|failed| self.packets.insert(leg, failed));
        }
        outcome.is_ok()
    }

    fn join(&mut self, ingress: LegId, egress: LegId) {
        let channel_of = |leg| self.lines.of(leg).map(|line| line.channel);
        let bearers = match (channel_of(ingress), channel_of(egress)) {
            (Some(own), Some(called)) => {
                let bearer = self.lines.caller(ingress).map(|caller| caller.bearer.transfer);
                let is_data = bearer == Some(TransferCapability::UnrestrictedDigital);
                self.voice.cross(ingress, own, called, is_data)
            }
            (Some(line), None) => self.voice.join(egress, line),
            (None, Some(line)) => self.voice.join(ingress, line),
            // A pair of packet legs is joined already; a leg that could not be dialled is gone.
            (None, None) => Vec::new(),
        };
        bearers.into_iter().for_each(|(channel, bearer)| self.attach(channel, bearer));
    }

    pub(super) fn ask_line(&mut self, now: Instant, leg: LegId, request: Request) {
        if let Err(error) = self.lines.request(now, leg, request) {
            tracing::debug!(%error, "the line has gone on already");
        }
    }

    fn tell_packet(&mut self, leg: LegId, status: u16, with_description: bool) {
        let Some(packet) = self.packets.of(leg) else { return };
        let description = packet.description.as_ref().filter(|_| with_description);
        let description = description.map(|description| description.to_vec());
        packet.described |= description.is_some();
        if let Err(error) = self.endpoint.provisional(packet.sip, status, description) {
            tracing::debug!(%error, "SIP leg already gone");
        }
    }

    fn answer_packet(&mut self, leg: LegId) {
        self.ladder(leg, 412, "200 OK to the phone");
        let Some(packet) = self.packets.of(leg) else { return };
        packet.answered = true;
        packet.described = true;
        let description = packet.description.as_deref().unwrap_or_default().to_vec();
        if let Err(error) = self.endpoint.answer(packet.sip, description) {
            tracing::debug!(%error, "SIP leg already gone");
        }
    }

    pub(super) fn release(&mut self, now: Instant, leg: LegId, release: Release) {
        if let Some(channel) = self.lines.of(leg).map(|line| line.channel) {
            if self.lines.request(now, leg, request_of_release(&release)).is_err() {
                // Nothing of it is left on the interface.
                self.line_gone(now, leg, release);
            } else if self.lines.is_alone_on(leg, channel) {
                // Q.931 §5.3.3: the channel is disconnected with DISCONNECT. Another way may need
                // the voice long before a silent exchange has let go of this one.
                self.detach(channel);
            }
            return;
        }
        if self.release_page(now, leg, &release) {
            self.control.leg_released(now, leg, release);
            return;
        }
        if let Some(packet) = self.packets.remove(leg) {
            packet_legs::release(&self.endpoint, &self.configuration.causes, leg, &packet, release);
        }
        self.voice.close(leg);
        self.control.leg_released(now, leg, release);
    }
}
