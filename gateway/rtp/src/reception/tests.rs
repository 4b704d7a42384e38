use proptest::prelude::*;

use super::*;

fn receive(
    reception: &mut Reception,
    sequences: impl IntoIterator<Item = u16>,
    now: Instant,
) -> Vec<Arrival> {
    sequences
        .into_iter()
        .map(|sequence| reception.packet_arrived(SequenceNumber(sequence), None, now))
        .collect()
}

#[test]
fn source_is_valid_after_two_packets_in_a_row() {
    let mut reception = Reception::new(8_000, 2);
    let now = Instant::now();
    let arrivals = receive(&mut reception, [10, 500, 501], now);
    assert_eq!(arrivals[..2], [Arrival::Probation, Arrival::Probation]);
    assert_eq!(arrivals[2], Arrival::InOrder { extended: 501, missing: 0 });
    assert_eq!(reception.statistics().refused, 2);
}

#[test]
fn vetted_source_loses_no_first_packet() {
    let mut reception = Reception::new(8_000, 0);
    let arrivals = receive(&mut reception, [10], Instant::now());
    assert_eq!(arrivals, [Arrival::InOrder { extended: 10, missing: 0 }]);
}

#[test]
fn wrap_counts_a_cycle_and_late_packets_keep_the_old_one() {
    let mut reception = Reception::new(8_000, 0);
    let arrivals = receive(&mut reception, [65_534, 0, 65_535, 1], Instant::now());
    assert_eq!(
        arrivals[1..],
        [
            Arrival::InOrder { extended: 65_536, missing: 1 },
            Arrival::Reordered { extended: 65_535 },
            Arrival::InOrder { extended: 65_537, missing: 0 },
        ]
    );
    assert_eq!(reception.statistics().lost, 0);
    assert_eq!(reception.statistics().reordered, 1);
}

#[test]
fn duplicates_are_known_and_counted() {
    let mut reception = Reception::new(8_000, 0);
    let arrivals = receive(&mut reception, [1, 2, 4, 2, 4, 3, 3], Instant::now());
    assert_eq!(arrivals[3], Arrival::Duplicate);
    assert_eq!(arrivals[4], Arrival::Duplicate);
    assert_eq!(arrivals[5], Arrival::Reordered { extended: 3 });
    assert_eq!(arrivals[6], Arrival::Duplicate);
    assert_eq!(reception.statistics().duplicates, 3);
}

#[test]
fn single_wild_packet_is_refused_but_two_in_a_row_restart_the_source() {
    let mut reception = Reception::new(8_000, 0);
    let arrivals =
        receive(&mut reception, [1, 2, 40_000, 3, 50_000, 50_001, 50_002], Instant::now());
    assert_eq!(arrivals[2], Arrival::Jump);
    assert_eq!(arrivals[3], Arrival::InOrder { extended: 3, missing: 0 });
    assert_eq!(arrivals[4], Arrival::Jump);
    assert_eq!(arrivals[5], Arrival::Restarted { extended: 50_001 });
    assert_eq!(arrivals[6], Arrival::InOrder { extended: 50_002, missing: 0 });
    let figures = reception.statistics();
    assert_eq!((figures.restarts, figures.lost, figures.received), (1, 0, 5));
}

#[test]
fn loss_is_reported_as_fraction_of_the_interval_and_in_total() {
    let mut reception = Reception::new(8_000, 0);
    let now = Instant::now();
    // 100 sent, every fourth lost.
    receive(&mut reception, (1..=100).filter(|n| n % 4 != 0), now);
    let block = reception.report(7, now).unwrap();
    assert_eq!(block.cumulative_lost, 24); // packet 100 itself is not known to be missing
    assert_eq!(block.fraction_lost, (24 * 256 / 99) as u8);
    assert_eq!(block.highest_sequence, 99);
    receive(&mut reception, 100..=200, now);
    let block = reception.report(7, now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 24));
}

#[test]
fn duplicates_make_the_loss_negative_never_the_fraction() {
    let mut reception = Reception::new(8_000, 0);
    let now = Instant::now();
    receive(&mut reception, [1, 1, 1, 2], now);
    let block = reception.report(7, now).unwrap();
    assert_eq!((block.cumulative_lost, block.fraction_lost), (-2, 0));
}

#[test]
fn jitter_follows_the_formula_of_the_standard() {
    let mut reception = Reception::new(8_000, 0);
    let start = Instant::now();
    // Sent every 20 ms; every other packet 4 ms late: |D| is 4 ms from the second packet on.
    let mut expected = 0.0_f64;
    for n in 0..400_u32 {
        let late = if n % 2 == 1 { 4 } else { 0 };
        let now = start + Duration::from_millis(u64::from(n) * 20 + late);
        reception.packet_arrived(
            SequenceNumber(n as u16),
            Some(Timestamp(n.wrapping_mul(160))),
            now,
        );
        if n > 0 {
            expected += (32.0 - expected) / 16.0;
        }
    }
    let jitter = reception.report(1, start).unwrap().jitter;
    assert!((f64::from(jitter) - expected).abs() <= 1.0, "{jitter} against {expected}");
    assert!((3_800..=4_000).contains(&reception.statistics().jitter_us));
}

#[test]
fn new_time_base_is_no_jitter() {
    let mut reception = Reception::new(8_000, 0);
    let now = Instant::now();
    reception.packet_arrived(SequenceNumber(1), Some(Timestamp(160)), now);
    reception.packet_arrived(SequenceNumber(2), Some(Timestamp(0x7000_0000)), now);
    assert_eq!(reception.jitter(), Duration::ZERO);
}

#[test]
fn delay_since_the_last_sender_report_is_told() {
    let mut reception = Reception::new(8_000, 0);
    let now = Instant::now();
    assert_eq!(reception.report(1, now), None);
    receive(&mut reception, [1, 2], now);
    assert_eq!(reception.report(1, now).unwrap().last_sr, 0);
    reception.sender_report_arrived(NtpTime(0x0000_1234_5678_0000), now);
    let block = reception.report(1, now + Duration::from_millis(1_500)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0x1234_5678, 0x0001_8000));
}

proptest! {
    #[test]
    fn any_sequence_of_packets_keeps_the_books_straight(
        packets in proptest::collection::vec((any::<u16>(), any::<u32>(), 0_u64..1_000_000), 0..300),
        minimum in 0_u8..4,
    ) {
        let start = Instant::now();
        let mut reception = Reception::new(8_000, minimum);
        for (sequence, timestamp, at_us) in &packets {
            let now = start + Duration::from_micros(*at_us);
            reception.packet_arrived(SequenceNumber(*sequence), Some(Timestamp(*timestamp)), now);
            reception.report(1, now);
        }
        let figures = reception.statistics();
        prop_assert_eq!(figures.received + figures.refused, packets.len() as u64);
    }

    // A naive model: a set of the numbers sent and received, no wrap tricks.
    #[test]
    fn losses_and_swaps_are_counted_as_a_naive_model_counts(
        first: u16, fates in proptest::collection::vec(0_u8..10, 2..400),
    ) {
        let mut order: Vec<u32> = Vec::new();
        for (n, fate) in fates.iter().enumerate() {
            let sequence = u32::from(first) + n as u32;
            match fate {
                0 if n > 0 => {}
                1 if n > 1 && !order.is_empty() => order.insert(order.len() - 1, sequence),
                2 => order.extend([sequence, sequence]),
                _ => order.push(sequence),
            }
        }
        let mut reception = Reception::new(8_000, 0);
        let now = Instant::now();
        receive(&mut reception, order.iter().map(|n| *n as u16), now);
        let highest = *order.iter().max().unwrap();
        let distinct = order.iter().collect::<std::collections::BTreeSet<_>>().len();
        let figures = reception.statistics();
        let expected = highest - order[0] + 1;
        prop_assert_eq!(figures.lost, u64::from(expected).saturating_sub(order.len() as u64));
        prop_assert_eq!(figures.duplicates as usize, order.len() - distinct);
    }
}

#[test]
fn packets_that_arrived_unseen_are_neither_lost_nor_taken_for_duplicates_later() {
    let mut reception = Reception::new(8_000, 0);
    let now = Instant::now();
    receive(&mut reception, [65_530, 65_531], now);
    // Ten of the next twelve went another way; one of the two that are missing is only late.
    let newest = reception.packets_arrived_unseen(10, SequenceNumber(7));
    assert_eq!(newest, Arrival::InOrder { extended: 65_536 + 7, missing: 2 });
    assert_eq!(reception.statistics().lost, 2);
    let late = receive(&mut reception, [4, 8], now);
    assert_eq!(late[0], Arrival::Reordered { extended: 65_536 + 4 });
    assert_eq!(late[1], Arrival::InOrder { extended: 65_536 + 8, missing: 0 });
    assert_eq!((reception.statistics().received, reception.statistics().lost), (14, 1));
    assert_eq!(reception.packets_arrived_unseen(0, SequenceNumber(9)), Arrival::Duplicate);
}
