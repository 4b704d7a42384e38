//! Who is let in by a port, changed while packets are compared with it.
//!
//! The program has no lock to take, and an address of IPv6 does not fit into one word. So there are
//! two sets of senders: the one in force is never written. A change goes into the other, and one word
//! then says which is in force.

use std::net::{IpAddr, SocketAddr};

use crate::sync::{AtomicU16, AtomicU32, Ordering};

/// Senders that a port can let in at the same time.
pub(crate) const SENDERS: usize = 2;

/// Somebody who may be let in by a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The host.
    pub host: IpAddr,
    /// The port that its packets come from; none: any.
    pub port: Option<u16>,
}

impl From<SocketAddr> for Sender {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip(), port: Some(address.port()) }
    }
}

impl From<IpAddr> for Sender {
    fn from(host: IpAddr) -> Self {
        Self { host, port: None }
    }
}

/// Who is let in, as the program reads it.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct Admission {
    /// [`CLOSED`] if only a set of senders is let in, and the number of that set.
    pub(crate) in_force: AtomicU32,
    pub(crate) sets: [[Place; SENDERS]; 2],
}

/// Not everybody is let in.
pub(crate) const CLOSED: u32 = 2;

/// The bit with the number of the set.
pub(crate) const SET: u32 = 1;

/// A sender. Address and port are in network order.
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
#[repr(C)]
pub(crate) struct Place {
    /// Of IPv4 only the first word.
    pub(crate) host: [AtomicU32; 4],
    /// 0: any.
    pub(crate) port: AtomicU16,
    _pad: AtomicU16,
}

impl Admission {
    /// Lets in who is one of `only`, or everybody. Only the port's owner may call it.
    pub(super) fn change(&self, only: Option<[Sender; SENDERS]>) {
        let before = self.in_force.load(Ordering::Relaxed);
        let Some(only) = only else {
            return self.in_force.store(before & SET, Ordering::Relaxed);
        };
        // Not even when nobody is kept out is the set written that was in force last: a packet may
        // still be compared with it. One that is compared while two changes are made may meet a set
        // half written, which costs that packet.
        let free = (before & SET) ^ SET;
        for (place, sender) in self.sets[free as usize].iter().zip(only) {
            place.write(sender);
        }
        // The program finds the set by this word, so that what it reads of the set depends on it:
        // that is all the order it needs.
        self.in_force.store(CLOSED | free, Ordering::Release);
    }
}

impl Place {
    fn write(&self, sender: Sender) {
        for (to, word) in self.host.iter().zip(words(sender.host)) {
            to.store(word, Ordering::Relaxed);
        }
        self.port.store(sender.port.unwrap_or(0).to_be(), Ordering::Relaxed);
    }
}

/// An address as it is in a packet; of IPv4 in the first word.
pub(super) fn words(ip: IpAddr) -> [u32; 4] {
    match ip {
        IpAddr::V4(v4) => [u32::from_ne_bytes(v4.octets()), 0, 0, 0],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            std::array::from_fn(|word| {
                u32::from_ne_bytes(std::array::from_fn(|octet| octets[4 * word + octet]))
            })
        }
    }
}
