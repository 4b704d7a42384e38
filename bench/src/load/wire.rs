//! How the flooder's packets get onto the wire and off it.
//!
//! [`PacketSocket`] carries all parties over one packet socket each way: it writes Ethernet, IPv4
//! and UDP headers itself and reads from a ring that the kernel fills, so that thousands of parties
//! take no more sockets, no wake-ups, and less than half the time of UDP sockets; what is measured
//! is the relay. It needs a device of its own (the end of a veth pair) and the right to raw
//! packets. [`UdpSockets`] is a UDP socket a party: it works anywhere, for smaller tests.

mod packet_socket;
mod udp_sockets;

use std::net::SocketAddrV4;

pub use packet_socket::{Gateway, PacketSocket};
pub use udp_sockets::UdpSockets;

/// Packets handed to the kernel at once, at most. Each batch has one time stamp, so a longer one
/// would blur the latency.
pub const BATCH: usize = 32;

/// A packet that came from the relay.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The UDP payload.
    pub packet: &'a [u8],
    /// Where it came from.
    pub from: SocketAddrV4,
    /// Which party it came to.
    pub to: SocketAddrV4,
    /// When the kernel took it, ns since 1970.
    pub at_ns: u64,
    /// Whether its UDP checksum was right, or left to hardware that is not there (veth).
    pub checksum_right: bool,
}

/// One way of carrying packets.
pub trait Wire {
    /// Room for a packet of party `sender`; [`flush`](Self::flush) before more than [`BATCH`].
    fn stage(&mut self, sender: usize) -> &mut [u8];

    /// Sends all that is staged; gives how many the kernel did not take.
    fn flush(&mut self) -> u64;

    /// Hands over what has arrived.
    fn drain(&mut self, enter: &mut dyn FnMut(&Arrival<'_>));

    /// Packets that came and that the kernel had no room for, so far.
    fn overrun(&mut self) -> u64;

    /// A name for reports.
    fn name(&self) -> &'static str;
}
