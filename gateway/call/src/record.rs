//! The call detail record: what is left of a call.

use std::time::Instant;

use serde::Serialize;
use trunkline_number::E164;

use crate::congestion::Congestion;
use crate::control::{CallId, LegId};
use crate::trunk::BChannel;

/// What one leg ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LegMedium {
    /// A B channel of a span.
    Line {
        /// Span and timeslot.
        #[serde(flatten)]
        channel: BChannelRecord,
    },
    /// The packet side.
    Packet {
        /// The party: where the call came from or went to.
        peer: String,
    },
}

/// The sides that a call came from and went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Between {
    /// From the packet side to the line.
    PacketToLine,
    /// From the line to the packet side.
    LineToPacket,
    /// From one peer on the packet side to another.
    PacketToPacket,
    /// From one B channel to another.
    LineToLine,
}

impl Between {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::PacketToLine, Self::LineToPacket, Self::PacketToPacket, Self::LineToLine];

    /// Its name in records, status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::PacketToLine => "packet_to_line",
            Self::LineToPacket => "line_to_packet",
            Self::PacketToPacket => "packet_to_packet",
            Self::LineToLine => "line_to_line",
        }
    }

    pub(crate) fn of(ingress: &LegMedium, egress: &LegMedium) -> Self {
        match (ingress, egress) {
            (LegMedium::Packet { .. }, LegMedium::Line { .. }) => Self::PacketToLine,
            (LegMedium::Line { .. }, LegMedium::Packet { .. }) => Self::LineToPacket,
            (LegMedium::Packet { .. }, LegMedium::Packet { .. }) => Self::PacketToPacket,
            (LegMedium::Line { .. }, LegMedium::Line { .. }) => Self::LineToLine,
        }
    }
}

/// A B channel in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BChannelRecord {
    /// Index of the span in the configuration.
    pub span: usize,
    /// Timeslot on the wire.
    pub timeslot: u8,
}

impl From<BChannel> for BChannelRecord {
    fn from(channel: BChannel) -> Self {
        Self { span: channel.span, timeslot: channel.timeslot }
    }
}

/// Who ended a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasedBy {
    /// The party on this leg, or its network.
    Peer,
    /// The gateway, since the other leg ended or the gateway itself gave up.
    Gateway,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LegEnd {
    /// Q.850 cause.
    pub cause: u8,
    /// SIP status that ended the leg, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Who ended it.
    pub by: ReleasedBy,
}

/// One leg of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegRecord {
    /// The leg, by which the owner adds its media statistics.
    pub leg: LegId,
    /// What it ran on.
    pub medium: LegMedium,
    /// How it ended.
    pub end: LegEnd,
}

/// One call, written when nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The call.
    pub call: CallId,
    /// The called number as it was dialled.
    pub called: String,
    /// The called number understood.
    pub number: Option<E164>,
    /// The calling number as far as known.
    pub calling: Option<String>,
    /// The number that redirected the call, as far as known.
    pub redirecting: Option<String>,
    /// The party that called.
    pub ingress: LegRecord,
    /// The parties that were called, in the order tried; more than one after a reroute.
    pub egress: Vec<LegRecord>,
    /// When the call came in.
    pub offered_at: Instant,
    /// When the called party was alerted.
    pub alerting_at: Option<Instant>,
    /// When it answered.
    pub answered_at: Option<Instant>,
    /// When the first of both legs ended.
    pub ended_at: Instant,
    /// Cause that ended the call.
    pub cause: u8,
    /// It was refused for want of room, with cause 42.
    pub refused: Option<Congestion>,
}

impl CallRecord {
    /// The sides that it came from and went to; none if nobody was called.
    pub fn between(&self) -> Option<Between> {
        Some(Between::of(&self.ingress.medium, &self.egress.last()?.medium))
    }
}
