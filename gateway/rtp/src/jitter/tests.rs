use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn frame(sequence: u64, payload: &[u8]) -> Frame<'_> {
    Frame {
        sequence,
        media_time: sequence as i64 * 160,
        samples: 160,
        format: 8,
        marker: sequence.is_multiple_of(7),
        payload,
    }
}

fn take(taker: &mut Taker, sequence: u64) -> Option<Vec<u8>> {
    let mut payload = [0; PAYLOAD_MAX_OCTETS];
    taker.take(sequence, &mut payload).map(|len| payload[..len].to_vec())
}

#[test]
fn packets_come_out_in_order_of_sequence_whatever_order_they_came_in() {
    let (mut inserter, mut taker) = buffer(8);
    for sequence in [102, 100, 101] {
        let payload = [sequence as u8; 33];
        assert_eq!(inserter.insert(frame(sequence, &payload)), Insertion::Stored);
    }
    for sequence in 100..103 {
        let waiting = taker.peek().expect("a packet waits");
        assert_eq!(waiting.sequence, sequence);
        assert_eq!(waiting.media_time, sequence as i64 * 160);
        assert_eq!((waiting.samples, waiting.format), (160, 8));
        assert_eq!(take(&mut taker, sequence), Some(vec![sequence as u8; 33]));
    }
    assert_eq!(taker.peek(), None);
}

#[test]
fn duplicate_is_refused_and_counted_before_and_after_playout() {
    let (mut inserter, mut taker) = buffer(8);
    inserter.insert(frame(5, b"x"));
    assert_eq!(inserter.insert(frame(5, b"y")), Insertion::Duplicate);
    assert_eq!(take(&mut taker, 5), Some(b"x".to_vec()));
    assert_eq!(inserter.insert(frame(5, b"z")), Insertion::Duplicate);
    assert_eq!(inserter.counts().duplicate, 2);
}

#[test]
fn late_packet_is_dropped_and_counted_but_leaves_its_note() {
    let (mut inserter, mut taker) = buffer(8);
    inserter.insert(frame(7, b"x"));
    assert_eq!(take(&mut taker, 7), Some(b"x".to_vec()));
    assert_eq!(taker.arrivals().count(), 1);
    taker.advance(80);
    assert_eq!(inserter.insert(frame(6, b"late")), Insertion::Late);
    assert_eq!(inserter.counts().late, 1);
    let notes: Vec<_> = taker.arrivals().collect();
    assert_eq!(notes, [Arrival { media_time: 960, clock: 80 }]);
}

#[test]
fn a_taker_that_sleeps_finds_the_newest_packets_and_the_rest_is_counted() {
    let (mut inserter, mut taker) = buffer(4);
    for sequence in 1..=10 {
        inserter.insert(frame(sequence, &[sequence as u8]));
    }
    assert_eq!(inserter.counts().overwritten, 6);
    assert_eq!(taker.peek().map(|w| w.sequence), Some(7));
    assert_eq!(take(&mut taker, 3), None);
}

#[test]
fn payload_over_the_limit_is_refused_and_counted() {
    let (mut inserter, mut taker) = buffer(4);
    let long = [1; PAYLOAD_MAX_OCTETS + 1];
    assert_eq!(inserter.insert(frame(1, &long)), Insertion::TooLong);
    assert_eq!(inserter.insert(frame(1, &long[1..])), Insertion::Stored);
    assert_eq!(take(&mut taker, 1).map(|p| p.len()), Some(PAYLOAD_MAX_OCTETS));
    assert_eq!(inserter.counts().too_long, 1);
}

#[test]
fn two_threads_pass_every_packet_whole() {
    let (mut inserter, mut taker) = buffer(64);
    let network = std::thread::spawn(move || {
        for sequence in 1..=20_000_u64 {
            let payload = sequence.to_ne_bytes().repeat(20);
            while inserter.highest >= inserter.ring.playout.0.head.load(Ordering::Acquire) + 60 {
                std::thread::yield_now();
            }
            inserter.insert(frame(sequence, &payload));
        }
    });
    let mut expected = 1;
    while expected <= 20_000 {
        match take_next(&mut taker) {
            Some((sequence, payload)) => {
                assert_eq!(sequence, expected);
                assert_eq!(payload, sequence.to_ne_bytes().repeat(20));
                expected += 1;
            }
            None => std::thread::yield_now(),
        }
    }
    network.join().expect("the network thread ends");
}

fn take_next(taker: &mut Taker) -> Option<(u64, Vec<u8>)> {
    let sequence = taker.peek()?.sequence;
    take(taker, sequence).map(|payload| (sequence, payload))
}

/// The buffer as one would write it without caring for time or memory.
#[derive(Default)]
struct Naive {
    head: u64,
    /// Every sequence ever stored in a slot: the newest holder wins.
    holder: BTreeMap<u64, (u64, Option<Vec<u8>>)>,
}

impl Naive {
    fn insert(&mut self, slots: u64, sequence: u64, payload: &[u8]) -> Insertion {
        let held = self.holder.get(&(sequence % slots));
        match held {
            Some((holder, _)) if *holder == sequence => Insertion::Duplicate,
            Some((holder, _)) if *holder > sequence => Insertion::Late,
            _ if sequence < self.head => Insertion::Late,
            _ => {
                self.holder.insert(sequence % slots, (sequence, Some(payload.to_vec())));
                Insertion::Stored
            }
        }
    }

    fn peek(&self) -> Option<u64> {
        self.holder
            .values()
            .filter(|(sequence, payload)| payload.is_some() && *sequence >= self.head)
            .map(|(sequence, _)| *sequence)
            .min()
    }

    fn take(&mut self, slots: u64, sequence: u64) -> Option<Vec<u8>> {
        self.head = self.head.max(sequence + 1);
        let (holder, payload) = self.holder.get_mut(&(sequence % slots))?;
        if *holder == sequence { payload.take() } else { None }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(i64, Vec<u8>),
    TakeNext,
    TakeAt(u64),
    Expire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (-6_i64..12, prop::collection::vec(any::<u8>(), 0..PAYLOAD_MAX_OCTETS))
            .prop_map(|(offset, payload)| Step::Insert(offset, payload)),
        2 => Just(Step::TakeNext),
        1 => (0_u64..4).prop_map(Step::TakeAt),
        1 => (0_u64..4).prop_map(Step::Expire),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(steps in prop::collection::vec(step(), 1..200)) {
        let slots = 8;
        let (mut inserter, mut taker) = buffer(slots as usize);
        let mut naive = Naive::default();
        let mut newest: u64 = 100;
        for step in steps {
            match step {
                Step::Insert(offset, payload) => {
                    let sequence = newest.saturating_add_signed(offset).max(1);
                    prop_assert_eq!(
                        inserter.insert(frame(sequence, &payload)),
                        naive.insert(slots, sequence, &payload)
                    );
                    newest = newest.max(sequence);
                }
                Step::TakeNext => {
                    let next = taker.peek().map(|w| w.sequence);
                    // Holders below the window are gone for the ring; the model keeps them.
                    let window = (newest + 1).saturating_sub(slots);
                    let model = naive.peek().filter(|s| *s >= window);
                    if model.is_some() {
                        prop_assert_eq!(next, model);
                    }
                    if let Some(sequence) = next {
                        prop_assert_eq!(take(&mut taker, sequence), naive.take(slots, sequence));
                    }
                }
                Step::TakeAt(back) => {
                    let sequence = newest - back;
                    prop_assert_eq!(take(&mut taker, sequence), naive.take(slots, sequence));
                }
                Step::Expire(back) => {
                    taker.expire_before(newest - back);
                    naive.head = naive.head.max(newest - back);
                }
            }
        }
        let counts = inserter.counts();
        prop_assert!(counts.overwritten <= counts.stored);
    }
}
