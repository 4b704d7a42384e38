use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PACKET: i64 = 160;

/// A path in samples of virtual time: packet `n` is sent at `n * 160` and arrives as told.
struct Path {
    playout: Playout,
    /// Arrival time -> packet numbers.
    coming: BTreeMap<i64, Vec<u64>>,
    waiting: BTreeMap<u64, i64>,
    /// Packets played, in order.
    played: Vec<u64>,
    /// Pieces the executor removes or adds at a time.
    piece: u32,
}

impl Path {
    fn new(arrivals: impl IntoIterator<Item = (u64, i64)>) -> Self {
        let mut coming: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (number, at) in arrivals {
            coming.entry(at).or_default().push(number);
        }
        Self {
            playout: Playout::new(PlayoutConfig::default()),
            coming,
            waiting: BTreeMap::new(),
            played: Vec::new(),
            piece: 40,
        }
    }

    /// Pulls blocks of `block` samples until `until`.
    fn run(&mut self, until: i64, block: u32) -> PlayoutStatistics {
        let (mut clock, mut ready) = (0_i64, 0_i64);
        let mut head = 0;
        while clock < until {
            while let Some(entry) = self.coming.first_entry().filter(|e| *e.key() <= clock) {
                for number in entry.remove() {
                    self.playout.arrived(Arrival {
                        media_time: (number as i64 * PACKET) as u32,
                        clock: clock as u32,
                    });
                    if number >= head {
                        self.waiting.insert(number, clock);
                    }
                }
            }
            while ready < i64::from(block) {
                let next = self.waiting.first_key_value().map(|(number, arrived)| Waiting {
                    sequence: *number,
                    media_time: *number as i64 * PACKET,
                    samples: PACKET as u16,
                    format: 8,
                    marker: false,
                    arrived: *arrived as u32,
                });
                let wanted = block - ready as u32;
                match self.playout.decide(next, wanted) {
                    Decision::Wait { samples } | Decision::Conceal { samples } => {
                        assert!(samples >= 1 && samples <= wanted);
                        ready += i64::from(samples);
                    }
                    Decision::Discard { sequence } => {
                        self.waiting.remove(&sequence);
                        head = sequence + 1;
                    }
                    Decision::Play { sequence } => {
                        self.take(sequence, &mut head);
                        ready += PACKET;
                    }
                    Decision::Lengthen { sequence, samples } => {
                        let piece = self.piece.min(samples.max(20)) as i32;
                        self.playout.adjusted(piece);
                        self.take(sequence, &mut head);
                        ready += PACKET + i64::from(piece);
                    }
                    Decision::Shorten { sequence, samples } => {
                        let piece = self.piece.min(samples) as i32;
                        self.playout.adjusted(-piece);
                        self.take(sequence, &mut head);
                        ready += PACKET - i64::from(piece);
                    }
                }
            }
            ready -= i64::from(block);
            clock += i64::from(block);
        }
        self.playout.statistics()
    }

    fn take(&mut self, sequence: u64, head: &mut u64) {
        assert!(self.waiting.remove(&sequence).is_some());
        assert!(sequence >= *head, "playout went backwards");
        *head = sequence + 1;
        self.played.push(sequence);
    }
}

fn in_order(played: &[u64]) -> bool {
    played.windows(2).all(|w| w[0] < w[1])
}

/// A small generator so that a seed names the path.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn clean_path_plays_every_packet_untouched_after_the_start() {
    for block in [1, 8, 37, 160] {
        // The worker hands packets over at its 5 ms ticks, with phases of all kinds.
        let mut path = Path::new((0..3000).map(|n| (n, (n as i64 * PACKET / 40 + 9) * 40)));
        let statistics = path.run(480_000, block);
        assert_eq!(statistics.concealed, 0, "block {block}");
        assert_eq!((statistics.lengthened, statistics.shortened), (0, 0), "block {block}");
        assert!(path.played.len() >= 2997, "block {block}");
        assert_eq!(path.played.len() as u64, path.played[path.played.len() - 1] + 1);
        assert_eq!(statistics.talkspurts, 1);
        assert!(statistics.delay <= 80 + block, "delay {} block {block}", statistics.delay);
    }
}

#[test]
fn five_percent_loss_is_concealed_exactly_and_moves_nothing_else() {
    let mut seed = 1;
    let kept: Vec<_> =
        (0..3000).filter(|n| *n == 0 || !random(&mut seed).is_multiple_of(20)).collect();
    let lost = 3000 - kept.len() as u64;
    let mut path = Path::new(kept.iter().map(|n| (*n, *n as i64 * PACKET + 100)));
    let statistics = path.run(480_000, 8);
    assert!(lost > 100);
    assert!(statistics.concealed.abs_diff(lost * 160) <= 3 * 160);
    assert_eq!((statistics.lengthened, statistics.shortened), (0, 0));
    assert!(path.played.len() + 2 >= kept.len());
}

#[test]
fn growing_jitter_raises_the_delay_and_calm_brings_it_back() {
    let mut seed = 7;
    let arrivals = (0..4000_u64).map(|n| {
        let jitter = if (1000..2000).contains(&n) { random(&mut seed) as i64 % 480 } else { 0 };
        (n, n as i64 * PACKET + 100 + jitter)
    });
    let mut path = Path::new(arrivals);
    let rough = path.run(2000 * PACKET, 8);
    assert!(rough.delay > 180, "delay {} in the rough part", rough.delay);
    assert!(in_order(&path.played));
    let mut seed = 7;
    let arrivals = (0..4000_u64).map(|n| {
        let jitter = if (1000..2000).contains(&n) { random(&mut seed) as i64 % 480 } else { 0 };
        (n, n as i64 * PACKET + 100 + jitter)
    });
    let mut path = Path::new(arrivals);
    let calm = path.run(4000 * PACKET, 8);
    assert!(calm.delay < 140, "delay {} at the end", calm.delay);
    assert!(calm.shortened > 0);
    // Late ones come back as delay; few packets of the rough part may be lost to it.
    assert!(path.played.len() > 3900, "{} played", path.played.len());
}

#[test]
fn after_a_spike_the_delay_is_back_within_two_seconds() {
    // One spike of 200 ms at packet 500; what is held up arrives together.
    let arrivals = (0..1000_u64).map(|n| {
        let on_time = n as i64 * PACKET + 100;
        (n, if (500..510).contains(&n) { 500 * PACKET + 100 + 1600 } else { on_time })
    });
    let mut path = Path::new(arrivals);
    let statistics = path.run(620 * PACKET, 8);
    assert!(statistics.delay < 400, "delay {} two seconds after", statistics.delay);
    assert!(path.played.contains(&505), "speech of the spike is played, not dropped");
    assert_eq!(path.played.len(), statistics.played as usize);
}

#[test]
fn reordered_packets_all_play() {
    // Each tenth packet is overtaken by its successor.
    let arrivals =
        (0..1000_u64).map(|n| (n, n as i64 * PACKET + 100 + if n % 10 == 5 { 200 } else { 0 }));
    let mut path = Path::new(arrivals);
    path.run(1000 * PACKET, 8);
    assert!(in_order(&path.played));
    assert!(path.played.len() >= 990, "{} played", path.played.len());
}

#[test]
fn skew_of_the_clocks_is_followed_without_growing_delay() {
    for ppm in [-500_i64, 500] {
        let arrivals = (0..6000_u64).map(|n| {
            let sent = n as i64 * PACKET;
            (n, sent + sent * ppm / 1_000_000 + 100)
        });
        let mut path = Path::new(arrivals);
        let statistics = path.run(5990 * PACKET, 8);
        assert!(statistics.delay < 240, "delay {} at {ppm} ppm", statistics.delay);
        assert!(path.played.len() > 5900, "{} played at {ppm} ppm", path.played.len());
        assert!(statistics.concealed < 6000 * 160 / 100, "{} concealed", statistics.concealed);
    }
}

#[test]
fn silence_between_talkspurts_is_not_concealment() {
    // 1 s of speech, 1 s of nothing, ten times.
    let arrivals = (0..1000_u64).filter(|n| n / 50 % 2 == 0).map(|n| (n, n as i64 * PACKET + 100));
    let mut path = Path::new(arrivals);
    let statistics = path.run(1000 * PACKET, 8);
    assert_eq!(statistics.talkspurts, 10);
    assert_eq!(path.played.len(), 500);
    // Until the pause is known for one, each spurt ends in some concealment.
    assert!(statistics.concealed <= 10 * 960);
}

#[test]
fn a_path_that_stood_still_for_seconds_comes_back_to_normal_delay() {
    // Everything from 5 s to 8 s arrives at 8 s.
    let arrivals = (0..1000_u64).map(|n| {
        let on_time = n as i64 * PACKET + 100;
        (n, if (250..400).contains(&n) { 400 * PACKET + 100 } else { on_time })
    });
    let mut path = Path::new(arrivals);
    let statistics = path.run(560 * PACKET, 8);
    assert!(statistics.delay < 600, "delay {}", statistics.delay);
    assert!(statistics.discarded > 50);
    assert!(in_order(&path.played));
}

#[test]
fn a_line_that_begins_to_turn_late_starts_with_what_is_fresh() {
    let mut playout = Playout::new(PlayoutConfig::default());
    let mut waiting = BTreeMap::new();
    // 1.2 s of packets before the first block is asked for.
    for number in 0..60_u64 {
        playout.arrived(Arrival { media_time: (number as i64 * PACKET) as u32, clock: 0 });
        waiting.insert(number, 0_u32);
    }
    let mut first = None;
    let mut produced = 0;
    for number in 60..80_u64 {
        playout.arrived(Arrival {
            media_time: (number as i64 * PACKET) as u32,
            clock: produced as u32,
        });
        waiting.insert(number, produced as u32);
        let end = produced + PACKET;
        while produced < end {
            let next = waiting.first_key_value().map(|(number, arrived)| Waiting {
                sequence: *number,
                media_time: *number as i64 * PACKET,
                samples: PACKET as u16,
                format: 8,
                marker: false,
                arrived: *arrived,
            });
            match playout.decide(next, 8) {
                Decision::Play { sequence } => {
                    first.get_or_insert(sequence);
                    waiting.remove(&sequence);
                    produced += PACKET;
                }
                Decision::Discard { sequence } => {
                    waiting.remove(&sequence);
                }
                Decision::Wait { samples } | Decision::Conceal { samples } => {
                    produced += i64::from(samples);
                }
                other => panic!("{other:?} at the start"),
            }
        }
    }
    assert!(first.is_some_and(|first| first >= 58), "begins with packet {first:?}");
    assert_eq!(playout.statistics().concealed, 0);
    assert!(playout.statistics().delay <= 240, "{:?}", playout.statistics());
}

proptest! {
    #[test]
    fn whatever_arrives_the_line_gets_its_samples_in_order(
        delays in prop::collection::vec(prop_oneof![4 => 0_i64..400, 1 => 0_i64..9000], 1..300),
        block in 1_u32..161,
        piece in 1_u32..100,
    ) {
        let arrivals: Vec<_> = delays
            .iter()
            .enumerate()
            .filter(|(_, delay)| *delay % 13 != 0)
            .map(|(n, delay)| (n as u64, n as i64 * PACKET + delay))
            .collect();
        let count = arrivals.len() as u64;
        let mut path = Path::new(arrivals);
        path.piece = piece;
        let statistics = path.run(delays.len() as i64 * PACKET + 20_000, block);
        prop_assert!(statistics.played + statistics.discarded <= count);
        prop_assert!(in_order(&path.played));
    }
}
