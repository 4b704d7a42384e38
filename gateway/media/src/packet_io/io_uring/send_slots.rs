//! Memory of packets on their way out: a slot is busy until the kernel has completed its send.

use std::io;
use std::net::SocketAddr;

use super::super::sockaddr::{RawAddress, SOCKADDR_MAX_OCTETS};
use super::super::{DATAGRAM_MAX_OCTETS, TAILROOM_OCTETS};
use crate::memory::Pages;

/// Sends that can be under way at once.
const SLOTS: u16 = 512;

/// Room for the address, aligned as its structures ask.
const ADDRESS_OCTETS: usize = SOCKADDR_MAX_OCTETS.next_multiple_of(8);
/// What was received and lengthened fits as well.
const PACKET_MAX_OCTETS: usize = DATAGRAM_MAX_OCTETS + TAILROOM_OCTETS;
const SLOT_OCTETS: usize = (ADDRESS_OCTETS + PACKET_MAX_OCTETS).next_multiple_of(64);

#[derive(Debug)]
pub(super) struct SendSlots {
    memory: Pages,
    free: Vec<u16>,
}

/// Where a packet lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) address: *const u8,
    pub(super) address_len: u16,
    pub(super) octets: *const u8,
}

impl SendSlots {
    pub(super) fn new() -> io::Result<Self> {
        let memory = Pages::new(usize::from(SLOTS) * SLOT_OCTETS)?;
        Ok(Self { memory, free: (0..SLOTS).rev().collect() })
    }

    /// Copies a packet into a free slot; none when all are busy or the packet is too long.
    pub(super) fn fill(&mut self, to: SocketAddr, bytes: &[u8]) -> Option<(u16, Place)> {
        if bytes.len() > PACKET_MAX_OCTETS {
            return None;
        }
        let slot = self.free.pop()?;
        let raw = RawAddress::from(to);
        let address = self.memory.at(usize::from(slot) * SLOT_OCTETS, SLOT_OCTETS);
        // SAFETY: `at` has checked that the whole slot is inside; the slot is free, so the kernel
        // does not read it; sources and destination do not overlap.
        let octets = unsafe {
            let octets = address.add(ADDRESS_OCTETS);
            address.copy_from_nonoverlapping(raw.octets.as_ptr(), SOCKADDR_MAX_OCTETS);
            octets.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            octets
        };
        Some((slot, Place { address, address_len: raw.len, octets }))
    }

    /// The kernel is done with a slot.
    pub(super) fn release(&mut self, slot: u16) {
        debug_assert!(slot < SLOTS && !self.free.contains(&slot));
        self.free.push(slot);
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.free.len() == usize::from(SLOTS)
    }
}
