//! Two spans of the real DAHDI driver back to back, as lines: frames and speech both ways, bit by
//! bit, and alarms. Run by `make test-line` in a guest, since it makes spans.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trunkline_tdm::dahdi::device::{Control, Signalling};
use trunkline_tdm::{Bearer, DahdiConfig, DahdiLine, Span, SpanConfig, SpanEvent, SpanEvents};

const PATIENCE: Duration = Duration::from_secs(60);
const D_CHANNEL: u8 = 16;

struct Tape {
    plays: Vec<u8>,
    at: usize,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Bearer for Tape {
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        self.heard.lock().unwrap().extend_from_slice(from_line);
        for octet in to_line {
            *octet = self.plays.get(self.at).copied().unwrap_or(trunkline_tdm::IDLE_A_LAW);
            self.at += 1;
        }
    }
}

fn speech(seed: u32) -> Vec<u8> {
    (0..4000_u32).map(|at| ((at + seed * 7919).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

struct End {
    span: Span,
    events: SpanEvents,
    frames: Vec<Vec<u8>>,
    heard: Vec<(u8, Arc<Mutex<Vec<u8>>>)>,
}

impl End {
    fn new(name: &str, span: i32) -> Self {
        let config = DahdiConfig {
            span,
            d_channel: Some(D_CHANNEL),
            block_samples: 160,
            idle: trunkline_tdm::IDLE_A_LAW,
        };
        let line = DahdiLine::open(config).expect("the line opens");
        let (span, events) =
            Span::start(SpanConfig::e1(name, span as u16), Box::new(line)).expect("it starts");
        Self { span, events, frames: vec![], heard: vec![] }
    }

    fn play(&mut self, timeslot: u8, seed: u32) {
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let tape = Tape { plays: speech(seed), at: 0, heard: Arc::clone(&heard) };
        self.span.attach(timeslot, Box::new(tape)).unwrap();
        self.heard.push((timeslot, heard));
    }

    fn take_events(&mut self) {
        while let Some(event) = self.events.try_next() {
            if let SpanEvent::Frame(frame) = event {
                self.frames.push(frame);
            }
        }
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{what}: {} ms", begun.elapsed().as_millis());
}

fn contains(heard: &[u8], played: &[u8]) -> bool {
    heard.windows(played.len()).any(|window| window == played)
}

fn main() {
    let control = Control::open().expect("/dev/dahdi/ctl");
    let spans = ["1:0", "1:1"].map(|address| {
        let span = control.create_dynamic_span("loc", address, 31).expect("a span is made");
        control.configure_e1(span, 0, true).expect("the span is configured");
        let channels = control.channels(span);
        assert_eq!(
            channels.iter().map(|place| place.timeslot).collect::<Vec<_>>(),
            (1..=31).collect::<Vec<u8>>()
        );
        for place in channels {
            let d_channel = place.timeslot == D_CHANNEL;
            let signalling = if d_channel { Signalling::HdlcFcs } else { Signalling::Clear };
            control.configure_channel(place.channel, signalling).expect("a channel is configured");
        }
        control.start_span(span).expect("the span starts");
        span
    });
    let [mut a, mut b] = [End::new("a", spans[0]), End::new("b", spans[1])];
    until("no alarm at either end", || a.span.alarms().is_clear() && b.span.alarms().is_clear());

    let frames: Vec<Vec<u8>> = (2..102).map(|size| vec![size as u8; size]).collect();
    for frame in &frames {
        a.span.send_frame(frame.clone()).unwrap();
        b.span.send_frame(frame.clone()).unwrap();
    }
    until("100 frames each way, in order", || {
        a.take_events();
        b.take_events();
        a.frames.len() >= 100 && b.frames.len() >= 100
    });
    assert!(a.frames == frames && b.frames == frames, "the frames are those sent");

    for timeslot in [1, 2, 15, 17, 31] {
        a.play(timeslot, u32::from(timeslot));
        b.play(timeslot, 100 + u32::from(timeslot));
    }
    until("speech on 5 timeslots each way, bit by bit", || {
        let whole = |end: &End, seed: u32| {
            end.heard.iter().all(|(timeslot, heard)| {
                contains(&heard.lock().unwrap(), &speech(seed + u32::from(*timeslot))[160..])
            })
        };
        whole(&a, 100) && whole(&b, 0)
    });

    // The far span goes: RED at this one. It needs its channels closed first.
    let (a, b) = (a, b);
    drop(b);
    control.destroy_dynamic_span("loc", "1:1").expect("the span is taken away");
    until("RED when the far span is taken away", || a.span.alarms().red);
    control.create_dynamic_span("loc", "1:1", 31).expect("it comes back");
    until("no alarm when it is back", || a.span.alarms().is_clear());
    println!("{:?}", a.span.counters());
}
