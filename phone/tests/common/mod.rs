//! A gateway for the phone to call: a real SIP endpoint and a real media plane, on an address of
//! its own.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use trunkline_dsp::g711::Law;
use trunkline_media::{
    LegId, Media, MediaConfig, OpenedLeg, RtpLegSpec, RtpLegUpdate, TimeslotEnd,
};
use trunkline_number::E164;
use trunkline_phone::callee::Callee;
use trunkline_phone::configuration::{Configuration, Sound};
use trunkline_phone::engine::{self, CallError, Wishes};
use trunkline_phone::face::Face;
use trunkline_phone::words::Language;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::{Direction, LocalMedia, Sdp, answer, make_offer};
use trunkline_sip::{Endpoint, EndpointConfig, Event, Events, IncomingInvite};

pub const NUMBER: &str = "+81333331234";

/// A loopback address that no other test of this process uses.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    Ipv4Addr::new(
        127,
        128 + (process >> 8) as u8 % 64,
        process as u8,
        NEXT.fetch_add(1, Ordering::Relaxed),
    )
    .into()
}

/// A gateway without a line behind it.
pub struct Gateway {
    pub endpoint: Endpoint,
    pub events: Events,
    pub address: SocketAddr,
}

impl Gateway {
    pub async fn start() -> Self {
        let (endpoint, events) = Endpoint::start(EndpointConfig {
            udp: vec![(own_address(), 0).into()],
            ..EndpointConfig::default()
        })
        .await
        .unwrap();
        let address = endpoint.udp_addresses()[0];
        Self { endpoint, events, address }
    }

    pub async fn next(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(10), self.events.next())
            .await
            .expect("an event within 10 s")
            .expect("the endpoint lives")
    }

    pub async fn incoming(&mut self) -> IncomingInvite {
        match self.next().await {
            Event::Invite(invite) => *invite,
            other => panic!("expected a call, got {other:?}"),
        }
    }

    pub async fn stop(self) {
        self.endpoint.shutdown(Duration::from_secs(2)).await;
    }
}

/// The voice of a call at the gateway: says a sequence over and over, keeps what it hears.
pub struct Voice {
    pub media: Media,
    pub leg: LegId,
    pub answer: Vec<u8>,
    local: LocalMedia,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<u8>>,
}

impl Voice {
    /// Answers an offer with PCMA and begins to say the octets.
    pub fn answering(offer: &[u8], address: IpAddr, say: Vec<u8>) -> Self {
        let offer = Sdp::parse(offer).unwrap();
        let media = Media::start(MediaConfig {
            cores: vec![0],
            realtime_priority: None,
            ..MediaConfig::default()
        })
        .unwrap();
        let OpenedLeg { leg, local, timeslot } =
            media.open(RtpLegSpec::g711(address, None, Law::A)).unwrap();
        let local = LocalMedia::new(local, 7);
        let (answer, negotiated) = answer(&offer, &local, &[Codec::Pcma]).unwrap();
        media.update(leg, RtpLegUpdate::negotiated(&negotiated, None)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || talk(timeslot, &say, &told));
        Self { media, leg, answer: answer.to_string().into_bytes(), local, stop, thread }
    }

    /// An offer that puts the phone on hold, or takes it back.
    pub fn offer(&mut self, direction: Direction) -> Vec<u8> {
        self.local.version += 1;
        self.local.direction = direction;
        make_offer(&self.local, &[Codec::Pcma]).to_string().into_bytes()
    }

    /// Ends it: what was heard.
    pub fn stop(self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        self.media.close(self.leg).unwrap();
        self.thread.join().unwrap()
    }
}

fn talk(mut timeslot: TimeslotEnd, say: &[u8], stop: &AtomicBool) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut deadline = Instant::now();
    for block in say.chunks_exact(80).cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut to_line = [0; 80];
        timeslot.exchange(block, &mut to_line);
        heard.extend_from_slice(&to_line);
        deadline += Duration::from_millis(10);
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    }
    heard
}

/// A-law octets in which no 20 ms are like any other 20 ms.
pub fn sequence(seed: u32, octets: usize) -> Vec<u8> {
    let mut state = seed;
    (0..octets)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// How many of the blocks of 20 ms of `said` stand exactly in `heard`, in percent.
pub fn exact_percent(said: &[u8], heard: &[u8]) -> usize {
    let blocks = said.chunks_exact(160);
    let count = blocks.len();
    let exact = blocks.filter(|block| heard.windows(160).any(|window| window == *block)).count();
    exact * 100 / count
}

pub fn write_wav(path: &Path, octets: &[u8]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for &octet in octets {
        writer.write_sample(Law::A.decode(octet)).unwrap();
    }
    writer.finalize().unwrap();
}

pub fn read_wav(path: &Path) -> Vec<u8> {
    let reader = hound::WavReader::open(path).unwrap();
    reader.into_samples::<i16>().map(|sample| Law::A.encode(sample.unwrap())).collect()
}

/// A phone on an address of its own that asks nobody and is silent.
pub fn configuration() -> Configuration {
    Configuration {
        directory: Vec::new(),
        address: Some(own_address()),
        sound: Sound::Nothing,
        ask: false,
        ..Configuration::default()
    }
}

pub fn callee(gateway: Option<SocketAddr>) -> Callee {
    Callee {
        written: "03-3333-1234".to_owned(),
        number: NUMBER.parse::<E164>().unwrap(),
        gateway: gateway.map(|gateway| gateway.to_string()),
        untrusted_gateway: None,
    }
}

/// A phone that calls on a thread of its own, as a program does.
pub struct Calling(mpsc::Receiver<Result<(), CallError>>);

pub fn call(mut configuration: Configuration, callee: Callee, wishes: Wishes) -> Calling {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut face = Face::terminal(Language::English);
        let _ = sender.send(engine::run(&mut configuration, callee, &wishes, &mut face));
    });
    Calling(receiver)
}

impl Calling {
    /// How it ended.
    pub async fn outcome(self) -> Result<(), CallError> {
        tokio::task::spawn_blocking(move || {
            self.0.recv_timeout(Duration::from_secs(20)).expect("the phone ends within 20 s")
        })
        .await
        .unwrap()
    }
}
