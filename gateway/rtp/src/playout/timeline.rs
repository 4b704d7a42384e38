//! The continuous timeline that RTP sequence numbers and timestamps are put on.

/// Where a packet stands on the timeline of its leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Extended sequence number: 1 or more, never starts again.
    pub sequence: u64,
    /// Media time of the packet's first sample, in samples.
    pub media_time: i64,
    /// The sender began anew (SSRC, sequence or timestamp): the packet was joined to the timeline
    /// where it arrived.
    pub joined: bool,
}

/// Unwraps sequence numbers and timestamps of one leg, on the network side.
///
/// A new SSRC, a sequence number far away or a timestamp that does not fit the time that has passed
/// begin anew in the sender; for the playout side the timeline just goes on, as if that packet had
/// come with the delay of the one before.
#[derive(Debug)]
pub struct Timeline {
    ticks_per_sample: u32,
    newest: Option<Newest>,
}

/// The packet with the highest sequence number so far.
#[derive(Debug, Clone, Copy)]
struct Newest {
    ssrc: u32,
    number: u16,
    timestamp: u32,
    sequence: u64,
    media_time: i64,
    samples: u16,
    clock: u64,
}

/// Sequence numbers further apart than this are a new beginning (RFC 3550 A.1, MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3000;
/// … and backwards (RFC 3550 A.1, MAX_MISORDER).
const MISORDER_MAX: u16 = 100;

/// A timestamp may disagree with the time passed by this many samples: two seconds.
const DRIFT_MAX: i64 = 16_000;
/// … and by this many where the marker says that a talkspurt begins: 200 ms.
const DRIFT_MAX_AT_MARKER: i64 = 1600;

impl Timeline {
    /// A timeline in samples of 8 kHz for a stream whose RTP clock runs `ticks_per_sample` times
    /// as fast (1 for G.711, 6 for Opus).
    pub fn new(ticks_per_sample: u32) -> Self {
        Self { ticks_per_sample: ticks_per_sample.max(1), newest: None }
    }

    /// The codec has changed: from the next packet on the RTP clock runs at another rate.
    pub fn change_rate(&mut self, ticks_per_sample: u32) {
        self.ticks_per_sample = ticks_per_sample.max(1);
    }

    /// Puts a packet of `samples` samples that arrived at playout time `clock` on the timeline.
    pub fn place(
        &mut self,
        ssrc: u32,
        number: u16,
        timestamp: u32,
        marker: bool,
        samples: u16,
        clock: u64,
    ) -> Placed {
        let Some(newest) = self.newest else {
            // Leaves room below for packets that were overtaken by this one.
            let (sequence, media_time) = (1 << 16, clock as i64);
            self.newest =
                Some(Newest { ssrc, number, timestamp, sequence, media_time, samples, clock });
            return Placed { sequence, media_time, joined: true };
        };
        let step = number.wrapping_sub(newest.number) as i16;
        let elapsed = clock.saturating_sub(newest.clock) as i64;
        let ticks = timestamp.wrapping_sub(newest.timestamp) as i32;
        let advance = i64::from(ticks) / i64::from(self.ticks_per_sample);
        let drift_max = if marker { DRIFT_MAX_AT_MARKER } else { DRIFT_MAX };
        let joined = ssrc != newest.ssrc
            || step > DROPOUT_MAX as i16
            || step < -(MISORDER_MAX as i16)
            || (advance - elapsed).abs() > drift_max
            || (step > 0 && advance < 0);
        let (sequence, media_time) = if joined {
            let advance = elapsed.max(i64::from(newest.samples));
            (newest.sequence + 1, newest.media_time + advance)
        } else {
            (newest.sequence.saturating_add_signed(i64::from(step)), newest.media_time + advance)
        };
        if sequence > newest.sequence {
            self.newest =
                Some(Newest { ssrc, number, timestamp, sequence, media_time, samples, clock });
        }
        Placed { sequence, media_time, joined }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn sequence_and_timestamp_wrap_without_a_seam() {
        let mut timeline = Timeline::new(1);
        let first = timeline.place(9, 65_535, u32::MAX - 79, false, 160, 0);
        let next = timeline.place(9, 0, 80, false, 160, 160);
        assert_eq!(next.sequence, first.sequence + 1);
        assert_eq!(next.media_time, first.media_time + 160);
        assert!(!next.joined);
    }

    #[test]
    fn overtaken_packet_gets_its_own_place() {
        let mut timeline = Timeline::new(1);
        let second = timeline.place(9, 11, 160, false, 160, 0);
        let first = timeline.place(9, 10, 0, false, 160, 0);
        assert_eq!(first.sequence + 1, second.sequence);
        assert_eq!(first.media_time + 160, second.media_time);
    }

    #[test]
    fn new_ssrc_goes_on_where_the_old_one_stopped() {
        let mut timeline = Timeline::new(1);
        let old = timeline.place(9, 10, 0, false, 160, 1000);
        let new = timeline.place(77, 40_000, 0x8000_0000, true, 160, 1160);
        assert!(new.joined);
        assert_eq!(new.sequence, old.sequence + 1);
        assert_eq!(new.media_time, old.media_time + 160);
        let after = timeline.place(77, 40_001, 0x8000_00A0, false, 160, 1320);
        assert!(!after.joined);
        assert_eq!(after.media_time, new.media_time + 160);
    }

    #[test]
    fn a_sender_whose_timestamp_stood_still_on_hold_is_joined_at_the_marker() {
        let mut timeline = Timeline::new(1);
        let before = timeline.place(9, 10, 0, false, 160, 0);
        let after = timeline.place(9, 11, 160, true, 160, 40_000);
        assert!(after.joined);
        assert_eq!(after.media_time, before.media_time + 40_000);
    }

    #[test]
    fn silence_suppression_is_no_new_beginning() {
        let mut timeline = Timeline::new(1);
        let before = timeline.place(9, 10, 0, false, 160, 0);
        let after = timeline.place(9, 11, 40_000, true, 160, 40_100);
        assert!(!after.joined);
        assert_eq!(after.media_time, before.media_time + 40_000);
    }

    #[test]
    fn opus_ticks_become_samples() {
        let mut timeline = Timeline::new(6);
        let before = timeline.place(9, 10, 0, false, 160, 0);
        let after = timeline.place(9, 11, 960, false, 160, 160);
        assert_eq!(after.media_time - before.media_time, 160);
    }
}
