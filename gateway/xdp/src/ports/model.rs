//! A port under the model checker: what the program does to it, in a second thread.

use std::sync::Arc;

use std::net::{IpAddr, Ipv6Addr, SocketAddrV4};

use loom::thread;

use super::super::admission::{CLOSED, Place, SET, Sender};
use super::*;

/// What the program does with a packet of the stream, in the order of its instructions
/// (`program.rs` `relay`): the number under which it went out, or none if the worker gets it.
fn packet(entry: &Entry, number: u32) -> Option<u32> {
    if entry.action.load(Ordering::Relaxed) != action::RELAY {
        return None;
    }
    // An atomic that fetches is a full barrier in the kernel's memory model.
    entry.begun.fetch_add(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    if entry.action.load(Ordering::Relaxed) != action::RELAY {
        entry.begun.fetch_sub(1, Ordering::SeqCst);
        return None;
    }
    let sent = number + u32::from(entry.sequence_offset.load(Ordering::Relaxed));
    entry.sequence.store(sent, Ordering::Relaxed);
    entry.timestamp.store(160 * sent, Ordering::Relaxed);
    entry.octets.fetch_add(160, Ordering::Relaxed);
    entry.packets.fetch_add(1, Ordering::SeqCst);
    Some(sent)
}

fn relay() -> Relay {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5004);
    Relay {
        peer: address,
        payload_type: (8, 8),
        ssrc: (1, 2),
        sequence_offset: 100,
        timestamp_offset: 0,
        newest: (100, 0),
        whole_checksums: true,
        source: address,
        destination: address,
        ethernet: [[0; 6]; 2],
        traffic_class: 0,
    }
}

#[test]
fn what_is_recalled_is_final_and_no_packet_goes_both_ways() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let entry = Arc::new(Entry::default());
        entry.relay(&relay());
        let theirs = Arc::clone(&entry);
        let program = thread::spawn(move || [1, 2].map(|number| packet(&theirs, number)));
        let final_figures = entry.recall();
        // From here on the worker numbers packets itself.
        let went = program.join().unwrap();
        let relayed: Vec<u32> = went.into_iter().flatten().collect();
        assert_eq!(final_figures.packets, relayed.len() as u64);
        assert_eq!(final_figures.octets, 160 * relayed.len() as u64);
        let newest = relayed.last().copied().unwrap_or(100);
        assert_eq!(u32::from(final_figures.sequence), newest);
        assert!(went[0].is_some() || went[1].is_none(), "in order: the second is not ahead");
    });
}

/// Whether the set in force has a sender, in the order of the program's instructions
/// (`program.rs` `keep_strangers_out`); none if everybody is let in.
fn set_has(entry: &Entry, from: Sender) -> Option<bool> {
    // Where in memory the set is depends on this word, so the set is read as it was when the word
    // was written: as if acquired.
    let in_force = entry.admission.in_force.load(Ordering::Acquire);
    if in_force & CLOSED == 0 {
        return None;
    }
    let is_at = |place: &Place| {
        let host = place.host.iter().map(|word| word.load(Ordering::Relaxed));
        let port = u16::from_be(place.port.load(Ordering::Relaxed));
        host.eq(words(from.host)) && (port == 0 || Some(port) == from.port)
    };
    Some(entry.admission.sets[(in_force & SET) as usize].iter().any(is_at))
}

/// A sender that differs from others in the first and the last word of its address, and in the port.
fn sender(number: u16) -> Sender {
    let host = IpAddr::V6(Ipv6Addr::new(number, 0, 0, 0, 0, 0, 0, number));
    Sender { host, port: Some(number) }
}

#[test]
fn who_is_expected_before_and_after_a_change_is_never_kept_out() {
    loom::model(|| {
        let entry = Arc::new(Entry::default());
        let [first, stays, last] = [1, 2, 3].map(sender);
        entry.admission.change(Some([first, stays]));
        let theirs = Arc::clone(&entry);
        let program = thread::spawn(move || {
            assert_eq!(set_has(&theirs, stays), Some(true));
            [last, first].map(|from| set_has(&theirs, from) == Some(true))
        });
        entry.admission.change(Some([stays, last]));
        let [last_is_in, first_is_in] = program.join().unwrap();
        assert!(!(last_is_in && first_is_in), "not the old senders after the new");
        assert_eq!((set_has(&entry, first), set_has(&entry, last)), (Some(false), Some(true)));
    });
}

#[test]
fn a_port_that_was_open_between_mixes_no_two_senders() {
    loom::model(|| {
        let entry = Arc::new(Entry::default());
        let [before, after] = [1, 2].map(sender);
        entry.admission.change(Some([before; 2]));
        let theirs = Arc::clone(&entry);
        let program = thread::spawn(move || {
            let mixed = Sender { host: before.host, port: after.port };
            assert_ne!(set_has(&theirs, mixed), Some(true));
        });
        entry.admission.change(None);
        entry.admission.change(Some([after; 2]));
        program.join().unwrap();
        assert_eq!(set_has(&entry, after), Some(true));
    });
}
