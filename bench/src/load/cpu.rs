//! Processor time of processes and of soft interrupts.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clock;
use super::error::LoadError;

/// Nanoseconds of a clock tick in `/proc` (`USER_HZ` is 100 on every Linux).
const TICK_NS: u64 = 10_000_000;

/// All that is read at the start and at the end of the measured time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When, by [`clock::monotonic_ns`].
    pub at_ns: u64,
    /// Of each watched process.
    pub watched_ns: Vec<u64>,
    /// Of the kernel's threads that do what soft interrupts left over.
    pub ksoftirqd_ns: u64,
    /// Of the whole machine, in soft interrupts: sampled by the timer tick, hence coarse.
    pub softirq_ns: u64,
    /// Of the whole machine, in anything but waiting.
    pub busy_ns: u64,
}

/// The processes whose time is taken.
#[derive(Debug)]
pub struct Watch {
    pids: Vec<u32>,
    ksoftirqd: Vec<u32>,
}

/// Processor time of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Which.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// User and system time of all its threads in the measured time, ns.
    pub cpu_ns: u64,
    /// Its own resident memory at the end, KiB; not the files it maps.
    pub resident_kib: u64,
}

impl Watch {
    /// Watches these processes.
    pub fn new(pids: &[u32]) -> Self {
        Self { pids: pids.to_vec(), ksoftirqd: ksoftirqd() }
    }

    /// Reads all times.
    ///
    /// # Errors
    /// If a watched process is not there any more.
    pub fn snapshot(&self) -> Result<Snapshot, LoadError> {
        let watched_ns = self
            .pids
            .iter()
            .map(|&pid| {
                clock::process_cpu_ns(pid)
                    .map_err(|error| LoadError::system(format!("process {pid}"), error))
            })
            .collect::<Result<_, _>>()?;
        let ksoftirqd_ns =
            self.ksoftirqd.iter().filter_map(|&pid| clock::process_cpu_ns(pid).ok()).sum();
        let (softirq_ns, busy_ns) = read("/proc/stat", machine).unwrap_or_default();
        Ok(Snapshot { at_ns: clock::monotonic_ns(), watched_ns, ksoftirqd_ns, softirq_ns, busy_ns })
    }

    /// What each watched process used between two snapshots.
    pub fn between(&self, start: &Snapshot, end: &Snapshot) -> Vec<Watched> {
        let used = start.watched_ns.iter().zip(&end.watched_ns);
        let used = used.map(|(start, end)| end - start);
        self.pids
            .iter()
            .zip(used)
            .map(|(&pid, cpu_ns)| Watched {
                pid,
                name: name(pid),
                cpu_ns,
                resident_kib: resident_kib(pid).unwrap_or_default(),
            })
            .collect()
    }
}

/// Memory of a process's own that is resident, KiB: without the files it maps, which differ with
/// what of them was read. None if the process is not there.
pub fn resident_kib(pid: u32) -> Option<u64> {
    read(format!("/proc/{pid}/status"), own_memory_kib)
}

fn own_memory_kib(status: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(field("RssAnon:")? + field("RssShmem:")?)
}

/// The load averages of 1, 5 and 15 minutes, as the kernel writes them.
pub fn load_average() -> String {
    let words = |text: &str| Some(text.split(' ').take(3).collect::<Vec<_>>().join(" "));
    read("/proc/loadavg", words).unwrap_or_default()
}

fn name(pid: u32) -> String {
    read(format!("/proc/{pid}/comm"), |text| Some(text.trim().to_owned())).unwrap_or_default()
}

fn ksoftirqd() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| name(pid).starts_with("ksoftirqd/")).collect()
}

/// Soft interrupt and busy time of the machine from `/proc/stat`, ns.
fn machine(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user (proc(5)).
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    Some((softirq * TICK_NS, (user + nice + system + irq + softirq) * TICK_NS))
}

fn read<T>(path: impl AsRef<Path>, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    parse(&fs::read_to_string(path).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_times_come_from_the_sum_of_all_cores() {
        let stat = "cpu  10 1 20 700 5 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(machine(stat), Some((30_000_000, 360_000_000)));
        assert_eq!(machine("cpu  1 2 3\n"), None);
        assert_eq!(machine(""), None);
    }

    #[test]
    fn memory_of_its_own_is_without_mapped_files() {
        let status = "VmRSS:\t 900 kB\nRssAnon:\t 300 kB\nRssFile:\t 500 kB\nRssShmem:\t 100 kB\n";
        assert_eq!(own_memory_kib(status), Some(400));
        assert_eq!(own_memory_kib("VmRSS:\t 900 kB\n"), None);
    }

    #[test]
    fn a_watched_process_has_time_name_and_memory() {
        let watch = Watch::new(&[std::process::id()]);
        let start = watch.snapshot().unwrap();
        let mut sum = 0_u64;
        while watch.snapshot().unwrap().watched_ns[0] < start.watched_ns[0] + 1_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        let used = watch.between(&start, &watch.snapshot().unwrap());
        assert!(used[0].cpu_ns >= 1_000_000 && used[0].resident_kib > 0, "{used:?}");
        assert!(!used[0].name.is_empty());
    }

    #[test]
    fn a_process_that_is_gone_is_named_in_the_error() {
        let error = Watch::new(&[u32::MAX]).snapshot().unwrap_err().to_string();
        assert!(error.starts_with("process 4294967295: "), "{error}");
    }
}
