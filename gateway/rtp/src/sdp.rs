//! Session descriptions of a voice leg: read and written through `sdp-types`, negotiated by RFC 3264.
//!
//! The life of a description: [`Sdp::parse`] (`read.rs`) → [`answer`] or [`accept_answer`]
//! (`negotiation.rs`) → [`Negotiated`] for the media; ours goes out by `Display` (`write.rs`).
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use crate::codec::Codec;

mod crypto;
mod format;
mod negotiation;
mod read;
mod write;

pub use crypto::Crypto;
pub use format::{Encoding, Format};
pub use negotiation::{LocalMedia, Negotiated, accept_answer, answer, make_offer};

/// Octets of the longest description that is read.
pub const MAXIMUM_OCTETS: usize = 16 * 1024;
/// Lines of the longest description that is read.
pub const MAXIMUM_LINES: usize = 512;
/// Media lines that are read at most.
pub const MAXIMUM_MEDIA_LINES: usize = 16;
/// Formats of a media line that are read at most.
pub const MAXIMUM_FORMATS: usize = 64;

/// A session description: its origin and its media lines in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    origin: sdp_types::Origin,
    /// The media lines; an answer has exactly those of its offer (RFC 3264 §6).
    pub media: Vec<MediaLine>,
}

/// One media line with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaLine {
    /// Audio over RTP or SRTP with a port: one this gateway can use if it has its codecs and its keys.
    Audio(Audio),
    /// Anything else, or refused: kept for its place in the order.
    Other(OtherMedia),
}

/// Audio over RTP/AVP or RTP/SAVP, or the same with feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Where its side wants RTP. An unspecified address (0.0.0.0) means it wants none (RFC 3264 §8.4).
    pub rtp: SocketAddr,
    /// Where its side wants RTCP unless both share a port: `a=rtcp` (RFC 3605), or the next port.
    pub rtcp: SocketAddr,
    /// RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Its side wants VoIP metrics in RTCP extended reports (`a=rtcp-xr`, RFC 3611 §5.1).
    pub voip_metrics: bool,
    /// The transport is RTP/AVPF or RTP/SAVPF, with feedback (RFC 4585); an answer names the same.
    pub feedback_profile: bool,
    /// The transport is RTP/SAVP or RTP/SAVPF: SRTP, with a key of [`Self::crypto`].
    pub secure_profile: bool,
    /// The usable `a=crypto` lines in order of preference; of a plain transport none are read.
    pub crypto: Vec<Crypto>,
    /// Why the first of the other `a=crypto` lines cannot be used.
    pub refused_crypto: Option<String>,
    /// Formats in order of preference.
    pub formats: Vec<Format>,
    /// Sound wanted in a packet, ms.
    pub ptime_ms: Option<u16>,
    /// Most sound wanted in a packet, ms.
    pub maxptime_ms: Option<u16>,
    /// Direction as its side sees it.
    pub direction: Direction,
}

/// A media line that is only answered with port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMedia {
    /// `audio`, `video`, `image`, …
    pub kind: String,
    /// Port; 0 is refused.
    pub port: u16,
    /// Transport, as `RTP/SAVP`.
    pub protocol: String,
    /// The formats as written.
    pub formats: String,
}

/// Direction of a media line, as the side that wrote it sees it (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendReceive,
    /// It sends, and wants nothing: it holds the other.
    SendOnly,
    /// It receives only.
    ReceiveOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether its side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::SendOnly)
    }

    /// Whether its side receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::ReceiveOnly)
    }

    /// The direction of a side that sends and receives as told.
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendReceive,
            (true, false) => Self::SendOnly,
            (false, true) => Self::ReceiveOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// What is left of `self` against the other side's direction (RFC 3264 §6.1).
    pub const fn against(self, other: Self) -> Self {
        Self::of(self.sends() && other.receives(), self.receives() && other.sends())
    }

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendReceive => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::ReceiveOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl Sdp {
    /// The number that names the session; it stays over re-offers.
    pub fn session_id(&self) -> &str {
        &self.origin.sess_id
    }

    /// The version: a description with the one seen before has not changed (RFC 3264 §8).
    pub fn version(&self) -> u64 {
        self.origin.sess_version
    }

    /// The first audio line this gateway can use: plain, or with a key.
    pub fn audio(&self) -> Option<&Audio> {
        self.audio_lines().find(|audio| !audio.secure_profile || !audio.crypto.is_empty())
    }

    fn audio_lines(&self) -> impl Iterator<Item = &Audio> {
        self.media.iter().filter_map(|line| match line {
            MediaLine::Audio(audio) => Some(audio),
            MediaLine::Other(_) => None,
        })
    }

    /// This description of ours, to be offered again: its lines, payload types and keys stay (RFC 3264
    /// §8), address, version, direction and ptime are those of `local`.
    pub fn revised(&self, local: &LocalMedia) -> Self {
        let mut media = self.media.clone();
        if let Some(MediaLine::Audio(audio)) =
            media.iter_mut().find(|line| matches!(line, MediaLine::Audio(_)))
        {
            audio.rtp = local.rtp;
            audio.rtcp = local.rtcp;
            audio.direction = local.direction;
            audio.ptime_ms = Some(local.ptime_ms);
        }
        Self { origin: local.origin(), media }
    }
}

impl Audio {
    /// The direction that counts: an unspecified address takes no packets (RFC 3264 §8.4).
    pub fn effective_direction(&self) -> Direction {
        if self.rtp.ip().is_unspecified() {
            Direction::of(self.direction.sends(), false)
        } else {
            self.direction
        }
    }

    /// Its transport's name.
    fn protocol(&self) -> &'static str {
        match (self.secure_profile, self.feedback_profile) {
            (false, false) => "RTP/AVP",
            (false, true) => "RTP/AVPF",
            (true, false) => "RTP/SAVP",
            (true, true) => "RTP/SAVPF",
        }
    }

    /// The voice codecs among the formats, in order, with their payload types.
    pub fn codecs(&self) -> impl Iterator<Item = (u8, Codec)> + '_ {
        self.formats.iter().filter_map(|format| match format.encoding {
            Encoding::Voice(codec) => Some((format.payload_type, codec)),
            _ => None,
        })
    }
}

/// The port after that of `rtp`, where RTCP goes unless something else is said (RFC 3550 §11).
fn next_port(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1))
}

/// Whether packets may be sent there at all.
fn is_usable_address(ip: IpAddr) -> bool {
    !ip.is_multicast() && ip != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests;
