//! Every B channel of many E1 in calls, for minutes (`make bench-scale`).
//!
//! The gateway is one process with its spans by TDMoE. On the line is the simulated exchange, on the
//! packet side SIPp calls, and an echo sends every RTP packet back, so that both directions of every
//! call carry voice.
//!
//! | module | subject |
//! |---|---|
//! | [`files`] | what the programs are told |
//! | [`echo`] | RTP that comes back |
//! | [`run`] | the programs, from the start to the last call's end |
//! | [`report`] | what must hold, and the table |

pub mod echo;
pub mod files;
pub mod report;
pub mod run;

/// How much is asked of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// E1 spans of 30 B channels.
    pub spans: u8,
    /// Call attempts a second.
    pub calls_per_s: u32,
    /// How long calls are begun, in s.
    pub seconds: u32,
    /// How long an answered call lasts, in ms.
    pub hold_ms: u32,
}

impl Load {
    /// Call attempts in all.
    pub fn calls(&self) -> u32 {
        self.calls_per_s * self.seconds
    }

    /// B channels in all.
    pub fn channels(&self) -> u32 {
        u32::from(self.spans) * 30
    }

    /// Load offered, in erlang.
    pub fn erlang(&self) -> f64 {
        f64::from(self.calls_per_s) * f64::from(self.hold_ms) / 1_000.0
    }
}
