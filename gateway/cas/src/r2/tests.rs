use std::time::{Duration, Instant};

use trunkline_dsp::mf_r2::{Detector, Direction, Generator};

use super::*;

/// Samples of a step of the line: 5 ms.
const STEP: usize = 40;
const STEP_TIME: Duration = Duration::from_millis(5);

/// One end: the core, with the tones that it sends and hears.
struct End {
    core: R2,
    tones: Option<(Generator, Detector)>,
    bits: Bits,
    heard: Vec<Indication>,
    /// Register signals as they were sent.
    sent: Vec<u8>,
}

impl End {
    fn new(configuration: Configuration) -> Self {
        let core = R2::new(configuration);
        Self { core, tones: None, bits: IDLE, heard: vec![], sent: vec![] }
    }

    fn carry(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Bits(bits) => self.bits = bits,
                Output::Register(role) => {
                    self.tones = role.map(|role| {
                        let sends = match role {
                            Role::Outgoing => Direction::Forward,
                            Role::Incoming => Direction::Backward,
                        };
                        (Generator::new(sends), Detector::new(sends.other()))
                    });
                }
                Output::Tone(signal) => {
                    self.sent.extend(signal);
                    if let Some((generator, _)) = &mut self.tones {
                        generator.sound(signal);
                    }
                }
                Output::Indication(indication) => self.heard.push(indication),
                Output::Digits(_) => panic!("no DTMF here"),
            }
        }
    }

    fn says(&mut self) -> [i16; STEP] {
        let mut samples = [0; STEP];
        if let Some((generator, _)) = &mut self.tones {
            generator.fill(&mut samples);
        }
        samples
    }

    fn hears(&mut self, now: Instant, samples: &[i16; STEP], bits: Bits) {
        self.core.bits(now, bits);
        let mut tones = vec![];
        if let Some((_, detector)) = &mut self.tones {
            detector.process(samples, |signal| tones.push(signal));
        }
        for signal in tones {
            self.core.tone(now, signal);
        }
        self.core.timeout(now);
        self.carry();
    }

    fn ask(&mut self, now: Instant, request: Request) {
        self.core.request(now, request).unwrap();
        self.carry();
    }

    fn heard(&mut self) -> Vec<Indication> {
        std::mem::take(&mut self.heard)
    }
}

/// Two ends with their real tones between them, on a virtual clock.
struct Line {
    now: Instant,
    ends: [End; 2],
    /// One end's tones do not arrive.
    is_deaf: bool,
}

impl Line {
    fn new(configuration: Configuration) -> Self {
        let ends = [0, 1].map(|_| End::new(configuration));
        let mut line = Self { now: Instant::now(), ends, is_deaf: false };
        line.pass(100);
        line
    }

    fn pass(&mut self, time_ms: u64) {
        for _ in 0..time_ms / 5 {
            self.now += STEP_TIME;
            let mut said = [0, 1].map(|end: usize| self.ends[end].says());
            if self.is_deaf {
                said[0] = [0; STEP];
            }
            let bits = [0, 1].map(|end: usize| self.ends[end].bits);
            for end in 0..2 {
                self.ends[end].hears(self.now, &said[1 - end], bits[1 - end]);
            }
        }
    }
}

fn call(called: &str, calling: Option<&str>) -> Called {
    Called { called: called.to_owned(), calling: calling.map(str::to_owned), category: Some(1) }
}

fn fixed(called_digits: u8, calling_digits: u8) -> Configuration {
    Configuration { called_digits, calling_digits, ..Configuration::new(Variant::ITU) }
}

fn released(cause: u8, by_us: bool) -> Indication {
    Indication::Released { cause, by_us }
}

#[test]
fn a_call_brings_both_numbers_by_compelled_tones_and_is_answered() {
    let mut line = Line::new(fixed(10, 9));
    let wanted = call("0333331234", Some("469595678"));
    line.ends[0].ask(line.now, Request::Call(wanted.clone()));
    line.pass(6_000);
    assert_eq!(line.ends[1].heard(), [Indication::Seized, Indication::Called(wanted)]);
    assert_eq!(line.ends[0].heard(), []);
    // 10 digits, category, 9 digits, category once more, and what asks for each.
    let digits = [10, 3, 3, 3, 3, 3, 1, 2, 3, 4, 1, 4, 6, 9, 5, 9, 5, 6, 7, 8, 1];
    assert_eq!(line.ends[0].sent, digits);
    let asked = [1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 3];
    assert_eq!(line.ends[1].sent, asked);

    line.ends[1].ask(line.now, Request::Accept { charge: true });
    line.pass(1_000);
    assert_eq!(line.ends[0].heard(), [Indication::Dialled, Indication::Accepted { charge: true }]);
    line.ends[1].ask(line.now, Request::Answer);
    line.pass(100);
    assert_eq!(line.ends[0].heard(), [Indication::Answered]);
    assert!(line.ends.iter().all(|end| end.tones.is_none()), "speech");

    line.ends[0].ask(line.now, Request::Release { cause: 16 });
    line.pass(500);
    assert_eq!(line.ends[0].heard(), [released(16, true), Indication::Free]);
    assert_eq!(line.ends[1].heard(), [released(16, false), Indication::Free]);
}

#[test]
fn the_called_end_clears_back_and_the_caller_clears_forward() {
    let mut line = Line::new(fixed(3, 0));
    line.ends[0].ask(line.now, Request::Call(call("110", None)));
    line.pass(2_000);
    // An answer without a word before is both.
    line.ends[1].ask(line.now, Request::Answer);
    line.pass(1_000);
    let heard = line.ends[0].heard();
    assert_eq!(heard.last(), Some(&Indication::Answered), "{heard:?}");
    line.ends[1].heard();
    line.ends[1].ask(line.now, Request::Release { cause: 16 });
    line.pass(500);
    assert_eq!(line.ends[0].heard(), [released(16, false), Indication::Free]);
    assert_eq!(line.ends[1].heard(), [released(16, true), Indication::Free]);
}

#[test]
fn a_refusal_has_its_cause_at_the_other_end() {
    let itu = [(17, 17), (1, 1), (27, 27), (34, 42), (21, 4)].map(|causes| (Variant::ITU, causes));
    let brazil = [(17, 17), (1, 1), (22, 22), (34, 42)].map(|causes| (Variant::BRAZIL, causes));
    for (variant, (cause, arrives)) in itu.into_iter().chain(brazil) {
        let mut line = Line::new(Configuration { variant, ..fixed(3, 0) });
        line.ends[0].ask(line.now, Request::Call(call("119", None)));
        line.pass(2_000);
        line.ends[1].ask(line.now, Request::Release { cause });
        line.pass(1_000);
        assert_eq!(line.ends[0].heard(), [released(arrives, false), Indication::Free]);
        assert_eq!(line.ends[1].heard.last(), Some(&Indication::Free));
        assert_eq!(line.ends[1].heard[2], released(cause, true));
    }
}

#[test]
fn a_number_of_any_length_is_whole_by_a_pulse_or_by_its_end() {
    for variant in Variant::ALL {
        let configuration = Configuration { calling_digits: 5, ..Configuration::new(variant) };
        let mut line = Line::new(configuration);
        line.ends[0].ask(line.now, Request::Call(call("0120444444", None)));
        line.pass(10_000);
        let heard = line.ends[1].heard();
        let expected = [Indication::Seized, Indication::Called(call("0120444444", None))];
        assert_eq!(heard, expected, "{}", variant.name);
        line.ends[1].ask(line.now, Request::Accept { charge: false });
        line.pass(1_000);
        let heard = line.ends[0].heard();
        assert_eq!(heard, [Indication::Dialled, Indication::Accepted { charge: false }]);
    }
}

#[test]
fn registers_that_hear_nothing_give_up_by_their_timers_and_free_the_timeslot() {
    let mut line = Line::new(fixed(3, 0));
    line.is_deaf = true;
    line.ends[0].ask(line.now, Request::Call(call("117", None)));
    line.pass(14_000);
    assert_eq!(line.ends[0].heard(), []);
    line.pass(6_000);
    let heard = line.ends[0].heard();
    assert!(matches!(heard[..], [Indication::Released { .. }, Indication::Free]), "{heard:?}");
    assert_eq!(line.ends[1].heard.last(), Some(&Indication::Free));
    assert!(line.ends.iter().all(|end| end.core.is_free()));

    // Nobody acknowledges the seizing.
    let mut end = End::new(fixed(3, 0));
    let now = Instant::now();
    end.ask(now, Request::Call(call("117", None)));
    end.core.timeout(now + Duration::from_secs(3));
    end.carry();
    assert_eq!(end.heard(), [released(41, true), Indication::Free]);
}

#[test]
fn both_ends_seizing_and_a_blocked_timeslot_are_told() {
    let mut line = Line::new(fixed(3, 0));
    for end in 0..2 {
        line.ends[end].ask(line.now, Request::Call(call("117", None)));
    }
    line.pass(1_000);
    for end in &mut line.ends {
        assert_eq!(end.heard(), [released(44, true), Indication::Free]);
    }
    let mut end = End::new(fixed(3, 0));
    let mut now = Instant::now();
    for (bits, indication) in [(ACKNOWLEDGE, Indication::Blocked), (IDLE, Indication::Free)] {
        end.core.bits(now, bits);
        now += Duration::from_millis(30);
        end.core.timeout(now);
        end.carry();
        assert_eq!(end.heard(), [indication]);
    }
}

#[test]
fn metering_pulses_are_no_end_of_the_call_where_they_are_known() {
    let mut configuration = fixed(3, 0);
    configuration.times.clear_back = Duration::from_millis(500);
    let mut line = Line::new(configuration);
    line.ends[0].ask(line.now, Request::Call(call("117", None)));
    line.pass(2_000);
    line.ends[1].ask(line.now, Request::Answer);
    line.pass(1_000);
    line.ends[0].heard();
    line.ends[1].bits = ACKNOWLEDGE;
    line.pass(150);
    line.ends[1].bits = ANSWER;
    line.pass(2_000);
    assert_eq!(line.ends[0].heard(), []);
}

/// What an outgoing register sends when it is asked so, signal by signal.
fn sent_when_asked(variant: Variant, called: &str, asked: &[u8]) -> (Vec<u8>, Vec<Indication>) {
    let mut end = End::new(Configuration::new(variant));
    let mut now = Instant::now();
    end.ask(now, Request::Call(call(called, Some("99"))));
    end.core.bits(now, ACKNOWLEDGE);
    now += Duration::from_millis(30);
    end.core.timeout(now);
    for signal in asked {
        for tone in [Some(*signal), None] {
            now += Duration::from_millis(50);
            end.core.tone(now, tone);
        }
        end.carry();
    }
    (end.sent, end.heard)
}

#[test]
fn digits_are_sent_once_more_as_the_country_asks_for_them() {
    let itu = sent_when_asked(Variant::ITU, "123456", &[1, 1, 1, 2, 1, 7, 1, 1, 8, 1]).0;
    assert_eq!(itu, [1, 2, 3, 4, 3, 4, 2, 3, 4, 1, 2]);
    let brazil = sent_when_asked(Variant::BRAZIL, "123456", &[1, 1, 1, 9, 1, 2, 1]).0;
    assert_eq!(brazil, [1, 2, 3, 4, 3, 4, 1, 2]);
    let (sent, heard) = sent_when_asked(Variant::ARGENTINA, "12", &[1, 5, 5, 5, 5, 3, 7]);
    assert_eq!(sent, [1, 2, 1, 9, 9, 12, 1]);
    assert_eq!(heard, [Indication::Dialled, Indication::Accepted { charge: false }]);
    // Complete without group B, and what means nothing.
    let heard = sent_when_asked(Variant::ITU, "12", &[1, 6]).1;
    assert_eq!(heard, [Indication::Dialled, Indication::Accepted { charge: true }]);
    assert_eq!(sent_when_asked(Variant::BRAZIL, "12", &[1, 6]).1[0], released(111, true));
}

proptest::proptest! {
    /// Whatever comes, the timeslot is free once the other end is idle and the call released.
    #[test]
    fn a_timeslot_is_never_stuck(
        steps in proptest::collection::vec((0..13_u8, 1..=15_u8, 0..20_000_u64), 0..60),
    ) {
        let mut end = End::new(Configuration::new(Variant::ITU));
        let mut now = Instant::now();
        for (step, signal, wait_ms) in steps {
            match step {
                0..=3 => end.core.bits(now, Bits::new(step << 2 | 1)),
                4..=7 => end.core.tone(now, Some(signal)),
                8 | 9 => end.core.tone(now, None),
                10 => _ = end.core.request(now, Request::Call(call("42", Some("1")))),
                11 => _ = end.core.request(now, Request::Answer),
                _ => _ = end.core.request(now, Request::Accept { charge: true }),
            }
            now += Duration::from_millis(if step % 2 == 0 { wait_ms } else { wait_ms / 200 });
            end.core.timeout(now);
            end.carry();
        }
        let _ = end.core.request(now, Request::Release { cause: 16 });
        end.core.bits(now, IDLE);
        for _ in 0..100 {
            now += Duration::from_secs(1);
            end.core.timeout(now);
            let _ = end.core.request(now, Request::Release { cause: 16 });
        }
        end.carry();
        proptest::prop_assert!(end.core.is_free(), "{:?}", end.core);
    }
}
