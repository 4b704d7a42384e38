//! Once a call is up, no packet costs an allocation: neither on the worker nor on the line, nor
//! through a pair.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{FarEnd, backends, config, own_address, pair, speech, wait};
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{Media, Remote, RtpLegSpec};

/// The system's allocator, and a count of what it was asked for.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: hands everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// The only test of this file: another one beside it would be counted too.
#[test]
fn what_is_up_allocates_nothing() {
    for backend in backends() {
        a_call_between_lines(backend);
        a_pair(backend);
    }
}

/// From here on until the answer is taken, allocations are counted.
fn count() {
    COUNTS.store(true, Ordering::Relaxed);
}

fn counted() -> u64 {
    COUNTS.store(false, Ordering::Relaxed);
    ALLOCATIONS.swap(0, Ordering::Relaxed)
}

fn a_call_between_lines(backend: Backend) {
    let (mut a, mut b) = pair(backend);
    let said = speech(160, 1);
    let mut heard = [0; 160];
    for round in 0..300_u64 {
        // After two seconds everything has happened once, RTCP too.
        if round == 100 {
            count();
        }
        for (here, there) in [(&mut a, 0), (&mut b, 1)] {
            // Each tenth packet time of b's line is lost: concealment must not allocate.
            let lost = there == 1 && round % 10 == 9;
            for at in (0..160).step_by(8) {
                let from_line = if lost { &[][..] } else { &said[at..at + 8] };
                here.timeslot.exchange(from_line, &mut heard[at..at + 8]);
            }
        }
        // Reading the counters would allocate: the workers simply get some ticks.
        std::thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(counted(), 0, "a call, {backend}");
    let counters = a.total();
    assert!(counters.packets_received > 200 && counters.packets_sent > 200);
    assert!(counters.rtcp_sent > 1);
    assert!(a.timeslot.playout().concealed > 0);
}

fn a_pair(backend: Backend) {
    let media = Media::start(config(backend)).expect("the media plane starts");
    let (mut a, b) = (FarEnd::new(), FarEnd::new());
    let here = own_address();
    let spec = |far: &FarEnd| RtpLegSpec::g711(here, Some(Remote::new(far.address)), Law::A);
    let pair = media.open_pair(spec(&a), spec(&b)).expect("a pair opens");
    let mut packet = a.packet(8, false, &speech(160, 1));
    let mut heard = [0; 2048];
    for round in 0..300_u64 {
        if round == 100 {
            count();
        }
        // Each tenth is lost, each ninth comes from another speaker.
        a.sequence = a.sequence.wrapping_add(if round % 10 == 9 { 2 } else { 1 });
        packet[2..4].copy_from_slice(&a.sequence.to_be_bytes());
        packet[11] = u8::from(round % 9 == 8);
        for (from, at, to) in [(&a, pair.a.local, &b), (&b, pair.b.local, &a)] {
            from.rtp.send_to(&packet, at).expect("send");
            let (len, _) = to.rtp.recv_from(&mut heard).expect("a packet");
            assert_eq!(heard[12..len], packet[12..]);
            // Again: not passed on.
            from.rtp.send_to(&packet, at).expect("send");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(counted(), 0, "a pair, {backend}");
    wait("all packets", || media.counters().total().dropped_duplicate == 600);
    let counters = media.counters().total();
    assert_eq!((counters.packets_received, counters.packets_sent), (600, 600));
    assert!(counters.rtcp_sent > 1);
}
