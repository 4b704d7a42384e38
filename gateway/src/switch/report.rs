//! The switch's status, gathered from its parts.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use trunkline_media::TICK_LATENESS_BOUNDS_US;

use super::{Switch, lines};
use crate::status::{MediaStatus, RecordStatus, SipStatus, SpanStatus, Status};

/// Gathers the status.
pub(super) fn status(switch: &Switch) -> Status {
    let mut calls = switch.calls.clone();
    calls.set_phases(switch.control.count());
    Status {
        name: switch.configuration.file.name.clone(),
        draining: switch.draining,
        calls,
        spans: spans(switch),
        inquiries: switch.inquiry_results.clone(),
        sip: sip(switch),
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
            counters: lines::counters(span),
        })
        .collect()
}

fn sip(switch: &Switch) -> SipStatus {
    let counters = switch.endpoint.counters();
    SipStatus {
        open_legs: counters.open_legs,
        dialogs: counters.dialogs,
        messages_received: counters.messages_received,
        refused: counters.refused.into_iter().collect(),
    }
}

fn media(switch: &Switch) -> MediaStatus {
    let media = switch.voice.media();
    let total = media.counters().total();
    let bounds = TICK_LATENESS_BOUNDS_US.iter().map(|bound| Some(*bound)).chain([None]);
    MediaStatus {
        back_end: match media.backend() {
            trunkline_media::packet_io::Backend::AfXdp => "af_xdp",
            trunkline_media::packet_io::Backend::IoUring => "io_uring",
            trunkline_media::packet_io::Backend::Mio => "mio",
        },
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
            ("payload_type", total.dropped_payload_type),
            ("duplicate", total.dropped_duplicate),
            ("jump", total.dropped_jump),
            ("late", total.dropped_late),
            ("overwritten", total.dropped_overwritten),
            ("too_long", total.dropped_too_long),
            ("on_hold", total.dropped_on_hold),
            ("nowhere", total.dropped_nowhere),
            ("untranslated", total.dropped_untranslated),
            ("oversized", total.dropped_oversized),
            ("authentication", total.dropped_authentication),
            ("replay", total.dropped_replay),
            ("exhausted", total.dropped_exhausted),
            ("playout", total.playout_discarded),
        ]),
        tick_lateness: bounds.zip(total.tick_lateness).collect(),
    }
}
