//! What legs report to whoever controls them.

use std::fmt;
use std::net::SocketAddr;

use trunkline_rtp::reception::ReceptionStatistics;
use trunkline_rtp::rtcp::VoipMetrics;
use trunkline_rtp::source::SourceCounters;
use trunkline_rtp::srtp::Suite;
use trunkline_rtp::telephone_event::Digit;
use trunkline_rtp::voip_metrics::{LossFigures, Quality};

/// Names a leg; never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    pub(crate) worker: u16,
    pub(crate) serial: u64,
    /// It is joined with another leg, not with a timeslot.
    pub(crate) paired: bool,
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.worker, self.serial)
    }
}

/// Something happened to a leg.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaEvent {
    /// To which.
    pub leg: LegId,
    /// What.
    pub kind: MediaEventKind,
}

/// What can happen to a leg.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEventKind {
    /// The RTP side pressed and released a digit (RFC 4733). Its tone plays to the timeslot; a pair
    /// passes its packets on.
    DigitFromRtp {
        /// The digit.
        digit: Digit,
        /// How long, in ms.
        duration_ms: u32,
    },
    /// A digit was heard as a tone from the timeslot. If the RTP side takes RFC 4733 it is sent.
    DigitFromLine {
        /// The digit.
        digit: Digit,
        /// How long, in ms.
        duration_ms: u32,
    },
    /// The RTP side's packets come from another address than signalled, and are sent there from now.
    SourceMoved {
        /// The new address.
        to: SocketAddr,
    },
    /// No RTP packet has come for the configured time; told again each time that passes.
    RtpTimeout,
    /// Packets come again after a timeout.
    RtpResumed,
    /// A datagram that is no RTP waits at [`crate::BesideReceiver`].
    BesideRtp,
    /// The RTP side said that its stream ends (RTCP BYE).
    ByeReceived,
    /// The leg's code failed; the leg is gone, `Closed` follows.
    Failed,
    /// The last event of a leg.
    Closed(Box<LegStatistics>),
}

/// The figures of a whole leg.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LegStatistics {
    /// RTP packets accepted.
    pub packets_received: u64,
    /// Their payload octets.
    pub octets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Their payload octets.
    pub octets_sent: u64,
    /// Sequence numbers received, missing, doubled; interarrival jitter (RFC 3550).
    pub reception: ReceptionStatistics,
    /// Packets refused by the source rule, and changes of source.
    pub source: SourceCounters,
    /// Datagrams that were neither RTP nor RTCP, or broken.
    pub malformed: u64,
    /// Packets of the source beyond what it may send in the time.
    pub over_rate: u64,
    /// What SRTP refused; none if the leg never was SRTP.
    pub srtp: Option<SrtpFigures>,
    /// Packets that came after their turn at the playout.
    pub late: u64,
    /// Packets that were overwritten because nobody took them.
    pub overwritten: u64,
    /// What the playout did.
    pub playout: PlayoutFigures,
    /// Loss of our packets at the far end, 0.0..=1.0, as last reported (RTCP).
    pub remote_loss: Option<f64>,
    /// Jitter of our packets at the far end, µs, as last reported (RTCP).
    pub remote_jitter_us: Option<u32>,
    /// Round trip, µs, as last measured (RTCP).
    pub round_trip_us: Option<u32>,
    /// Which of the packets to us were not played, and how they cluster (RFC 3611 §4.7.2).
    pub losses: LossFigures,
    /// How long a packet of them plays, by the last one, ms.
    pub packet_ms: f64,
    /// How good the voice to us was (ITU-T G.107); none if there was none.
    pub quality: Option<Quality>,
    /// What the far end says of our voice, as last reported (RTCP XR).
    pub remote_voice: Option<VoipMetrics>,
    /// Samples from the timeslot lost because the worker did not take them in time.
    pub line_overflow_samples: u64,
    /// RTCP compounds received.
    pub rtcp_received: u64,
    /// RTCP compounds sent.
    pub rtcp_sent: u64,
}

/// What became of the protected packets of a leg, RTP and RTCP together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SrtpFigures {
    /// The suite at the end; none if the leg had turned to plain RTP.
    pub suite: Option<Suite>,
    /// Packets refused for a wrong tag: another key, or changed on the way.
    pub authentication_failed: u64,
    /// Packets refused because they came before, or are too old to tell.
    pub replayed: u64,
    /// Packets refused for one SSRC too many, or because their key is used up.
    pub exhausted: u64,
    /// Packets of ours that could not be protected and were not sent.
    pub unsent: u64,
}

/// What the playout of a leg has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlayoutFigures {
    /// Packets played.
    pub played: u64,
    /// Packets dropped by the playout.
    pub discarded: u64,
    /// Concealed, ms.
    pub concealed_ms: u64,
    /// Samples added to raise the delay.
    pub lengthened_samples: u64,
    /// Samples removed to lower the delay.
    pub shortened_samples: u64,
    /// Delay aimed at above the fastest packet, at the end, ms.
    pub target_ms: u32,
    /// Mean wait of a packet before its playout, at the end, ms.
    pub delay_ms: u32,
}
