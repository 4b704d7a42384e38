//! Reading of a description from outside: limits first, then `sdp-types`, then our model.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Connection, Fmtp, NetType, RtpMap, Session};

use super::{Audio, Direction, Format, MediaLine, OtherMedia, Sdp, crypto};
use super::{
    MAXIMUM_FORMATS, MAXIMUM_LINES, MAXIMUM_MEDIA_LINES, MAXIMUM_OCTETS, is_usable_address,
    next_port,
};
use crate::error::RtpError;

impl Sdp {
    /// Reads a description.
    ///
    /// # Errors
    /// [`RtpError::TooLong`] beyond the limits of this module, [`RtpError::SdpSyntax`],
    /// [`RtpError::SdpField`] where an audio line names an address or a format that cannot be used.
    pub fn parse(bytes: &[u8]) -> Result<Self, RtpError> {
        check_limit("the session description (octets)", bytes.len(), MAXIMUM_OCTETS)?;
        let lines = bytes.iter().filter(|octet| **octet == b'\n').count();
        check_limit("the session description (lines)", lines, MAXIMUM_LINES)?;
        let session = Session::parse(bytes).map_err(RtpError::SdpSyntax)?;
        check_limit("the list of media lines", session.medias.len(), MAXIMUM_MEDIA_LINES)?;
        let media = session
            .medias
            .iter()
            .map(|media| read_media(&session, media))
            .collect::<Result<_, _>>()?;
        Ok(Self { origin: session.origin, media })
    }
}

fn read_media(session: &Session, media: &sdp_types::Media) -> Result<MediaLine, RtpError> {
    let is = |protocol: &str| media.proto.eq_ignore_ascii_case(protocol);
    let feedback_profile = is("RTP/AVPF") || is("RTP/SAVPF");
    let secure_profile = is("RTP/SAVP") || is("RTP/SAVPF");
    let is_rtp = feedback_profile || secure_profile || is("RTP/AVP");
    if !media.media.eq_ignore_ascii_case("audio") || !is_rtp || media.port == 0 {
        return Ok(MediaLine::Other(OtherMedia {
            kind: media.media.clone(),
            port: media.port,
            protocol: media.proto.clone(),
            formats: media.fmt.clone(),
        }));
    }
    // The media line's own connection goes before that of the session (RFC 8866 §5.7).
    let connection = media.connections.first().or(session.connection.as_ref());
    let rtp = SocketAddr::new(read_connection(connection)?, media.port);
    // Keys beside a plain transport are no offer of SRTP (RFC 4568 §3).
    let (crypto, refused_crypto) =
        if secure_profile { crypto::read(media) } else { (Vec::new(), None) };
    Ok(MediaLine::Audio(Audio {
        rtp,
        rtcp: read_rtcp(media, rtp)?,
        rtcp_mux: media.has_attribute("rtcp-mux"),
        voip_metrics: read_voip_metrics(session, media),
        feedback_profile,
        secure_profile,
        crypto,
        refused_crypto,
        formats: read_formats(media)?,
        ptime_ms: read_ms(media, "ptime"),
        maxptime_ms: read_ms(media, "maxptime"),
        direction: read_direction(session, media),
    }))
}

/// Addresses only: no name is looked up on behalf of a stranger.
fn read_connection(connection: Option<&Connection>) -> Result<IpAddr, RtpError> {
    let Some(connection) = connection else {
        return Err(field("the connection line (c=)", "none"));
    };
    let text = &connection.connection_address;
    match connection.try_address() {
        Ok(address) if connection.nettype == NetType::In && is_usable_address(address.ip) => {
            Ok(address.ip)
        }
        _ => Err(field("the connection address (c=)", text)),
    }
}

fn read_rtcp(media: &sdp_types::Media, rtp: SocketAddr) -> Result<SocketAddr, RtpError> {
    let Some(Some(text)) = media.get_first_attribute_value("rtcp") else {
        return Ok(next_port(rtp));
    };
    // RFC 3605 §2.1: port, and possibly `IN IP4 address`.
    let mut words = text.split_ascii_whitespace();
    let port = words.next().and_then(|word| word.parse::<u16>().ok()).filter(|port| *port != 0);
    let ip = match words.nth(2) {
        None => Some(rtp.ip()),
        Some(word) => word
            .parse()
            .ok()
            .filter(|ip: &IpAddr| is_usable_address(*ip) && ip.is_ipv4() == rtp.is_ipv4()),
    };
    match (port, ip) {
        (Some(port), Some(ip)) => Ok(SocketAddr::new(ip, port)),
        _ => Err(field("the RTCP port (a=rtcp)", text)),
    }
}

/// The media line's own attribute goes before that of the session (RFC 3611 §5.1).
fn read_voip_metrics(session: &Session, media: &sdp_types::Media) -> bool {
    media
        .get_first_attribute_value("rtcp-xr")
        .or_else(|| session.get_first_attribute_value("rtcp-xr"))
        .flatten()
        .is_some_and(|wanted| wanted.split_ascii_whitespace().any(|word| word == "voip-metrics"))
}

fn read_formats(media: &sdp_types::Media) -> Result<Vec<Format>, RtpError> {
    // A map or fmtp that cannot be read leaves its format unknown; the others can still be used.
    let maps: Vec<RtpMap> = media.attributes_typed::<RtpMap>().flatten().collect();
    let fmtps: Vec<Fmtp> = media.attributes_typed::<Fmtp>().flatten().collect();
    let mut formats: Vec<Format> = Vec::new();
    for (count, word) in media.fmt.split_ascii_whitespace().enumerate() {
        check_limit("the list of formats", count + 1, MAXIMUM_FORMATS)?;
        let payload_type = word.parse::<u8>().ok().filter(|number| *number < 128);
        let payload_type = payload_type.ok_or_else(|| field("the payload type", word))?;
        if formats.iter().all(|format| format.payload_type != payload_type) {
            let map = maps.iter().find(|map| map.payload_type == payload_type);
            let fmtp = fmtps.iter().find(|fmtp| fmtp.fmt == payload_type);
            formats.push(Format::from_attributes(payload_type, map, fmtp));
        }
    }
    Ok(formats)
}

/// Some write `20.0`: what follows the point is left out. Nonsense counts as absent.
fn read_ms(media: &sdp_types::Media, name: &str) -> Option<u16> {
    let text = media.get_first_attribute_value(name)??.trim();
    text.split('.').next()?.parse().ok().filter(|ms| *ms > 0)
}

/// The media line's own attribute goes before that of the session (RFC 8866 §6.7).
fn read_direction(session: &Session, media: &sdp_types::Media) -> Direction {
    const ALL: [Direction; 4] =
        [Direction::SendReceive, Direction::SendOnly, Direction::ReceiveOnly, Direction::Inactive];
    ALL.into_iter()
        .find(|direction| media.has_attribute(direction.name()))
        .or_else(|| ALL.into_iter().find(|direction| session.has_attribute(direction.name())))
        .unwrap_or_default()
}

fn check_limit(what: &'static str, length: usize, limit: usize) -> Result<(), RtpError> {
    if length > limit {
        return Err(RtpError::TooLong { what, length, limit });
    }
    Ok(())
}

fn field(what: &'static str, found: &str) -> RtpError {
    RtpError::SdpField { what, found: found.chars().take(60).collect() }
}
