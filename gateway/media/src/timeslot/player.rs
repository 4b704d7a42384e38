//! From the jitter buffer to the line: what the playout policy decides is done here.

use std::sync::Arc;

use trunkline_dsp::activity::Activity;
use trunkline_dsp::comfort_noise::{ComfortNoise, NoiseEstimate, ORDER_MAX};
use trunkline_dsp::concealment::{Bridge, Concealment};
use trunkline_dsp::g711::Law;
use trunkline_dsp::stretch::{LIKENESS_HEARD, PERIOD_MAX, cut, extend, shorten};
use trunkline_rtp::jitter::{PAYLOAD_MAX_OCTETS, Taker, Waiting};
use trunkline_rtp::playout::{Decision, Playout, PlayoutConfig, PlayoutStatistics};

use super::tones::DigitTones;
use crate::bridge::{TimeslotBoard, ToTimeslot};
use crate::coders::Decoders;
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
    activity: Activity,
    concealment: Concealment,
    bridge: Bridge,
    background: NoiseEstimate,
    decoders: Decoders,
    comfort_noise: ComfortNoise,
    /// The sender has said that it is silent, and how its silence sounds.
    far_end_silent: bool,
    tones: DigitTones,
    on_hold: bool,
}

/// Background below this level is silence: the laws have no quieter steps.
const UNHEARD_DBM0: f32 = -66.0;

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

/// How a packet's length shall change, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// So much of its beginning is left out.
    Skip(usize),
    /// Where there is no voice.
    Lengthen(usize),
    /// Where there is no voice.
    Shorten(usize),
    /// By a pitch period, if the voice repeats itself there.
    ShortenVoice(usize),
}

impl Change {
    /// The length of a packet of `samples` of which nothing is known but what is left out.
    fn length(self, samples: usize) -> usize {
        match self {
            Self::Skip(skipped) => samples.saturating_sub(skipped),
            _ => samples,
        }
    }

    /// Changes the first `samples` of `linear`; the samples added.
    fn apply(self, linear: &mut [i16], samples: usize, pausing: bool) -> i32 {
        match self {
            Self::None => 0,
            Self::Skip(skipped) => {
                linear.copy_within(skipped.min(samples)..samples, 0);
                -(skipped.min(samples) as i32)
            }
            Self::Lengthen(wanted) if pausing => extend(linear, samples, wanted) as i32,
            Self::Shorten(wanted) | Self::ShortenVoice(wanted) if pausing => {
                -(cut(&mut linear[..samples], wanted) as i32)
            }
            Self::ShortenVoice(wanted) => {
                let most = PERIOD_MAX.min(wanted);
                -(shorten(&mut linear[..samples], most, LIKENESS_HEARD) as i32)
            }
            Self::Lengthen(_) | Self::Shorten(_) => 0,
        }
    }
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
            activity: Activity::new(),
            concealment: Concealment::new(),
            bridge: Bridge::new(),
            background: NoiseEstimate::new(),
            decoders: Decoders::default(),
            comfort_noise: ComfortNoise::new(),
            far_end_silent: false,
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
                ToTimeslot::Decoders(decoders) => self.decoders = decoders,
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
            if let Some(len) = self.taker.take(next.sequence, &mut self.payload) {
                self.comfort_noise.update(&self.payload[..len]);
                self.far_end_silent = true;
            }
            self.policy.pause();
            return;
        }
        if next.is_none() && (self.on_hold || self.tones.is_active()) {
            // What is missing now is not lost: the other side sends no speech.
            self.policy.pause();
        }
        match self.policy.decide(next, wanted as u32, !self.activity.is_voice()) {
            Decision::Play { sequence, skip: 0 } => {
                self.take(sequence, next, Change::None);
            }
            Decision::Play { sequence, skip } => {
                self.take(sequence, next, Change::Skip(skip as usize));
            }
            Decision::Lengthen { sequence, samples } => {
                let added = self.take(sequence, next, Change::Lengthen(samples as usize));
                self.policy.adjusted(added);
            }
            Decision::Shorten { sequence, samples, in_speech } => {
                let change = match in_speech {
                    true => Change::ShortenVoice(samples as usize),
                    false => Change::Shorten(samples as usize),
                };
                let added = self.take(sequence, next, change);
                self.policy.adjusted(added);
            }
            Decision::Discard { sequence } => self.taker.expire_before(sequence + 1),
            Decision::Conceal { samples, next_in } => {
                if let (Some(next), Some(next_in)) = (next, next_in) {
                    self.lead_to(next, next_in as usize);
                } else {
                    self.bridge.clear();
                }
                self.conceal(samples as usize);
            }
            Decision::Wait { samples } => self.silence(samples as usize),
        }
        self.board.publish(&self.policy.statistics());
    }

    /// Decodes a packet into the segment, changed as asked; the samples it has become longer by.
    /// Should it be gone or broken, it is concealed.
    fn take(&mut self, sequence: u64, next: Option<Waiting>, change: Change) -> i32 {
        let Some(next) = next else { return 0 };
        let samples = usize::from(next.samples);
        self.far_end_silent = false;
        let len = self.taker.take(sequence, &mut self.payload);
        let decoded = match (Format::from_tag(next.format), len) {
            (Format::G711(law), Some(len)) if len == samples => {
                law.decode_block(&self.payload[..len], &mut self.segment.linear[..len]);
                Some(Some(law))
            }
            (Format::Opus, Some(len)) => self.decode_opus(len, samples).then_some(None),
            (Format::G722, Some(len)) if len == samples => {
                self.decoders.g722.as_mut().map(|g722| {
                    g722.decode(&self.payload[..len], &mut self.segment.linear[..len]);
                    None
                })
            }
            _ => None,
        };
        let Some(as_sent) = decoded else {
            self.bridge.clear();
            self.conceal(change.length(samples));
            return 0;
        };
        let segment = &mut *self.segment;
        let pausing = !self.activity.listen(&segment.linear[..samples]);
        if pausing {
            self.background.observe(&segment.linear[..samples]);
        }
        let added = change.apply(&mut segment.linear, samples, pausing);
        segment.len = samples.saturating_add_signed(added as isize);
        let blends = self.concealment.is_concealing();
        let linear = &mut segment.linear[..segment.len];
        self.concealment.good(linear);
        let octets = &mut segment.octets[..segment.len];
        match as_sent {
            Some(law) if added == 0 => {
                octets.copy_from_slice(&self.payload[..samples]);
                law.convert_block(octets, self.law);
                if blends {
                    // Only where the blend has changed something: the rest stays as it was sent.
                    for ((octet, sample), sent) in octets.iter_mut().zip(linear).zip(&*self.payload)
                    {
                        if law.decode(*sent) != *sample {
                            *octet = self.law.encode(*sample);
                        }
                    }
                }
            }
            _ => {
                self.law.encode_block(linear, octets);
            }
        }
        added
    }

    /// False when there is no decoder, or no sense in the packet.
    fn decode_opus(&mut self, len: usize, samples: usize) -> bool {
        let linear = &mut self.segment.linear[..samples];
        let Some(opus) = &mut self.decoders.opus else { return false };
        let Ok(decoded) = opus.decode(&self.payload[..len], linear) else { return false };
        linear[decoded..].fill(0);
        true
    }

    /// What is concealed leads to the packet that waits, which plays in `next_in` samples.
    fn lead_to(&mut self, next: Waiting, next_in: usize) {
        if self.bridge.left() == next_in {
            return;
        }
        self.bridge.clear();
        let samples = usize::from(next.samples);
        // The other decoders have a past that the packet's turn must not come before.
        let Format::G711(law) = Format::from_tag(next.format) else { return };
        if self.taker.copy(next.sequence, &mut self.payload) != Some(samples) {
            return;
        }
        let known = &mut self.segment.linear[..samples];
        law.decode_block(&self.payload[..samples], known);
        self.bridge.lay(next_in, known);
    }

    fn conceal(&mut self, samples: usize) {
        if !self.concealment.is_concealing() {
            let mut description = [0; ORDER_MAX + 1];
            let octets = match self.background.level_dbm0() < UNHEARD_DBM0 {
                true => 0,
                false => self.background.write(&mut description),
            };
            self.concealment.fade_into(&description[..octets]);
        }
        let segment = &mut *self.segment;
        let linear = &mut segment.linear[..samples];
        self.concealment.conceal_towards(linear, &mut self.bridge);
        self.law.encode_block(linear, &mut segment.octets[..samples]);
        segment.len = samples;
    }

    fn silence(&mut self, samples: usize) {
        let is_over = self.on_hold || self.messages.is_abandoned();
        if self.concealment.is_concealing() && !self.far_end_silent && !is_over {
            // Nobody has said that there is silence: the background goes on.
            self.bridge.clear();
            return self.conceal(samples);
        }
        let segment = &mut *self.segment;
        let linear = &mut segment.linear[..samples];
        if self.far_end_silent {
            self.comfort_noise.fill(linear);
        } else {
            linear.fill(0);
        }
        // What was concealed last fades out.
        self.concealment.good(linear);
        self.law.encode_block(linear, &mut segment.octets[..samples]);
        segment.len = samples;
    }
}
