//! The legs of the line side: spans with the primary rate interface on their D channel.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_call::LegId;
use trunkline_call::control::Release;
use trunkline_call::interworking as call;
use trunkline_call::routing::{LineNumber, NumberType};
use trunkline_call::trunk::{BChannel, SpanIndex};
use trunkline_isdn::{
    self as isdn, Accompanying, BearerCapability, Cause, IsdnError, Location, Number, Output,
    PrimaryRate, Redirecting, Request, Setup, Side, TransferCapability, Variant,
};
use trunkline_tdm::{
    AlarmState, Clock, DahdiLine, Line, Span, SpanConfig, SpanEvent, TdmError, TdmoeConfig,
    TdmoeLine,
};

use crate::configuration::{self, LineEntry, SpanEntry};
use crate::status::LineStatus;

/// A span with its interface.
#[derive(Debug)]
pub struct LineSpan {
    /// Name in the configuration.
    pub name: String,
    /// The span's thread.
    pub span: Span,
    /// What is spoken on its D channel.
    pub interface: PrimaryRate,
    /// Side that we are.
    pub side: Side,
    /// National variant of that.
    pub variant: Variant,
    /// A number that comes digit by digit is whole with so many; none: numbers come whole.
    pub overlap_receiving_digits: Option<u8>,
    /// What carries it.
    pub line: LineStatus,
    /// Alarms; a span starts in RED.
    pub alarms: AlarmState,
}

impl LineSpan {
    /// New calls may use it: no alarm, data link up.
    pub fn in_service(&self) -> bool {
        self.alarms.is_clear() && self.interface.is_up()
    }

    /// What a call of ours carries.
    pub fn speech(&self) -> BearerCapability {
        BearerCapability {
            transfer: TransferCapability::Speech,
            user_layer_1: Some(self.variant.user_layer_1),
        }
    }

    /// What a call that came from another line carries on this one: speech has this line's law, data
    /// has none.
    fn bearer_onward(&self, bearer: BearerCapability) -> BearerCapability {
        let user_layer_1 = bearer.user_layer_1.map(|_| self.variant.user_layer_1);
        BearerCapability { user_layer_1, ..bearer }
    }
}

/// A leg on a line.
#[derive(Clone, Copy, Debug)]
pub struct LineLeg {
    /// The call on the interface.
    pub call: isdn::CallId,
    /// Its B channel.
    pub channel: BChannel,
}

/// What SETUP said of a caller on the line, for calls that go on to another line.
#[derive(Clone, Debug)]
pub struct LineCaller {
    /// What its B channel carries.
    pub bearer: BearerCapability,
    /// Calling number as it came.
    pub calling: Option<Number>,
    /// Redirecting number as it came.
    pub redirecting: Option<Redirecting>,
}

impl LineCaller {
    /// The calling number towards another line: in that line's form where it was `understood`, with
    /// the presentation and the screening that it came with (Q.931 §4.5.10).
    pub fn calling_onward(&self, understood: Option<&LineNumber>) -> Option<Number> {
        let came = self.calling.as_ref()?;
        Some(match understood {
            Some(number) => Number {
                presentation: came.presentation,
                screening: came.screening,
                ..Number::new(number_type(number.number_type), number.digits.clone())
            },
            None => came.clone(),
        })
    }
}

/// Whose numbers SETUP carries besides the called one.
#[derive(Clone, Debug, Default)]
pub struct Parties {
    /// Who calls.
    pub calling: Option<Number>,
    /// Who redirected the call.
    pub redirecting: Option<Redirecting>,
}

/// All spans and the legs on them.
#[derive(Debug, Default)]
pub struct Lines {
    /// The spans, in the configuration's order.
    pub spans: Vec<LineSpan>,
    legs: HashMap<LegId, LineLeg>,
    callers: HashMap<LegId, LineCaller>,
    by_call: HashMap<(SpanIndex, isdn::CallId), LegId>,
}

/// Opens what carries a span.
fn open(entry: &SpanEntry, d_channel: u8) -> Result<Box<dyn Line>, TdmError> {
    Ok(match &entry.line {
        &LineEntry::Tdmoe { local, remote, clock } => {
            let clock = match clock {
                configuration::Clock::Line => Clock::Line,
                configuration::Clock::Internal => Clock::Internal,
            };
            let mut config = TdmoeConfig::e1(local, remote, clock);
            if d_channel == 24 {
                config.timeslots = 24;
            }
            Box::new(TdmoeLine::open(config)?)
        }
        LineEntry::Dahdi(dahdi) => Box::new(DahdiLine::open(dahdi.config(entry, d_channel))?),
    })
}

fn line_status(line: &LineEntry) -> LineStatus {
    match line {
        LineEntry::Tdmoe { .. } => LineStatus {
            kind: "tdmoe",
            block_ms: 1,
            delay_from_line_ms_max: None,
            delay_to_line_ms: None,
        },
        LineEntry::Dahdi(dahdi) => {
            let (from_line_ms, to_line_ms) = dahdi.delays_ms();
            LineStatus {
                kind: "dahdi",
                block_ms: dahdi.block_ms.into(),
                delay_from_line_ms_max: Some(from_line_ms),
                delay_to_line_ms: Some(to_line_ms),
            }
        }
    }
}

/// A span that cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("span {name}: {error}")]
pub struct SpanError {
    name: String,
    error: TdmError,
}

impl Lines {
    /// Starts the spans; their events go to `events` with the span's index.
    pub fn start(
        entries: &[SpanEntry],
        events: &mpsc::Sender<(SpanIndex, SpanEvent)>,
    ) -> Result<Self, SpanError> {
        let mut lines = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let failed = |error| SpanError { name: entry.name.clone(), error };
            let interface = entry.interface();
            let variant = interface.variant;
            let line = open(entry, variant.d_channel).map_err(failed)?;
            let mut config = SpanConfig::e1(entry.name.clone(), index as u16);
            config.core = entry.core;
            config.d_channel = Some(variant.d_channel);
            config.idle = entry.law().idle();
            let (span, mut span_events) = Span::start(config, line).map_err(failed)?;
            let events = events.clone();
            tokio::spawn(async move {
                while let Some(event) = span_events.next().await {
                    if events.send((index, event)).await.is_err() {
                        return;
                    }
                }
            });
            let side = interface.side;
            let interface = PrimaryRate::new(interface);
            lines.spans.push(LineSpan {
                name: entry.name.clone(),
                span,
                interface,
                side,
                variant,
                overlap_receiving_digits: entry.overlap_receiving_digits,
                line: line_status(&entry.line),
                alarms: AlarmState { red: true, ..AlarmState::default() },
            });
        }
        Ok(lines)
    }

    /// The line leg of a leg of call control.
    pub fn of(&self, leg: LegId) -> Option<LineLeg> {
        self.legs.get(&leg).copied()
    }

    /// Call control's leg of a call on an interface.
    pub fn leg_of(&self, span: SpanIndex, call: isdn::CallId) -> Option<LegId> {
        self.by_call.get(&(span, call)).copied()
    }

    /// Adds a leg.
    pub fn insert(&mut self, leg: LegId, line: LineLeg) {
        self.by_call.insert((line.channel.span, line.call), leg);
        self.legs.insert(leg, line);
    }

    /// Adds the leg of a caller.
    pub fn insert_caller(&mut self, leg: LegId, line: LineLeg, caller: LineCaller) {
        self.insert(leg, line);
        self.callers.insert(leg, caller);
    }

    /// What is known of the caller on a leg, if it called us over a line.
    pub fn caller(&self, leg: LegId) -> Option<&LineCaller> {
        self.callers.get(&leg)
    }

    /// Forgets a leg.
    pub fn remove(&mut self, leg: LegId) -> Option<LineLeg> {
        self.callers.remove(&leg);
        let line = self.legs.remove(&leg)?;
        self.by_call.remove(&(line.channel.span, line.call));
        Some(line)
    }

    /// Legs whose call is gone from its interface.
    pub fn without_call(&self) -> impl Iterator<Item = LegId> {
        let is_gone =
            |line: &LineLeg| self.spans[line.channel.span].interface.channel(line.call).is_none();
        self.legs.iter().filter(move |(_, line)| is_gone(line)).map(|(leg, _)| *leg)
    }

    /// A leg is on this channel. Two are for a moment, when the other end offers a call on a
    /// channel that is busy: the second is refused (Q.931 §5.2.3.1, §5.7).
    pub fn is_held(&self, channel: BChannel) -> bool {
        self.legs.values().any(|leg| leg.channel == channel)
    }

    /// No other leg than this one is on the channel.
    pub fn is_alone_on(&self, leg: LegId, channel: BChannel) -> bool {
        !self.legs.iter().any(|(other, line)| *other != leg && line.channel == channel)
    }

    /// Sends SETUP for a leg.
    pub fn dial(
        &mut self,
        now: Instant,
        leg: LegId,
        channel: BChannel,
        bearer: BearerCapability,
        called: &LineNumber,
        parties: Parties,
    ) -> Result<(), IsdnError> {
        let bearer = self.spans[channel.span].bearer_onward(bearer);
        let setup = Setup {
            channel: channel.timeslot,
            exclusive: true,
            bearer,
            called: Number::new(number_type(called.number_type), called.digits.clone()),
            calling: parties.calling,
            sending_complete: true,
            accompanying: Accompanying {
                redirecting: parties.redirecting,
                ..Accompanying::default()
            },
        };
        let call = self.spans[channel.span].interface.setup(now, &setup)?;
        self.insert(leg, LineLeg { call, channel });
        Ok(())
    }

    /// Asks something of a leg's call.
    pub fn request(&mut self, now: Instant, leg: LegId, request: Request) -> Result<(), IsdnError> {
        let line = self.of(leg).ok_or(IsdnError::NoSuchCall)?;
        self.spans[line.channel.span].interface.request(now, line.call, request)
    }

    /// When one of the interfaces wants its time.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.spans.iter().filter_map(|span| span.interface.next_deadline()).min()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        for span in &mut self.spans {
            span.interface.timeout(now);
        }
    }

    /// The next output of any interface; frames are sent at once and not given out.
    pub fn poll_output(&mut self) -> Option<(SpanIndex, Output)> {
        for (index, span) in self.spans.iter_mut().enumerate() {
            while let Some(output) = span.interface.poll_output() {
                match output {
                    Output::Frame(frame) => {
                        if let Err(error) = span.span.send_frame(frame) {
                            tracing::warn!(span = %span.name, %error, "D-channel frame lost");
                        }
                    }
                    other => return Some((index, other)),
                }
            }
        }
        None
    }
}

/// A number of the line for call control.
pub fn line_number(number: &Number) -> LineNumber {
    let number_type = match number.number_type {
        isdn::NumberType::International => NumberType::International,
        isdn::NumberType::National => NumberType::National,
        isdn::NumberType::Subscriber => NumberType::Subscriber,
        _ => NumberType::Unknown,
    };
    LineNumber { number_type, digits: number.digits.clone() }
}

pub(super) fn number_type(number_type: NumberType) -> isdn::NumberType {
    match number_type {
        NumberType::Unknown => isdn::NumberType::Unknown,
        NumberType::International => isdn::NumberType::International,
        NumberType::National => isdn::NumberType::National,
        NumberType::Subscriber => isdn::NumberType::Subscriber,
    }
}

/// What a cause from the line means to call control; `by_us`: a timer here or the like gave it.
pub fn release_of_line(cause: Cause, by_us: bool) -> Release {
    if by_us {
        return Release::by_gateway(cause.value);
    }
    // Q.850 §2.2.3.
    let location = match cause.location {
        Location::User => call::Location::USER,
        Location::PrivateLocal => call::Location(1),
        Location::PublicLocal => call::Location(2),
        Location::PublicRemote => call::Location(4),
        Location::Other(value) => call::Location(value),
    };
    Release { location: Some(location), ..Release::with_cause(cause.value) }
}

/// How a leg on the line is ended: a cause whose location is known keeps it.
pub fn request_of_release(release: &Release) -> Request {
    let Some(call::Location(value)) = release.location else {
        return Request::Disconnect { cause: release.cause, in_band: false };
    };
    let location = match value {
        0 => Location::User,
        1 => Location::PrivateLocal,
        2 => Location::PublicLocal,
        4 => Location::PublicRemote,
        other => Location::Other(other),
    };
    Request::PassOn { cause: Cause { value: release.cause, location } }
}

/// What a span counts, by name.
pub fn counters(span: &LineSpan) -> BTreeMap<&'static str, u64> {
    let line = span.span.counters();
    let interface = span.interface.counters();
    BTreeMap::from([
        ("blocks_received", line.blocks_received),
        ("blocks_missing", line.blocks_missing),
        ("blocks_sent", line.blocks_sent),
        ("sequence_gaps", line.sequence_gaps),
        ("slips", line.slips),
        ("malformed", line.malformed),
        ("wrong_address", line.wrong_address),
        ("d_channel_frames_received", line.d_channel_frames_received),
        ("d_channel_frames_sent", line.d_channel_frames_sent),
        ("blocks_not_sent", line.blocks_not_sent),
        ("hdlc_bad_fcs", line.hdlc_bad_fcs),
        ("hdlc_aborts", line.hdlc_aborts),
        ("hdlc_overruns", line.hdlc_overruns),
        ("alarm_changes", line.alarm_changes),
        ("driver_events", line.events),
        ("read_overruns", line.read_overruns),
        ("write_underruns", line.write_underruns),
        ("answer_tones", line.answer_tones),
        ("echo_cancellers_on", line.echo_cancellers_on),
        ("echo_cancellers_off_by_tone", line.echo_cancellers_off_by_tone),
        ("echo_cancellers_refused", line.echo_cancellers_refused),
        ("bipolar_violations", line.bipolar_violations),
        ("crc4_errors", line.crc4_errors),
        ("e_bits", line.e_bits),
        ("frame_alignment_errors", line.frame_alignment_errors),
        ("errored_seconds", line.errored_s),
        ("interrupts_missed", line.interrupts_missed),
        ("q921_frames_refused", interface.link.frames_refused),
        ("q921_frames_repeated", interface.link.frames_repeated),
        ("q921_recoveries", interface.link.recoveries),
        ("q921_established", interface.link.established),
        ("q921_establishments_failed", interface.link.establishments_failed),
        ("q921_t200_expired", interface.link.t200_expired),
        ("q921_rejects", interface.link.rejects),
        ("q921_errors", interface.link.errors),
        ("q931_messages_received", interface.messages_received),
        ("q931_messages_sent", interface.messages_sent),
        ("q931_messages_refused", interface.messages_refused),
        ("q931_setups_refused", interface.setups_refused),
        ("q931_collisions", interface.collisions),
        ("q931_statuses_received", interface.statuses_received),
        ("q931_statuses_sent", interface.statuses_sent),
        ("q931_restarts_failed", interface.restarts_failed),
    ])
}

#[cfg(test)]
mod tests {
    use trunkline_call::record::ReleasedBy;
    use trunkline_isdn::{Presentation, Screening};

    use super::*;

    #[test]
    fn a_cause_keeps_its_location_from_line_to_line() {
        for location in [
            Location::User,
            Location::PrivateLocal,
            Location::PublicLocal,
            Location::PublicRemote,
            Location::Other(5),
        ] {
            let cause = Cause { value: 34, location };
            let passed_on = request_of_release(&release_of_line(cause, false));
            assert_eq!(passed_on, Request::PassOn { cause });
        }
        // What was decided on here has the location of our own side, and the record says so.
        let own = Cause { value: 102, location: Location::User };
        let release = release_of_line(own, true);
        assert_eq!((release.by, release.is_from_user()), (ReleasedBy::Gateway, false));
        assert_eq!(
            request_of_release(&release),
            Request::Disconnect { cause: 102, in_band: false }
        );
    }

    #[test]
    fn a_calling_number_goes_on_with_its_presentation_and_screening() {
        let came = Number {
            presentation: Presentation::Restricted,
            screening: Screening::Network,
            ..Number::new(isdn::NumberType::Unknown, "0469595678")
        };
        let caller = LineCaller {
            bearer: BearerCapability::default(),
            calling: Some(came.clone()),
            redirecting: None,
        };
        let national =
            LineNumber { number_type: NumberType::National, digits: "469595678".to_owned() };
        let onward = caller.calling_onward(Some(&national)).expect("a number");
        assert_eq!(
            (onward.number_type, onward.digits.as_str()),
            (isdn::NumberType::National, "469595678")
        );
        assert_eq!((onward.presentation, onward.screening), (came.presentation, came.screening));
        // One of the exchange's own plan goes on as it is.
        let own = Number { digits: "4711".to_owned(), ..came };
        let caller = LineCaller { calling: Some(own.clone()), ..caller };
        assert_eq!(caller.calling_onward(None), Some(own));
    }

    #[test]
    fn channel_stays_held_when_a_second_call_on_it_is_refused() {
        let channel = BChannel { span: 0, timeslot: 7 };
        let mut lines = Lines::default();
        lines.insert(LegId(1), LineLeg { call: isdn::CallId(1), channel });
        lines.insert(LegId(2), LineLeg { call: isdn::CallId(2), channel });

        lines.remove(LegId(2));
        assert!(lines.is_held(channel), "the first call keeps its voice");
        lines.remove(LegId(1));
        assert!(!lines.is_held(channel), "the last leg frees the timeslot");
    }
}
