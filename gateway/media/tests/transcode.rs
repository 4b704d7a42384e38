//! Calls between far ends of plain sockets that do not speak the same codec, over the loopback.

mod common;

use common::{FarEnd, backends, config, own_address, wait};
use trunkline_dsp::SampleRate;
use trunkline_dsp::g711::Law;
use trunkline_dsp::g722::{G722Decoder, G722Encoder};
use trunkline_dsp::opus::{MAX_PACKET_OCTETS, OpusDecoder, OpusEncoder, OpusSettings};
use trunkline_media::packet_io::Backend;
use trunkline_media::{
    Direction, LegId, Media, OpenedPair, Payload, PayloadFormat, Protection, Remote, RtpLegSpec,
    RtpLegUpdate, Sending, WorkerCounters,
};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::packet::{RtpHeader, RtpPacket};
use trunkline_rtp::srtp::{MasterKey, SrtpKeys, SrtpReceiver, SrtpSender, Suite};
use trunkline_rtp::telephone_event::TelephoneEvent;

const RATE: SampleRate = SampleRate::Hz8000;

/// A far end with a voice and ears.
struct Party {
    far: FarEnd,
    codec: Codec,
    ptime_ms: u16,
    g722: (G722Encoder, G722Decoder),
    opus: (OpusEncoder, OpusDecoder),
    /// Samples said and heard.
    said: Vec<i16>,
    heard: Vec<i16>,
    first: Option<RtpHeader>,
    packets: u32,
}

impl Party {
    fn new(codec: Codec, ptime_ms: u16) -> Self {
        let settings = OpusSettings {
            bitrate_bps: 24_000,
            expected_loss_percent: 15,
            ..OpusSettings::new(RATE)
        };
        Self {
            far: FarEnd { sequence: 65_530, timestamp: u32::MAX - 30_000, ..FarEnd::new() },
            codec,
            ptime_ms,
            g722: (G722Encoder::new(RATE).unwrap(), G722Decoder::new(RATE).unwrap()),
            opus: (OpusEncoder::new(settings).unwrap(), OpusDecoder::new(RATE).unwrap()),
            said: Vec::new(),
            heard: Vec::new(),
            first: None,
            packets: 0,
        }
    }

    fn payload_type(&self) -> u8 {
        self.codec.static_payload_type().unwrap_or(111)
    }

    fn spec(&self) -> RtpLegSpec {
        let (codec, payload_type, ptime_ms) = (self.codec, self.payload_type(), self.ptime_ms);
        let events = Payload::TelephoneEvent { clock_hz: codec.rtp_clock_hz() };
        RtpLegSpec {
            sending: Sending { codec, payload_type, telephone_event: Some(101), ptime_ms },
            receiving: vec![
                PayloadFormat { payload_type, payload: Payload::Audio(codec) },
                PayloadFormat { payload_type: 101, payload: events },
            ],
            ..RtpLegSpec::g711(own_address(), Some(Remote::new(self.far.address)), Law::A)
        }
    }

    /// The next packet of its voice, as it stands on the wire.
    fn packet(&mut self) -> Vec<u8> {
        let begin = self.said.len();
        let length = usize::from(self.ptime_ms) * 8;
        self.said.extend((begin..begin + length).map(voice));
        let samples = &self.said[begin..];
        let mut payload = [0; MAX_PACKET_OCTETS];
        let octets = match self.codec {
            Codec::Pcma => Law::A.encode_block(samples, &mut payload),
            Codec::Pcmu => Law::Mu.encode_block(samples, &mut payload),
            Codec::G722 => self.g722.0.encode(samples, &mut payload),
            Codec::Opus(_) => self.opus.0.encode(samples, &mut payload).unwrap(),
        };
        let packet = self.far.packet(self.payload_type(), false, &payload[..octets]);
        self.far.skip(self.codec.timestamp_step(self.ptime_ms) as usize);
        packet
    }

    fn speak(&mut self, at: std::net::SocketAddr) {
        let packet = self.packet();
        self.far.rtp.send_to(&packet, at).expect("send");
    }

    /// Takes everything that is there: one stream without a hole.
    fn listen(&mut self) {
        self.far.rtp.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 2048];
        while let Ok((len, _)) = self.far.rtp.recv_from(&mut buffer) {
            self.take(&buffer[..len]);
        }
        self.far.rtp.set_nonblocking(false).expect("a socket");
    }

    fn take(&mut self, packet: &[u8]) {
        let packet = RtpPacket::parse(packet).expect("an RTP packet");
        let header = packet.header;
        let first = *self.first.get_or_insert(header);
        assert_eq!((header.ssrc, header.payload_type), (first.ssrc, self.payload_type()));
        assert_eq!(header.marker, self.packets == 0);
        let since = header.sequence.0.wrapping_sub(first.sequence.0);
        assert_eq!(u32::from(since), self.packets);
        let step = self.codec.timestamp_step(self.ptime_ms);
        assert_eq!(header.timestamp.0.wrapping_sub(first.timestamp.0), self.packets * step);
        self.packets += 1;
        let mut samples = [0; 480];
        let count = match self.codec {
            Codec::Pcma => Law::A.decode_block(packet.payload, &mut samples),
            Codec::Pcmu => Law::Mu.decode_block(packet.payload, &mut samples),
            Codec::G722 => self.g722.1.decode(packet.payload, &mut samples),
            Codec::Opus(_) => self.opus.1.decode(packet.payload, &mut samples).unwrap(),
        };
        assert_eq!(count, usize::from(self.ptime_ms) * 8);
        self.heard.extend_from_slice(&samples[..count]);
    }

    /// How like its voice is to what another one has heard, 1 for the same.
    fn likeness_to(&self, other: &Party) -> f32 {
        let dot = |x: &[i16], y: &[i16]| -> f32 {
            x.iter().zip(y).map(|(&x, &y)| f32::from(x) * f32::from(y)).sum()
        };
        let length = self.said.len().min(other.heard.len()) - 1_200;
        (0..400)
            .map(|shift| {
                let (x, y) = (&self.said[800..800 + length], &other.heard[800 + shift..][..length]);
                dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(1.0)
            })
            .fold(0.0, f32::max)
    }
}

/// A voice whose pitch moves, so that no stretch of it is like another.
fn voice(n: usize) -> i16 {
    let time = n as f32 / 8_000.0;
    let turns = 140.0 * time + 4.0 * (3.0 * time).sin();
    let harmonic = |k: f32| (k * turns * std::f32::consts::TAU).sin() / k.powf(1.3);
    (4_000.0 * (1..=8).map(|k| harmonic(k as f32)).sum::<f32>()) as i16
}

struct Call {
    media: Media,
    pair: OpenedPair,
    a: Party,
    b: Party,
}

impl Call {
    fn new(backend: Backend, a: Party, b: Party) -> Self {
        Self::with(backend, a, b, |_, _| {})
    }

    fn with(
        backend: Backend,
        a: Party,
        b: Party,
        change: impl Fn(&mut RtpLegSpec, &mut RtpLegSpec),
    ) -> Self {
        let media = Media::start(config(backend)).expect("the media plane starts");
        let (mut spec_a, mut spec_b) = (a.spec(), b.spec());
        change(&mut spec_a, &mut spec_b);
        let pair = media.open_pair(spec_a, spec_b).expect("a pair opens");
        Self { media, pair, a, b }
    }

    fn total(&self) -> WorkerCounters {
        self.media.counters().total()
    }

    /// Waits until everything that was sent has gone through: some ticks.
    fn settle(&self) {
        let ticks = self.total().ticks;
        wait("some ticks", || self.total().ticks > ticks + 3);
    }

    /// Both sides speak for so many milliseconds and hear what there is.
    fn talk(&mut self, time_ms: u16) {
        for now in (0..time_ms).step_by(10) {
            for (party, at) in [(&mut self.a, self.pair.a.local), (&mut self.b, self.pair.b.local)]
            {
                if now % party.ptime_ms == 0 {
                    party.speak(at);
                }
            }
            let said = (now / self.a.ptime_ms + now / self.b.ptime_ms + 2).into();
            wait("the packets", || self.total().packets_received >= said);
            self.a.listen();
            self.b.listen();
        }
        self.settle();
        self.a.listen();
        self.b.listen();
    }

    fn update(&self, leg: LegId, update: RtpLegUpdate) {
        self.media.update(leg, update).expect("the worker takes it");
        self.settle();
    }
}

fn codecs() -> [Codec; 4] {
    [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::opus_telephony()]
}

#[test]
fn a_call_between_any_two_codecs_is_heard_on_both_sides() {
    for backend in backends() {
        for (number, one) in codecs().into_iter().enumerate() {
            for other in codecs().into_iter().skip(number + 1) {
                let lengths = [(20, 20), (20, 40), (60, 10)];
                for (length, ptime) in lengths {
                    let mut call =
                        Call::new(backend, Party::new(one, length), Party::new(other, ptime));
                    call.talk(600);
                    let name = format!("{one} {length} ms, {other} {ptime} ms, {backend}");
                    for (from, to) in [(&call.a, &call.b), (&call.b, &call.a)] {
                        assert_eq!(to.heard.len(), 600 * 8, "{name}");
                        let like = from.likeness_to(to);
                        let is_opus = matches!(from.codec, Codec::Opus(_))
                            || matches!(to.codec, Codec::Opus(_));
                        // What Opus leaves of this voice at 16 kbit/s by itself.
                        let least = if is_opus { 0.85 } else { 0.99 };
                        assert!(like > least, "{name}: {like}");
                    }
                    let counters = call.total();
                    assert_eq!((counters.dropped_late, counters.concealed_samples), (0, 0));
                }
            }
        }
    }
}

#[test]
fn thirty_milliseconds_against_twenty_leave_no_rest_behind() {
    for backend in backends() {
        let (a, b) = (Party::new(Codec::Pcma, 30), Party::new(Codec::Pcmu, 20));
        let mut call = Call::new(backend, a, b);
        call.talk(600);
        assert_eq!((call.a.packets, call.b.packets), (20, 30));
        assert!(call.a.likeness_to(&call.b) > 0.99 && call.b.likeness_to(&call.a) > 0.99);
    }
}

#[test]
fn what_is_lost_and_out_of_order_on_one_side_is_no_hole_on_the_other() {
    for backend in backends() {
        for (from, to) in [
            (Codec::opus_telephony(), Codec::Pcma),
            (Codec::Pcmu, Codec::opus_telephony()),
            (Codec::G722, Codec::Pcma),
        ] {
            let mut call = Call::new(backend, Party::new(from, 20), Party::new(to, 20));
            let (mut sent, mut held) = (0, None);
            for number in 0..150 {
                let packet = call.a.packet();
                match number % 10 {
                    3 => continue,
                    // Sent right after the one that follows.
                    7 => held = Some(packet),
                    _ => {
                        for packet in std::iter::once(packet).chain(held.take()) {
                            call.a.far.rtp.send_to(&packet, call.pair.a.local).expect("send");
                            sent += 1;
                        }
                        wait("the packets", || call.total().packets_received == sent);
                        call.settle();
                        call.b.listen();
                    }
                }
            }
            let name = format!("{from} to {to}, {backend}");
            assert_eq!(call.b.packets, 150, "{name}");
            assert_eq!(call.total().concealed_samples, 15 * 160, "{name}");
            assert_eq!(call.total().dropped_late, 0, "{name}");
            let like = call.a.likeness_to(&call.b);
            assert!(like > 0.75, "{name}: {like}");
        }
    }
}

#[test]
fn a_reinvite_takes_a_call_from_relay_to_transcoding_and_back() {
    for backend in backends() {
        let mut call = Call::new(backend, Party::new(Codec::Pcma, 20), Party::new(Codec::Pcma, 20));
        let mut sequence = None;
        let ways = [Codec::Pcma, Codec::G722, Codec::opus_telephony(), Codec::Pcmu, Codec::Pcma];
        for codec in ways {
            (call.b.codec, call.b.packets) = (codec, 0);
            (call.b.said, call.b.first) = (call.a.said.clone(), None);
            let RtpLegSpec { sending, receiving, .. } = call.b.spec();
            let (sending, receiving) = (Some(sending), Some(receiving));
            call.update(call.pair.b.leg, RtpLegUpdate { sending, receiving, ..Default::default() });
            call.a.said.truncate(0);
            call.b.heard.truncate(0);
            for _ in 0..40 {
                call.a.speak(call.pair.a.local);
                let packet = call.b.far.hear();
                let header = RtpPacket::parse(&packet).expect("an RTP packet").header;
                if let Some(before) = sequence.replace(header.sequence) {
                    assert_eq!(header.sequence.since(before), 1, "{codec}");
                }
                call.b.take(&packet);
            }
            assert!(call.a.likeness_to(&call.b) > 0.85, "{codec}");
            // And the other way.
            call.b.speak(call.pair.b.local);
            assert_eq!(call.a.far.hear()[1] & 0x7F, 8);
        }
        assert_eq!(call.total().dropped_untranslated, 0);
    }
}

#[test]
fn digits_and_hold_work_in_a_transcoded_call_as_in_any() {
    for backend in backends() {
        let (a, b) = (Party::new(Codec::opus_telephony(), 20), Party::new(Codec::Pcmu, 20));
        let mut call = Call::new(backend, a, b);
        call.talk(100);
        let newest = call.b.packets;
        let event = TelephoneEvent { event: 9, end: true, level_minus_dbm0: 7, duration: 4_800 };
        for _ in 0..3 {
            let packet = call.a.far.packet(101, false, &event.to_bytes());
            call.a.far.rtp.send_to(&packet, call.pair.a.local).expect("send");
            call.a.far.sequence = call.a.far.sequence.wrapping_add(1);
            let heard = call.b.far.hear();
            let heard = RtpPacket::parse(&heard).expect("an RTP packet");
            assert_eq!(heard.header.payload_type, 101);
            let first = call.b.first.expect("speech");
            assert_eq!(heard.header.timestamp.since(first.timestamp), newest as i32 * 160);
            assert_eq!(heard.payload, TelephoneEvent { duration: 800, ..event }.to_bytes());
        }
        assert_eq!(call.total().digits_from_rtp, 1);
        let direction = |on| RtpLegUpdate {
            direction: Some(Direction { send: on, receive: on }),
            ..RtpLegUpdate::default()
        };
        call.update(call.pair.b.leg, direction(false));
        for number in 1..=20 {
            call.a.speak(call.pair.a.local);
            wait("the packet", || call.total().dropped_on_hold == number);
        }
        call.update(call.pair.b.leg, direction(true));
        call.a.speak(call.pair.a.local);
        let resumed = call.b.far.hear();
        let resumed = RtpPacket::parse(&resumed).expect("an RTP packet").header;
        let first = call.b.first.expect("speech");
        assert_eq!(resumed.sequence.since(first.sequence), newest as i16 + 3);
        assert_eq!(resumed.timestamp.since(first.timestamp), (newest as i32 + 20) * 160);
        assert!(resumed.marker);
        assert_eq!(call.total().concealed_samples, 0);
    }
}

#[test]
fn a_transcoded_call_may_be_srtp_on_either_side() {
    for backend in backends() {
        for codec in [Codec::Pcmu, Codec::opus_telephony()] {
            let suite = Suite::AesCm128HmacSha1_80;
            let key = |octet| MasterKey::generate(suite, |octets| octets.fill(octet));
            let (a, b) = (Party::new(Codec::Pcma, 20), Party::new(codec, 20));
            let mut call = Call::with(backend, a, b, |_, b| {
                b.protection = Protection::Srtp(SrtpKeys { local: key(1), remote: key(2) });
            });
            let mut receiver = SrtpReceiver::new(&key(1)).unwrap();
            let mut sender = SrtpSender::new(&key(2)).unwrap();
            for _ in 0..60 {
                call.a.speak(call.pair.a.local);
                let mut packet = call.b.far.hear();
                let octets = receiver.unprotect_rtp(&mut packet).expect("under our key");
                call.b.take(&packet[..octets]);
                let mut packet = call.b.packet();
                let octets = packet.len();
                packet.resize(octets + 32, 0);
                let octets = sender.protect_rtp(&mut packet, octets).expect("room for the tag");
                call.b.far.rtp.send_to(&packet[..octets], call.pair.b.local).expect("send");
                let packet = call.a.far.hear();
                call.a.take(&packet);
            }
            assert!(call.a.likeness_to(&call.b) > 0.85, "{codec}");
            assert!(call.b.likeness_to(&call.a) > 0.85, "{codec}");
        }
    }
}
