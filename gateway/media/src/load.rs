//! How much of its time a worker's legs take, measured tick by tick, and whether another one fits.
//!
//! What is measured is the time from waking to having served every leg, on the monotonic clock, as
//! share of all time. Not the thread's processor time: what counts for a call is when its packet
//! leaves, whoever has held the worker up (the kernel's work for received packets, the host, another
//! program), and a worker with a core of its own under SCHED_FIFO shows the same on both clocks. It
//! costs no system call either.
//!
//! A measurement is always late: legs that were opened within the last second have hardly been seen
//! yet. They are reckoned as dear as the average of those that have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time constant of the averages. Long against the 20 ms in which the packets of all legs come
/// once, short against a call.
const SMOOTHING: Duration = Duration::from_secs(1);

/// A worker that has refused takes new legs again when its load is below this part of the limit.
const READMISSION: f64 = 0.9;

/// With fewer legs than these the average says little of the next one, and what the worker does
/// besides weighs too much in it.
const LEGS_OF_AN_AVERAGE: f64 = 16.0;

/// Workers whose loads differ by less are alike; the one with fewer legs is taken.
const LIKE_LOADS: f64 = 0.05;

/// How fast the 99th percentile follows, as part of a tick a tick.
const PERCENTILE_STEP: f64 = 1.0 / 64.0;

/// The load of a worker, as it measures it.
#[derive(Debug)]
pub(crate) struct Load {
    tick_s: f64,
    /// When the last tick was done.
    done_at: Instant,
    busy: f64,
    idle: f64,
    legs: f64,
    work_p99_s: f64,
}

impl Load {
    pub(crate) fn new(tick: Duration, now: Instant) -> Self {
        let tick_s = tick.as_secs_f64();
        Self { tick_s, done_at: now, busy: 0.0, idle: 0.0, legs: 0.0, work_p99_s: 0.0 }
    }

    /// A tick that began and ended then has served so many legs.
    pub(crate) fn served(&mut self, began: Instant, ended: Instant, legs: usize) {
        let work_s = ended.saturating_duration_since(began).as_secs_f64();
        let passed_s = ended.saturating_duration_since(self.done_at).as_secs_f64();
        if passed_s <= 0.0 {
            return;
        }
        self.done_at = ended;
        let weight = (passed_s / SMOOTHING.as_secs_f64()).min(1.0);
        self.busy += ((work_s / passed_s).min(1.0) - self.busy) * weight;
        self.legs += (legs as f64 - self.legs) * weight;
        // What the worker does without legs is not theirs.
        self.idle = if self.legs < 0.01 { self.busy } else { self.idle.min(self.busy) };
        // One tick in a hundred is above the estimate when both steps balance.
        let step_s = self.tick_s * PERCENTILE_STEP;
        if work_s > self.work_p99_s {
            self.work_p99_s += 0.99 * step_s;
        } else {
            self.work_p99_s = (self.work_p99_s - 0.01 * step_s).max(0.0);
        }
    }

    pub(crate) fn reading(&self) -> Reading {
        let millionths = |value: f64| (value * 1e6) as u64;
        Reading {
            busy_ppm: millionths(self.busy),
            idle_ppm: millionths(self.idle),
            legs_ppm: millionths(self.legs),
            work_p99_us: millionths(self.work_p99_s),
        }
    }
}

/// A load as it is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Share of its time that the worker serves, in millionths.
    pub(crate) busy_ppm: u64,
    /// The same without legs, as last seen.
    pub(crate) idle_ppm: u64,
    /// The legs that were served, in millionths of a leg.
    pub(crate) legs_ppm: u64,
    /// Of a hundred ticks one takes longer, in µs.
    pub(crate) work_p99_us: u64,
}

impl Reading {
    /// The load to be expected with so many legs, as share of the worker's time.
    pub(crate) fn expected(&self, legs: usize) -> f64 {
        let share = |ppm: u64| ppm as f64 / 1e6;
        let (busy, seen) = (share(self.busy_ppm), share(self.legs_ppm));
        let each = (busy - share(self.idle_ppm)).max(0.0) / seen.max(LEGS_OF_AN_AVERAGE);
        (busy + (legs as f64 - seen) * each).max(0.0)
    }
}

/// Remembers whether a worker refuses, so that it does not take one call, refuse one, take one.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    /// The worker refuses at present.
    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a worker with this load to be expected refuses.
    fn refuses(&self, expected: f64, load_max: f64) -> bool {
        let limit = if self.is_shut() { READMISSION * load_max } else { load_max };
        let refuses = expected > limit;
        self.0.store(refuses, Ordering::Relaxed);
        refuses
    }
}

/// What a worker may have at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) legs: usize,
    /// Share of its time; none: whatever it takes.
    pub(crate) load: Option<f64>,
}

/// A worker as new legs find it.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    /// Legs opened or about to be.
    pub(crate) legs: usize,
    pub(crate) load: Reading,
    pub(crate) gate: &'a Gate,
}

/// Why no worker takes new legs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Full {
    /// Each has as many as it may.
    Legs,
    /// Each that has fewer would be over its limit; the least load.
    Load { least: f64 },
}

/// The place of the worker that shall get so many new legs: the one with the least load, of like
/// ones that with the fewest legs.
pub(crate) fn place<'a>(
    candidates: impl IntoIterator<Item = Candidate<'a>>,
    new: usize,
    limits: Limits,
) -> Result<usize, Full> {
    let mut best = None;
    let mut why = Full::Legs;
    for (place, candidate) in candidates.into_iter().enumerate() {
        let legs = candidate.legs + new;
        if legs > limits.legs {
            continue;
        }
        let expected = candidate.load.expected(legs);
        if limits.load.is_some_and(|load_max| candidate.gate.refuses(expected, load_max)) {
            let least = match why {
                Full::Load { least } => least.min(expected),
                Full::Legs => expected,
            };
            why = Full::Load { least };
            continue;
        }
        let rank = ((expected / LIKE_LOADS) as u64, legs, place);
        best = Some(best.map_or(rank, |other: (u64, usize, usize)| other.min(rank)));
    }
    best.map(|(.., place)| place).ok_or(why)
}

#[cfg(test)]
mod tests;
