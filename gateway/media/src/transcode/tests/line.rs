//! Somebody who speaks, a transcoder under a clock of the test's own, and somebody who listens.

use std::time::Duration;

use trunkline_dsp::SampleRate;
use trunkline_dsp::g711::Law;
use trunkline_dsp::g722::{G722Decoder, G722Encoder};
use trunkline_dsp::opus::{MAX_PACKET_OCTETS, OpusDecoder, OpusEncoder, OpusSettings};

use super::super::*;

/// A transcoder and all that it has sent.
pub(in crate::transcode) struct Line {
    pub(in crate::transcode) transcoder: Transcoder,
    pub(in crate::transcode) sent: Vec<Sent>,
    pub(in crate::transcode) outcome: Outcome,
    codec: Codec,
    ptime_ms: u16,
    newest: Newest,
    now: Instant,
}

/// A packet that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transcode) struct Sent {
    pub(in crate::transcode) kind: Kind,
    pub(in crate::transcode) timestamp: Timestamp,
    pub(in crate::transcode) marker: bool,
    pub(in crate::transcode) payload: Vec<u8>,
}

/// A packet that is said.
#[derive(Debug, Clone)]
pub(in crate::transcode) struct Packet {
    pub(in crate::transcode) header: RtpHeader,
    pub(in crate::transcode) payload: Option<Payload>,
    pub(in crate::transcode) octets: Vec<u8>,
    pub(in crate::transcode) restarted: bool,
}

impl Line {
    pub(in crate::transcode) fn new(heard: &[Codec], sent: Codec, ptime_ms: u16) -> Self {
        Self {
            transcoder: Transcoder::new(heard, sent).unwrap(),
            sent: Vec::new(),
            outcome: Outcome::default(),
            codec: sent,
            ptime_ms,
            newest: Newest { timestamp: Timestamp(u32::MAX - 2_000), at: None },
            now: Instant::now(),
        }
    }

    /// A packet comes; a tick follows, and the rest of 20 ms.
    pub(in crate::transcode) fn hear(&mut self, packet: Packet) {
        assert!(self.arrive(&packet));
        self.tick();
        self.pass(Duration::from_millis(20));
    }

    pub(in crate::transcode) fn arrive(&mut self, packet: &Packet) -> bool {
        let Packet { header, payload, octets, restarted } = packet;
        self.transcoder.arrived(Arrived {
            header: *header,
            payload: *payload,
            octets,
            restarted: *restarted,
            timestamp_offset: None,
        })
    }

    pub(in crate::transcode) fn tick(&mut self) {
        let (mut newest, now, sent) = (self.newest, self.now, &mut self.sent);
        let outcome = self.transcoder.work(self.ptime_ms, self.newest, now, &mut |departing| {
            let Departing { kind, timestamp, marker, packet, payload_octets } = departing;
            let payload = packet[HEADER_OCTETS..HEADER_OCTETS + payload_octets].to_vec();
            if kind == Kind::Speech {
                newest = Newest { timestamp, at: Some(now) };
            }
            sent.push(Sent { kind, timestamp, marker, payload });
        });
        self.newest = newest;
        self.outcome.late += outcome.late;
        self.outcome.untranslated += outcome.untranslated;
        self.outcome.broken += outcome.broken;
        self.outcome.concealed_samples += outcome.concealed_samples;
    }

    pub(in crate::transcode) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Speech without a hole, with one beginning.
    pub(in crate::transcode) fn assert_unbroken(&self, name: &str) {
        let step = self.codec.timestamp_step(self.ptime_ms);
        for (number, packet) in self.sent.iter().enumerate() {
            assert_eq!(packet.kind, Kind::Speech);
            let since = packet.timestamp.0.wrapping_sub(self.sent[0].timestamp.0);
            assert_eq!(since, number as u32 * step, "{name}: packet {number}");
            assert_eq!(packet.marker, number == 0, "{name}: packet {number}");
        }
    }

    /// What was added to a speaker's timestamps.
    pub(in crate::transcode) fn offset(&self, mouth: &Mouth) -> u32 {
        let newest = self.sent.last().unwrap().timestamp;
        newest.0.wrapping_sub(mouth.timestamp.wrapping_sub(mouth.samples() as u32))
    }
}

/// Somebody who speaks in packets of one length.
pub(in crate::transcode) struct Mouth {
    pub(in crate::transcode) ssrc: u32,
    pub(in crate::transcode) sequence: u16,
    pub(in crate::transcode) timestamp: u32,
    codec: Codec,
    length_ms: u16,
    rate: SampleRate,
    g722: G722Encoder,
    opus: OpusEncoder,
}

impl Mouth {
    pub(in crate::transcode) fn new(codec: Codec, length_ms: u16, rate: SampleRate) -> Self {
        let settings = OpusSettings {
            expected_loss_percent: 20,
            bitrate_bps: 32_000,
            ..OpusSettings::new(rate)
        };
        Self {
            ssrc: 1,
            sequence: 65_530,
            timestamp: u32::MAX - 1_000,
            codec,
            length_ms,
            rate,
            g722: G722Encoder::new(rate).unwrap(),
            opus: OpusEncoder::new(settings).unwrap(),
        }
    }

    /// Samples of a packet.
    pub(in crate::transcode) fn samples(&self) -> usize {
        usize::from(self.length_ms) * self.rate.hz() as usize / 1000
    }

    pub(in crate::transcode) fn turn_to(&mut self, codec: Codec) {
        self.codec = codec;
    }

    /// Time passes without a packet, in samples at 8 kHz.
    pub(in crate::transcode) fn pause(&mut self, samples: u32) {
        let ticks = samples * (self.codec.rtp_clock_hz() / 8000);
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }

    pub(in crate::transcode) fn say(&mut self, samples: &[i16]) -> Packet {
        let mut octets = vec![0; MAX_PACKET_OCTETS];
        let len = match self.codec {
            Codec::Pcma => Law::A.encode_block(samples, &mut octets),
            Codec::Pcmu => Law::Mu.encode_block(samples, &mut octets),
            Codec::G722 => self.g722.encode(samples, &mut octets),
            Codec::Opus(_) => self.opus.encode(samples, &mut octets).unwrap(),
        };
        octets.truncate(len);
        let packet = self.packet(Payload::Audio(self.codec), octets);
        self.timestamp = self.timestamp.wrapping_add(self.codec.timestamp_step(self.length_ms));
        packet
    }

    pub(in crate::transcode) fn event(&mut self, event: TelephoneEvent) -> Packet {
        let clock_hz = self.codec.rtp_clock_hz();
        self.packet(Payload::TelephoneEvent { clock_hz }, event.to_bytes().to_vec())
    }

    pub(in crate::transcode) fn noise(&mut self, octets: &[u8]) -> Packet {
        self.packet(Payload::ComfortNoise, octets.to_vec())
    }

    fn packet(&mut self, payload: Payload, octets: Vec<u8>) -> Packet {
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence: SequenceNumber(self.sequence),
            timestamp: Timestamp(self.timestamp),
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        Packet { header, payload: Some(payload), octets, restarted: false }
    }
}

impl Packet {
    /// The same, as the next of a speaker.
    pub(in crate::transcode) fn numbered(mut self, mouth: &mut Mouth) -> Self {
        self.header.sequence = SequenceNumber(mouth.sequence);
        self.header.timestamp = Timestamp(mouth.timestamp);
        mouth.sequence = mouth.sequence.wrapping_add(1);
        mouth.timestamp = mouth.timestamp.wrapping_add(mouth.codec.timestamp_step(mouth.length_ms));
        self
    }
}

/// Somebody who listens, and takes packets as they are.
pub(in crate::transcode) struct Ear {
    codec: Codec,
    rate: SampleRate,
    g722: G722Decoder,
    opus: OpusDecoder,
}

impl Ear {
    pub(in crate::transcode) fn new(codec: Codec, rate: SampleRate) -> Self {
        let (g722, opus) = (G722Decoder::new(rate).unwrap(), OpusDecoder::new(rate).unwrap());
        Self { codec, rate, g722, opus }
    }

    pub(in crate::transcode) fn listen(&mut self, packets: &[Sent]) -> Vec<i16> {
        let speech = packets.iter().filter(|packet| packet.kind == Kind::Speech);
        speech.flat_map(|packet| self.decode(&packet.payload)).collect()
    }

    pub(in crate::transcode) fn decode(&mut self, payload: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; self.rate.hz() as usize / 1000 * 60];
        let len = match self.codec {
            Codec::Pcma => Law::A.decode_block(payload, &mut samples),
            Codec::Pcmu => Law::Mu.decode_block(payload, &mut samples),
            Codec::G722 => self.g722.decode(payload, &mut samples),
            Codec::Opus(_) => self.opus.decode(payload, &mut samples).unwrap(),
        };
        samples.truncate(len);
        samples
    }
}

/// A vowel: harmonics of 150 Hz that fall by 12 dB an octave.
pub(in crate::transcode) fn vowel(rate: SampleRate, samples: usize) -> Vec<i16> {
    let harmonic = |n: usize, k: usize| {
        let turns = n as f32 * 150.0 * k as f32 / rate.hz() as f32;
        (turns.fract() * std::f32::consts::TAU).sin() / (k * k) as f32
    };
    (0..samples).map(|n| (5_000.0 * (1..=6).map(|k| harmonic(n, k)).sum::<f32>()) as i16).collect()
}

pub(in crate::transcode) fn tone(rate: SampleRate, hz: f32, samples: usize) -> Vec<i16> {
    let turn = hz / rate.hz() as f32;
    let sample = |n: usize| ((n as f32 * turn).fract() * std::f32::consts::TAU).sin();
    (0..samples).map(|n| (6_000.0 * sample(n)) as i16).collect()
}

/// How like two signals are at the best shift, 1 for the same.
pub(in crate::transcode) fn likeness(a: &[i16], b: &[i16], shift_max: usize) -> f32 {
    let dot = |x: &[i16], y: &[i16]| -> f32 {
        x.iter().zip(y).map(|(&x, &y)| f32::from(x) * f32::from(y)).sum()
    };
    let length = a.len().min(b.len()) + 1 - shift_max;
    (0..shift_max)
        .map(|shift| {
            let (x, y) = (&a[..length], &b[shift..shift + length]);
            dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(1.0)
        })
        .fold(0.0, f32::max)
}
