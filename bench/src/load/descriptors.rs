//! How many sockets a process may have.
#![allow(unsafe_code)]

use std::io;

/// Lets this process have as many descriptors as its hard limit allows; how many that are.
///
/// # Errors
/// What the kernel says.
pub fn allow_all() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: reads one rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(limit.rlim_max),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_becomes_what_is_allowed_at_most() {
        let limit = super::allow_all().unwrap();
        let told = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let soft = line.split_whitespace().next().unwrap();
        assert_eq!(soft, limit.to_string());
    }
}
