//! The gateway's one control task: ties SIP, the lines and the media plane to call control.
//!
//! Every event of a leg becomes a call of [`CallControl`]'s methods, every [`trunkline_call::Action`]
//! that comes out becomes a SIP message, a Q.931 request or a command to the media plane. The subjects
//! are in files of their own: `packet_side` and `line_side` (events), `actions` (what is done), `offers`
//! (what is offered in calls that are up), `dialling` (numbers that come digit by digit),
//! [`packet_legs`] (SIP), `page_side` and [`pages`] (web pages), [`lines`] (spans), [`voice`] (media), [`records`] (call records),
//! [`congestion`] (calls that find no room), [`maintenance`] (channels that are
//! blocked, reset, stuck).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_call::control::{InquiryReply, Release};
use trunkline_call::interworking::cause_text;
use trunkline_call::record::CallRecord;
use trunkline_call::{CallControl, CallId, LegId};
use trunkline_directory::client::EnumResolver;
use trunkline_media::{MediaEvent, MediaEventKind};
use trunkline_number::E164;
use trunkline_sip::Endpoint;
use trunkline_webrtc::Certificate;

use crate::configuration::Configuration;
use crate::journal::Journal;
use crate::status::{Calls, Status};
use crate::voice_quality::VoiceQuality;
use crate::wall_clock::WallClock;

mod actions;
pub mod congestion;
mod dialling;
mod identities;
mod line_side;
pub mod lines;
pub mod maintenance;
mod offers;
pub mod packet_legs;
mod packet_side;
mod page_side;
pub mod pages;
pub mod records;
mod registration;
mod report;
pub mod voice;

use congestion::{Change, CongestionWatch, LOOK_EVERY};
use dialling::Dialling;
use lines::Lines;
use maintenance::Maintenance;
use packet_legs::PacketLegs;
use pages::Pages;
use records::Records;
use voice::Voice;

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
    pages: Pages,
    /// What browsers are shown; none: no page may call.
    certificate: Option<Certificate>,
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
    maintenance: Maintenance,
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
        certificate: Option<Certificate>,
    ) -> Self {
        endpoint.set_in_service(false);
        Self {
            configuration,
            clock: WallClock::start(),
            control,
            endpoint,
            packets: PacketLegs::default(),
            pages: Pages::default(),
            certificate,
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
            maintenance: Maintenance::default(),
            draining: false,
            congestion: CongestionWatch::default(),
            look_at: Instant::now(),
        }
    }

    /// When [`Switch::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines =
            [self.control.next_deadline(), self.lines.next_deadline(), self.pages.next_deadline()];
        deadlines.into_iter().flatten().chain([self.look_at, self.maintenance.audit_at]).min()
    }

    /// Time has passed.
    pub fn timeout(&mut self) {
        let now = Instant::now();
        if self.look_at <= now {
            self.look_for_room(now);
        }
        self.lines.timeout(now);
        self.control.timeout(now);
        self.pages_timeout(now);
        if self.maintenance.audit_at <= now {
            self.audit(now);
        }
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
            MediaEventKind::BesideRtp => {
                if let Some(leg) = leg {
                    self.beside_rtp(now, leg);
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

    /// OPTIONS are answered as an INVITE would be (RFC 3261 §11.2).
    fn tell_service(&self) {
        let counts = (0..self.lines.spans.len()).map(|span| self.control.trunks.count(span));
        let any = self.lines.spans.iter().zip(counts).any(|(span, count)| {
            // All blocked is as good as none.
            span.in_service() && count.idle + count.busy > 0
        }) || self.configuration.reaches_peers();
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
