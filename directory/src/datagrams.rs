//! Datagrams in batches: what waits in a socket is taken with one system call, and what is to be
//! sent leaves with another, so that the busier a server is, the less each query costs it.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, recvmmsg, sendmmsg};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams that are taken at once.
pub const BATCH: usize = 64;

/// Longest datagram that is taken whole, in octets: what an Ethernet frame carries. Of a longer one
/// the rest is cut.
pub const DATAGRAM_MAX_OCTETS: usize = 1_500;

/// A socket, and the room for a batch.
pub struct Datagrams {
    socket: UdpSocket,
    incoming: MultiHeaders<SockaddrStorage>,
    outgoing: MultiHeaders<SockaddrStorage>,
    datagrams: Box<[Datagram]>,
    taken: usize,
}

/// A datagram that has come, and what is sent back.
#[derive(Debug)]
pub struct Datagram {
    octets: [u8; DATAGRAM_MAX_OCTETS],
    length: usize,
    source: SocketAddr,
    address: SockaddrStorage,
    /// What is sent back; nothing when it is empty. Its room is used again.
    pub reply: Vec<u8>,
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Datagram {
    /// What has come.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Where it comes from.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// What has come, and the room for what is sent back.
    pub fn split(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.octets[..self.length], &mut self.reply)
    }
}

/// A socket on an address that the sockets of other threads share: the kernel spreads the clients
/// over them.
///
/// # Errors
/// The address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    // A burst waits here while the thread is off the core.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    socket.set_read_timeout(Some(WAIT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl Datagrams {
    /// The batches of a socket from [`bind`].
    pub fn new(socket: UdpSocket) -> Self {
        let nobody = SocketAddr::from(([0; 4], 0));
        let empty = || Datagram {
            octets: [0; DATAGRAM_MAX_OCTETS],
            length: 0,
            source: nobody,
            address: nobody.into(),
            reply: Vec::new(),
        };
        Self {
            socket,
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            datagrams: (0..BATCH).map(|_| empty()).collect(),
            taken: 0,
        }
    }

    /// Waits for datagrams and takes those that are there, up to [`BATCH`]; none after a tenth of a
    /// second without any.
    ///
    /// # Errors
    /// The socket's.
    pub fn receive(&mut self) -> io::Result<()> {
        let Self { socket, incoming, datagrams, taken, .. } = self;
        *taken = 0;
        let mut lengths = [0; BATCH];
        let mut addresses = [None; BATCH];
        {
            let mut rooms = datagrams.iter_mut();
            let mut slices: [_; BATCH] = array::from_fn(|_| {
                let room = rooms.next().map_or(&mut [][..], |datagram| &mut datagram.octets);
                [IoSliceMut::new(room)]
            });
            let flags = MsgFlags::MSG_WAITFORONE;
            let received = recvmmsg(socket.as_raw_fd(), incoming, slices.iter_mut(), flags, None);
            let received = match received {
                Ok(received) => received,
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for (message, place) in received.zip(0..) {
                lengths[place] = message.bytes;
                addresses[place] = message.address;
                *taken = place + 1;
            }
        }
        for ((datagram, length), address) in datagrams.iter_mut().zip(lengths).zip(addresses) {
            let Some(source) = address.as_ref().and_then(socket_address) else {
                break;
            };
            datagram.length = length;
            datagram.source = source;
            datagram.address = address.unwrap_or(datagram.address);
            datagram.reply.clear();
        }
        Ok(())
    }

    /// Those that [`Datagrams::receive`] has taken.
    pub fn taken(&mut self) -> &mut [Datagram] {
        &mut self.datagrams[..self.taken]
    }

    /// Sends back what is to be sent, and returns how many could not be.
    pub fn reply(&mut self) -> usize {
        let mut addresses = [None; BATCH];
        let mut slices = [[IoSlice::new(&[])]; BATCH];
        let mut count = 0;
        for datagram in &self.datagrams[..self.taken] {
            if !datagram.reply.is_empty() {
                addresses[count] = Some(datagram.address);
                slices[count] = [IoSlice::new(&datagram.reply)];
                count += 1;
            }
        }
        let (mut next, mut failed) = (0, 0);
        while next < count {
            let sent = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.outgoing,
                slices[next..count].iter(),
                &addresses[next..count],
                [],
                MsgFlags::empty(),
            );
            match sent {
                Ok(sent) => next += sent.count(),
                Err(nix::errno::Errno::EINTR) => {}
                // It is the first that cannot be sent: the others can.
                Err(_) => {
                    failed += 1;
                    next += 1;
                }
            }
        }
        failed
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match address.family()? {
        nix::sys::socket::AddressFamily::Inet => {
            Some(SocketAddr::V4((*address.as_sockaddr_in()?).into()))
        }
        _ => Some(SocketAddr::V6((*address.as_sockaddr_in6()?).into())),
    }
}

const RECEIVE_BUFFER_OCTETS: usize = 1 << 20;

/// How often a thread without work looks whether it shall end.
const WAIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str) -> (Datagrams, SocketAddr) {
        let socket = bind(address.parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (Datagrams::new(socket), address)
    }

    fn exchange(address: &str) {
        let (mut server, server_address) = server(address);
        let clients: Vec<UdpSocket> = (0..3)
            .map(|_| {
                let client = UdpSocket::bind(SocketAddr::new(server_address.ip(), 0)).unwrap();
                client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                client.connect(server_address).unwrap();
                client
            })
            .collect();
        // More than a batch, and each client's own.
        for number in 0..100_u8 {
            clients[usize::from(number % 3)].send(&[number, 7]).unwrap();
        }
        let mut taken = 0;
        while taken < 100 {
            server.receive().unwrap();
            for datagram in server.taken() {
                let source = datagram.source();
                let (octets, reply) = datagram.split();
                let client = clients[usize::from(octets[0] % 3)].local_addr().unwrap();
                assert_eq!(source, client);
                // One of ten gets nothing.
                if octets[0] % 10 != 0 {
                    reply.extend_from_slice(&[octets[0], octets[1] + 1]);
                }
                taken += 1;
            }
            assert_eq!(server.reply(), 0);
        }
        for number in (0..100_u8).filter(|number| number % 10 != 0) {
            let mut octets = [0; 16];
            let client = &clients[usize::from(number % 3)];
            assert_eq!(client.recv(&mut octets).unwrap(), 2);
            assert_eq!(octets[..2], [number, 8]);
        }
    }

    #[test]
    fn every_datagram_is_answered_where_it_came_from() {
        exchange("127.0.0.1:0");
        exchange("[::1]:0");
    }

    #[test]
    fn one_that_cannot_be_sent_does_not_hold_up_the_others() {
        let (mut server, address) = server("127.0.0.1:0");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for octet in 0..3 {
            client.send_to(&[octet], address).unwrap();
        }
        while server.taken().len() < 3 {
            server.receive().unwrap();
        }
        for (datagram, length) in server.taken().iter_mut().zip([1, 70_000, 3]) {
            datagram.reply.resize(length, 9);
        }
        assert_eq!(server.reply(), 1);
        let mut octets = [0; 16];
        let lengths = [(); 2].map(|()| client.recv(&mut octets).unwrap());
        assert_eq!(lengths, [1, 3]);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let (mut server, address) = server("127.0.0.1:0");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(&[5; 3_000], address).unwrap();
        while server.taken().is_empty() {
            server.receive().unwrap();
        }
        assert_eq!(server.taken()[0].octets(), &[5; DATAGRAM_MAX_OCTETS]);
    }
}
