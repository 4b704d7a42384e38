//! The samples between two codecs: decoded, concealed, cut into packets, encoded.

use trunkline_dsp::SampleRate;
use trunkline_dsp::concealment::Concealment;
use trunkline_dsp::g711::Law;
use trunkline_dsp::resample::Resampler;
use trunkline_rtp::codec::Codec;

use super::CONCEALED_MAX_UNITS;
use crate::coders::{Decoders, Encoder};
use crate::error::MediaError;
use crate::format::{Format, SAMPLES_MAX};

/// Units of 125 µs that can be held: less than a packet that is sent, and a packet or a concealment.
const HELD_MAX_UNITS: usize = 480 + SAMPLES_MAX;
const _: () = assert!(CONCEALED_MAX_UNITS as usize <= SAMPLES_MAX);

/// Units in 2.5 ms, of which Opus conceals whole numbers.
const OPUS_QUARTER_UNITS: usize = 20;

/// Rates of the recommendation up to which Opus has no more than telephone quality, Hz.
const NARROW_MAX_HZ: u32 = 8000;

/// One voice on its way from one codec to another.
#[derive(Debug)]
pub(super) struct Voice {
    /// Samples in 125 µs: 1 or 2.
    per_unit: usize,
    decoders: Decoders,
    /// What conceals G.711, and what brings it to 16 kHz; the other codecs do both themselves.
    narrow: Option<Box<Narrow>>,
    /// Who decodes at present.
    present: Option<Format>,
    encoder: Sender,
    samples: Box<[i16]>,
    held: usize,
}

#[derive(Debug)]
struct Narrow {
    concealment: Concealment,
    up: Option<Resampler>,
}

/// What makes payloads.
#[derive(Debug)]
enum Sender {
    G711(Law),
    Stateful(Encoder),
}

impl Voice {
    pub(super) fn new(heard: &[Codec], sent: Codec) -> Result<Self, MediaError> {
        let rate = rate(heard, sent);
        let per_unit = (rate.hz() / 8000) as usize;
        let encoder = match (Format::of(sent), Encoder::new(sent, rate)?) {
            (_, Some(encoder)) => Sender::Stateful(encoder),
            (Format::G711(law), None) => Sender::G711(law),
            (_, None) => return Err(MediaError::Codec(format!("{sent} has no encoder"))),
        };
        let narrow = heard.iter().any(|codec| matches!(Format::of(*codec), Format::G711(_)));
        Ok(Self {
            per_unit,
            decoders: Decoders::new(heard.iter().copied(), rate)?,
            narrow: narrow.then(|| {
                Box::new(Narrow {
                    concealment: Concealment::new(),
                    up: (per_unit > 1).then(|| Resampler::new(SampleRate::Hz8000, rate)),
                })
            }),
            present: None,
            encoder,
            samples: vec![0; HELD_MAX_UNITS * per_unit].into(),
            held: 0,
        })
    }

    pub(super) fn expect_loss(&mut self, fraction: u8) {
        if let Sender::Stateful(encoder) = &mut self.encoder {
            encoder.expect_loss(fraction);
        }
    }

    /// What is held, in units of 125 µs.
    pub(super) fn units(&self) -> usize {
        self.held / self.per_unit
    }

    /// Forgets what is held: it fills no packet.
    pub(super) fn drop_rest(&mut self) {
        self.held = 0;
    }

    /// Another speaker.
    pub(super) fn begin_anew(&mut self) {
        self.drop_rest();
        self.present = None;
    }

    /// Decodes a payload that plays for so many units. False if it makes no sense: it is concealed.
    pub(super) fn decode(&mut self, format: Format, payload: &[u8], units: usize) -> bool {
        self.turn_to(format);
        let Self { decoders, narrow, samples, held, per_unit, .. } = self;
        let Some(room) = samples.get_mut(*held..*held + units * *per_unit) else { return false };
        let decoded = match format {
            Format::G711(law) => narrow.as_mut().is_some_and(|narrow| {
                narrow.good(room, |samples| {
                    law.decode_block(payload, samples);
                });
                true
            }),
            Format::G722 => decoders.g722.as_mut().is_some_and(|g722| {
                g722.decode(payload, room);
                true
            }),
            Format::Opus => decoders.opus.as_mut().is_some_and(|opus| {
                opus.decode(payload, room).is_ok_and(|samples| samples == room.len())
            }),
            Format::ComfortNoise => false,
        };
        if decoded {
            self.held += units * self.per_unit;
        } else {
            self.conceal(units, format, &[]);
        }
        decoded
    }

    /// Fills the place of what is missing before a payload, which may help.
    pub(super) fn conceal(&mut self, units: usize, format: Format, next: &[u8]) {
        let Self { decoders, narrow, samples, held, per_unit, present, .. } = self;
        let Some(room) = samples.get_mut(*held..*held + units * *per_unit) else { return };
        *held += room.len();
        match present {
            Some(Format::G711(_)) => {
                if let Some(narrow) = narrow {
                    narrow.conceal(room);
                }
            }
            Some(Format::G722) => {
                if let Some(g722) = &mut decoders.g722 {
                    g722.conceal(room);
                }
            }
            Some(Format::Opus) => {
                let whole = units / OPUS_QUARTER_UNITS * OPUS_QUARTER_UNITS * *per_unit;
                let (whole, rest) = room.split_at_mut(whole);
                rest.fill(0);
                let Some(opus) = &mut decoders.opus else { return };
                let is_done = !whole.is_empty()
                    && match format {
                        Format::Opus if !next.is_empty() => opus.decode_fec(next, whole).is_ok(),
                        _ => opus.conceal(whole).is_ok(),
                    };
                if !is_done {
                    whole.fill(0);
                }
            }
            Some(Format::ComfortNoise) | None => room.fill(0),
        }
    }

    /// A payload of so many units: none as long as fewer are held, `Some(None)` if they need not be
    /// sent.
    pub(super) fn packet(&mut self, units: usize, payload: &mut [u8]) -> Option<Option<usize>> {
        let count = units * self.per_unit;
        if count == 0 || self.held < count {
            return None;
        }
        let samples = &self.samples[..count];
        let encoded = match &mut self.encoder {
            Sender::G711(law) => Some(law.encode_block(samples, payload)),
            Sender::Stateful(encoder) => encoder.encode(samples, payload),
        };
        self.samples.copy_within(count..self.held, 0);
        self.held -= count;
        Some(encoded)
    }

    /// Another decoder goes on; what it knows is of another time.
    fn turn_to(&mut self, format: Format) {
        let is_same = match (self.present, format) {
            (Some(Format::G711(_)), Format::G711(_)) => true,
            (present, format) => present == Some(format),
        };
        if is_same {
            return;
        }
        self.present = Some(format);
        match format {
            Format::G711(_) => {
                if let Some(narrow) = &mut self.narrow {
                    narrow.concealment = Concealment::new();
                }
            }
            Format::G722 => {
                if let Some(g722) = &mut self.decoders.g722 {
                    g722.reset();
                }
            }
            Format::Opus => {
                if let Some(opus) = &mut self.decoders.opus {
                    opus.reset();
                }
            }
            Format::ComfortNoise => {}
        }
    }
}

impl Narrow {
    /// Good samples: as many as `room` is long, at its rate.
    fn good(&mut self, room: &mut [i16], decode: impl FnOnce(&mut [i16])) {
        let Some(up) = &mut self.up else {
            decode(room);
            self.concealment.good(room);
            return;
        };
        let mut samples = [0; SAMPLES_MAX];
        let samples = &mut samples[..room.len() / 2];
        decode(samples);
        self.concealment.good(samples);
        up.process(samples, room);
    }

    fn conceal(&mut self, room: &mut [i16]) {
        let Some(up) = &mut self.up else {
            self.concealment.conceal(room);
            return;
        };
        let mut samples = [0; SAMPLES_MAX];
        let samples = &mut samples[..room.len() / 2];
        self.concealment.conceal(samples);
        up.process(samples, room);
    }
}

/// 16 kHz if what is sent can have more than telephone quality, and something that is heard has it.
fn rate(heard: &[Codec], sent: Codec) -> SampleRate {
    let is_wide = |codec: &Codec| match codec {
        Codec::Pcma | Codec::Pcmu => false,
        Codec::G722 => true,
        Codec::Opus(parameters) => parameters.max_playback_rate_hz > NARROW_MAX_HZ,
    };
    match is_wide(&sent) && heard.iter().any(is_wide) {
        true => SampleRate::Hz16000,
        false => SampleRate::Hz8000,
    }
}
