//! The media of legs in browsers: where the page is and under which keys is found out beside RTP.

use std::net::SocketAddr;

use trunkline_call::LegId;
use trunkline_media::{BesideReceiver, Direction, PayloadFormat, Protection, Remote, RtpLegUpdate};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::{Sdp, answer};
use trunkline_rtp::srtp::SrtpKeys;

use super::{Agreed, Voice, VoiceError};
use crate::configuration::SrtpPolicy;

/// What a page's leg begins with.
#[derive(Debug)]
pub struct OpenedPage {
    /// The answer to its offer of codecs.
    pub answer: Vec<u8>,
    /// Where it finds us.
    pub local: SocketAddr,
    /// Its STUN and DTLS.
    pub beside: BesideReceiver,
}

impl Voice {
    /// Opens the media of a page that offers the codecs of `description`. No RTP passes before
    /// [`Voice::page_secured`].
    pub fn open_page(
        &mut self,
        leg: LegId,
        description: &[u8],
        codecs: &[Codec],
    ) -> Result<OpenedPage, VoiceError> {
        let offer = Sdp::parse(description)?;
        let any_port = self.local_media(SrtpPolicy::Off);
        let (_, negotiated) = answer(&offer, &any_port, codecs)?;
        let agreed = Agreed { remote: None, ..Agreed::of(&negotiated, self.settings.address) };
        let (opened, beside) = self.media.open_beside(self.spec(agreed))?;
        let local = opened.local;
        let place = self.place(leg, any_port, opened, codecs);
        let (said, _) = answer(&offer, &place, codecs)?;
        let text = said.to_string().into_bytes();
        if let Some(voice) = self.legs.get_mut(&leg) {
            voice.said = Some(said);
            voice.codec = Some(negotiated.codec);
        }
        Ok(OpenedPage { answer: text, local, beside })
    }

    /// The page offers again, on another way (ICE restart); gives our answer and where it finds us.
    pub fn offered_by_page_again(
        &mut self,
        leg: LegId,
        description: &[u8],
    ) -> Result<(Vec<u8>, SocketAddr), VoiceError> {
        let offer = Sdp::parse(description)?;
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        voice.local.version += 1;
        let (answer, negotiated) = answer(&offer, &voice.local, &voice.codecs)?;
        // Neither address nor keys: those are not the description's.
        let update = RtpLegUpdate {
            sending: Some((&negotiated).into()),
            receiving: Some(PayloadFormat::receivable(&negotiated)),
            direction: Some(Direction {
                send: negotiated.direction.sends(),
                receive: negotiated.direction.receives(),
            }),
            ..RtpLegUpdate::default()
        };
        self.media.update(voice.media, update)?;
        voice.codec = Some(negotiated.codec);
        let text = answer.to_string().into_bytes();
        voice.said = Some(answer);
        Ok((text, voice.local.rtp))
    }

    /// The page is at `remote`, and these are the keys.
    pub fn page_secured(
        &mut self,
        leg: LegId,
        remote: SocketAddr,
        keys: SrtpKeys,
    ) -> Result<(), VoiceError> {
        let protection = Some(Protection::Srtp(keys));
        self.update_page(leg, RtpLegUpdate { protection, ..at(remote) })
    }

    /// The page is at `remote` now.
    pub fn page_moved(&mut self, leg: LegId, remote: SocketAddr) -> Result<(), VoiceError> {
        self.update_page(leg, at(remote))
    }

    /// Sends a page a datagram that is no RTP.
    pub fn send_beside(
        &self,
        leg: LegId,
        to: SocketAddr,
        octets: Vec<u8>,
    ) -> Result<(), VoiceError> {
        let voice = self.legs.get(&leg).ok_or(VoiceError::NoLeg)?;
        Ok(self.media.send_beside(voice.media, to, octets)?)
    }

    fn update_page(&mut self, leg: LegId, update: RtpLegUpdate) -> Result<(), VoiceError> {
        let voice = self.legs.get(&leg).ok_or(VoiceError::NoLeg)?;
        Ok(self.media.update(voice.media, update)?)
    }
}

/// RTP and RTCP at one port (RFC 8834 §4.5).
fn at(remote: SocketAddr) -> RtpLegUpdate {
    let remote = Remote { rtp: remote, rtcp: remote, voip_metrics: false, signalling_from: None };
    RtpLegUpdate { remote: Some(remote), ..RtpLegUpdate::default() }
}
