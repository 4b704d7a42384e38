//! Once a call is up, no packet costs an allocation: neither on the worker nor on the line.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{backends, pair, speech};

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
fn a_call_that_is_up_allocates_nothing() {
    for backend in backends() {
        let (mut a, mut b) = pair(backend);
        let said = speech(160, 1);
        let mut heard = [0; 160];
        for round in 0..300_u64 {
            // After two seconds everything has happened once, RTCP too.
            if round == 100 {
                COUNTS.store(true, Ordering::Relaxed);
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
        COUNTS.store(false, Ordering::Relaxed);
        let allocations = ALLOCATIONS.swap(0, Ordering::Relaxed);
        assert_eq!(allocations, 0, "{backend}");
        let counters = a.total();
        assert!(counters.packets_received > 200 && counters.packets_sent > 200);
        assert!(counters.rtcp_sent > 1);
        assert!(a.timeslot.playout().concealed > 0);
    }
}
