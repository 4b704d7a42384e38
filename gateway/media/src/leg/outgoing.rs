//! Packets to the RTP side: what the line brings, cut into packets of the agreed length.

use trunkline_dsp::dtmf::{Detector, Event, Generator, Levels};
use trunkline_dsp::g711::Law;
use trunkline_dsp::opus::{MAX_SILENCE_OCTETS, OpusEncoder};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::packet::{HEADER_OCTETS, RtpHeader, SequenceNumber, Timestamp};
use trunkline_rtp::telephone_event::{Digit, DigitSender};
use trunkline_rtp::transmission::Transmission;

use super::{Leg, Surroundings};
use crate::bridge::{Bridge, TimeslotBridge};
use crate::event::MediaEventKind;
use crate::packet_io::PacketIo;
use crate::spec::{RtpLegSpec, Sending};

/// Samples of the longest packet: 60 ms.
const PACKET_SAMPLES_MAX: usize = 480;

/// The longest payload: 60 ms of G.711, or any Opus packet we make.
const PAYLOAD_MAX: usize = 1000;

/// Pause after a digit that is sent as a tone, ms.
const TONE_PAUSE_MS: u32 = 60;

/// The sending side of a leg.
#[derive(Debug)]
pub(super) struct Outgoing {
    sending: Sending,
    line_law: Law,
    ssrc: u32,
    sequence: SequenceNumber,
    timestamp: Timestamp,
    /// The next packet begins a talkspurt.
    marker: bool,
    digits: DigitSender,
    /// Digits as tones, for a side that takes no telephone-event.
    tones: Generator,
    detector: Option<Box<Detector>>,
    opus: Option<Box<OpusEncoder>>,
    transmission: Transmission,
    block: Box<Block>,
}

/// Work space of one packet.
#[derive(Debug)]
struct Block {
    octets: [u8; PACKET_SAMPLES_MAX],
    linear: [i16; PACKET_SAMPLES_MAX],
    packet: [u8; HEADER_OCTETS + PAYLOAD_MAX],
}

/// Which of the two forms a block is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Octets in the line's law; `linear` holds nothing.
    Octets,
    /// Linear samples; `octets` holds nothing.
    Linear,
}

impl Outgoing {
    pub(super) fn new(spec: &RtpLegSpec, opus: Option<Box<OpusEncoder>>) -> Self {
        Self {
            sending: spec.sending,
            line_law: spec.line_law,
            // RFC 3550 §5.1: all three random, so that a stranger cannot guess them.
            ssrc: rand::random(),
            sequence: SequenceNumber(rand::random()),
            timestamp: Timestamp(rand::random()),
            marker: true,
            digits: DigitSender::new(spec.sending.codec.rtp_clock_hz()),
            tones: Generator::new(Levels::default()),
            detector: spec.detect_digits.then(|| Box::new(Detector::new())),
            opus,
            transmission: Transmission::new(),
            block: Box::new(Block {
                octets: [0; PACKET_SAMPLES_MAX],
                linear: [0; PACKET_SAMPLES_MAX],
                packet: [0; HEADER_OCTETS + PAYLOAD_MAX],
            }),
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn transmission(&self) -> &Transmission {
        &self.transmission
    }

    pub(super) fn has_sent(&self) -> bool {
        self.transmission.packets() > 0
    }

    /// The RTP timestamp of the next packet, for the sender report.
    pub(super) fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    pub(super) fn clock_hz(&self) -> u32 {
        self.sending.codec.rtp_clock_hz()
    }

    /// `opus` is an encoder for the new parameters, if the codec is Opus.
    pub(super) fn change(&mut self, sending: Sending, opus: Option<Box<OpusEncoder>>) {
        if sending.codec.rtp_clock_hz() != self.sending.codec.rtp_clock_hz() {
            self.digits = DigitSender::new(sending.codec.rtp_clock_hz());
        }
        if !sending.codec.same_encoding(&self.sending.codec) {
            self.marker = true;
        }
        self.sending = sending;
        self.opus = opus;
    }

    /// What share of our packets gets lost, in 1/256: Opus puts in copies accordingly.
    pub(super) fn expect_loss(&mut self, fraction: u8) {
        if let Some(opus) = &mut self.opus {
            // Below 100 %: always accepted.
            let _ = opus.set_expected_loss((u16::from(fraction) * 100 / 256) as u8);
        }
    }

    pub(super) fn send_digit(&mut self, digit: Digit, duration_ms: u32) -> bool {
        if self.sending.telephone_event.is_some() {
            self.digits.send(digit, duration_ms).is_ok()
        } else {
            self.tones.send(digit.symbol(), duration_ms, TONE_PAUSE_MS).is_ok()
        }
    }

    fn packet_samples(&self) -> usize {
        usize::from(self.sending.ptime_ms) * 8
    }

    /// Takes the samples of one packet from the line, if they are there.
    fn collect(&mut self, bridge: &mut TimeslotBridge) -> Option<Form> {
        let samples = self.packet_samples();
        if bridge.octets.pop_entire_slice(&mut self.block.octets[..samples]).is_ok() {
            return Some(Form::Octets);
        }
        let linear = &mut self.block.linear[..samples];
        bridge.linear.pop_entire_slice(linear).is_ok().then_some(Form::Linear)
    }

    /// Turns the block into linear samples, if it is not yet.
    fn linear(&mut self, form: Form) -> Form {
        if form == Form::Octets {
            let samples = self.packet_samples();
            let block = &mut *self.block;
            self.line_law.decode_block(&block.octets[..samples], &mut block.linear[..samples]);
        }
        Form::Linear
    }

    /// Looks for digits in the block, and takes their tones out where they are sent as events.
    fn listen(&mut self, form: Form, mut heard: impl FnMut(Digit, u32)) -> Form {
        let Some(mut detector) = self.detector.take() else { return form };
        let samples = self.packet_samples();
        self.linear(form);
        let was_sounding = detector.digit().is_some();
        let mut ended = None;
        detector.process(&self.block.linear[..samples], |event| {
            if let Event::End { digit, duration_ms, .. } = event
                && let Ok(digit) = Digit::try_from(digit)
            {
                ended = Some((digit, duration_ms));
                heard(digit, duration_ms);
            }
        });
        let sounding = was_sounding || detector.digit().is_some();
        self.detector = Some(detector);
        if self.sending.telephone_event.is_none() {
            return form;
        }
        if let Some((digit, duration_ms)) = ended {
            // A full queue: the event is lost, its report to the controller is not.
            let _ = self.digits.send(digit, duration_ms);
        }
        if sounding {
            // The other side must not hear the digit twice.
            self.block.linear[..samples].fill(0);
            return Form::Linear;
        }
        form
    }

    /// Puts a waiting tone over the block.
    fn put_tone(&mut self, form: Form) -> Form {
        if self.tones.is_idle() {
            return form;
        }
        let samples = self.packet_samples();
        self.linear(form);
        self.tones.fill(&mut self.block.linear[..samples]);
        Form::Linear
    }

    /// Encodes the block behind the room for the header; the payload's octets, none when nothing
    /// needs to be sent.
    fn encode(&mut self, form: Form) -> Option<usize> {
        let samples = self.packet_samples();
        let law = match self.sending.codec {
            Codec::Pcma => Law::A,
            Codec::Pcmu => Law::Mu,
            Codec::Opus(parameters) => {
                self.linear(form);
                let block = &mut *self.block;
                let payload = &mut block.packet[HEADER_OCTETS..];
                let len = self.opus.as_mut()?.encode(&block.linear[..samples], payload).ok()?;
                return (!parameters.dtx || len > MAX_SILENCE_OCTETS).then_some(len);
            }
        };
        let block = &mut *self.block;
        let payload = &mut block.packet[HEADER_OCTETS..][..samples];
        match form {
            Form::Octets => {
                payload.copy_from_slice(&block.octets[..samples]);
                self.line_law.convert_block(payload, law);
            }
            Form::Linear => {
                law.encode_block(&block.linear[..samples], payload);
            }
        }
        Some(samples)
    }

    /// The next packet from a collected block: its octets in `block.packet`.
    fn packet(&mut self, form: Form) -> Option<usize> {
        let step = self.sending.codec.timestamp_step(self.sending.ptime_ms);
        let timestamp = self.timestamp;
        self.timestamp = timestamp.plus(step);
        let event = self.sending.telephone_event.and_then(|payload_type| {
            Some((payload_type, self.digits.next_packet(timestamp, step)?))
        });
        let (header, len) = if let Some((payload_type, event)) = event {
            let payload = &mut self.block.packet[HEADER_OCTETS..];
            payload[..event.payload.len()].copy_from_slice(&event.payload);
            // Speech after the event is a new talkspurt.
            self.marker = true;
            let header = self.header(event.marker, payload_type, event.timestamp);
            (header, event.payload.len())
        } else {
            let form = self.put_tone(form);
            let Some(len) = self.encode(form) else {
                self.marker = true;
                return None;
            };
            let marker = std::mem::take(&mut self.marker);
            (self.header(marker, self.sending.payload_type, timestamp), len)
        };
        self.block.packet[..HEADER_OCTETS].copy_from_slice(&header.to_bytes());
        self.sequence = self.sequence.next();
        self.transmission.packet_sent(len);
        Some(HEADER_OCTETS + len)
    }

    fn header(&self, marker: bool, payload_type: u8, timestamp: Timestamp) -> RtpHeader {
        RtpHeader { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc }
    }

    /// Time passes unheard: nothing is sent, the timestamp goes on.
    fn skip(&mut self) {
        let step = self.sending.codec.timestamp_step(self.sending.ptime_ms);
        self.timestamp = self.timestamp.plus(step);
        self.marker = true;
    }
}

impl Leg {
    /// Sends every packet the line has brought the samples of. The line's clock sets the pace, so
    /// nothing piles up however the clocks differ.
    pub(super) fn send_from_line(&mut self, io: &mut dyn PacketIo, around: &mut Surroundings<'_>) {
        let destination = self
            .source
            .as_ref()
            .filter(|_| self.direction.send)
            .map(|source| source.destination())
            // Port 0 and the unspecified address: the other side wants no packets.
            .filter(|to| to.port() != 0 && !to.ip().is_unspecified());
        let Bridge::Timeslot(bridge) = &mut self.bridge;
        let outgoing = &mut self.outgoing;
        while let Some(form) = outgoing.collect(bridge) {
            let form = outgoing.listen(form, |digit, duration_ms| {
                around.counters.digits_from_line += 1;
                let kind = MediaEventKind::DigitFromLine { digit, duration_ms };
                around.events.push(self.id, kind, around.counters);
            });
            let Some(to) = destination else {
                outgoing.skip();
                continue;
            };
            if let Some(len) = outgoing.packet(form) {
                io.send(self.ports.rtp, to, &outgoing.block.packet[..len]);
                around.counters.packets_sent += 1;
                around.counters.octets_sent += (len - HEADER_OCTETS) as u64;
            }
        }
    }
}
