//! What a relayed call takes of memory.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use common::{backends, config, own_address, wait};
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{Media, MediaConfig, Remote, RtpLegSpec};

/// The system's allocator, and how many octets it has given out.
struct Weighing;

static GIVEN: AtomicIsize = AtomicIsize::new(0);

// SAFETY: hands everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        GIVEN.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        GIVEN.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Weighing = Weighing;

/// The most heap a call between two RTP sides may take, octets.
const PAIR_MAX_OCTETS: isize = 16 * 1024;

// The only test of this file: another one beside it would be weighed too.
#[test]
fn a_relayed_call_takes_less_than_16_kb() {
    for backend in backends() {
        let (few, many) = (2, 302);
        // Everything: the worker's room for so many legs, their ports, and the legs.
        let octets = (weigh(backend, many) - weigh(backend, few)) / (many - few).cast_signed();
        println!("{backend}: {octets} octets of heap a pair");
        assert!((1..=PAIR_MAX_OCTETS).contains(&octets), "{backend}: {octets} octets");
    }
}

/// Octets of heap that a media plane takes with so many pairs of legs.
fn weigh(backend: Backend, pairs: usize) -> isize {
    let before = GIVEN.load(Ordering::Relaxed);
    let media = Media::start(MediaConfig {
        rtp_ports: 20_000..=20_000 + 4 * pairs as u16 - 1,
        legs_per_worker_max: 2 * pairs,
        ..config(backend)
    })
    .expect("the media plane starts");
    let (here, far) = (own_address(), own_address());
    let spec = || RtpLegSpec::g711(here, Some(Remote::new((far, 30_000).into())), Law::A);
    for _ in 0..pairs {
        media.open_pair(spec(), spec()).expect("a pair opens");
    }
    wait("the legs", || media.counters().total().legs_opened == 2 * pairs as u64);
    GIVEN.load(Ordering::Relaxed) - before
}
