//! Prometheus exposition of the [`Status`].
//!
//! The registry is filled at scrape time from the counters that the workers, spans and call
//! control keep for themselves: nothing is counted twice, and no packet touches a shared counter.

mod histogram;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use trunkline_call::congestion::Congestion;

use crate::status::{Channels, Status, Ticks, WorkerStatus};
use crate::voice_quality::{MOS_BOUNDS, Scores, VoiceQuality};
use histogram::TickHistogram;

/// The metrics page.
pub fn render(status: &Status) -> String {
    let page = Page { registry: Registry::new() };
    let info = page.gauge(
        "trunkline_gateway_info",
        "The gateway and its packet back end.",
        &["name", "back_end"],
    );
    info.with_label_values(&[status.name.as_str(), status.media.back_end]).set(1);
    page.gauge(
        "trunkline_media_kernel_relay",
        "1 if plain calls between peers are relayed in the kernel.",
        &[],
    )
    .with_label_values::<&str>(&[])
    .set(i64::from(status.media.kernel_relay));
    page.gauge("trunkline_gateway_draining", "1 while no new calls are taken.", &[])
        .with_label_values::<&str>(&[])
        .set(i64::from(status.draining));
    calls(&page, status);
    congestion(&page, status);
    spans(&page, status);
    trunk_groups(&page, status);
    page.counters(
        "trunkline_enum_answers_total",
        "Answers of the directory, by result.",
        "result",
        status.inquiries.iter().map(|(result, count)| (*result, *count)),
    );
    sip(&page, status);
    pages(&page, status);
    media(&page, status);
    page.register(ScorePage::new(status.voice.clone()));
    page.counters(
        "trunkline_call_records_total",
        "Call records, by what became of them.",
        "outcome",
        [("written", status.records.written), ("lost", status.records.lost)],
    );
    page.text()
}

fn calls(page: &Page, status: &Status) {
    let by_phase = page.gauge("trunkline_calls", "Calls, by phase.", &["phase"]);
    for (phase, count) in [
        ("inquiring", status.calls.inquiring),
        ("dialling", status.calls.dialling),
        ("alerting", status.calls.alerting),
        ("answered", status.calls.answered),
        ("clearing", status.calls.clearing),
    ] {
        by_phase.with_label_values(&[phase]).set(count as i64);
    }
    let up = page.gauge(
        "trunkline_calls_up",
        "Calls that are talking, by the sides that they came from and went to.",
        &["between"],
    );
    for (between, count) in &status.calls.up_between {
        up.with_label_values(&[between]).set(*count as i64);
    }
    page.counters(
        "trunkline_calls_offered_total",
        "Calls offered, by the side they came from.",
        "from",
        status.calls.offered.iter().map(|(side, count)| (*side, *count)),
    );
    let answered = page.counter(
        "trunkline_calls_answered_total",
        "Answered calls that are over, by the sides that they came from and went to.",
        &["between"],
    );
    for (between, count) in &status.calls.answered_between {
        answered.with_label_values(&[between]).inc_by(*count);
    }
    let ended =
        page.counter("trunkline_calls_ended_total", "Calls ended, by Q.850 cause.", &["cause"]);
    for (cause, count) in &status.calls.ended_by_cause {
        ended.with_label_values(&[cause.to_string().as_str()]).inc_by(*count);
    }
}

fn pages(page: &Page, status: &Status) {
    page.gauge("trunkline_page_legs", "Legs in browsers that live now.", &[])
        .with_label_values::<&str>(&[])
        .set(status.pages.open_legs as i64);
    page.counters(
        "trunkline_page_calls_total",
        "Calls from within web pages: offered to call control; secured: the browser was reached; \
         lost: it went away without a word; unreached: it could not be reached, or was not who its \
         offer said.",
        "outcome",
        [
            ("offered", status.pages.offered),
            ("secured", status.pages.secured),
            ("lost", status.pages.lost),
            ("unreached", status.pages.unreached),
        ],
    );
}

fn congestion(page: &Page, status: &Status) {
    let congested = page.gauge(
        "trunkline_gateway_congested",
        "1 while new calls are refused for want of room, by what there is no room in.",
        &["reason"],
    );
    for known in Congestion::ALL {
        let is_so = status.congestion == Some(known);
        congested.with_label_values(&[known.name()]).set(i64::from(is_so));
    }
    let refused = Congestion::ALL.map(|known| {
        (known.name(), status.calls.refused.get(known.name()).copied().unwrap_or_default())
    });
    page.counters(
        "trunkline_calls_refused_total",
        "Calls refused for want of room (503, cause 42), by what there was no room in; sip: in the \
         SIP stack, before a call was offered.",
        "reason",
        refused.into_iter().chain([("sip", status.sip.calls_refused)]),
    );
}

fn spans(page: &Page, status: &Status) {
    let alarm = page.gauge(
        "trunkline_span_alarm",
        "1 for the alarm that a span is in.",
        &["span", "alarm"],
    );
    let link =
        page.gauge("trunkline_data_link_up", "1 while the D channel's data link is up.", &["span"]);
    let channels = page.gauge("trunkline_b_channels", "B channels, by state.", &["span", "state"]);
    let delay = page.ratio(
        "trunkline_line_delay_seconds",
        "How late speech from and to a DAHDI line is at most, by its blocks and buffers.",
        &["span", "direction"],
    );
    let events =
        page.counter("trunkline_span_events_total", "What happened on a span.", &["span", "event"]);
    for span in &status.spans {
        let name = span.name.as_str();
        for known in ["none", "red", "yellow", "blue"] {
            alarm.with_label_values(&[name, known]).set(i64::from(known == span.alarm));
        }
        for (direction, delay_ms) in [
            ("from_line", span.line.delay_from_line_ms_max),
            ("to_line", span.line.delay_to_line_ms),
        ] {
            if let Some(delay_ms) = delay_ms {
                delay.with_label_values(&[name, direction]).set(f64::from(delay_ms) / 1e3);
            }
        }
        link.with_label_values(&[name]).set(i64::from(span.data_link_up));
        for (state, count) in by_state(&span.channels) {
            channels.with_label_values(&[name, state]).set(count as i64);
        }
        for (event, count) in &span.counters {
            events.with_label_values(&[name, event]).inc_by(*count);
        }
    }
}

fn by_state(channels: &Channels) -> [(&'static str, usize); 6] {
    [
        ("idle", channels.idle),
        ("busy", channels.busy),
        ("out_of_service", channels.out_of_service),
        ("blocked", channels.blocked),
        ("restarting", channels.restarting),
        ("resting", channels.resting),
    ]
}

fn trunk_groups(page: &Page, status: &Status) {
    let channels = page.gauge(
        "trunkline_trunk_group_channels",
        "B channels of the spans of a trunk group, by state.",
        &["trunk_group", "state"],
    );
    for group in &status.trunk_groups {
        for (state, count) in by_state(&group.channels) {
            channels.with_label_values(&[group.name.as_str(), state]).set(count as i64);
        }
    }
    page.counters(
        "trunkline_channel_audit_total",
        "What the audit of B channels has found and done.",
        "what",
        status.channel_audit.iter().map(|(what, count)| (*what, *count)),
    );
}

fn sip(page: &Page, status: &Status) {
    let held = page.gauge("trunkline_sip_held", "What the SIP stack holds now.", &["what"]);
    held.with_label_values(&["legs"]).set(status.sip.open_legs as i64);
    held.with_label_values(&["dialogs"]).set(status.sip.dialogs as i64);
    page.counters(
        "trunkline_sip_messages_total",
        "SIP messages, by what was done with them.",
        "outcome",
        [("received", status.sip.messages_received)],
    );
    page.counters(
        "trunkline_sip_refused_total",
        "SIP messages refused before they reached a call, by reason.",
        "reason",
        status.sip.refused.iter().map(|(reason, count)| (*reason, *count)),
    );
}

fn media(page: &Page, status: &Status) {
    page.gauge("trunkline_rtp_legs", "RTP legs that live now.", &[])
        .with_label_values::<&str>(&[])
        .set(status.media.legs as i64);
    page.counters(
        "trunkline_rtp_total",
        "What the media plane did, in packets, octets or samples as the name says.",
        "what",
        status.media.counters.iter().map(|(what, count)| (*what, *count)),
    );
    page.counters(
        "trunkline_rtp_dropped_total",
        "RTP and RTCP packets dropped, by reason.",
        "reason",
        status.media.drops.iter().map(|(reason, count)| (*reason, *count)),
    );
    workers(page, &status.media.workers);
}

fn workers(page: &Page, workers: &[WorkerStatus]) {
    let load = page.ratio(
        "trunkline_media_load",
        "Share of its time that a media worker serves its legs, averaged over a second.",
        &["worker"],
    );
    let p99 = page.ratio(
        "trunkline_media_tick_work_p99_seconds",
        "Of a hundred ticks of a media worker one takes longer.",
        &["worker"],
    );
    for (number, worker) in workers.iter().enumerate() {
        let number = number.to_string();
        load.with_label_values(&[number.as_str()]).set(worker.load);
        p99.with_label_values(&[number.as_str()]).set(worker.tick_work_p99_us as f64 / 1e6);
    }
    let histogram = |name, help, ticks: fn(&WorkerStatus) -> &Ticks| {
        let ticks = workers.iter().map(|worker| ticks(worker).clone()).collect();
        let histogram = TickHistogram::new(name, help, ticks);
        page.registry.register(Box::new(histogram)).expect("names differ");
    };
    histogram(
        "trunkline_media_tick_lateness_seconds",
        "How late the ticks of a media worker were.",
        |worker| &worker.tick_lateness,
    );
    histogram(
        "trunkline_media_tick_work_seconds",
        "How long a media worker took to serve its legs, tick by tick.",
        |worker| &worker.tick_work,
    );
}

/// A registry that is filled once and written out.
struct Page {
    registry: Registry,
}

impl Page {
    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let metric = IntGaugeVec::new(Opts::new(name, help), labels).expect("names are constant");
        self.register(metric.clone());
        metric
    }

    fn ratio(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let metric = GaugeVec::new(Opts::new(name, help), labels).expect("names are constant");
        self.registry.register(Box::new(metric.clone())).expect("names differ");
        metric
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::IntCounterVec {
        let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("names are constant");
        self.register(metric.clone());
        metric
    }

    fn register(&self, metric: impl Collector + 'static) {
        self.registry.register(Box::new(metric)).expect("names differ");
    }

    fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let metric = self.counter(name, help, &[label]);
        for (value, count) in values {
            metric.with_label_values(&[value]).inc_by(count);
        }
    }

    fn text(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        String::from_utf8(text).expect("the exposition is text")
    }
}

/// The scores of voice as a histogram that was counted elsewhere.
struct ScorePage {
    quality: VoiceQuality,
    description: Desc,
}

impl ScorePage {
    fn new(quality: VoiceQuality) -> Self {
        let labels = ["span", "heard_by"].map(str::to_owned).to_vec();
        let description = Desc::new(
            "trunkline_voice_mos".to_owned(),
            "Estimated MOS (ITU-T G.107, conversation) of the packet legs of answered calls, by the \
             span of the call and by who heard the voice."
                .to_owned(),
            labels,
            std::collections::HashMap::new(),
        );
        Self { quality, description: description.expect("names are constant") }
    }
}

impl Collector for ScorePage {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let legs = self.quality.spans.iter().flat_map(|(span, legs)| {
            legs.iter().map(move |(heard_by, scores)| {
                let mut metric = Metric::default();
                // By name, as the exposition has them.
                metric.set_label(vec![label("heard_by", heard_by.name()), label("span", span)]);
                metric.set_histogram(histogram(scores));
                metric
            })
        });
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(legs.collect());
        vec![family]
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn histogram(scores: &Scores) -> Histogram {
    let mut below = 0;
    let buckets = MOS_BOUNDS.iter().zip(scores.classes).map(|(bound, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(scores.classes.iter().sum());
    histogram.set_sample_sum(scores.sum);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice_quality::HeardBy;

    #[test]
    fn scores_are_a_histogram_by_span_and_listener() {
        let mut quality = VoiceQuality::default();
        for mos in [4.5, 4.25, 3.0] {
            quality.rated("e1-1", HeardBy::Gateway, mos);
        }
        quality.rated("e1-1", HeardBy::Peer, 3.9);
        let page = Page { registry: Registry::new() };
        page.register(ScorePage::new(quality));
        let text = page.text();
        for line in [
            "# TYPE trunkline_voice_mos histogram",
            r#"trunkline_voice_mos_bucket{heard_by="gateway",span="e1-1",le="2.6"} 0"#,
            r#"trunkline_voice_mos_bucket{heard_by="gateway",span="e1-1",le="3.1"} 1"#,
            r#"trunkline_voice_mos_bucket{heard_by="gateway",span="e1-1",le="4.3"} 2"#,
            r#"trunkline_voice_mos_bucket{heard_by="gateway",span="e1-1",le="+Inf"} 3"#,
            r#"trunkline_voice_mos_sum{heard_by="gateway",span="e1-1"} 11.75"#,
            r#"trunkline_voice_mos_count{heard_by="peer",span="e1-1"} 1"#,
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    #[test]
    fn page_without_calls_has_no_scores() {
        let page = Page { registry: Registry::new() };
        page.register(ScorePage::new(VoiceQuality::default()));
        assert!(!page.text().contains("trunkline_voice_mos_bucket"));
    }
}
