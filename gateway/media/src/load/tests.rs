//! The load of workers under a clock that the test turns, and what new legs find.

use super::*;

const TICK: Duration = Duration::from_millis(5);

/// A worker whose ticks take as long as the test says.
struct Bench {
    load: Load,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { load: Load::new(TICK, now), now }
    }

    /// Serves `legs` for so long, each tick with so much work.
    fn serve(&mut self, seconds: f64, legs: usize, work: Duration) -> Reading {
        for _ in 0..(seconds / TICK.as_secs_f64()) as u32 {
            self.load.served(self.now, self.now + work, legs);
            self.now += TICK.max(work);
        }
        self.load.reading()
    }
}

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

#[track_caller]
fn assert_near(value: f64, expected: f64, within: f64) {
    assert!((value - expected).abs() <= within, "{value} is not {expected}");
}

fn share(ppm: u64) -> f64 {
    ppm as f64 / 1e6
}

#[test]
fn the_load_is_the_share_of_time_that_ticks_take() {
    let mut bench = Bench::new();
    assert_near(share(bench.serve(8.0, 500, us(1_000)).busy_ppm), 0.2, 0.001);
    // After a time constant two thirds of a change are seen.
    assert_near(share(bench.serve(1.0, 500, us(3_500)).busy_ppm), 0.2 + 0.5 * 0.632, 0.01);
    // A worker that cannot keep up is busy all of its time, not more.
    assert_near(share(bench.serve(8.0, 500, us(20_000)).busy_ppm), 1.0, 0.001);
}

#[test]
fn a_single_late_tick_is_not_overload() {
    let mut bench = Bench::new();
    bench.serve(5.0, 500, us(1_000));
    bench.load.served(bench.now, bench.now + us(60_000), 500);
    bench.now += us(65_000);
    assert!(share(bench.load.reading().busy_ppm) < 0.3);
}

#[test]
fn the_99th_percentile_of_the_work_shows_what_the_average_hides() {
    let mut bench = Bench::new();
    for _ in 0..2_000 {
        bench.serve(0.045, 100, us(200));
        bench.serve(0.005, 100, us(4_000));
    }
    let reading = bench.load.reading();
    assert_near(share(reading.busy_ppm), (9.0 * 0.04 + 0.8) / 10.0, 0.01);
    assert_near(reading.work_p99_us as f64, 4_000.0, 100.0);
    // Without the long ones it comes down again.
    assert!(bench.serve(60.0, 100, us(200)).work_p99_us < 2_500);
}

#[test]
fn legs_that_were_not_measured_yet_are_reckoned_like_those_that_were() {
    let mut bench = Bench::new();
    bench.serve(5.0, 0, us(50));
    // 1,000 legs take 2 ms of a tick, the rest is there without them.
    let reading = bench.serve(8.0, 1_000, us(2_050));
    assert_near(reading.expected(1_000), 0.41, 0.002);
    assert_near(reading.expected(1_500), 0.61, 0.003);
    assert_near(reading.expected(0), 0.01, 0.002);
    // The measurement lags behind, the reckoning does not.
    for after_s in [0.1, 0.3, 1.0] {
        let reading = bench.serve(after_s, 1_500, us(3_050));
        assert_near(reading.expected(1_500), 0.61, 0.01);
    }
}

#[test]
fn what_an_idle_worker_does_is_not_taken_for_the_price_of_a_leg() {
    let mut bench = Bench::new();
    let reading = bench.serve(5.0, 0, us(250));
    assert_near(reading.expected(4_000), 0.05, 0.001);
    // One leg that costs nothing to speak of.
    let reading = bench.serve(5.0, 1, us(252));
    assert!(reading.expected(200) < 0.06, "{}", reading.expected(200));
}

/// A worker with this load for its legs.
fn at(busy: f64, legs: usize, gate: &Gate) -> Candidate<'_> {
    let load = Reading {
        busy_ppm: (busy * 1e6) as u64,
        legs_ppm: legs as u64 * 1_000_000,
        ..Reading::default()
    };
    Candidate { legs, load, gate }
}

const LIMITS: Limits = Limits { legs: 4_096, load: Some(0.8) };

#[test]
fn the_worker_with_the_least_load_takes_the_call_and_of_like_ones_that_with_fewer_legs() {
    let gates: [Gate; 3] = Default::default();
    let placed = |loads: [(f64, usize); 3]| {
        let workers = loads.iter().zip(&gates).map(|((busy, legs), gate)| at(*busy, *legs, gate));
        place(workers, 2, LIMITS)
    };
    assert_eq!(placed([(0.62, 1_000), (0.31, 3_000), (0.55, 100)]), Ok(1));
    assert_eq!(placed([(0.013, 9), (0.019, 7), (0.011, 8)]), Ok(1));
    assert_eq!(placed([(0.3, 4_095), (0.6, 4_000), (0.7, 4_000)]), Ok(1), "one has no place");
    assert_eq!(placed([(0.3, 4_095), (0.1, 4_096), (0.2, 4_095)]), Err(Full::Legs));
}

#[test]
fn a_worker_over_its_limit_takes_nothing_until_it_is_clearly_below() {
    let gate = Gate::default();
    let refused = |busy| place([at(busy, 1_000, &gate)], 1, LIMITS).is_err();
    assert!(!refused(0.795));
    assert!(refused(0.801));
    // Not every call that ends lets another one in.
    assert!(refused(0.795) && refused(0.75) && refused(0.722));
    assert!(gate.is_shut());
    assert!(!refused(0.71) && !refused(0.795));
    assert!(!gate.is_shut());
    // The load of the call itself counts.
    assert!(!refused(0.799) && refused(0.7999));
}

#[test]
fn without_room_anywhere_the_least_load_is_told() {
    let gates: [Gate; 3] = Default::default();
    let workers = [at(0.9, 10, &gates[0]), at(0.85, 4_096, &gates[1]), at(0.95, 10, &gates[2])];
    let Err(Full::Load { least }) = place(workers, 1, LIMITS) else { panic!("a call was taken") };
    assert_near(least, 0.956, 0.001);
    // Without a limit there is always room.
    let unlimited = Limits { load: None, ..LIMITS };
    assert_eq!(place([at(1.0, 10, &gates[0])], 1, unlimited), Ok(0));
}
