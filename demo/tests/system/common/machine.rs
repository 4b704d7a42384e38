//! Whether the machine itself held the programs up during a call.
//!
//! A virtual machine's host takes its cores away for tens of milliseconds at a time. Packets then
//! come late through no fault of any program here, the playout adjusts as it should, and each
//! adjustment within a word costs the score up to a quarter of a point. The bound stays where it
//! is: a call that the machine disturbed is made again, aloud, and one that it did not fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a call is made at most.
const CALLS_MAX: usize = 6;

/// A sleeper that wakes this much too late met a busy or absent core: a tick of the media.
const LATE: Duration = Duration::from_millis(5);

/// Time between two looks of a sleeper.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Makes `call` until its speech is good, again only if the machine disturbed the one before.
///
/// `call` gives an error, what was wrong with the speech, if it is to be made again.
pub fn undisturbed<T>(mut call: impl FnMut() -> Result<T, String>) -> T {
    for _ in 1..CALLS_MAX {
        let watch = Watch::start();
        let result = call();
        let held_up = watch.end();
        match result {
            Ok(result) => return result,
            Err(problem) if held_up.is_empty() => panic!("{problem} (the machine was quiet)"),
            Err(problem) => println!("again, the machine was not quiet ({held_up}): {problem}"),
        }
    }
    call().unwrap_or_else(|problem| panic!("{problem} ({CALLS_MAX} calls)"))
}

/// Sleepers, one on each core, that notice when their core is not there.
struct Watch {
    over: Arc<AtomicBool>,
    sleepers: Vec<JoinHandle<(usize, Duration)>>,
    steal_before: u64,
}

impl Watch {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let sleepers = (0..cores)
            .map(|core| {
                let over = over.clone();
                std::thread::spawn(move || sleep_on(core, &over))
            })
            .collect();
        Self { over, sleepers, steal_before: steal_ticks() }
    }

    /// What the machine did, in words; empty if nothing.
    fn end(self) -> String {
        self.over.store(true, Ordering::Relaxed);
        let late: (usize, Duration) = self
            .sleepers
            .into_iter()
            .map(|sleeper| sleeper.join().expect("a sleeper ends"))
            .fold((0, Duration::ZERO), |all, one| (all.0 + one.0, all.1.max(one.1)));
        if late.0 == 0 {
            return String::new();
        }
        format!(
            "a core was not there {} times, for up to {} ms; the host stole {} ms",
            late.0,
            late.1.as_millis(),
            (steal_ticks() - self.steal_before) * 10,
        )
    }
}

/// Sleeps on one core until `over`: how often it woke too late, and the longest time.
fn sleep_on(core: usize, over: &AtomicBool) -> (usize, Duration) {
    // SAFETY: a cpu_set_t is plain bits, for which zero is valid; `core` is below its 1,024; pid 0
    // is this thread. Where the core is not ours the thread stays free, which only sees less.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
    let mut late = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let before = Instant::now();
        std::thread::sleep(LOOK_EVERY);
        let behind = before.elapsed().saturating_sub(LOOK_EVERY);
        if behind >= LATE {
            late = (late.0 + 1, late.1.max(behind));
        }
    }
    late
}

/// Hundredths of a second that the host took from all cores since the start, of `/proc/stat`
/// (proc(5), the line "cpu", the eighth figure).
fn steal_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let figure = stat.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8));
    figure.and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}
