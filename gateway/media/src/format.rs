//! Payloads as the jitter buffer tags them, and how long they play.

use trunkline_dsp::g711::Law;
use trunkline_rtp::codec::Codec;

/// What a payload in the jitter buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// G.711.
    G711(Law),
    /// G.722.
    G722,
    /// Opus.
    Opus,
    /// A description of silence (RFC 3389).
    ComfortNoise,
}

impl Format {
    pub(crate) fn of(codec: Codec) -> Self {
        match codec {
            Codec::Pcma => Self::G711(Law::A),
            Codec::Pcmu => Self::G711(Law::Mu),
            Codec::G722 => Self::G722,
            Codec::Opus(_) => Self::Opus,
        }
    }

    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::G711(Law::A) => 0,
            Self::G711(Law::Mu) => 1,
            Self::Opus => 2,
            Self::ComfortNoise => 3,
            Self::G722 => 4,
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Self {
        match tag {
            0 => Self::G711(Law::A),
            1 => Self::G711(Law::Mu),
            2 => Self::Opus,
            4 => Self::G722,
            _ => Self::ComfortNoise,
        }
    }

    /// How long a payload plays, in samples at 8 kHz; none if it is no payload of this format, or
    /// longer than a packet may be.
    pub(crate) fn samples(self, payload: &[u8]) -> Option<u16> {
        let samples = match self {
            // An octet each 125 µs.
            Self::G711(_) | Self::G722 => payload.len(),
            Self::Opus => opus_samples(payload)?,
            Self::ComfortNoise => return (!payload.is_empty()).then_some(0),
        };
        (1..=SAMPLES_MAX).contains(&samples).then_some(samples as u16)
    }
}

/// The longest packet that is played: 120 ms, which is Opus' limit.
pub(crate) const SAMPLES_MAX: usize = 960;

/// The duration of an Opus packet by its first octets (RFC 6716 §3.1, §3.2).
fn opus_samples(payload: &[u8]) -> Option<usize> {
    let (toc, rest) = payload.split_first()?;
    // In units of 2.5 ms, 20 samples.
    let frame = match toc >> 3 {
        config @ 0..=11 => [4, 8, 16, 24][usize::from(config % 4)],
        config @ 12..=15 => [4, 8][usize::from(config % 2)],
        config => [1, 2, 4, 8][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(rest.first()? & 0x3F),
    };
    Some(frame * frames * 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_durations_follow_the_toc() {
        // SILK narrow band 20 ms, one frame; CELT 20 ms, two frames; hybrid 10 ms, code 3, 3 frames.
        assert_eq!(opus_samples(&[1 << 3, 0]), Some(160));
        assert_eq!(opus_samples(&[31 << 3 | 1, 0]), Some(320));
        assert_eq!(opus_samples(&[12 << 3 | 3, 3]), Some(240));
        assert_eq!(opus_samples(&[3 << 3]), Some(480));
        assert_eq!(opus_samples(&[]), None);
        assert_eq!(opus_samples(&[3]), None);
        assert_eq!(Format::Opus.samples(&[3 << 3 | 3, 63]), None);
        assert_eq!(Format::Opus.samples(&[3, 0]), None);
    }

    #[test]
    fn tags_name_their_format() {
        for format in [
            Format::G711(Law::A),
            Format::G711(Law::Mu),
            Format::G722,
            Format::Opus,
            Format::ComfortNoise,
        ] {
            assert_eq!(Format::from_tag(format.tag()), format);
        }
    }
}
