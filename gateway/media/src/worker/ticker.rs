//! Ticks by absolute deadlines: lateness never adds up.

use std::io;
use std::time::Duration;

/// Wakes its thread at a fixed pace.
#[derive(Debug)]
pub(super) struct Ticker {
    period_ns: u64,
    next_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Ticker {
    pub(super) fn new(period: Duration) -> Self {
        let period_ns = period.as_nanos() as u64;
        Self { period_ns, next_ns: monotonic_ns() + period_ns }
    }

    /// Sleeps until the next deadline; how late it has become. Deadlines that are over already
    /// are left out.
    pub(super) fn wait(&mut self) -> Duration {
        let deadline = libc::timespec {
            tv_sec: (self.next_ns / SECOND_NS) as libc::time_t,
            tv_nsec: (self.next_ns % SECOND_NS) as libc::c_long,
        };
        loop {
            // SAFETY: the deadline is valid for the call; nothing is written without TIMER_ABSTIME.
            let outcome = unsafe {
                libc::clock_nanosleep(
                    libc::CLOCK_MONOTONIC,
                    libc::TIMER_ABSTIME,
                    &raw const deadline,
                    std::ptr::null_mut(),
                )
            };
            if outcome != libc::EINTR {
                break;
            }
        }
        let now = monotonic_ns();
        let lateness = now.saturating_sub(self.next_ns);
        self.next_ns += self.period_ns * (1 + lateness / self.period_ns);
        Duration::from_nanos(lateness)
    }
}

fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    debug_assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
    now.tv_sec as u64 * SECOND_NS + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn ticks_keep_their_pace_and_leave_out_what_is_over() {
        let start = Instant::now();
        let mut ticker = Ticker::new(Duration::from_millis(2));
        for _ in 0..5 {
            ticker.wait();
        }
        assert!(start.elapsed() >= Duration::from_millis(10));
        std::thread::sleep(Duration::from_millis(9));
        assert!(ticker.wait() >= Duration::from_millis(5));
        // The next deadline lies ahead again.
        let before = Instant::now();
        let lateness = ticker.wait();
        assert!(before.elapsed() + Duration::from_millis(2) >= lateness);
    }
}
