//! The jitter buffer under the model checker: every interleaving of inserter and taker.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p trunkline-rtp --test loom_jitter --release`
#![cfg(loom)]

use loom::thread;
use trunkline_rtp::jitter::{Frame, Insertion, PAYLOAD_MAX_OCTETS, buffer};

/// A payload no half of which belongs to another packet.
fn payload(sequence: u64) -> [u8; 16] {
    [sequence as u8; 16]
}

fn frame(sequence: u64, payload: &[u8]) -> Frame<'_> {
    Frame {
        sequence,
        media_time: sequence as i64 * 100,
        samples: 160,
        format: 3,
        marker: false,
        payload,
    }
}

#[test]
fn what_is_taken_is_whole_and_what_was_inserted() {
    loom::model(|| {
        let (mut inserter, mut taker) = buffer(2);
        let network = thread::spawn(move || {
            assert_eq!(inserter.insert(frame(2, &payload(2))), Insertion::Stored);
            // The taker may have given it up before it came.
            let overtaken = inserter.insert(frame(1, &payload(1)));
            assert!(matches!(overtaken, Insertion::Stored | Insertion::Late));
        });
        let mut out = [0; PAYLOAD_MAX_OCTETS];
        if let Some(len) = taker.take(1, &mut out) {
            assert_eq!(out[..len], payload(1));
        }
        network.join().unwrap();
    });
}

#[test]
fn an_overwritten_packet_is_never_mixed_with_its_successor() {
    // Three packets for one slot: every interleaving with up to three preemptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut inserter, mut taker) = buffer(2);
        inserter.insert(frame(1, &payload(1)));
        let network = thread::spawn(move || {
            // Same slot as 1, then as 3.
            inserter.insert(frame(3, &payload(3)));
            inserter.insert(frame(5, &payload(5)));
            inserter.counts()
        });
        let mut out = [0; PAYLOAD_MAX_OCTETS];
        let mut taken = 0;
        while let Some(waiting) = taker.peek() {
            assert_eq!(waiting.media_time, waiting.sequence as i64 * 100);
            if let Some(len) = taker.take(waiting.sequence, &mut out) {
                assert_eq!(out[..len], payload(waiting.sequence));
                taken += 1;
            }
        }
        let counts = network.join().unwrap();
        while let Some(waiting) = taker.peek() {
            taken += u64::from(taker.take(waiting.sequence, &mut out).is_some());
        }
        // Nothing is lost without being counted.
        assert_eq!(taken + counts.overwritten + counts.late, 3);
    });
}

#[test]
fn a_copy_is_whole_and_takes_nothing() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut inserter, mut taker) = buffer(2);
        inserter.insert(frame(1, &payload(1)));
        let network = thread::spawn(move || {
            // Same slot as 1.
            inserter.insert(frame(3, &payload(3)));
            inserter.counts()
        });
        let mut out = [0; PAYLOAD_MAX_OCTETS];
        if let Some(len) = taker.copy(1, &mut out) {
            assert_eq!(out[..len], payload(1));
        }
        let taken = u64::from(taker.take(1, &mut out).is_some());
        let counts = network.join().unwrap();
        assert_eq!(taken + counts.overwritten, 1);
    });
}

#[test]
fn a_packet_is_either_taken_or_late_never_both() {
    loom::model(|| {
        let (mut inserter, mut taker) = buffer(2);
        let network = thread::spawn(move || inserter.insert(frame(1, &payload(1))));
        let mut out = [0; PAYLOAD_MAX_OCTETS];
        let taken = taker.take(1, &mut out).is_some();
        let inserted = network.join().unwrap();
        if taken {
            assert_eq!(inserted, Insertion::Stored);
        }
        if inserted == Insertion::Late {
            assert!(!taken);
        }
        // Its turn is over in any case.
        assert_eq!(taker.peek(), None);
    });
}

#[test]
fn notes_of_arrivals_are_whole() {
    loom::model(|| {
        let (mut inserter, mut taker) = buffer(2);
        taker.advance(7);
        let network = thread::spawn(move || {
            inserter.insert(frame(1, &payload(1)));
            inserter.insert(frame(2, &payload(2)));
        });
        let mut seen = 0;
        for arrival in taker.arrivals() {
            assert_eq!(arrival.clock, 7);
            assert!(arrival.media_time == 100 || arrival.media_time == 200);
            seen += 1;
        }
        network.join().unwrap();
        seen += taker.arrivals().count();
        assert_eq!(seen, 2);
    });
}
