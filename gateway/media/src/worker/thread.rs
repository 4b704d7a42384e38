//! The thread of a worker: its core, its priority, its memory.

use std::io;
use std::mem;

use crate::memory::Pages;

/// What the system has granted, in words for the log.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) scheduling: String,
    pub(super) memory: &'static str,
}

/// The cores this process may use.
pub(crate) fn available_cores() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set is as long as said.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: only reads the set, below its size.
    let has = |core: &usize| unsafe { libc::CPU_ISSET(*core, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(has).collect())
}

/// Binds the calling thread to `core`, and asks for real time. What is refused is told, and costs
/// punctuality only.
pub(super) fn settle(core: usize, realtime_priority: Option<u8>) -> io::Result<Standing> {
    pin(core)?;
    let scheduling = match realtime_priority {
        None => "ordinary, as configured".to_owned(),
        Some(priority) => match make_realtime(priority) {
            Ok(()) => format!("SCHED_FIFO {priority}"),
            Err(error) => format!(
                "ordinary: SCHED_FIFO {priority} was refused ({error}); \
                 it needs CAP_SYS_NICE or LimitRTPRIO={priority}"
            ),
        },
    };
    let memory = if Pages::new(1)?.is_locked() {
        "locked"
    } else {
        "not locked: it needs CAP_IPC_LOCK or a greater LimitMEMLOCK"
    };
    Ok(Standing { scheduling, memory })
}

fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all-zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: below the set's size, as checked.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is as long as said; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn make_realtime(priority: u8) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the parameter is valid for the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_settles_on_a_core_it_may_use_and_says_what_it_got() {
        let cores = available_cores().unwrap();
        let core = *cores.first().expect("at least one core");
        let standing = std::thread::spawn(move || settle(core, None)).join().unwrap().unwrap();
        assert_eq!(standing.scheduling, "ordinary, as configured");
        assert!(settle(libc::CPU_SETSIZE as usize, None).is_err());
    }
}
