//! Memory that a page fault never stops: mapped, touched and, where allowed, locked beforehand.

use std::io;
use std::ptr::{self, NonNull};

/// Anonymous pages, page-aligned and zeroed.
///
/// Kernel and program both write here, so only pointers are given out, never references.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    len: usize,
    locked: bool,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// At least `len` octets, touched; locked if the limit allows it.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(4096);
        // SAFETY: a new anonymous mapping, which aliases nothing.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is the mapping just made. A refusal (RLIMIT_MEMLOCK) costs only the
        // guarantee, and the worker says at its start whether locking is allowed.
        let locked = unsafe { libc::mlock(start, len) } == 0;
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { start, len, locked })
    }

    /// Whether no page of it is ever taken away.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    /// The address `offset` octets from the start.
    ///
    /// # Panics
    /// When the `len` octets from there are not all inside.
    pub(crate) fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: inside the mapping, as just checked.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once; pointers into it end with the owner.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
