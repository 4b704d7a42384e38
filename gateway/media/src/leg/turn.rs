//! Which ticks concern a leg.

use std::time::Duration;

/// How often a leg's turn is. Packets come to it by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be something to do in each tick: a line brings it, or a transcoder.
    EachTick,
    /// A digit is being pressed, whose end may be lost.
    Often,
    /// Only time passes: timeouts, reports, books.
    Seldom,
}

const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_millis(400);

/// Ticks from one turn to the next: powers of two, as every leg is asked in every tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timetable {
    often: usize,
    seldom: usize,
}

impl Timetable {
    /// Turns of a worker with this tick: as far apart as said above, or a little less.
    pub(crate) fn new(tick: Duration) -> Self {
        let ticks = |time: Duration| {
            let ticks = (time.as_micros() / tick.as_micros().max(1)).max(1);
            1 << ticks.ilog2()
        };
        Self { often: ticks(OFTEN), seldom: ticks(SELDOM) }
    }

    /// Ticks between two of these timetable.
    pub(crate) fn ticks_between(&self, turn: Turn) -> usize {
        match turn {
            Turn::EachTick => 1,
            Turn::Often => self.often,
            Turn::Seldom => self.seldom,
        }
    }

    /// Whether a leg's turn is in the tick of this number. Legs take turns by their indices.
    pub(crate) fn is_due(&self, turn: Turn, tick: usize, index: usize) -> bool {
        tick.wrapping_add(index) & (self.ticks_between(turn) - 1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leg_has_its_turn_once_in_the_time_and_not_all_at_once() {
        let timetable = Timetable::new(Duration::from_millis(5));
        for (turn, every) in [(Turn::EachTick, 1), (Turn::Often, 8), (Turn::Seldom, 64)] {
            assert_eq!(timetable.ticks_between(turn), every);
            for index in 0..200 {
                let due = (0..640).filter(|tick| timetable.is_due(turn, *tick, index)).count();
                assert_eq!(due, 640 / every, "{turn:?}");
            }
            let at_once = (0..640).filter(|index| timetable.is_due(turn, 7, *index)).count();
            assert_eq!(at_once, 640 / every, "{turn:?}");
        }
    }

    #[test]
    fn a_long_tick_has_all_turns_in_it() {
        let timetable = Timetable::new(Duration::from_secs(1));
        assert!(timetable.is_due(Turn::Seldom, 3, 4) && timetable.is_due(Turn::Often, 3, 4));
    }
}
