//! What a leg shall be: its description at the start, and what may change later.

use std::net::{IpAddr, SocketAddr};

use trunkline_dsp::g711::Law;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::Negotiated;
use trunkline_rtp::srtp::SrtpKeys;

use crate::error::MediaError;

/// A leg as signalling has agreed on it.
#[derive(Debug, Clone)]
pub struct RtpLegSpec {
    /// Our address.
    pub local: IpAddr,
    /// The other side, if known yet; until then nothing is sent or accepted.
    pub remote: Option<Remote>,
    /// What is sent.
    pub sending: Sending,
    /// What is accepted: our payload types, as our session description names them.
    pub receiving: Vec<PayloadFormat>,
    /// The law of the timeslot's octets.
    pub line_law: Law,
    /// Whether to listen for tones of digits from the timeslot.
    pub detect_digits: bool,
    /// Our canonical name (RTCP SDES), at most 255 octets.
    pub cname: String,
    /// Whether its packets are plain or SRTP.
    pub protection: Protection,
}

impl RtpLegSpec {
    /// A leg that speaks one G.711 codec both ways in 20 ms packets, without telephone-event.
    pub fn g711(local: IpAddr, remote: Option<Remote>, law: Law) -> Self {
        let codec = match law {
            Law::A => Codec::Pcma,
            Law::Mu => Codec::Pcmu,
        };
        let payload_type = codec.static_payload_type().unwrap_or_default();
        Self {
            local,
            remote,
            sending: Sending { codec, payload_type, telephone_event: None, ptime_ms: 20 },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            line_law: law,
            detect_digits: false,
            cname: "trunkline".to_owned(),
            protection: Protection::Plain,
        }
    }
}

/// How the RTP and RTCP packets of a leg are protected, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Protection {
    /// Not at all.
    #[default]
    Plain,
    /// SRTP and SRTCP under these keys; what comes without is dropped. While a key stays, what it
    /// has protected already is known.
    Srtp(SrtpKeys),
}

/// Where the other side is, as signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Where it wants RTP.
    pub rtp: SocketAddr,
    /// Where it wants RTCP: the next port by default, the same port with RTCP multiplexing.
    pub rtcp: SocketAddr,
    /// It wants VoIP metrics in RTCP extended reports (RFC 3611 §5).
    pub voip_metrics: bool,
    /// Where its signalling came from.
    pub signalling_from: Option<IpAddr>,
}

impl Remote {
    /// RTCP on the next port, as RFC 3550 §11 has it, without extended reports.
    pub fn new(rtp: SocketAddr) -> Self {
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
        Self { rtp, rtcp, voip_metrics: false, signalling_from: None }
    }
}

/// What a leg sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// The codec.
    pub codec: Codec,
    /// Its payload type, by the other side's numbers.
    pub payload_type: u8,
    /// The payload type of telephone-event with the codec's clock, if the other side takes it.
    pub telephone_event: Option<u8>,
    /// Sound a packet carries, ms: 10, 20, 40 or 60, for G.711 and G.722 also 30 and 50.
    pub ptime_ms: u16,
}

/// A payload type and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadFormat {
    /// 0..=127.
    pub payload_type: u8,
    /// What it carries.
    pub payload: Payload,
}

/// What a packet can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Speech.
    Audio(Codec),
    /// Digits (RFC 4733).
    TelephoneEvent {
        /// The clock of its timestamps.
        clock_hz: u32,
    },
    /// The level of silence (RFC 3389).
    ComfortNoise,
}

/// What changes; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct RtpLegUpdate {
    /// The other side's address.
    pub remote: Option<Remote>,
    /// What is sent.
    pub sending: Option<Sending>,
    /// What is accepted.
    pub receiving: Option<Vec<PayloadFormat>>,
    /// Which ways sound goes: hold and its end.
    pub direction: Option<Direction>,
    /// Whether packets are plain or SRTP. Under another key of ours than before, what we send is a
    /// new stream (SSRC).
    pub protection: Option<Protection>,
}

/// Which ways sound goes, seen from us (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// We send.
    pub send: bool,
    /// We play what comes.
    pub receive: bool,
}

impl Default for Direction {
    fn default() -> Self {
        Self { send: true, receive: true }
    }
}

impl Remote {
    /// Where the other side is, by what was negotiated in signalling that came from
    /// `signalling_from`.
    pub fn negotiated(negotiated: &Negotiated, signalling_from: Option<IpAddr>) -> Self {
        Self {
            rtp: negotiated.remote_rtp,
            rtcp: negotiated.remote_rtcp,
            voip_metrics: negotiated.voip_metrics,
            signalling_from,
        }
    }
}

impl From<&Negotiated> for Protection {
    fn from(negotiated: &Negotiated) -> Self {
        negotiated.srtp.clone().map_or(Self::Plain, Self::Srtp)
    }
}

impl From<&Negotiated> for Sending {
    fn from(negotiated: &Negotiated) -> Self {
        // Events on another clock than the voice's have no place in its timestamps.
        let same_clock = negotiated.telephone_event_clock_hz == negotiated.codec.rtp_clock_hz();
        Self {
            codec: negotiated.codec,
            payload_type: negotiated.payload_type,
            telephone_event: negotiated.telephone_event.filter(|_| same_clock),
            ptime_ms: negotiated.ptime_ms,
        }
    }
}

impl PayloadFormat {
    /// Everything that may come, by what was negotiated.
    pub fn receivable(negotiated: &Negotiated) -> Vec<Self> {
        let audio = negotiated
            .receivable
            .iter()
            .map(|&(payload_type, codec)| Self { payload_type, payload: Payload::Audio(codec) });
        let clock_hz = negotiated.telephone_event_clock_hz;
        let events = negotiated.receive_telephone_event.map(|payload_type| Self {
            payload_type,
            payload: Payload::TelephoneEvent { clock_hz },
        });
        let noise = negotiated
            .comfort_noise
            .map(|payload_type| Self { payload_type, payload: Payload::ComfortNoise });
        audio.chain(events).chain(noise).collect()
    }
}

impl RtpLegUpdate {
    /// All that was negotiated in signalling that came from `signalling_from`.
    pub fn negotiated(negotiated: &Negotiated, signalling_from: Option<IpAddr>) -> Self {
        Self {
            remote: Some(Remote::negotiated(negotiated, signalling_from)),
            sending: Some(negotiated.into()),
            receiving: Some(PayloadFormat::receivable(negotiated)),
            direction: Some(Direction {
                send: negotiated.direction.sends(),
                receive: negotiated.direction.receives(),
            }),
            protection: Some(negotiated.into()),
        }
    }
}

pub(crate) fn check_sending(sending: &Sending) -> Result<(), MediaError> {
    if !matches!(sending.ptime_ms, 10 | 20 | 30 | 40 | 50 | 60) {
        return Err(MediaError::Spec("ptime must be 10, 20, 30, 40, 50 or 60 ms"));
    }
    if matches!(sending.ptime_ms, 30 | 50) && matches!(sending.codec, Codec::Opus(_)) {
        return Err(MediaError::Spec("Opus has no packets of 30 or 50 ms"));
    }
    if sending.payload_type > 127 || sending.telephone_event.is_some_and(|t| t > 127) {
        return Err(MediaError::Spec("a payload type is above 127"));
    }
    if sending.telephone_event == Some(sending.payload_type) {
        return Err(MediaError::Spec("telephone-event and audio have the same payload type"));
    }
    Ok(())
}

pub(crate) fn check_receiving(receiving: &[PayloadFormat]) -> Result<(), MediaError> {
    if receiving.iter().any(|format| format.payload_type > 127) {
        return Err(MediaError::Spec("a payload type is above 127"));
    }
    if !receiving.iter().any(|format| matches!(format.payload, Payload::Audio(_))) {
        return Err(MediaError::Spec("no audio payload type is accepted"));
    }
    Ok(())
}
