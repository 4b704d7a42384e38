//! Calls between two far ends of plain sockets through a pair of legs, over the loopback.

mod common;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::{FarEnd, backends, config, own_address, speech, wait};
use tokio::sync::mpsc;
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{
    Direction, LegId, LegStatistics, Media, MediaError, MediaEvent, MediaEventKind, OpenedEnd,
    OpenedPair, Payload, PayloadFormat, Remote, RtpLegSpec, RtpLegUpdate, WorkerCounters,
};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::packet::{RtpHeader, RtpPacket};
use trunkline_rtp::rtcp::{Compound, RtcpPacket};
use trunkline_rtp::telephone_event::{Digit, TelephoneEvent};

/// A media plane with one pair, and a far end on each side.
struct Call {
    media: Media,
    events: mpsc::Receiver<MediaEvent>,
    pair: OpenedPair,
    a: FarEnd,
    b: FarEnd,
}

impl Call {
    fn new(backend: Backend, change: impl Fn(&mut RtpLegSpec, &mut RtpLegSpec)) -> Self {
        let media = Media::start(config(backend)).expect("the media plane starts");
        let events = media.events().expect("the first to ask");
        let (a, b) = (FarEnd::new(), FarEnd { ssrc: 0xB0B, sequence: 65_530, ..FarEnd::new() });
        let here = own_address();
        let spec = |far: &FarEnd| RtpLegSpec::g711(here, Some(Remote::new(far.address)), Law::A);
        let (mut spec_a, mut spec_b) = (spec(&a), spec(&b));
        change(&mut spec_a, &mut spec_b);
        let pair = media.open_pair(spec_a, spec_b).expect("a pair opens");
        Self { media, events, pair, a, b }
    }

    fn a_law(backend: Backend) -> Self {
        Self::new(backend, |_, _| {})
    }

    fn total(&self) -> WorkerCounters {
        self.media.counters().total()
    }

    fn turn(&self, leg: LegId, on: bool) {
        let direction = Some(Direction { send: on, receive: on });
        let update = RtpLegUpdate { direction, ..RtpLegUpdate::default() };
        self.media.update(leg, update).expect("the worker takes it");
        let ticks = self.total().ticks;
        wait("the command", || self.total().ticks > ticks + 2);
    }

    /// The next event of a leg that `pick` wants.
    fn event<T>(&mut self, of: LegId, pick: impl Fn(MediaEventKind) -> Option<T>) -> T {
        let mut found = None;
        wait("the event", || {
            while let Ok(event) = self.events.try_recv() {
                if event.leg == of {
                    found = pick(event.kind);
                }
                if found.is_some() {
                    return true;
                }
            }
            false
        });
        found.expect("waited for")
    }

    fn close(&mut self, end: OpenedEnd) -> LegStatistics {
        self.media.close(end.leg).expect("the worker takes it");
        self.event(end.leg, |kind| match kind {
            MediaEventKind::Closed(statistics) => Some(*statistics),
            _ => None,
        })
    }
}

fn header(packet: &[u8]) -> RtpHeader {
    RtpPacket::parse(packet).expect("an RTP packet").header
}

/// What the far end hears when nothing is on its way any more.
fn is_silent(far: &FarEnd) -> bool {
    far.rtp.set_nonblocking(true).expect("a socket");
    let heard = far.rtp.recv_from(&mut [0; 2048]);
    far.rtp.set_nonblocking(false).expect("a socket");
    heard.is_err()
}

#[test]
fn speech_passes_both_ways_octet_by_octet_in_a_stream_of_its_own_each_way() {
    for backend in backends() {
        let mut call = Call::a_law(backend);
        let (said_a, said_b) = (speech(100 * 160, 1), speech(100 * 160, 2));
        let mut first: Option<(RtpHeader, RtpHeader)> = None;
        for (number, (piece_a, piece_b)) in said_a.chunks(160).zip(said_b.chunks(160)).enumerate() {
            call.a.speak(call.pair.a.local, 8, piece_a);
            call.b.speak(call.pair.b.local, 8, piece_b);
            let (at_b, at_a) = (call.b.hear(), call.a.hear());
            assert_eq!((&at_b[12..], &at_a[12..]), (piece_a, piece_b), "{backend}");
            let (at_b, at_a) = (header(&at_b), header(&at_a));
            let (first_b, first_a) = *first.get_or_insert((at_b, at_a));
            for (now, then) in [(at_b, first_b), (at_a, first_a)] {
                assert_eq!((now.ssrc, now.payload_type), (then.ssrc, 8));
                assert_eq!(now.sequence.since(then.sequence), number as i16);
                assert_eq!(now.timestamp.since(then.timestamp), number as i32 * 160);
                assert_eq!(now.marker, number == 0);
            }
            assert_ne!(at_b.ssrc, at_a.ssrc);
            assert!(![call.a.ssrc, call.b.ssrc].contains(&at_b.ssrc));
        }
        let (pair_a, pair_b) = (call.pair.a, call.pair.b);
        for end in [pair_a, pair_b] {
            let figures = call.close(end);
            assert_eq!((figures.packets_received, figures.packets_sent), (100, 100));
            assert_eq!((figures.octets_received, figures.octets_sent), (16_000, 16_000));
            assert_eq!((figures.reception.lost, figures.reception.duplicates), (0, 0));
        }
        assert_eq!(call.media.legs(), 0);
        wait("the ports", || call.media.counters().port_pairs_free == 50);
    }
}

#[test]
fn each_side_gets_the_payload_types_it_has_named_and_digits_are_told() {
    for backend in backends() {
        let format = |payload_type, payload| PayloadFormat { payload_type, payload };
        let opus = Payload::Audio(Codec::opus_telephony());
        let events = Payload::TelephoneEvent { clock_hz: 48_000 };
        let mut call = Call::new(backend, |a, b| {
            for (spec, voice, event) in [(a, 111, 110), (b, 96, 97)] {
                spec.receiving = vec![format(voice, opus), format(event, events)];
                spec.sending.codec = Codec::opus_telephony();
                spec.sending.payload_type = voice;
                spec.sending.telephone_event = Some(event);
            }
        });
        // SILK, one frame of 20 ms.
        call.a.speak(call.pair.a.local, 111, &[1 << 3, 1, 2, 3]);
        let speech = call.b.hear();
        assert_eq!((header(&speech).payload_type, &speech[12..]), (96, &[1 << 3, 1, 2, 3][..]));
        for end in [false, true, true] {
            let payload = TelephoneEvent { event: 11, end, level_minus_dbm0: 8, duration: 4800 };
            let packet = call.a.packet(110, false, &payload.to_bytes());
            call.a.rtp.send_to(&packet, call.pair.a.local).expect("send");
            // The same beginning in each.
            call.a.sequence += 1;
            let heard = call.b.hear();
            assert_eq!((header(&heard).payload_type, &heard[12..]), (97, &payload.to_bytes()[..]));
            assert_eq!(header(&heard).timestamp.since(header(&speech).timestamp), 4);
        }
        let (leg, pound) = (call.pair.a.leg, Digit::try_from('#').expect("a digit"));
        let told = call.event(leg, |kind| match kind {
            MediaEventKind::DigitFromRtp { digit, duration_ms } => Some((digit, duration_ms)),
            _ => None,
        });
        assert_eq!(told, (pound, 100));
        let refused = call.media.send_digit(leg, pound, 100).unwrap_err();
        assert!(matches!(refused, MediaError::Paired(named) if named == leg), "{refused}");
    }
}

#[test]
fn hold_stops_both_ways_and_its_end_goes_on_without_a_gap() {
    for backend in backends() {
        let mut call = Call::a_law(backend);
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        let before = header(&call.b.hear());
        call.turn(call.pair.b.leg, false);
        for number in 0..10 {
            call.a.speak(call.pair.a.local, 8, &[2; 160]);
            call.b.speak(call.pair.b.local, 8, &[3; 160]);
            wait("both packets", || call.total().dropped_on_hold == 2 * (number + 1));
        }
        assert!(is_silent(&call.a) && is_silent(&call.b));
        call.turn(call.pair.b.leg, true);
        call.a.speak(call.pair.a.local, 8, &[4; 160]);
        let after = call.b.hear();
        assert_eq!(after[12..], [4; 160]);
        assert_eq!(header(&after).sequence.since(before.sequence), 1);
        assert_eq!(header(&after).timestamp.since(before.timestamp), 11 * 160);
        assert!(header(&after).marker);
        call.b.speak(call.pair.b.local, 8, &[5; 160]);
        assert_eq!(call.a.hear()[12..], [5; 160]);
    }
}

#[test]
fn when_one_leg_is_closed_the_other_stays_until_it_is_closed_too() {
    for backend in backends() {
        let mut call = Call::a_law(backend);
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        call.b.hear();
        let (pair_a, pair_b) = (call.pair.a, call.pair.b);
        assert_eq!(call.close(pair_b).packets_sent, 1);
        for number in 1..=5 {
            call.a.speak(call.pair.a.local, 8, &[1; 160]);
            wait("the packet", || call.total().dropped_nowhere == number);
        }
        assert!(is_silent(&call.b));
        // A leg in the closed one's place is not its successor.
        let spec = RtpLegSpec::g711(own_address(), Some(Remote::new(call.b.address)), Law::A);
        let next = call.media.open(spec).expect("a leg opens");
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        wait("the packet", || call.total().dropped_nowhere == 6);
        assert!(is_silent(&call.b));
        assert_eq!(call.close(pair_a).packets_received, 7);
        assert_eq!(call.media.legs(), 1);
        drop(next);
    }
}

#[test]
fn reports_to_each_side_are_about_the_stream_on_that_side() {
    for backend in backends() {
        let mut call = Call::a_law(backend);
        for number in 0..20 {
            if number == 10 {
                call.a.skip(160);
            } else {
                call.a.speak(call.pair.a.local, 8, &[1; 160]);
                call.b.hear();
            }
            call.b.speak(call.pair.b.local, 8, &[2; 160]);
            call.a.hear();
        }
        // The first report that knows of all packets.
        let last_word = |far: &FarEnd, packets| {
            loop {
                let report = far.hear_report();
                let first = Compound::parse(&report).expect("a compound").next();
                if let Some(Ok(RtcpPacket::SenderReport { ssrc, report, mut blocks })) = first
                    && report.packets == packets
                {
                    return (ssrc, blocks.next().expect("a block"));
                }
            }
        };
        // A packet more, so that both sides are senders again in their next report.
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        call.b.speak(call.pair.b.local, 8, &[2; 160]);
        let (at_a, at_b) = (header(&call.a.hear()), header(&call.b.hear()));
        let (ssrc, block) = last_word(&call.a, 21);
        assert_eq!((ssrc, block.ssrc, block.cumulative_lost), (at_a.ssrc, call.a.ssrc, 1));
        let (ssrc, block) = last_word(&call.b, 20);
        assert_eq!((ssrc, block.ssrc, block.cumulative_lost), (at_b.ssrc, call.b.ssrc, 0));
        let pair_b = call.pair.b;
        assert!(call.close(pair_b).rtcp_sent > 1);
        // Its goodbye goes to its own side.
        let is_goodbye = |report: &[u8]| {
            Compound::parse(report).expect("a compound").any(|packet| {
                matches!(packet, Ok(RtcpPacket::Bye { sources, .. }) if sources.clone().next() == Some(ssrc))
            })
        };
        while !is_goodbye(&call.b.hear_report()) {}
    }
}

#[test]
fn strangers_are_not_passed_on_and_disturb_nothing() {
    for backend in backends() {
        let mut call = Call::a_law(backend);
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        let before = header(&call.b.hear());
        let mut stranger = FarEnd::new();
        for number in 1..=10 {
            stranger.speak(call.pair.a.local, 8, &[9; 160]);
            wait("the packet", || call.total().dropped_source == number);
        }
        assert!(is_silent(&call.b) && is_silent(&stranger));
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        assert_eq!(header(&call.b.hear()).sequence.since(before.sequence), 1);
    }
}

#[test]
fn ipv4_and_ipv6_sides_talk_to_each_other() {
    for backend in backends() {
        let far = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("bind");
        far.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        let address = far.local_addr().expect("address");
        let mut call = Call::new(backend, |_, b| {
            *b = RtpLegSpec::g711(
                IpAddr::V6(Ipv6Addr::LOCALHOST),
                Some(Remote::new(address)),
                Law::A,
            );
        });
        call.a.speak(call.pair.a.local, 8, &[1; 160]);
        let mut heard = [0; 2048];
        let (len, from) = far.recv_from(&mut heard).expect("a packet");
        assert_eq!((&heard[12..len], from), (&[1; 160][..], call.pair.b.local));
        call.b.ssrc = 6;
        let packet = call.b.packet(8, false, &[2; 160]);
        far.send_to(&packet, call.pair.b.local).expect("send");
        assert_eq!(call.a.hear()[12..], [2; 160]);
    }
}

#[test]
fn what_cannot_be_paired_is_refused_by_name_and_leaves_nothing_behind() {
    let mut settings = config(Backend::Mio);
    settings.rtp_ports = 20_000..=20_005;
    settings.legs_per_worker_max = 3;
    let media = Media::start(settings).expect("the media plane starts");
    let here = own_address();
    let far: SocketAddr = (here, 30_000).into();
    let spec = || RtpLegSpec::g711(here, Some(Remote::new(far)), Law::A);
    let nothing = RtpLegSpec { receiving: Vec::new(), ..spec() };
    let error = media.open_pair(spec(), nothing).unwrap_err().to_string();
    assert!(error.contains("audio"), "{error}");
    assert_eq!((media.legs(), media.counters().port_pairs_free), (0, 3));

    let pair = media.open_pair(spec(), spec()).expect("a pair opens");
    let error = media.open_pair(spec(), spec()).unwrap_err();
    assert!(matches!(error, MediaError::LegsExhausted { limit: 3, .. }), "{error}");
    assert_eq!(media.legs(), 2);
    media.close(pair.a.leg).expect("the worker takes it");
    media.close(pair.b.leg).expect("the worker takes it");
    wait("the end of both", || media.legs() == 0);

    // A port pair for one leg only: it is given back.
    let taken: Vec<_> = [20_000, 20_002].map(|port| UdpSocket::bind((here, port))).into();
    wait("the ports", || media.counters().port_pairs_free == 3);
    let error = media.open_pair(spec(), spec()).unwrap_err();
    assert!(matches!(error, MediaError::PortsExhausted { .. }), "{error}");
    assert_eq!((media.legs(), media.counters().port_pairs_free), (0, 3));
    drop(taken);
    media.open_pair(spec(), spec()).expect("a pair opens");
}
