//! G.711: A-law and µ-law, and the conversion of one into the other.
//!
//! # What it does
//! One octet carries one sample at 8 kHz. [`Law`] encodes linear samples, decodes octets, and
//! turns octets of one law into octets of the other.
//!
//! # How it works
//! Decoding is a table of 256 samples. Encoding is a table over the significant bits only: 13 bits
//! for A-law (8 KiB) and 14 bits for µ-law (16 KiB), which stay in the first level cache where a
//! table over all 16 bits would not. Blocks are done by arithmetic that the compiler turns into the
//! widest vector instructions of the processor: a float's exponent and mantissa are the segment and
//! the step. All tables are built by the compiler from the segment rules,
//! bit-exact with the ITU-T software tools (G.191), negative numbers by one's complement included.
//!
//! A-law and µ-law octets convert directly by tables 3 and 4 of G.711, not through linear samples:
//! only so does a double conversion change nothing but bit 8 of a few octets.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::g711::Law;
//!
//! let octet = Law::A.encode(1_000);
//! assert_eq!(Law::A.decode(octet), 1_008);
//! assert_eq!(Law::A.idle(), 0xD5);
//! ```
//! The linear scale is 16 bits: A-law uses the upper 13, µ-law the upper 14.
//!
//! # Cost
//! One table access a sample; in blocks of 32 and more a few vector instructions for 16 or 32
//! samples.

use crate::lanes::{Lanes, Width, Work};

/// The companding law of a line or an RTP payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// A-law: E1 lines, Europe; PCMA, payload type 8.
    A,
    /// µ-law: T1 lines, Japan and North America; PCMU, payload type 0.
    Mu,
}

impl Law {
    /// The octet of silence, positive zero as sent on the line: 0xD5 in A-law, 0xFF in µ-law.
    pub const fn idle(self) -> u8 {
        match self {
            Self::A => A_LAW_MASK,
            Self::Mu => 0xFF,
        }
    }

    /// Encodes one sample.
    #[inline]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => A_LAW_OCTETS[(sample as u16 >> A_LAW_UNUSED_BITS) as usize],
            Self::Mu => MU_LAW_OCTETS[(sample as u16 >> MU_LAW_UNUSED_BITS) as usize],
        }
    }

    /// Decodes one octet.
    #[inline]
    pub const fn decode(self, octet: u8) -> i16 {
        match self {
            Self::A => A_LAW_SAMPLES[octet as usize],
            Self::Mu => MU_LAW_SAMPLES[octet as usize],
        }
    }

    /// Encodes samples into octets, as many as the shorter of both has; returns how many.
    pub fn encode_block(self, samples: &[i16], octets: &mut [u8]) -> usize {
        Width::best().run(Encode { law: self, samples, octets });
        samples.len().min(octets.len())
    }

    /// Decodes octets into samples, as many as the shorter of both has; returns how many.
    pub fn decode_block(self, octets: &[u8], samples: &mut [i16]) -> usize {
        Width::best().run(Decode { law: self, octets, samples });
        octets.len().min(samples.len())
    }

    /// Turns an octet of this law into the octet of another (G.711, tables 3 and 4).
    #[inline]
    pub const fn convert(self, octet: u8, into: Self) -> u8 {
        match (self, into) {
            (Self::A, Self::Mu) => A_TO_MU[octet as usize],
            (Self::Mu, Self::A) => MU_TO_A[octet as usize],
            (Self::A, Self::A) | (Self::Mu, Self::Mu) => octet,
        }
    }

    /// Turns octets of this law into octets of another, in place (G.711, tables 3 and 4).
    pub fn convert_block(self, octets: &mut [u8], into: Self) {
        if self != into {
            for octet in octets {
                *octet = self.convert(*octet, into);
            }
        }
    }
}

/// Encodes a block in registers; what is left over goes through the table.
struct Encode<'a> {
    law: Law,
    samples: &'a [i16],
    octets: &'a mut [u8],
}

impl Work for Encode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let (samples, last_samples) = self.samples.as_chunks::<GROUP>();
        let (octets, last_octets) = self.octets.as_chunks_mut::<GROUP>();
        let done = samples.len().min(octets.len());
        match self.law {
            Law::A => encode_groups(samples, octets, a_law_octet_by_float),
            Law::Mu => encode_groups(samples, octets, mu_law_octet_by_float),
        }
        // The rest of the shorter one, which may lie opposite to whole groups of the longer.
        let samples = samples[done..].as_flattened().iter().chain(last_samples);
        let octets = octets[done..].as_flattened_mut().iter_mut().chain(last_octets);
        for (octet, &sample) in octets.zip(samples) {
            *octet = self.law.encode(sample);
        }
    }
}

/// Decodes a block in registers; what is left over goes through the table.
struct Decode<'a> {
    law: Law,
    octets: &'a [u8],
    samples: &'a mut [i16],
}

impl Work for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let (octets, last_octets) = self.octets.as_chunks::<GROUP>();
        let (samples, last_samples) = self.samples.as_chunks_mut::<GROUP>();
        let done = samples.len().min(octets.len());
        match self.law {
            Law::A => decode_groups(octets, samples, a_law_sample),
            Law::Mu => decode_groups(octets, samples, mu_law_sample),
        }
        let octets = octets[done..].as_flattened().iter().chain(last_octets);
        let samples = samples[done..].as_flattened_mut().iter_mut().chain(last_samples);
        for (sample, &octet) in samples.zip(octets) {
            *sample = self.law.decode(octet);
        }
    }
}

/// Samples that the compiler turns into vector instructions together.
const GROUP: usize = 32;

#[inline(always)]
fn encode_groups(samples: &[[i16; GROUP]], octets: &mut [[u8; GROUP]], encode: impl Fn(i16) -> u8) {
    for (octets, samples) in octets.iter_mut().zip(samples) {
        for (octet, &sample) in octets.iter_mut().zip(samples) {
            *octet = encode(sample);
        }
    }
}

#[inline(always)]
fn decode_groups(octets: &[[u8; GROUP]], samples: &mut [[i16; GROUP]], decode: impl Fn(u8) -> i16) {
    for (samples, octets) in samples.iter_mut().zip(octets) {
        for (sample, &octet) in samples.iter_mut().zip(octets) {
            *sample = decode(octet);
        }
    }
}

/// Exponent and four bits of mantissa of a number are segment and step: a float has them at hand.
#[inline(always)]
fn segment_and_step(magnitude: i32, segment_zero: i32) -> i32 {
    const BIAS: i32 = 127;
    const MANTISSA_BITS: i32 = 23;
    let bits = (magnitude as f32).to_bits() as i32;
    (bits >> (MANTISSA_BITS - 4)) - ((BIAS + segment_zero) << 4)
}

#[inline(always)]
fn a_law_octet_by_float(sample: i16) -> u8 {
    let value = i32::from(sample) >> A_LAW_UNUSED_BITS;
    let magnitude = value ^ (value >> 31);
    let code = if magnitude < 32 { magnitude >> 1 } else { segment_and_step(magnitude, 4) };
    ((!value >> 24 & 0x80) ^ code ^ 0x55) as u8
}

#[inline(always)]
fn mu_law_octet_by_float(sample: i16) -> u8 {
    let value = i32::from(sample) >> MU_LAW_UNUSED_BITS;
    let magnitude = value ^ (value >> 31);
    let code = segment_and_step(magnitude + MU_LAW_BIAS as i32, 5).min(0x7F);
    ((!value >> 24 & 0x80) ^ code ^ 0x7F) as u8
}

const A_LAW_UNUSED_BITS: u32 = 3;
const MU_LAW_UNUSED_BITS: u32 = 2;

/// Positive sign and the inversion of the even bits, which G.711 §3.2 asks for on the line.
const A_LAW_MASK: u8 = 0xD5;

/// µ-law adds this to the 14-bit magnitude, so that its segments begin at powers of two.
const MU_LAW_BIAS: u32 = 33;

static A_LAW_OCTETS: [u8; 1 << 13] = {
    let mut octets = [0; 1 << 13];
    let mut index = 0;
    while index < octets.len() {
        octets[index] = a_law_octet(((index as u16) << A_LAW_UNUSED_BITS) as i16);
        index += 1;
    }
    octets
};

static MU_LAW_OCTETS: [u8; 1 << 14] = {
    let mut octets = [0; 1 << 14];
    let mut index = 0;
    while index < octets.len() {
        octets[index] = mu_law_octet(((index as u16) << MU_LAW_UNUSED_BITS) as i16);
        index += 1;
    }
    octets
};

static A_LAW_SAMPLES: [i16; 256] = {
    let mut samples = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        samples[octet] = a_law_sample(octet as u8);
        octet += 1;
    }
    samples
};

static MU_LAW_SAMPLES: [i16; 256] = {
    let mut samples = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        samples[octet] = mu_law_sample(octet as u8);
        octet += 1;
    }
    samples
};

static MU_TO_A: [u8; 256] = {
    let mut octets = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mu = octet as u8 ^ 0xFF;
        octets[octet] = (mu & 0x80 | (a_number(mu & 0x7F) - 1)) ^ A_LAW_MASK;
        octet += 1;
    }
    octets
};

static A_TO_MU: [u8; 256] = {
    let mut octets = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let a = octet as u8 ^ A_LAW_MASK;
        octets[octet] = (a & 0x80 | mu_number((a & 0x7F) + 1)) ^ 0xFF;
        octet += 1;
    }
    octets
};

const fn a_law_octet(sample: i16) -> u8 {
    let (sign, magnitude) = sign_and_magnitude(sample >> A_LAW_UNUSED_BITS);
    // 12 bits: segments 0 and 1 share a step size, from there each doubles it.
    let code = if magnitude < 32 {
        magnitude >> 1
    } else {
        let segment = u32::BITS - magnitude.leading_zeros() - 5;
        segment << 4 | magnitude >> segment & 0x0F
    };
    (sign | code as u8) ^ A_LAW_MASK
}

const fn a_law_sample(octet: u8) -> i16 {
    let bits = octet ^ A_LAW_MASK;
    let (segment, step) = ((bits >> 4 & 7) as u32, (bits & 0x0F) as i16);
    // The middle of the interval, in 13 bits.
    let magnitude = match segment {
        0 => 2 * step + 1,
        _ => (2 * step + 33) << (segment - 1),
    } << A_LAW_UNUSED_BITS;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn mu_law_octet(sample: i16) -> u8 {
    let (sign, magnitude) = sign_and_magnitude(sample >> MU_LAW_UNUSED_BITS);
    let biased = magnitude + MU_LAW_BIAS;
    let segment = u32::BITS - biased.leading_zeros() - 6;
    // Beyond the last segment is overload: the largest code.
    let code = if segment > 7 { 0x7F } else { segment << 4 | biased >> (segment + 1) & 0x0F };
    (sign | code as u8) ^ 0xFF
}

const fn mu_law_sample(octet: u8) -> i16 {
    let bits = octet ^ 0xFF;
    let (segment, step) = ((bits >> 4 & 7) as u32, (bits & 0x0F) as i16);
    let magnitude =
        (((2 * step + MU_LAW_BIAS as i16) << segment) - MU_LAW_BIAS as i16) << MU_LAW_UNUSED_BITS;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Sign bit and magnitude by one's complement, as G.191 does it: no asymmetry at the negative end.
const fn sign_and_magnitude(value: i16) -> (u8, u32) {
    if value >= 0 { (0, value as u32) } else { (0x80, !value as u32) }
}

/// G.711 table 3: number of the µ-law output value (0..=127) to that of A-law (1..=128).
const fn a_number(mu: u8) -> u8 {
    match mu {
        0..=15 => mu / 2 + 1,
        16..=32 => mu - 7,
        33..=36 => 2 * mu - 39,
        37..=47 => mu - 3,
        48 => 46,
        49..=63 => mu - 1,
        64..=79 => mu,
        _ => mu + 1,
    }
}

/// G.711 table 4: number of the A-law output value (1..=128) to that of µ-law (0..=127).
const fn mu_number(a: u8) -> u8 {
    match a {
        ..=8 => 2 * a - 1,
        9..=24 => a + 7,
        25..=32 => 32 + (a - 25) / 2,
        33..=44 => a + 3,
        45..=48 => 48 + (a - 45) / 2,
        49..=63 => a + 1,
        64..=79 => a,
        _ => a - 1,
    }
}

#[cfg(test)]
mod tests {
    use audio_codec_algorithms as oracle;

    use super::*;

    #[test]
    fn every_sample_encodes_as_the_oracle_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(Law::A.encode(sample), oracle::encode_alaw(sample), "A-law of {sample}");
            assert_eq!(Law::Mu.encode(sample), oracle::encode_ulaw(sample), "µ-law of {sample}");
        }
    }

    #[test]
    fn every_octet_decodes_and_converts_as_the_oracle_does() {
        for octet in 0..=u8::MAX {
            assert_eq!(Law::A.decode(octet), oracle::decode_alaw(octet), "A-law of {octet:#x}");
            assert_eq!(Law::Mu.decode(octet), oracle::decode_ulaw(octet), "µ-law of {octet:#x}");
            assert_eq!(Law::Mu.convert(octet, Law::A), oracle::convert_ulaw_to_alaw(octet));
            assert_eq!(Law::A.convert(octet, Law::Mu), oracle::convert_alaw_to_ulaw(octet));
        }
    }

    #[test]
    fn a_block_has_the_octets_and_samples_of_the_tables() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let all: Vec<u8> = (0..=u8::MAX).chain(0..=77).collect();
        for law in [Law::A, Law::Mu] {
            for width in Width::all() {
                let mut octets = vec![0; samples.len()];
                width.run(Encode { law, samples: &samples, octets: &mut octets });
                assert!(octets.iter().zip(&samples).all(|(&o, &s)| o == law.encode(s)));
                let mut decoded = vec![0; all.len()];
                width.run(Decode { law, octets: &all, samples: &mut decoded });
                assert!(decoded.iter().zip(&all).all(|(&s, &o)| s == law.decode(o)));
            }
        }
    }

    #[test]
    fn a_double_conversion_changes_only_the_octets_that_the_recommendation_names() {
        for octet in 0..=u8::MAX {
            let back = Law::A.convert(Law::Mu.convert(octet, Law::A), Law::Mu);
            // G.711 table 3, note 2: numbers 0, 2 … 14 come back one higher.
            let number = !octet & 0x7F;
            let changed = number <= 14 && number % 2 == 0;
            assert_eq!(back, if changed { octet ^ 1 } else { octet });
        }
    }

    #[test]
    fn decoded_octets_encode_to_themselves() {
        for law in [Law::A, Law::Mu] {
            for octet in 0..=u8::MAX {
                // µ-law has two zeros, and a linear zero is positive.
                let expected = if law == Law::Mu && octet == 0x7F { 0xFF } else { octet };
                assert_eq!(law.encode(law.decode(octet)), expected);
            }
        }
    }

    #[test]
    fn blocks_of_unlike_length_are_done_as_far_as_both_reach() {
        for (from, to) in [(100, 70), (70, 100), (33, 64), (31, 200)] {
            let mut octets = vec![0; to];
            let samples = vec![1_000; from];
            assert_eq!(Law::A.encode_block(&samples, &mut octets), from.min(to));
            let octet = Law::A.encode(1_000);
            let done = octets.iter().take_while(|&&found| found == octet).count();
            assert_eq!(done, from.min(to));
            let mut samples = vec![0; from];
            Law::A.decode_block(&octets, &mut samples);
            let done = samples.iter().take_while(|&&found| found == 1_008).count();
            assert_eq!(done, from.min(to));
        }
        let mut octets = [0; 2];
        assert_eq!(Law::Mu.encode_block(&[0, 0, 0], &mut octets), 2);
        assert_eq!(octets, [Law::Mu.idle(); 2]);
        let mut samples = [1; 3];
        assert_eq!(Law::Mu.decode_block(&octets, &mut samples), 2);
        assert_eq!(samples, [0, 0, 1]);
        Law::Mu.convert_block(&mut octets, Law::A);
        assert_eq!(octets, [Law::A.idle(); 2]);
    }
}
