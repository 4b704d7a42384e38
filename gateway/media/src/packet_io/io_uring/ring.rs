//! The ring: requests into it, completions out of it, and the sockets it keeps a hold of.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use io_uring::{cqueue, squeue};

/// Requests that can wait for one submission.
const QUEUE: u32 = 1024;
/// Completions that can wait to be read.
const COMPLETIONS: u32 = 8192;
/// Sockets that the ring keeps a hold of, so that a send need not look its own up.
const FILES_MAX: u32 = 16_384;

/// The ring itself, and completions that were read while looking for others.
pub(super) struct Ring {
    pub(super) ring: io_uring::IoUring,
    /// Places of its table of sockets.
    files: u32,
    set_aside: VecDeque<cqueue::Entry>,
}

impl Ring {
    /// The best mode this kernel knows.
    pub(super) fn new() -> io::Result<Self> {
        let builder = || {
            let mut builder = io_uring::IoUring::builder();
            builder.setup_cqsize(COMPLETIONS).setup_taskrun_flag();
            builder
        };
        let ring = builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(QUEUE)
            .or_else(|_| builder().setup_coop_taskrun().build(QUEUE))
            .or_else(|_| io_uring::IoUring::builder().setup_cqsize(COMPLETIONS).build(QUEUE))?;
        let files = files_max();
        // Without the table each send looks its socket up: nothing else changes.
        let files = if ring.submitter().register_files_sparse(files).is_ok() { files } else { 0 };
        Ok(Self { ring, files, set_aside: VecDeque::with_capacity(COMPLETIONS as usize) })
    }

    /// Keeps a hold of a socket; false where there is no room for it.
    pub(super) fn hold(&self, index: usize, socket: &UdpSocket) -> bool {
        index < self.files as usize
            && self
                .ring
                .submitter()
                .register_files_update(index as u32, &[socket.as_raw_fd()])
                .is_ok()
    }

    /// Gives the hold up that is under this index.
    pub(super) fn let_go(&self, index: usize) {
        // The next socket under it takes its place, should this fail.
        let _ = self.ring.submitter().register_files_update(index as u32, &[-1]);
    }

    /// Queues a request, after a submission if there is no room; false when that did not help.
    ///
    /// # Safety
    /// What the request points to must stay valid until it has completed.
    pub(super) unsafe fn push(&mut self, request: &squeue::Entry) -> bool {
        // SAFETY: the caller's promise.
        if unsafe { self.ring.submission().push(request) }.is_ok() {
            return true;
        }
        self.submit();
        // SAFETY: the caller's promise.
        unsafe { self.ring.submission().push(request) }.is_ok()
    }

    /// Gives the queued requests to the kernel and lets it post what is due. An error (`EBUSY`,
    /// `EINTR`) leaves them queued for the next time.
    pub(super) fn submit(&mut self) {
        let _ = self.ring.submit();
    }

    pub(super) fn next(&mut self) -> Option<cqueue::Entry> {
        self.set_aside.pop_front().or_else(|| self.ring.completion().next())
    }

    /// Looks through the completions for those that `takes` takes, and sets the others aside.
    pub(super) fn look_through(&mut self, mut takes: impl FnMut(&cqueue::Entry) -> bool) {
        while self.set_aside.len() < COMPLETIONS as usize {
            let Some(completion) = self.ring.completion().next() else { break };
            if !takes(&completion) {
                self.set_aside.push_back(completion);
            }
        }
    }
}

/// As many sockets as the ring can keep a hold of: the kernel allows no more than this process may
/// have open.
fn files_max() -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is written to, and is what the call asks for.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX).min(FILES_MAX),
        _ => 0,
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("set_aside", &self.set_aside.len()).finish()
    }
}
