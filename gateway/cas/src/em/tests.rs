use std::time::{Duration, Instant};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Two ends of a timeslot, 1 ms apart, on a clock that stands still until it is moved.
struct Line {
    now: Instant,
    ends: [EAndM; 2],
    heard: [Vec<Indication>; 2],
    /// Bits and digits on their way, with the time they arrive and the end they are for.
    under_way: Vec<(Instant, usize, Output)>,
    /// Bits as they were sent, in ms from the start.
    log: Vec<(u128, usize, u8)>,
    begun: Instant,
}

impl Line {
    fn new(configurations: [Configuration; 2]) -> Self {
        let now = Instant::now();
        let mut line = Self {
            now,
            ends: configurations.map(EAndM::new),
            heard: [vec![], vec![]],
            under_way: vec![],
            log: vec![],
            begun: now,
        };
        line.carry();
        line.pass(Duration::from_millis(50));
        line.log.clear();
        line
    }

    fn both(start: Start, bits: HookBits) -> Self {
        let one = Configuration::new(start, bits);
        Self::new([one, Configuration { keeps_on_collision: true, ..one }])
    }

    fn carry(&mut self) {
        for end in 0..2 {
            while let Some(output) = self.ends[end].poll_output() {
                match output {
                    Output::Indication(indication) => self.heard[end].push(indication),
                    Output::Bits(bits) => {
                        let at = (self.now - self.begun).as_millis();
                        self.log.push((at, end, bits.abcd()));
                        self.under_way.push((self.now + MS, 1 - end, output));
                    }
                    // Each digit takes 100 ms.
                    Output::Digits(ref digits) => {
                        for (digit, at) in digits.chars().zip(1..) {
                            let output = Output::Digits(digit.to_string());
                            self.under_way.push((self.now + at * 100 * MS, 1 - end, output));
                        }
                        let sent = self.now + digits.len() as u32 * 100 * MS;
                        self.under_way.push((sent, end, Output::Digits(String::new())));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end_at = self.now + time;
        while self.now < end_at {
            self.now += MS;
            let (due, later) =
                std::mem::take(&mut self.under_way).into_iter().partition(|way| way.0 <= self.now);
            self.under_way = later;
            for (_, end, output) in due {
                match output {
                    Output::Bits(bits) => self.ends[end].bits(self.now, bits),
                    Output::Digits(digits) => match digits.chars().next() {
                        Some(digit) => self.ends[end].digit(self.now, digit),
                        None => self.ends[end].digits_sent(self.now),
                    },
                    _ => {}
                }
            }
            for end in &mut self.ends {
                if end.next_deadline().is_some_and(|at| at <= self.now) {
                    end.timeout(self.now);
                }
            }
            self.carry();
        }
    }

    fn ask(&mut self, end: usize, request: Request) {
        self.ends[end].request(self.now, request).unwrap();
        self.carry();
    }

    fn heard(&mut self, end: usize) -> Vec<Indication> {
        std::mem::take(&mut self.heard[end])
    }
}

fn call(digits: &str) -> Request {
    Request::Call(Called { called: digits.to_owned(), ..Called::default() })
}

fn called(digits: &str) -> Indication {
    Indication::Called(Called { called: digits.to_owned(), ..Called::default() })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn released(cause: u8, by_us: bool) -> Indication {
    Indication::Released { cause, by_us }
}

#[test]
fn a_call_with_wink_or_immediate_start_is_dialled_answered_and_ended_by_either_end() {
    for bits in [HookBits::T1, HookBits::E1] {
        for start in [Start::Wink, Start::Immediate] {
            for ends in [0, 1] {
                let mut line = Line::both(start, bits);
                line.ask(0, call("0333331234"));
                line.pass(seconds(8));
                assert_eq!(line.heard(0), [Indication::Dialled], "{start:?}");
                assert_eq!(line.heard(1), [Indication::Seized, called("0333331234")]);
                line.ask(1, Request::Accept { charge: true });
                line.pass(seconds(1));
                line.ask(1, Request::Answer);
                line.pass(seconds(1));
                assert_eq!(line.heard(0), [Indication::Answered]);

                line.ask(ends, Request::Release { cause: 16 });
                line.pass(seconds(3));
                assert_eq!(line.heard(ends), [released(16, true), Indication::Free]);
                assert_eq!(line.heard(1 - ends), [released(16, false), Indication::Free]);
                // Both ends go on hook; whoever ended the call waits for that of the other.
                line.ask(1 - ends, call("1"));
                assert!(line.ends[1 - ends].request(line.now, call("2")).is_err());
            }
        }
    }
}

#[test]
fn the_wink_comes_when_and_for_as_long_as_it_is_set() {
    let mut line = Line::both(Start::Wink, HookBits::T1);
    line.ask(0, call("5"));
    line.pass(seconds(2));
    let began = line.log[0].0;
    let log: Vec<_> = line.log.iter().map(|(at, end, bits)| (at - began, *end, *bits)).collect();
    // 1 ms on the way, 20 ms to be recognised, 150 ms, and a wink of 200 ms.
    assert_eq!(log, [(0, 0, 0xf), (171, 1, 0xf), (371, 1, 0)]);
}

#[test]
fn a_number_is_whole_with_its_digits_or_its_end_or_when_no_more_come() {
    let wink = Configuration::new(Start::Wink, HookBits::T1);
    for (digits, dialled, within) in [(4, "1234", 2), (0, "1234#", 2), (0, "1234", 6)] {
        let mut line = Line::new([wink, Configuration { digits, ..wink }]);
        line.ask(0, call(dialled));
        line.pass(seconds(within));
        assert_eq!(line.heard(1), [Indication::Seized, called("1234")], "{dialled}");
    }
}

#[test]
fn without_a_wink_or_digits_the_call_is_over_and_the_timeslot_free_again() {
    let wink = Configuration::new(Start::Wink, HookBits::T1);
    let immediate = Configuration::new(Start::Immediate, HookBits::T1);
    // The other end expects no wink, so nobody winks.
    let mut line = Line::new([wink, immediate]);
    line.ask(0, call("5"));
    line.pass(seconds(7));
    assert_eq!(line.heard(0), [released(41, true), Indication::Free]);
    assert_eq!(line.heard(1), [Indication::Seized, released(16, false), Indication::Free]);

    // Seized and never dialled.
    let mut end = EAndM::new(wink);
    let now = Instant::now();
    end.bits(now, Bits::new(0xf));
    end.timeout(now + seconds(30));
    let outputs: Vec<_> = std::iter::from_fn(|| end.poll_output()).collect();
    assert!(outputs.contains(&Output::Indication(released(28, true))), "{outputs:?}");
    assert!(!end.is_free(), "as long as the other end is off hook");
    end.bits(now + seconds(31), Bits::new(0));
    end.timeout(now + seconds(33));
    assert!(end.is_free());
}

#[test]
fn when_both_ends_seize_the_timeslot_one_call_goes_on() {
    for start in [Start::Wink, Start::Immediate] {
        let mut line = Line::both(start, HookBits::T1);
        line.ask(0, call("111"));
        line.ask(1, call("222"));
        line.pass(seconds(10));
        assert_eq!(line.heard(1), [Indication::Dialled], "{start:?}");
        assert_eq!(line.heard(0), [released(44, true), Indication::Seized, called("222")]);
        line.ask(0, Request::Answer);
        line.pass(seconds(1));
        assert_eq!(line.heard(1), [Indication::Answered]);
    }
}

#[test]
fn bits_that_flip_for_a_moment_are_nothing() {
    let mut end = EAndM::new(Configuration::new(Start::Wink, HookBits::T1));
    let mut now = Instant::now();
    while end.poll_output().is_some() {}
    for _ in 0..100 {
        end.bits(now, Bits::new(0xf));
        end.bits(now + 15 * MS, Bits::new(0));
        now += 30 * MS;
        end.timeout(now);
    }
    assert_eq!(end.poll_output(), None);

    // On hook for 100 ms in a call is no end of it.
    let mut line = Line::both(Start::Immediate, HookBits::T1);
    line.ask(0, call("5"));
    line.pass(seconds(6));
    line.ask(1, Request::Answer);
    line.pass(seconds(1));
    line.heard = [vec![], vec![]];
    line.under_way.push((line.now + MS, 1, Output::Bits(Bits::new(0))));
    line.under_way.push((line.now + 101 * MS, 1, Output::Bits(Bits::new(0xf))));
    line.pass(seconds(2));
    assert_eq!(line.heard, [vec![], vec![]]);
}

proptest::proptest! {
    /// Whatever comes, a timeslot is free again once the other end is on hook and the call released.
    #[test]
    fn a_timeslot_is_never_stuck(steps in proptest::collection::vec((0..8_u8, 0..6_000_u32), 0..60)) {
        for start in [Start::Wink, Start::Immediate] {
            let mut end = EAndM::new(Configuration::new(start, HookBits::E1));
            let mut now = Instant::now();
            for (step, wait_ms) in &steps {
                match step {
                    0 | 1 => end.bits(now, HookBits::E1.off_hook),
                    2 | 3 => end.bits(now, HookBits::E1.on_hook),
                    4 => _ = end.request(now, call("42")),
                    5 => _ = end.request(now, Request::Answer),
                    6 => end.digit(now, '7'),
                    _ => end.digits_sent(now),
                }
                now += *wait_ms * MS;
                end.timeout(now);
            }
            end.bits(now, HookBits::E1.on_hook);
            let _ = end.request(now, Request::Release { cause: 16 });
            for _ in 0..100 {
                now += seconds(1);
                end.timeout(now);
            }
            proptest::prop_assert!(end.is_free(), "{end:?}");
        }
    }
}
