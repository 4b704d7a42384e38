//! Calendar time of the instants that call control works with.

use std::time::{Instant, SystemTime};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    instant: Instant,
    utc: SystemTime,
}

impl WallClock {
    /// Reads both clocks now.
    pub fn start() -> Self {
        Self { instant: Instant::now(), utc: SystemTime::now() }
    }

    /// Calendar time of an instant, as RFC 3339 in UTC with milliseconds.
    pub fn rfc3339(&self, instant: Instant) -> String {
        let utc = match instant.checked_duration_since(self.instant) {
            Some(later) => self.utc + later,
            None => self.utc - self.instant.duration_since(instant),
        };
        humantime::format_rfc3339_millis(utc).to_string()
    }

    /// Seconds of the start since 1970, by which call names stay apart over restarts.
    pub fn start_unix_s(&self) -> u64 {
        self.utc.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
