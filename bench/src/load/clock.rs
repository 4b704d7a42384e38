//! The kernel's clocks, and a thread that keeps time.
#![allow(unsafe_code)]

use std::io;

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds of the clock that never jumps.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970: the clock of the kernel's receive time stamps.
pub fn wall_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// Processor time of the calling thread, ns. What the kernel does in soft interrupts on this
/// thread's back is part of it.
pub fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of all threads of a process, ended ones too, ns.
///
/// # Errors
/// If there is no such process.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let none = || io::Error::from_raw_os_error(libc::ESRCH);
    let pid = libc::pid_t::try_from(pid).map_err(|_| none())?;
    let mut clock = 0;
    // SAFETY: writes one clock id.
    match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    match unsafe { libc::clock_gettime(clock, &raw mut now) } {
        0 => Ok(nanoseconds(now)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sleeps until [`monotonic_ns`] has come to `deadline_ns`.
pub fn sleep_until(deadline_ns: u64) {
    let deadline = libc::timespec {
        tv_sec: (deadline_ns / SECOND_NS).cast_signed(),
        tv_nsec: (deadline_ns % SECOND_NS).cast_signed(),
    };
    loop {
        // SAFETY: the deadline is valid for the call; nothing is written without a remainder.
        let outcome = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const deadline,
                std::ptr::null_mut(),
            )
        };
        if outcome != libc::EINTR {
            return;
        }
    }
}

/// Asks for a real-time thread that keeps time; tells what it got.
pub fn keep_time(priority: u8, core: Option<usize>) -> String {
    // Without this an ordinary thread wakes up to 50 µs late.
    // SAFETY: takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let place = match core {
        None => String::new(),
        Some(core) => match pin(core) {
            Ok(()) => format!(" on core {core}"),
            Err(error) => format!(", not on core {core} ({error})"),
        },
    };
    if priority == 0 {
        return format!("ordinary{place}");
    }
    let param = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the parameter is valid for the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } {
        0 => format!("SCHED_FIFO {priority}{place}"),
        _ => {
            let error = io::Error::last_os_error();
            format!("ordinary{place}: SCHED_FIFO {priority} was refused ({error})")
        }
    }
}

fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all-zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: below the set's size, as checked.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is as long as said; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut now) };
    debug_assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
    nanoseconds(now)
}

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec.cast_unsigned() * SECOND_NS + time.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_at_least_what_its_thread_has() {
        let thread = thread_cpu_ns();
        let process = process_cpu_ns(std::process::id()).unwrap();
        assert!(thread > 0 && process >= thread, "{thread} {process}");
    }

    #[test]
    fn a_process_that_is_not_there_has_no_time() {
        assert!(process_cpu_ns(u32::MAX).is_err());
    }
}
