//! Up to two datagrams of a socket, read in one call.
//!
//! Readiness comes by edge, so a socket has to be read until it has nothing more. Of the one packet
//! that a leg receives in a packet time that makes two calls, the second in vain. Asked for two
//! datagrams the kernel looks for the second itself, and says that there was one.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use super::super::sockaddr::{SOCKADDR_MAX_OCTETS, read};
use super::super::{DATAGRAM_MAX_OCTETS, TAILROOM_OCTETS};

/// Datagrams of one call.
pub(super) const DATAGRAMS: usize = 2;

/// One octet more than is accepted, to see what is too long.
const READ_OCTETS: usize = DATAGRAM_MAX_OCTETS + 1;
/// The datagram and the room behind it, which is more than that one octet.
const BUFFER_OCTETS: usize = DATAGRAM_MAX_OCTETS + TAILROOM_OCTETS;

/// The memory they are read into.
#[derive(Debug)]
pub(super) struct TwoDatagrams {
    places: Box<[Place; DATAGRAMS]>,
}

#[derive(Debug)]
struct Place {
    from: Option<SocketAddr>,
    octets: usize,
    memory: [u8; BUFFER_OCTETS],
}

/// A datagram that has been read, with the room behind it.
#[derive(Debug)]
pub(super) struct Read<'a> {
    /// Its sender; none for a family that is not IP.
    pub(super) from: Option<SocketAddr>,
    /// How long it is; more than [`DATAGRAM_MAX_OCTETS`] if it is longer than is accepted.
    pub(super) octets: usize,
    /// The datagram and the room behind it.
    pub(super) memory: &'a mut [u8],
}

impl TwoDatagrams {
    pub(super) fn new() -> Self {
        let place = || Place { from: None, octets: 0, memory: [0; BUFFER_OCTETS] };
        Self { places: Box::new([place(), place()]) }
    }

    /// Reads what the socket has; how many datagrams that were.
    pub(super) fn fill(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        let mut names = [[0_u64; SOCKADDR_MAX_OCTETS.div_ceil(8)]; DATAGRAMS];
        let [first, second] = &mut *self.places;
        let mut vectors = [first, second].map(|place| libc::iovec {
            iov_base: place.memory.as_mut_ptr().cast(),
            iov_len: READ_OCTETS,
        });
        // SAFETY: all-zero is a valid mmsghdr, with null pointers and no lengths.
        let mut headers: [libc::mmsghdr; DATAGRAMS] = unsafe { mem::zeroed() };
        for ((header, name), vector) in headers.iter_mut().zip(&mut names).zip(&mut vectors) {
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = SOCKADDR_MAX_OCTETS as u32;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header points to a name and a vector that live until the call has returned,
        // and each vector to memory of our own that is as long as it says.
        let read_datagrams = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                DATAGRAMS as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(read_datagrams) else {
            return Err(io::Error::last_os_error());
        };
        for ((place, header), name) in self.places.iter_mut().zip(&headers).zip(&names).take(count)
        {
            place.octets = header.msg_len as usize;
            place.from = read(as_octets(name));
        }
        Ok(count)
    }

    /// One of those that [`Self::fill`] has read.
    pub(super) fn datagram(&mut self, number: usize) -> Read<'_> {
        let place = &mut self.places[number];
        let octets = place.octets;
        let end = (octets + TAILROOM_OCTETS).min(BUFFER_OCTETS);
        Read { from: place.from, octets, memory: &mut place.memory[..end] }
    }
}

/// An address as the kernel has written it.
fn as_octets(name: &[u64; SOCKADDR_MAX_OCTETS.div_ceil(8)]) -> &[u8] {
    // SAFETY: the same memory, all of it initialised, and octets ask for no alignment.
    unsafe { std::slice::from_raw_parts(name.as_ptr().cast(), SOCKADDR_MAX_OCTETS) }
}
