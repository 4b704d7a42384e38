//! Codecs with a state, made where a leg is opened or changed: making one takes memory and time.

use trunkline_dsp::SampleRate;
use trunkline_dsp::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use trunkline_rtp::codec::{Codec, OpusParameters};

use crate::error::MediaError;
use crate::spec::{Payload, PayloadFormat, Sending};

/// What a leg needs beside G.711, which has no state.
#[derive(Debug, Default)]
pub(crate) struct Coders {
    pub(crate) encoder: Option<Box<OpusEncoder>>,
    pub(crate) decoder: Option<Box<OpusDecoder>>,
}

impl Coders {
    pub(crate) fn new(
        sending: Option<&Sending>,
        receiving: Option<&[PayloadFormat]>,
    ) -> Result<Self, MediaError> {
        let encoder = match sending.map(|sending| sending.codec) {
            Some(Codec::Opus(parameters)) => Some(Box::new(encoder(parameters)?)),
            _ => None,
        };
        let opus_may_come = receiving
            .unwrap_or_default()
            .iter()
            .any(|format| matches!(format.payload, Payload::Audio(Codec::Opus(_))));
        let decoder = match opus_may_come {
            true => Some(Box::new(OpusDecoder::new(SampleRate::Hz8000).map_err(refused)?)),
            false => None,
        };
        Ok(Self { encoder, decoder })
    }
}

fn encoder(parameters: OpusParameters) -> Result<OpusEncoder, MediaError> {
    let defaults = OpusSettings::new(SampleRate::Hz8000);
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
