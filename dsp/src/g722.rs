//! G.722: 7 kHz voice in 64 kbit/s, on the wire an octet each 125 µs as G.711 is.
//!
//! # What it does
//! [`G722Encoder`] makes an octet of each two samples at 16 kHz, [`G722Decoder`] two samples of each
//! octet. Both also work at 8 kHz, for a side that has no higher sounds anyway: an octet is then one
//! sample, at half the cost. Missing octets are concealed ([`G722Decoder::conceal`]). Mode 1 only
//! (64 kbit/s without auxiliary data), which is what RTP carries (RFC 3551 §4.5.2).
//!
//! # How it works
//! Quadrature mirror filters part the voice into two bands of 4 kHz; each is quantised by adaptive
//! differences, the lower one in six bits a sample, the higher one in two. Bit-exact with the
//! recommendation (ITU-T G.722, 09/2012).
//!
//! At 8 kHz the samples are the lower band as they are, and the higher band is silent: what a
//! telephone lets through ends well below the edge of the bands, so nothing is lost by it.
//!
//! Missing octets: each band, a signal at 8 kHz, is continued as [`crate::concealment`] does it, and
//! the continuation runs through the quantiser, so that scale and predictor are about where the
//! sender's are when octets come again (G.722 Appendix III and IV do it in this manner).
//!
//! # How to use it
//! ```
//! use trunkline_dsp::SampleRate;
//! use trunkline_dsp::g722::{G722Decoder, G722Encoder};
//!
//! let mut encoder = G722Encoder::new(SampleRate::Hz16000).unwrap();
//! let mut decoder = G722Decoder::new(SampleRate::Hz8000).unwrap();
//! let (mut octets, mut samples) = ([0; 160], [0; 160]);
//! assert_eq!(encoder.encode(&[0; 320], &mut octets), 160);
//! assert_eq!(decoder.decode(&octets, &mut samples), 160);
//! ```
//!
//! # Cost
//! 20 ms at 16 kHz: about 11 µs to encode, 8 µs to decode; at 8 kHz 7 and 4 µs. `new` allocates.

mod adpcm;
mod filter_bank;

use crate::concealment::Concealment;
use crate::error::DspError;
use crate::rate::SampleRate;
use adpcm::{HighBand, LowBand};
use filter_bank::{CHUNK, Join, Split};

/// The higher band's code when that band is silent.
const SILENT_HIGH: u8 = 3 << 6;

/// Encodes one voice.
#[derive(Clone, Debug)]
pub struct G722Encoder {
    low: LowBand,
    /// At 16 kHz.
    high: Option<(Split, HighBand)>,
}

impl G722Encoder {
    /// An encoder of samples at 8 or 16 kHz.
    ///
    /// # Errors
    /// [`DspError::G722Rate`] for another rate.
    pub fn new(rate: SampleRate) -> Result<Self, DspError> {
        let high = is_wide(rate)?.then(|| (Split::new(), HighBand::new()));
        Ok(Self { low: LowBand::new(), high })
    }

    /// Encodes samples, as many as `octets` has room for; returns the octets written. At 16 kHz
    /// `samples` should be even in number: an odd one at the end is left out.
    pub fn encode(&mut self, samples: &[i16], octets: &mut [u8]) -> usize {
        let Self { low, high } = self;
        let Some((split, high)) = high else {
            for (octet, &sample) in octets.iter_mut().zip(samples) {
                *octet = SILENT_HIGH | low.encode(i32::from(sample) >> 1);
            }
            return samples.len().min(octets.len());
        };
        let count = (samples.len() / 2).min(octets.len());
        let (samples, octets) = (&samples[..2 * count], &mut octets[..count]);
        for (samples, octets) in samples.chunks(2 * CHUNK).zip(octets.chunks_mut(CHUNK)) {
            let mut octets = octets.iter_mut();
            split.process(samples, |lower, higher| {
                if let Some(octet) = octets.next() {
                    *octet = high.encode(higher) << 6 | low.encode(lower);
                }
            });
        }
        count
    }
}

/// Decodes one voice.
#[derive(Clone, Debug)]
pub struct G722Decoder {
    low: LowBand,
    low_concealment: Concealment,
    /// At 16 kHz.
    wide: Option<Box<Wide>>,
}

/// What only 16 kHz needs.
#[derive(Clone, Debug)]
struct Wide {
    high: HighBand,
    high_concealment: Concealment,
    join: Join,
}

impl G722Decoder {
    /// A decoder that gives samples at 8 or 16 kHz.
    ///
    /// # Errors
    /// [`DspError::G722Rate`] for another rate.
    pub fn new(rate: SampleRate) -> Result<Self, DspError> {
        let wide = is_wide(rate)?.then(|| {
            Box::new(Wide {
                high: HighBand::new(),
                high_concealment: Concealment::new(),
                join: Join::new(),
            })
        });
        Ok(Self { low: LowBand::new(), low_concealment: Concealment::new(), wide })
    }

    /// Decodes octets, as many as `samples` has room for; returns the samples written. They begin
    /// with a blend if some were concealed just before.
    pub fn decode(&mut self, octets: &[u8], samples: &mut [i16]) -> usize {
        let per_octet = self.samples_per_octet();
        let mut written = 0;
        for (octets, samples) in octets.chunks(CHUNK).zip(samples.chunks_mut(per_octet * CHUNK)) {
            let count = octets.len().min(samples.len() / per_octet);
            let (mut lower, mut higher) = ([0; CHUNK], [0; CHUNK]);
            for (sample, octet) in lower.iter_mut().zip(&octets[..count]) {
                *sample = self.low.decode(octet & 0x3F) as i16;
            }
            self.low_concealment.good(&mut lower[..count]);
            if let Some(wide) = &mut self.wide {
                for (sample, octet) in higher.iter_mut().zip(&octets[..count]) {
                    *sample = wide.high.decode(octet >> 6) as i16;
                }
                wide.high_concealment.good(&mut higher[..count]);
            }
            self.join(&lower[..count], &higher[..count], samples);
            written += per_octet * count;
        }
        written
    }

    /// Fills the place of missing samples; at 16 kHz an odd one at the end is left as it is.
    pub fn conceal(&mut self, samples: &mut [i16]) {
        let per_octet = self.samples_per_octet();
        for samples in samples.chunks_mut(per_octet * CHUNK) {
            let count = samples.len() / per_octet;
            let (mut lower, mut higher) = ([0; CHUNK], [0; CHUNK]);
            self.low_concealment.conceal(&mut lower[..count]);
            for sample in &mut lower[..count] {
                self.low.encode((*sample).into());
            }
            if let Some(wide) = &mut self.wide {
                wide.high_concealment.conceal(&mut higher[..count]);
                for sample in &mut higher[..count] {
                    wide.high.encode((*sample).into());
                }
            }
            self.join(&lower[..count], &higher[..count], samples);
        }
    }

    /// Begins anew, as if no octet had been decoded.
    pub fn reset(&mut self) {
        self.low = LowBand::new();
        self.low_concealment = Concealment::new();
        if let Some(wide) = &mut self.wide {
            wide.high = HighBand::new();
            wide.high_concealment = Concealment::new();
            wide.join = Join::new();
        }
    }

    fn samples_per_octet(&self) -> usize {
        if self.wide.is_some() { 2 } else { 1 }
    }

    fn join(&mut self, lower: &[i16], higher: &[i16], samples: &mut [i16]) {
        match &mut self.wide {
            Some(wide) => wide.join.process(lower, higher, samples),
            None => {
                for (sample, lower) in samples.iter_mut().zip(lower) {
                    *sample = lower.saturating_mul(2);
                }
            }
        }
    }
}

fn is_wide(rate: SampleRate) -> Result<bool, DspError> {
    match rate {
        SampleRate::Hz8000 => Ok(false),
        SampleRate::Hz16000 => Ok(true),
        SampleRate::Hz48000 => Err(DspError::G722Rate { rate }),
    }
}

#[cfg(test)]
mod tests;
