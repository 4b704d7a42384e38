//! Two spans of the real DAHDI driver back to back, as lines: frames and speech both ways, bit by
//! bit, and alarms. Run by `make test-line` in a guest, since it makes spans.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trunkline_dsp::g711::Law;
use trunkline_tdm::dahdi::SetUp;
use trunkline_tdm::dahdi::device::{Coding, Control, DynamicSpan, Framing, LineSettings};
use trunkline_tdm::{
    Bearer, DahdiBuffers, DahdiConfig, DahdiLine, Span, SpanConfig, SpanEvent, SpanEvents,
};

const PATIENCE: Duration = Duration::from_secs(60);
const D_CHANNEL: u8 = 16;
const BLOCK_SAMPLES: usize = 160;

/// Two of them are back to back.
fn dynamic(span: i32) -> DynamicSpan {
    DynamicSpan { driver: "loc".to_owned(), address: format!("1:{}", span - 1), timing: 0 }
}

struct Tape {
    plays: Vec<u8>,
    at: usize,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Bearer for Tape {
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        self.heard.lock().unwrap().extend_from_slice(from_line);
        for octet in to_line {
            *octet = self.plays[self.at];
            // Again and again: a guest that is held up leaves a hole in one of them.
            self.at = (self.at + 1) % self.plays.len();
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
        let set_up = SetUp {
            dynamic: Some(dynamic(span)),
            line: LineSettings {
                framing: Framing::Ccs { crc4: true },
                coding: Coding::Hdb3,
                build_out: 0,
                sync: 0,
            },
        };
        let config = DahdiConfig {
            block_samples: BLOCK_SAMPLES,
            // The guest's processor is emulated and shared.
            buffers: DahdiBuffers { count: 16, ahead: 6, half_full: false },
            set_up: Some(set_up),
            ..DahdiConfig::new(span, D_CHANNEL, Law::A)
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

/// Says a mark when it is told to, and once stops the thread that it is on.
struct Stalling {
    mark: Arc<Mutex<Vec<u8>>>,
    stall: Arc<Mutex<Duration>>,
}

impl Bearer for Stalling {
    fn exchange(&mut self, _from_line: &[u8], to_line: &mut [u8]) {
        let stall = std::mem::take(&mut *self.stall.lock().unwrap());
        std::thread::sleep(stall);
        to_line.fill(trunkline_tdm::IDLE_A_LAW);
        let mut mark = self.mark.lock().unwrap();
        let said = to_line.len().min(mark.len());
        to_line[..said].copy_from_slice(&mark.drain(..said).collect::<Vec<_>>());
    }
}

/// A thread that was away for long leaves no more under way than before.
fn stall(a: &mut End, b: &mut End) {
    const TIMESLOT: u8 = 9;
    let (mark, stall): (Arc<Mutex<Vec<u8>>>, Arc<Mutex<Duration>>) = Default::default();
    let bearer = Stalling { mark: Arc::clone(&mark), stall: Arc::clone(&stall) };
    a.span.attach(TIMESLOT, Box::new(bearer)).unwrap();
    b.play(TIMESLOT, 7);
    let heard = Arc::clone(&b.heard.last().expect("it plays").1);
    let delays = [false, true].map(|stalls| {
        if stalls {
            *stall.lock().unwrap() = Duration::from_millis(600);
            std::thread::sleep(Duration::from_millis(1_500));
        }
        // The quickest of several: the guest itself is held up now and then.
        let delays = (0..8).map(|seed| {
            let said = &speech(200 + seed + 100 * u32::from(stalls))[..BLOCK_SAMPLES];
            let mut begun = Instant::now();
            mark.lock().unwrap().extend_from_slice(said);
            until("a mark", || {
                if begun.elapsed() > Duration::from_secs(3) {
                    // It was lost where the guest was held up.
                    begun = Instant::now();
                    mark.lock().unwrap().extend_from_slice(said);
                }
                contains(&heard.lock().unwrap(), said)
            });
            begun.elapsed().as_millis()
        });
        delays.min().expect("some")
    });
    println!("delay before and after a stall: {delays:?} ms");
    // Without beginning anew it would be what fits into the buffers, ten blocks more.
    let block_ms = (BLOCK_SAMPLES / 8) as u128;
    let changed_ms = delays[0].abs_diff(delays[1]);
    assert!(changed_ms <= 5 * block_ms, "more or less is under way than before");
    let counters = a.span.counters();
    assert!(counters.write_underruns > 0 && counters.slips > 0, "{counters:?}");
}

fn main() {
    let control = Control::open().expect("/dev/dahdi/ctl");
    let [mut a, mut b] = [End::new("a", 1), End::new("b", 2)];
    until("no alarm at either end", || a.span.alarms().is_clear() && b.span.alarms().is_clear());

    // The first one is lost where the receiver has not seen a flag before.
    until("a frame each way", || {
        for end in [&mut a, &mut b] {
            end.span.send_frame(vec![0; 2]).unwrap();
            end.take_events();
        }
        std::thread::sleep(Duration::from_millis(50));
        !a.frames.is_empty() && !b.frames.is_empty()
    });
    let frames: Vec<Vec<u8>> = (2..102).map(|size| vec![size as u8; size]).collect();
    // No more at a time than the driver has buffers for, in a guest that is held up.
    for part in frames.chunks(20) {
        for frame in part {
            a.span.send_frame(frame.clone()).unwrap();
            b.span.send_frame(frame.clone()).unwrap();
        }
        until("20 frames each way", || {
            a.take_events();
            b.take_events();
            [&a, &b].iter().all(|end| end.frames.last() == part.last())
        });
    }
    for end in [&mut a, &mut b] {
        end.frames.retain(|frame| *frame != [0; 2]);
        assert!(end.frames == frames, "the frames are those sent, in their order");
    }

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

    stall(&mut a, &mut b);

    // The far span goes: RED at this one. It needs its channels closed first.
    let (a, b) = (a, b);
    drop(b);
    control.destroy_dynamic_span(&dynamic(2)).expect("the span is taken away");
    until("RED when the far span is taken away", || a.span.alarms().red);
    control.create_dynamic_span(&dynamic(2), 31).expect("it comes back");
    until("no alarm when it is back", || a.span.alarms().is_clear());
    println!("{:?}", a.span.counters());
}
