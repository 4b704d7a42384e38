//! E&M on a T1 and an E1: our core on the bits of one span, the driver's own E&M on the other.

use std::time::Instant;

use trunkline_cas::em::{Configuration, EAndM, HookBits, Start};
use trunkline_cas::{Bits, Called, Indication, Output, Request};
use trunkline_dsp::dtmf::{Detector, Event, Generator};
use trunkline_dsp::g711::Law;
use trunkline_tdm::dahdi::device::{BitSignalling, Control, Hook};

use super::slot::Voice;
use super::{attempt, span, until};

// `DAHDI_EVENT_…`
const ON_HOOK: i32 = 1;
const OFF_HOOK: i32 = 2;
const WINK: i32 = 3;

/// Blocks: 200 ms, since nothing waits for a digit.
const AHEAD: usize = 20;

/// DTMF both ways.
struct Keys {
    generator: Generator,
    detector: Detector,
    heard: String,
}

impl Keys {
    fn new() -> Self {
        let (generator, detector) = (Generator::default(), Detector::new());
        Self { generator, detector, heard: String::new() }
    }

    fn send(&mut self, digits: &str) {
        for digit in digits.chars() {
            self.generator.send(digit, 80, 80).expect("a digit");
        }
    }

    fn hear(&mut self, samples: &[i16]) {
        self.detector.process(samples, |event| {
            if let Event::Begin { digit, .. } = event {
                self.heard.push(digit);
            }
        });
    }
}

/// Our end.
struct Ours {
    voice: Voice,
    core: EAndM,
    keys: Keys,
    is_sending: bool,
    heard: Vec<Indication>,
}

impl Ours {
    fn turn(&mut self) {
        let now = Instant::now();
        let bits = Bits::new(self.voice.channel.signalling_bits().expect("bits"));
        self.core.bits(now, bits);
        let Self { voice, keys, .. } = self;
        let known = keys.heard.len();
        let (generator, detector, heard) =
            (&mut keys.generator, &mut keys.detector, &mut keys.heard);
        let hear = |samples: &[i16; super::slot::BLOCK]| {
            detector.process(samples, |event| {
                if let Event::Begin { digit, .. } = event {
                    heard.push(digit);
                }
            });
        };
        voice.exchange(|_| {}, hear, |samples| _ = generator.fill(samples));
        for digit in self.keys.heard[known..].chars() {
            self.core.digit(now, digit);
        }
        if self.is_sending && self.keys.generator.is_idle() {
            self.is_sending = false;
            self.core.digits_sent(now);
        }
        self.core.timeout(now);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Bits(bits) => {
                    self.voice.channel.set_signalling_bits(bits.abcd()).expect("bits");
                }
                Output::Digits(digits) => {
                    self.keys.send(&digits);
                    self.is_sending = true;
                }
                Output::Indication(indication) => self.heard.push(indication),
                other => panic!("{other:?}"),
            }
        }
    }

    fn ask(&mut self, request: Request) {
        self.core.request(Instant::now(), request).expect("the request fits");
        self.turn();
    }

    fn has(&self, indication: &Indication) -> bool {
        self.heard.contains(indication)
    }
}

/// The driver's end.
struct Theirs {
    voice: Voice,
    keys: Keys,
    events: Vec<i32>,
}

impl Theirs {
    fn turn(&mut self) {
        let Self { voice, keys, events } = self;
        let mut samples = None;
        let generator = &mut keys.generator;
        voice.exchange(
            |event| events.push(event),
            |heard| samples = Some(*heard),
            |said| _ = generator.fill(said),
        );
        if let Some(samples) = samples {
            keys.hear(&samples);
        }
    }

    fn hook(&self, hook: Hook) {
        self.voice.channel.hook(hook).expect("the driver does it");
    }
}

fn call(digits: &str) -> Called {
    Called { called: digits.to_owned(), ..Called::default() }
}

fn both_ways(start: Start, law: Law, channels: [i32; 2]) {
    println!("{start:?} start, channels {channels:?}");
    let configuration = Configuration { digits: 7, ..Configuration::new(start, HookBits::T1) };
    let mut ours = Ours {
        voice: Voice::open(channels[0], law, AHEAD),
        core: EAndM::new(configuration),
        keys: Keys::new(),
        is_sending: false,
        heard: vec![],
    };
    let voice = Voice::open(channels[1], law, AHEAD);
    let mut theirs = Theirs { voice, keys: Keys::new(), events: vec![] };
    macro_rules! until_both {
        ($what:expr, $done:expr) => {
            until($what, || {
                ours.turn();
                theirs.turn();
                #[allow(clippy::redundant_closure_call)]
                $done(&ours, &theirs)
            })
        };
    }
    // The channels come up as they were left; what that makes is no call.
    theirs.hook(Hook::On);
    let begun = Instant::now();
    until_both!("both ends on hook", |ours: &Ours, _: &Theirs| {
        begun.elapsed().as_millis() > 1_500 && ours.core.is_free()
    });
    theirs.events.clear();
    ours.heard.clear();

    ours.ask(Request::Call(call("5551234")));
    until_both!("the driver sees us go off hook", |_: &Ours, theirs: &Theirs| {
        theirs.events.contains(&OFF_HOOK)
    });
    if start == Start::Wink {
        theirs.hook(Hook::Wink);
    }
    until_both!("our digits are heard", |ours: &Ours, theirs: &Theirs| {
        theirs.keys.heard == "5551234" && ours.has(&Indication::Dialled)
    });
    theirs.hook(Hook::Off);
    until_both!("its answer is seen", |ours: &Ours, _: &Theirs| ours.has(&Indication::Answered));
    theirs.events.clear();
    ours.ask(Request::Release { cause: 16 });
    until_both!("the driver sees us go on hook", |_: &Ours, theirs: &Theirs| {
        theirs.events.contains(&ON_HOOK)
    });
    theirs.hook(Hook::On);
    until_both!("the timeslot is free", |ours: &Ours, _: &Theirs| ours.has(&Indication::Free));

    ours.heard.clear();
    theirs.events.clear();
    theirs.hook(Hook::Off);
    until_both!("we see the driver go off hook", |ours: &Ours, _: &Theirs| {
        ours.has(&Indication::Seized)
    });
    if start == Start::Wink {
        until_both!("the driver takes our wink for one", |_: &Ours, theirs: &Theirs| {
            theirs.events.contains(&WINK)
        });
    }
    theirs.keys.send("7654321");
    until_both!("its digits are heard", |ours: &Ours, _: &Theirs| {
        ours.heard.iter().any(|heard| matches!(heard, Indication::Called(_)))
    });
    assert!(ours.has(&Indication::Called(call("7654321"))), "{:?}", ours.heard);
    theirs.events.clear();
    ours.ask(Request::Answer);
    until_both!("the driver sees our answer", |_: &Ours, theirs: &Theirs| {
        theirs.events.contains(&OFF_HOOK)
    });
    theirs.hook(Hook::On);
    until_both!("we see it go on hook", |ours: &Ours, _: &Theirs| {
        ours.has(&Indication::Released { cause: 16, by_us: false }) && ours.has(&Indication::Free)
    });
}

/// Calls both ways on both kinds of line with both starts. The driver's spans without a card know no
/// E&M of an E1's own bits.
pub fn calls(control: &Control) {
    let e1 = [
        span(control, 1, "1:0", false, BitSignalling::Bits, 0),
        span(control, 2, "1:1", false, BitSignalling::EAndM, 0),
    ];
    let t1 = [
        span(control, 3, "2:0", true, BitSignalling::Bits, 0),
        span(control, 4, "2:1", true, BitSignalling::EAndM, 0),
    ];
    for (timeslot, start) in [(0, Start::Wink), (4, Start::Immediate)] {
        attempt(|| both_ways(start, Law::A, e1.map(|first| first + timeslot)));
        attempt(|| both_ways(start, Law::Mu, t1.map(|first| first + timeslot)));
    }
}
