//! Call records as JSON lines: what call control knows of a call, and its media statistics.

use std::collections::HashMap;

use serde_json::{Value, json};
use trunkline_call::LegId;
use trunkline_call::interworking::cause_text;
use trunkline_call::record::{CallRecord, LegMedium, LegRecord};
use trunkline_media::LegStatistics;

use super::voice::{self, Crossed};
use crate::voice_quality::{HeardBy, VoiceQuality};
use crate::wall_clock::WallClock;

/// The span of calls that use none.
const NO_SPAN: &str = "none";

/// Records that wait for the media statistics of their legs.
///
/// A leg's media ends a tick after its signalling, so a record may be ready first.
#[derive(Debug, Default)]
pub struct Records {
    /// Statistics that came before their record.
    statistics: HashMap<LegId, Box<LegStatistics>>,
    /// What went through B channels that were joined to one another.
    crossed: HashMap<LegId, Crossed>,
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
    pub fn media_closed(
        &mut self,
        leg: LegId,
        statistics: Box<LegStatistics>,
    ) -> Option<CallRecord> {
        self.statistics.insert(leg, statistics);
        let at = self.waiting.iter().position(|(_, open)| open.contains(&leg))?;
        self.waiting[at].1.retain(|open| *open != leg);
        self.waiting[at].1.is_empty().then(|| self.waiting.swap_remove(at).0)
    }

    /// What went through the B channels of a call from line to line that is over.
    pub fn crossed(&mut self, legs: [LegId; 2], figures: [Crossed; 2]) {
        self.crossed.extend(legs.into_iter().zip(figures));
    }

    /// Records that can wait no longer, at the end of the program.
    pub fn take_waiting(&mut self) -> Vec<CallRecord> {
        self.waiting.drain(..).map(|(record, _)| record).collect()
    }

    /// Adds how good the voice of an answered call was to what is known of its span.
    pub fn rate(&self, record: &CallRecord, spans: &[String], quality: &mut VoiceQuality) {
        if record.answered_at.is_none() {
            return;
        }
        let legs = || std::iter::once(&record.ingress).chain(&record.egress);
        let span = legs().find_map(|leg| match &leg.medium {
            LegMedium::Line { channel } => spans.get(channel.span),
            LegMedium::Packet { .. } => None,
        });
        let span = span.map_or(NO_SPAN, String::as_str);
        for statistics in legs().filter_map(|leg| self.statistics.get(&leg.leg)) {
            if let Some(heard) = statistics.quality {
                quality.rated(span, HeardBy::Gateway, heard.mos_cq);
            }
            if let Some(tenths) = statistics.remote_voice.and_then(|voice| voice.mos_cq_tenths) {
                quality.rated(span, HeardBy::Peer, f64::from(tenths) / 10.0);
            }
        }
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
            "between": record.between(),
            "called": record.called,
            "number": record.number.map(|number| number.to_string()),
            "calling": record.calling,
            "redirecting": record.redirecting,
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
            fields.insert("media".into(), voice::statistics(&statistics));
        }
        if let Some(figures) = self.crossed.remove(&record.leg) {
            fields.insert("media".into(), voice::crossed(&figures));
        }
        leg
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use trunkline_call::CallId;
    use trunkline_call::record::{BChannelRecord, LegEnd, ReleasedBy};
    use trunkline_rtp::rtcp::VoipMetrics;
    use trunkline_rtp::voip_metrics::Quality;

    use super::*;

    fn leg(number: u64, medium: LegMedium) -> LegRecord {
        let end = LegEnd { cause: 16, status: None, by: ReleasedBy::Peer };
        LegRecord { leg: LegId(number), medium, end }
    }

    /// A call from a peer to the line.
    fn record(answered: bool) -> CallRecord {
        let now = Instant::now();
        let channel = BChannelRecord { span: 1, timeslot: 31 };
        CallRecord {
            call: CallId(7),
            called: "0333331234".to_owned(),
            number: None,
            calling: None,
            redirecting: None,
            ingress: leg(1, LegMedium::Packet { peer: "192.0.2.1:5060 UDP".to_owned() }),
            egress: vec![leg(2, LegMedium::Line { channel })],
            offered_at: now,
            alerting_at: None,
            answered_at: answered.then_some(now),
            ended_at: now,
            cause: 16,
            refused: None,
        }
    }

    fn statistics() -> Box<LegStatistics> {
        let remote = VoipMetrics {
            r_factor: Some(80),
            mos_cq_tenths: Some(40),
            burst_density: 64,
            ..VoipMetrics::default()
        };
        Box::new(LegStatistics {
            quality: Some(Quality { r_factor: 91.2345, mos_lq: 4.4, mos_cq: 4.3579 }),
            remote_voice: Some(remote),
            ..LegStatistics::default()
        })
    }

    #[test]
    fn record_says_how_good_the_voice_was_both_ways() {
        let mut records = Records::default();
        assert_eq!(records.call_over(record(true), vec![LegId(1)]), None);
        let record = records.media_closed(LegId(1), statistics()).expect("it waited");
        let spans = ["e1-1", "e1-2"].map(str::to_owned);

        let mut quality = VoiceQuality::default();
        records.rate(&record, &spans, &mut quality);
        let rated = &quality.spans["e1-2"];
        assert_eq!((rated[&HeardBy::Gateway].sum, rated[&HeardBy::Peer].sum), (4.3579, 4.0));

        let line = records.line(&record, "call-7", "gateway-a", &spans, &WallClock::start());
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let media = &line["legs"][0]["media"];
        assert_eq!(line["between"], "packet_to_line");
        assert_eq!(media["quality"]["r_factor"], 91.23);
        assert_eq!(media["quality"]["mos_cq"], 4.36);
        assert_eq!(media["remote_quality"]["mos_cq"], 4.0);
        assert_eq!(media["remote_quality"]["burst_density"], 0.25);
        assert_eq!(media["remote_quality"]["mos_lq"], Value::Null);
    }

    #[test]
    fn call_that_nobody_answered_is_not_rated() {
        let mut records = Records::default();
        records.media_closed(LegId(1), statistics());
        let mut quality = VoiceQuality::default();
        records.rate(&record(false), &[], &mut quality);
        assert!(quality.spans.is_empty());
    }
}
