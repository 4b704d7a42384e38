//! Codecs with a state, made where a leg is opened or changed: making one takes memory and time.

use trunkline_dsp::SampleRate;
use trunkline_dsp::g722::{G722Decoder, G722Encoder};
use trunkline_dsp::opus::{MAX_SILENCE_OCTETS, OpusDecoder, OpusEncoder, OpusSettings};
use trunkline_rtp::codec::{Codec, OpusParameters};

use crate::error::MediaError;
use crate::spec::{Payload, PayloadFormat, Sending};

/// What a leg at a timeslot needs beside G.711, which has no state.
#[derive(Debug, Default)]
pub(crate) struct Coders {
    pub(crate) encoder: Option<Encoder>,
    /// For everything that may come, if any of it has a state.
    pub(crate) decoders: Option<Decoders>,
}

impl Coders {
    pub(crate) fn new(
        sending: Option<&Sending>,
        receiving: Option<&[PayloadFormat]>,
    ) -> Result<Self, MediaError> {
        let rate = SampleRate::Hz8000;
        let encoder = match sending {
            Some(sending) => Encoder::new(sending.codec, rate)?,
            None => None,
        };
        let decoders = Decoders::new(audio(receiving.unwrap_or_default()), rate)?;
        Ok(Self { encoder, decoders: decoders.is_needed().then_some(decoders) })
    }
}

/// The voice codecs among what may come.
pub(crate) fn audio(receiving: &[PayloadFormat]) -> impl Iterator<Item = Codec> {
    receiving.iter().filter_map(|format| match format.payload {
        Payload::Audio(codec) => Some(codec),
        _ => None,
    })
}

/// An encoder with a state.
#[derive(Debug)]
pub(crate) enum Encoder {
    G722(Box<G722Encoder>),
    Opus {
        encoder: Box<OpusEncoder>,
        /// Silence is not sent.
        dtx: bool,
    },
}

impl Encoder {
    /// An encoder of samples at `rate`; none for G.711.
    pub(crate) fn new(codec: Codec, rate: SampleRate) -> Result<Option<Self>, MediaError> {
        Ok(match codec {
            Codec::Pcma | Codec::Pcmu => None,
            Codec::G722 => Some(Self::G722(Box::new(G722Encoder::new(rate).map_err(refused)?))),
            Codec::Opus(parameters) => Some(Self::Opus {
                encoder: Box::new(opus_encoder(parameters, rate)?),
                dtx: parameters.dtx,
            }),
        })
    }

    /// Encodes a packet of samples; the payload's octets, none when nothing needs to be sent.
    pub(crate) fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Option<usize> {
        match self {
            Self::G722(encoder) => Some(encoder.encode(samples, payload)),
            Self::Opus { encoder, dtx } => {
                let octets = encoder.encode(samples, payload).ok()?;
                (!*dtx || octets > MAX_SILENCE_OCTETS).then_some(octets)
            }
        }
    }

    /// What share of our packets gets lost, in 1/256: Opus puts in copies accordingly.
    pub(crate) fn expect_loss(&mut self, fraction: u8) {
        if let Self::Opus { encoder, .. } = self {
            // Below 100 %: always accepted.
            let _ = encoder.set_expected_loss((u16::from(fraction) * 100 / 256) as u8);
        }
    }
}

/// Decoders with a state.
#[derive(Debug, Default)]
pub(crate) struct Decoders {
    pub(crate) g722: Option<Box<G722Decoder>>,
    pub(crate) opus: Option<Box<OpusDecoder>>,
}

impl Decoders {
    /// Decoders of these codecs, as far as they need one, that give samples at `rate`.
    pub(crate) fn new(
        codecs: impl Iterator<Item = Codec>,
        rate: SampleRate,
    ) -> Result<Self, MediaError> {
        let mut decoders = Self::default();
        for codec in codecs {
            match codec {
                Codec::Pcma | Codec::Pcmu => {}
                Codec::G722 => {
                    decoders.g722 = Some(Box::new(G722Decoder::new(rate).map_err(refused)?));
                }
                Codec::Opus(_) => {
                    decoders.opus = Some(Box::new(OpusDecoder::new(rate).map_err(refused)?));
                }
            }
        }
        Ok(decoders)
    }

    fn is_needed(&self) -> bool {
        self.g722.is_some() || self.opus.is_some()
    }
}

fn opus_encoder(parameters: OpusParameters, rate: SampleRate) -> Result<OpusEncoder, MediaError> {
    let defaults = OpusSettings::new(rate);
    let limit = parameters.max_average_bit_rate_bps.unwrap_or(u32::MAX);
    OpusEncoder::new(OpusSettings {
        bitrate_bps: defaults.bitrate_bps.min(limit).max(6_000),
        fec: parameters.inband_fec,
        dtx: parameters.dtx,
        ..defaults
    })
    .map_err(refused)
}

fn refused(error: trunkline_dsp::DspError) -> MediaError {
    MediaError::Codec(error.to_string())
}
