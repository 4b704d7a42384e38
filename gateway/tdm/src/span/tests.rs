use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::*;
use crate::line::{Block, LineCounters, Tick};
use crate::memory::MemoryLine;
use crate::tdmoe::{Clock, TdmoeConfig, TdmoeLine};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends what it is given and keeps what it hears.
struct Tape {
    plays: Vec<u8>,
    at: usize,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Bearer for Tape {
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        self.heard.lock().unwrap().extend_from_slice(from_line);
        for octet in to_line {
            *octet = self.plays.get(self.at).copied().unwrap_or(crate::IDLE_A_LAW);
            self.at += 1;
        }
    }
}

fn tape(plays: Vec<u8>) -> (Box<Tape>, Arc<Mutex<Vec<u8>>>) {
    let heard = Arc::default();
    (Box::new(Tape { plays, at: 0, heard: Arc::clone(&heard) }), heard)
}

struct End {
    span: Span,
    events: SpanEvents,
    alarm: AlarmState,
    frames: Vec<Vec<u8>>,
    detached: Vec<(u8, bool)>,
    ended: bool,
}

impl End {
    fn new(name: &str, line: impl Line + 'static) -> Self {
        let config = SpanConfig {
            alarm_times: AlarmTimes { red_after_ms: 250, red_clear_ms: 50, flag_ms: 10 },
            ..SpanConfig::e1(name, 1)
        };
        let (span, events) = Span::start(config, Box::new(line)).unwrap();
        let alarm = AlarmState { red: true, ..AlarmState::default() };
        Self { span, events, alarm, frames: vec![], detached: vec![], ended: false }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.events.try_next() {
            match event {
                SpanEvent::Frame(frame) => self.frames.push(frame),
                SpanEvent::Alarm(state) => self.alarm = state,
                SpanEvent::Detached { timeslot, fault, .. } => {
                    self.detached.push((timeslot, fault))
                }
                SpanEvent::Ended(_) => self.ended = true,
            }
        }
    }

    /// Waits in real time: the thread under test lives on the line's clock.
    fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        loop {
            self.take_events();
            if done(self) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{what} did not happen: {:?}",
                self.span.counters()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn loopback_pair() -> (TdmoeConfig, TdmoeConfig) {
    let free = || -> SocketAddr { UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let (a, b) = (free(), free());
    (TdmoeConfig::e1(a, b, Clock::Internal), TdmoeConfig::e1(b, a, Clock::Line))
}

fn speech(seed: u8) -> Vec<u8> {
    (0..4000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

fn contains(heard: &[u8], played: &[u8]) -> bool {
    heard.windows(played.len()).any(|window| window == played)
}

fn frames_and_audio_pass(mut a: End, mut b: End) {
    a.wait_until("RED clears at A", |a| a.alarm.is_clear());
    b.wait_until("RED clears at B", |b| b.alarm.is_clear());
    let (tape_a, heard_a) = tape(speech(1));
    let (tape_b, heard_b) = tape(speech(2));
    a.span.attach(7, tape_a).unwrap();
    b.span.attach(7, tape_b).unwrap();
    let frames: Vec<Vec<u8>> = (2..100).map(|size| vec![size as u8; size]).collect();
    for frame in &frames {
        a.span.send_frame(frame.clone()).unwrap();
        b.span.send_frame(frame.clone()).unwrap();
    }
    a.wait_until("frames at A", |a| a.frames == frames);
    b.wait_until("frames at B", |b| b.frames == frames);
    a.wait_until("speech at A", |_| heard_a.lock().unwrap().len() > 5000);
    b.wait_until("speech at B", |_| heard_b.lock().unwrap().len() > 5000);
    a.span.detach(7).unwrap();
    b.span.detach(7).unwrap();
    a.wait_until("detaching at A", |a| a.detached == [(7, false)]);
    b.wait_until("detaching at B", |b| b.detached == [(7, false)]);
    assert!(contains(&heard_a.lock().unwrap(), &speech(2)[100..]), "B is heard bit by bit");
    assert!(contains(&heard_b.lock().unwrap(), &speech(1)[100..]), "A is heard bit by bit");
    for end in [&a, &b] {
        let counters = end.span.counters();
        assert_eq!(counters.d_channel_frames_received, 98);
        assert_eq!(counters.hdlc_bad_fcs + counters.hdlc_malformed, 0);
        assert_eq!(counters.sequence_gaps + counters.malformed + counters.wrong_address, 0);
        assert_eq!(counters.events_dropped, 0);
    }
}

#[test]
fn two_spans_exchange_frames_and_audio_over_udp() {
    let (a, b) = loopback_pair();
    frames_and_audio_pass(
        End::new("a", TdmoeLine::open(a).unwrap()),
        End::new("b", TdmoeLine::open(b).unwrap()),
    );
}

#[test]
fn two_spans_exchange_frames_and_audio_in_memory() {
    let (a, b) = MemoryLine::pair();
    frames_and_audio_pass(End::new("a", a), End::new("b", b));
}

/// A busy host: either end's thread does not run for a while, in the midst of speech.
#[test]
fn a_stall_of_either_end_costs_no_octet_of_speech() {
    struct Stalls {
        tape: Box<Tape>,
        at_octet: usize,
    }
    impl Bearer for Stalls {
        fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
            if (self.at_octet..self.at_octet + 8).contains(&self.tape.at) {
                std::thread::sleep(Duration::from_millis(60));
            }
            self.tape.exchange(from_line, to_line);
        }
    }
    let (a, b) = loopback_pair();
    let mut a = End::new("a", TdmoeLine::open(a).unwrap());
    let mut b = End::new("b", TdmoeLine::open(b).unwrap());
    a.wait_until("RED clears at A", |a| a.alarm.is_clear());
    b.wait_until("RED clears at B", |b| b.alarm.is_clear());
    let (tape_a, heard_a) = tape(speech(4));
    let (tape_b, heard_b) = tape(speech(5));
    a.span.attach(31, Box::new(Stalls { tape: tape_a, at_octet: 800 })).unwrap();
    b.span.attach(31, Box::new(Stalls { tape: tape_b, at_octet: 2000 })).unwrap();
    a.wait_until("speech at A", |_| contains(&heard_a.lock().unwrap(), &speech(5)[100..]));
    b.wait_until("speech at B", |_| contains(&heard_b.lock().unwrap(), &speech(4)[100..]));
    for end in [&a, &b] {
        assert_eq!(end.span.counters().slips, 0);
        assert!(end.alarm.is_clear());
    }
}

#[test]
fn a_stopped_end_raises_red_and_its_return_clears_it() {
    for stopped_end_paces in [false, true] {
        let (a, b) = loopback_pair();
        let (stays, stops) = if stopped_end_paces { (b, a) } else { (a, b) };
        let mut end = End::new("stays", TdmoeLine::open(stays).unwrap());
        let mut other = End::new("stops", TdmoeLine::open(stops.clone()).unwrap());
        end.wait_until("RED clears", |end| end.alarm.is_clear());
        other.wait_until("RED clears", |other| other.alarm.is_clear());
        let ran = Instant::now();
        drop(other);
        end.wait_until("RED", |end| end.alarm.red);
        assert!(ran.elapsed() >= Duration::from_millis(240));
        let mut again = End::new("again", TdmoeLine::open(stops).unwrap());
        again.wait_until("RED clears", |again| again.alarm.is_clear());
        end.wait_until("RED clears", |end| end.alarm.is_clear());
    }
}

#[test]
fn an_end_in_red_makes_the_other_yellow() {
    let (a, b) = loopback_pair();
    let mut deaf = b.clone();
    // B refuses what A sends, so B is in RED and tells A.
    deaf.remote_mac = crate::tdmoe::MacAddress::BROADCAST;
    let mut far = End::new("a", TdmoeLine::open(a).unwrap());
    let near = End::new("b", TdmoeLine::open(deaf).unwrap());
    far.wait_until("YELLOW", |far| far.alarm.to_string() == "YELLOW");
    assert!(near.span.alarms().red);
    assert!(near.span.counters().wrong_address > 0);
}

#[test]
fn a_bearer_that_panics_is_thrown_out_and_the_others_go_on() {
    struct Faulty;
    impl Bearer for Faulty {
        fn exchange(&mut self, _: &[u8], _: &mut [u8]) {
            std::panic::resume_unwind(Box::new("a fault of this bearer"));
        }
    }
    let (a, b) = MemoryLine::pair_with_interval(Duration::ZERO);
    let (mut a, b) = (End::new("a", a), End::new("b", b));
    let (hears, heard) = tape(vec![]);
    let (plays, _) = tape(speech(3));
    b.span.attach(3, hears).unwrap();
    a.span.attach(2, Box::new(Faulty)).unwrap();
    a.span.attach(3, plays).unwrap();
    a.wait_until("the fault", |a| a.detached == [(2, true)]);
    a.wait_until("the speech", |_| contains(&heard.lock().unwrap(), &speech(3)));
    assert_eq!(a.span.counters().bearer_faults, 1);
    a.span.stop();
    a.wait_until("the end", |a| a.ended);
    assert_eq!(a.detached, [(2, true), (3, false)]);
}

#[test]
fn a_line_that_fails_ends_the_span_with_its_error() {
    struct Broken;
    impl Line for Broken {
        fn shape(&self) -> Shape {
            Shape { timeslots: 31, d_channel: crate::DChannel::Octets }
        }
        fn receive(&mut self, _: &mut Block) -> Result<Tick, TdmError> {
            Err(TdmError::Gone)
        }
        fn transmit(&mut self, _: &Block) -> Result<(), TdmError> {
            Ok(())
        }
        fn counters(&self) -> LineCounters {
            LineCounters::default()
        }
    }
    let mut end = End::new("broken", Broken);
    end.wait_until("the end", |end| end.ended);
}

/// A line whose card does HDLC, in blocks of 20 ms.
#[test]
fn frames_of_a_line_with_its_own_hdlc_pass_as_they_are() {
    struct Card {
        from_span: Arc<Mutex<Vec<Vec<u8>>>>,
        to_span: Vec<Vec<u8>>,
        has_room: bool,
    }
    impl Line for Card {
        fn shape(&self) -> Shape {
            Shape { timeslots: 24, d_channel: crate::DChannel::Frames }
        }
        fn receive(&mut self, block: &mut Block) -> Result<Tick, TdmError> {
            std::thread::sleep(Duration::from_millis(2));
            block.set_samples(160);
            Ok(Tick::Block { late_us: 0 })
        }
        fn transmit(&mut self, block: &Block) -> Result<(), TdmError> {
            assert_eq!(block.samples(), 160);
            Ok(())
        }
        fn receive_frame(&mut self, frame: &mut [u8]) -> Result<Option<usize>, TdmError> {
            Ok(self.to_span.pop().map(|octets| {
                frame[..octets.len()].copy_from_slice(&octets);
                octets.len()
            }))
        }
        fn send_frame(&mut self, frame: &[u8]) -> Result<bool, TdmError> {
            // Room for one frame at every other attempt.
            self.has_room = !self.has_room;
            if self.has_room {
                self.from_span.lock().unwrap().push(frame.to_vec());
            }
            Ok(self.has_room)
        }
        fn counters(&self) -> LineCounters {
            LineCounters::default()
        }
    }
    let sent = Arc::default();
    let to_span = vec![vec![2, 1, 0x7f]];
    let card = Card { from_span: Arc::clone(&sent), to_span, has_room: false };
    let config = SpanConfig { d_channel: Some(24), ..SpanConfig::e1("card", 2) };
    let (span, events) = Span::start(config, Box::new(card)).unwrap();
    assert_eq!(span.bearer_timeslots().count(), 23);
    let alarm = AlarmState::default();
    let mut end = End { span, events, alarm, frames: vec![], detached: vec![], ended: false };
    let frames: Vec<Vec<u8>> = (0..20).map(|number| vec![2, 1, number]).collect();
    for frame in &frames {
        end.span.send_frame(frame.clone()).unwrap();
    }
    end.wait_until("a frame from the card", |end| end.frames == [vec![2, 1, 0x7f]]);
    end.wait_until("frames to the card in order", |_| *sent.lock().unwrap() == frames);
}

#[test]
fn what_a_span_cannot_do_is_refused() {
    let (line, _other) = MemoryLine::pair();
    let end = End::new("a", line);
    let idle = || tape(vec![]).0;
    for timeslot in [0, 16, 32, 255] {
        assert!(matches!(end.span.attach(timeslot, idle()), Err(TdmError::Timeslot(_))));
        assert!(matches!(end.span.detach(timeslot), Err(TdmError::Timeslot(_))));
    }
    assert!(matches!(end.span.send_frame(vec![]), Err(TdmError::FrameSize { .. })));
    assert!(matches!(end.span.send_frame(vec![0; 513]), Err(TdmError::FrameSize { .. })));
    let (line, _other) = MemoryLine::pair();
    let config = SpanConfig { d_channel: Some(32), ..SpanConfig::e1("b", 2) };
    assert!(matches!(Span::start(config, Box::new(line)), Err(TdmError::Timeslot(32))));
}
