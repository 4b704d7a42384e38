//! The io_uring back end: one ring a worker, multishot receive into provided buffers, batched sends.
//!
//! A port costs one request for its whole life: it posts a completion for every datagram, each in a
//! buffer of a pool shared by all ports. With `DEFER_TASKRUN` the kernel does that work inside the
//! one call the worker makes a tick.

mod receive_buffers;
mod ring;
mod send_slots;

use std::io;
use std::mem::{self, ManuallyDrop};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use io_uring::{cqueue, opcode, types};
use slab::Slab;

use self::receive_buffers::ReceiveBuffers;
use self::ring::Ring;
use self::send_slots::SendSlots;
use super::sockaddr::{SOCKADDR_MAX_OCTETS, read};
use super::{
    Backend, DATAGRAM_MAX_OCTETS, Datagram, IoCounts, PacketIo, PortIndex, Sink, Verdict, showing,
};

/// Receive buffers of a worker.
pub(super) const BUFFERS: u16 = 1024;
/// Rounds of one receive: a port that ran out of buffers gets its next in the next round.
const ROUNDS: usize = 4;
/// Ports that the kernel serves in a round (its `IO_LOCAL_TW_DEFAULT_MAX`, from Linux 6.13 on;
/// before that all of them): there are rounds for each port to have a turn.
const PORTS_A_ROUND: usize = 20;

/// What a completion belongs to, in the upper half of its user data.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const CANCEL: u64 = 3 << 32;
const INDEX: u64 = 0xFFFF_FFFF;

/// Packet I/O over io_uring.
#[derive(Debug)]
pub struct IoUring {
    ring: Ring,
    /// The kernel writes to and reads from these: they are freed only when it is known to be done.
    buffers: ManuallyDrop<ReceiveBuffers>,
    sends: ManuallyDrop<SendSlots>,
    header: ManuallyDrop<Box<RoomForAddress>>,
    ports: Slab<Port>,
    /// Ports whose request has ended and could not be renewed for want of room.
    unarmed: Vec<usize>,
    counts: IoCounts,
}

#[derive(Debug)]
struct Port {
    socket: UdpSocket,
    /// The ring has a hold of the socket under the port's index.
    is_held: bool,
    closing: bool,
}

impl IoUring {
    /// A back end without ports, with `buffers` receive buffers (rounded up to a power of two).
    /// It must stay on the thread that makes it.
    ///
    /// # Errors
    /// What the kernel says: `EPERM` where io_uring is forbidden, `ENOSYS` where it is absent.
    pub fn new(buffers: u16) -> io::Result<Self> {
        let ring = Ring::new()?;
        let buffers = ReceiveBuffers::register(&ring.ring, buffers)?;
        Ok(Self {
            ring,
            buffers: ManuallyDrop::new(buffers),
            sends: ManuallyDrop::new(SendSlots::new()?),
            header: ManuallyDrop::new(Box::new(RoomForAddress::new())),
            ports: Slab::with_capacity(64),
            unarmed: Vec::with_capacity(64),
            counts: IoCounts::default(),
        })
    }

    /// Starts (or renews) the receive request of a port.
    fn arm(&mut self, index: usize) {
        let Some(port) = self.ports.get(index) else { return };
        let fd = types::Fd(port.socket.as_raw_fd());
        let header = &raw const self.header.0;
        let request = opcode::RecvMsgMulti::new(fd, header, receive_buffers::GROUP)
            .build()
            .user_data(RECEIVE | index as u64);
        // SAFETY: header and buffers are freed only after the request has ended (`drop`), and the
        // descriptor is open until then as well (`complete_receive`).
        if !unsafe { self.ring.push(&request) } {
            self.unarmed.push(index);
        }
    }

    fn complete(&mut self, completion: &cqueue::Entry, sink: &mut dyn Sink) {
        let index = (completion.user_data() & INDEX) as usize;
        match completion.user_data() & !INDEX {
            RECEIVE => self.complete_receive(index, completion, sink),
            SEND => complete_send(&mut self.sends, &mut self.counts, completion),
            // The request that was to be cancelled tells of its end itself.
            _ => {}
        }
    }

    fn complete_receive(&mut self, index: usize, done: &cqueue::Entry, sink: &mut dyn Sink) {
        let closing = self.ports.get(index).is_none_or(|port| port.closing);
        if let Some(buffer) = cqueue::buffer_select(done.flags()) {
            if done.result() >= 0 && !closing {
                self.show(index, buffer, done.result() as usize, sink);
            }
            self.buffers.give_back(buffer);
        } else if done.result() < 0 && done.result() != -libc::ECANCELED {
            // Out of buffers (what came stays in the socket), or an ICMP error of an earlier send.
            self.counts.receive_failed += 1;
        }
        if !cqueue::more(done.flags()) {
            if closing {
                // Every send that was queued before the cancellation has been submitted with it.
                if self.ports.try_remove(index).is_some_and(|port| port.is_held) {
                    self.ring.let_go(index);
                }
            } else {
                self.arm(index);
            }
        }
    }

    fn show(&mut self, index: usize, buffer: u16, len: usize, sink: &mut dyn Sink) {
        let Some(octets) = len.checked_sub(receive_buffers::HEADER_OCTETS + SOCKADDR_MAX_OCTETS)
        else {
            self.counts.receive_failed += 1;
            return;
        };
        let memory = self.buffers.whole(buffer);
        let (header, rest) = memory.split_at_mut(receive_buffers::HEADER_OCTETS);
        let (name, payload) = rest.split_at_mut(SOCKADDR_MAX_OCTETS);
        // struct io_uring_recvmsg_out: namelen, controllen, payloadlen, flags.
        let flags = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]);
        if flags & libc::MSG_TRUNC as u32 != 0 || octets > DATAGRAM_MAX_OCTETS {
            self.counts.oversized += 1;
            return;
        }
        let Some(from) = read(name) else {
            self.counts.receive_failed += 1;
            return;
        };
        self.counts.received += 1;
        let mut datagram = Datagram::new(payload, octets);
        let verdict = sink.look(PortIndex(index as u32), from, &mut datagram);
        if let Verdict::Forward { port, to, len } = verdict {
            let packet = (port, to, &payload[..len.min(payload.len())]);
            send(&mut self.ring, &mut self.sends, &self.ports, &mut self.counts, packet);
        }
    }

    /// Reads what the kernel has completed; how many completions there were.
    fn drain(&mut self, sink: &mut dyn Sink) -> usize {
        let mut count = 0;
        while let Some(completion) = self.ring.next() {
            self.complete(&completion, sink);
            count += 1;
        }
        count
    }
}

/// Queues a packet; counts it as failed when there is no such port or no room.
fn send(
    ring: &mut Ring,
    sends: &mut SendSlots,
    ports: &Slab<Port>,
    counts: &mut IoCounts,
    (port, to, bytes): (PortIndex, SocketAddr, &[u8]),
) {
    if sends.is_full() {
        // Sends complete inside the submission: this frees their slots.
        ring.submit();
        ring.look_through(|completion| {
            let is_send = completion.user_data() & !INDEX == SEND;
            if is_send {
                complete_send(sends, counts, completion);
            }
            is_send
        });
    }
    let queued = ports.get(port.0 as usize).is_some_and(|Port { socket, is_held, .. }| {
        let Some((slot, place)) = sends.fill(to, bytes) else { return false };
        let len = bytes.len() as u32;
        let request = match is_held {
            true => opcode::Send::new(types::Fixed(port.0), place.octets, len),
            false => opcode::Send::new(types::Fd(socket.as_raw_fd()), place.octets, len),
        };
        let request = request
            .flags(libc::MSG_DONTWAIT)
            .dest_addr(place.address.cast())
            .dest_addr_len(u32::from(place.address_len))
            .build()
            .user_data(SEND | u64::from(slot));
        // SAFETY: the slot is not touched before the completion releases it; the socket is closed
        // only after a cancellation that is submitted behind this request.
        let queued = unsafe { ring.push(&request) };
        if !queued {
            sends.release(slot);
        }
        queued
    });
    counts.send_failed += u64::from(!queued);
}

/// Counts a completed send and frees its slot.
fn complete_send(sends: &mut SendSlots, counts: &mut IoCounts, done: &cqueue::Entry) {
    sends.release((done.user_data() & INDEX) as u16);
    if done.result() < 0 {
        counts.send_failed += 1;
    } else {
        counts.sent += 1;
    }
}

impl PacketIo for IoUring {
    fn open_port(&mut self, socket: UdpSocket) -> io::Result<PortIndex> {
        let entry = self.ports.vacant_entry();
        let index = entry.key();
        let is_held = self.ring.hold(index, &socket);
        entry.insert(Port { socket, is_held, closing: false });
        self.unarmed.reserve(self.ports.len());
        self.arm(index);
        Ok(PortIndex(index as u32))
    }

    fn close_port(&mut self, port: PortIndex) {
        let index = port.0 as usize;
        let Some(closed) = self.ports.get_mut(index).filter(|port| !port.closing) else { return };
        closed.closing = true;
        self.unarmed.retain(|unarmed| *unarmed != index);
        let request = opcode::AsyncCancel::new(RECEIVE | index as u64)
            .build()
            .user_data(CANCEL | index as u64);
        // SAFETY: refers to no memory.
        if !unsafe { self.ring.push(&request) } {
            // Tried again each tick.
            self.unarmed.push(index);
        }
    }

    fn receive(&mut self, sink: &mut dyn Sink) -> usize {
        let before = self.counts.received;
        for _ in 0..self.unarmed.len() {
            let Some(index) = self.unarmed.pop() else { break };
            match self.ports.get_mut(index) {
                Some(port) if port.closing => {
                    port.closing = false;
                    self.close_port(PortIndex(index as u32));
                }
                Some(_) => self.arm(index),
                None => {}
            }
        }
        for _ in 0..ROUNDS + self.ports.len() / PORTS_A_ROUND {
            self.ring.submit();
            if self.drain(sink) == 0 {
                break;
            }
        }
        (self.counts.received - before) as usize
    }

    fn send(&mut self, port: PortIndex, to: SocketAddr, bytes: &[u8]) {
        send(&mut self.ring, &mut self.sends, &self.ports, &mut self.counts, (port, to, bytes));
    }

    fn flush(&mut self) {
        self.ring.submit();
    }

    fn counts(&self) -> IoCounts {
        self.counts
    }

    fn kind(&self) -> Backend {
        Backend::IoUring
    }
}

impl Drop for IoUring {
    fn drop(&mut self) {
        let open: Vec<_> = self.ports.iter().map(|(index, _)| PortIndex(index as u32)).collect();
        for port in open {
            self.close_port(port);
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        while !(self.ports.is_empty() && self.sends.is_idle()) {
            if Instant::now() > deadline {
                // The kernel may still write: better to lose the memory than to hand it out.
                return;
            }
            self.receive(&mut showing(|_, _, _| Verdict::Consumed));
            std::thread::yield_now();
        }
        // SAFETY: no request is in flight any more, and none of the three is used after this.
        unsafe {
            ManuallyDrop::drop(&mut self.header);
            ManuallyDrop::drop(&mut self.sends);
            ManuallyDrop::drop(&mut self.buffers);
        }
    }
}

/// What every receive request points to: room for an address, none for control data.
#[derive(Debug)]
struct RoomForAddress(libc::msghdr);

impl RoomForAddress {
    fn new() -> Self {
        // SAFETY: all-zero is a valid msghdr, with null pointers and no lengths.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_namelen = SOCKADDR_MAX_OCTETS as u32;
        Self(header)
    }
}
