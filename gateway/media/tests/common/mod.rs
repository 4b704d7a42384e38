//! Two media planes and a line clock that the test turns by hand.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::{Backend, probe};
use trunkline_media::{
    LegId, LegStatistics, Media, MediaConfig, MediaEvent, MediaEventKind, OpenedLeg, Remote,
    RtpLegSpec, RtpLegUpdate, TimeslotEnd, WorkerCounters,
};

/// The back ends this host has.
pub fn backends() -> Vec<Backend> {
    let mut backends = vec![Backend::Mio];
    if probe(None).backend == Backend::IoUring {
        backends.push(Backend::IoUring);
    }
    backends
}

/// A loopback address no other test of this process uses.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    Ipv4Addr::new(
        127,
        64 + (process >> 8) as u8 % 64,
        process as u8,
        NEXT.fetch_add(1, Ordering::Relaxed),
    )
    .into()
}

/// One worker, fast ticks, no real time: tests share their machine.
pub fn config(backend: Backend) -> MediaConfig {
    MediaConfig {
        cores: vec![0],
        backend: Some(backend),
        rtp_ports: 20_000..=20_099,
        tick: Duration::from_millis(1),
        realtime_priority: None,
        legs_per_worker_max: 64,
        // Calls of a minute take a second here.
        allowance: None,
        load_max: None,
        rtcp_interval: Duration::from_millis(400),
        ..MediaConfig::default()
    }
}

/// A media plane with one leg.
pub struct Side {
    pub media: Media,
    pub events: mpsc::Receiver<MediaEvent>,
    pub leg: LegId,
    pub local: SocketAddr,
    pub timeslot: TimeslotEnd,
    /// Octets the line has got so far.
    pub heard: Vec<u8>,
}

impl Side {
    pub fn new(config: MediaConfig, spec: RtpLegSpec) -> Self {
        let media = Media::start(config).expect("the media plane starts");
        let events = media.events().expect("the first to ask");
        let OpenedLeg { leg, local, timeslot } = media.open(spec).expect("a leg opens");
        Self { media, events, leg, local, timeslot, heard: Vec::new() }
    }

    /// An A-law leg on an address of its own.
    pub fn a_law(config: MediaConfig) -> Self {
        Self::new(config, RtpLegSpec::g711(own_address(), None, Law::A))
    }

    pub fn connect(&self, remote: SocketAddr) {
        let update = RtpLegUpdate { remote: Some(Remote::new(remote)), ..Default::default() };
        self.media.update(self.leg, update).expect("the worker takes it");
    }

    pub fn total(&self) -> WorkerCounters {
        self.media.counters().total()
    }

    /// Lets the line turn by `from_line.len()` samples in blocks of `block`.
    pub fn turn(&mut self, from_line: &[u8], block: usize) {
        for piece in from_line.chunks(block) {
            let mut to_line = [0; 512];
            self.timeslot.exchange(piece, &mut to_line[..piece.len()]);
            self.heard.extend_from_slice(&to_line[..piece.len()]);
        }
    }

    /// Waits until the counters say so.
    pub fn wait(&self, what: &str, until: impl Fn(&WorkerCounters) -> bool) {
        wait(what, || until(&self.total()));
    }

    /// Waits for an event that `pick` wants; others are passed over.
    pub fn event<T>(&mut self, what: &str, pick: impl Fn(MediaEventKind) -> Option<T>) -> T {
        let mut found = None;
        wait(what, || {
            while let Ok(event) = self.events.try_recv() {
                assert_eq!(event.leg, self.leg);
                found = pick(event.kind);
                if found.is_some() {
                    return true;
                }
            }
            false
        });
        found.expect("waited for")
    }

    pub fn close(&mut self) -> LegStatistics {
        self.media.close(self.leg).expect("the worker takes it");
        self.event("the last event", |kind| match kind {
            MediaEventKind::Closed(statistics) => Some(*statistics),
            _ => None,
        })
    }
}

/// Waits up to five seconds.
pub fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !until() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// Two sides that know each other.
pub fn pair(backend: Backend) -> (Side, Side) {
    let (a, b) = (Side::a_law(config(backend)), Side::a_law(config(backend)));
    a.connect(b.local);
    b.connect(a.local);
    (a, b)
}

/// A call of `packets` packets of 20 ms each way; both lines turn together, and never before all
/// packets that are on their way have arrived.
pub fn talk(a: &mut Side, b: &mut Side, speech_a: &[u8], speech_b: &[u8], block: usize) {
    let before = (a.total().packets_received, b.total().packets_received);
    let pieces = speech_a.chunks(160).zip(speech_b.chunks(160));
    for (number, (piece_a, piece_b)) in pieces.enumerate() {
        a.turn(piece_a, block);
        b.turn(piece_b, block);
        let number = number as u64 + 1;
        a.wait("a's packet", |counters| counters.packets_received >= before.0 + number);
        b.wait("b's packet", |counters| counters.packets_received >= before.1 + number);
    }
}

/// Octets that look like nothing else: no two stretches are alike, none is silence.
pub fn speech(samples: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..samples)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

/// Where `heard` begins to be `said`, if from there on it is `said` and nothing else.
pub fn starts_at(heard: &[u8], said: &[u8]) -> Option<usize> {
    (0..heard.len().saturating_sub(160)).find(|at| said.starts_with(&heard[*at..]))
}

/// A far end made by hand: plain sockets for RTP and RTCP.
pub struct FarEnd {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    pub address: SocketAddr,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

impl FarEnd {
    pub fn new() -> Self {
        let ip = own_address();
        let rtp = UdpSocket::bind((ip, 30_000)).expect("bind");
        let rtcp = UdpSocket::bind((ip, 30_001)).expect("bind");
        Self::by(rtp, rtcp)
    }

    /// With sockets of another host, say.
    pub fn by(rtp: UdpSocket, rtcp: UdpSocket) -> Self {
        for socket in [&rtp, &rtcp] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        }
        let address = rtp.local_addr().expect("address");
        Self { rtp, rtcp, address, sequence: 100, timestamp: 8000, ssrc: 0xFEED_BEEF }
    }

    /// An RTP packet as it stands on the wire.
    pub fn packet(&self, payload_type: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }

    /// Sends the next packet of speech.
    pub fn speak(&mut self, to: SocketAddr, payload_type: u8, payload: &[u8]) {
        let packet = self.packet(payload_type, false, payload);
        self.rtp.send_to(&packet, to).expect("send");
        self.skip(payload.len());
    }

    /// A packet is lost.
    pub fn skip(&mut self, samples: usize) {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }

    /// The next RTP packet that comes.
    pub fn hear(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let (len, _) = self.rtp.recv_from(&mut buffer).expect("an RTP packet");
        buffer[..len].to_vec()
    }

    /// The next RTCP compound that comes.
    pub fn hear_report(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let (len, _) = self.rtcp.recv_from(&mut buffer).expect("an RTCP compound");
        buffer[..len].to_vec()
    }
}
