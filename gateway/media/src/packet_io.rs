//! Packets in and out of a worker, in batches: the trait and its back ends.
//!
//! A worker owns one [`PacketIo`] and serves it once a tick. The back end owns the sockets (or the
//! queue of a network card) and its buffers; a packet is seen in place, in the back end's own
//! memory, and may be sent on from there.

mod af_xdp;
mod choice;
mod datagram;
mod io_uring;
mod mio;
mod sockaddr;

pub use self::af_xdp::{AfXdp, FastPath, RelayBelow};
pub use self::choice::{Choice, Host, Opening, choose, probe};
pub use self::datagram::Datagram;
pub use self::io_uring::IoUring;
pub use self::mio::Mio;

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};

pub(crate) use trunkline_xdp::Sender;

/// A port of a worker: what a packet came in by or goes out by.
///
/// Valid from [`PacketIo::open_port`] to [`PacketIo::close_port`], then given to another port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortIndex(pub u32);

/// What shall be done with a received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing more: what mattered has been copied out.
    Consumed,
    /// The first `len` octets, changed in place, go out by `port` to `to`.
    Forward {
        /// The port they leave by.
        port: PortIndex,
        /// Where they go.
        to: SocketAddr,
        /// How many octets: at most as many as came and [`TAILROOM_OCTETS`] more.
        len: usize,
    },
}

/// Who looks at received packets.
pub trait Sink {
    /// A packet of this port is shown soon: a chance to fetch into the cache what will be needed.
    fn expect(&mut self, _port: PortIndex) {}

    /// A packet, where it lies.
    fn look(&mut self, port: PortIndex, from: SocketAddr, datagram: &mut Datagram<'_>) -> Verdict;
}

/// A sink that does nothing but `look`.
pub fn showing(look: impl FnMut(PortIndex, SocketAddr, &mut Datagram<'_>) -> Verdict) -> impl Sink {
    struct Showing<F>(F);

    impl<F: FnMut(PortIndex, SocketAddr, &mut Datagram<'_>) -> Verdict> Sink for Showing<F> {
        fn look(
            &mut self,
            port: PortIndex,
            from: SocketAddr,
            datagram: &mut Datagram<'_>,
        ) -> Verdict {
            (self.0)(port, from, datagram)
        }
    }

    Showing(look)
}

/// Packets a back end takes in one [`PacketIo::receive`] for each of its ports, at most, so that a
/// flood on one port starves no other.
pub const BURST_PER_PORT: usize = 32;

/// The longest datagram that is received whole, in octets. What is longer is dropped and counted.
pub const DATAGRAM_MAX_OCTETS: usize = 1600;

/// Octets behind every received datagram that whoever looks at it may write: room for an SRTP tag,
/// so that a packet is protected and sent on from where it lies.
pub const TAILROOM_OCTETS: usize = 32;

/// A back end. Every method is called on the worker's thread; none of them blocks, and none but
/// `open_port` and `close_port` allocates.
///
/// What it guarantees: a datagram of up to [`DATAGRAM_MAX_OCTETS`] is shown whole, once, in memory
/// of its own with at least [`TAILROOM_OCTETS`] behind it, until the sink gives its verdict. A
/// packet that is forwarded or sent may be longer by that room.
pub trait PacketIo {
    /// Takes a bound, non-blocking socket into service. A back end that bypasses sockets keeps it
    /// to own the port, and for the packets that still come by it.
    ///
    /// # Errors
    /// What the kernel says.
    fn open_port(&mut self, socket: UdpSocket) -> io::Result<PortIndex>;

    /// Ends the service of a port: what has been sent goes out, nothing more comes in.
    fn close_port(&mut self, port: PortIndex);

    /// Shows the packets that have come, for whatever port, to `sink`; how many there were.
    fn receive(&mut self, sink: &mut dyn Sink) -> usize;

    /// Sends a packet, at the next [`PacketIo::flush`] at the latest. What cannot be sent is
    /// counted.
    fn send(&mut self, port: PortIndex, to: SocketAddr, bytes: &[u8]);

    /// Sends all that is still waiting.
    fn flush(&mut self);

    /// Has a stream relayed on its way, before it comes here, if this back end can and knows the
    /// way. What is not of the stream still comes here, and so does everything once it is recalled.
    fn relay_below(&mut self, _stream: &Stream) -> Option<RelayBelow> {
        None
    }

    /// A number that changes when other ways out may be right than before.
    fn ways(&self) -> u64 {
        0
    }

    /// Lets nobody but `only` in by a port, if this back end can keep others out before they cost
    /// anything; none: everybody. The owner of the port judges all the same.
    fn admit(&mut self, _port: PortIndex, _only: Option<[Sender; 2]>) {}

    /// Packets that were kept out of a port since it was opened.
    fn kept_out(&self, _port: PortIndex) -> u64 {
        0
    }

    /// What has been counted since the start.
    fn counts(&self) -> IoCounts;

    /// Which back end this is.
    fn kind(&self) -> Backend;
}

/// An RTP stream and what becomes of it on its way from one port to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The port it comes by.
    pub port: PortIndex,
    /// Who sends it.
    pub peer: SocketAddr,
    /// Its SSRC, and the one it gets.
    pub ssrc: (u32, u32),
    /// Its payload type, and the one it gets.
    pub payload_type: (u8, u8),
    /// Added to each sequence number.
    pub sequence_offset: u16,
    /// Added to each timestamp.
    pub timestamp_offset: u32,
    /// The newest sequence number given so far, and its timestamp.
    pub newest: (u16, u32),
    /// The port it leaves by.
    pub out: PortIndex,
    /// Where it goes.
    pub to: SocketAddr,
}

/// Counters of a back end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Datagrams shown to the sink.
    pub received: u64,
    /// Datagrams given to the kernel or card.
    pub sent: u64,
    /// Datagrams the kernel refused, or for which there was no room.
    pub send_failed: u64,
    /// Received datagrams dropped for being longer than [`DATAGRAM_MAX_OCTETS`].
    pub oversized: u64,
    /// Errors of the receiving side, and times it ran out of buffers.
    pub receive_failed: u64,
    /// Of the received ones, those that came past the kernel.
    pub received_fast: u64,
    /// Of the sent ones, those that went past the kernel.
    pub sent_fast: u64,
}

/// The back ends there are, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Past the kernel: an XDP program steers the packets of our ports to AF_XDP sockets.
    AfXdp,
    /// One io_uring a worker: multishot receive, provided buffers, batched sends.
    IoUring,
    /// Non-blocking sockets behind epoll; works everywhere.
    Mio,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AfXdp => "af_xdp",
            Self::IoUring => "io_uring",
            Self::Mio => "mio",
        })
    }
}
