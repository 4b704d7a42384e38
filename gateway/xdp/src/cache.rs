//! Memory that is wanted soon.
#![allow(unsafe_code)]

/// Octets that the processor moves at once.
pub const LINE_OCTETS: usize = 64;

/// Starts to bring these octets into the cache, without waiting for them. With many calls a packet
/// finds little of what it needs there, and would wait for one line after the other.
#[inline(always)]
pub fn prefetch(octets: &[u8]) {
    let mut line = 0;
    while line < octets.len() {
        prefetch_line(&octets[line]);
        line += LINE_OCTETS;
    }
}

/// The same for a value.
#[inline(always)]
pub fn prefetch_value<T>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: as many octets as the value has, which are only named and never read.
    let octets = unsafe { std::slice::from_raw_parts(start, size_of::<T>()) };
    prefetch(octets);
}

#[inline(always)]
fn prefetch_line(octet: &u8) {
    // SAFETY: a hint, which reads nothing and cannot fail.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(octet).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = octet;
}
