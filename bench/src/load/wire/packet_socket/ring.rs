//! The receive ring.
#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::Arrival;
use super::frame::{self, Datagram};
use super::{open_socket, set_option};
use crate::load::LoadError;
use crate::load::clock::SECOND_NS;

/// Some 800 packets of G.711.
const BLOCK_OCTETS: usize = 1 << 18;
/// 32 MiB in all: room for 0.6 s, or 100,000 packets.
const BLOCKS: usize = 128;
/// A block that is not full is handed over after this time. The time stamps are the kernel's, so
/// it delays no figure.
const RETIRE_MS: u32 = 5;

/// Frames as the kernel puts them into memory that we share with it (TPACKET_V3).
#[derive(Debug)]
pub struct Ring {
    socket: OwnedFd,
    blocks: *mut u8,
    /// The block to read next.
    next: usize,
}

impl Ring {
    /// Opens a ring for the frames that come to a device.
    ///
    /// # Errors
    /// If there is no right to raw packets, or no room.
    pub fn open(device: i32) -> Result<Self, LoadError> {
        // A socket for all protocols sees frames before `tc` drops them; ours it is told to leave.
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let socket = open_socket(device, protocol)?;
        set_option(&socket, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        set_option(&socket, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as i32))?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_OCTETS as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: 2048,
            tp_frame_nr: (BLOCK_OCTETS / 2048 * BLOCKS) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: maps the ring that was just made, whole, at an address the kernel chooses.
        let blocks = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BLOCKS * BLOCK_OCTETS,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                0,
            )
        };
        if blocks == libc::MAP_FAILED {
            return Err(LoadError::last("mapping the receive ring"));
        }
        Ok(Self { socket, blocks: blocks.cast(), next: 0 })
    }

    /// Hands over what has come.
    pub fn drain(&mut self, enter: &mut dyn FnMut(&Arrival<'_>)) {
        // At most once around, so that a flood cannot keep us from sending.
        for _ in 0..BLOCKS {
            // SAFETY: `next` stays below BLOCKS; the mapping is BLOCKS blocks long and page-aligned.
            let block = unsafe { self.blocks.add(self.next * BLOCK_OCTETS) };
            // SAFETY: a block begins with its description.
            let description =
                unsafe { &raw mut (*block.cast::<libc::tpacket_block_desc>()).hdr.bh1 };
            // SAFETY: aligned, and written by both sides only as a whole.
            let status = unsafe { AtomicU32::from_ptr(&raw mut (*description).block_status) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return;
            }
            // SAFETY: the block is ours until the status is given back below.
            unsafe { read_block(block, &*description, enter) };
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % BLOCKS;
        }
    }

    /// Frames dropped for want of room since the last call.
    pub fn dropped(&self) -> u64 {
        let mut counts = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: writes up to `length` octets of the counts.
        let outcome = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut length,
            )
        };
        if outcome == 0 { counts.tp_drops.into() } else { 0 }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this length; nothing refers to it any more.
        unsafe { libc::munmap(self.blocks.cast(), BLOCKS * BLOCK_OCTETS) };
    }
}

/// Hands over the frames of one block.
///
/// # Safety
/// `block` is a block of the ring that the kernel has handed over, with this description.
unsafe fn read_block(
    block: *const u8,
    description: &libc::tpacket_hdr_v1,
    enter: &mut dyn FnMut(&Arrival<'_>),
) {
    let mut at = description.offset_to_first_pkt as usize;
    for _ in 0..description.num_pkts {
        // SAFETY: the kernel's offsets lead from frame to frame within the block.
        let header = unsafe { &*block.add(at).cast::<libc::tpacket3_hdr>() };
        let start = at + usize::from(header.tp_mac);
        // SAFETY: the frame's octets lie in the block, as the kernel says.
        let octets =
            unsafe { std::slice::from_raw_parts(block.add(start), header.tp_snaplen as usize) };
        // A sender in this machine leaves the checksum to a device; on a veth pair nobody fills it.
        let left_out = header.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
        if let Some(datagram) = frame::parse(octets, left_out) {
            let Datagram { from, to, packet, checksum_right } = datagram;
            let at_ns = u64::from(header.tp_sec) * SECOND_NS + u64::from(header.tp_nsec);
            enter(&Arrival { packet, from, to, at_ns, checksum_right });
        }
        at += header.tp_next_offset as usize;
    }
}
