//! What makes a thread punctual: core, scheduling class, locked memory, exact timers.

use std::io;

/// Priority among real-time threads: above ordinary work, below the kernel's own threads.
const FIFO_PRIORITY: libc::c_int = 50;

/// Pins the calling thread to a core.
pub(super) fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: an all-zero cpu_set_t is the empty set, and `core` lies inside it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: the set lives through the call and its size is given; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

/// Moves the calling thread to SCHED_FIFO.
pub(super) fn schedule_fifo() -> io::Result<()> {
    // SAFETY: an all-zero sched_param is valid; the only field used is set.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = FIFO_PRIORITY;
    // A child process must not inherit it.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters live through the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })
}

/// Lets timers of the calling thread fire when they are due, not up to 50 µs later.
pub(super) fn sharpen_timers() -> io::Result<()> {
    // SAFETY: takes an integer, touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0, 0, 0) })
}

/// Keeps the memory that holds `value` itself in RAM.
pub(super) fn lock_memory<T: ?Sized>(value: &T) -> io::Result<()> {
    // SAFETY: the range is that of a live value; locking changes nothing of its content.
    check(unsafe { libc::mlock((&raw const *value).cast(), size_of_val(value)) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
