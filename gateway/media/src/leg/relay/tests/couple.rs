//! Two legs of a pair without a worker, and whoever speaks behind them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use trunkline_dsp::g711::Law;
use trunkline_rtp::packet::RtpPacket;
use trunkline_rtp::rtcp::{Compound, ReportBlock, RtcpPacket, SenderReport};
use trunkline_rtp::source::SourcePolicy;

use super::super::*;
use crate::coders::Coders;
use crate::counters::WorkerCounters;
use crate::event::{LegId, MediaEvent};
use crate::leg::tests::{FAR, Paper, all_formats};
use crate::leg::{Channel, Events, LegSettings, Ports, Translation};
use crate::packet_io::PortIndex;
use crate::pairs::{Consequences, Pairs, Terms};
use crate::ports::PortRange;
use crate::spec::{Direction, PayloadFormat, Remote, RtpLegSpec, RtpLegUpdate};

/// The other side's far end; the first side's is `FAR`.
pub(super) const FAR_B: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 6004);

/// The legs of a couple.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;

/// Two legs of a pair without a worker, under a clock of the test's own.
pub(super) struct Couple {
    pub(super) legs: [Leg; 2],
    pub(super) io: Paper,
    pub(super) counters: WorkerCounters,
    pub(super) events: Events,
    pub(super) reported: mpsc::Receiver<MediaEvent>,
    pub(super) now: Instant,
    pairs: Pairs,
}

impl Couple {
    pub(super) fn new(a: &RtpLegSpec, b: &RtpLegSpec) -> Self {
        let ports = Arc::new(PortRange::new(23_000..=23_999));
        let (sender, reported) = mpsc::channel(64);
        let now = Instant::now();
        let settings = LegSettings {
            allowance: None,
            policy: SourcePolicy::default(),
            rtp_timeout: Duration::ZERO,
            rtcp_interval: Duration::from_secs(5),
        };
        let leg = |place: usize, spec: &RtpLegSpec, other: &RtpLegSpec| {
            let lease = ports.bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap().lease;
            let id = LegId { worker: 0, serial: place as u64, paired: true };
            let mut leg = Leg::paired(id, spec, settings, lease, now);
            let port = PortIndex(2 * place as u32);
            leg.ports = Ports { rtp: port, rtcp: PortIndex(port.0 + 1) };
            leg.set_mate(Some(1 - place));
            let transcoder = Terms::of(spec).transcoder_from(&Terms::of(other)).unwrap();
            leg.translate(Translation::Other(transcoder));
            leg
        };
        let legs = [leg(A, a, b), leg(B, b, a)];
        let mut pairs = Pairs::default();
        pairs.joined((legs[A].id, Terms::of(a)), (legs[B].id, Terms::of(b)));
        Self {
            legs,
            pairs,
            io: Paper::default(),
            counters: WorkerCounters::default(),
            events: Events::new(sender, 4),
            reported,
            now,
        }
    }

    /// A-law both ways.
    pub(super) fn a_law() -> Self {
        let spec = |far| RtpLegSpec::g711(Ipv4Addr::LOCALHOST.into(), remote(far), Law::A);
        Self::new(&spec(FAR), &spec(FAR_B))
    }

    /// Everything a leg can take, with the numbers `event` and `noise` on the other side.
    pub(super) fn speaking_all(event: Option<u8>, noise: Option<u8>) -> Self {
        let mut b = RtpLegSpec { remote: remote(FAR_B), ..all_formats() };
        b.sending.telephone_event = event;
        b.receiving.retain(|format| format.payload != Payload::ComfortNoise);
        b.receiving.extend(
            noise
                .map(|payload_type| PayloadFormat { payload_type, payload: Payload::ComfortNoise }),
        );
        Self::new(&all_formats(), &b)
    }

    /// A datagram comes to a leg; what goes out of the other.
    pub(super) fn arrive(&mut self, at: usize, from: SocketAddr, bytes: &[u8]) -> Option<Sent> {
        self.arrive_by(Channel::Rtp, at, from, bytes)
    }

    /// As the worker does it.
    pub(super) fn arrive_by(
        &mut self,
        channel: Channel,
        at: usize,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<Sent> {
        let Self { legs, counters, events, now, .. } = self;
        let mut bytes = bytes.to_vec();
        let mut around = Surroundings { now: *now, counters, events };
        let octets = bytes.len();
        let mut datagram = Datagram::new(&mut bytes, octets);
        let passed = legs[at].datagram(channel, from, &mut datagram, &mut around)?;
        assert_eq!(passed.mate, 1 - at);
        match legs[passed.mate].relay(&passed, &mut datagram, &mut around) {
            Verdict::Consumed => None,
            Verdict::Forward { port, to, len } => {
                assert_eq!(port, legs[1 - at].ports.rtp);
                assert_eq!(to, [FAR, FAR_B][1 - at]);
                bytes.truncate(len);
                Some(Sent(bytes))
            }
        }
    }

    /// What has gone out through the transcoder to a far end since the last time.
    pub(super) fn transcoded(&mut self, far: SocketAddr) -> Vec<Sent> {
        let rtp = |(_, to, bytes): &mut (PortIndex, SocketAddr, Vec<u8>)| {
            *to == far && !trunkline_rtp::packet::is_rtcp(bytes)
        };
        self.io.0.extract_if(.., rtp).map(|(.., bytes)| Sent(bytes)).collect()
    }

    /// The next packet of a speaker comes to leg A, 20 ms after the one before.
    pub(super) fn speak(&mut self, speaker: &mut Speaker) -> Option<Sent> {
        let packet = speaker.packet();
        speaker.skip();
        let sent = self.arrive(A, FAR, &packet);
        self.pass(Duration::from_millis(20));
        sent
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        let Self { legs, io, counters, events, now, .. } = self;
        for leg in legs {
            leg.tick(io, &mut Surroundings { now: *now, counters, events });
        }
    }

    pub(super) fn update(&mut self, leg: usize, update: RtpLegUpdate) {
        let Self { counters, events, now, pairs, legs, .. } = self;
        let mut around = Surroundings { now: *now, counters, events };
        let id = legs[leg].id;
        let Consequences { own, mates, terms } = pairs.consequences(id, &update).unwrap();
        pairs.updated(id, terms);
        legs[leg].update(update, Coders::default(), &mut around);
        legs[leg].translate(own);
        legs[1 - leg].translate(mates);
    }

    pub(super) fn turn(&mut self, leg: usize, direction: Direction) {
        let direction = Some(direction);
        self.update(leg, RtpLegUpdate { direction, ..RtpLegUpdate::default() });
    }

    /// The last report that went to a far end: what it says of our stream and of theirs.
    pub(super) fn report_to(
        &self,
        far: SocketAddr,
    ) -> (u32, Option<SenderReport>, Option<ReportBlock>) {
        let to = Remote::new(far).rtcp;
        let (.., bytes) = self.io.0.iter().rfind(|(_, at, _)| *at == to).expect("a report");
        match Compound::parse(bytes).unwrap().next().unwrap().unwrap() {
            RtcpPacket::SenderReport { ssrc, report, mut blocks } => {
                (ssrc, Some(report), blocks.next())
            }
            RtcpPacket::ReceiverReport { ssrc, mut blocks } => (ssrc, None, blocks.next()),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn remote(far: SocketAddr) -> Option<Remote> {
    Some(Remote::new(far))
}

/// A packet that went out.
#[derive(Debug)]
pub(super) struct Sent(pub(super) Vec<u8>);

impl Sent {
    pub(super) fn header(&self) -> RtpHeader {
        RtpPacket::parse(&self.0).unwrap().header
    }

    pub(super) fn payload(&self) -> &[u8] {
        RtpPacket::parse(&self.0).unwrap().payload
    }

    /// Packets and timestamp steps since another one.
    pub(super) fn since(&self, earlier: &Self) -> (i16, i32) {
        let (now, then) = (self.header(), earlier.header());
        assert_eq!(now.ssrc, then.ssrc);
        (now.sequence.since(then.sequence), now.timestamp.since(then.timestamp))
    }
}

/// Somebody behind side A who speaks in 20 ms packets.
#[derive(Clone)]
pub(super) struct Speaker {
    pub(super) header: RtpHeader,
    pub(super) step: u32,
    pub(super) payload: Vec<u8>,
}

impl Speaker {
    pub(super) fn new(ssrc: u32, sequence: u16) -> Self {
        let header = RtpHeader {
            marker: false,
            payload_type: 8,
            sequence: SequenceNumber(sequence),
            timestamp: Timestamp(u32::MAX - 400),
            ssrc,
        };
        Self { header, step: 160, payload: (0..160).collect() }
    }

    pub(super) fn packet(&self) -> Vec<u8> {
        [&self.header.to_bytes()[..], &self.payload].concat()
    }

    pub(super) fn skip(&mut self) {
        self.header.sequence = self.header.sequence.next();
        self.header.timestamp = self.header.timestamp.plus(self.step);
    }

    /// The next packet, of another kind.
    pub(super) fn other(
        &mut self,
        payload_type: u8,
        payload: &[u8],
        timestamp: Timestamp,
    ) -> Vec<u8> {
        let header = RtpHeader { payload_type, timestamp, ..self.header };
        self.skip();
        [&header.to_bytes()[..], payload].concat()
    }
}
