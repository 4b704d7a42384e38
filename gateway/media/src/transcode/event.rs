//! The times in telephone-events, counted in another clock (RFC 4733 §2.5.1).

use trunkline_rtp::packet::Timestamp;
use trunkline_rtp::telephone_event::TelephoneEvent;

/// The longest duration there is in an event, after which another segment of it begins (§2.5.1.3).
const SEGMENT: u32 = 0xFFFF;

/// How far an event has been sent.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Where it begins, and which segment was sent last.
    newest: Option<(Timestamp, u32)>,
}

impl Segments {
    /// The packets for a packet of an event that so far goes from `begins` to `ends` in the clock that
    /// is sent. More than one where a segment fills up: a quicker clock needs more of them.
    pub(super) fn of(
        &mut self,
        event: TelephoneEvent,
        begins: Timestamp,
        ends: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, TelephoneEvent)> + use<> {
        // By both ends, so that segments that join in one clock join in the other.
        let duration = ends.since(begins).max(0).unsigned_abs();
        let last = duration.saturating_sub(1) / SEGMENT;
        let first = match self.newest {
            Some((of, newest)) if of == begins => newest.min(last),
            _ => last,
        };
        self.newest = Some((begins, last));
        let segment = move |number: u32| {
            let at = begins.plus(number * SEGMENT);
            let event = if number == last {
                TelephoneEvent { duration: (duration - number * SEGMENT) as u16, ..event }
            } else {
                TelephoneEvent { end: false, duration: SEGMENT as u16, ..event }
            };
            (at, event)
        };
        (first..=last).map(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of packets with these durations.
    fn sent(durations: &[(u16, bool)], from_hz: u32, to_hz: u32) -> Vec<(u32, u16, bool)> {
        let mut segments = Segments::default();
        durations
            .iter()
            .flat_map(|&(duration, end)| {
                let event = TelephoneEvent { event: 5, end, level_minus_dbm0: 10, duration };
                let ends = Timestamp(1000 + u32::from(duration) * to_hz / from_hz);
                segments.of(event, Timestamp(1000), ends)
            })
            .map(|(at, event)| (at.0 - 1000, event.duration, event.end))
            .collect()
    }

    #[test]
    fn durations_are_counted_in_the_other_clock() {
        let durations = [(160, false), (320, false), (320, true), (320, true)];
        let expected = [(0, 960, false), (0, 1920, false), (0, 1920, true), (0, 1920, true)];
        assert_eq!(sent(&durations, 8000, 48_000), expected);
        assert_eq!(
            sent(&[(960, false), (965, true)], 48_000, 8000),
            [(0, 160, false), (0, 160, true)]
        );
        assert_eq!(sent(&[(0, false)], 8000, 48_000), [(0, 0, false)]);
    }

    #[test]
    fn a_long_event_goes_on_in_segments_where_the_clock_is_quicker() {
        // 1.36 s fill the first segment at 48 kHz.
        let durations = [(10_880, false), (11_040, false), (11_200, true), (11_200, true)];
        let expected = [
            (0, 65_280, false),
            (0, 65_535, false),
            (65_535, 705, false),
            (65_535, 1665, true),
            (65_535, 1665, true),
        ];
        assert_eq!(sent(&durations, 8000, 48_000), expected);
        // The longest segment at 8 kHz is six at 48 kHz, so that the next joins on.
        let last = *sent(&[(65_535, false)], 8000, 48_000).last().unwrap();
        assert_eq!(last, (5 * 65_535, 65_535, false));
    }
}
