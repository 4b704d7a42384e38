//! Socket addresses as the kernel writes them, without a detour through pointers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Octets of the longest address: `struct sockaddr_in6`.
pub(super) const SOCKADDR_MAX_OCTETS: usize = 28;

/// A socket address in the kernel's form.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct RawAddress {
    pub(super) octets: [u8; SOCKADDR_MAX_OCTETS],
    pub(super) len: u16,
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> Self {
        let mut octets = [0; SOCKADDR_MAX_OCTETS];
        octets[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, len) = match address {
            SocketAddr::V4(v4) => {
                octets[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, 16)
            }
            SocketAddr::V6(v6) => {
                octets[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                octets[8..24].copy_from_slice(&v6.ip().octets());
                octets[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, 28)
            }
        };
        octets[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Self { octets, len }
    }
}

/// Reads an address the kernel has written; none for a family that is not IP.
pub(super) fn read(octets: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*octets.first_chunk()?));
    let port = u16::from_be_bytes(array(octets, 2)?);
    match family {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(array::<4>(octets, 4)?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        libc::AF_INET6 => {
            let flow = u32::from_ne_bytes(array(octets, 4)?);
            let ip = Ipv6Addr::from(array::<16>(octets, 8)?);
            let scope = u32::from_ne_bytes(array(octets, 24)?);
            Some(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => None,
    }
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_survive_the_kernel_form() {
        for text in ["192.0.2.7:20000", "[2001:db8::9]:5004"] {
            let address: SocketAddr = text.parse().unwrap();
            let raw = RawAddress::from(address);
            assert_eq!(read(&raw.octets[..usize::from(raw.len)]), Some(address));
        }
        assert_eq!(read(&[1, 0, 0]), None);
    }
}
