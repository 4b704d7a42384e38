//! The packet path allocates nothing: what runs for each packet is run here under a counting allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use trunkline_rtp::packet::{HEADER_OCTETS, RtpHeader, RtpPacket, SequenceNumber, Timestamp};
use trunkline_rtp::reception::Reception;
use trunkline_rtp::rtcp::{Compound, Report, write_report};
use trunkline_rtp::source::{SourcePolicy, SourceRule};
use trunkline_rtp::telephone_event::{Digit, DigitReceiver, DigitSender};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps to `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to `dealloc`'s contract, and `alloc` is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_packet_in_and_a_packet_out_allocate_nothing() {
    let remote = "192.0.2.1:4000".parse().unwrap();
    let mut now = Instant::now();
    let expected = [8, 101].into_iter().collect();
    let mut rule = SourceRule::new(SourcePolicy::default(), remote, None, expected, now);
    let mut reception = Reception::new(8_000, 0);
    let mut digits_in = DigitReceiver::new(8_000);
    let mut digits_out = DigitSender::new(8_000);
    let mut packet = [0_u8; 172];
    let mut report = [0_u8; 256];

    let before = ALLOCATIONS.with(Cell::get);
    for n in 0..1_000_u32 {
        now += Duration::from_millis(20);
        let timestamp = Timestamp(n * 160);
        if n % 100 == 0 {
            digits_out.send(Digit::from_event(5).unwrap(), 100).unwrap();
        }
        let mut header = RtpHeader {
            marker: false,
            payload_type: 8,
            sequence: SequenceNumber(n as u16),
            timestamp,
            ssrc: 1,
        };
        let mut octets = packet.len();
        if let Some(event) = digits_out.next_packet(timestamp, 160) {
            header = RtpHeader {
                marker: event.marker,
                payload_type: 101,
                timestamp: event.timestamp,
                ..header
            };
            packet[HEADER_OCTETS..HEADER_OCTETS + 4].copy_from_slice(&event.payload);
            octets = HEADER_OCTETS + 4;
        }
        header.write(&mut packet).unwrap();
        let read = RtpPacket::parse(&packet[..octets]).unwrap();
        black_box(rule.judge(remote, &read, now));
        black_box(reception.packet_arrived(read.header.sequence, Some(read.header.timestamp), now));
        if read.header.payload_type == 101 {
            digits_in.packet_arrived(read.header.timestamp, read.payload, now);
        }
        while let Some(event) = digits_in.poll_output() {
            black_box(event);
        }
        // Refused input is no way to make the path allocate either.
        assert!(RtpPacket::parse(&packet[..7]).is_err());
        let block = reception.report(1, now).unwrap();
        let written = Report {
            ssrc: 2,
            sender: None,
            blocks: &[block],
            cname: "gw@192.0.2.1",
            voip_metrics: None,
            bye: false,
        };
        let octets = write_report(&written, &mut report).unwrap();
        assert_eq!(Compound::parse(&report[..octets]).unwrap().flatten().count(), 2);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get), before);
}
