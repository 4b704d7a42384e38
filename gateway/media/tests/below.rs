//! Calls whose packets the kernel relays on its device, and that come back when something must be
//! done to them; every packet is counted.

mod common;
mod hosts;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::{FarEnd, wait};
use hosts::{DEVICE, FAR, Hosts, NEAR, address};
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{
    Direction, LegStatistics, Media, MediaConfig, MediaEvent, MediaEventKind, OpenedPair,
    PacketAllowance, Payload, PayloadFormat, Remote, RtpLegSpec, RtpLegUpdate, WorkerCounters,
};
use trunkline_rtp::packet::RtpPacket;
use trunkline_rtp::telephone_event::{Digit, TelephoneEvent};
use trunkline_xdp::Mode;

const A_LAW: u8 = 8;
const EVENT: u8 = 101;

/// A pair between two parties at the far host.
struct Call {
    media: Media,
    events: tokio::sync::mpsc::Receiver<MediaEvent>,
    pair: OpenedPair,
    a: FarEnd,
    b: FarEnd,
    /// What party B has heard, as it came.
    heard: Vec<Heard>,
    hosts: Hosts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload_type: u8,
    /// A number that the speaker has put into the payload.
    stamp: u32,
}

impl Call {
    fn new() -> Option<Self> {
        Self::with(None, false)
    }

    fn with(allowance: Option<PacketAllowance>, v6: bool) -> Option<Self> {
        let hosts = Hosts::make()?;
        let media = Media::start(MediaConfig {
            backend: Some(Backend::AfXdp),
            device: Some(DEVICE.to_owned()),
            // A veth sends from its driver only to one that has a program too.
            xdp_mode: Some(Mode::Generic),
            kernel_relay: Some(true),
            allowance,
            rtp_timeout: Duration::from_millis(400),
            ..common::config(Backend::AfXdp)
        })
        .expect("the media plane starts");
        let events = media.events().expect("the first to ask");
        let far = |port: u16| {
            let bind = |port| hosts.bind_far((address(FAR, v6), port));
            FarEnd::by(bind(port), bind(port + 1))
        };
        let (a, b) = (far(30_000), far(30_010));
        let spec = |far: &FarEnd| {
            let remote = Some(Remote::new(far.address));
            let mut spec = RtpLegSpec::g711(address(NEAR, v6), remote, Law::A);
            spec.sending.telephone_event = Some(EVENT);
            spec.receiving.push(PayloadFormat {
                payload_type: EVENT,
                payload: Payload::TelephoneEvent { clock_hz: 8000 },
            });
            spec
        };
        let pair = media.open_pair(spec(&a), spec(&b)).expect("a pair opens");
        Some(Self { media, events, pair, a, b, heard: Vec::new(), hosts })
    }

    fn total(&self) -> WorkerCounters {
        self.media.counters().total()
    }

    /// Party A speaks so many packets, one each millisecond, with its number in each.
    fn speak(&mut self, packets: u32) {
        for _ in 0..packets {
            let mut payload = [0x55; 160];
            let stamp = u32::from(self.a.sequence);
            payload[..4].copy_from_slice(&stamp.to_be_bytes());
            self.a.speak(self.pair.a.local, A_LAW, &payload);
            // Listening all the while: a socket holds only so much.
            self.b.rtp.set_nonblocking(true).expect("non-blocking");
            self.take();
            self.b.rtp.set_nonblocking(false).expect("blocking");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Party A presses a key: six packets of an event.
    fn press(&mut self, digit: Digit) {
        let begin = self.a.timestamp;
        for n in 1..=6_u16 {
            let event = TelephoneEvent {
                event: digit.event(),
                end: n > 3,
                level_minus_dbm0: 10,
                duration: n.min(4) * 160,
            };
            self.a.timestamp = begin;
            let packet = self.a.packet(EVENT, n == 1, &event.to_bytes());
            self.a.rtp.send_to(&packet, self.pair.a.local).expect("send");
            self.a.sequence = self.a.sequence.wrapping_add(1);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.a.timestamp = begin + 960;
    }

    /// Takes what has come to B until it is silent for a while.
    fn listen(&mut self) {
        self.b.rtp.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        self.take();
    }

    fn take(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = self.b.rtp.recv_from(&mut buffer) {
            assert_eq!(from, self.pair.b.local);
            let packet = RtpPacket::parse(&buffer[..len]).expect("an RTP packet");
            self.heard.push(Heard {
                sequence: packet.header.sequence.0,
                timestamp: packet.header.timestamp.0,
                ssrc: packet.header.ssrc,
                payload_type: packet.header.payload_type,
                stamp: u32::from_be_bytes(packet.payload[..4].try_into().expect("four octets")),
            });
        }
    }

    /// All that B has heard is one stream without a gap or a packet twice.
    fn is_one_stream(&mut self, packets: usize) {
        self.listen();
        let mut heard = self.heard.clone();
        heard.sort_by_key(|heard| heard.sequence.wrapping_sub(self.heard[0].sequence));
        let first = heard[0];
        for (n, one) in heard.iter().enumerate() {
            assert_eq!(one.sequence, first.sequence.wrapping_add(n as u16), "packet {n}");
            assert_eq!(one.ssrc, first.ssrc, "packet {n}");
            if one.payload_type == A_LAW {
                assert_eq!(one.stamp, first.stamp + n as u32, "packet {n}");
            }
        }
        assert_eq!(heard.len(), packets);
    }

    fn is_below(&self) -> bool {
        let total = self.total();
        total.streams_given_below > total.streams_recalled
    }

    fn update(&self, update: RtpLegUpdate) {
        self.media.update(self.pair.b.leg, update).expect("the worker takes it");
    }

    fn closed(mut self) -> (LegStatistics, LegStatistics, Hosts) {
        for leg in [self.pair.a.leg, self.pair.b.leg] {
            self.media.close(leg).expect("the worker takes it");
        }
        let mut closed = Vec::new();
        wait("the last events", || {
            while let Ok(event) = self.events.try_recv() {
                if let MediaEventKind::Closed(statistics) = event.kind {
                    closed.push((event.leg, *statistics));
                }
            }
            closed.len() == 2
        });
        let of = |leg| closed.iter().find(|(of, _)| *of == leg).expect("closed").1;
        (of(self.pair.a.leg), of(self.pair.b.leg), self.hosts)
    }
}

#[test]
fn a_steady_call_goes_below_and_its_books_are_right() {
    let Some(mut call) = Call::new() else { return };
    call.speak(600);
    assert!(call.is_below());
    call.is_one_stream(600);
    let steps: Vec<_> =
        call.heard.windows(2).map(|two| two[1].timestamp.wrapping_sub(two[0].timestamp)).collect();
    assert!(steps.iter().all(|step| *step == 160), "{steps:?}");
    // Each leg looks below in its own turn.
    wait("the last looks below", || {
        let total = call.total();
        total.packets_sent == 600 && total.packets_received == 600
    });
    let total = call.total();
    // The first were needed to see that it is steady.
    assert!(total.packets_relayed_below > 500, "{total:?}");
    assert_eq!(total.streams_recalled, 0);
    let (a, b, _hosts) = call.closed();
    assert_eq!((a.packets_received, a.octets_received), (600, 96_000));
    assert_eq!((b.packets_sent, b.octets_sent), (600, 96_000));
    assert_eq!((a.reception.lost, a.reception.duplicates), (0, 0));
}

#[test]
fn a_digit_brings_a_call_back_and_afterwards_it_goes_below_again() {
    let Some(mut call) = Call::new() else { return };
    let mut digits = 0;
    for round in 0..4 {
        call.speak(200);
        assert!(call.is_below(), "round {round}");
        call.press(Digit::from_event(5).expect("a digit"));
        wait("the digit", || {
            while let Ok(event) = call.events.try_recv() {
                digits += u32::from(matches!(event.kind, MediaEventKind::DigitFromRtp { .. }));
            }
            digits == round + 1
        });
        assert!(!call.is_below(), "round {round}");
    }
    call.speak(200);
    call.is_one_stream(4 * 206 + 200);
    let total = call.total();
    assert_eq!((total.streams_given_below, total.streams_recalled), (5, 4));
    assert_eq!(call.heard.iter().filter(|heard| heard.payload_type == EVENT).count(), 24);
}

#[test]
fn a_reinvite_moves_a_call_that_is_below_without_a_packet_lost_or_doubled() {
    let Some(mut call) = Call::new() else { return };
    call.speak(200);
    assert!(call.is_below());
    // B moves to another port while A speaks on.
    let moved = call.hosts.bind_far((address(FAR, false), 30_020));
    let remote = Remote::new(moved.local_addr().expect("own address"));
    call.update(RtpLegUpdate { remote: Some(remote), ..RtpLegUpdate::default() });
    let before = std::mem::replace(&mut call.b.rtp, moved);
    call.speak(200);
    assert!(call.is_below());
    call.listen();
    let after = call.heard.len() - 200;
    // What was on its way when B moved.
    let moved = std::mem::replace(&mut call.b.rtp, before);
    call.listen();
    call.b.rtp = moved;
    call.is_one_stream(400);
    assert!(after > 190, "{after} packets after B moved");
    // Hold: the stream comes back, nothing goes out, and then it goes on without a gap.
    let hold = |on: bool| RtpLegUpdate {
        direction: Some(Direction { send: !on, receive: !on }),
        ..RtpLegUpdate::default()
    };
    call.update(hold(true));
    wait("hold", || call.total().streams_recalled == 2);
    call.speak(50);
    wait("the held packets", || call.total().dropped_on_hold == 50);
    call.update(hold(false));
    // No later packet may overtake the command.
    let ticks = call.total().ticks;
    wait("the command", || call.total().ticks > ticks + 2);
    call.speak(100);
    call.listen();
    let first = call.heard[0].sequence;
    let mut sequences: Vec<_> =
        call.heard.iter().map(|heard| heard.sequence.wrapping_sub(first)).collect();
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(0..500));
}

#[test]
fn a_stranger_brings_nothing_back_and_a_lost_peer_is_noticed() {
    let Some(mut call) = Call::new() else { return };
    call.speak(200);
    assert!(call.is_below());
    let stranger: UdpSocket = call.hosts.bind_far((address(FAR, false), 31_000));
    let received_fast = call.total().received_fast;
    for _ in 0..50 {
        let packet = call.a.packet(A_LAW, false, &[0; 160]);
        stranger.send_to(&packet, call.pair.a.local).expect("send");
    }
    wait("the stranger's packets", || call.total().dropped_source == 50);
    assert_eq!(call.total().received_fast, received_fast, "they were kept out below");
    assert!(call.is_below());
    call.is_one_stream(200);
    // A falls silent.
    wait("the timeout", || {
        let event = call.events.try_recv();
        event.is_ok_and(|event| {
            event.kind == MediaEventKind::RtpTimeout && event.leg == call.pair.a.leg
        })
    });
    assert!(!call.is_below());
    call.speak(100);
    call.is_one_stream(300);
}

#[test]
fn strangers_of_either_version_are_kept_out_of_both_ports() {
    for (v6, elsewhere, bits) in [(false, "10.97.0.66", "24"), (true, "fd00:97::66", "64")] {
        let Some(mut call) = Call::with(None, v6) else { return };
        let addition = format!("{elsewhere}/{bits}");
        let add = ["addr", "add", &addition, "dev", "far", "nodad"];
        call.hosts.ip_far(&add[..if v6 { 6 } else { 5 }]);
        let elsewhere: IpAddr = elsewhere.parse().expect("an address");
        let stranger = call.hosts.bind_far((elsewhere, 31_000));
        // Long enough for the worker to look at the leg.
        call.speak(500);
        let (before, rtp) = (call.total(), call.pair.a.local);
        let packet = call.a.packet(A_LAW, false, &[0; 160]);
        for _ in 0..50 {
            stranger.send_to(&packet, rtp).expect("send");
            let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
            stranger.send_to(&packet, rtcp).expect("send");
        }
        wait("the stranger's packets", || call.total().dropped_source >= 50);
        // Those to the RTCP port are counted with the next report, or the last.
        call.media.close(call.pair.a.leg).expect("closes");
        wait("the stranger's reports", || call.total().dropped_source == 100);
        assert_eq!(call.total().received_fast, before.received_fast, "they were kept out below");
    }
}

#[test]
fn the_call_comes_back_when_the_way_is_gone() {
    let Some(mut call) = Call::new() else { return };
    call.speak(200);
    assert!(call.is_below());
    // The far host gets another Ethernet address, and says so.
    call.hosts.ip_far(&["link", "set", "far", "address", "02:00:00:00:97:99"]);
    let neighbour = ["neigh", "replace", FAR[0], "lladdr", "02:00:00:00:97:99", "dev", DEVICE];
    call.hosts.ip_near(&neighbour);
    wait("the recall", || call.total().streams_recalled == 1);
    call.is_one_stream(200);
    call.speak(200);
    assert!(call.is_below());
    call.is_one_stream(400);
}

#[test]
fn a_source_beyond_its_allowance_is_brought_back_and_held_to_it() {
    // Two hundred packets a second for 20 ms ones, and half a second's worth of them at once.
    let allowance = PacketAllowance { times: 4, burst: Duration::from_millis(500) };
    let Some(mut call) = Call::with(Some(allowance), false) else { return };
    call.speak(50);
    wait("the kernel's turn", || {
        call.speak(1);
        call.is_below() || call.total().dropped_rate > 0
    });
    call.speak(1000);
    let total = call.total();
    assert_eq!((total.streams_given_below, total.streams_recalled), (1, 1), "{total:?}");
    assert!(total.dropped_rate > 500, "{total:?}");
}
