//! Offer and answer (RFC 3264) for one voice stream.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use sdp_types::Origin;

use super::{
    Audio, Crypto, Direction, Encoding, Format, MediaLine, OtherMedia, Sdp, crypto, next_port,
};
use crate::codec::Codec;
use crate::comfort_noise::COMFORT_NOISE_PAYLOAD_TYPE;
use crate::error::RtpError;
use crate::source::PayloadTypes;
use crate::srtp::SrtpKeys;

/// Payload types this side offers for what has no static one.
const OPUS_PAYLOAD_TYPE: u8 = 111;
const TELEPHONE_EVENT_PAYLOAD_TYPE: u8 = 101;
const TELEPHONE_EVENT_48K_PAYLOAD_TYPE: u8 = 110;

/// This side of a leg, as its descriptions tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where this side receives RTP.
    pub rtp: SocketAddr,
    /// Where it receives RTCP unless both share a port.
    pub rtcp: SocketAddr,
    /// Whether this side can take both on one port.
    pub rtcp_mux: bool,
    /// Names the session; the same over all descriptions of a leg.
    pub session_id: u64,
    /// Must grow by one with each changed description (RFC 3264 §8).
    pub version: u64,
    /// Sound in a packet, ms, where the other side has no wish: 10..=60.
    pub ptime_ms: u16,
    /// Direction this side wants: [`Direction::SendOnly`] or [`Direction::Inactive`] holds the other.
    pub direction: Direction,
    /// Whether digits as events are offered and taken.
    pub telephone_event: bool,
    /// Whether comfort noise is offered and taken.
    pub comfort_noise: bool,
    /// This side's keys, one for each suite it takes: with them offers ask for SRTP, in this order, and
    /// offers of SRTP are taken; without, neither. They must stay over all descriptions of a leg.
    pub crypto: Vec<Crypto>,
    /// Whether offers of plain RTP are refused.
    pub srtp_only: bool,
}

/// What both sides agreed on, as the media needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Where to send RTP.
    pub remote_rtp: SocketAddr,
    /// Where to send RTCP.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port on both sides.
    pub rtcp_mux: bool,
    /// The other side wants VoIP metrics in RTCP extended reports: each side says for itself what it
    /// wants to hear (RFC 3611 §5.2), and this one always does.
    pub voip_metrics: bool,
    /// The codec to send, with what the other side asks of it.
    pub codec: Codec,
    /// Its payload type in packets to send.
    pub payload_type: u8,
    /// The voice payload types that may come, the codec's own first.
    pub receivable: Vec<(u8, Codec)>,
    /// Payload type of events to send; none: they were not agreed on.
    pub telephone_event: Option<u8>,
    /// Payload type of events that come.
    pub receive_telephone_event: Option<u8>,
    /// RTP clock of events, Hz.
    pub telephone_event_clock_hz: u32,
    /// Payload type of comfort noise in both directions, if agreed on.
    pub comfort_noise: Option<u8>,
    /// Sound in a packet to send, ms.
    pub ptime_ms: u16,
    /// Direction as this side sees it.
    pub direction: Direction,
    /// The keys if RTP and RTCP are SRTP and SRTCP; none: they are plain. While a key stays the same over
    /// descriptions, what protects with it must go on, too: see [`crate::srtp`].
    pub srtp: Option<SrtpKeys>,
}

impl LocalMedia {
    /// A side that receives at `rtp`, RTCP at the next port or on the same, both directions, 20 ms,
    /// with events, without comfort noise and without SRTP.
    pub fn new(rtp: SocketAddr, session_id: u64) -> Self {
        Self {
            rtp,
            rtcp: next_port(rtp),
            rtcp_mux: true,
            session_id,
            version: 1,
            ptime_ms: 20,
            direction: Direction::SendReceive,
            telephone_event: true,
            comfort_noise: false,
            crypto: Vec::new(),
            srtp_only: false,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::with_ip_addr(self.session_id, self.version, self.rtp.ip())
    }
}

impl Negotiated {
    /// Whether this side must not send: it is held.
    pub fn is_held(&self) -> bool {
        !self.direction.sends()
    }

    /// All payload types that may come, for the source rule.
    pub fn expected_payload_types(&self) -> PayloadTypes {
        let voice = self.receivable.iter().map(|(payload_type, _)| *payload_type);
        voice.chain(self.receive_telephone_event).chain(self.comfort_noise).collect()
    }
}

/// The first offer of a leg: one audio line with the codecs in order of preference. A later offer is
/// [`Sdp::revised`] of the description sent before.
pub fn make_offer(local: &LocalMedia, preferences: &[Codec]) -> Sdp {
    let mut formats: Vec<Format> = Vec::new();
    for codec in preferences {
        let payload_type = codec.static_payload_type().unwrap_or(OPUS_PAYLOAD_TYPE);
        if formats.iter().all(|format| format.payload_type != payload_type) {
            formats.push(Format { payload_type, encoding: Encoding::Voice(*codec) });
        }
    }
    let has_clock = |clock_hz| preferences.iter().any(|codec| codec.rtp_clock_hz() == clock_hz);
    if local.comfort_noise && has_clock(8_000) {
        formats.push(Format {
            payload_type: COMFORT_NOISE_PAYLOAD_TYPE,
            encoding: Encoding::ComfortNoise,
        });
    }
    if local.telephone_event {
        // Events run on the clock of the codec they go with (RFC 4733 §2.1), but many know 8000 only.
        let mut put = |payload_type, clock_hz| {
            formats.push(Format { payload_type, encoding: Encoding::TelephoneEvent { clock_hz } });
        };
        put(TELEPHONE_EVENT_PAYLOAD_TYPE, 8_000);
        if has_clock(48_000) {
            put(TELEPHONE_EVENT_48K_PAYLOAD_TYPE, 48_000);
        }
    }
    Sdp {
        origin: local.origin(),
        media: vec![MediaLine::Audio(Audio {
            rtp: local.rtp,
            rtcp: local.rtcp,
            rtcp_mux: local.rtcp_mux,
            voip_metrics: true,
            feedback_profile: false,
            secure_profile: !local.crypto.is_empty(),
            crypto: local.crypto.clone(),
            refused_crypto: None,
            formats,
            ptime_ms: Some(local.ptime_ms),
            maxptime_ms: None,
            direction: local.direction,
        })],
    }
}

/// Answers an offer: the first of our `preferences` that is offered, its events and comfort noise, all
/// under the offerer's payload types; every other media line is refused with port 0 in its place.
///
/// # Errors
/// [`RtpError::NoAudio`], [`RtpError::PlainAudio`], [`RtpError::NoUsableCrypto`],
/// [`RtpError::NoCommonCodec`], [`RtpError::AddressFamily`].
pub fn answer(
    offer: &Sdp,
    local: &LocalMedia,
    preferences: &[Codec],
) -> Result<(Sdp, Negotiated), RtpError> {
    let (offered, taken) = choose_audio(offer, local)?;
    check_family(offered.rtp.ip(), local.rtp.ip())?;

    let (ours, payload_type, theirs) = preferences
        .iter()
        .find_map(|ours| {
            let mut codecs = offered.codecs();
            codecs
                .find(|(_, theirs)| theirs.same_encoding(ours))
                .map(|(number, theirs)| (*ours, number, theirs))
        })
        .ok_or_else(|| no_common_codec(offered))?;
    let events = if local.telephone_event { pick_events(&offered.formats, &theirs) } else { None };
    let comfort_noise =
        if local.comfort_noise { pick_comfort_noise(&offered.formats, &theirs) } else { None };
    let direction = local.direction.against(offered.effective_direction());
    let rtcp_mux = local.rtcp_mux && offered.rtcp_mux;
    let ptime_ms = pick_ptime(local.ptime_ms, offered, &theirs);

    let mut formats = vec![Format { payload_type, encoding: Encoding::Voice(ours) }];
    if let Some(payload_type) = comfort_noise {
        formats.push(Format { payload_type, encoding: Encoding::ComfortNoise });
    }
    if let Some((payload_type, clock_hz)) = events {
        formats.push(Format { payload_type, encoding: Encoding::TelephoneEvent { clock_hz } });
    }
    let audio = Audio {
        rtp: local.rtp,
        rtcp: local.rtcp,
        rtcp_mux,
        voip_metrics: true,
        feedback_profile: offered.feedback_profile,
        secure_profile: offered.secure_profile,
        crypto: taken.iter().map(|taken| taken.line()).collect(),
        refused_crypto: None,
        formats,
        ptime_ms: Some(ptime_ms),
        maxptime_ms: None,
        direction,
    };
    let sdp = Sdp { origin: local.origin(), media: answer_lines(offer, offered, audio) };
    let negotiated = Negotiated {
        remote_rtp: offered.rtp,
        remote_rtcp: rtcp_of(offered, rtcp_mux),
        rtcp_mux,
        voip_metrics: offered.voip_metrics,
        codec: theirs,
        payload_type,
        receivable: vec![(payload_type, ours)],
        telephone_event: events.map(|(payload_type, _)| payload_type),
        receive_telephone_event: events.map(|(payload_type, _)| payload_type),
        telephone_event_clock_hz: events.map_or(theirs.rtp_clock_hz(), |(_, clock_hz)| clock_hz),
        comfort_noise,
        ptime_ms,
        direction,
        srtp: taken.map(|taken| taken.keys),
    };
    Ok((sdp, negotiated))
}

/// Takes the answer to an offer of ours. We send under the payload types of the answer, and receive
/// under those of our offer (RFC 3264 §6.1).
///
/// # Errors
/// [`RtpError::AnswerLines`], [`RtpError::NoAudio`] if the audio was refused or has another transport,
/// [`RtpError::NoUsableCrypto`], [`RtpError::NoCommonCodec`], [`RtpError::AddressFamily`].
pub fn accept_answer(offer: &Sdp, answer: &Sdp) -> Result<Negotiated, RtpError> {
    if answer.media.len() != offer.media.len() {
        return Err(RtpError::AnswerLines {
            found: answer.media.len(),
            expected: offer.media.len(),
        });
    }
    let (ours, theirs) = offer
        .media
        .iter()
        .zip(&answer.media)
        .find_map(|lines| match lines {
            (MediaLine::Audio(ours), MediaLine::Audio(theirs))
                if ours.secure_profile == theirs.secure_profile =>
            {
                Some((ours, theirs))
            }
            _ => None,
        })
        .ok_or(RtpError::NoAudio)?;
    check_family(theirs.rtp.ip(), ours.rtp.ip())?;

    let srtp = match ours.secure_profile {
        true => Some(crypto::take_answer(ours, theirs)?),
        false => None,
    };
    // What the answer names and we offered, in the answer's order: any of it may come.
    let receivable: Vec<(u8, Codec)> = theirs
        .codecs()
        .filter_map(|(_, codec)| ours.codecs().find(|(_, offered)| offered.same_encoding(&codec)))
        .collect();
    let (first, _) = *receivable.first().ok_or_else(|| no_common_codec(theirs))?;
    let (payload_type, codec) = theirs
        .codecs()
        .find(|(_, codec)| {
            ours.codecs().any(|(number, offered)| number == first && offered.same_encoding(codec))
        })
        .ok_or_else(|| no_common_codec(theirs))?;
    let events = pick_events(&theirs.formats, &codec);
    let receive_events = events.and_then(|(_, clock_hz)| {
        let wanted = Encoding::TelephoneEvent { clock_hz };
        ours.formats
            .iter()
            .find(|format| format.encoding == wanted)
            .map(|format| format.payload_type)
    });
    let offered_noise = pick_comfort_noise(&ours.formats, &codec);
    let rtcp_mux = ours.rtcp_mux && theirs.rtcp_mux;
    Ok(Negotiated {
        remote_rtp: theirs.rtp,
        remote_rtcp: rtcp_of(theirs, rtcp_mux),
        rtcp_mux,
        voip_metrics: theirs.voip_metrics,
        codec,
        payload_type,
        receivable,
        telephone_event: events
            .map(|(payload_type, _)| payload_type)
            .filter(|_| receive_events.is_some()),
        receive_telephone_event: receive_events,
        telephone_event_clock_hz: events.map_or(codec.rtp_clock_hz(), |(_, clock_hz)| clock_hz),
        comfort_noise: offered_noise.and(pick_comfort_noise(&theirs.formats, &codec)),
        ptime_ms: pick_ptime(ours.ptime_ms.unwrap_or(20), theirs, &codec),
        direction: ours.direction.against(theirs.effective_direction()),
        srtp,
    })
}

/// The audio line of an offer that this side takes: the first over SRTP with a key of a suite that this
/// side has one of, too, else the first plain one. Whoever offers both can do both.
fn choose_audio<'a>(
    offer: &'a Sdp,
    local: &LocalMedia,
) -> Result<(&'a Audio, Option<crypto::Taken>), RtpError> {
    let secure = || offer.audio_lines().filter(|audio| audio.secure_profile);
    for audio in secure() {
        if let Some(taken) = crypto::take_offer(audio, &local.crypto) {
            return Ok((audio, Some(taken)));
        }
    }
    let plain = offer.audio_lines().find(|audio| !audio.secure_profile);
    match (plain, secure().next()) {
        (Some(plain), _) if !local.srtp_only => Ok((plain, None)),
        (_, Some(secure)) if !local.crypto.is_empty() => Err(crypto::no_usable_crypto(secure)),
        (Some(_), _) => Err(RtpError::PlainAudio),
        (None, _) => Err(RtpError::NoAudio),
    }
}

/// The offer's lines in their order: our audio for the one that was chosen, port 0 for all others
/// (RFC 3264 §6).
fn answer_lines(offer: &Sdp, chosen: &Audio, audio: Audio) -> Vec<MediaLine> {
    let mut audio = Some(audio);
    let refuse = |kind: &str, protocol: &str, formats: String| {
        MediaLine::Other(OtherMedia {
            kind: kind.to_owned(),
            port: 0,
            protocol: protocol.to_owned(),
            formats,
        })
    };
    offer
        .media
        .iter()
        .map(|line| match line {
            MediaLine::Audio(this) => match audio.take_if(|_| std::ptr::eq(this, chosen)) {
                Some(ours) => MediaLine::Audio(ours),
                None => {
                    let numbers: Vec<String> =
                        this.formats.iter().map(|f| f.payload_type.to_string()).collect();
                    refuse("audio", this.protocol(), numbers.join(" "))
                }
            },
            MediaLine::Other(other) => refuse(&other.kind, &other.protocol, other.formats.clone()),
        })
        .collect()
}

/// Events on the codec's clock, else at 8000 Hz, else none (RFC 4733 §2.1).
fn pick_events(formats: &[Format], codec: &Codec) -> Option<(u8, u32)> {
    let events = |wanted: u32| {
        formats.iter().find_map(|format| match format.encoding {
            Encoding::TelephoneEvent { clock_hz } if clock_hz == wanted => {
                Some((format.payload_type, clock_hz))
            }
            _ => None,
        })
    };
    events(codec.rtp_clock_hz()).or_else(|| events(8_000))
}

/// Opus has its own; comfort noise packets go with codecs on their clock (RFC 3389 §1).
fn pick_comfort_noise(formats: &[Format], codec: &Codec) -> Option<u8> {
    let has_none = codec.rtp_clock_hz() == 8_000;
    let noise = formats.iter().find(|format| format.encoding == Encoding::ComfortNoise);
    noise.filter(|_| has_none).map(|format| format.payload_type)
}

/// The other side's wish, else ours, within its `maxptime` and what the codec can do: tens of
/// milliseconds from 10 to 60, for Opus 10, 20, 40 or 60.
fn pick_ptime(ours_ms: u16, theirs: &Audio, codec: &Codec) -> u16 {
    let longest_ms = theirs.maxptime_ms.unwrap_or(60).min(60);
    let wanted_ms = theirs.ptime_ms.unwrap_or(ours_ms).min(longest_ms);
    let steps: &[u16] = match codec {
        Codec::Opus(_) => &[60, 40, 20],
        Codec::Pcmu | Codec::Pcma | Codec::G722 => &[60, 50, 40, 30, 20],
    };
    steps.iter().copied().find(|step| *step <= wanted_ms).unwrap_or(10)
}

fn rtcp_of(audio: &Audio, rtcp_mux: bool) -> SocketAddr {
    if rtcp_mux { audio.rtp } else { audio.rtcp }
}

fn check_family(remote: IpAddr, local: IpAddr) -> Result<(), RtpError> {
    if remote.is_ipv4() != local.is_ipv4() {
        return Err(RtpError::AddressFamily { remote, local });
    }
    Ok(())
}

fn no_common_codec(audio: &Audio) -> RtpError {
    let names: Vec<&str> =
        audio.formats.iter().map(|format| format.encoding.name()).take(20).collect();
    RtpError::NoCommonCodec { offered: names.join(" ").chars().take(200).collect() }
}
