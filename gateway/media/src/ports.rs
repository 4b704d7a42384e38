//! RTP and RTCP ports: an even port and the next, from the configured range.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::MediaError;

/// The pairs of a range that are free, the one that has rested longest first.
#[derive(Debug)]
pub(crate) struct PortRange {
    free: ArrayQueue<u16>,
    range: RangeInclusive<u16>,
}

/// Two bound sockets, and the right to their ports.
#[derive(Debug)]
pub(crate) struct PortPair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) lease: Lease,
}

/// Gives the pair back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    range: Arc<PortRange>,
    even: u16,
}

impl PortRange {
    /// The range must hold at least one pair.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        let evens = || range.clone().filter(|port| port.is_multiple_of(2) && *port < *range.end());
        let free = ArrayQueue::new(evens().count().max(1));
        for even in evens() {
            // As many places as pairs.
            let _ = free.push(even);
        }
        Self { free, range }
    }

    /// Pairs that are free.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Binds the next free pair on `ip`. Ports that another program holds are passed over.
    pub(crate) fn bind(self: &Arc<Self>, ip: IpAddr, dscp: u8) -> Result<PortPair, MediaError> {
        for _ in 0..self.free.len() {
            let Some(even) = self.free.pop() else { break };
            let lease = Lease { range: Arc::clone(self), even };
            let pair = bind(SocketAddr::new(ip, even), dscp)
                .and_then(|rtp| Ok((rtp, bind(SocketAddr::new(ip, even + 1), dscp)?)));
            match pair {
                Ok((rtp, rtcp)) => return Ok(PortPair { rtp, rtcp, lease }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(MediaError::Bind { ip, source }),
            }
        }
        Err(self.exhausted(ip))
    }

    /// No pair is left.
    pub(crate) fn exhausted(&self, ip: IpAddr) -> MediaError {
        MediaError::PortsExhausted {
            ip,
            pairs: self.free.capacity(),
            first: *self.range.start(),
            last: *self.range.end(),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.range.free.push(self.even);
    }
}

fn bind(address: SocketAddr, dscp: u8) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The upper six bits of the octet (RFC 2474).
    let traffic_class = u32::from(dscp) << 2;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(traffic_class)?;
    } else {
        socket.set_tos_v4(traffic_class)?;
        send_whole(&socket)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// Lets packets go out unfragmented, whatever is known of the path.
///
/// The mark is there by default too (path MTU discovery, RFC 1191), but then the kernel takes a
/// number for reassembly from a table that all sockets share, in case it has to fragment after all.
/// A packet that must not be fragmented needs none (RFC 6864 §4.1).
fn send_whole(socket: &Socket) -> io::Result<()> {
    let probe: libc::c_int = libc::IP_PMTUDISC_PROBE;
    // SAFETY: the descriptor is open, and the pointer and the length are those of `probe`.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            (&raw const probe).cast(),
            size_of_val(&probe) as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

    #[test]
    fn pairs_are_even_and_next_and_marked_ef() {
        let range = Arc::new(PortRange::new(31_001..=31_010));
        let pair = range.bind(HERE, 46).unwrap();
        let (rtp, rtcp) = (pair.rtp.local_addr().unwrap(), pair.rtcp.local_addr().unwrap());
        assert!(rtp.port().is_multiple_of(2));
        assert_eq!(rtcp.port(), rtp.port() + 1);
        assert_eq!(socket2::SockRef::from(&pair.rtp).tos_v4().unwrap(), 0xB8);
        assert_eq!(range.free(), 3);
        drop(pair);
        assert_eq!(range.free(), 4);
    }

    #[test]
    fn exhaustion_names_the_range_and_nothing_is_lost_by_it() {
        let range = Arc::new(PortRange::new(31_020..=31_023));
        let first = range.bind(HERE, 0).unwrap();
        let second = range.bind(HERE, 0).unwrap();
        let error = range.bind(HERE, 0).unwrap_err().to_string();
        assert!(error.contains("31020-31023") && error.contains("127.0.0.9"), "{error}");
        drop((first, second));
        assert!(range.bind(HERE, 0).is_ok());
    }

    #[test]
    fn ports_of_others_are_passed_over() {
        let foreign = UdpSocket::bind((HERE, 31_031)).unwrap();
        let range = Arc::new(PortRange::new(31_030..=31_033));
        let pair = range.bind(HERE, 0).unwrap();
        assert_eq!(pair.rtp.local_addr().unwrap().port(), 31_032);
        assert!(matches!(range.bind(HERE, 0), Err(MediaError::PortsExhausted { .. })));
        drop(foreign);
        drop(pair);
        assert_eq!(range.free(), 2);
    }

    #[test]
    fn an_address_that_is_not_ours_is_said_at_once() {
        let range = Arc::new(PortRange::new(31_040..=31_049));
        let error = range.bind("192.0.2.1".parse().unwrap(), 0).unwrap_err();
        assert!(matches!(error, MediaError::Bind { .. }), "{error}");
        assert_eq!(range.free(), 5);
    }
}
