//! The media of calls between two peers on the packet side: two legs that are one pair.
//!
//! Both are opened when somebody is called, since a pair is opened whole. What the caller is told is
//! settled only when the called side has answered: where both have a codec in common nothing is
//! transcoded.

use std::net::IpAddr;

use trunkline_call::LegId;
use trunkline_media::{OpenedEnd, RtpLegUpdate};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::{LocalMedia, Sdp, answer};

use super::{Agreed, Voice, VoiceError, VoiceLeg, rtcp_of};
use crate::configuration::SrtpPolicy;

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
    pub policy: SrtpPolicy,
}

impl Voice {
    /// Opens the media of a caller and of a leg that is called for it, or calls on the leg that was
    /// called for it before and is not needed there any more.
    ///
    /// Gives what the caller is told, if it is still to be told anything, and the offer to the called
    /// side: of SRTP if `with_srtp`. `policy` is for what that side offers later.
    pub fn open_pair(
        &mut self,
        caller: &Caller<'_>,
        called: LegId,
        policy: SrtpPolicy,
        with_srtp: bool,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), VoiceError> {
        if let Some(mut voice) = self.spare.remove(&caller.leg) {
            // Another peer gets other keys.
            let fresh = self.local_media(policy);
            voice.local = LocalMedia { rtp: voice.local.rtp, rtcp: voice.local.rtcp, ..fresh };
            self.by_media.insert(voice.media, called);
            self.legs.insert(called, voice);
            return Ok((None, self.offer_anew(called, with_srtp)?));
        }
        let mut theirs = self.local_media(caller.policy);
        let (agreed, codecs) = match caller.offer {
            Some(offer) => {
                let offer = Sdp::parse(offer)?;
                let (_, negotiated) = answer(&offer, &theirs, &self.settings.codecs)?;
                let codecs = preferring(negotiated.codec, &self.settings.codecs);
                (Agreed::of(&negotiated, caller.from), codecs)
            }
            None => (self.nothing_agreed(), self.settings.codecs.clone()),
        };
        let mut ours = self.local_media(policy);
        let called_side = Agreed::nothing(codecs[0], self.settings.ptime_ms);
        let pair = self.media.open_pair(self.spec(agreed), self.spec(called_side))?;
        place(&mut theirs, &pair.a);
        place(&mut ours, &pair.b);
        for (leg, end, local, caller) in
            [(caller.leg, pair.a, theirs, None), (called, pair.b, ours, Some(caller.leg))]
        {
            let voice = VoiceLeg {
                media: end.leg,
                local,
                offer: None,
                answered: false,
                end: None,
                codecs: codecs.clone(),
                codec: None,
                caller,
            };
            self.by_media.insert(end.leg, leg);
            self.legs.insert(leg, voice);
        }
        let told = match caller.offer {
            Some(_) => self.settle_caller(caller, called)?,
            // RFC 3261 §13.2.1: no offer in the INVITE, so ours goes into the answer.
            None => self.offer_anew(caller.leg, caller.policy == SrtpPolicy::Require)?,
        };
        Ok((Some(told), self.offer_anew(called, with_srtp)?))
    }

    /// Our answer to a caller's offer, in force from now: with the codec of the called side, if that
    /// has answered and the caller has offered it too.
    pub fn settle_caller(
        &mut self,
        caller: &Caller<'_>,
        called: LegId,
    ) -> Result<Vec<u8>, VoiceError> {
        let offer = Sdp::parse(caller.offer.ok_or(VoiceError::NoAnswer)?)?;
        let spoken = self.legs.get(&called).and_then(|called| called.codec);
        let voice = self.legs.get_mut(&caller.leg).ok_or(VoiceError::NoLeg)?;
        if let Some(codec) = spoken {
            voice.codecs = preferring(codec, &voice.codecs);
        }
        let (answer, negotiated) = answer(&offer, &voice.local, &voice.codecs)?;
        let update = RtpLegUpdate::negotiated(&negotiated, Some(caller.from));
        self.media.update(voice.media, update)?;
        Ok(answer.to_string().into_bytes())
    }

    /// The call on this leg has failed: of a pair it is kept for whoever is called next, else its
    /// media is closed.
    pub fn give_up(&mut self, leg: LegId) {
        let caller = self.legs.get(&leg).and_then(|voice| voice.caller);
        match caller.filter(|caller| self.legs.contains_key(caller)) {
            Some(caller) => {
                if let Some(voice) = self.legs.remove(&leg) {
                    self.by_media.remove(&voice.media);
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
