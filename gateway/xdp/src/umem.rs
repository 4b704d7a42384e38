//! The memory that packets lie in, shared with the kernel.

use std::io;
use std::ptr::{self, NonNull};

/// Octets of a frame: what the kernel keeps in front, the headers, and the longest datagram with
/// room behind it.
pub const FRAME_OCTETS: usize = 2048;

/// Frames of memory, each to one owner at a time: the kernel, or a worker that was given it.
///
/// Frames are written by the kernel and by several workers, so only pointers are given out.
#[derive(Debug)]
pub(crate) struct Umem {
    start: NonNull<u8>,
    octets: usize,
}

// SAFETY: plain memory; whoever holds a frame's number holds its octets alone.
unsafe impl Send for Umem {}
// SAFETY: as above; nothing is reached but through a frame's number.
unsafe impl Sync for Umem {}

impl Umem {
    /// So many frames, touched, so that no page fault stops a packet.
    pub(crate) fn new(frames: usize) -> io::Result<Self> {
        let octets = frames * FRAME_OCTETS;
        // SAFETY: a new anonymous mapping, which aliases nothing.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                octets,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Packets come into frames all over the memory: with small pages each would find its
        // address untranslated. Where the kernel has no huge ones the small ones do.
        // SAFETY: the mapping just made.
        unsafe { libc::madvise(start, octets, libc::MADV_HUGEPAGE) };
        // SAFETY: as above.
        let touched = unsafe { libc::madvise(start, octets, libc::MADV_POPULATE_WRITE) };
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        let umem = Self { start, octets };
        if touched != 0 {
            umem.touch();
        }
        Ok(umem)
    }

    /// Touches every page, for kernels before 5.14.
    fn touch(&self) {
        for page in (0..self.octets).step_by(4096) {
            // SAFETY: inside the mapping, which nobody else knows of yet.
            unsafe { self.start.as_ptr().add(page).write_volatile(0) };
        }
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Where the frame that holds `address` begins and ends.
    pub(crate) fn bounds(address: u64) -> std::ops::Range<u64> {
        let begin = address - address % FRAME_OCTETS as u64;
        begin..begin + FRAME_OCTETS as u64
    }

    /// The octets of a range inside one frame.
    ///
    /// # Safety
    /// The caller holds the frame, and ends the borrow before it passes the frame on.
    ///
    /// # Panics
    /// When the range is not inside one frame.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, range: std::ops::Range<u64>) -> &mut [u8] {
        let bounds = Self::bounds(range.start);
        assert!(range.end <= bounds.end && range.end as usize <= self.octets);
        let octets = (range.end - range.start) as usize;
        // SAFETY: inside the mapping, as just checked, and held by the caller alone.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.as_ptr().add(range.start as usize), octets)
        }
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.octets) };
    }
}
