//! The media of calls between two peers on the packet side: two legs that are one pair.
//!
//! Both are opened when somebody is called, since a pair is opened whole. What the caller is told is
//! settled only when the called side has answered: where both have a codec in common nothing is
//! transcoded.

use std::net::IpAddr;

use trunkline_call::LegId;
use trunkline_call::control::Wish;
use trunkline_media::{Direction, OpenedEnd, RtpLegUpdate};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::{LocalMedia, Sdp, accept_answer, answer};

use super::{Agreed, Voice, VoiceError, VoiceLeg, direction_of, rtcp_of};
use crate::configuration::{SrtpPolicy, Terms};

/// The side that called.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Its leg.
    pub leg: LegId,
    /// Its offer, if it made one.
    pub offer: Option<&'a [u8]>,
    /// Where that came from.
    pub from: IpAddr,
    /// What is agreed on with it.
    pub terms: &'a Terms,
}

impl Voice {
    /// Opens the media of a caller and of a leg that is called for it, or calls on the leg that was
    /// called for it before and is not needed there any more.
    ///
    /// Gives what the caller is told, if it is still to be told anything, and the offer to the called
    /// side: of SRTP if `with_srtp`. The SRTP of `terms` is for what that side offers later.
    pub fn open_pair(
        &mut self,
        caller: &Caller<'_>,
        called: LegId,
        terms: &Terms,
        with_srtp: bool,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), VoiceError> {
        if let Some(mut voice) = self.spare.remove(&caller.leg) {
            voice.codecs = match self.legs.get(&caller.leg).and_then(|caller| caller.codec) {
                Some(spoken) => preferring(spoken, &terms.codecs),
                None => terms.codecs.clone(),
            };
            // Another peer gets other keys.
            let fresh = self.local_media(terms.srtp);
            voice.local = LocalMedia { rtp: voice.local.rtp, rtcp: voice.local.rtcp, ..fresh };
            self.by_media.insert(voice.media, called);
            self.legs.insert(called, voice);
            return Ok((None, self.offer_anew(called, with_srtp)?));
        }
        let mut theirs = self.local_media(caller.terms.srtp);
        let (agreed, spoken) = match caller.offer {
            Some(offer) => {
                let offer = Sdp::parse(offer)?;
                let (_, negotiated) = answer(&offer, &theirs, &caller.terms.codecs)?;
                (Agreed::of(&negotiated, caller.from), Some(negotiated.codec))
            }
            None => (self.nothing_agreed(&caller.terms.codecs), None),
        };
        let preferred = |codecs: &[Codec]| match spoken {
            Some(spoken) => preferring(spoken, codecs),
            None => codecs.to_vec(),
        };
        let (of_caller, of_called) = (preferred(&caller.terms.codecs), preferred(&terms.codecs));
        let mut ours = self.local_media(terms.srtp);
        let called_side = self.nothing_agreed(&of_called);
        let pair = self.media.open_pair(self.spec(agreed), self.spec(called_side))?;
        place(&mut theirs, &pair.a);
        place(&mut ours, &pair.b);
        for (leg, end, local, caller, codecs) in [
            (caller.leg, pair.a, theirs, None, of_caller),
            (called, pair.b, ours, Some(caller.leg), of_called),
        ] {
            let voice = VoiceLeg {
                media: end.leg,
                local,
                offer: None,
                said: None,
                offered_onward: None,
                answered: false,
                end: None,
                codecs,
                codec: None,
                caller,
            };
            self.by_media.insert(end.leg, leg);
            self.legs.insert(leg, voice);
        }
        let told = match caller.offer {
            Some(offer) => self.settle_caller(caller.leg, offer, caller.from, called)?,
            // RFC 3261 §13.2.1: no offer in the INVITE, so ours goes into the answer.
            None => self.offer_anew(caller.leg, caller.terms.srtp == SrtpPolicy::Require)?,
        };
        Ok((Some(told), self.offer_anew(called, with_srtp)?))
    }

    /// Our answer to a caller's offer, in force from now: with the codec of the called side, if that
    /// has answered and the caller has offered it too.
    pub fn settle_caller(
        &mut self,
        caller: LegId,
        offer: &[u8],
        from: IpAddr,
        called: LegId,
    ) -> Result<Vec<u8>, VoiceError> {
        let offer = Sdp::parse(offer)?;
        let spoken = self.legs.get(&called).and_then(|called| called.codec);
        let voice = self.legs.get_mut(&caller).ok_or(VoiceError::NoLeg)?;
        if let Some(codec) = spoken {
            voice.codecs = preferring(codec, &voice.codecs);
        }
        let (answer, negotiated) = answer(&offer, &voice.local, &voice.codecs)?;
        voice.codec = Some(negotiated.codec);
        let update = RtpLegUpdate::negotiated(&negotiated, Some(from));
        self.media.update(voice.media, update)?;
        let text = answer.to_string().into_bytes();
        voice.said = Some(answer);
        Ok(text)
    }

    /// Tells a leg of a pair what the party on the other one wishes; gives our offer.
    pub fn offer_onward(&mut self, leg: LegId, wish: Wish) -> Result<Vec<u8>, VoiceError> {
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        let said = voice.said.as_ref().ok_or(VoiceError::NoLeg)?;
        voice.local.version += 1;
        voice.local.direction = direction_of(wish);
        let offer = said.revised(&voice.local);
        let text = offer.to_string().into_bytes();
        voice.offered_onward = Some(offer);
        Ok(text)
    }

    /// That offer was answered.
    pub fn answered_onward(
        &mut self,
        leg: LegId,
        description: &[u8],
        from: Option<IpAddr>,
    ) -> Result<(), VoiceError> {
        let answer = Sdp::parse(description)?;
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        let Some(offer) = voice.offered_onward.take() else { return Ok(()) };
        let negotiated = accept_answer(&offer, &answer)?;
        self.media.update(voice.media, RtpLegUpdate::negotiated(&negotiated, from))?;
        voice.codec = Some(negotiated.codec);
        voice.said = Some(offer);
        Ok(())
    }

    /// The call on this leg has failed: of a pair it is kept for whoever is called next, else its
    /// media is closed.
    pub fn give_up(&mut self, leg: LegId) {
        let caller = self.legs.get(&leg).and_then(|voice| voice.caller);
        match caller.filter(|caller| self.legs.contains_key(caller)) {
            Some(caller) => {
                if let Some(voice) = self.legs.remove(&leg) {
                    self.by_media.remove(&voice.media);
                    // Who refused the call after early media hears and says nothing more in it.
                    let silent = Direction { send: false, receive: false };
                    let update =
                        RtpLegUpdate { direction: Some(silent), ..RtpLegUpdate::default() };
                    if let Err(error) = self.media.update(voice.media, update) {
                        tracing::error!(%error, "the media of a leg was not silenced");
                    }
                    self.spare.insert(caller, VoiceLeg { codec: None, ..voice });
                }
            }
            None => self.close(leg),
        }
    }
}

/// The same codecs, one of them first.
fn preferring(first: Codec, codecs: &[Codec]) -> Vec<Codec> {
    let (mut preferred, others): (Vec<Codec>, Vec<Codec>) =
        codecs.iter().partition(|codec| codec.same_encoding(&first));
    preferred.extend(others);
    preferred
}

/// Puts an opened end into what is said of it.
fn place(local: &mut LocalMedia, end: &OpenedEnd) {
    local.rtp = end.local;
    local.rtcp = rtcp_of(end.local);
}
