//! The switch's status, gathered from its parts.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use trunkline_call::record::Between;
use trunkline_call::trunk::ChannelState;
use trunkline_media::{TICK_LATENESS_BOUNDS_US, TICK_WORK_BOUNDS_US, WorkerCounters, WorkerLoad};

use super::{Switch, lines};
use crate::status::{
    MediaStatus, RecordStatus, SipStatus, SpanStatus, Status, Ticks, TrunkGroupStatus, WorkerStatus,
};

/// Gathers the status.
pub(super) fn status(switch: &Switch) -> Status {
    let mut calls = switch.calls.clone();
    calls.set_phases(switch.control.count());
    let up = switch.control.up_between();
    calls.up_between =
        Between::ALL.map(|sides| (sides.name(), up.get(&sides).copied().unwrap_or(0))).into();
    let congestion = switch.control.congestion();
    Status {
        name: switch.configuration.file.name.clone(),
        state: if switch.draining {
            "draining"
        } else if !switch.lines.spans.iter().any(lines::LineSpan::in_service) {
            "out_of_service"
        } else if congestion.is_some() {
            "congested"
        } else {
            "in_service"
        },
        draining: switch.draining,
        congestion,
        calls,
        spans: spans(switch),
        trunk_groups: switch
            .control
            .trunks
            .count_groups()
            .map(|(name, count)| TrunkGroupStatus { name: name.to_owned(), channels: count.into() })
            .collect(),
        channel_audit: switch.maintenance.counts().clone(),
        inquiries: switch.inquiry_results.clone(),
        sip: sip(switch),
        pages: switch.pages.status(),
        media: media(switch),
        voice: switch.voice_quality.clone(),
        records: switch.journal.as_ref().map_or_else(RecordStatus::default, |journal| {
            let counters = journal.counters();
            RecordStatus {
                written: counters.written.load(Relaxed),
                lost: counters.lost.load(Relaxed),
            }
        }),
    }
}

fn spans(switch: &Switch) -> Vec<SpanStatus> {
    let spans = switch.lines.spans.iter().enumerate();
    spans
        .map(|(index, span)| SpanStatus {
            name: span.name.clone(),
            line: span.line,
            alarm: if span.alarms.red {
                "red"
            } else if span.alarms.yellow {
                "yellow"
            } else if span.alarms.blue {
                "blue"
            } else {
                "none"
            },
            data_link_up: span.interface.is_up(),
            in_service: span.in_service(),
            channels: switch.control.trunks.count(index).into(),
            kept_back: kept_back(switch, index),
            counters: lines::counters(span),
        })
        .collect()
}

/// The timeslots of a span that new calls do not get although the span is in service.
fn kept_back(switch: &Switch, span: usize) -> BTreeMap<&'static str, Vec<u8>> {
    let mut kept_back: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (channel, is_blocked) in switch.control.trunks.channels_of(span) {
        let state = match switch.control.trunks.state(channel) {
            _ if is_blocked => "blocked",
            Some(ChannelState::Blocked) => "blocked_by_other_end",
            Some(ChannelState::Restarting) => "restarting",
            Some(ChannelState::Resting) => "resting",
            _ => continue,
        };
        kept_back.entry(state).or_default().push(channel.timeslot);
    }
    kept_back
}

fn sip(switch: &Switch) -> SipStatus {
    let counters = switch.endpoint.counters();
    SipStatus {
        open_legs: counters.open_legs,
        dialogs: counters.dialogs,
        messages_received: counters.messages_received,
        calls_refused: counters.overload_refused,
        refused: counters.refused.into_iter().collect(),
    }
}

fn media(switch: &Switch) -> MediaStatus {
    let media = switch.voice.media();
    let counters = media.counters();
    let total = counters.total();
    MediaStatus {
        back_end: match media.backend() {
            trunkline_media::packet_io::Backend::AfXdp => "af_xdp",
            trunkline_media::packet_io::Backend::IoUring => "io_uring",
            trunkline_media::packet_io::Backend::Mio => "mio",
        },
        kernel_relay: media.relays_in_kernel(),
        legs: media.legs(),
        counters: BTreeMap::from([
            ("packets_received", total.packets_received),
            ("octets_received", total.octets_received),
            ("packets_sent", total.packets_sent),
            ("octets_sent", total.octets_sent),
            ("rtcp_received", total.rtcp_received),
            ("rtcp_sent", total.rtcp_sent),
            ("packets_relayed_below", total.packets_relayed_below),
            ("streams_given_below", total.streams_given_below),
            ("streams_recalled", total.streams_recalled),
            ("received_fast", total.received_fast),
            ("sent_fast", total.sent_fast),
            ("send_failed", total.send_failed),
            ("srtp_unsent", total.srtp_unsent),
            ("receive_failed", total.receive_failed),
            ("concealed_samples", total.concealed_samples),
            ("lengthened_samples", total.lengthened_samples),
            ("shortened_samples", total.shortened_samples),
            ("line_overflow_samples", total.line_overflow_samples),
            ("digits_from_rtp", total.digits_from_rtp),
            ("digits_from_line", total.digits_from_line),
            ("legs_opened", total.legs_opened),
            ("legs_closed", total.legs_closed),
            ("legs_failed", total.legs_failed),
            ("events_lost", total.events_lost),
        ]),
        drops: BTreeMap::from([
            ("malformed", total.dropped_malformed),
            ("source", total.dropped_source),
            ("rate", total.dropped_rate),
            ("payload_type", total.dropped_payload_type),
            ("duplicate", total.dropped_duplicate),
            ("jump", total.dropped_jump),
            ("late", total.dropped_late),
            ("overwritten", total.dropped_overwritten),
            ("too_long", total.dropped_too_long),
            ("on_hold", total.dropped_on_hold),
            ("nowhere", total.dropped_nowhere),
            ("untranslated", total.dropped_untranslated),
            ("overrun", total.dropped_overrun),
            ("oversized", total.dropped_oversized),
            ("authentication", total.dropped_authentication),
            ("replay", total.dropped_replay),
            ("exhausted", total.dropped_exhausted),
            ("playout", total.playout_discarded),
        ]),
        workers: counters.workers.iter().zip(&counters.loads).map(worker).collect(),
    }
}

fn worker((counters, load): (&WorkerCounters, &WorkerLoad)) -> WorkerStatus {
    let ticks = |bounds_us: &[u64], counts: &[u64], sum_us| {
        let bounds_us = bounds_us.iter().map(|bound| Some(*bound)).chain([None]);
        Ticks { buckets: bounds_us.zip(counts.iter().copied()).collect(), sum_us }
    };
    WorkerStatus {
        legs: load.legs,
        load: load.busy_ppm as f64 / 1e6,
        tick_work_p99_us: load.tick_work_p99_us,
        refuses: load.refuses,
        tick_lateness: ticks(
            &TICK_LATENESS_BOUNDS_US,
            &counters.tick_lateness,
            counters.ticks_late_us,
        ),
        tick_work: ticks(&TICK_WORK_BOUNDS_US, &counters.tick_work, counters.ticks_work_us),
    }
}
