//! The floor: a relay that does nothing but relay.
//!
//! One thread, one epoll, a socket a leg; what comes in at one leg's port goes out of the other's,
//! without a look at it. What it costs is what the kernel costs when it is asked this way.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::call_list::{Call, CallList, Leg};
use super::error::LoadError;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// A relay whose ports are open.
#[derive(Debug)]
pub struct BareRelay {
    /// Legs A and B of each call in turn: the peer of leg `n` is `n ^ 1`.
    legs: Vec<(UdpSocket, SocketAddr)>,
    list: CallList,
    poll: Poll,
}

impl BareRelay {
    /// Opens two ports at `address` for each call between these parties.
    ///
    /// # Errors
    /// If the address is not here, or descriptors run out.
    pub fn open(
        address: Ipv4Addr,
        parties: &[(SocketAddrV4, SocketAddrV4)],
    ) -> Result<Self, LoadError> {
        let failed = |error| LoadError::System {
            what: format!("a port at {address}"),
            error,
            hint: "; two descriptors a call are needed (ulimit -n)",
        };
        let poll = Poll::new().map_err(|error| LoadError::system("epoll", error))?;
        let mut legs = Vec::with_capacity(parties.len() * 2);
        let mut list = CallList::default();
        for &(a, b) in parties {
            let mut open = |party: SocketAddrV4| {
                let mut socket = UdpSocket::bind(SocketAddrV4::new(address, 0).into())?;
                poll.registry().register(&mut socket, Token(legs.len()), Interest::READABLE)?;
                let SocketAddr::V4(relay) = socket.local_addr()? else {
                    return Err(io::ErrorKind::AddrNotAvailable.into());
                };
                legs.push((socket, party.into()));
                Ok(Leg::plain(party, relay))
            };
            list.calls.push(Call { a: open(a).map_err(failed)?, b: open(b).map_err(failed)? });
        }
        Ok(Self { legs, list, poll })
    }

    /// Its ports.
    pub fn calls(&self) -> &CallList {
        &self.list
    }

    /// Relays for ever.
    ///
    /// # Errors
    /// What the kernel says to epoll.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = [0; 2048];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            for event in &events {
                let leg = event.token().0;
                let (socket, _) = &self.legs[leg];
                let (peer, party) = &self.legs[leg ^ 1];
                // Readiness comes by edge, so the port is read until it is empty. What cannot be
                // sent is lost, as on any network.
                while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                    let _ = peer.send_to(&buffer[..length], *party);
                }
            }
        }
    }
}
