//! A payload format of a media line: number, encoding, and the attributes that say so.
#![forbid(unsafe_code)]

use sdp_types::{Fmtp, FmtpParam, RtpMap};

use crate::codec::{Codec, OpusParameters};
use crate::comfort_noise::COMFORT_NOISE_PAYLOAD_TYPE;

/// A payload type and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// 0..=127.
    pub payload_type: u8,
    /// What it stands for.
    pub encoding: Encoding,
}

/// What a payload type stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoding {
    /// A voice codec of this gateway.
    Voice(Codec),
    /// RFC 4733 events.
    TelephoneEvent {
        /// Its RTP clock, Hz.
        clock_hz: u32,
    },
    /// RFC 3389 comfort noise at 8 kHz.
    ComfortNoise,
    /// An encoding this gateway does not have.
    Other {
        /// Its name; empty if the description does not tell.
        name: String,
    },
}

impl Format {
    /// The format of `payload_type` from its attributes; without `a=rtpmap` the static assignments of
    /// RFC 3551 §6 hold.
    pub(super) fn from_attributes(
        payload_type: u8,
        map: Option<&RtpMap>,
        fmtp: Option<&Fmtp>,
    ) -> Self {
        let encoding = match (map, payload_type) {
            (Some(map), _) => Encoding::from_map(map, fmtp),
            (None, 0) => Encoding::Voice(Codec::Pcmu),
            (None, 8) => Encoding::Voice(Codec::Pcma),
            (None, 9) => Encoding::Voice(Codec::G722),
            (None, COMFORT_NOISE_PAYLOAD_TYPE) => Encoding::ComfortNoise,
            (None, _) => Encoding::Other { name: String::new() },
        };
        Self { payload_type, encoding }
    }

    /// The `a=rtpmap` of the format; none if its name is not known.
    pub(super) fn map(&self) -> Option<RtpMap> {
        let (name, clock_hz, channels) = match &self.encoding {
            // RFC 7587 §7: always 48000 and 2, whatever is sent.
            Encoding::Voice(codec @ Codec::Opus(_)) => (codec.encoding_name(), 48_000, Some("2")),
            Encoding::Voice(codec) => (codec.encoding_name(), codec.rtp_clock_hz(), None),
            Encoding::TelephoneEvent { clock_hz } => ("telephone-event", *clock_hz, None),
            Encoding::ComfortNoise => ("CN", 8_000, None),
            Encoding::Other { .. } => return None,
        };
        Some(RtpMap {
            payload_type: self.payload_type,
            encoding_name: name.to_owned(),
            clock_rate: clock_hz,
            encoding_params: channels.map(str::to_owned),
        })
    }

    /// The `a=fmtp` of the format, if it has one.
    pub(super) fn fmtp(&self) -> Option<Fmtp> {
        let mut fmtp = Fmtp::new(self.payload_type);
        match &self.encoding {
            Encoding::Voice(Codec::Opus(parameters)) => {
                fmtp.format_specific_params = opus_fmtp(parameters)
            }
            // All DTMF events (RFC 4733 §7.1.1).
            Encoding::TelephoneEvent { .. } => {
                fmtp.format_specific_params.push(FmtpParam::new("0-15"))
            }
            _ => {}
        }
        (!fmtp.format_specific_params.is_empty()).then_some(fmtp)
    }
}

impl Encoding {
    /// Its name, as in `a=rtpmap`.
    pub fn name(&self) -> &str {
        match self {
            Self::Voice(codec) => codec.encoding_name(),
            Self::TelephoneEvent { .. } => "telephone-event",
            Self::ComfortNoise => "CN",
            Self::Other { name } => name,
        }
    }

    fn from_map(map: &RtpMap, fmtp: Option<&Fmtp>) -> Self {
        let is = |name: &str, clock_hz: u32| {
            map.encoding_name.eq_ignore_ascii_case(name) && map.clock_rate == clock_hz
        };
        let channels = map.encoding_params.as_deref().unwrap_or("1");
        if is("PCMU", 8_000) && channels == "1" {
            Self::Voice(Codec::Pcmu)
        } else if is("PCMA", 8_000) && channels == "1" {
            Self::Voice(Codec::Pcma)
        } else if is("G722", 8_000) && channels == "1" {
            Self::Voice(Codec::G722)
        } else if is("opus", 48_000) {
            Self::Voice(Codec::Opus(opus_parameters(fmtp)))
        } else if map.encoding_name.eq_ignore_ascii_case("telephone-event")
            && map.clock_rate >= 8_000
        {
            Self::TelephoneEvent { clock_hz: map.clock_rate }
        } else if is("CN", 8_000) {
            Self::ComfortNoise
        } else {
            Self::Other { name: map.encoding_name.clone() }
        }
    }
}

/// RFC 7587 §6.1; a value out of its range counts as absent.
fn opus_parameters(fmtp: Option<&Fmtp>) -> OpusParameters {
    let mut parameters = OpusParameters::default();
    for FmtpParam { param, val } in fmtp.iter().flat_map(|fmtp| &fmtp.format_specific_params) {
        let number = val.as_deref().and_then(|text| text.trim().parse::<u32>().ok());
        let is_on = number == Some(1);
        match (param.trim().to_ascii_lowercase().as_str(), number) {
            ("maxplaybackrate", Some(rate @ 8_000..=48_000)) => {
                parameters.max_playback_rate_hz = rate
            }
            ("maxaveragebitrate", Some(rate @ 6_000..=510_000)) => {
                parameters.max_average_bit_rate_bps = Some(rate)
            }
            ("useinbandfec", _) => parameters.inband_fec = is_on,
            ("usedtx", _) => parameters.dtx = is_on,
            ("cbr", _) => parameters.constant_bit_rate = is_on,
            ("stereo", _) => parameters.stereo = is_on,
            _ => {}
        }
    }
    parameters
}

fn opus_fmtp(parameters: &OpusParameters) -> Vec<FmtpParam> {
    let absent = OpusParameters::default();
    let mut out = Vec::new();
    let mut put = |name: &str, value: u32| {
        out.push(FmtpParam { param: name.to_owned(), val: Some(value.to_string()) });
    };
    if parameters.max_playback_rate_hz != absent.max_playback_rate_hz {
        put("maxplaybackrate", parameters.max_playback_rate_hz);
    }
    if let Some(rate) = parameters.max_average_bit_rate_bps {
        put("maxaveragebitrate", rate);
    }
    for (name, is_on) in [
        ("useinbandfec", parameters.inband_fec),
        ("usedtx", parameters.dtx),
        ("cbr", parameters.constant_bit_rate),
        ("stereo", parameters.stereo),
    ] {
        if is_on {
            put(name, 1);
        }
    }
    out
}
