//! The portable back end: non-blocking sockets, and epoll to learn which of them have something.

mod two_datagrams;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use self::two_datagrams::{DATAGRAMS, Read, TwoDatagrams};
use super::{
    BURST_PER_PORT, Backend, DATAGRAM_MAX_OCTETS, Datagram, IoCounts, PacketIo, PortIndex, Sink,
    Verdict,
};

/// Readiness events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Packet I/O over mio.
#[derive(Debug)]
pub struct Mio {
    poll: Poll,
    events: Events,
    ports: Slab<Port>,
    /// Ports that may still have something (readiness comes by edge).
    ready: Vec<usize>,
    counts: IoCounts,
    datagrams: TwoDatagrams,
}

#[derive(Debug)]
struct Port {
    socket: mio::net::UdpSocket,
    ready: bool,
}

impl Mio {
    /// A back end without ports.
    ///
    /// # Errors
    /// What the kernel says to epoll.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            ports: Slab::with_capacity(EVENTS),
            ready: Vec::with_capacity(EVENTS),
            counts: IoCounts::default(),
            datagrams: TwoDatagrams::new(),
        })
    }

    /// Learns which ports have something; false when the kernel may know of more.
    fn poll_ready(&mut self) -> bool {
        if self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_err() {
            // Interrupted; the next tick asks again.
            return true;
        }
        let mut count = 0;
        for event in &self.events {
            count += 1;
            let index = event.token().0;
            if let Some(port) = self.ports.get_mut(index)
                && !port.ready
            {
                port.ready = true;
                self.ready.push(index);
            }
        }
        count < EVENTS
    }

    /// Takes up to a burst from one port; true when it may have more.
    fn drain(&mut self, index: usize, sink: &mut dyn Sink) -> bool {
        for _ in 0..BURST_PER_PORT / DATAGRAMS {
            let Some(port) = self.ports.get(index) else { return false };
            match self.datagrams.fill(&port.socket) {
                Ok(count) => {
                    (0..count).for_each(|number| self.show(index, number, sink));
                    if count < DATAGRAMS {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An ICMP error of an earlier send: the next read goes on.
                Err(_) => self.counts.receive_failed += 1,
            }
        }
        true
    }

    /// Shows a datagram that was read.
    fn show(&mut self, index: usize, number: usize, sink: &mut dyn Sink) {
        let Read { from, octets, memory } = self.datagrams.datagram(number);
        if octets > DATAGRAM_MAX_OCTETS {
            self.counts.oversized += 1;
            return;
        }
        let Some(from) = from else {
            self.counts.receive_failed += 1;
            return;
        };
        self.counts.received += 1;
        let verdict = sink.look(PortIndex(index as u32), from, &mut Datagram::new(memory, octets));
        if let Verdict::Forward { port, to, len } = verdict {
            let len = len.min(memory.len());
            let sent = send_to(&self.ports, port, to, &memory[..len]);
            self.count_sent(sent);
        }
    }

    fn count_sent(&mut self, sent: bool) {
        if sent {
            self.counts.sent += 1;
        } else {
            self.counts.send_failed += 1;
        }
    }
}

fn send_to(ports: &Slab<Port>, port: PortIndex, to: SocketAddr, bytes: &[u8]) -> bool {
    ports.get(port.0 as usize).is_some_and(|port| port.socket.send_to(bytes, to).is_ok())
}

impl PacketIo for Mio {
    fn open_port(&mut self, socket: UdpSocket) -> io::Result<PortIndex> {
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let entry = self.ports.vacant_entry();
        let index = entry.key();
        self.poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        entry.insert(Port { socket, ready: false });
        // Readiness may name every port at once: room now, so that none is made on the path.
        let wanted = self.ports.len();
        self.ready.reserve(wanted.saturating_sub(self.ready.len()));
        Ok(PortIndex(index as u32))
    }

    fn close_port(&mut self, port: PortIndex) {
        let index = port.0 as usize;
        if let Some(mut closed) = self.ports.try_remove(index) {
            // Closing the socket ends the registration as well, should this fail.
            let _ = self.poll.registry().deregister(&mut closed.socket);
            self.ready.retain(|ready| *ready != index);
        }
    }

    fn receive(&mut self, sink: &mut dyn Sink) -> usize {
        let before = self.counts.received;
        while !self.poll_ready() {}
        let mut at = 0;
        while at < self.ready.len() {
            let index = self.ready[at];
            if self.drain(index, sink) {
                at += 1;
            } else {
                self.ready.swap_remove(at);
                if let Some(port) = self.ports.get_mut(index) {
                    port.ready = false;
                }
            }
        }
        (self.counts.received - before) as usize
    }

    fn send(&mut self, port: PortIndex, to: SocketAddr, bytes: &[u8]) {
        // A batch saves nothing here: each socket needs its own call (see the measurements).
        let sent = send_to(&self.ports, port, to, bytes);
        self.count_sent(sent);
    }

    fn flush(&mut self) {}

    fn counts(&self) -> IoCounts {
        self.counts
    }

    fn kind(&self) -> Backend {
        Backend::Mio
    }
}
