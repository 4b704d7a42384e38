//! What happens on the lines: every event of a span or of a call on its D channel becomes a call of call
//! control's methods.

use std::time::Instant;

use trunkline_call::LegId;
use trunkline_call::control::Release;
use trunkline_call::trunk::{BChannel, SpanIndex};
use trunkline_isdn::{Indication, Output, Request, Setup, TransferCapability};
use trunkline_tdm::SpanEvent;

use super::dialling::Dialling;
use super::identities::offer_of_setup;
use super::lines::{LineCaller, LineLeg, release_of_line};
use super::voice::OnTimeslot;
use super::{BEARER_NOT_IMPLEMENTED, NORMAL_CALL_CLEARING, Switch};

impl Switch {
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

    fn service_changed(&mut self, index: SpanIndex) {
        let span = &self.lines.spans[index];
        let in_service = span.in_service();
        self.control.span_in_service(index, in_service);
        self.tell_service();
    }

    pub(super) fn line_output(&mut self, now: Instant, span: SpanIndex, output: Output) {
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
            Output::Restarted { channels } => self.restarted(span, channels),
            Output::RestartFailed { channel } => self.restart_failed(now, span, channel),
            Output::Service { channel, state, acknowledged: false } => {
                self.service_told(span, channel, state);
            }
            // What we have announced ourselves.
            Output::Service { .. } => {}
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
        let offer = offer_of_setup(channel, setup);
        let number = offer.called.to_e164(&self.control.routing.profile);
        let (call, leg) = self.control.offered_by_line(now, offer);
        let caller = LineCaller {
            bearer: setup.bearer,
            calling: setup.calling.clone(),
            redirecting: setup.accompanying.redirecting.clone(),
        };
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

    pub(super) fn line_gone(&mut self, now: Instant, leg: LegId, release: Release) {
        // A call refused because its channel is busy must not take the voice of the call that is
        // up on it.
        if let Some(line) = self.lines.remove(leg)
            && !self.lines.is_held(line.channel)
        {
            self.detach(line.channel);
        }
        self.control.leg_released(now, leg, release);
    }

    pub(super) fn detach(&self, channel: BChannel) {
        let span = &self.lines.spans[channel.span];
        if let Err(error) = span.span.detach(channel.timeslot) {
            tracing::error!(span = %span.name, %error, "timeslot not freed");
        }
    }

    pub(super) fn attach(&mut self, channel: BChannel, bearer: OnTimeslot) {
        let span = &self.lines.spans[channel.span];
        if let Err(error) = span.span.attach(channel.timeslot, Box::new(bearer)) {
            tracing::error!(span = %span.name, %error, "no voice on the timeslot");
        }
    }
}
