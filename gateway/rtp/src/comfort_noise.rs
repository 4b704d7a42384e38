//! Comfort noise payload: a level and the shape of its spectrum (RFC 3389).
#![forbid(unsafe_code)]

use crate::error::RtpError;

/// The static payload type of comfort noise at 8 kHz (RFC 3551 §6).
pub const COMFORT_NOISE_PAYLOAD_TYPE: u8 = 13;
/// Reflection coefficients this gateway reads and writes at most; more bring nothing at 8 kHz.
pub const MAXIMUM_ORDER: usize = 12;

/// A silence insertion descriptor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComfortNoise {
    /// Level below overload, 0..=127: 30 stands for -30 dBov (RFC 3389 §3.1).
    pub level_minus_dbov: u8,
    coefficients: [f32; MAXIMUM_ORDER],
    order: usize,
}

impl ComfortNoise {
    /// Noise of a level with reflection coefficients; those after the twelfth are left out, a level
    /// above 127 becomes 127.
    pub fn new(level_minus_dbov: u8, reflection: &[f32]) -> Self {
        let order = reflection.len().min(MAXIMUM_ORDER);
        let mut coefficients = [0.0; MAXIMUM_ORDER];
        coefficients[..order].copy_from_slice(&reflection[..order]);
        Self { level_minus_dbov: level_minus_dbov.min(127), coefficients, order }
    }

    /// Reads a payload. Octets after those of the highest order are left out (RFC 3389 §3: a receiver
    /// may use a lower order).
    ///
    /// # Errors
    /// [`RtpError::Truncated`] if it is empty.
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let Some((level, shape)) = payload.split_first() else {
            return Err(RtpError::Truncated {
                what: "the comfort noise payload",
                needed_octets: 1,
                present_octets: 0,
            });
        };
        let order = shape.len().min(MAXIMUM_ORDER);
        let mut coefficients = [0.0; MAXIMUM_ORDER];
        for (coefficient, quantised) in coefficients.iter_mut().zip(shape) {
            // RFC 3389 §3.2; 255 is reserved and read as the highest value.
            *coefficient = 258.0 * (f32::from((*quantised).min(254)) - 127.0) / 32_768.0;
        }
        Ok(Self {
            // The highest bit is to be ignored (RFC 3389 §3.1).
            level_minus_dbov: level & 0x7f,
            coefficients,
            order,
        })
    }

    /// Reflection coefficients, each in -1..1; none for white noise.
    pub fn reflection(&self) -> &[f32] {
        &self.coefficients[..self.order]
    }

    /// Writes the payload and returns its octets.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`].
    pub fn write(&self, out: &mut [u8]) -> Result<usize, RtpError> {
        let needed_octets = 1 + self.order;
        let present_octets = out.len();
        let out = out.get_mut(..needed_octets).ok_or(RtpError::BufferTooSmall {
            what: "the comfort noise payload",
            needed_octets,
            present_octets,
        })?;
        out[0] = self.level_minus_dbov;
        for (octet, coefficient) in out[1..].iter_mut().zip(self.reflection()) {
            // The cast saturates, and makes 0 of what is not a number.
            *octet = ((coefficient * 32_768.0 / 258.0).round() + 127.0).clamp(0.0, 254.0) as u8;
        }
        Ok(needed_octets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn level_and_spectrum_are_read_back_within_a_quantisation_step() {
        let noise = ComfortNoise::new(52, &[0.5, -0.93, 0.0]);
        let mut out = [0; 13];
        assert_eq!(noise.write(&mut out), Ok(4));
        assert_eq!((out[0], out[3]), (52, 127));
        let read = ComfortNoise::parse(&out[..4]).unwrap();
        assert_eq!(read.level_minus_dbov, 52);
        for (written, read) in noise.reflection().iter().zip(read.reflection()) {
            assert!((written - read).abs() <= 0.004, "{written} became {read}");
        }
    }

    #[test]
    fn ends_of_the_quantiser_are_those_of_the_standard() {
        let read = ComfortNoise::parse(&[0x80 | 30, 0, 254, 255]).unwrap();
        assert_eq!(read.level_minus_dbov, 30);
        let end = 258.0 * 127.0 / 32_768.0;
        assert_eq!(read.reflection(), [-end, end, end]);
        assert!(end < 1.0);
    }

    #[test]
    fn empty_payload_and_small_buffer_are_refused() {
        assert!(matches!(ComfortNoise::parse(&[]), Err(RtpError::Truncated { .. })));
        assert!(ComfortNoise::new(1, &[0.1]).write(&mut [0; 1]).is_err());
        assert_eq!(ComfortNoise::new(200, &[0.0; 40]).reflection().len(), MAXIMUM_ORDER);
    }

    proptest! {
        #[test]
        fn arbitrary_payload_never_panics_and_is_stable(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(noise) = ComfortNoise::parse(&payload) {
                prop_assert!(noise.reflection().iter().all(|k| k.abs() < 1.0));
                let mut out = [0; 1 + MAXIMUM_ORDER];
                let octets = noise.write(&mut out).unwrap();
                prop_assert_eq!(ComfortNoise::parse(&out[..octets]).unwrap(), noise);
            }
        }
    }
}
