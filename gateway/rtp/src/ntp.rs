//! Wall-clock time as sender reports carry it (RFC 3550 §4).
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds between 1900-01-01 and 1970-01-01.
const UNIX_EPOCH_S: u64 = 2_208_988_800;

/// A 64-bit NTP timestamp: seconds since 1900 (modulo 2^32) and a 32-bit binary fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The NTP form of `time`; a time before 1970 counts as 1970.
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        // The seconds wrap in 2036, as in every NTP timestamp; differences stay right.
        let seconds = since.as_secs().wrapping_add(UNIX_EPOCH_S) << 32;
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds | fraction)
    }

    /// The middle 32 bits, which LSR and DLSR count in: units of 1/65536 s (RFC 3550 §6.4.1).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A span in units of 1/65536 s, at most what 32 bits hold (18 hours).
pub(crate) fn to_short(span: Duration) -> u32 {
    let fraction = (u64::from(span.subsec_nanos()) << 16) / 1_000_000_000;
    let units = span.as_secs().saturating_mul(1 << 16).saturating_add(fraction);
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// The inverse of [`to_short`].
pub(crate) fn from_short(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_becomes_ntp_time() {
        let time = UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(NtpTime::from_system_time(time).0, (UNIX_EPOCH_S + 1) << 32 | 0x8000_0000);
        assert_eq!(NtpTime(0x1122_3344_5566_7788).middle(), 0x3344_5566);
    }

    #[test]
    fn short_form_keeps_milliseconds_and_saturates() {
        assert_eq!(to_short(Duration::from_millis(5_250)), 0x0005_4000);
        assert_eq!(from_short(0x0005_4000), Duration::from_millis(5_250));
        assert_eq!(to_short(Duration::from_secs(1 << 40)), u32::MAX);
    }
}
