//! What can go wrong.

use crate::rate::SampleRate;

/// Why something was refused.
#[derive(Debug, thiserror::Error)]
pub enum DspError {
    /// Not one of the sixteen digits of DTMF.
    #[error("{0:?} is no DTMF digit; there are 0 to 9, *, # and A to D")]
    UnknownDigit(char),
    /// A DTMF generator takes no more digits until some were played.
    #[error("too many DTMF digits wait to be played")]
    DigitsWaiting,
    /// Opus takes frames of 2.5, 5, 10, 20, 40 or 60 ms, and conceals multiples of 2.5 ms.
    #[error("Opus takes no frame of {samples} samples at {rate}")]
    FrameLength {
        /// Length of the frame.
        samples: usize,
        /// Rate of its samples.
        rate: SampleRate,
    },
    /// G.722 has samples at 8 or 16 kHz.
    #[error("G.722 has no samples at {rate}")]
    G722Rate {
        /// The rate asked for.
        rate: SampleRate,
    },
    /// libopus refused.
    #[error("Opus: {0}")]
    Opus(#[from] audiopus::Error),
}
