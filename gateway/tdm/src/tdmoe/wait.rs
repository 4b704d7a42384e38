//! Waiting for a socket with the precision of a telephone line.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Waits until the socket can be read or `timeout` is over.
pub(super) fn readable(socket: &UdpSocket, timeout: Duration) -> io::Result<()> {
    let mut waited = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: one pollfd and the timespec live through the call; no signal mask is given.
    let result = unsafe { libc::ppoll(&raw mut waited, 1, &raw const timeout, std::ptr::null()) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}
