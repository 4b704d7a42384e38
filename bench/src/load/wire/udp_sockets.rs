//! A UDP socket a party.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, size_of};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::super::call_list::CallList;
use super::super::clock::{SECOND_NS, wall_ns};
use super::super::error::LoadError;
use super::{Arrival, BATCH, Wire};

/// Octets taken of a datagram; a longer one cannot be ours.
const DATAGRAM_MAX_OCTETS: usize = 2048;
/// Room for the one control message asked for, aligned as such.
const CONTROL_WORDS: usize = 8;

/// A [`Wire`] of ordinary sockets.
#[derive(Debug)]
pub struct UdpSockets {
    parties: Vec<Party>,
    poll: Poll,
    events: Events,
    packet_octets: usize,
    arena: Vec<u8>,
    senders: [usize; BATCH],
    staged: usize,
}

#[derive(Debug)]
struct Party {
    socket: UdpSocket,
    address: SocketAddrV4,
    relay: SocketAddrV4,
}

impl UdpSockets {
    /// Binds a socket for each party of `list`.
    ///
    /// # Errors
    /// If an address is not here or a port is taken.
    pub fn open(list: &CallList, packet_octets: usize) -> Result<Self, LoadError> {
        let poll = Poll::new().map_err(|error| LoadError::system("epoll", error))?;
        let parties = (0..list.parties())
            .map(|index| {
                let leg = list.leg(index);
                let failed = |error| LoadError::system(format!("party {}", leg.party), error);
                let socket = UdpSocket::bind(leg.party).map_err(failed)?;
                socket.set_nonblocking(true).map_err(failed)?;
                stamp_arrivals(&socket).map_err(failed)?;
                let descriptor = socket.as_raw_fd();
                poll.registry()
                    .register(&mut SourceFd(&descriptor), Token(index), Interest::READABLE)
                    .map_err(failed)?;
                Ok(Party { socket, address: leg.party, relay: leg.relay })
            })
            .collect::<Result<_, LoadError>>()?;
        Ok(Self {
            parties,
            poll,
            events: Events::with_capacity(1024),
            packet_octets,
            arena: vec![0; BATCH * packet_octets],
            senders: [0; BATCH],
            staged: 0,
        })
    }
}

impl Wire for UdpSockets {
    fn stage(&mut self, sender: usize) -> &mut [u8] {
        self.senders[self.staged] = sender;
        let start = self.staged * self.packet_octets;
        self.staged += 1;
        &mut self.arena[start..start + self.packet_octets]
    }

    fn flush(&mut self) -> u64 {
        let packets = self.arena.chunks_exact(self.packet_octets);
        let mut refused = 0;
        for (packet, &sender) in packets.zip(&self.senders).take(self.staged) {
            let party = &self.parties[sender];
            if party.socket.send_to(packet, party.relay).is_err() {
                refused += 1;
            }
        }
        self.staged = 0;
        refused
    }

    fn drain(&mut self, enter: &mut dyn FnMut(&Arrival<'_>)) {
        if self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_err() {
            // Interrupted; the next call asks again.
            return;
        }
        let mut buffer = [0; DATAGRAM_MAX_OCTETS];
        for event in &self.events {
            let party = &self.parties[event.token().0];
            // Readiness comes by edge: read until nothing is left. A failed read is an ICMP error
            // of an earlier send.
            while let Some(outcome) = receive(&party.socket, &mut buffer).transpose() {
                let Ok((length, from, at_ns)) = outcome else { continue };
                let packet = &buffer[..length];
                let to = party.address;
                enter(&Arrival { packet, from, to, at_ns, checksum_right: true });
            }
        }
    }

    /// The kernel does not tell; such packets count as lost.
    fn overrun(&mut self) -> u64 {
        0
    }

    fn name(&self) -> &'static str {
        "udp sockets"
    }
}

fn stamp_arrivals(socket: &UdpSocket) -> io::Result<()> {
    let on = 1_i32;
    // SAFETY: the value is as long as said.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One datagram, its sender and the kernel's time stamp; none if nothing is there.
fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, SocketAddrV4, u64)>> {
    // SAFETY: all-zero is a valid address.
    let mut from: libc::sockaddr_in = unsafe { mem::zeroed() };
    let mut control = [0_u64; CONTROL_WORDS];
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all parts of the message outlive the call and are as long as said.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    };
    // SAFETY: the kernel has filled the message and its control part.
    let stamp = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let stamped = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_TIMESTAMPNS;
        stamped.then(|| libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned())
    };
    let at_ns = stamp.map_or_else(wall_ns, |stamp| {
        stamp.tv_sec.cast_unsigned() * SECOND_NS + stamp.tv_nsec.cast_unsigned()
    });
    let address = u32::from_be(from.sin_addr.s_addr).into();
    Ok(Some((length, SocketAddrV4::new(address, u16::from_be(from.sin_port)), at_ns)))
}
