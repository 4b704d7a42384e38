//! The gateway's one control task: ties SIP, the lines and the media plane to call control.
//!
//! Every event of a leg becomes a call of [`CallControl`]'s methods, every [`Action`] that comes
//! out becomes a SIP message, a Q.931 request or a command to the media plane. The subjects are in
//! files of their own: [`packet_legs`] (SIP), `offers` (what is offered in calls that are up),
//! [`lines`] (spans), `dialling` (numbers that come digit by digit), [`voice`] (media), [`records`] (call records), [`congestion`] (calls that find no
//! room).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_call::control::{InquiryReply, LineOffer, Release};
use trunkline_call::interworking::{Location, cause_text};
use trunkline_call::record::CallRecord;
use trunkline_call::routing::{LineNumber, NumberType, PacketTarget};
use trunkline_call::trunk::{BChannel, SpanIndex};
use trunkline_call::{Action, CallControl, CallId, LegId};
use trunkline_directory::client::{EnumResolver, Resolution};
use trunkline_isdn::{Indication, Output, Presentation, Request, Setup, TransferCapability};
use trunkline_media::{MediaEvent, MediaEventKind};
use trunkline_number::E164;
use trunkline_sip::{
    Endpoint, Event as SipEvent, IncomingInvite, OutgoingInvite, Sdp, SipError, Uri,
};
use trunkline_tdm::SpanEvent;

use crate::configuration::{Configuration, SrtpPolicy, Terms};
use crate::journal::Journal;
use crate::status::{Calls, Status};
use crate::voice_quality::VoiceQuality;
use crate::wall_clock::WallClock;

pub mod congestion;
mod dialling;
pub mod lines;
mod offers;
pub mod packet_legs;
pub mod records;
mod registration;
mod report;
pub mod voice;

use congestion::{Change, CongestionWatch, LOOK_EVERY};
use dialling::Dialling;
use lines::{
    LineCaller, LineLeg, Lines, calling_number, line_number, release_of_line, request_of_release,
};
use packet_legs::{
    PacketLeg, PacketLegs, names_a_number, offer_of, refuses_the_offer, release_of_failure,
};
use records::Records;
use voice::{Caller, OnTimeslot, Voice, VoiceError};

/// Cause of a call whose session description has nothing in common with us (Q.850 65).
const BEARER_NOT_IMPLEMENTED: u8 = 65;

/// Cause of a call whose media cannot be had (Q.850 41: temporary failure).
const TEMPORARY_FAILURE: u8 = 41;

/// Cause that answers a DISCONNECT of a caller who has not dialled to the end (Q.850 16).
const NORMAL_CALL_CLEARING: u8 = 16;

/// Longest time for the last BYE to be answered when the program ends.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// What the log and the records say of a call.
#[derive(Clone, Debug)]
struct CallName {
    /// Finds every log line of the call.
    name: String,
    /// The called number.
    number: Option<E164>,
}

/// The control task's state.
pub struct Switch {
    configuration: Configuration,
    clock: WallClock,
    control: CallControl,
    endpoint: Endpoint,
    packets: PacketLegs,
    lines: Lines,
    voice: Voice,
    resolver: Arc<EnumResolver>,
    inquiries: mpsc::Sender<(CallId, InquiryReply)>,
    names: HashMap<CallId, CallName>,
    records: Records,
    voice_quality: VoiceQuality,
    journal: Option<Journal>,
    calls: Calls,
    inquiry_results: BTreeMap<&'static str, u64>,
    dialling: Dialling,
    draining: bool,
    congestion: CongestionWatch,
    /// When the media plane is asked again whether it has room.
    look_at: Instant,
}

impl Switch {
    /// A switch whose parts are started already.
    #[allow(clippy::too_many_arguments)] // Each is a part that it ties together.
    pub fn new(
        configuration: Configuration,
        control: CallControl,
        endpoint: Endpoint,
        lines: Lines,
        voice: Voice,
        resolver: EnumResolver,
        inquiries: mpsc::Sender<(CallId, InquiryReply)>,
        journal: Option<Journal>,
    ) -> Self {
        endpoint.set_in_service(false);
        Self {
            configuration,
            clock: WallClock::start(),
            control,
            endpoint,
            packets: PacketLegs::default(),
            lines,
            voice,
            resolver: Arc::new(resolver),
            inquiries,
            names: HashMap::new(),
            records: Records::default(),
            voice_quality: VoiceQuality::default(),
            journal,
            calls: Calls::default(),
            inquiry_results: BTreeMap::new(),
            dialling: Dialling::default(),
            draining: false,
            congestion: CongestionWatch::default(),
            look_at: Instant::now(),
        }
    }

    /// When [`Switch::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.control.next_deadline(), self.lines.next_deadline()];
        deadlines.into_iter().flatten().chain([self.look_at]).min()
    }

    /// Time has passed.
    pub fn timeout(&mut self) {
        let now = Instant::now();
        if self.look_at <= now {
            self.look_for_room(now);
        }
        self.lines.timeout(now);
        self.control.timeout(now);
        self.carry_out(now);
    }

    /// Takes no new calls.
    pub fn drain(&mut self) {
        if !self.draining {
            tracing::info!("draining: no new calls");
            self.draining = true;
            self.control.drain();
            self.tell_service();
        }
    }

    /// The file of call records was moved away: goes on in a new one.
    pub fn reopen_records(&self) {
        if let Some(journal) = &self.journal {
            journal.reopen();
        }
    }

    /// Ends every call.
    pub fn clear_all(&mut self) {
        let now = Instant::now();
        self.control.clear_all(now);
        self.carry_out(now);
    }

    /// No call is left.
    pub fn is_idle(&self) -> bool {
        self.control.is_idle()
    }

    /// Writes what is left to write and stops the spans.
    pub async fn end(mut self) {
        if !self.control.is_idle() {
            tracing::warn!(
                "some calls were not cleared by their peers; they are recorded as they are"
            );
            let now = Instant::now();
            self.control.abandon_all(now);
            self.carry_out(now);
        }
        for record in self.records.take_waiting() {
            self.write_record(record);
        }
        for span in &self.lines.spans {
            span.span.stop();
        }
        self.endpoint.shutdown(SHUTDOWN_MAX).await;
    }

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

    /// Something happened on a span.
    pub fn span_event(&mut self, index: SpanIndex, event: SpanEvent) {
        let now = Instant::now();
        match event {
            SpanEvent::Frame(frame) => self.lines.spans[index].interface.frame(now, &frame),
            SpanEvent::Alarm(alarms) => {
                let span = &mut self.lines.spans[index];
                tracing::warn!(span = %span.name, was = %span.alarms, alarm = %alarms, "alarm");
                span.alarms = alarms;
                if alarms.is_clear() {
                    span.interface.line_up(now);
                } else {
                    // The calls are cleared first: what is then left of them on the interface
                    // ends with it.
                    self.service_changed(index);
                    self.control.clear_span(now, index);
                    self.carry_out(now);
                    self.lines.spans[index].interface.line_down(now);
                }
                self.service_changed(index);
            }
            SpanEvent::Detached { timeslot, bearer, fault } => {
                if fault {
                    tracing::error!(span = %self.lines.spans[index].name, timeslot, "bearer failed");
                }
                let bearer: Box<dyn std::any::Any> = bearer;
                if let Ok(bearer) = bearer.downcast::<OnTimeslot>()
                    && let Some((channel, bearer)) = self.voice.came_back(*bearer)
                {
                    self.attach(channel, bearer);
                }
            }
            SpanEvent::Ended(error) => {
                let span = &mut self.lines.spans[index];
                match error {
                    Some(error) => tracing::error!(span = %span.name, %error, "span ended"),
                    None => tracing::info!(span = %span.name, "span ended"),
                }
                span.alarms.red = true;
                self.service_changed(index);
                self.control.clear_span(now, index);
                self.carry_out(now);
                self.lines.spans[index].interface.line_down(now);
            }
            _ => {}
        }
        self.carry_out(now);
    }

    /// Something happened to a leg's media.
    pub fn media_event(&mut self, event: MediaEvent) {
        let now = Instant::now();
        let leg = self.voice.leg_of(event.leg);
        let call = leg.and_then(|leg| self.name_of_leg(leg)).map(str::to_owned);
        match event.kind {
            MediaEventKind::Closed(figures) => {
                if let Some(leg) = self.voice.closed(event.leg)
                    && let Some(record) = self.records.media_closed(leg, figures)
                {
                    self.write_record(record);
                }
            }
            MediaEventKind::RtpTimeout => {
                if let Some(leg) = leg
                    && self.packets.of(leg).is_some_and(|packet| packet.answered)
                {
                    tracing::warn!(call, "no RTP any more");
                    self.control.leg_disconnected(now, leg, Release::by_gateway(102));
                }
            }
            MediaEventKind::Failed => {
                tracing::error!(call, "media leg failed");
                if let Some(leg) = leg {
                    self.control.leg_disconnected(now, leg, Release::by_gateway(41));
                }
            }
            MediaEventKind::DigitFromRtp { duration_ms, .. } => {
                tracing::debug!(call, duration_ms, "digit towards the line");
            }
            MediaEventKind::DigitFromLine { duration_ms, .. } => {
                tracing::debug!(call, duration_ms, "digit from the line");
            }
            MediaEventKind::SourceMoved { to } => {
                tracing::info!(call, %to, "RTP comes from another address than signalled");
            }
            _ => {}
        }
        self.carry_out(now);
    }

    /// A directory answered.
    pub fn inquiry_answered(&mut self, call: CallId, reply: InquiryReply) {
        let now = Instant::now();
        let result = match &reply {
            InquiryReply::Gateways(_) => "gateways",
            InquiryReply::UnknownNumber => "unknown_number",
            InquiryReply::NoGateway => "no_gateway",
            InquiryReply::Unavailable => "unavailable",
        };
        *self.inquiry_results.entry(result).or_default() += 1;
        if let Some(CallName { name, number: Some(number) }) = self.names.get(&call) {
            let text = match &reply {
                InquiryReply::Gateways(gateways) => format!("directory: {}", gateways[0].0),
                other => format!("directory: {other:?}"),
            };
            tracing::info!(target: "ladder", step = 408_u32, %number, call = %name, "{text}");
        }
        self.control.inquiry_answered(now, call, reply);
        self.carry_out(now);
    }

    /// Everything an operator asks about.
    pub fn status(&self) -> Status {
        report::status(self)
    }

    fn invited(&mut self, now: Instant, invite: &IncomingInvite) {
        *self.calls.offered.entry("packet").or_default() += 1;
        self.look_for_room(now);
        let host = invite.source.ip().to_string();
        let trusted = self.configuration.trusts(&host);
        let (call, leg) = self.control.offered_by_packet(now, offer_of(invite, trusted));
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

    fn provisional(
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
        self.packet_gone(now, sip, release_of_failure(status, cause));
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

    fn service_changed(&mut self, index: SpanIndex) {
        let span = &self.lines.spans[index];
        let in_service = span.in_service();
        self.control.span_in_service(index, in_service);
        self.tell_service();
    }

    /// OPTIONS are answered as an INVITE would be (RFC 3261 §11.2).
    fn tell_service(&self) {
        let any = self.lines.spans.iter().any(lines::LineSpan::in_service)
            || self.configuration.reaches_peers();
        self.endpoint.set_in_service(any && self.control.congestion().is_none());
    }

    /// Looks whether there is room for another call, before it is offered and from time to time.
    fn look_for_room(&mut self, now: Instant) {
        self.look_at = now + LOOK_EVERY;
        self.control.set_media(self.voice.congestion());
        self.tell_service();
        let congestion = self.control.congestion();
        // The end of a gateway is no congestion.
        let is_congested = congestion.is_some() && !self.draining;
        match self.congestion.look(now, is_congested) {
            Some(Change::Begun) => {
                let reason = congestion.map(|congestion| congestion.name());
                tracing::warn!(reason, "congestion: new calls are refused");
            }
            Some(Change::Over { lasted, refused }) => {
                let lasted_s = lasted.as_secs();
                tracing::info!(lasted_s, refused, "congestion is over: new calls are taken");
            }
            None => {}
        }
    }

    /// Carries out what the interfaces and call control want, until nothing is left to do.
    fn carry_out(&mut self, now: Instant) {
        loop {
            if let Some((span, output)) = self.lines.poll_output() {
                self.line_output(now, span, output);
            } else if let Some(action) = self.control.poll_action() {
                self.act(now, action);
            } else {
                return;
            }
        }
    }

    fn line_output(&mut self, now: Instant, span: SpanIndex, output: Output) {
        match output {
            Output::LinkUp => {
                tracing::info!(span = %self.lines.spans[span].name, "data link up");
                self.service_changed(span);
            }
            Output::LinkDown => {
                tracing::warn!(span = %self.lines.spans[span].name, "data link down");
                self.service_changed(span);
            }
            Output::LinkNotEstablished { refused } => {
                let problem = if refused {
                    "the other end refuses the data link (DM): is it blocked there?"
                } else {
                    "no data link, nothing comes from the other end: are both the same side, or is \
                     the D channel elsewhere?"
                };
                tracing::warn!(span = %self.lines.spans[span].name, "{problem}");
            }
            Output::Restarted { channels } => {
                tracing::info!(span = %self.lines.spans[span].name, ?channels, "restarted");
            }
            Output::RestartFailed { channel } => {
                tracing::warn!(span = %self.lines.spans[span].name, ?channel, "restart not acknowledged");
            }
            Output::Service { channel, state, .. } => {
                tracing::info!(span = %self.lines.spans[span].name, channel, ?state, "service");
            }
            Output::Call { call, indication } => self.indication(now, span, call, indication),
            // Sent by the lines themselves.
            Output::Frame(_) => {}
        }
    }

    fn indication(
        &mut self,
        now: Instant,
        span: SpanIndex,
        call: trunkline_isdn::CallId,
        indication: Indication,
    ) {
        if let Indication::Setup(setup) = indication {
            self.dialled_by_line(now, span, call, *setup);
            return;
        }
        if self.dialling.has(span, call) {
            self.dialling_goes_on(now, span, call, indication);
            return;
        }
        let Some(leg) = self.lines.leg_of(span, call) else { return };
        match indication {
            Indication::Proceeding { in_band: true } | Indication::Progress { in_band: true } => {
                self.control.leg_progressed(leg);
            }
            // §5.1.3: the other end awaits digits, and ours was all of the number.
            Indication::MoreDigits { .. } if self.lines.spans[span].variant.sending_complete => {
                let request = Request::Digits { digits: String::new(), complete: true };
                self.ask_line(now, leg, request);
            }
            Indication::Alerting { in_band } => self.control.leg_alerting(now, leg, in_band),
            Indication::Connect => {
                self.ladder(leg, 411, "the telephone was answered (CONNECT)");
                self.control.leg_answered(now, leg);
            }
            Indication::Disconnect { cause, by_us, .. } => {
                self.control.leg_disconnected(now, leg, release_of_line(cause, by_us));
            }
            Indication::Released { cause, by_us } => {
                self.line_gone(now, leg, release_of_line(cause, by_us));
            }
            _ => {}
        }
    }

    /// SETUP came, with the whole number or the first of its digits.
    fn dialled_by_line(
        &mut self,
        now: Instant,
        span: SpanIndex,
        call: trunkline_isdn::CallId,
        setup: Setup,
    ) {
        let line = &mut self.lines.spans[span];
        let channel = BChannel { span, timeslot: setup.channel };
        let more = Request::MoreDigits { dial_tone: false };
        // Whoever will be refused for want of room or of the channel need not dial on.
        let waits = Dialling::is_to_wait(&setup, line.overlap_receiving_digits)
            && self.control.congestion().is_none()
            && self.control.trunks.seize_channel(channel).is_ok();
        if waits && line.interface.request(now, call, more).is_ok() {
            self.dialling.begin(span, call, setup);
            return;
        }
        if waits {
            self.control.trunks.release(channel);
        }
        self.called_by_line(now, span, call, &setup);
    }

    /// Something happened to a call whose number is not whole yet.
    fn dialling_goes_on(
        &mut self,
        now: Instant,
        span: SpanIndex,
        call: trunkline_isdn::CallId,
        indication: Indication,
    ) {
        match indication {
            Indication::Digits { digits, complete } => {
                let whole_at = self.lines.spans[span].overlap_receiving_digits;
                let whole = self.dialling.digits(span, call, &digits, complete, whole_at);
                if let Some(setup) = whole {
                    // Call control seizes it for the call that it hears of now.
                    self.control.trunks.release(BChannel { span, timeslot: setup.channel });
                    self.called_by_line(now, span, call, &setup);
                }
            }
            Indication::Disconnect { .. } => {
                let request = Request::Disconnect { cause: NORMAL_CALL_CLEARING, in_band: false };
                let outcome = self.lines.spans[span].interface.request(now, call, request);
                if let Err(error) = outcome {
                    tracing::debug!(%error, "the line has gone on already");
                }
            }
            Indication::Released { .. } => {
                if let Some(channel) = self.dialling.remove(span, call) {
                    self.control.trunks.release(channel);
                }
            }
            _ => {}
        }
    }

    fn called_by_line(
        &mut self,
        now: Instant,
        span: SpanIndex,
        line_call: trunkline_isdn::CallId,
        setup: &Setup,
    ) {
        *self.calls.offered.entry("line").or_default() += 1;
        self.look_for_room(now);
        let channel = BChannel { span, timeslot: setup.channel };
        let calling = setup.calling.as_ref();
        let offer = LineOffer {
            channel,
            called: line_number(&setup.called),
            calling: calling.map(line_number),
            calling_restricted: calling
                .is_some_and(|calling| calling.presentation != Presentation::Allowed),
        };
        let number = offer.called.to_e164(&self.control.routing.profile);
        let (call, leg) = self.control.offered_by_line(now, offer);
        let caller = LineCaller { bearer: setup.bearer, calling: setup.calling.clone() };
        self.lines.insert_caller(leg, LineLeg { call: line_call, channel }, caller);
        let name = self.name_call(call, number);
        tracing::info!(
            call = %name,
            span = %self.lines.spans[span].name,
            timeslot = setup.channel,
            called = %setup.called.digits,
            "call from the line"
        );
        // Towards packets data would be decoded, stretched and concealed as if it were speech; another
        // line gets it octet for octet.
        let is_carried = match setup.bearer.transfer {
            TransferCapability::Speech | TransferCapability::Audio31 => true,
            TransferCapability::UnrestrictedDigital => self.control.is_crossing(leg),
            TransferCapability::Other(_) => false,
        };
        if !self.control.is_releasing(leg) && !is_carried {
            tracing::warn!(call = %name, bearer = ?setup.bearer.transfer, "no speech, refused");
            let why = Release::by_gateway(BEARER_NOT_IMPLEMENTED);
            self.control.leg_disconnected(now, leg, why);
        }
    }

    fn line_gone(&mut self, now: Instant, leg: LegId, release: Release) {
        // A call refused because its channel is busy must not take the voice of the call that is
        // up on it.
        if let Some(line) = self.lines.remove(leg)
            && !self.lines.is_held(line.channel)
        {
            self.detach(line.channel);
        }
        self.control.leg_released(now, leg, release);
    }

    fn detach(&self, channel: BChannel) {
        let span = &self.lines.spans[channel.span];
        if let Err(error) = span.span.detach(channel.timeslot) {
            tracing::error!(span = %span.name, %error, "timeslot not freed");
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Inquire { call, number } => self.inquire(call, number),
            // Refused for another reason before its turn came: nobody's telephone is to ring.
            Action::DialLine { leg, .. } | Action::DialPacket { leg, .. }
                if self.control.is_releasing(leg) => {}
            Action::DialLine { leg, channel, called, calling, .. } => {
                self.dial_line(now, leg, channel, &called, calling);
            }
            Action::DialPacket { leg, target, called, calling, hops, .. } => {
                self.dial_packet(now, leg, &target, called, calling, hops);
            }
            Action::Join { ingress, egress, .. } => self.join(ingress, egress),
            Action::Proceed { leg } => self.ask_line(now, leg, Request::Proceeding),
            Action::Progress { leg } => {
                if self.lines.of(leg).is_some() {
                    self.ask_line(now, leg, Request::Progress);
                } else {
                    self.tell_packet(leg, 183, true);
                }
            }
            Action::Alert { leg, in_band } => {
                if self.lines.of(leg).is_some() {
                    self.ask_line(now, leg, Request::Alerting { in_band });
                } else {
                    self.tell_packet(leg, 180, in_band);
                }
            }
            Action::Answer { leg } => {
                if self.lines.of(leg).is_some() {
                    self.ask_line(now, leg, Request::Connect);
                } else {
                    self.answer_packet(leg);
                }
            }
            Action::Offer { leg, wish } => self.offer_onward(now, leg, wish),
            Action::Release { leg, release } => self.release(now, leg, release),
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
        calling: Option<trunkline_call::control::Calling>,
    ) {
        let profile = &self.control.routing.profile;
        let number = calling
            .as_ref()
            .map(|calling| LineNumber::from_e164(&calling.number, NumberType::National, profile));
        let caller = self.control.ingress_of(leg).and_then(|leg| self.lines.caller(leg));
        let (bearer, calling) = match caller {
            Some(caller) => (caller.bearer, caller.calling_onward(number.as_ref())),
            None => {
                let calling = calling.as_ref().zip(number.as_ref());
                let speech = self.lines.spans[channel.span].speech();
                (speech, calling.map(|(calling, number)| calling_number(calling, number)))
            }
        };
        let text = format!(
            "SETUP {} on span {} timeslot {}",
            called.digits, self.lines.spans[channel.span].name, channel.timeslot
        );
        self.ladder(leg, 410, &text);
        if let Err(error) = self.lines.dial(now, leg, channel, bearer, called, calling) {
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
        calling: Option<trunkline_call::control::Calling>,
        hops: u8,
    ) {
        self.ladder(leg, 409, &format!("INVITE to {}", target.0));
        let outcome = self.invite(leg, target, called, calling, hops);
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
    fn offer(&mut self, leg: LegId, terms: &Terms) -> Result<Vec<u8>, VoiceError> {
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
        calling: Option<trunkline_call::control::Calling>,
        hops: u8,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut uri: Uri = target.0.parse()?;
        if uri.user.is_empty() {
            uri.user = called.to_string();
        }
        let terms = self.configuration.terms_with(target, &uri.host);
        let offer = self.offer(leg, &terms)?;
        let own = self.configuration.file.rtp.address.to_string();
        let (user, mut headers) = match &calling {
            Some(calling) if calling.restricted => {
                let mut headers = vec![("Privacy".to_owned(), "id".to_owned())];
                // RFC 3325 §5: the number goes to whom we trust, not to the called person.
                if self.configuration.trusts(&uri.host) {
                    let identity = format!("<sip:{}@{own}>", calling.number);
                    headers.push(("P-Asserted-Identity".to_owned(), identity));
                }
                ("anonymous".to_owned(), headers)
            }
            Some(calling) => (calling.number.to_string(), Vec::new()),
            None => ("anonymous".to_owned(), Vec::new()),
        };
        let mut invite = OutgoingInvite::new(uri, Uri::sip(&user, &own, None), offer);
        invite.headers.append(&mut headers);
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
    fn call_again_plain(&mut self, sip: trunkline_sip::LegId) -> bool {
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

    fn attach(&mut self, channel: BChannel, bearer: OnTimeslot) {
        let span = &self.lines.spans[channel.span];
        if let Err(error) = span.span.attach(channel.timeslot, Box::new(bearer)) {
            tracing::error!(span = %span.name, %error, "no voice on the timeslot");
        }
    }

    fn ask_line(&mut self, now: Instant, leg: LegId, request: Request) {
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

    fn release(&mut self, now: Instant, leg: LegId, release: Release) {
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
        if let Some(packet) = self.packets.remove(leg) {
            packet_legs::release(&self.endpoint, leg, &packet, release);
        }
        self.voice.close(leg);
        self.control.leg_released(now, leg, release);
    }

    fn call_over(&mut self, record: CallRecord) {
        *self.calls.ended_by_cause.entry(record.cause).or_default() += 1;
        if let Some(sides) = record.answered_at.and_then(|_| record.between()) {
            *self.calls.answered_between.entry(sides.name()).or_default() += 1;
        }
        if let Some(congestion) = record.refused {
            *self.calls.refused.entry(congestion.name()).or_default() += 1;
            self.congestion.refused();
        }
        if let Some(figures) = self.voice.uncross(record.ingress.leg)
            && let Some(egress) = record.egress.last()
        {
            self.records.crossed([record.ingress.leg, egress.leg], figures);
        }
        let legs = std::iter::once(&record.ingress).chain(&record.egress).map(|leg| leg.leg);
        let open = legs.filter(|leg| self.voice.is_pending(*leg)).collect();
        if let Some(record) = self.records.call_over(record, open) {
            self.write_record(record);
        }
    }

    fn write_record(&mut self, record: CallRecord) {
        let name = self.names.remove(&record.call).map(|call| call.name).unwrap_or_default();
        let spans: Vec<String> = self.lines.spans.iter().map(|span| span.name.clone()).collect();
        let gateway = &self.configuration.file.name;
        self.records.rate(&record, &spans, &mut self.voice_quality);
        let line = self.records.line(&record, &name, gateway, &spans, &self.clock);
        tracing::info!(
            call = %name,
            cause = record.cause,
            "call over: {}",
            cause_text(record.cause)
        );
        if let Some(journal) = &self.journal {
            journal.append(line);
        }
    }

    fn name_call(&mut self, call: CallId, number: Option<E164>) -> String {
        let name =
            format!("{}-{:x}-{}", self.configuration.file.name, self.clock.start_unix_s(), call.0);
        self.names.insert(call, CallName { name: name.clone(), number });
        name
    }

    fn name_of_leg(&self, leg: LegId) -> Option<&str> {
        Some(self.names.get(&self.control.call_of(leg)?)?.name.as_str())
    }

    /// Logs a step of the patent's ladder.
    fn ladder(&self, leg: LegId, step: u32, text: &str) {
        let call = self.control.call_of(leg).and_then(|call| self.names.get(&call));
        if let Some(CallName { name, number: Some(number) }) = call {
            tracing::info!(target: "ladder", step, %number, call = %name, "{text}");
        }
    }
}
