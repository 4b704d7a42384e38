//! The sample rates between which voice is carried.

use std::fmt;

/// A sample rate of voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// 8 kHz, narrowband: the telephone network.
    Hz8000,
    /// 16 kHz, wideband.
    Hz16000,
    /// 48 kHz, fullband: sound cards and browsers.
    Hz48000,
}

impl SampleRate {
    /// Samples a second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz48000 => 48_000,
        }
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} Hz", self.hz())
    }
}
