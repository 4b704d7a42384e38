//! The gateway's status: what /status shows, and what the metrics are made from.

use std::collections::BTreeMap;

use serde::Serialize;
use trunkline_call::congestion::Congestion;
use trunkline_call::control::CallCount;
use trunkline_call::trunk::ChannelCount;

use crate::switch::pages::PageStatus;
use crate::voice_quality::VoiceQuality;

/// Everything an operator asks about, at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Name of the gateway.
    pub name: String,
    /// In a word: `in_service`; `congested`, new calls are refused for want of room; `draining`;
    /// `out_of_service`, no span can carry a call.
    pub state: &'static str,
    /// No new calls are taken.
    pub draining: bool,
    /// What there is no room in for a new call.
    pub congestion: Option<Congestion>,
    /// Calls by phase.
    pub calls: Calls,
    /// The spans.
    pub spans: Vec<SpanStatus>,
    /// The trunk groups.
    pub trunk_groups: Vec<TrunkGroupStatus>,
    /// What the audit of channels has found and done since the start.
    pub channel_audit: BTreeMap<&'static str, u64>,
    /// Answers of the directory by result, since the start.
    pub inquiries: BTreeMap<&'static str, u64>,
    /// SIP.
    pub sip: SipStatus,
    /// Calls from within web pages.
    pub pages: PageStatus,
    /// The media plane.
    pub media: MediaStatus,
    /// How good the voice was.
    pub voice: VoiceQuality,
    /// Call records.
    pub records: RecordStatus,
}

/// Calls.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// Waiting for the directory.
    pub inquiring: usize,
    /// Dialled.
    pub dialling: usize,
    /// Ringing.
    pub alerting: usize,
    /// Talking.
    pub answered: usize,
    /// Ending.
    pub clearing: usize,
    /// Offered since the start, by the side they came from.
    pub offered: BTreeMap<&'static str, u64>,
    /// Talking, by the sides that they came from and went to.
    pub up_between: BTreeMap<&'static str, usize>,
    /// Answered and over since the start, by the sides that they came from and went to.
    pub answered_between: BTreeMap<&'static str, u64>,
    /// Ended since the start, by Q.850 cause.
    pub ended_by_cause: BTreeMap<u8, u64>,
    /// Refused since the start for want of room, by what there was no room in.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Calls {
    /// Takes over how many calls are in which phase now.
    pub fn set_phases(&mut self, count: CallCount) {
        self.inquiring = count.inquiring;
        self.dialling = count.dialling;
        self.alerting = count.alerting;
        self.answered = count.answered;
        self.clearing = count.clearing;
    }
}

/// A span.
#[derive(Clone, Debug, Serialize)]
pub struct SpanStatus {
    /// Name in the configuration.
    pub name: String,
    /// What carries it.
    pub line: LineStatus,
    /// Alarms: none, red, yellow.
    pub alarm: &'static str,
    /// The D channel's data link is established.
    pub data_link_up: bool,
    /// New calls may use it.
    pub in_service: bool,
    /// B channels by state.
    pub channels: Channels,
    /// The timeslots of those that are not idle and not in calls, by state.
    pub kept_back: BTreeMap<&'static str, Vec<u8>>,
    /// Counters since the start.
    pub counters: BTreeMap<&'static str, u64>,
}

/// What carries a span.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LineStatus {
    /// `tdmoe` or `dahdi`.
    pub kind: &'static str,
    /// Length of a block, in ms.
    pub block_ms: u32,
    /// How late speech from the line is at most, in ms; not with `tdmoe`, where it is the network's
    /// affair.
    pub delay_from_line_ms_max: Option<u32>,
    /// How late speech to the line is, in ms.
    pub delay_to_line_ms: Option<u32>,
}

/// B channels of a span by state.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Channels {
    /// Free.
    pub idle: usize,
    /// In a call.
    pub busy: usize,
    /// Free on a span that is out of service.
    pub out_of_service: usize,
    /// Blocked by an operator.
    pub blocked: usize,
    /// Being restarted.
    pub restarting: usize,
    /// Left alone for a while, since they fail.
    pub resting: usize,
}

/// A trunk group.
#[derive(Clone, Debug, Serialize)]
pub struct TrunkGroupStatus {
    /// Name in the configuration.
    pub name: String,
    /// B channels of its spans by state.
    pub channels: Channels,
}

impl From<ChannelCount> for Channels {
    fn from(count: ChannelCount) -> Self {
        let ChannelCount { idle, busy, out_of_service, blocked, restarting, resting } = count;
        Self { idle, busy, out_of_service, blocked, restarting, resting }
    }
}

/// SIP.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SipStatus {
    /// Legs that live now.
    pub open_legs: usize,
    /// Dialogs that the stack holds now.
    pub dialogs: usize,
    /// Messages received.
    pub messages_received: u64,
    /// Calls refused for want of room in the stack, before they were offered.
    pub calls_refused: u64,
    /// Messages refused by the screen, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// The media plane.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MediaStatus {
    /// Packet back end in use.
    pub back_end: &'static str,
    /// Whether plain calls between peers are relayed in the kernel.
    pub kernel_relay: bool,
    /// RTP legs that live now.
    pub legs: usize,
    /// Counters since the start, all workers together.
    pub counters: BTreeMap<&'static str, u64>,
    /// Packets dropped since the start, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// The workers.
    pub workers: Vec<WorkerStatus>,
}

/// A worker of the media plane.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkerStatus {
    /// Legs that live on it now.
    pub legs: usize,
    /// Share of its time that it serves them, 0.0 to 1.0, averaged over a second.
    pub load: f64,
    /// Of a hundred ticks one takes longer, in µs.
    pub tick_work_p99_us: u64,
    /// It is given no new legs.
    pub refuses: bool,
    /// How late its ticks were since the start.
    pub tick_lateness: Ticks,
    /// How long serving its legs took since the start, tick by tick.
    pub tick_work: Ticks,
}

/// Ticks by a time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ticks {
    /// Upper bound in µs (the last without) and how many ticks.
    pub buckets: Vec<(Option<u64>, u64)>,
    /// All together, in µs.
    pub sum_us: u64,
}

/// Call records.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RecordStatus {
    /// Written.
    pub written: u64,
    /// Lost.
    pub lost: u64,
}
