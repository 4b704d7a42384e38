//! When the next block of a packet-carried line is due.
//!
//! The end that paces runs one block an interval by absolute deadlines, so a stall is caught up.
//! It keeps a few blocks under way; when the far end's answer is late the tick is held back for a
//! while instead of inserting a hole into every timeslot, and made up for as soon as the answer
//! is there. The end that follows runs a block for each one received. When nothing comes for
//! longer, both run free on their own clock, so that the far end sees the yellow flag.

use std::time::{Duration, Instant};

/// Shortest interval at which an end runs free.
const FREE_INTERVAL: Duration = Duration::from_millis(1);

/// A stall longer than this is not caught up.
const CATCH_UP_MAX: Duration = Duration::from_millis(250);

/// Blocks over which the standing depth of the queue is observed.
const OBSERVED_BLOCKS: u32 = 1000;

/// The pace of one end.
#[derive(Debug)]
pub(crate) struct Pace {
    settings: PaceSettings,
    /// When the next block is due, for the end that paces or runs free.
    due: Instant,
    /// Blocks that may still be sent without one received.
    ahead: usize,
    waited: Waited,
    runs_free: bool,
    depth_min: usize,
    observed_blocks: u32,
    skipped_ticks: u64,
}

/// What kind of end it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaceSettings {
    /// The end gives the clock, one block each interval.
    pub paces: bool,
    /// Length of a block; zero for a line that runs as fast as both ends can.
    pub interval: Duration,
    /// Blocks kept under way by the end that paces.
    pub ahead: usize,
    /// How long a block is waited for before the end runs free.
    pub hold: Duration,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Drop so many waiting blocks, then run with the next one.
    Take { drop: usize, late: Duration },
    /// Run without a block.
    Missing,
    /// Sleep until then; blocks that come meanwhile change nothing.
    Sleep(Instant),
    /// Wait for a block, but not longer.
    Await(Instant),
}

impl Pace {
    pub fn new(now: Instant, settings: PaceSettings) -> Self {
        Self {
            settings,
            due: now,
            ahead: settings.ahead,
            waited: Waited::default(),
            runs_free: false,
            depth_min: usize::MAX,
            observed_blocks: 0,
            skipped_ticks: 0,
        }
    }

    /// Decides, with `depth` blocks waiting.
    pub fn turn(&mut self, now: Instant, depth: usize) -> Turn {
        if self.settings.paces && now < self.due {
            return Turn::Sleep(self.due);
        }
        if self.ahead > 0 && (depth > 0 || !self.runs_free) {
            // All at the start: a hole later on would be one in the midst of speech.
            self.runs_free = false;
            self.ahead -= 1;
            self.advance(now, self.settings.interval);
            return Turn::Missing;
        }
        if depth > 0 {
            return self.take(now, depth);
        }
        if self.runs_free {
            if now < self.due {
                return Turn::Await(self.due);
            }
            self.advance(now, self.settings.interval.max(FREE_INTERVAL));
            return Turn::Missing;
        }
        let waited = self.waited.until(now);
        if waited < self.settings.hold {
            return Turn::Await(now + (self.settings.hold - waited));
        }
        // Ticks held back so long are gone.
        self.runs_free = true;
        self.ahead = self.settings.ahead;
        self.due = now;
        self.advance(now, self.settings.interval.max(FREE_INTERVAL));
        Turn::Missing
    }

    /// Ticks left out after a stall too long to catch up.
    pub fn skipped_ticks(&self) -> u64 {
        self.skipped_ticks
    }

    fn take(&mut self, now: Instant, depth: usize) -> Turn {
        let late = if self.settings.paces {
            now.saturating_duration_since(self.due)
        } else {
            Duration::ZERO
        };
        if !self.settings.paces {
            // The clock is the other end's: a block is due when it comes.
            self.due = now;
        }
        self.runs_free = false;
        self.waited = Waited::default();
        let drop = if self.settings.paces { self.standing_excess(depth) } else { 0 };
        self.advance(now, self.settings.interval);
        Turn::Take { drop, late }
    }

    /// Blocks that were waiting through the whole time observed beyond those kept under way:
    /// they only add delay.
    fn standing_excess(&mut self, depth: usize) -> usize {
        self.depth_min = self.depth_min.min(depth);
        self.observed_blocks += 1;
        if self.observed_blocks < OBSERVED_BLOCKS {
            return 0;
        }
        self.observed_blocks = 0;
        let excess = std::mem::replace(&mut self.depth_min, usize::MAX)
            .saturating_sub(self.settings.ahead.max(1));
        excess.min(depth - 1)
    }

    fn advance(&mut self, now: Instant, interval: Duration) {
        self.due += interval;
        let behind = now.saturating_duration_since(self.due);
        if behind > CATCH_UP_MAX && !interval.is_zero() {
            self.skipped_ticks += (behind.as_nanos() / interval.as_nanos()) as u64;
            self.due = now;
        }
    }
}

/// Time for which something was waited for. A stretch in which the own thread did not run, long
/// beyond the usual, counts but little: the far end may not have run either, and what it sent is
/// looked at first.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    before: Option<Instant>,
    waited: Duration,
}

impl Waited {
    /// Longest stretch between two looks that counts whole.
    const STRETCH_MAX: Duration = Duration::from_millis(20);

    /// Time waited so far.
    pub fn until(&mut self, now: Instant) -> Duration {
        if let Some(before) = self.before.replace(now) {
            self.waited += now.saturating_duration_since(before).min(Self::STRETCH_MAX);
        }
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pacing(now: Instant) -> Pace {
        Pace::new(now, PaceSettings { paces: true, interval: MS, ahead: 2, hold: 100 * MS })
    }

    fn following(now: Instant) -> Pace {
        Pace::new(now, PaceSettings { paces: false, interval: MS, ahead: 0, hold: 250 * MS })
    }

    #[test]
    fn the_pacing_end_runs_ahead_and_then_one_block_each_interval() {
        let start = Instant::now();
        let mut pace = pacing(start);
        assert_eq!(pace.turn(start, 0), Turn::Missing);
        assert_eq!(pace.turn(start, 0), Turn::Sleep(start + MS));
        assert_eq!(pace.turn(start + MS, 0), Turn::Missing);
        assert_eq!(pace.turn(start + MS, 1), Turn::Sleep(start + 2 * MS));
        let taken = Turn::Take { drop: 0, late: Duration::ZERO };
        assert_eq!(pace.turn(start + 2 * MS, 1), taken);
        assert_eq!(pace.turn(start + 3 * MS, 1), taken);
    }

    #[test]
    fn a_late_answer_holds_the_ticks_back_and_they_are_made_up_for() {
        let start = Instant::now();
        let mut pace = pacing(start);
        pace.turn(start, 0);
        pace.turn(start + MS, 0);
        assert_eq!(pace.turn(start + 2 * MS, 0), Turn::Await(start + 102 * MS));
        let late = start + 52 * MS;
        for tick in 0..=50 {
            let turn = pace.turn(late, 1);
            assert_eq!(turn, Turn::Take { drop: 0, late: (50 - tick) * MS }, "tick {tick}");
        }
        assert_eq!(pace.turn(late, 1), Turn::Sleep(late + MS));
        assert_eq!(pace.skipped_ticks(), 0);
    }

    #[test]
    fn a_stall_of_its_own_is_no_silence_of_the_far_end() {
        let start = Instant::now();
        let mut pace = pacing(start);
        pace.turn(start, 0);
        pace.turn(start + MS, 0);
        pace.turn(start + 2 * MS, 0);
        assert!(matches!(pace.turn(start + 202 * MS, 0), Turn::Await(_)));
        assert!(matches!(pace.turn(start + 203 * MS, 1), Turn::Take { drop: 0, .. }));
    }

    #[test]
    fn without_answers_it_runs_free_each_interval() {
        let start = Instant::now();
        let mut pace = pacing(start);
        pace.turn(start, 0);
        pace.turn(start + MS, 0);
        let gone = start + 102 * MS;
        for ms in (2..102).step_by(10) {
            assert_eq!(pace.turn(start + ms * MS, 0), Turn::Await(gone));
        }
        assert_eq!(pace.turn(gone, 0), Turn::Missing);
        assert_eq!(pace.turn(gone, 0), Turn::Sleep(gone + MS));
        assert_eq!(pace.turn(gone + MS, 0), Turn::Missing);
        assert_eq!(pace.turn(gone + 2 * MS, 1), Turn::Missing, "runs ahead again");
        assert_eq!(pace.turn(gone + 3 * MS, 2), Turn::Missing);
        assert_eq!(pace.turn(gone + 4 * MS, 3), Turn::Take { drop: 0, late: Duration::ZERO });
    }

    #[test]
    fn a_long_stall_of_its_own_is_skipped_and_counted() {
        let start = Instant::now();
        let mut pace = pacing(start);
        pace.turn(start, 0);
        assert_eq!(pace.turn(start + 5000 * MS, 0), Turn::Missing);
        assert_eq!(pace.skipped_ticks(), 4998);
        assert_eq!(pace.turn(start + 5000 * MS, 1), Turn::Take { drop: 0, late: Duration::ZERO });
    }

    #[test]
    fn blocks_that_only_add_delay_are_dropped_after_a_second() {
        let start = Instant::now();
        let mut pace = pacing(start);
        let mut dropped = 0;
        for tick in 0..2 * OBSERVED_BLOCKS + 2 {
            let depth = if tick % 10 == 0 { 5 } else { 9 };
            match pace.turn(start + tick * MS, depth) {
                Turn::Take { drop, .. } => dropped += drop,
                Turn::Missing if tick < 2 => {}
                turn => panic!("{turn:?}"),
            }
        }
        assert_eq!(dropped, 6, "three above the two under way, twice");
    }

    #[test]
    fn the_following_end_runs_with_each_block_and_free_when_none_come() {
        let start = Instant::now();
        let mut pace = following(start);
        assert_eq!(pace.turn(start, 0), Turn::Await(start + 250 * MS));
        for _ in 0..5 {
            assert!(matches!(pace.turn(start + MS, 1), Turn::Take { drop: 0, .. }));
        }
        let gone = start + 252 * MS;
        for ms in (2..252).step_by(10) {
            assert_eq!(pace.turn(start + ms * MS, 0), Turn::Await(gone));
        }
        assert_eq!(pace.turn(gone, 0), Turn::Missing);
        assert_eq!(pace.turn(gone, 0), Turn::Await(gone + MS));
        assert!(matches!(pace.turn(gone, 1), Turn::Take { .. }), "a block is taken at once");
    }
}
