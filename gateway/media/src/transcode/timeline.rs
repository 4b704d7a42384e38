//! Timestamps of one stream in the clock of another.

use std::time::{Duration, Instant};

use trunkline_rtp::packet::Timestamp;

/// How a speaker's timestamps become ours. Whatever is on it keeps its place for as long as the speaker
/// is heard, so that all packets of an event get the same time.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    heard_hz: u32,
    sent_hz: u32,
    /// A moment in both clocks.
    heard: Timestamp,
    sent: Timestamp,
}

/// Ticks of the speaker's clock after which the moment is moved up: timestamps go round.
const NEAR: u32 = 1 << 24;

impl Timeline {
    /// Rates and timestamps of the same moment. Rates are multiples of 8 kHz.
    pub(super) fn new(heard: (u32, Timestamp), sent: (u32, Timestamp)) -> Self {
        Self { heard_hz: heard.0.max(8000), sent_hz: sent.0, heard: heard.1, sent: sent.1 }
    }

    /// The rate of the speaker's timestamps.
    pub(super) fn clock_hz(&self) -> u32 {
        self.heard_hz
    }

    /// Steps of the speaker's timestamps in 125 µs.
    pub(super) fn ticks_per_unit(&self) -> u32 {
        self.heard_hz / 8000
    }

    /// A timestamp of the speaker in our clock.
    pub(super) fn place(&self, heard: Timestamp) -> Timestamp {
        let ticks = i64::from(heard.since(self.heard)) * i64::from(self.sent_hz);
        self.sent.plus(ticks.div_euclid(self.heard_hz.into()) as u32)
    }

    /// What is added to the speaker's timestamps, if both clocks are the same.
    pub(super) fn offset(&self) -> Option<u32> {
        (self.heard_hz == self.sent_hz).then(|| self.sent.0.wrapping_sub(self.heard.0))
    }

    /// The speaker has come to here: places after it stay right.
    pub(super) fn keep_near(&mut self, heard: Timestamp) {
        let ahead = heard.since(self.heard);
        if ahead.unsigned_abs() < NEAR {
            return;
        }
        // Whole units, so that no place changes by a fraction of a step.
        let units = (ahead / self.ticks_per_unit() as i32) as u32;
        self.heard = self.heard.plus(units.wrapping_mul(self.ticks_per_unit()));
        self.sent = self.sent.plus(units.wrapping_mul(self.sent_hz / 8000));
    }
}

/// Timestamp steps from `then` to `now`.
pub(crate) fn steps(then: Instant, now: Instant, clock_hz: u32) -> u32 {
    // A day of silence is as good as any longer one.
    let span = now.saturating_duration_since(then).min(Duration::from_secs(86_400));
    (span.as_micros() * u128::from(clock_hz) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_distance_in_the_other_clock_over_every_wrap() {
        for (heard_hz, sent_hz) in [(8000, 48_000), (48_000, 8000), (8000, 8000)] {
            let mut heard = Timestamp(u32::MAX - 5_000);
            let mut timeline = Timeline::new((heard_hz, heard), (sent_hz, Timestamp(77)));
            let mut before = timeline.place(heard);
            let begin = before;
            // 60 hours in packets of 20 ms, most of them left out.
            for hop in 1..=10_800_u32 {
                let units = 160 * 1_000;
                heard = heard.plus(units * (heard_hz / 8000));
                let place = timeline.place(heard);
                assert_eq!(place.since(before), (units * (sent_hz / 8000)) as i32, "{hop}");
                timeline.keep_near(heard);
                assert_eq!(timeline.place(heard), place);
                // An event that began half a packet ago keeps its place too.
                let earlier = Timestamp(heard.0.wrapping_sub(481));
                assert_eq!(
                    place.since(timeline.place(earlier)),
                    (481 * sent_hz).div_ceil(heard_hz) as i32
                );
                before = place;
            }
            let steps = u64::from(160_000_u32 * (sent_hz / 8000)) * 10_800;
            assert_eq!(before.0.wrapping_sub(begin.0), steps as u32);
        }
    }

    #[test]
    fn only_the_same_clock_has_an_offset() {
        let at = |hz| Timeline::new((8000, Timestamp(5)), (hz, Timestamp(3))).offset();
        assert_eq!((at(8000), at(48_000)), (Some(u32::MAX - 1), None));
    }
}
