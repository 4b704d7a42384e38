//! A page's offer and our answer (RFC 8829, RFC 8839, RFC 8842).
//!
//! What they say of codecs is negotiated where it is for every other leg: [`Offer::media`] gives the
//! offer's audio line as RTP/AVPF, and [`Offer::answer`] puts what came of that back under DTLS and ICE.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session as Description};

use crate::{Credentials, Fingerprint, WebRtcError};

/// Octets of the longest offer that is read; Chromium's for audio alone has 2,000.
const OFFER_OCTETS_MAX: usize = 16 * 1024;

/// The transport of WebRTC's audio (RFC 8829 §5.1.2).
const PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";

/// What of the audio line is negotiated with codecs.
const NEGOTIATED: [&str; 9] = [
    "rtpmap", "fmtp", "ptime", "maxptime", "rtcp-mux", "sendrecv", "sendonly", "recvonly",
    "inactive",
];

/// An offer that can be answered.
#[derive(Debug)]
pub struct Offer {
    description: Description,
    /// Place of the audio line.
    line: usize,
    credentials: Credentials,
    fingerprint: Fingerprint,
    mid: Option<String>,
    is_bundled: bool,
}

/// Our end of the path, for the answer.
#[derive(Clone, Debug)]
pub struct Path {
    /// Where we receive: our only candidate.
    pub address: SocketAddr,
    /// Our name and password for checks.
    pub credentials: Credentials,
    /// That of our certificate.
    pub fingerprint: Fingerprint,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// It is too long, no description, has no audio over DTLS-SRTP, or lacks what ICE and DTLS need.
    pub fn parse(octets: &[u8]) -> Result<Self, WebRtcError> {
        if octets.len() > OFFER_OCTETS_MAX {
            let found = octets.len();
            return Err(WebRtcError::TooLong { found, limit: OFFER_OCTETS_MAX });
        }
        let syntax = |error: sdp_types::ParserError| WebRtcError::Syntax(error.to_string());
        let description = Description::parse(octets).map_err(syntax)?;
        let is_ours = |media: &Media| {
            media.media == "audio" && media.proto.eq_ignore_ascii_case(PROTOCOL) && media.port != 0
        };
        let line = description.medias.iter().position(is_ours).ok_or(WebRtcError::NoAudio)?;
        let audio = &description.medias[line];
        // The line's own attribute goes before that of the session.
        let value = |name: &'static str| {
            let own = audio.get_first_attribute_value(name).flatten();
            own.or_else(|| description.get_first_attribute_value(name).flatten())
                .ok_or(WebRtcError::Attribute { name })
        };
        let credentials = Credentials {
            ufrag: value("ice-ufrag")?.to_owned(),
            password: value("ice-pwd")?.to_owned(),
        };
        if !credentials.are_usable() {
            return Err(WebRtcError::Attribute { name: "ice-pwd" });
        }
        let fingerprint = value("fingerprint")?.parse()?;
        // RFC 8842 §5.2: an offer is actpass; we only take the passive part.
        if !matches!(value("setup")?, "actpass" | "active") {
            return Err(WebRtcError::Attribute { name: "setup" });
        }
        // RFC 8834 §4.5; one port is all that we give a browser.
        if !audio.has_attribute("rtcp-mux") {
            return Err(WebRtcError::Attribute { name: "rtcp-mux" });
        }
        let mid = audio.get_first_attribute_value("mid").flatten().map(str::to_owned);
        let is_bundled =
            description.get_first_attribute_value("group").flatten().is_some_and(|group| {
                let mut words = group.split_ascii_whitespace();
                words.next() == Some("BUNDLE") && words.any(|word| Some(word) == mid.as_deref())
            });
        Ok(Self { line, credentials, fingerprint, mid, is_bundled, description })
    }

    /// The browser's name for checks.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// That of the browser's certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The same offer of codecs, its audio as RTP/AVPF at `address`: where the browser is, ICE finds out.
    pub fn media(&self, address: IpAddr) -> Vec<u8> {
        let mut plain = Description::new(self.description.origin.clone(), "-");
        plain.connection = Some(Connection::from_ip_addr(address));
        plain.medias = self.description.medias.clone();
        for (place, media) in plain.medias.iter_mut().enumerate() {
            media.connections.clear();
            media.attributes.retain(|attribute| NEGOTIATED.contains(&attribute.attribute.as_str()));
            if place == self.line {
                "RTP/AVPF".clone_into(&mut media.proto);
            }
        }
        written(&plain)
    }

    /// Our answer: `negotiated` is the answer to [`Offer::media`].
    ///
    /// # Errors
    /// [`WebRtcError::Syntax`] if that is none.
    pub fn answer(&self, negotiated: &[u8], path: &Path) -> Result<Vec<u8>, WebRtcError> {
        let syntax = |error: sdp_types::ParserError| WebRtcError::Syntax(error.to_string());
        let mut answer = Description::parse(negotiated).map_err(syntax)?;
        // RFC 8839 §5.3.
        answer.attributes.push(Attribute::new("ice-lite"));
        if let (true, Some(mid)) = (self.is_bundled, &self.mid) {
            answer.attributes.push(Attribute::with_value("group", format!("BUNDLE {mid}")));
        }
        for (place, media) in answer.medias.iter_mut().enumerate() {
            let offered = self.description.medias.get(place);
            let mid = offered.and_then(|media| media.get_first_attribute_value("mid").flatten());
            if let Some(mid) = mid {
                media.add_attribute_with_value("mid", mid);
            }
            if place != self.line {
                continue;
            }
            PROTOCOL.clone_into(&mut media.proto);
            // Extended reports are not among what browsers read.
            media.attributes.retain(|attribute| attribute.attribute != "rtcp-xr");
            media.add_attribute_with_value("ice-ufrag", &path.credentials.ufrag);
            media.add_attribute_with_value("ice-pwd", &path.credentials.password);
            media.add_attribute_with_value("fingerprint", path.fingerprint);
            media.add_attribute_with_value("setup", "passive");
            let (ip, port) = (path.address.ip(), path.address.port());
            // RFC 8445 §5.1.2.2: a host with one address.
            let candidate = format!("1 1 udp 2130706431 {ip} {port} typ host");
            media.add_attribute_with_value("candidate", candidate);
            media.add_attribute(Attribute::new("end-of-candidates"));
        }
        Ok(written(&answer))
    }
}

fn written(description: &Description) -> Vec<u8> {
    let mut octets = Vec::with_capacity(2_048);
    // A vector takes whatever is written into it.
    let _ = description.write(&mut octets);
    octets
}

#[cfg(test)]
mod tests {
    use trunkline_rtp::codec::Codec;
    use trunkline_rtp::sdp::{LocalMedia, Sdp, answer};

    use super::*;

    /// What Chromium 156 offers for a microphone, without most of its header extensions.
    const CHROMIUM: &str = "v=0\r\no=- 4713 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS s\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\n\
        a=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Ab1+\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n\
        a=ice-options:trickle\r\na=fingerprint:sha-256 \
        00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
        a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
        a=sendrecv\r\na=msid:s t\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\n\
        a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n\
        a=ssrc:3 cname:c\r\n";

    fn path() -> Path {
        Path {
            address: "192.0.2.10:20000".parse().unwrap(),
            credentials: Credentials::generate(|octets| octets.fill(7)),
            fingerprint: Fingerprint::of(b"certificate"),
        }
    }

    fn answered(codecs: &[Codec]) -> String {
        let offer = Offer::parse(CHROMIUM.as_bytes()).unwrap();
        let media = Sdp::parse(&offer.media(path().address.ip())).unwrap();
        let local = LocalMedia::new(path().address, 1);
        let (said, _) = answer(&media, &local, codecs).unwrap();
        let octets = offer.answer(said.to_string().as_bytes(), &path()).unwrap();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn a_browser_is_answered_with_the_telephones_own_codec_and_its_events() {
        let answer = answered(&[Codec::Pcma, Codec::Pcmu, Codec::opus_telephony()]);
        for line in [
            "a=ice-lite\r\n",
            "a=group:BUNDLE 0\r\n",
            "m=audio 20000 UDP/TLS/RTP/SAVPF 8 126\r\n",
            "a=rtpmap:126 telephone-event/8000\r\n",
            "a=mid:0\r\n",
            "a=setup:passive\r\n",
            "a=rtcp-mux\r\n",
            "a=sendrecv\r\n",
            "a=candidate:1 1 udp 2130706431 192.0.2.10 20000 typ host\r\n",
        ] {
            assert!(answer.contains(line), "{line}in\n{answer}");
        }
        assert!(!answer.contains("rtcp-xr"), "{answer}");
    }

    #[test]
    fn opus_is_answered_with_events_on_its_clock() {
        let answer = answered(&[Codec::opus_telephony()]);
        assert!(answer.contains("m=audio 20000 UDP/TLS/RTP/SAVPF 111 110\r\n"), "{answer}");
    }

    #[test]
    fn a_video_line_is_refused_in_its_place() {
        let with_video = format!(
            "{CHROMIUM}m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n\
             a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
        );
        let offer = Offer::parse(with_video.as_bytes()).unwrap();
        let media = Sdp::parse(&offer.media(path().address.ip())).unwrap();
        let (said, _) =
            answer(&media, &LocalMedia::new(path().address, 1), &[Codec::Pcma]).unwrap();
        let octets = offer.answer(said.to_string().as_bytes(), &path()).unwrap();
        let text = String::from_utf8(octets).unwrap();
        assert!(text.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"), "{text}");
        assert!(text.contains("a=mid:1\r\n"), "{text}");
    }

    #[test]
    fn an_offer_without_what_ice_and_dtls_need_is_refused_by_the_attribute() {
        for name in ["ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux"] {
            let kept = CHROMIUM.split_inclusive("\r\n");
            let without: String =
                kept.filter(|line| !line.starts_with(&format!("a={name}"))).collect();
            let error = Offer::parse(without.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
        let passive = CHROMIUM.replace("actpass", "passive");
        assert!(Offer::parse(passive.as_bytes()).is_err());
        let plain = CHROMIUM.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
        assert!(matches!(Offer::parse(plain.as_bytes()), Err(WebRtcError::NoAudio)));
        let long = CHROMIUM.repeat(20);
        assert!(matches!(Offer::parse(long.as_bytes()), Err(WebRtcError::TooLong { .. })));
    }
}
