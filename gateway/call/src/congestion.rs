//! Why a gateway refuses new calls although it could reach the called party: it has no room.
//!
//! All of it is cause 42 of Q.850 on the line, switching equipment congestion, and 503 towards
//! packets (RFC 3398 §7.2.4.1). Callers cannot tell one from the other; the operator must.

use serde::Serialize;

/// What there is no room in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Congestion {
    /// The gateway waits for its calls to end, and then ends itself.
    Draining,
    /// As many calls are up as may be.
    Calls,
    /// The media plane has no time for another leg.
    MediaLoad,
    /// The media plane has as many legs as it may.
    MediaLegs,
    /// Every port for media is taken.
    MediaPorts,
}

impl Congestion {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Draining, Self::Calls, Self::MediaLoad, Self::MediaLegs, Self::MediaPorts];

    /// Its name in records, status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Calls => "calls",
            Self::MediaLoad => "media_load",
            Self::MediaLegs => "media_legs",
            Self::MediaPorts => "media_ports",
        }
    }
}
