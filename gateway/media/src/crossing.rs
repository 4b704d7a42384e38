//! Two timeslots joined to one another: a call from line to line.
//!
//! There is no packet and no worker in it: each timeslot lives on its span's clock, and what one gives
//! the other takes, octet for octet, out of an elastic store of ten milliseconds: so late may a thread
//! be that serves a span. Where both sides speak the same law nothing is changed, so that
//! 64 kbit/s of anything come through. Two spans of different clocks make the store run empty or full
//! now and then: the octets that are put in or left out are a slip, and are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};
use trunkline_dsp::g711::Law;

/// Longest block of a bearer, octets.
const BLOCK_MAX: usize = 160;

/// What the store holds beyond the block that is taken next: 10 ms, for threads that are not on time
/// and then take as much at once.
const MARGIN_OCTETS: usize = 80;

/// Octets that the store can hold: a quarter of a second.
const STORE_OCTETS: usize = 2_048;

/// Time over which the store must hold too much before octets are left out: 5 s.
const LOOK_OVER_OCTETS: usize = 40_000;

/// One of the two timeslots' ends. It lives on the clock of its line and does not allocate, lock or
/// enter the kernel.
#[derive(Debug)]
pub struct CrossEnd {
    law: Law,
    far_law: Law,
    to_far: Producer<u8>,
    from_far: Consumer<u8>,
    /// The store has what it takes to begin.
    is_filled: bool,
    /// Until then: what it held before, and the most by which it has grown at once.
    seen: Option<usize>,
    burst: usize,
    /// Least octets that were left behind a block, and over how many that was seen.
    least: usize,
    looked_over: usize,
    /// What came to this side.
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters {
    octets: AtomicU64,
    slips: AtomicU64,
    octets_inserted: AtomicU64,
    octets_dropped: AtomicU64,
    stored: AtomicU64,
}

/// Reads what both ends have done, also after they are gone.
#[derive(Debug, Clone)]
pub struct CrossBoard {
    counters: [Arc<Counters>; 2],
}

/// What has come to one side from the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrossFigures {
    /// Octets that came through.
    pub octets: u64,
    /// Times that octets were put in or left out because the two spans do not keep the same time.
    pub slips: u64,
    /// Octets of silence put in.
    pub octets_inserted: u64,
    /// Octets left out.
    pub octets_dropped: u64,
    /// Delay of the last octet in the store, in samples of 125 µs.
    pub delay_samples: u64,
}

/// Joins two timeslots that speak these laws; gives an end for each, and what tells of both.
pub fn cross(a: Law, b: Law) -> (CrossEnd, CrossEnd, CrossBoard) {
    let (to_b, from_a) = RingBuffer::new(STORE_OCTETS);
    let (to_a, from_b) = RingBuffer::new(STORE_OCTETS);
    let counters = [Arc::<Counters>::default(), Arc::default()];
    let end = |law, far_law, to_far, from_far, counters: &Arc<Counters>| CrossEnd {
        law,
        far_law,
        to_far,
        from_far,
        is_filled: false,
        seen: None,
        burst: 0,
        least: usize::MAX,
        looked_over: 0,
        counters: Arc::clone(counters),
    };
    let a_end = end(a, b, to_b, from_b, &counters[0]);
    let b_end = end(b, a, to_a, from_a, &counters[1]);
    (a_end, b_end, CrossBoard { counters })
}

impl CrossEnd {
    /// The law of its own line's octets.
    pub fn law(&self) -> Law {
        self.law
    }

    /// Takes a block of octets from the line and gives one as long to the line, both in its law.
    pub fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        for block in from_line.chunks(BLOCK_MAX) {
            self.give(block);
        }
        for block in to_line.chunks_mut(BLOCK_MAX) {
            self.take(block);
        }
    }

    fn give(&mut self, block: &[u8]) {
        let mut converted = [0; BLOCK_MAX];
        let converted = &mut converted[..block.len()];
        converted.copy_from_slice(block);
        self.law.convert_block(converted, self.far_law);
        // The far side takes nothing: it is not on its line yet, or its span stands still. It finds
        // more than it wants when it goes on, and leaves out what is too old.
        let _ = self.to_far.push_partial_slice(converted);
    }

    fn take(&mut self, block: &mut [u8]) {
        let mut stored = self.from_far.slots();
        if !self.is_filled {
            stored = self.fill(stored, block.len());
        }
        let ready = if self.is_filled { stored.min(block.len()) } else { 0 };
        let (octets, missing) = block.split_at_mut(ready);
        let _ = self.from_far.pop_partial_slice(octets);
        missing.fill(self.law.encode(0));
        let left = stored - ready;
        let counters = &self.counters;
        counters.octets.fetch_add(ready as u64, Ordering::Relaxed);
        counters.stored.store(left as u64, Ordering::Relaxed);
        if !missing.is_empty() && self.is_filled {
            self.is_filled = false;
            (self.seen, self.burst) = (Some(left), 0);
            counters.slips.fetch_add(1, Ordering::Relaxed);
        }
        // Before the first octet nothing is missed.
        if counters.octets.load(Ordering::Relaxed) > 0 {
            counters.octets_inserted.fetch_add(missing.len() as u64, Ordering::Relaxed);
        }
        if self.is_filled {
            self.look_over(left, block.len());
        }
    }

    /// Looks whether the store has what it takes to begin; what it holds then.
    fn fill(&mut self, stored: usize, block: usize) -> usize {
        // How much the far side gives at once is seen only while we watch; what it gave before that
        // is old.
        let Some(seen) = self.seen else {
            self.leave_out(stored);
            self.seen = Some(0);
            return 0;
        };
        let grown = stored - seen;
        self.seen = Some(stored);
        self.burst = self.burst.max(grown).min(BLOCK_MAX);
        // Where that is more than we take at once the store has to last until it gives again.
        let burst = if self.burst > block { self.burst } else { 0 };
        let wanted = block + burst + MARGIN_OCTETS;
        if self.burst == 0 || stored < wanted {
            return stored;
        }
        self.is_filled = true;
        // What has piled up until now would be delay for ever.
        self.leave_out(stored - wanted);
        wanted
    }

    /// Leaves out what the store has held too much for a while.
    fn look_over(&mut self, left: usize, octets: usize) {
        self.least = self.least.min(left);
        self.looked_over += octets;
        if self.looked_over < LOOK_OVER_OCTETS {
            return;
        }
        if self.least > 2 * MARGIN_OCTETS {
            self.leave_out(self.least - MARGIN_OCTETS);
            self.counters.slips.fetch_add(1, Ordering::Relaxed);
        }
        self.least = usize::MAX;
        self.looked_over = 0;
    }

    fn leave_out(&mut self, octets: usize) {
        if let Ok(chunk) = self.from_far.read_chunk(octets) {
            chunk.commit_all();
            self.counters.octets_dropped.fetch_add(octets as u64, Ordering::Relaxed);
        }
    }
}

impl CrossBoard {
    /// What has come to the first side, and what to the second.
    pub fn figures(&self) -> [CrossFigures; 2] {
        self.counters.each_ref().map(|counters| CrossFigures {
            octets: counters.octets.load(Ordering::Relaxed),
            slips: counters.slips.load(Ordering::Relaxed),
            octets_inserted: counters.octets_inserted.load(Ordering::Relaxed),
            octets_dropped: counters.octets_dropped.load(Ordering::Relaxed),
            delay_samples: counters.stored.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A span's clock: gives numbered octets and takes what comes.
    struct Line {
        end: CrossEnd,
        block: usize,
        next: u64,
        heard: Vec<u8>,
    }

    /// Octets of a long period, so that a slip cannot hide.
    fn octet(number: u64) -> u8 {
        (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as u8
    }

    impl Line {
        fn new(end: CrossEnd, block: usize) -> Self {
            Self { end, block, next: 0, heard: Vec::new() }
        }

        fn turn(&mut self) {
            let from_line: Vec<u8> = (0..self.block as u64).map(|n| octet(self.next + n)).collect();
            self.next += self.block as u64;
            let mut to_line = vec![0; self.block];
            self.end.exchange(&from_line, &mut to_line);
            self.heard.extend(to_line);
        }
    }

    /// From the first octet that came through on, none is missing and none is changed.
    fn is_untouched(heard: &[u8]) -> bool {
        let silence = Law::A.encode(0);
        let begin = heard.iter().position(|octet| *octet != silence).expect("something is heard");
        let begins_with =
            |first: &u64| (0..8).all(|n| heard[begin + n as usize] == octet(first + n));
        let first = (0..400).find(begins_with).expect("it is one of the first octets");
        heard[begin..].iter().zip(first..).all(|(heard, number)| *heard == octet(number))
    }

    #[test]
    fn every_octet_comes_through_both_ways_within_a_few_milliseconds() {
        for (block_a, block_b) in [(8, 8), (160, 8), (8, 160), (160, 160)] {
            let (a, b, board) = cross(Law::A, Law::A);
            let (mut a, mut b) = (Line::new(a, block_a), Line::new(b, block_b));
            for time in 0..80_000 {
                if time % block_a == 0 {
                    a.turn();
                }
                if time % block_b == 3 {
                    b.turn();
                }
            }
            assert!(is_untouched(&a.heard), "to {block_a} from {block_b}: {:?}", board.figures());
            assert!(is_untouched(&b.heard), "to {block_b} from {block_a}: {:?}", board.figures());
            for figures in board.figures() {
                assert_eq!((figures.slips, figures.octets_inserted), (0, 0), "{figures:?}");
                assert!(figures.octets > 79_000, "{figures:?}");
                assert!(figures.delay_samples <= 160 + 80, "{figures:?}");
            }
        }
    }

    #[test]
    fn laws_are_converted_by_the_tables_of_the_standard() {
        let (mut a, mut mu, _board) = cross(Law::A, Law::Mu);
        let octets: Vec<u8> = (0..=255).collect();
        let (mut to_a, mut to_mu) = (Vec::new(), Vec::new());
        for block in octets.chunks(32).cycle().take(24) {
            let mut heard = [0; 32];
            a.exchange(block, &mut heard);
            to_a.extend(heard);
            mu.exchange(block, &mut heard);
            to_mu.extend(heard);
        }
        let has = |heard: &[u8], from: Law, into: Law| {
            let converted: Vec<u8> =
                octets.iter().map(|octet| from.convert(*octet, into)).collect();
            heard.windows(256).any(|window| window == converted)
        };
        assert!(has(&to_mu, Law::A, Law::Mu) && has(&to_a, Law::Mu, Law::A));
        assert_eq!(to_a[0], Law::A.encode(0), "silence before there is anything");
    }

    #[test]
    fn clocks_that_differ_make_few_slips_and_no_delay_that_grows() {
        const SECONDS: u64 = 600;
        let (a, b, board) = cross(Law::A, Law::A);
        let (mut a, mut b) = (Line::new(a, 8), Line::new(b, 8));
        // B's clock is 50 ppm too fast: 240 octets more in ten minutes.
        for millisecond in 0..SECONDS * 1_000 {
            a.turn();
            b.turn();
            if millisecond % 20_000 == 0 {
                b.turn();
            }
        }
        let [to_a, to_b] = board.figures();
        assert!(to_a.slips > 0 && to_a.octets_dropped.abs_diff(240) <= 100, "{to_a:?}");
        assert!(to_b.slips > 0 && to_b.octets_inserted.abs_diff(240) <= 100, "{to_b:?}");
        assert!(to_a.slips <= 20 && to_b.slips <= 20, "{to_a:?} {to_b:?}");
        for figures in [to_a, to_b] {
            assert!(figures.delay_samples < 180, "{figures:?}");
        }
    }

    #[test]
    fn a_thread_that_is_late_and_takes_as_much_at_once_makes_no_slip() {
        let (a, b, board) = cross(Law::A, Law::A);
        let (mut a, mut b) = (Line::new(a, 8), Line::new(b, 8));
        for round in 0..10_000 {
            // Up to ten blocks of one span, then as many of the other.
            let blocks = if round > 200 && round % 50 == 0 { 10 } else { 1 };
            for line in [&mut a, &mut b] {
                line.block = 8 * blocks;
                line.turn();
            }
        }
        assert!(is_untouched(&a.heard) && is_untouched(&b.heard));
        assert!(board.figures().iter().all(|figures| figures.slips == 0), "{:?}", board.figures());
    }

    #[test]
    fn a_side_that_stood_still_comes_back_without_old_speech() {
        let (a, b, board) = cross(Law::A, Law::A);
        let (mut a, mut b) = (Line::new(a, 8), Line::new(b, 8));
        (0..3_000).for_each(|_| a.turn());
        (0..8_000).for_each(|_| {
            a.turn();
            b.turn();
        });
        let [_, to_b] = board.figures();
        assert!(to_b.delay_samples < 180, "{to_b:?}");
        assert!(to_b.octets_dropped >= 1_500, "{to_b:?}");
    }

    #[test]
    fn when_the_far_side_is_gone_there_is_silence() {
        let (mut a, b, board) = cross(Law::A, Law::Mu);
        drop(b);
        let mut heard = [0; 8];
        (0..1_000).for_each(|_| a.exchange(&[1; 8], &mut heard));
        assert_eq!(heard, [Law::A.encode(0); 8]);
        assert_eq!(board.figures()[0], CrossFigures::default());
    }
}
