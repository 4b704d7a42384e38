//! MFC/R2 on an E1: our core on the bits of one span, r2test of libopenr2 on the other.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use trunkline_cas::r2::{Configuration, R2, Role, Variant};
use trunkline_cas::{Bits, Called, Indication, Output, Request};
use trunkline_dsp::g711::Law;
use trunkline_dsp::mf_r2::{Detector, Direction, Generator};
use trunkline_tdm::dahdi::device::{BitSignalling, Control};

use super::slot::{BLOCK, Voice};
use super::{attempt, span, until};

const IDLE: u8 = 0b1001;

/// Blocks: 200 ms. A hole in a tone would be its end.
const AHEAD: usize = 20;

/// Our end.
struct Ours {
    voice: Voice,
    core: R2,
    tones: Option<(Generator, Detector)>,
    heard: Vec<Indication>,
}

impl Ours {
    fn open(channel: i32, configuration: Configuration) -> Self {
        let core = R2::new(configuration);
        Self { voice: Voice::open(channel, Law::A, AHEAD), core, tones: None, heard: vec![] }
    }

    fn turn(&mut self) {
        let now = Instant::now();
        let bits = Bits::new(self.voice.channel.signalling_bits().expect("bits"));
        self.core.bits(now, bits);
        let mut signals = vec![];
        let mut samples = None;
        let generator = self.tones.as_mut().map(|(generator, _)| generator);
        let say = |said: &mut [i16; BLOCK]| {
            if let Some(generator) = generator {
                generator.fill(said);
            }
        };
        self.voice.exchange(|_| {}, |heard| samples = Some(*heard), say);
        if let (Some(samples), Some((_, detector))) = (samples, &mut self.tones) {
            detector.process(&samples, |signal| signals.push(signal));
        }
        for signal in signals {
            self.core.tone(now, signal);
        }
        self.core.timeout(now);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Bits(bits) => {
                    self.voice.channel.set_signalling_bits(bits.abcd()).expect("bits");
                }
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
                    if let Some((generator, _)) = &mut self.tones {
                        generator.sound(signal);
                    }
                }
                Output::Indication(indication) => self.heard.push(indication),
                Output::Digits(_) => panic!("no DTMF here"),
            }
        }
    }

    fn ask(&mut self, request: Request) {
        self.core.request(Instant::now(), request).expect("the request fits");
    }

    fn has(&self, indication: &Indication) -> bool {
        self.heard.contains(indication)
    }
}

/// r2test, which answers on a channel and calls on another.
struct Peer {
    process: Child,
    said: Receiver<String>,
    log: Vec<String>,
}

impl Peer {
    fn start(variant: &str, answers_on: i32, calls_on: i32) -> Self {
        let mut file = String::new();
        let common = "category=NATIONAL_SUBSCRIBER\nloglevel=error,warning,debug,notice,cas,mf\n\
                      callfiles=no\nmaxani=10\nmaxdnis=4\ngetanifirst=no\nusedahdimf=no\n\
                      mfthreshold=20\nmfbacktimeout=-1\nmeteringpulsetimeout=-1\ncollectcalls=no\n\
                      chargecalls=yes\ndoubleanswer=no\nimmediateaccept=no\nskipcategory=no\n\
                      playaudio=no\n";
        let _ = write!(file, "{common}variant={variant}\ncaller=no\n");
        let _ = writeln!(file, "channel={answers_on}-{answers_on}");
        let _ = write!(file, "dnid=4321\ncid=0987654321\ncaller=yes\n");
        let _ = writeln!(file, "channel={calls_on}-{calls_on}");
        std::fs::write("/tmp/r2test.conf", file).expect("its configuration");
        // What it says is to be seen at once.
        let mut process = Command::new("/bin/r2test")
            .args(["-c", "/tmp/r2test.conf"])
            .env("LD_PRELOAD", "/lib/libstdbuf.so")
            .env("_STDBUF_O", "L")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("r2test starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { process, said, log: vec![] }
    }

    fn has_said(&mut self, what: &str) -> bool {
        self.log.extend(self.said.try_iter());
        self.log.iter().any(|line| line.contains(what))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.log.extend(self.said.try_iter());
        if std::thread::panicking() {
            for line in &self.log {
                println!("r2test: {line}");
            }
        }
    }
}

fn both_ways(variant: Variant, peers_name: &str, ours: i32, theirs: i32) {
    println!("{}, channels {ours} and {theirs}", variant.name);
    let configuration =
        Configuration { called_digits: 4, calling_digits: 10, ..Configuration::new(variant) };
    let mut calls = Ours::open(ours, configuration);
    let mut answers = Ours::open(ours + 1, configuration);
    let settled = Instant::now();
    until("idle", || {
        calls.turn();
        answers.turn();
        settled.elapsed() > Duration::from_millis(300)
    });
    let mut peer = Peer::start(peers_name, theirs, theirs + 1);
    macro_rules! until_both {
        ($what:expr, $done:expr) => {
            until($what, || {
                calls.turn();
                answers.turn();
                #[allow(clippy::redundant_closure_call)]
                $done(&calls, &answers, &mut peer)
            })
        };
    }

    let expected = Called {
        called: "4321".to_owned(),
        calling: Some("0987654321".to_owned()),
        category: Some(1),
    };
    until_both!("r2test's call comes", |_: &Ours, answers: &Ours, _: &mut Peer| {
        answers.has(&Indication::Called(expected.clone()))
    });
    answers.ask(Request::Accept { charge: true });
    until_both!("it rings there", |_: &Ours, _: &Ours, peer: &mut Peer| {
        peer.has_said("call has been accepted")
    });
    answers.ask(Request::Answer);
    until_both!("it is answered there", |_: &Ours, _: &Ours, peer: &mut Peer| {
        peer.has_said("call has been answered")
    });
    answers.ask(Request::Release { cause: 16 });
    until_both!("it is over on both ends", |_: &Ours, answers: &Ours, _: &mut Peer| {
        answers.has(&Indication::Free)
    });

    calls.heard.clear();
    let number = Called { called: "1234".to_owned(), ..expected.clone() };
    calls.ask(Request::Call(number));
    until_both!("our call is answered", |calls: &Ours, _: &Ours, _: &mut Peer| {
        calls.has(&Indication::Answered)
    });
    assert!(calls.has(&Indication::Dialled) && calls.has(&Indication::Accepted { charge: true }));
    until_both!("r2test got both numbers", |_: &Ours, _: &Ours, peer: &mut Peer| {
        peer.has_said("ANI = 0987654321, DNIS = 1234")
    });
    calls.ask(Request::Release { cause: 16 });
    until_both!("it is over on both ends", |calls: &Ours, _: &Ours, peer: &mut Peer| {
        calls.has(&Indication::Free) && peer.has_said("call ended")
    });
}

/// Calls both ways in each variant that r2test has too.
pub fn calls(control: &Control) {
    let ours = span(control, 1, "1:0", false, BitSignalling::Bits, IDLE);
    let theirs = span(control, 2, "1:1", false, BitSignalling::Bits, IDLE);
    let variants = [(Variant::ITU, "itu"), (Variant::BRAZIL, "br")];
    for (at, (variant, peers_name)) in (0..).zip(variants) {
        attempt(|| both_ways(variant, peers_name, ours + 2 * at, theirs + 2 * at));
    }
}
