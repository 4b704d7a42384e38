//! The voice codecs a leg can have, with their RTP figures (RFC 3551, RFC 7587).
#![forbid(unsafe_code)]

use crate::error::RtpError;

/// A voice codec as it stands in a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, payload type 9.
    G722,
    /// Opus with what the *receiver* of the stream asked for (RFC 7587 §6.1).
    Opus(OpusParameters),
}

/// What the receiver of an Opus stream asked of its sender: RFC 7587 §6.1, `a=fmtp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpusParameters {
    /// Highest sampling rate the receiver plays, Hz (`maxplaybackrate`).
    pub max_playback_rate_hz: u32,
    /// Highest mean rate, bit/s (`maxaveragebitrate`); none: the encoder's own choice.
    pub max_average_bit_rate_bps: Option<u32>,
    /// The receiver takes advantage of in-band FEC (`useinbandfec=1`).
    pub inband_fec: bool,
    /// The receiver likes discontinuous transmission (`usedtx=1`).
    pub dtx: bool,
    /// The receiver asks for a constant bit rate (`cbr=1`).
    pub constant_bit_rate: bool,
    /// The receiver prefers two channels (`stereo=1`).
    pub stereo: bool,
}

impl Default for OpusParameters {
    /// The defaults of RFC 7587 §6.1 for parameters that are absent.
    fn default() -> Self {
        Self {
            max_playback_rate_hz: 48_000,
            max_average_bit_rate_bps: None,
            inband_fec: false,
            dtx: false,
            constant_bit_rate: false,
            stereo: false,
        }
    }
}

impl Codec {
    /// Opus as a telephone leg asks for it: in-band FEC, one channel, 16 kHz at the most.
    pub fn opus_telephony() -> Self {
        Self::Opus(OpusParameters {
            max_playback_rate_hz: 16_000,
            inband_fec: true,
            ..OpusParameters::default()
        })
    }

    /// Rate of the RTP timestamp, Hz. Opus always counts at 48 kHz (RFC 7587 §4.1), G.722 at 8 kHz
    /// although it samples at 16 (RFC 3551 §4.5.2).
    pub const fn rtp_clock_hz(&self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Opus(_) => 48_000,
        }
    }

    /// Timestamp steps of a packet that carries `ptime_ms` of sound.
    pub const fn timestamp_step(&self, ptime_ms: u16) -> u32 {
        self.rtp_clock_hz() / 1000 * ptime_ms as u32
    }

    /// The name in `a=rtpmap`.
    pub const fn encoding_name(&self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus(_) => "opus",
        }
    }

    /// The payload type RFC 3551 §6 assigns for ever, if it does.
    pub const fn static_payload_type(&self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus(_) => None,
        }
    }

    /// Whether both are the same encoding, whatever their parameters.
    pub const fn same_encoding(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Pcmu, Self::Pcmu)
                | (Self::Pcma, Self::Pcma)
                | (Self::G722, Self::G722)
                | (Self::Opus(_), Self::Opus(_))
        )
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.encoding_name())
    }
}

impl std::str::FromStr for Codec {
    type Err = RtpError;

    /// Reads the encoding name of configuration files; letters of any case (RFC 8866 §6.6).
    fn from_str(text: &str) -> Result<Self, RtpError> {
        if text.eq_ignore_ascii_case("PCMU") {
            Ok(Self::Pcmu)
        } else if text.eq_ignore_ascii_case("PCMA") {
            Ok(Self::Pcma)
        } else if text.eq_ignore_ascii_case("G722") {
            Ok(Self::G722)
        } else if text.eq_ignore_ascii_case("opus") {
            Ok(Self::opus_telephony())
        } else {
            Err(RtpError::CodecName { found: text.chars().take(40).collect() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_steps_follow_the_rtp_clock_not_the_sampling_rate() {
        assert_eq!(Codec::Pcma.timestamp_step(20), 160);
        assert_eq!(Codec::G722.timestamp_step(20), 160);
        assert_eq!(Codec::opus_telephony().timestamp_step(20), 960);
    }

    #[test]
    fn codec_names_are_read_in_any_case_and_unknown_ones_are_named() {
        assert_eq!("pcma".parse(), Ok(Codec::Pcma));
        assert_eq!("g722".parse(), Ok(Codec::G722));
        assert_eq!("OPUS".parse(), Ok(Codec::opus_telephony()));
        let error = "G729".parse::<Codec>().unwrap_err().to_string();
        assert!(error.contains("G729"), "{error}");
    }
}
