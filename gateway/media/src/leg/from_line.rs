//! What the line brings, cut into packets of the agreed length: digits, encoding, header.

use trunkline_dsp::dtmf::{Detector, Event, Generator, Levels};
use trunkline_dsp::g711::Law;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::packet::HEADER_OCTETS;
use trunkline_rtp::srtp::MAXIMUM_OVERHEAD_OCTETS;
use trunkline_rtp::telephone_event::{Digit, DigitSender};

use super::outgoing::Outgoing;
use super::{Channel, Joint, Leg, Surroundings};
use crate::bridge::TimeslotBridge;
use crate::coders::Encoder;
use crate::event::MediaEventKind;
use crate::packet_io::PacketIo;
use crate::spec::{RtpLegSpec, Sending};

/// Samples of the longest packet: 60 ms.
const PACKET_SAMPLES_MAX: usize = 480;

/// The longest payload: 60 ms of G.711, or any Opus packet we make.
const PAYLOAD_MAX: usize = 1000;

/// The longest packet, with room for its protection.
const PACKET_MAX: usize = HEADER_OCTETS + PAYLOAD_MAX + MAXIMUM_OVERHEAD_OCTETS;

/// Pause after a digit that is sent as a tone, ms.
const TONE_PAUSE_MS: u32 = 60;

/// What turns the line's samples into payloads.
#[derive(Debug)]
pub(super) struct FromLine {
    line_law: Law,
    digits: DigitSender,
    /// Digits as tones, for a side that takes no telephone-event.
    tones: Generator,
    detector: Option<Box<Detector>>,
    encoder: Option<Encoder>,
    block: Box<Block>,
}

/// Work space of one packet.
#[derive(Debug)]
struct Block {
    octets: [u8; PACKET_SAMPLES_MAX],
    linear: [i16; PACKET_SAMPLES_MAX],
    packet: [u8; PACKET_MAX],
}

/// Which of the two forms a block is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Octets in the line's law; `linear` holds nothing.
    Octets,
    /// Linear samples; `octets` holds nothing.
    Linear,
}

impl FromLine {
    pub(super) fn new(spec: &RtpLegSpec, encoder: Option<Encoder>) -> Self {
        Self {
            line_law: spec.line_law,
            digits: DigitSender::new(spec.sending.codec.rtp_clock_hz()),
            tones: Generator::new(Levels::default()),
            detector: spec.detect_digits.then(|| Box::new(Detector::new())),
            encoder,
            block: Box::new(Block {
                octets: [0; PACKET_SAMPLES_MAX],
                linear: [0; PACKET_SAMPLES_MAX],
                packet: [0; PACKET_MAX],
            }),
        }
    }

    /// From `before` on to `sending`; `encoder` is one for it, if its codec has a state.
    pub(super) fn change(&mut self, before: &Sending, sending: &Sending, encoder: Option<Encoder>) {
        if sending.codec.rtp_clock_hz() != before.codec.rtp_clock_hz() {
            self.digits = DigitSender::new(sending.codec.rtp_clock_hz());
        }
        self.encoder = encoder;
    }

    /// What share of our packets gets lost, in 1/256: Opus puts in copies accordingly.
    pub(super) fn expect_loss(&mut self, fraction: u8) {
        if let Some(encoder) = &mut self.encoder {
            encoder.expect_loss(fraction);
        }
    }

    pub(super) fn send_digit(&mut self, sending: &Sending, digit: Digit, duration_ms: u32) -> bool {
        if sending.telephone_event.is_some() {
            self.digits.send(digit, duration_ms).is_ok()
        } else {
            self.tones.send(digit.symbol(), duration_ms, TONE_PAUSE_MS).is_ok()
        }
    }

    /// Takes the samples of one packet from the line, if they are there.
    fn collect(&mut self, samples: usize, bridge: &mut TimeslotBridge) -> Option<Form> {
        if bridge.octets.pop_entire_slice(&mut self.block.octets[..samples]).is_ok() {
            return Some(Form::Octets);
        }
        let linear = &mut self.block.linear[..samples];
        bridge.linear.pop_entire_slice(linear).is_ok().then_some(Form::Linear)
    }

    /// Turns the block into linear samples, if it is not yet.
    fn linear(&mut self, samples: usize, form: Form) -> Form {
        if form == Form::Octets {
            let block = &mut *self.block;
            self.line_law.decode_block(&block.octets[..samples], &mut block.linear[..samples]);
        }
        Form::Linear
    }

    /// Looks for digits in the block, and takes their tones out where they are sent as events.
    fn listen(&mut self, sending: &Sending, form: Form, mut heard: impl FnMut(Digit, u32)) -> Form {
        let Some(mut detector) = self.detector.take() else { return form };
        let samples = packet_samples(sending);
        self.linear(samples, form);
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
        if sending.telephone_event.is_none() {
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
    fn put_tone(&mut self, samples: usize, form: Form) -> Form {
        if self.tones.is_idle() {
            return form;
        }
        self.linear(samples, form);
        self.tones.fill(&mut self.block.linear[..samples]);
        Form::Linear
    }

    /// Encodes the block behind the room for the header; the payload's octets, none when nothing
    /// needs to be sent.
    fn encode(&mut self, sending: &Sending, form: Form) -> Option<usize> {
        let samples = packet_samples(sending);
        let law = match sending.codec {
            Codec::Pcma => Law::A,
            Codec::Pcmu => Law::Mu,
            Codec::G722 | Codec::Opus(_) => {
                self.linear(samples, form);
                let block = &mut *self.block;
                let payload = &mut block.packet[HEADER_OCTETS..][..PAYLOAD_MAX];
                return self.encoder.as_mut()?.encode(&block.linear[..samples], payload);
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
    fn packet(&mut self, outgoing: &mut Outgoing, form: Form) -> Option<usize> {
        let sending = outgoing.sending;
        let step = outgoing.packet_steps();
        let timestamp = outgoing.timestamp;
        outgoing.timestamp = timestamp.plus(step);
        let event = sending.telephone_event.and_then(|payload_type| {
            Some((payload_type, self.digits.next_packet(timestamp, step)?))
        });
        let sequence = outgoing.sequence;
        let (header, len) = if let Some((payload_type, event)) = event {
            let payload = &mut self.block.packet[HEADER_OCTETS..];
            payload[..event.payload.len()].copy_from_slice(&event.payload);
            // Speech after the event is a new talkspurt.
            outgoing.marker = true;
            let header = outgoing.header(event.marker, payload_type, sequence, event.timestamp);
            (header, event.payload.len())
        } else {
            let form = self.put_tone(packet_samples(&sending), form);
            let Some(len) = self.encode(&sending, form) else {
                outgoing.marker = true;
                return None;
            };
            let marker = std::mem::take(&mut outgoing.marker);
            (outgoing.header(marker, sending.payload_type, sequence, timestamp), len)
        };
        self.block.packet[..HEADER_OCTETS].copy_from_slice(&header.to_bytes());
        outgoing.sequence = sequence.next();
        Some(HEADER_OCTETS + len)
    }
}

fn packet_samples(sending: &Sending) -> usize {
    usize::from(sending.ptime_ms) * 8
}

/// Time passes unheard: nothing is sent, the timestamp goes on.
fn skip(outgoing: &mut Outgoing) {
    outgoing.timestamp = outgoing.timestamp.plus(outgoing.packet_steps());
    outgoing.marker = true;
}

impl Leg {
    /// Sends every packet the line has brought the samples of. The line's clock sets the pace, so
    /// nothing piles up however the clocks differ.
    pub(super) fn send_from_line(&mut self, io: &mut dyn PacketIo, around: &mut Surroundings<'_>) {
        let destination = self.destination();
        let Joint::Timeslot(line) = &mut self.joint else { return };
        let (voice, outgoing) = (&mut line.voice, &mut self.outgoing);
        let sending = outgoing.sending;
        while let Some(form) = voice.collect(packet_samples(&sending), &mut line.bridge) {
            let form = voice.listen(&sending, form, |digit, duration_ms| {
                around.counters.digits_from_line += 1;
                let kind = MediaEventKind::DigitFromLine { digit, duration_ms };
                around.events.push(self.id, kind, around.counters);
            });
            let Some(to) = destination else {
                skip(outgoing);
                continue;
            };
            if let Some(len) = voice.packet(outgoing, form) {
                let (packet, counters) = (&mut voice.block.packet, &mut *around.counters);
                let protected = self.srtp.protect(Channel::Rtp, packet, len, counters);
                let Some(octets) = protected else { continue };
                outgoing.packet_sent(len - HEADER_OCTETS);
                io.send(self.ports.rtp, to, &packet[..octets]);
                around.counters.packets_sent += 1;
                around.counters.octets_sent += (len - HEADER_OCTETS) as u64;
            }
        }
    }
}
