//! All parties over one packet socket to send and one ring to receive (packet(7)).
#![allow(unsafe_code)]

mod frame;
mod pass_program;
mod ring;

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

pub use frame::Gateway;
use frame::{HEADERS, Headers};
use pass_program::PassProgram;
use ring::Ring;

use super::super::call_list::CallList;
use super::super::error::LoadError;
use super::{Arrival, BATCH, Wire};

/// A [`Wire`] of raw Ethernet frames.
#[derive(Debug)]
pub struct PacketSocket {
    sending: OwnedFd,
    ring: Ring,
    /// Of each party's packets.
    headers: Vec<Headers>,
    packet_octets: usize,
    /// [`BATCH`] frames of equal length.
    arena: Vec<u8>,
    staged: usize,
    /// The party of each staged frame.
    senders: [usize; BATCH],
    overrun: u64,
    /// Attached as long as this lives.
    _program: Option<PassProgram>,
}

impl PacketSocket {
    /// Opens `device` for the parties of `list`. If it is to take frames that a program in the
    /// kernel sends at the far end, ordinary ones take longer.
    ///
    /// # Errors
    /// If there is no such device, or no right to raw packets.
    pub fn open(
        device: &str,
        gateway: Gateway,
        list: &CallList,
        packet_octets: usize,
        takes_kernel_frames: bool,
    ) -> Result<Self, LoadError> {
        let index = device_index(device)?;
        // Protocol 0: this one only sends.
        let sending = open_socket(index, 0)?;
        set_option(&sending, libc::PACKET_QDISC_BYPASS, &1_i32)?;
        let program = if takes_kernel_frames { Some(PassProgram::attach(index)?) } else { None };
        let ring = Ring::open(index)?;
        let headers = (0..list.parties())
            .map(|party| {
                let leg = list.leg(party);
                Headers::new(gateway, leg.party, leg.relay, packet_octets)
            })
            .collect();
        Ok(Self {
            sending,
            ring,
            headers,
            packet_octets,
            arena: vec![0; BATCH * (HEADERS + packet_octets)],
            staged: 0,
            senders: [0; BATCH],
            overrun: 0,
            _program: program,
        })
    }

    fn frame_octets(&self) -> usize {
        HEADERS + self.packet_octets
    }
}

impl Wire for PacketSocket {
    fn stage(&mut self, sender: usize) -> &mut [u8] {
        debug_assert!(self.staged < BATCH);
        self.senders[self.staged] = sender;
        let start = self.staged * self.frame_octets() + HEADERS;
        self.staged += 1;
        &mut self.arena[start..start + self.packet_octets]
    }

    fn flush(&mut self) -> u64 {
        let octets = self.frame_octets();
        for (frame, &sender) in
            self.arena.chunks_exact_mut(octets).zip(&self.senders).take(self.staged)
        {
            self.headers[sender].complete(frame);
        }
        // SAFETY: all-zero vectors and headers are valid and empty.
        let mut vectors: [libc::iovec; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (at, frame) in self.arena.chunks_exact_mut(octets).take(self.staged).enumerate() {
            vectors[at] = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: octets };
            messages[at].msg_hdr.msg_iov = &raw mut vectors[at];
            messages[at].msg_hdr.msg_iovlen = 1;
        }
        let (mut done, mut refused) = (0, 0);
        while done < self.staged {
            let rest = (self.staged - done) as u32;
            // SAFETY: `rest` messages from `done` on, each with one vector into the arena.
            let sent = unsafe {
                libc::sendmmsg(
                    self.sending.as_raw_fd(),
                    messages[done..].as_mut_ptr(),
                    rest,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => done += sent,
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest was not taken: the far end has no room, or is down.
                Err(_) => {
                    refused += 1;
                    done += 1;
                }
            }
        }
        self.staged = 0;
        refused
    }

    fn drain(&mut self, enter: &mut dyn FnMut(&Arrival<'_>)) {
        self.ring.drain(enter);
    }

    fn overrun(&mut self) -> u64 {
        self.overrun += self.ring.dropped();
        self.overrun
    }

    fn name(&self) -> &'static str {
        "packet socket"
    }
}

fn device_index(device: &str) -> Result<i32, LoadError> {
    let path = format!("/sys/class/net/{device}/ifindex");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| LoadError::File { path: path.into(), error })?;
    text.trim().parse().map_err(|_| LoadError::Argument {
        name: "--device",
        value: device.to_owned(),
        allowed: "it has no index",
    })
}

fn open_socket(device: i32, protocol: u16) -> Result<OwnedFd, LoadError> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if socket < 0 {
        return Err(LoadError::System {
            what: "opening a packet socket".to_owned(),
            error: io::Error::last_os_error(),
            hint: "; it takes CAP_NET_RAW, --wire sockets works without",
        });
    }
    // SAFETY: just opened, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all-zero is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = device;
    // SAFETY: the address is as long as said.
    let outcome = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(socket) } else { Err(LoadError::last("binding a packet socket")) }
}

fn set_option<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> Result<(), LoadError> {
    // SAFETY: the value is as long as said.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(LoadError::last(format!("option {option} of a packet socket")))
    }
}
