//! What the kernel knows of the network around a device: routes, neighbours, addresses (rtnetlink).

use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use crate::error::XdpError;
use crate::frame::Ethernet;

/// Octets of the longest answer.
const ANSWER_OCTETS: usize = 1 << 16;

/// Groups of <linux/rtnetlink.h> that tell of what a path depends on: links, neighbours, IPv4
/// addresses, routes and rules, IPv6 addresses, routes and rules.
const GROUPS: [u32; 8] = [1, 3, 5, 7, 8, 9, 11, 19];

/// A device, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// Octets of the longest IP packet.
    pub mtu: usize,
    /// What kind of software it is made of (`veth`, `bridge`, …); none: it is one of hardware.
    pub kind: Option<String>,
}

/// How frames get to an address by a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// To the neighbour on the way, from us.
    pub ethernet: Ethernet,
    /// The kernel has not heard of the neighbour for a while and asks only when it sends there
    /// itself (RFC 4861 §7.3.2).
    pub stale: bool,
    /// Octets of the longest IP packet.
    pub mtu: usize,
}

/// Asks the kernel.
#[derive(Debug)]
pub struct Network {
    socket: Socket,
    answer: Vec<u8>,
}

/// Hears when something has changed.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
}

impl Network {
    /// Of the calling thread's network namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> Result<Self, XdpError> {
        let failed = |source| XdpError::Netlink { step: "opening", source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.connect(&NetlinkAddress::new(0, 0)).map_err(failed)?;
        Ok(Self { socket, answer: Vec::with_capacity(ANSWER_OCTETS) })
    }

    /// The device of this name.
    ///
    /// # Errors
    /// If there is none, or it is no Ethernet.
    pub fn device(&mut self, name: &str) -> Result<Device, XdpError> {
        let none = |source| XdpError::NoDevice { device: name.to_owned(), source };
        let c_name = CString::new(name).map_err(|error| none(error.into()))?;
        // SAFETY: a string that ends with zero.
        let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
        if index == 0 {
            return Err(none(io::Error::last_os_error()));
        }
        let mut wanted = LinkMessage::default();
        wanted.header.index = index;
        let answers = self.ask(RouteNetlinkMessage::GetLink(wanted), false, "its link")?;
        let (mut address, mut mtu, mut kind) = (None, None, None);
        for answer in answers {
            let RouteNetlinkMessage::NewLink(link) = answer else { continue };
            for attribute in link.attributes {
                match attribute {
                    LinkAttribute::Address(octets) => address = octets.try_into().ok(),
                    LinkAttribute::Mtu(octets) => mtu = Some(octets as usize),
                    LinkAttribute::LinkInfo(infos) => {
                        kind = infos.into_iter().find_map(|info| match info {
                            LinkInfo::Kind(kind) => Some(kind.to_string()),
                            _ => None,
                        });
                    }
                    _ => {}
                }
            }
        }
        match (address, mtu) {
            (Some(address), Some(mtu)) if address != [0; 6] => {
                Ok(Device { name: name.to_owned(), index, address, mtu, kind })
            }
            _ => Err(XdpError::NoEthernet { device: name.to_owned() }),
        }
    }

    /// The name of the device that has an address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn device_of(&mut self, address: IpAddr) -> Result<Option<String>, XdpError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        for answer in self.ask(request, true, "addresses")? {
            let RouteNetlinkMessage::NewAddress(found) = answer else { continue };
            let is_it = found.attributes.iter().any(|attribute| {
                matches!(attribute,
                    AddressAttribute::Address(ip) | AddressAttribute::Local(ip) if *ip == address)
            });
            if is_it {
                return Ok(name_of(found.header.index));
            }
        }
        Ok(None)
    }

    /// How frames get from `from` to `to`, if that is by `device` and the neighbour on the way is
    /// known.
    ///
    /// # Errors
    /// What the kernel says; not that there is no way.
    pub fn path(
        &mut self,
        device: &Device,
        from: IpAddr,
        to: IpAddr,
    ) -> Result<Option<Path>, XdpError> {
        let mut wanted = RouteMessage::default();
        wanted.header.address_family = family(to);
        wanted.header.destination_prefix_length = if to.is_ipv4() { 32 } else { 128 };
        wanted.attributes.push(RouteAttribute::Destination(to.into()));
        if !from.is_unspecified() && from.is_ipv4() == to.is_ipv4() {
            wanted.header.source_prefix_length = wanted.header.destination_prefix_length;
            wanted.attributes.push(RouteAttribute::Source(from.into()));
        }
        let answers = self.ask(RouteNetlinkMessage::GetRoute(wanted), false, "a route")?;
        let Some(next) = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => next_hop(&route, device.index, to),
            _ => None,
        }) else {
            return Ok(None);
        };
        let mut wanted = NeighbourMessage::default();
        wanted.header.family = family(next);
        wanted.header.ifindex = device.index;
        wanted.attributes.push(NeighbourAttribute::Destination(match next {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        }));
        let answers = self.ask(RouteNetlinkMessage::GetNeighbour(wanted), false, "a neighbour")?;
        let known = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(neighbour) => reachable(&neighbour),
            _ => None,
        });
        Ok(known.map(|(destination, stale)| Path {
            ethernet: Ethernet { destination, source: device.address },
            stale,
            mtu: device.mtu,
        }))
    }

    /// One request and all its answers; none if there is no such thing.
    fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        all: bool,
        step: &'static str,
    ) -> Result<Vec<RouteNetlinkMessage>, XdpError> {
        let failed = |source| XdpError::Netlink { step, source };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | if all { NLM_F_DUMP } else { 0 };
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        self.socket.send(&octets, 0).map_err(failed)?;
        let mut answers = Vec::new();
        loop {
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0).map_err(failed)?;
            let mut rest = &self.answer[..];
            while !rest.is_empty() {
                let invalid =
                    |error| failed(io::Error::new(io::ErrorKind::InvalidData, format!("{error}")));
                let message =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(invalid)?;
                let octets = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(octets.max(16)..).unwrap_or_default();
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) => {
                        let source = io::Error::from_raw_os_error(-error.raw_code());
                        return match source.raw_os_error() {
                            Some(libc::ENOENT | libc::ENETUNREACH | libc::EHOSTUNREACH) => {
                                Ok(answers)
                            }
                            _ => Err(failed(source)),
                        };
                    }
                    _ => {}
                }
            }
            if !all {
                return Ok(answers);
            }
        }
    }
}

impl Watch {
    /// Of the calling thread's network namespace, from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> Result<Self, XdpError> {
        let failed = |source| XdpError::Netlink { step: "watching", source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        for group in GROUPS {
            socket.add_membership(group).map_err(failed)?;
        }
        socket.set_non_blocking(true).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Whether anything has changed since the last time.
    pub fn has_changed(&mut self) -> bool {
        let mut changed = false;
        loop {
            let mut octets = Vec::with_capacity(ANSWER_OCTETS);
            match self.socket.recv(&mut octets, 0) {
                Ok(_) => changed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return changed,
                // More than the socket could hold: something, and it says so once.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changed = true,
                Err(_) => return true,
            }
        }
    }
}

fn next_hop(route: &RouteMessage, device: u32, to: IpAddr) -> Option<IpAddr> {
    if route.header.kind != RouteType::Unicast {
        return None;
    }
    let mut next = to;
    let mut by = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => by = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(ip)) => next = (*ip).into(),
            RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => next = (*ip).into(),
            // A next hop of the other IP version, or a tunnel: the kernel knows how.
            RouteAttribute::Via(_) | RouteAttribute::Encap(_) => return None,
            _ => {}
        }
    }
    (by == Some(device)).then_some(next)
}

fn reachable(neighbour: &NeighbourMessage) -> Option<([u8; 6], bool)> {
    let stale = match neighbour.header.state {
        NeighbourState::Reachable
        | NeighbourState::Permanent
        | NeighbourState::Noarp
        | NeighbourState::Delay
        | NeighbourState::Probe => false,
        NeighbourState::Stale => true,
        _ => return None,
    };
    neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLocalAddress(octets) => {
            octets.as_slice().try_into().ok().map(|address| (address, stale))
        }
        _ => None,
    })
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn name_of(index: u32) -> Option<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: room for the longest name.
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) }.is_null() {
        return None;
    }
    Some(CStr::from_bytes_until_nul(&name).ok()?.to_string_lossy().into_owned())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_loopback_has_its_address_but_is_no_ethernet() {
        let mut network = Network::open().unwrap();
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(network.device_of(localhost).unwrap().as_deref(), Some("lo"));
        assert_eq!(network.device_of("203.0.113.77".parse().unwrap()).unwrap(), None);
        assert!(matches!(network.device("lo"), Err(XdpError::NoEthernet { .. })));
        assert!(matches!(network.device("no-such-dev"), Err(XdpError::NoDevice { .. })));
    }
}
