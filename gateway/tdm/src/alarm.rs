//! RED, YELLOW and BLUE alarms of a span, with the times for which a fault must last and be gone.

use std::fmt;
use std::time::{Duration, Instant};

use crate::pace::Waited;

/// Alarms of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AlarmState {
    /// Nothing usable is received: loss of signal or of frame alignment.
    pub red: bool,
    /// The far end says that it receives nothing usable (remote alarm indication).
    pub yellow: bool,
    /// An alarm indication signal is received: the fault lies beyond the next station.
    pub blue: bool,
}

impl AlarmState {
    /// Whether calls can be carried.
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for AlarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.red, "RED"), (self.yellow, "YELLOW"), (self.blue, "BLUE")];
        let mut raised = names.iter().filter(|(raised, _)| *raised).map(|(_, name)| *name);
        f.write_str(raised.next().unwrap_or("none"))?;
        raised.try_for_each(|name| write!(f, "+{name}"))
    }
}

/// For how long a fault must last before an alarm, and be gone before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmTimes {
    /// Time without a block until RED, in ms.
    pub red_after_ms: u64,
    /// Time of steady blocks until RED ends, in ms.
    pub red_clear_ms: u64,
    /// Time for which a flag of the far end or a report of the line must last, and be gone, in ms.
    pub flag_ms: u64,
}

impl Default for AlarmTimes {
    fn default() -> Self {
        Self { red_after_ms: 250, red_clear_ms: 500, flag_ms: 50 }
    }
}

/// A hole longer than this while RED clears starts its clearing again.
const STEADY_GAP_MAX: Duration = Duration::from_millis(100);

/// Watches a span and says which alarms it has. A span starts in RED, until it has been heard for
/// `red_clear_ms`.
#[derive(Debug)]
pub struct AlarmMonitor {
    times: AlarmTimes,
    state: AlarmState,
    last_block: Instant,
    silence: Waited,
    steady_since: Option<Instant>,
    reported_red: Persistence,
    yellow: Persistence,
    blue: Persistence,
}

impl AlarmMonitor {
    /// A monitor for a span that starts now.
    pub fn new(now: Instant, times: AlarmTimes) -> Self {
        Self {
            times,
            state: AlarmState { red: true, ..AlarmState::default() },
            last_block: now,
            silence: Waited::default(),
            steady_since: None,
            reported_red: Persistence::default(),
            yellow: Persistence::default(),
            blue: Persistence::default(),
        }
    }

    /// The alarms now.
    pub fn state(&self) -> AlarmState {
        self.state
    }

    /// A block came, with the far end's yellow flag and what the line itself reports. Returns the
    /// alarms if they changed.
    pub fn block_received(
        &mut self,
        now: Instant,
        yellow: bool,
        red: bool,
        blue: bool,
    ) -> Option<AlarmState> {
        let flag = Duration::from_millis(self.times.flag_ms);
        let yellow = self.yellow.lasts(now, yellow, flag);
        let blue = self.blue.lasts(now, blue, flag);
        let reported_red = self.reported_red.lasts(now, red, flag);
        self.silence = Waited::default();
        self.silence.until(now);
        let gap = now.saturating_duration_since(std::mem::replace(&mut self.last_block, now));
        if red || gap > STEADY_GAP_MAX {
            self.steady_since = None;
        }
        let steady_since = *self.steady_since.get_or_insert(now);
        let clear = Duration::from_millis(self.times.red_clear_ms);
        let red = if self.state.red {
            red || now.saturating_duration_since(steady_since) < clear
        } else {
            reported_red
        };
        self.change(AlarmState { red, yellow, blue })
    }

    /// No block came; told at least every 20 ms, since longer stretches are taken for a stall of
    /// the own thread. Returns the alarms if they changed.
    pub fn block_missing(&mut self, now: Instant) -> Option<AlarmState> {
        if self.silence.until(now) < Duration::from_millis(self.times.red_after_ms) {
            return None;
        }
        // What the far end said before is not known to hold any longer.
        self.yellow = Persistence::default();
        self.blue = Persistence::default();
        self.steady_since = None;
        self.change(AlarmState { red: true, yellow: false, blue: false })
    }

    fn change(&mut self, state: AlarmState) -> Option<AlarmState> {
        (std::mem::replace(&mut self.state, state) != state).then_some(state)
    }
}

/// A flag that counts only once it has lasted.
#[derive(Debug, Default)]
struct Persistence {
    holds: bool,
    differs_since: Option<Instant>,
}

impl Persistence {
    fn lasts(&mut self, now: Instant, flag: bool, time: Duration) -> bool {
        if flag == self.holds {
            self.differs_since = None;
        } else {
            let since = *self.differs_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= time {
                self.holds = flag;
                self.differs_since = None;
            }
        }
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    struct Run {
        monitor: AlarmMonitor,
        now: Instant,
        changes: Vec<String>,
    }

    impl Run {
        fn new() -> Self {
            let now = Instant::now();
            let monitor = AlarmMonitor::new(now, AlarmTimes::default());
            Self { monitor, now, changes: Vec::new() }
        }

        fn blocks(&mut self, count: u32, yellow: bool) -> &mut Self {
            for _ in 0..count {
                self.now += MS;
                let change = self.monitor.block_received(self.now, yellow, false, false);
                self.changes.extend(change.map(|state| state.to_string()));
            }
            self
        }

        fn silence(&mut self, ms: u32) -> &mut Self {
            for _ in 0..ms {
                self.now += MS;
                let change = self.monitor.block_missing(self.now);
                self.changes.extend(change.map(|state| state.to_string()));
            }
            self
        }
    }

    #[test]
    fn a_span_comes_up_after_steady_blocks() {
        let mut run = Run::new();
        run.blocks(500, false);
        assert!(run.monitor.state().red && run.changes.is_empty());
        run.blocks(1, false);
        assert_eq!(run.changes, ["none"]);
    }

    #[test]
    fn red_comes_when_blocks_stop_and_goes_when_they_return() {
        let mut run = Run::new();
        run.blocks(600, false).silence(249);
        assert_eq!(run.changes, ["none"]);
        run.silence(1);
        assert_eq!(run.changes, ["none", "RED"]);
        run.silence(5000).blocks(300, false).silence(150).blocks(500, false);
        assert_eq!(run.changes, ["none", "RED"], "a hole starts the clearing again");
        run.blocks(1, false);
        assert_eq!(run.changes, ["none", "RED", "none"]);
    }

    #[test]
    fn a_stall_of_the_own_thread_is_no_alarm() {
        let mut run = Run::new();
        run.blocks(600, false);
        run.now += 400 * MS;
        run.silence(10).blocks(10, false);
        assert_eq!(run.changes, ["none"]);
    }

    #[test]
    fn a_short_hole_is_no_alarm() {
        let mut run = Run::new();
        run.blocks(600, false);
        for _ in 0..50 {
            run.silence(100).blocks(5, false);
        }
        assert_eq!(run.changes, ["none"]);
    }

    #[test]
    fn yellow_must_last_and_ends_with_the_flag() {
        let mut run = Run::new();
        run.blocks(600, false).blocks(40, true).blocks(100, false);
        assert_eq!(run.changes, ["none"], "a short flag is nothing");
        run.blocks(60, true).blocks(60, false);
        assert_eq!(run.changes, ["none", "YELLOW", "none"]);
    }

    #[test]
    fn red_hides_what_the_far_end_said_before() {
        let mut run = Run::new();
        run.blocks(600, false).blocks(60, true).silence(300);
        assert_eq!(run.changes, ["none", "YELLOW", "RED"]);
    }

    #[test]
    fn what_the_line_itself_reports_is_obeyed() {
        let mut run = Run::new();
        run.blocks(600, false);
        for _ in 0..60 {
            run.now += MS;
            run.monitor.block_received(run.now, false, true, false);
        }
        assert!(run.monitor.state().red);
        run.blocks(501, false);
        assert!(run.monitor.state().is_clear());
        for _ in 0..60 {
            run.now += MS;
            run.monitor.block_received(run.now, false, false, true);
        }
        assert_eq!(run.monitor.state().to_string(), "BLUE");
    }
}
