use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::packet::SequenceNumber;
use crate::reception::Reception;

/// Bursts and gaps by the words of RFC 3611 §4.7.2, over the whole call at once.
fn plainly(received: &[bool]) -> (Periods, Periods, u64) {
    let missing: Vec<usize> = (0..received.len()).filter(|n| !received[*n]).collect();
    let mut bursts: Vec<(usize, usize)> = Vec::new();
    let mut rest = missing.as_slice();
    while let Some((&first, _)) = rest.split_first() {
        // The longest sequence without Gmin received packets in a row.
        let together = rest.windows(2).take_while(|w| w[1] - w[0] - 1 < usize::from(GMIN)).count();
        let last = rest[together];
        // Alone among received packets it is within a gap.
        if last > first {
            bursts.push((first, last));
        }
        rest = &rest[together + 1..];
    }
    let mut gaps = Vec::new();
    let mut from = 0;
    for (first, last) in &bursts {
        gaps.push((from, *first));
        from = last + 1;
    }
    gaps.push((from, received.len()));
    let sum = |spans: Vec<(usize, usize)>| {
        spans.iter().filter(|(from, to)| from < to).fold(Periods::default(), |sum, (from, to)| {
            let missing = received[*from..*to].iter().filter(|received| !**received).count();
            Periods {
                count: sum.count + 1,
                packets: sum.packets + (to - from) as u64,
                missing: sum.missing + missing as u64,
            }
        })
    };
    let runs =
        (0..received.len()).filter(|n| !received[*n] && (*n == 0 || received[n - 1])).count();
    let bursts = bursts.into_iter().map(|(first, last)| (first, last + 1)).collect();
    (sum(bursts), sum(gaps), runs as u64)
}

fn counted(received: &[bool]) -> (Periods, Periods, u64) {
    let mut bursts = Bursts::default();
    received.iter().for_each(|received| bursts.packet(*received));
    let (burst, gap) = bursts.periods();
    (burst, gap, bursts.totals().2)
}

/// A call in letters: `.` received, `x` missing.
fn call(text: &str) -> Vec<bool> {
    text.chars().map(|letter| letter == '.').collect()
}

#[test]
fn losses_that_are_near_make_a_burst_and_one_alone_is_in_a_gap() {
    let clean = ".".repeat(20);
    // A burst of 6 packets, 3 of them lost; one loss far from it.
    let text = format!("{clean}x..x.x{clean}x{clean}");
    let (bursts, gaps, runs) = counted(&call(&text));
    assert_eq!(bursts, Periods { count: 1, packets: 6, missing: 3 });
    assert_eq!(gaps, Periods { count: 2, packets: 61, missing: 1 });
    assert_eq!(runs, 4);
    assert_eq!(bursts.mean_duration_ms(20.0), 120.0);
    assert_eq!(gaps.mean_duration_ms(20.0), 610.0);
    assert_eq!(bursts.density(), 0.5);
}

#[test]
fn sixteen_received_packets_end_a_burst_and_fifteen_do_not() {
    let between = |received: usize| {
        let text = format!("x{}x{}", ".".repeat(received), ".".repeat(30));
        counted(&call(&text)).0
    };
    assert_eq!(between(15), Periods { count: 1, packets: 17, missing: 2 });
    assert_eq!(between(16), Periods::default());
}

#[test]
fn call_that_begins_and_ends_in_losses_has_gaps_only_between() {
    let text = format!("xx{}xx", ".".repeat(40));
    let (bursts, gaps, _) = counted(&call(&text));
    assert_eq!(bursts, Periods { count: 2, packets: 4, missing: 4 });
    assert_eq!(gaps, Periods { count: 1, packets: 40, missing: 0 });
}

#[test]
fn shares_have_eight_bits_and_end_at_255() {
    assert_eq!([0.0, 0.25, 0.999, 1.0].map(in_256ths), [0, 64, 255, 255]);
}

/// Packets through reception, as a leg has them.
struct Receiver {
    reception: Reception,
    pattern: LossPattern,
}

impl Receiver {
    fn new() -> Self {
        Self { reception: Reception::new(8_000, 1), pattern: LossPattern::default() }
    }

    fn hear(&mut self, number: u16) {
        let arrival = self.reception.packet_arrived(SequenceNumber(number), None, Instant::now());
        self.pattern.packet_arrived(arrival);
    }
}

#[test]
fn packet_that_is_overtaken_is_not_lost_and_one_that_comes_too_late_is_discarded() {
    let mut receiver = Receiver::new();
    for number in [65_530, 65_531, 65_533, 65_532, 65_535, 0, 65_534] {
        receiver.hear(number);
    }
    receiver.pattern.last_discarded();
    receiver.hear(2);
    let figures = receiver.pattern.figures();
    assert_eq!((figures.expected, figures.lost, figures.discarded), (9, 1, 1));
    assert_eq!(figures.bursts, Periods { count: 1, packets: 4, missing: 2 });
}

#[test]
fn packet_that_comes_after_more_than_a_second_was_missing_and_is_discarded_now() {
    let mut receiver = Receiver::new();
    for number in (0..100).filter(|number| *number != 10) {
        receiver.hear(number);
    }
    assert_eq!(receiver.pattern.figures().lost, 1);
    receiver.hear(10);
    receiver.pattern.last_discarded();
    let figures = receiver.pattern.figures();
    assert_eq!((figures.expected, figures.lost, figures.discarded), (100, 0, 1));
}

#[test]
fn what_the_playout_drops_is_a_burst_of_its_own() {
    let mut receiver = Receiver::new();
    (0..50).for_each(|number| receiver.hear(number));
    receiver.pattern.stored_discarded(5);
    let figures = receiver.pattern.figures();
    assert_eq!((figures.lost, figures.discarded), (0, 5));
    assert_eq!(figures.bursts, Periods { count: 1, packets: 5, missing: 5 });
    assert_eq!(figures.discard_rate(), 0.1);
}

#[test]
fn another_source_goes_on_without_a_loss_between() {
    let mut receiver = Receiver::new();
    (0..30).for_each(|number| receiver.hear(number));
    receiver.reception = Reception::new(8_000, 1);
    receiver.pattern.source_changed();
    (40_000..40_030).for_each(|number| receiver.hear(number));
    // A new numbering of the same source is believed at its second packet.
    (10_000..10_030).for_each(|number| receiver.hear(number));
    let figures = receiver.pattern.figures();
    assert_eq!((figures.expected, figures.lost, figures.bursts.count), (89, 0, 0));
}

#[test]
fn losses_in_runs_of_five_are_nearly_five_times_as_bursty_as_random_ones() {
    let mut receiver = Receiver::new();
    for number in (0..1_000_u16).filter(|number| number % 100 < 95) {
        receiver.hear(number);
    }
    receiver.hear(1_000);
    let figures = receiver.pattern.figures();
    assert_eq!((figures.expected, figures.lost, figures.runs), (1_001, 50, 10));
    assert!((figures.burst_ratio() - 4.75).abs() < 0.01, "{}", figures.burst_ratio());
}

proptest! {
    #[test]
    fn bursts_and_gaps_are_those_of_the_definition(
        received in proptest::collection::vec(proptest::bool::weighted(0.9), 0..400),
    ) {
        prop_assert_eq!(counted(&received), plainly(&received));
    }

    /// Each packet is lost, late (it comes and is discarded), overtaken by one, or in order.
    #[test]
    fn figures_are_those_of_the_whole_call(
        fates in proptest::collection::vec(0..20_u8, 1..600), first: u16,
    ) {
        let mut receiver = Receiver::new();
        let mut played = vec![true];
        receiver.hear(first);
        let (mut lost, mut discarded) = (0, 0);
        let mut overtaken: Option<(u16, bool)> = None;
        for (n, fate) in fates.iter().enumerate() {
            let number = first.wrapping_add(n as u16 + 1);
            played.push(!matches!(fate, 0 | 1));
            match fate {
                0 => lost += 1,
                1 | 2 if overtaken.is_none() => {
                    discarded += u64::from(*fate == 1);
                    overtaken = Some((number, *fate == 1));
                }
                1 => {
                    discarded += 1;
                    receiver.hear(number);
                    receiver.pattern.last_discarded();
                }
                _ => {
                    receiver.hear(number);
                    if let Some((before, late)) = overtaken.take() {
                        receiver.hear(before);
                        if late {
                            receiver.pattern.last_discarded();
                        }
                    }
                }
            }
        }
        // The end must come for the losses before it to be seen.
        receiver.hear(first.wrapping_add(fates.len() as u16 + 1));
        played.push(true);
        if let Some((before, late)) = overtaken {
            receiver.hear(before);
            if late {
                receiver.pattern.last_discarded();
            }
        }
        let (bursts, gaps, runs) = plainly(&played);
        prop_assert_eq!(
            receiver.pattern.figures(),
            LossFigures { expected: played.len() as u64, lost, discarded, runs, bursts, gaps }
        );
    }
}
