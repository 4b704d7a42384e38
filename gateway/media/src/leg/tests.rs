use super::*;
use crate::bridge::{self, LineEnd};
use crate::coders::Coders;
use crate::packet_io::{Backend, IoCounts, Sink};
use crate::ports::PortRange;
use crate::spec::{Payload, PayloadFormat};
use crate::timeslot::TimeslotEnd;
use proptest::prelude::*;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use trunkline_dsp::g711::Law;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::playout::PlayoutConfig;

/// A back end that only remembers what was sent.
#[derive(Default)]
pub(super) struct Paper(pub(super) Vec<(PortIndex, SocketAddr, Vec<u8>)>);

impl PacketIo for Paper {
    fn open_port(&mut self, _: UdpSocket) -> std::io::Result<PortIndex> {
        Ok(PortIndex(0))
    }
    fn close_port(&mut self, _: PortIndex) {}
    fn receive(&mut self, _: &mut dyn Sink) -> usize {
        0
    }
    fn send(&mut self, port: PortIndex, to: SocketAddr, bytes: &[u8]) {
        self.0.push((port, to, bytes.to_vec()));
    }
    fn flush(&mut self) {}
    fn counts(&self) -> IoCounts {
        IoCounts::default()
    }
    fn kind(&self) -> Backend {
        Backend::Mio
    }
}

pub(super) const FAR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5004);

/// A leg and its timeslot, without a worker, under a clock of the test's own.
struct Bench {
    leg: Leg,
    timeslot: TimeslotEnd,
    io: Paper,
    counters: WorkerCounters,
    events: Events,
    reported: mpsc::Receiver<MediaEvent>,
    now: Instant,
}

impl Bench {
    fn new(spec: &RtpLegSpec) -> Self {
        let ports = Arc::new(PortRange::new(22_000..=22_999));
        let lease = ports.bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap().lease;
        let coders = Coders::new(Some(&spec.sending), Some(&spec.receiving)).unwrap();
        let (bridge, line): (_, LineEnd) = bridge::timeslot(32);
        let (sender, reported) = mpsc::channel(64);
        let now = Instant::now();
        let settings = LegSettings {
            allowance: None,
            policy: SourcePolicy::default(),
            rtp_timeout: Duration::from_secs(1),
            rtcp_interval: Duration::from_secs(5),
        };
        let id = LegId { worker: 0, serial: 1, paired: false };
        Self {
            leg: Leg::new(id, spec, coders, settings, bridge, lease, now),
            timeslot: TimeslotEnd::new(spec.line_law, PlayoutConfig::default(), line),
            io: Paper::default(),
            counters: WorkerCounters::default(),
            events: Events::new(sender, 4),
            reported,
            now,
        }
    }

    fn arrive(&mut self, channel: Channel, from: SocketAddr, bytes: &[u8]) {
        let Self { counters, events, now, .. } = self;
        let mut around = Surroundings { now: *now, counters, events };
        let mut memory = bytes.to_vec();
        let mut datagram = crate::packet_io::Datagram::new(&mut memory, bytes.len());
        self.leg.datagram(channel, from, &mut datagram, &mut around);
    }

    /// 20 ms pass.
    fn pass(&mut self) {
        let mut to_line = [0; 160];
        self.timeslot.exchange(&[0xD5; 160], &mut to_line);
        self.now += Duration::from_millis(20);
        let Self { io, counters, events, now, .. } = self;
        self.leg.tick(io, &mut Surroundings { now: *now, counters, events });
    }
}

/// A leg that takes everything a leg can take.
pub(super) fn all_formats() -> RtpLegSpec {
    let audio =
        |payload_type, codec| PayloadFormat { payload_type, payload: Payload::Audio(codec) };
    let mut spec = RtpLegSpec::g711(Ipv4Addr::LOCALHOST.into(), Some(Remote::new(FAR)), Law::A);
    spec.sending.telephone_event = Some(101);
    spec.detect_digits = true;
    spec.receiving = vec![
        audio(8, Codec::Pcma),
        audio(0, Codec::Pcmu),
        audio(111, Codec::opus_telephony()),
        PayloadFormat { payload_type: 101, payload: Payload::TelephoneEvent { clock_hz: 8000 } },
        PayloadFormat { payload_type: 13, payload: Payload::ComfortNoise },
    ];
    spec
}

#[derive(Debug, Clone)]
pub(super) enum Datagram {
    /// A right header before any payload.
    Rtp { payload_type: u8, sequence: u16, timestamp: u32, ssrc: u8, payload: Vec<u8> },
    /// Anything.
    Raw { rtcp: bool, bytes: Vec<u8> },
}

impl Datagram {
    /// Where it arrives, and as what.
    pub(super) fn on_the_wire(self) -> (Channel, Vec<u8>) {
        match self {
            Self::Rtp { payload_type, sequence, timestamp, ssrc, payload } => {
                let mut bytes = vec![0x80, payload_type];
                bytes.extend_from_slice(&sequence.to_be_bytes());
                bytes.extend_from_slice(&timestamp.to_be_bytes());
                bytes.extend_from_slice(&[0, 0, 0, ssrc]);
                bytes.extend_from_slice(&payload);
                (Channel::Rtp, bytes)
            }
            Self::Raw { rtcp: true, bytes } => (Channel::Rtcp, bytes),
            Self::Raw { rtcp: false, bytes } => (Channel::Rtp, bytes),
        }
    }
}

pub(super) fn datagram() -> impl Strategy<Value = Datagram> {
    let payload_type = prop::sample::select(vec![8_u8, 0, 111, 101, 13, 96]);
    let payload = prop::collection::vec(any::<u8>(), 0..700);
    prop_oneof![
        3 => (payload_type, 0_u16..200, any::<u16>(), 0_u8..3, payload.clone()).prop_map(
            |(payload_type, sequence, time, ssrc, payload)| Datagram::Rtp {
                payload_type,
                sequence: sequence.wrapping_sub(100),
                timestamp: u32::from(time).wrapping_mul(1_000_003),
                ssrc,
                payload,
            }
        ),
        1 => (any::<bool>(), payload).prop_map(|(rtcp, mut bytes)| {
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3F | 0x80;
            }
            Datagram::Raw { rtcp, bytes }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_comes_from_the_far_end_is_played_or_counted(
        datagrams in prop::collection::vec(datagram(), 1..80),
    ) {
        let mut bench = Bench::new(&all_formats());
        let mut rtp = 0;
        for datagram in datagrams {
            rtp += u64::from(matches!(datagram, Datagram::Rtp { .. }));
            let (channel, bytes) = datagram.on_the_wire();
            let from = if channel == Channel::Rtp { FAR } else { Remote::new(FAR).rtcp };
            bench.arrive(channel, from, &bytes);
            bench.pass();
        }
        let counters = bench.counters;
        let accounted = counters.packets_received
            + counters.dropped_payload_type
            + counters.dropped_duplicate
            + counters.dropped_jump
            + counters.dropped_malformed;
        prop_assert!(accounted >= rtp, "{counters:?}");
        let statistics = bench.leg.statistics();
        prop_assert_eq!(statistics.packets_received, counters.packets_received);
    }
}

#[test]
fn an_early_leg_without_an_address_neither_sends_nor_believes() {
    let mut bench = Bench::new(&RtpLegSpec::g711(Ipv4Addr::LOCALHOST.into(), None, Law::A));
    let mut packet = vec![0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(&[0x55; 160]);
    bench.arrive(Channel::Rtp, FAR, &packet);
    for _ in 0..500 {
        bench.pass();
    }
    assert!(bench.io.0.is_empty());
    assert_eq!((bench.counters.dropped_source, bench.counters.packets_received), (1, 0));
    assert!(bench.reported.try_recv().is_err(), "no timeout before anything is agreed on");
}

#[test]
fn reports_are_spread_around_their_interval() {
    let mut bench = Bench::new(&all_formats());
    // Ten minutes.
    for _ in 0..30_000 {
        bench.pass();
    }
    let rtcp = bench.io.0.iter().filter(|(_, to, _)| *to == Remote::new(FAR).rtcp).count();
    assert!((90..=150).contains(&rtcp), "{rtcp} reports in ten minutes");
}

/// Time-outs told in so many passes of 20 ms.
fn timeouts(bench: &mut Bench, passes: usize) -> usize {
    (0..passes).for_each(|_| bench.pass());
    std::iter::from_fn(|| bench.reported.try_recv().ok())
        .filter(|event| event.kind == MediaEventKind::RtpTimeout)
        .count()
}

#[test]
fn silence_is_told_again_each_timeout_for_an_owner_who_could_not_use_the_first() {
    let mut bench = Bench::new(&all_formats());
    assert_eq!(timeouts(&mut bench, 49), 0, "the timeout is 1 s");
    assert_eq!(timeouts(&mut bench, 150), 3);
}

#[test]
fn silence_counts_from_the_end_of_hold() {
    let mut bench = Bench::new(&all_formats());
    let turn = |bench: &mut Bench, receive| {
        let direction = Some(Direction { send: receive, receive });
        let update = RtpLegUpdate { direction, ..RtpLegUpdate::default() };
        let Bench { counters, events, now, .. } = bench;
        let coders = Coders::new(None, None).unwrap();
        bench.leg.update(update, coders, &mut Surroundings { now: *now, counters, events });
    };
    turn(&mut bench, false);
    assert_eq!(timeouts(&mut bench, 500), 0);
    turn(&mut bench, true);
    assert_eq!(timeouts(&mut bench, 40), 0, "nothing was to be expected before");
    assert_eq!(timeouts(&mut bench, 15), 1);
}

#[test]
fn packets_count_on_without_a_gap_in_sequence_or_time() {
    let mut bench = Bench::new(&all_formats());
    for round in 0..100 {
        bench.pass();
        if round == 50 {
            assert!(bench.leg.send_digit(Digit::try_from('5').unwrap(), 100));
        }
    }
    let sent: Vec<_> = bench
        .io
        .0
        .iter()
        .filter(|(_, to, _)| *to == FAR)
        .map(|(_, _, bytes)| trunkline_rtp::packet::RtpPacket::parse(bytes).unwrap())
        .collect();
    assert_eq!(sent.len(), 100);
    assert!(sent[0].header.marker, "the first packet begins a talkspurt");
    for pair in sent.windows(2) {
        assert_eq!(pair[1].header.sequence.since(pair[0].header.sequence), 1);
    }
    let audio: Vec<_> = sent.iter().filter(|p| p.header.payload_type == 8).collect();
    for packet in &audio {
        let index = packet.header.sequence.since(sent[0].header.sequence);
        let time = packet.header.timestamp.since(sent[0].header.timestamp);
        assert_eq!(time, i32::from(index) * 160);
    }
    assert_eq!(audio.iter().filter(|p| p.header.marker).count(), 2, "and so does speech after it");
}
