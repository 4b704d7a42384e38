//! G.711: A-law and µ-law.
//!
//! **What it does.** Turns 16-bit linear samples into the octets that telephone lines carry, and
//! back; turns A-law octets into µ-law octets and back.
//!
//! **How it works.** Octets become samples by a table of 256, samples become octets by the
//! position of their highest bit. A-law has 13 bits of range, µ-law 14; samples are 16-bit, the
//! codec's range at the top (ITU-T G.711 tables 1 and 2, with the even bits of A-law inverted and
//! all bits of µ-law inverted, as on the wire).
//!
//! **How to use it.** [`Law::encode`] and [`Law::decode`] for a sample, [`Law::encode_block`] and
//! [`Law::decode_block`] for blocks, [`a_to_mu`] and [`mu_to_a`] between the laws.
//!
//! **Cost.** About a nanosecond a sample; no state.

/// A companding law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// A-law: E1 lines, Europe and most of the world; RTP payload type 8.
    A,
    /// µ-law: T1 and J1 lines, North America and Japan; RTP payload type 0.
    Mu,
}

impl Law {
    /// The octet of a sample.
    #[inline]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => encode_a(sample),
            Self::Mu => encode_mu(sample),
        }
    }

    /// The sample of an octet.
    #[inline]
    pub const fn decode(self, octet: u8) -> i16 {
        match self {
            Self::A => DECODE_A[octet as usize],
            Self::Mu => DECODE_MU[octet as usize],
        }
    }

    /// The octet of silence, which an unused timeslot carries.
    pub const fn idle(self) -> u8 {
        match self {
            Self::A => 0xd5,
            Self::Mu => 0xff,
        }
    }

    /// Encodes as many samples as both blocks have.
    pub fn encode_block(self, samples: &[i16], octets: &mut [u8]) {
        for (octet, &sample) in octets.iter_mut().zip(samples) {
            *octet = self.encode(sample);
        }
    }

    /// Decodes as many octets as both blocks have.
    pub fn decode_block(self, octets: &[u8], samples: &mut [i16]) {
        for (sample, &octet) in samples.iter_mut().zip(octets) {
            *sample = self.decode(octet);
        }
    }
}

/// The µ-law octet for an A-law octet.
#[inline]
pub const fn a_to_mu(octet: u8) -> u8 {
    A_TO_MU[octet as usize]
}

/// The A-law octet for a µ-law octet.
#[inline]
pub const fn mu_to_a(octet: u8) -> u8 {
    MU_TO_A[octet as usize]
}

/// Even bits are inverted on the wire.
const A_LAW_INVERSION: u8 = 0x55;

/// Added before the µ-law segment is looked for, at 16-bit scale (33 at 14 bits).
const MU_LAW_BIAS: i32 = 0x84;

/// Largest magnitude that µ-law encodes without clipping.
const MU_LAW_MAGNITUDE_MAX: i32 = 32_635;

const fn encode_a(sample: i16) -> u8 {
    // A negative value's magnitude is one less, so that -1 and 0 lie on either side of zero.
    let (sign, magnitude) = if sample >= 0 {
        (0x80_u8, sample as i32 >> 4)
    } else {
        (0, (!(sample as i32)) >> 4)
    };
    // 11 bits of magnitude: segments 0 and 1 have the same step, each further one twice the step.
    let code = if magnitude < 32 {
        magnitude as u8
    } else {
        let segment = 28 - (magnitude as u32).leading_zeros() as i32;
        ((segment as u8) << 4) | ((magnitude >> (segment - 1)) & 0x0f) as u8
    };
    (sign | code) ^ A_LAW_INVERSION
}

const fn decode_a(octet: u8) -> i16 {
    let code = octet ^ A_LAW_INVERSION;
    let segment = (code >> 4) & 7;
    let mantissa = (code & 0x0f) as i32;
    let magnitude = if segment == 0 {
        (mantissa << 4) + 8
    } else {
        ((mantissa << 4) + 0x108) << (segment - 1)
    };
    if code & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 }
}

const fn encode_mu(sample: i16) -> u8 {
    let (sign, magnitude) =
        if sample < 0 { (0x80_u8, !(sample as i32)) } else { (0, sample as i32) };
    let clipped =
        if magnitude > MU_LAW_MAGNITUDE_MAX { MU_LAW_MAGNITUDE_MAX } else { magnitude };
    let biased = clipped + MU_LAW_BIAS;
    let segment = 24 - (biased as u32).leading_zeros() as i32;
    let mantissa = (biased >> (segment + 3)) & 0x0f;
    !(sign | ((segment as u8) << 4) | mantissa as u8)
}

const fn decode_mu(octet: u8) -> i16 {
    let code = !octet;
    let segment = (code >> 4) & 7;
    let mantissa = (code & 0x0f) as i32;
    let magnitude = (((mantissa << 3) + MU_LAW_BIAS) << segment) - MU_LAW_BIAS;
    if code & 0x80 != 0 { -magnitude as i16 } else { magnitude as i16 }
}

const DECODE_A: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = decode_a(octet as u8);
        octet += 1;
    }
    table
};

const DECODE_MU: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = decode_mu(octet as u8);
        octet += 1;
    }
    table
};

const A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = encode_mu(decode_a(octet as u8));
        octet += 1;
    }
    table
};

const MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = encode_a(decode_mu(octet as u8));
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use audio_codec_algorithms as oracle;

    use super::*;

    #[test]
    fn every_octet_decodes_as_the_oracle_does() {
        for octet in 0..=255 {
            assert_eq!(Law::A.decode(octet), oracle::decode_alaw(octet), "A-law {octet:#04x}");
            assert_eq!(Law::Mu.decode(octet), oracle::decode_ulaw(octet), "µ-law {octet:#04x}");
        }
    }

    #[test]
    fn every_sample_encodes_as_the_oracle_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(Law::A.encode(sample), oracle::encode_alaw(sample), "A-law {sample}");
            assert_eq!(Law::Mu.encode(sample), oracle::encode_ulaw(sample), "µ-law {sample}");
        }
    }

    #[test]
    fn what_was_decoded_encodes_to_the_same_octet() {
        for octet in 0..=255 {
            assert_eq!(Law::A.encode(Law::A.decode(octet)), octet);
            // µ-law has two zeros; the negative one becomes the positive.
            let expected = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(octet)), expected);
        }
    }

    #[test]
    fn silence_is_idle() {
        assert_eq!(Law::A.encode(0), Law::A.idle());
        assert_eq!(Law::Mu.encode(0), Law::Mu.idle());
    }
}
