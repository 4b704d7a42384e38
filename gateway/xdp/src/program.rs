//! The XDP program: RTP of our ports to their workers, or straight on; everything else to the
//! kernel.
//!
//! ```text
//! IPv4 or IPv6 without options, whole, UDP, port of the range?        no -> PASS
//! port open, and the address ours?                                    no -> PASS
//! only some senders let in by it, and another one?                    yes -> DROP, counted
//! port relayed, and RTP of the peer, payload type and stream agreed?  yes -> rewrite, TX
//! to the AF_XDP socket of (queue, worker); without one                -> PASS
//! ```

use std::mem::offset_of;
use std::os::fd::BorrowedFd;

use crate::assembler::{Arithmetic, Assembler, Condition, Instruction, Label, Register, Width};
use crate::ports::{CLOSED, Entry, Place, PortTable, SENDERS, SET, action};
use Arithmetic::{Add, And, Multiply, Or, ShiftRight, Subtract, Xor};
use Condition::{Above, AnyBit, Equal, NotEqual};
use Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use Width::{Octet, Octets2, Octets4};

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;

// Functions of the kernel.
const MAP_LOOKUP_ELEM: i32 = 1;
const REDIRECT_MAP: i32 = 51;

// `struct xdp_md`.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_DATA_END: i16 = 4;
const CONTEXT_QUEUE: i16 = 16;

// The frame, for IPv4 without options.
const ETHER_TYPE: i16 = 12;
const IP: i16 = 14;
const IP_TOTAL_LENGTH: i16 = IP + 2;
const IP_FRAGMENT: i16 = IP + 6;
const IP_HOPS: i16 = IP + 8;
const IP_PROTOCOL: i16 = IP + 9;
const IP_CHECKSUM: i16 = IP + 10;
const IP_SOURCE: i16 = IP + 12;
const IP_DESTINATION: i16 = IP + 16;
const UDP: i16 = IP + 20;
const UDP_DESTINATION: i16 = UDP + 2;
const UDP_LENGTH: i16 = UDP + 4;
const UDP_CHECKSUM: i16 = UDP + 6;
const RTP: i16 = UDP + 8;
const RTP_OCTETS: i16 = 12;
// And for IPv6.
const IP6_NEXT_HEADER: i16 = IP + 6;
const IP6_SOURCE: i16 = IP + 8;
const IP6_DESTINATION: i16 = IP + 24;
const UDP6: i16 = IP + 40;

/// The program for a port table; AF_XDP sockets are in `sockets` under `queue * workers + worker`.
pub(crate) fn program(
    ports: &PortTable,
    sockets: BorrowedFd<'_>,
    workers: u32,
) -> Vec<Instruction> {
    let mut p = Assembler::default();
    let (v4, v6, ours) = (p.label(), p.label(), p.label());
    let (steer, pass, stranger) = (p.label(), p.label(), p.label());

    p.mov(R6, R1);
    p.load(Octets4, R7, R6, CONTEXT_DATA);
    p.load(Octets4, R8, R6, CONTEXT_DATA_END);
    reach(&mut p, UDP + 8, pass);
    p.load(Octets2, R3, R7, ETHER_TYPE);
    p.jump_if(R3, Equal, network(0x0800), v4);
    p.jump_if(R3, Equal, network(0x86DD), v6);
    p.jump(pass);

    p.place(v4);
    p.load(Octet, R3, R7, IP);
    p.jump_if(R3, NotEqual, 0x45, pass);
    p.load(Octet, R3, R7, IP_PROTOCOL);
    p.jump_if(R3, NotEqual, libc::IPPROTO_UDP, pass);
    // Fragments must be put together by the kernel.
    p.load(Octets2, R3, R7, IP_FRAGMENT);
    p.jump_if(R3, AnyBit, network(0x3FFF), pass);
    p.load(Octets2, R4, R7, UDP_DESTINATION);
    look_up(&mut p, ports, pass);
    p.load(Octets4, R3, R9, field(offset_of!(Entry, version)));
    p.jump_if(R3, NotEqual, 4, pass);
    p.load(Octets4, R3, R7, IP_DESTINATION);
    p.load(Octets4, R4, R9, field(offset_of!(Entry, local)));
    p.jump_if(R3, NotEqual, R4, pass);
    keep_strangers_out(&mut p, IP_SOURCE, 1, UDP, ours, stranger);

    p.place(v6);
    reach(&mut p, UDP6 + 8, pass);
    p.load(Octet, R3, R7, IP6_NEXT_HEADER);
    p.jump_if(R3, NotEqual, libc::IPPROTO_UDP, pass);
    p.load(Octets2, R4, R7, UDP6 + 2);
    look_up(&mut p, ports, pass);
    p.load(Octets4, R3, R9, field(offset_of!(Entry, version)));
    p.jump_if(R3, NotEqual, 6, pass);
    for word in 0..4 {
        p.load(Octets4, R3, R7, IP6_DESTINATION + 4 * word);
        p.load(Octets4, R4, R9, field(offset_of!(Entry, local)) + 4 * word);
        p.jump_if(R3, NotEqual, R4, pass);
    }
    keep_strangers_out(&mut p, IP6_SOURCE, 4, UDP6, ours, stranger);

    p.place(ours);
    p.load(Octets4, R3, R9, field(offset_of!(Entry, action)));
    p.jump_if(R3, NotEqual, action::RELAY as i32, steer);
    // Only IPv4 is relayed; what is steered may be of either version.
    relay(&mut p, steer);

    p.place(steer);
    p.load(Octets4, R2, R6, CONTEXT_QUEUE);
    p.alu(Multiply, R2, workers as i32);
    p.load(Octets4, R3, R9, field(offset_of!(Entry, worker)));
    p.alu(Add, R2, R3);
    p.map(R1, sockets);
    p.mov(R3, XDP_PASS);
    p.call(REDIRECT_MAP);
    p.exit();

    // Gets nothing back, and takes no room in a ring from those who are expected.
    p.place(stranger);
    p.mov(R3, 1);
    p.atomic_add(R9, field(offset_of!(Entry, kept_out)), R3);
    p.mov(R0, XDP_DROP);
    p.exit();

    p.place(pass);
    p.mov(R0, XDP_PASS);
    p.exit();
    p.finish()
}

/// Makes sure of the frame's first octets.
fn reach(p: &mut Assembler, octets: i16, otherwise: Label) {
    p.mov(R2, R7);
    p.alu(Add, R2, i32::from(octets));
    p.jump_if(R2, Above, R8, otherwise);
}

/// R9: the open entry of the port that is in R4 in network order.
fn look_up(p: &mut Assembler, ports: &PortTable, pass: Label) {
    p.swap(R4, 16);
    p.alu(Subtract, R4, i32::from(ports.first()));
    // Below the first port is far above the last.
    p.jump_if(R4, Above, ports.count() as i32 - 1, pass);
    p.store(Octets4, R10, -4, R4);
    p.mov(R2, R10);
    p.alu(Add, R2, -4);
    p.map(R1, ports.map());
    p.call(MAP_LOOKUP_ELEM);
    p.jump_if(R0, Equal, 0, pass);
    p.mov(R9, R0);
    p.load(Octets4, R3, R9, field(offset_of!(Entry, action)));
    p.jump_if(R3, Equal, action::PASS as i32, pass);
}

/// Jumps to `ours` or to `stranger`: whether the sender is let in, whose address of so many words is
/// at `host` and whose port is at `port`.
fn keep_strangers_out(
    p: &mut Assembler,
    host: i16,
    words: i16,
    port: i16,
    ours: Label,
    stranger: Label,
) {
    p.load(Octets4, R4, R9, field(offset_of!(Entry, admission.in_force)));
    p.mov(R3, R4);
    p.alu(And, R3, CLOSED as i32);
    p.jump_if(R3, Equal, 0, ours);
    // R4: the set in force. What is read of it depends on the word that says so, and is ordered
    // behind it by that.
    p.alu(And, R4, SET as i32);
    p.alu(Multiply, R4, size_of::<[Place; SENDERS]>() as i32);
    p.alu(Add, R4, R9);
    for number in 0..SENDERS {
        let place = offset_of!(Entry, admission.sets) + number * size_of::<Place>();
        let other = if number + 1 == SENDERS { stranger } else { p.label() };
        for word in 0..words {
            p.load(Octets4, R3, R7, host + 4 * word);
            p.load(Octets4, R5, R4, field(place + offset_of!(Place, host)) + 4 * word);
            p.jump_if(R3, NotEqual, R5, other);
        }
        p.load(Octets2, R5, R4, field(place + offset_of!(Place, port)));
        p.jump_if(R5, Equal, 0, ours);
        p.load(Octets2, R3, R7, port);
        p.jump_if(R3, Equal, R5, ours);
        if number + 1 == SENDERS {
            p.jump(stranger);
        } else {
            p.place(other);
        }
    }
}

/// Sends an RTP packet of the agreed stream on; jumps to `steer` with anything else, untouched.
fn relay(p: &mut Assembler, steer: Label) {
    let entry = |offset: usize| field(offset);
    // Who speaks, and what.
    reach(p, RTP + RTP_OCTETS, steer);
    p.load(Octets2, R3, R7, ETHER_TYPE);
    p.jump_if(R3, NotEqual, network(0x0800), steer);
    p.load(Octets4, R3, R7, IP_SOURCE);
    p.load(Octets4, R4, R9, entry(offset_of!(Entry, peer)));
    p.jump_if(R3, NotEqual, R4, steer);
    p.load(Octets2, R3, R7, UDP);
    p.load(Octets2, R4, R9, entry(offset_of!(Entry, peer_port)));
    p.jump_if(R3, NotEqual, R4, steer);
    // RFC 3550 §5.1: version 2; padding, extension and contributors are for the worker.
    p.load(Octet, R3, R7, RTP);
    p.jump_if(R3, NotEqual, 0x80, steer);
    p.load(Octet, R3, R7, RTP + 1);
    p.alu(And, R3, 0x7F);
    p.load(Octet, R4, R9, entry(offset_of!(Entry, payload_type_in)));
    p.jump_if(R3, NotEqual, R4, steer);
    p.load(Octets4, R3, R7, RTP + 8);
    p.load(Octets4, R4, R9, entry(offset_of!(Entry, ssrc_in)));
    p.jump_if(R3, NotEqual, R4, steer);
    // Both lengths tell the same, and of some payload. R5: octets of payload.
    p.load(Octets2, R5, R7, UDP_LENGTH);
    p.swap(R5, 16);
    p.load(Octets2, R3, R7, IP_TOTAL_LENGTH);
    p.swap(R3, 16);
    p.alu(Subtract, R3, 20);
    p.jump_if(R3, NotEqual, R5, steer);
    p.alu(Subtract, R5, 8 + i32::from(RTP_OCTETS));
    p.jump_if(R5, Above, 1500, steer);
    p.jump_if(R5, Equal, 0, steer);

    // From here on the packet is ours, unless it was recalled meanwhile: see `PortTable::recall`.
    let recalled = p.label();
    p.mov(R3, 1);
    p.ordered_add(R9, entry(offset_of!(Entry, begun)), R3);
    p.load(Octets4, R3, R9, entry(offset_of!(Entry, action)));
    p.jump_if(R3, NotEqual, action::RELAY as i32, recalled);

    // R0: the checksum's sum without what is replaced (RFC 1624 §3): ~HC + ~m + ...
    let replaced = [IP_SOURCE, IP_DESTINATION, UDP, RTP, RTP + 4, RTP + 8];
    p.load(Octets2, R0, R7, UDP_CHECKSUM);
    p.mov(R2, R0);
    p.alu(Xor, R0, 0xFFFF);
    for word in replaced {
        p.load(Octets4, R3, R7, word);
        p.alu_32(Xor, R3, -1);
        p.alu(Add, R0, R3);
    }

    rewrite(p, entry);

    // ... + m'. No checksum stays none; one that was never whole cannot be mended.
    let (no_checksum, store) = (p.label(), p.label());
    p.jump_if(R2, Equal, 0, no_checksum);
    p.load(Octets2, R3, R9, entry(offset_of!(Entry, whole_checksums)));
    p.jump_if(R3, Equal, 0, no_checksum);
    for word in replaced {
        p.load(Octets4, R3, R7, word);
        p.alu(Add, R0, R3);
    }
    p.mov(R3, R0);
    p.alu(ShiftRight, R3, 32);
    p.alu_32(Arithmetic::Move, R0, R0);
    p.alu(Add, R0, R3);
    fold(p, R0, R3, 3);
    // RFC 768: zero means none.
    p.jump_if(R0, NotEqual, 0, store);
    p.mov(R0, 0xFFFF);
    p.jump(store);
    p.place(no_checksum);
    p.mov(R0, 0);
    p.place(store);
    p.store(Octets2, R7, UDP_CHECKSUM, R0);

    // R4 is the packet's new sequence number: is it the newest?
    let counted = p.label();
    p.load(Octets2, R4, R7, RTP + 2);
    p.swap(R4, 16);
    p.load(Octets4, R3, R9, entry(offset_of!(Entry, sequence)));
    p.mov(R2, R4);
    p.alu(Subtract, R2, R3);
    p.jump_if(R2, AnyBit, 0x8000, counted);
    p.store(Octets4, R9, entry(offset_of!(Entry, sequence)), R4);
    p.load(Octets4, R3, R7, RTP + 4);
    p.swap(R3, 32);
    p.store(Octets4, R9, entry(offset_of!(Entry, timestamp)), R3);
    p.place(counted);
    p.atomic_add(R9, entry(offset_of!(Entry, octets)), R5);
    p.mov(R3, 1);
    p.ordered_add(R9, entry(offset_of!(Entry, packets)), R3);
    p.mov(R0, XDP_TX);
    p.exit();

    p.place(recalled);
    p.mov(R3, -1);
    p.ordered_add(R9, entry(offset_of!(Entry, begun)), R3);
    p.jump(steer);
}

/// Writes the headers anew; keeps R0, R2 and R5.
fn rewrite(p: &mut Assembler, entry: impl Fn(usize) -> i16) {
    for word in 0..3 {
        p.load(Octets4, R3, R9, entry(offset_of!(Entry, ethernet)) + 4 * word);
        p.store(Octets4, R7, 4 * word, R3);
    }
    p.load(Octets2, R3, R9, entry(offset_of!(Entry, ip_begin)));
    p.store(Octets2, R7, IP, R3);
    p.store_number(Octets2, R7, IP + 4, 0);
    p.store_number(Octets2, R7, IP_FRAGMENT, network(0x4000));
    p.store_number(Octets2, R7, IP_HOPS, network(64 << 8 | 17));
    for (width, to, from) in [
        (Octets4, IP_SOURCE, offset_of!(Entry, source)),
        (Octets4, IP_DESTINATION, offset_of!(Entry, destination)),
        (Octets2, UDP, offset_of!(Entry, source_port)),
        (Octets2, UDP_DESTINATION, offset_of!(Entry, destination_port)),
        (Octets4, RTP + 8, offset_of!(Entry, ssrc_out)),
    ] {
        p.load(width, R3, R9, entry(from));
        p.store(width, R7, to, R3);
    }
    // The header's checksum: constant words and the length.
    p.load(Octets4, R3, R9, entry(offset_of!(Entry, ip_sum)));
    p.load(Octets2, R4, R7, IP_TOTAL_LENGTH);
    p.alu(Add, R3, R4);
    fold(p, R3, R4, 2);
    p.store(Octets2, R7, IP_CHECKSUM, R3);
    // RTP: the marker stays, the numbers move.
    p.load(Octet, R3, R7, RTP + 1);
    p.alu(And, R3, 0x80);
    p.load(Octet, R4, R9, entry(offset_of!(Entry, payload_type_out)));
    p.alu(Or, R3, R4);
    p.store(Octet, R7, RTP + 1, R3);
    for (width, at, offset) in [
        (Octets2, RTP + 2, offset_of!(Entry, sequence_offset)),
        (Octets4, RTP + 4, offset_of!(Entry, timestamp_offset)),
    ] {
        p.load(width, R3, R7, at);
        p.swap(R3, width.bits());
        p.load(width, R4, R9, entry(offset));
        p.alu(Add, R3, R4);
        p.swap(R3, width.bits());
        p.store(width, R7, at, R3);
    }
}

/// Folds a sum into 16 bits and complements it; what is in `carry` is lost.
fn fold(p: &mut Assembler, sum: Register, carry: Register, times: usize) {
    for _ in 0..times {
        p.mov(carry, sum);
        p.alu(ShiftRight, carry, 16);
        p.alu(And, sum, 0xFFFF);
        p.alu(Add, sum, carry);
    }
    p.alu(Xor, sum, 0xFFFF);
}

fn field(offset: usize) -> i16 {
    offset as i16
}

/// Two octets of the packet as a load sees them.
fn network(number: u16) -> i32 {
    i32::from(number.to_be())
}

#[cfg(all(test, not(loom)))]
mod tests;
