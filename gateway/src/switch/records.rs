//! Call records as JSON lines: what call control knows of a call, and its media statistics.

use std::collections::HashMap;

use serde_json::{Value, json};
use trunkline_call::LegId;
use trunkline_call::interworking::cause_text;
use trunkline_call::record::{CallRecord, LegMedium, LegRecord};

use crate::wall_clock::WallClock;

/// Media statistics of a leg, as they go into the record.
pub type MediaStatistics = Value;

/// Records that wait for the media statistics of their legs.
///
/// A leg's media ends a tick after its signalling, so a record may be ready first.
#[derive(Debug, Default)]
pub struct Records {
    /// Statistics that came before their record.
    statistics: HashMap<LegId, MediaStatistics>,
    /// Records with the legs whose statistics are still to come.
    waiting: Vec<(CallRecord, Vec<LegId>)>,
}

impl Records {
    /// A call is over; `open` are its legs whose media is still being closed. Gives the record
    /// back when nothing is waited for.
    pub fn call_over(&mut self, record: CallRecord, open: Vec<LegId>) -> Option<CallRecord> {
        let open: Vec<LegId> =
            open.into_iter().filter(|leg| !self.statistics.contains_key(leg)).collect();
        if open.is_empty() {
            return Some(record);
        }
        self.waiting.push((record, open));
        None
    }

    /// The media of a leg is closed. Gives the record that waited for it, if it was the last.
    pub fn media_closed(&mut self, leg: LegId, statistics: MediaStatistics) -> Option<CallRecord> {
        self.statistics.insert(leg, statistics);
        let at = self.waiting.iter().position(|(_, open)| open.contains(&leg))?;
        self.waiting[at].1.retain(|open| *open != leg);
        self.waiting[at].1.is_empty().then(|| self.waiting.swap_remove(at).0)
    }

    /// Records that can wait no longer, at the end of the program.
    pub fn take_waiting(&mut self) -> Vec<CallRecord> {
        self.waiting.drain(..).map(|(record, _)| record).collect()
    }

    /// The line of a record. The statistics of its legs are used up.
    pub fn line(
        &mut self,
        record: &CallRecord,
        name: &str,
        gateway: &str,
        spans: &[String],
        clock: &WallClock,
    ) -> String {
        let mut legs = vec![self.leg("ingress", &record.ingress, spans)];
        legs.extend(record.egress.iter().map(|leg| self.leg("egress", leg, spans)));
        let time = |instant: Option<_>| instant.map(|instant| clock.rfc3339(instant));
        let since_offer_ms = |instant: Option<std::time::Instant>| {
            instant.map(|instant| instant.duration_since(record.offered_at).as_millis() as u64)
        };
        json!({
            "call": name,
            "gateway": gateway,
            "called": record.called,
            "number": record.number.map(|number| number.to_string()),
            "calling": record.calling,
            "offered_at": time(Some(record.offered_at)),
            "alerting_at": time(record.alerting_at),
            "answered_at": time(record.answered_at),
            "ended_at": time(Some(record.ended_at)),
            "post_dial_delay_ms": since_offer_ms(record.alerting_at.or(record.answered_at)),
            "answered_ms": record.answered_at
                .map(|answered| record.ended_at.duration_since(answered).as_millis() as u64),
            "cause": record.cause,
            "cause_text": cause_text(record.cause),
            "refused": record.refused,
            "legs": legs,
        })
        .to_string()
    }

    fn leg(&mut self, side: &str, record: &LegRecord, spans: &[String]) -> Value {
        let mut leg = json!({
            "side": side,
            "cause": record.end.cause,
            "released_by": record.end.by,
        });
        let fields = leg.as_object_mut().expect("made as an object");
        if let Some(status) = record.end.status {
            fields.insert("sip_status".into(), json!(status));
        }
        match &record.medium {
            LegMedium::Line { channel } => {
                fields.insert("kind".into(), json!("line"));
                fields.insert("span".into(), json!(spans.get(channel.span)));
                fields.insert("timeslot".into(), json!(channel.timeslot));
            }
            LegMedium::Packet { peer } => {
                fields.insert("kind".into(), json!("packet"));
                fields.insert("peer".into(), json!(peer));
            }
        }
        if let Some(statistics) = self.statistics.remove(&record.leg) {
            fields.insert("media".into(), statistics);
        }
        leg
    }
}
