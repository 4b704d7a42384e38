//! The media of packet legs: what is negotiated with the peer and the RTP leg that carries it.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use trunkline_call::LegId;
use trunkline_call::congestion::Congestion;
use trunkline_call::trunk::BChannel;
use trunkline_dsp::g711::Law;
use trunkline_media::{
    LegStatistics, Media, MediaError, Payload, PayloadFormat, Protection, Remote, RtpLegSpec,
    RtpLegUpdate, Sending, TimeslotEnd,
};
use trunkline_rtp::RtpError;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::{LocalMedia, Sdp, accept_answer, answer, make_offer};
use trunkline_tdm::Bearer;

use super::congestion::of_media;

/// Why a leg has no media.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// The session description cannot be read or has nothing in common with us.
    #[error(transparent)]
    Description(#[from] RtpError),
    /// The media plane has no room, or refused the leg.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The leg has no media.
    #[error("the leg has no media")]
    NoLeg,
    /// The call was answered without a session description.
    #[error("the answer has no session description")]
    NoAnswer,
}

impl VoiceError {
    /// What there is no room in, if that is why.
    pub fn congestion(&self) -> Option<Congestion> {
        match self {
            Self::Media(error) => of_media(error),
            _ => None,
        }
    }
}

/// What sits on a B channel: the timeslot's end of a packet leg.
#[derive(Debug)]
pub struct OnTimeslot {
    /// The packet leg.
    pub leg: LegId,
    end: TimeslotEnd,
}

impl Bearer for OnTimeslot {
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        self.end.exchange(from_line, to_line);
    }
}

#[derive(Debug)]
struct VoiceLeg {
    media: trunkline_media::LegId,
    local: LocalMedia,
    /// Our last offer.
    offer: Option<Sdp>,
    /// It was answered, and the answer is in force.
    answered: bool,
    /// Until it sits on a B channel.
    end: Option<TimeslotEnd>,
}

/// What every leg has in common.
#[derive(Clone, Debug)]
pub struct VoiceSettings {
    /// Address that RTP is sent from and received on.
    pub address: IpAddr,
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
    /// Packet time towards RTP, in ms.
    pub ptime_ms: u16,
    /// Canonical name in RTCP.
    pub cname: String,
}

/// The media of all packet legs.
#[derive(Debug)]
pub struct Voice {
    media: Media,
    settings: VoiceSettings,
    legs: HashMap<LegId, VoiceLeg>,
    by_media: HashMap<trunkline_media::LegId, LegId>,
    /// Legs whose timeslot's end is still on its way back from the channel before.
    waiting: HashMap<LegId, BChannel>,
    sessions_begun: u64,
}

impl Voice {
    /// No leg yet.
    pub fn new(media: Media, settings: VoiceSettings) -> Self {
        Self {
            media,
            settings,
            legs: HashMap::new(),
            by_media: HashMap::new(),
            waiting: HashMap::new(),
            sessions_begun: 0,
        }
    }

    /// The media plane.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// What of the media plane has no room for another leg, if something has not.
    pub fn congestion(&self) -> Option<Congestion> {
        let outcome = self.media.has_room(self.settings.address, 1);
        outcome.err().and_then(|error| of_media(&error))
    }

    /// Opens the media of a leg that offers `description`; gives our answer.
    pub fn accept(
        &mut self,
        leg: LegId,
        description: &[u8],
        from: IpAddr,
    ) -> Result<Vec<u8>, VoiceError> {
        let offer = Sdp::parse(description)?;
        // The answer needs a port, and the port's leg needs what is negotiated: so negotiate with
        // any port first.
        let any_port = self.local_media((self.settings.address, 9).into());
        let (_, negotiated) = answer(&offer, &any_port, &self.settings.codecs)?;
        let remote = Remote::negotiated(&negotiated, Some(from));
        let receiving = PayloadFormat::receivable(&negotiated);
        let local = self.open(leg, Some(remote), (&negotiated).into(), receiving)?;
        let (answer, _) = answer(&offer, &local, &self.settings.codecs)?;
        Ok(answer.to_string().into_bytes())
    }

    /// Opens the media of a leg that we make an offer to; gives the offer.
    pub fn offer(&mut self, leg: LegId) -> Result<Vec<u8>, VoiceError> {
        let codec = self.settings.codecs[0];
        let payload_type = codec.static_payload_type().unwrap_or(DYNAMIC_PAYLOAD_TYPE);
        let sending = Sending {
            codec,
            payload_type,
            telephone_event: None,
            ptime_ms: self.settings.ptime_ms,
        };
        let receiving = vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }];
        let local = self.open(leg, None, sending, receiving)?;
        let offer = make_offer(&local, &self.settings.codecs);
        let text = offer.to_string().into_bytes();
        if let Some(voice) = self.legs.get_mut(&leg) {
            voice.offer = Some(offer);
        }
        Ok(text)
    }

    /// Our offer was answered, in a provisional or the final response.
    pub fn answered(
        &mut self,
        leg: LegId,
        description: &[u8],
        from: Option<IpAddr>,
    ) -> Result<(), VoiceError> {
        let answer = Sdp::parse(description)?;
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        let Some(offer) = &voice.offer else { return Ok(()) };
        let negotiated = accept_answer(offer, &answer)?;
        self.media.update(voice.media, RtpLegUpdate::negotiated(&negotiated, from))?;
        voice.answered = true;
        Ok(())
    }

    /// Our offer to this leg was answered already.
    pub fn has_answer(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|voice| voice.answered)
    }

    /// Our offer to this leg is still open.
    pub fn waits_for_answer(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|voice| voice.offer.is_some() && !voice.answered)
    }

    /// The peer offers something else in a call that is up (hold, another address); gives our
    /// answer.
    pub fn offered_again(
        &mut self,
        leg: LegId,
        description: &[u8],
        from: Option<IpAddr>,
    ) -> Result<Vec<u8>, VoiceError> {
        let offer = Sdp::parse(description)?;
        let codecs = &self.settings.codecs;
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        voice.local.version += 1;
        let (answer, negotiated) = answer(&offer, &voice.local, codecs)?;
        self.media.update(voice.media, RtpLegUpdate::negotiated(&negotiated, from))?;
        Ok(answer.to_string().into_bytes())
    }

    /// Connects a leg with a B channel: gives what to attach there. `None` when that still sits
    /// on another channel; it will come by [`Voice::came_back`].
    pub fn join(&mut self, leg: LegId, channel: BChannel) -> Option<OnTimeslot> {
        let voice = self.legs.get_mut(&leg)?;
        match voice.end.take() {
            Some(end) => Some(OnTimeslot { leg, end }),
            None => {
                self.waiting.insert(leg, channel);
                None
            }
        }
    }

    /// A B channel gave back what was attached. Gives the channel that waits for it, if one does.
    pub fn came_back(&mut self, bearer: OnTimeslot) -> Option<(BChannel, OnTimeslot)> {
        if let Some(channel) = self.waiting.remove(&bearer.leg) {
            return Some((channel, bearer));
        }
        // A leg that still lives may be joined to another channel later.
        if let Some(voice) = self.legs.get_mut(&bearer.leg) {
            voice.end = Some(bearer.end);
        }
        None
    }

    /// Closes the media of a leg, if it has any. Its statistics come as an event.
    pub fn close(&mut self, leg: LegId) {
        self.waiting.remove(&leg);
        if let Some(voice) = self.legs.remove(&leg)
            && let Err(error) = self.media.close(voice.media)
        {
            tracing::error!(%error, "the media of a leg was not closed");
        }
    }

    /// The media of a leg is gone. Gives the leg.
    pub fn closed(&mut self, media: trunkline_media::LegId) -> Option<LegId> {
        self.by_media.remove(&media)
    }

    /// The leg whose media this is.
    pub fn leg_of(&self, media: trunkline_media::LegId) -> Option<LegId> {
        self.by_media.get(&media).copied()
    }

    /// The media of a leg is open or being closed: its statistics are still to come.
    pub fn is_pending(&self, leg: LegId) -> bool {
        self.by_media.values().any(|known| *known == leg)
    }

    fn open(
        &mut self,
        leg: LegId,
        remote: Option<Remote>,
        sending: Sending,
        receiving: Vec<PayloadFormat>,
    ) -> Result<LocalMedia, VoiceError> {
        let opened = self.media.open(RtpLegSpec {
            local: self.settings.address,
            remote,
            sending,
            receiving,
            line_law: Law::A,
            detect_digits: true,
            cname: self.settings.cname.clone(),
            protection: Protection::Plain,
        })?;
        let local = self.local_media(opened.local);
        self.by_media.insert(opened.leg, leg);
        self.legs.insert(
            leg,
            VoiceLeg {
                media: opened.leg,
                local: local.clone(),
                offer: None,
                answered: false,
                end: Some(opened.timeslot),
            },
        );
        Ok(local)
    }

    fn local_media(&mut self, rtp: std::net::SocketAddr) -> LocalMedia {
        self.sessions_begun += 1;
        let mut local = LocalMedia::new(rtp, self.sessions_begun);
        local.ptime_ms = self.settings.ptime_ms;
        local
    }
}

/// First of the dynamic payload types (RFC 3551 §6).
const DYNAMIC_PAYLOAD_TYPE: u8 = 96;

/// The statistics of a leg as they go into its call record.
pub fn statistics(figures: &LegStatistics) -> Value {
    json!({
        "packets_received": figures.packets_received,
        "octets_received": figures.octets_received,
        "packets_sent": figures.packets_sent,
        "octets_sent": figures.octets_sent,
        "packets_lost": figures.reception.lost,
        "packets_duplicate": figures.reception.duplicates,
        "packets_late": figures.late,
        "packets_malformed": figures.malformed,
        "packets_refused_source": figures.source.stranger,
        "packets_over_rate": figures.over_rate,
        "jitter_ms": f64::from(figures.reception.jitter_us) / 1_000.0,
        "concealed_ms": figures.playout.concealed_ms,
        "playout_target_ms": figures.playout.target_ms,
        "playout_delay_ms": figures.playout.delay_ms,
        "lengthened_samples": figures.playout.lengthened_samples,
        "shortened_samples": figures.playout.shortened_samples,
        "remote_loss": figures.remote_loss,
        "remote_jitter_ms": figures.remote_jitter_us.map(|us| f64::from(us) / 1_000.0),
        "round_trip_ms": figures.round_trip_us.map(|us| f64::from(us) / 1_000.0),
        "rtcp_received": figures.rtcp_received,
        "rtcp_sent": figures.rtcp_sent,
    })
}
