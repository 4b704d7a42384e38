//! Writing of a description: our model back into `sdp-types`, and that into text.
#![forbid(unsafe_code)]

use sdp_types::{Attribute, Connection, Media, MediaType, Rtcp, Session, TransportProto};

use super::{Audio, MediaLine, Sdp, next_port};

impl std::fmt::Display for Sdp {
    /// The text as it goes on the wire, lines ending with CR LF.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut session = Session::new(self.origin.clone(), "-");
        session.medias = self.media.iter().map(media).collect();
        // A session without usable audio still needs a connection line (RFC 8866 §5.7).
        if self.audio_lines().next().is_none() {
            session.connection = Some(Connection::new(
                self.origin.nettype.clone(),
                self.origin.addrtype.clone(),
                &self.origin.unicast_address,
            ));
        }
        let mut bytes = Vec::new();
        session.write(&mut bytes).map_err(|_| std::fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&bytes))
    }
}

fn media(line: &MediaLine) -> Media {
    match line {
        MediaLine::Audio(audio) => audio_media(audio),
        MediaLine::Other(other) => {
            let mut media = Media::new(
                MediaType::Audio,
                other.port,
                TransportProto::Other(other.protocol.clone()),
                &other.formats,
            );
            media.media.clone_from(&other.kind);
            media
        }
    }
}

fn audio_media(audio: &Audio) -> Media {
    let protocol = TransportProto::Other(audio.protocol().to_owned());
    let formats: Vec<String> =
        audio.formats.iter().map(|format| format.payload_type.to_string()).collect();
    let mut media = Media::new(MediaType::Audio, audio.rtp.port(), protocol, formats.join(" "));
    media.add_connection(audio.rtp.ip());
    media.add_attributes(audio.crypto.iter().map(|line| line.attribute()));
    media.add_attributes(audio.formats.iter().filter_map(|format| format.map()));
    media.add_attributes(audio.formats.iter().filter_map(|format| format.fmtp()));
    if let Some(ms) = audio.ptime_ms {
        media.add_attribute_with_value("ptime", ms);
    }
    if let Some(ms) = audio.maxptime_ms {
        media.add_attribute_with_value("maxptime", ms);
    }
    if audio.rtcp_mux {
        media.add_attribute(Attribute::new("rtcp-mux"));
    } else if audio.rtcp != next_port(audio.rtp) {
        media.add_attribute(rtcp(audio));
    }
    if audio.voip_metrics {
        media.add_attribute_with_value("rtcp-xr", "voip-metrics");
    }
    media.add_attribute(Attribute::new(audio.direction.name()));
    media
}

fn rtcp(audio: &Audio) -> Rtcp {
    let is_elsewhere = audio.rtcp.ip() != audio.rtp.ip();
    let connection = is_elsewhere.then(|| Connection::from_ip_addr(audio.rtcp.ip()));
    Rtcp {
        port: audio.rtcp.port(),
        nettype: connection.as_ref().map(|c| c.nettype.clone()),
        addrtype: connection.as_ref().map(|c| c.addrtype.clone()),
        connection_address: connection.map(|c| c.connection_address),
    }
}
