//! SRTP allocates nothing per packet, refused ones and new SSRCs included.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use trunkline_rtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

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
fn protecting_and_unprotecting_allocate_nothing() {
    for suite in Suite::ALL {
        let key = MasterKey::generate(suite, |octets| octets.fill(0x5a));
        let mut sender = SrtpSender::new(&key).unwrap();
        let mut receiver = SrtpReceiver::new(&key).unwrap();
        let mut packet = [0x55_u8; 200];
        let before = ALLOCATIONS.with(Cell::get);
        for n in 0..70_000_u32 {
            packet[..2].copy_from_slice(&[0x80, 8]);
            packet[2..4].copy_from_slice(&(n as u16).to_be_bytes());
            packet[8..12].copy_from_slice(&(n / 7_000).to_be_bytes());
            let octets = sender.protect_rtp(&mut packet, 172).unwrap();
            assert_eq!(receiver.unprotect_rtp(&mut packet[..octets]), Ok(172));
            assert!(receiver.unprotect_rtp(&mut packet[..octets]).is_err());
            if n % 100 == 0 {
                packet[..2].copy_from_slice(&[0x80, 201]);
                packet[4..8].copy_from_slice(&(n / 7_000).to_be_bytes());
                let octets = sender.protect_rtcp(&mut packet, 100).unwrap();
                assert_eq!(receiver.unprotect_rtcp(&mut packet[..octets]), Ok(100));
                assert!(receiver.unprotect_rtcp(&mut packet[..7]).is_err());
                packet[..2].copy_from_slice(&[0x80, 8]);
                assert!(receiver.unprotect_rtp(&mut packet[..100]).is_err());
            }
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{suite:?}");
        let counted = receiver.counters();
        assert_eq!((counted.malformed, counted.tag + counted.replay), (700, 70_700));
    }
}
