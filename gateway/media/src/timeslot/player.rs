//! From the jitter buffer to the line: what the playout policy decides is done here.

use std::sync::Arc;

use trunkline_dsp::concealment::Concealment;
use trunkline_dsp::g711::Law;
use trunkline_dsp::opus::OpusDecoder;
use trunkline_rtp::jitter::{PAYLOAD_MAX_OCTETS, Taker, Waiting};
use trunkline_rtp::playout::{Decision, Playout, PlayoutConfig, PlayoutStatistics};

use super::tones::DigitTones;
use crate::bridge::{TimeslotBoard, ToTimeslot};
use crate::format::{Format, SAMPLES_MAX};

/// A packet and what may be added to it.
const SEGMENT_MAX: usize = SAMPLES_MAX + 240;

/// Plays packets to a line.
#[derive(Debug)]
pub(super) struct Player {
    law: Law,
    taker: Taker,
    policy: Playout,
    messages: rtrb::Consumer<ToTimeslot>,
    board: Arc<TimeslotBoard>,
    segment: Box<Segment>,
    payload: Box<[u8; PAYLOAD_MAX_OCTETS]>,
    concealment: Concealment,
    opus: Option<Box<OpusDecoder>>,
    tones: DigitTones,
    on_hold: bool,
}

/// Samples of tone made at a time.
const TONE_PIECE: usize = 160;

/// What plays next, in both forms.
#[derive(Debug)]
struct Segment {
    linear: [i16; SEGMENT_MAX],
    octets: [u8; SEGMENT_MAX],
    at: usize,
    len: usize,
}

impl Player {
    pub(super) fn new(
        law: Law,
        config: PlayoutConfig,
        taker: Taker,
        messages: rtrb::Consumer<ToTimeslot>,
        board: Arc<TimeslotBoard>,
    ) -> Self {
        Self {
            law,
            taker,
            policy: Playout::new(config),
            messages,
            board,
            segment: Box::new(Segment {
                linear: [0; SEGMENT_MAX],
                octets: [law.idle(); SEGMENT_MAX],
                at: 0,
                len: 0,
            }),
            payload: Box::new([0; PAYLOAD_MAX_OCTETS]),
            concealment: Concealment::new(),
            opus: None,
            tones: DigitTones::new(),
            on_hold: false,
        }
    }

    pub(super) fn play_octets(&mut self, out: &mut [u8]) {
        self.listen();
        let mut done = 0;
        while done < out.len() {
            let taken = self.refill(out.len() - done);
            out[done..done + taken.len()].copy_from_slice(&self.segment.octets[taken.clone()]);
            done += taken.len();
        }
        if self.tones.is_active() {
            for piece in out.chunks_mut(TONE_PIECE) {
                let mut tone = [0; TONE_PIECE];
                let samples = self.tones.fill(&mut tone[..piece.len()]);
                self.law.encode_block(&tone[..samples], piece);
            }
        }
        self.taker.advance(out.len() as u32);
    }

    pub(super) fn play_linear(&mut self, out: &mut [i16]) {
        self.listen();
        let mut done = 0;
        while done < out.len() {
            let taken = self.refill(out.len() - done);
            out[done..done + taken.len()].copy_from_slice(&self.segment.linear[taken.clone()]);
            done += taken.len();
        }
        if self.tones.is_active() {
            self.tones.fill(out);
        }
        self.taker.advance(out.len() as u32);
    }

    pub(super) fn statistics(&self) -> PlayoutStatistics {
        self.policy.statistics()
    }

    /// What has come since the last block.
    fn listen(&mut self) {
        while let Ok(message) = self.messages.pop() {
            match message {
                ToTimeslot::DigitStarted(digit) => self.tones.started(digit),
                ToTimeslot::DigitEnded { duration_ms } => self.tones.ended(duration_ms),
                ToTimeslot::Decoder(decoder) => self.opus = Some(decoder),
                ToTimeslot::Hold(on_hold) => self.on_hold = on_hold,
            }
        }
        for arrival in self.taker.arrivals() {
            self.policy.arrived(arrival);
        }
    }

    /// At least one sample and at most `wanted` of the segment, a new one when it is used up.
    fn refill(&mut self, wanted: usize) -> std::ops::Range<usize> {
        while self.segment.at == self.segment.len {
            self.segment.at = 0;
            self.segment.len = 0;
            self.decide(wanted.min(SEGMENT_MAX));
        }
        let end = self.segment.len.min(self.segment.at + wanted);
        let taken = self.segment.at..end;
        self.segment.at = end;
        taken
    }

    fn decide(&mut self, wanted: usize) {
        let next = self.taker.peek();
        if let Some(next) = next
            && Format::from_tag(next.format) == Format::ComfortNoise
        {
            // The sender is silent from here on (RFC 3389 §3): nothing is missing.
            self.taker.expire_before(next.sequence + 1);
            self.policy.pause();
            return;
        }
        if next.is_none() && (self.on_hold || self.tones.is_active()) {
            // What is missing now is not lost: the other side sends no speech.
            self.policy.pause();
        }
        match self.policy.decide(next, wanted as u32) {
            Decision::Play { sequence } => {
                self.take(sequence, next);
            }
            Decision::Lengthen { sequence, .. } | Decision::Shorten { sequence, .. } => {
                self.take(sequence, next);
                self.policy.adjusted(0);
            }
            Decision::Discard { sequence } => self.taker.expire_before(sequence + 1),
            Decision::Conceal { samples } => self.conceal(samples as usize),
            Decision::Wait { samples } => self.silence(samples as usize),
        }
        self.board.publish(&self.policy.statistics());
    }

    /// Decodes a packet into the segment. Should it be gone or broken, it is concealed.
    fn take(&mut self, sequence: u64, next: Option<Waiting>) {
        let Some(next) = next else { return };
        let samples = usize::from(next.samples);
        let Some(len) = self.taker.take(sequence, &mut self.payload) else {
            return self.conceal(samples);
        };
        match Format::from_tag(next.format) {
            Format::G711(law) => self.take_g711(law, len.min(samples)),
            Format::Opus => self.take_opus(len, samples),
            // Taken out before the policy saw it.
            Format::ComfortNoise => self.conceal(samples),
        }
    }

    fn take_g711(&mut self, law: Law, samples: usize) {
        let segment = &mut *self.segment;
        let (linear, octets) = (&mut segment.linear[..samples], &mut segment.octets[..samples]);
        let payload = &self.payload[..samples];
        law.decode_block(payload, linear);
        octets.copy_from_slice(payload);
        law.convert_block(octets, self.law);
        let blends = self.concealment.is_concealing();
        self.concealment.good(linear);
        if blends {
            // Only where the blend has changed something: the rest stays as it was sent.
            for ((octet, sample), sent) in octets.iter_mut().zip(&*linear).zip(payload) {
                if law.decode(*sent) != *sample {
                    *octet = self.law.encode(*sample);
                }
            }
        }
        segment.len = samples;
    }

    fn take_opus(&mut self, len: usize, samples: usize) {
        let segment = &mut *self.segment;
        let linear = &mut segment.linear[..samples];
        let decoded = self.opus.as_mut().map(|opus| opus.decode(&self.payload[..len], linear));
        let Some(Ok(decoded)) = decoded else { return self.conceal(samples) };
        linear[decoded..].fill(0);
        self.concealment.good(linear);
        self.law.encode_block(linear, &mut segment.octets[..samples]);
        segment.len = samples;
    }

    fn conceal(&mut self, samples: usize) {
        let segment = &mut *self.segment;
        let linear = &mut segment.linear[..samples];
        self.concealment.conceal(linear);
        self.law.encode_block(linear, &mut segment.octets[..samples]);
        segment.len = samples;
    }

    fn silence(&mut self, samples: usize) {
        let segment = &mut *self.segment;
        let linear = &mut segment.linear[..samples];
        linear.fill(0);
        // What was concealed last fades out.
        self.concealment.good(linear);
        self.law.encode_block(linear, &mut segment.octets[..samples]);
        segment.len = samples;
    }
}
