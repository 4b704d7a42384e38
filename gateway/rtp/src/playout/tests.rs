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
    /// Somebody speaks all the time.
    voice: bool,
    /// Gaps of whose end the packet behind them was known.
    gaps_led_over: usize,
    /// Playout time, and samples made ahead of it.
    clock: i64,
    ready: i64,
    head: u64,
    /// How often the length of a packet was changed.
    adjustments: usize,
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
            voice: false,
            gaps_led_over: 0,
            clock: 0,
            ready: 0,
            head: 0,
            adjustments: 0,
        }
    }

    /// Pulls blocks of `block` samples until `until`; may go on later.
    fn run(&mut self, until: i64, block: u32) -> PlayoutStatistics {
        let (mut clock, mut ready, mut head) = (self.clock, self.ready, self.head);
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
                let decision = self.playout.decide(next, wanted, !self.voice);
                if let Decision::Conceal { next_in: Some(next_in), .. } = decision {
                    self.gaps_led_over += usize::from(i64::from(next_in) == PACKET);
                }
                match decision {
                    Decision::Wait { samples } | Decision::Conceal { samples, .. } => {
                        assert!(samples >= 1 && samples <= wanted);
                        ready += i64::from(samples);
                    }
                    Decision::Discard { sequence } => {
                        self.waiting.remove(&sequence);
                        head = sequence + 1;
                    }
                    Decision::Play { sequence, skip } => {
                        self.take(sequence, &mut head);
                        ready += PACKET - i64::from(skip);
                    }
                    Decision::Lengthen { sequence, samples } => {
                        assert!(!self.voice, "speech lengthened");
                        self.adjustments += 1;
                        let piece = self.piece.min(samples) as i32;
                        self.playout.adjusted(piece);
                        self.take(sequence, &mut head);
                        ready += PACKET + i64::from(piece);
                    }
                    Decision::Shorten { sequence, samples, in_speech } => {
                        assert!(in_speech || !self.voice, "speech shortened without need");
                        self.adjustments += 1;
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
        (self.clock, self.ready, self.head) = (clock, ready, head);
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
        // What was held back at the start is given up in the first pause.
        assert_eq!(statistics.lengthened, 0, "block {block}");
        assert!((40..=80).contains(&statistics.shortened), "block {block}");
        assert!(path.played.len() >= 2997, "block {block}");
        assert_eq!(path.played.len() as u64, path.played[path.played.len() - 1] + 1);
        assert_eq!(statistics.talkspurts, 1);
        assert!(statistics.delay <= 24 + block, "delay {} block {block}", statistics.delay);
    }
}

#[test]
fn five_percent_loss_is_concealed_exactly_and_moves_nothing_in_speech() {
    let mut seed = 1;
    let kept: Vec<_> =
        (0..3000).filter(|n| *n == 0 || !random(&mut seed).is_multiple_of(20)).collect();
    let lost = 3000 - kept.len() as u64;
    let mut path = Path::new(kept.iter().map(|n| (*n, *n as i64 * PACKET + 100)));
    path.voice = true;
    let statistics = path.run(480_000, 8);
    assert!(lost > 100);
    assert!(statistics.concealed.abs_diff(lost * 160) <= 3 * 160);
    assert_eq!(path.adjustments, 0);
    assert!(path.played.len() + 2 >= kept.len());
}

#[test]
fn where_packets_are_lost_the_one_behind_a_gap_is_there_before_the_gap() {
    let arrivals = |lossy: bool| {
        let kept = move |n: &u64| !lossy || n % 50 != 30;
        (0..2000).filter(kept).map(|n| (n, n as i64 * PACKET + 100))
    };
    let mut path = Path::new(arrivals(true));
    path.piece = 160;
    let lossy = path.run(320_000, 8);
    assert!((160..200).contains(&lossy.delay), "delay {}", lossy.delay);
    // All gaps but the first ones.
    assert!(path.gaps_led_over >= 35, "{} gaps led over", path.gaps_led_over);
    assert_eq!(path.adjustments, 2, "margin given up, look-ahead taken");
    let whole = Path::new(arrivals(false)).run(320_000, 8);
    assert!(whole.delay < 24, "delay {}", whole.delay);
}

#[test]
fn one_late_tick_changes_no_delay() {
    for late in [16 * 8, 25 * 8, 30 * 8] {
        for voice in [false, true] {
            // The worker comes by every 5 ms, but once so much later.
            let tick = |at: i64| (at + 39) / 40 * 40;
            let held_up_from = 600 * PACKET + 40;
            let arrivals = (0..3000_u64).map(|n| {
                let at = tick(n as i64 * PACKET + 25);
                let held_up = (held_up_from..held_up_from + late).contains(&at);
                (n, if held_up { held_up_from + late } else { at })
            });
            let mut path = Path::new(arrivals);
            path.run(500 * PACKET, 8);
            let before = path.adjustments;
            path.voice = voice;
            let statistics = path.run(2990 * PACKET, 8);
            assert_eq!(path.adjustments, before, "tick {late} samples late");
            assert!(statistics.concealed <= late as u64 + 8, "{} concealed", statistics.concealed);
            assert!(statistics.delay < 64, "delay {}", statistics.delay);
        }
    }
}

#[test]
fn a_small_change_of_the_path_waits_for_a_pause_of_the_speech() {
    // 5 ms more jitter from packet 500 on.
    let arrivals = (0..2000_u64).map(|n| {
        let more = if n >= 500 && n % 20 == 0 { 40 } else { 0 };
        (n, n as i64 * PACKET + 100 + more)
    });
    let mut path = Path::new(arrivals);
    path.run(400 * PACKET, 8);
    path.voice = true;
    let before = path.adjustments;
    path.run(700 * PACKET, 8);
    assert_eq!(path.adjustments, before, "none in speech");
    path.voice = false;
    let statistics = path.run(800 * PACKET, 8);
    let concealed = statistics.concealed;
    assert_eq!(path.run(1900 * PACKET, 8).concealed, concealed, "and from then on none is late");
}

#[test]
fn a_path_that_has_become_longer_is_followed_within_speech() {
    let arrivals =
        (0..1500_u64).map(|n| (n, n as i64 * PACKET + 100 + if n >= 500 { 480 } else { 0 }));
    let mut path = Path::new(arrivals);
    path.run(300 * PACKET, 8);
    path.voice = true;
    let statistics = path.run(1400 * PACKET, 8);
    assert!(statistics.concealed < 1600, "{} concealed", statistics.concealed);
    assert!(path.played.len() > 1390, "{} played", path.played.len());
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
fn a_spike_costs_its_length_and_leaves_the_delay_as_it_was() {
    for spike in [2, 5, 10, 20_u64] {
        // What is held up arrives together.
        let arrivals = (0..1000_u64).map(|n| {
            let held_up = (500..500 + spike).contains(&n);
            (n, if held_up { (500 + spike) as i64 * PACKET + 100 } else { n as i64 * PACKET + 100 })
        });
        let mut path = Path::new(arrivals);
        path.run(400 * PACKET, 8);
        path.voice = true;
        let before = path.adjustments;
        let statistics = path.run(900 * PACKET, 8);
        assert_eq!(path.adjustments, before, "{spike} packets held up");
        assert!(statistics.delay < 64, "delay {} after {spike}", statistics.delay);
        let missed = 899 - path.played.len() as u64;
        assert!(missed <= spike + 1, "{missed} missed of {spike}");
        assert_eq!(path.played.len(), statistics.played as usize);
    }
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
            match playout.decide(next, 8, false) {
                Decision::Play { sequence, .. } => {
                    first.get_or_insert(sequence);
                    waiting.remove(&sequence);
                    produced += PACKET;
                }
                Decision::Discard { sequence } => {
                    waiting.remove(&sequence);
                }
                Decision::Wait { samples } | Decision::Conceal { samples, .. } => {
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
