//! Floods over real sockets, on a worker whose ticks and clock the test turns: what is not lost,
//! doubled or swapped, and leaves in the very tick after it came, is not delayed either.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicU8;

use tokio::sync::mpsc;
use trunkline_dsp::g711::Law;
use trunkline_rtp::source::SourcePolicy;

use std::net::SocketAddr;

use super::*;
use crate::config::PacketAllowance;
use crate::event::MediaEvent;
use crate::leg::LegSettings;
use crate::packet_io::{Backend, probe};
use crate::ports::PortRange;
use crate::spec::{Remote, RtpLegSpec};

const TICK: Duration = Duration::from_millis(5);
/// Ticks to a packet of 20 ms.
const TICKS_A_PACKET: u32 = 4;
/// Two seconds.
const TICKS: u32 = 400;
/// What a source of packets of 20 ms may send: 200 a second.
const ALLOWED_A_TICK: u32 = 1;
/// Ten times as much.
const FLOOD: u32 = 10 * ALLOWED_A_TICK;

/// A loopback address of its own.
fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let [high, low] = [(process >> 8) as u8 % 32, process as u8];
    Ipv4Addr::new(127, 32 + high, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// A party: sends numbered packets, and takes down what comes.
struct Party {
    socket: UdpSocket,
    /// The leg's port for it.
    leg: SocketAddr,
    sent: u16,
    heard: Vec<u16>,
}

impl Party {
    fn new() -> Self {
        let socket = UdpSocket::bind((own_address(), 30_000)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { socket, leg: SocketAddr::from(([0; 4], 0)), sent: 0, heard: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends the next packet; its payload is its number.
    fn speak(&mut self) {
        self.socket.send_to(&packet(self.sent), self.leg).unwrap();
        self.sent += 1;
    }

    /// A packet has come, or comes by itself: the worker does nothing meanwhile.
    fn hear(&mut self) {
        let number = self.next().expect("no packet has come");
        self.heard.push(number);
    }

    /// Takes what has come.
    fn drain(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        while let Some(number) = self.next() {
            self.heard.push(number);
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    fn next(&mut self) -> Option<u16> {
        let mut buffer = [0; 2048];
        match self.socket.recv_from(&mut buffer) {
            Ok((octets, from)) => {
                assert_eq!((octets, from), (172, self.leg));
                Some(u16::from_be_bytes([buffer[12], buffer[13]]))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                None
            }
        }
    }

    fn has_heard_all(&self, packets: u16) -> bool {
        self.heard.iter().copied().eq(0..packets)
    }
}

/// 20 ms of A-law, numbered in sequence, timestamp and payload.
fn packet(number: u16) -> [u8; 172] {
    let mut packet = [0; 172];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet[2..4].copy_from_slice(&number.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(number) * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&0xFEED_u32.to_be_bytes());
    packet[12..14].copy_from_slice(&number.to_be_bytes());
    packet
}

/// Two parties and a pair of legs between them.
struct Call {
    a: Party,
    b: Party,
}

impl Call {
    fn speak(&mut self) {
        self.a.speak();
        self.b.speak();
    }

    fn hear(&mut self) {
        self.a.hear();
        self.b.hear();
    }
}

/// A worker with calls, on the test's thread.
struct Bench {
    worker: Worker,
    link: Arc<Link>,
    ports: Arc<PortRange>,
    now: Instant,
    serial: u64,
    /// Packets that were sent before the one that comes here are in their sockets.
    mark: (UdpSocket, UdpSocket),
    _events: mpsc::Receiver<MediaEvent>,
}

impl Bench {
    fn new(backend: Backend) -> Self {
        let settings = WorkerSettings {
            number: 0,
            core: available_cores().unwrap()[0],
            realtime_priority: None,
            tick: TICK,
            relays_below: false,
            legs_max: 16,
        };
        let opening = match backend {
            Backend::IoUring => Opening::IoUring,
            _ => Opening::Mio,
        };
        let link = Arc::new(Link::new(16));
        let (sender, events) = mpsc::channel(64);
        let worker =
            Worker::new(&settings, Arc::clone(&link), Events::new(sender, 16), opening).unwrap();
        let bind = || UdpSocket::bind((own_address(), 0)).unwrap();
        let mark = (bind(), bind());
        mark.0.connect(mark.1.local_addr().unwrap()).unwrap();
        let ports = Arc::new(PortRange::new(24_000..=24_099));
        Self { worker, link, ports, now: Instant::now(), serial: 0, mark, _events: events }
    }

    /// A pair; both parties have spoken once, so that nobody else can be taken for them.
    fn call(&mut self) -> Call {
        let (mut a, mut b) = (Party::new(), Party::new());
        let (newcomer_a, newcomer_b) = (self.newcomer(&mut a), self.newcomer(&mut b));
        self.link.commands.push(Command::OpenPair(newcomer_a, newcomer_b)).unwrap();
        let mut call = Call { a, b };
        self.tick();
        call.speak();
        self.tick();
        call.hear();
        call
    }

    fn newcomer(&mut self, party: &mut Party) -> Newcomer {
        let local = own_address();
        let spec = RtpLegSpec::g711(local, Some(Remote::new(party.address())), Law::A);
        let settings = LegSettings {
            policy: SourcePolicy::default(),
            allowance: Some(PacketAllowance::default()),
            rtp_timeout: Duration::ZERO,
            rtcp_interval: Duration::from_secs(3_600),
        };
        let pair = self.ports.bind(local, 0).unwrap();
        party.leg = pair.rtp.local_addr().unwrap();
        self.serial += 1;
        let id = LegId { worker: 0, serial: self.serial, paired: true };
        let leg = Leg::paired(id, &spec, settings, pair.lease, self.now);
        Newcomer { leg: Box::new(leg), rtp: pair.rtp, rtcp: pair.rtcp }
    }

    /// Serves once what has been sent by now.
    fn tick(&mut self) {
        // The thread stays on its core, and the loopback of a core delivers in order.
        self.mark.0.send(&[0]).unwrap();
        self.mark.1.recv(&mut [0]).unwrap();
        self.now += TICK;
        self.worker.serve(self.now);
    }
}

fn backends() -> Vec<Backend> {
    let mut backends = vec![Backend::Mio];
    if probe(None).backend == Backend::IoUring {
        backends.push(Backend::IoUring);
    }
    backends
}

#[test]
fn strangers_flood_every_port_and_every_call_goes_on_as_before() {
    for backend in backends() {
        let mut bench = Bench::new(backend);
        let mut calls = [bench.call(), bench.call()];
        let strangers = [Party::new(), Party::new()];
        let mut injected = 0;
        for tick in 0..TICKS {
            // They are there first.
            for number in 0..FLOOD {
                let stranger = &strangers[number as usize % 2].socket;
                for call in &calls {
                    for leg in [call.a.leg, call.b.leg] {
                        let rtcp = SocketAddr::new(leg.ip(), leg.port() + 1);
                        let packet = packet((injected % 50_000) as u16);
                        stranger.send_to(&packet, leg).unwrap();
                        stranger.send_to(&packet, rtcp).unwrap();
                        injected += 2;
                    }
                }
            }
            let is_due = tick % TICKS_A_PACKET == 0;
            if is_due {
                calls.iter_mut().for_each(Call::speak);
            }
            bench.tick();
            if is_due {
                calls.iter_mut().for_each(Call::hear);
            }
        }
        let each = 1 + (TICKS / TICKS_A_PACKET) as u16;
        for call in &mut calls {
            call.a.drain();
            call.b.drain();
            assert!(call.a.has_heard_all(each) && call.b.has_heard_all(each), "{backend}");
        }
        let counters = bench.worker.counters;
        assert_eq!(injected, u64::from(TICKS * FLOOD * 8));
        assert_eq!(counters.dropped_source, injected, "{backend}");
        assert_eq!((counters.packets_received, counters.packets_sent), (404, 404));
        assert_eq!(counters.dropped_rate + counters.dropped_malformed, 0);
        // Nothing goes back to them.
        for mut stranger in strangers {
            stranger.drain();
            assert!(stranger.heard.is_empty());
        }
    }
}

#[test]
fn a_peer_that_floods_its_leg_harms_nothing_but_what_it_says_itself() {
    for backend in backends() {
        let mut bench = Bench::new(backend);
        let (mut other, mut flooded) = (bench.call(), bench.call());
        for tick in 0..TICKS {
            for _ in 0..FLOOD {
                flooded.a.speak();
            }
            let is_due = tick % TICKS_A_PACKET == 0;
            if is_due {
                other.speak();
                flooded.b.speak();
            }
            bench.tick();
            if is_due {
                other.hear();
                // Towards the one who floods.
                flooded.a.hear();
            }
            flooded.b.drain();
        }
        let each = 1 + (TICKS / TICKS_A_PACKET) as u16;
        for party in [&mut other.a, &mut other.b, &mut flooded.a] {
            party.drain();
            assert!(party.has_heard_all(each), "{backend}");
        }
        // The other side of its call gets what is allowed: a second's worth at once, then its rate.
        let allowed = 200 + TICKS * ALLOWED_A_TICK;
        let passed = flooded.b.heard.len();
        assert!((allowed - 2..=allowed + 2).contains(&(passed as u32)), "{backend}: {passed}");
        assert!(flooded.b.heard.is_sorted());
        let counters = bench.worker.counters;
        assert_eq!(counters.dropped_rate, u64::from(flooded.a.sent) - passed as u64);
        assert_eq!(counters.packets_received, 3 * u64::from(each) + passed as u64);
        assert_eq!(counters.packets_sent, counters.packets_received);
    }
}

#[test]
fn a_peer_that_floods_with_reports_costs_only_its_reports() {
    for backend in backends() {
        let mut bench = Bench::new(backend);
        let mut call = bench.call();
        let rtcp = SocketAddr::new(call.a.leg.ip(), call.a.leg.port() + 1);
        // An empty receiver report.
        let report = [0x80, 201, 0, 1, 0, 0, 0xFE, 0xED];
        for tick in 0..TICKS {
            for _ in 0..FLOOD {
                call.a.socket.send_to(&report, rtcp).unwrap();
            }
            let is_due = tick % TICKS_A_PACKET == 0;
            if is_due {
                call.speak();
            }
            bench.tick();
            if is_due {
                call.hear();
            }
        }
        let each = 1 + (TICKS / TICKS_A_PACKET) as u16;
        assert!(call.a.has_heard_all(each) && call.b.has_heard_all(each), "{backend}");
        let counters = bench.worker.counters;
        assert_eq!(counters.rtcp_received + counters.dropped_rate, u64::from(TICKS * FLOOD));
        // 20 at once and 20 a second.
        assert!((59..=61).contains(&counters.rtcp_received), "{}", counters.rtcp_received);
    }
}
