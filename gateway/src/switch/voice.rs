//! The media of packet legs: what is negotiated with the peer and the RTP leg that carries it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use trunkline_call::LegId;
use trunkline_call::congestion::Congestion;
use trunkline_call::control::Wish;
use trunkline_call::trunk::BChannel;
use trunkline_dsp::g711::Law;
use trunkline_media::{
    CrossEnd, LegStatistics, Media, MediaError, OpenedLeg, Payload, PayloadFormat, Protection,
    Remote, RtpLegSpec, RtpLegUpdate, Sending, TimeslotEnd,
};
use trunkline_rtp::RtpError;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::rtcp::VoipMetrics;
use trunkline_rtp::sdp::{
    Audio, Crypto, Direction, LocalMedia, Negotiated, Sdp, accept_answer, answer, make_offer,
};
use trunkline_rtp::srtp::Suite;
use trunkline_tdm::{Bearer, Load};
use trunkline_webrtc::WebRtcError;

use super::congestion::of_media;
use crate::configuration::{SrtpPolicy, Terms};

mod crossings;
mod pages;
mod pairs;

use crossings::Crossing;
pub use crossings::{Crossed, crossed};
pub use pages::OpenedPage;
pub use pairs::Caller;

/// Why a leg has no media.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// The session description cannot be read or has nothing in common with us.
    #[error(transparent)]
    Description(#[from] RtpError),
    /// The media plane has no room, or refused the leg.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A page's offer, or what came of it, cannot be used.
    #[error(transparent)]
    Page(#[from] WebRtcError),
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

/// What sits on a B channel.
#[derive(Debug)]
pub struct OnTimeslot {
    /// The packet leg that it belongs to; in a call from line to line the leg that called.
    pub leg: LegId,
    end: End,
    /// Law of the line, where that of the end is another one.
    line_law: Option<Law>,
    /// It carries data, in which no octet may change.
    is_data: bool,
}

/// A span's blocks have so many samples at most.
const BLOCK_SAMPLES_MAX: usize = 160;

#[derive(Debug)]
enum End {
    /// The timeslot's end of a packet leg.
    Packet(Box<TimeslotEnd>),
    /// The calling side's end of two joined channels.
    Calling(Box<CrossEnd>),
    /// The called side's.
    Called(Box<CrossEnd>),
}

impl End {
    fn law(&self) -> Law {
        match self {
            Self::Packet(end) => end.law(),
            Self::Calling(end) | Self::Called(end) => end.law(),
        }
    }

    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        match self {
            Self::Packet(end) => end.exchange(from_line, to_line),
            Self::Calling(end) | Self::Called(end) => end.exchange(from_line, to_line),
        }
    }
}

impl Bearer for OnTimeslot {
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        let Some(line_law) = self.line_law else {
            self.end.exchange(from_line, to_line);
            return;
        };
        let law = self.end.law();
        let mut octets = [0; BLOCK_SAMPLES_MAX];
        for (from_line, to_line) in
            from_line.chunks(BLOCK_SAMPLES_MAX).zip(to_line.chunks_mut(BLOCK_SAMPLES_MAX))
        {
            let octets = &mut octets[..from_line.len()];
            octets.copy_from_slice(from_line);
            line_law.convert_block(octets, law);
            self.end.exchange(octets, to_line);
            law.convert_block(to_line, line_law);
        }
    }

    fn load(&self) -> Load {
        if self.is_data { Load::Data } else { Load::Speech }
    }
}

#[derive(Debug)]
struct VoiceLeg {
    media: trunkline_media::LegId,
    /// With the leg's keys, which stay over all its descriptions.
    local: LocalMedia,
    /// Our last offer before the call was answered.
    offer: Option<Sdp>,
    /// Our description that is in force.
    said: Option<Sdp>,
    /// Our offer in the call that is not answered yet.
    offered_onward: Option<Sdp>,
    /// It was answered, and the answer is in force.
    answered: bool,
    /// Until it sits on a B channel; a leg of a pair has none.
    end: Option<TimeslotEnd>,
    /// Codecs offered and accepted, best first.
    codecs: Vec<Codec>,
    /// The codec that was agreed on last.
    codec: Option<Codec>,
    /// The leg that called, of a pair of which this is the leg that is called.
    caller: Option<LegId>,
}

/// What every leg has in common.
#[derive(Clone, Debug)]
pub struct VoiceSettings {
    /// Address that RTP is sent from and received on.
    pub address: IpAddr,
    /// Packet time towards RTP, in ms.
    pub ptime_ms: u16,
    /// SRTP suites, best first.
    pub suites: Vec<Suite>,
    /// Canonical name in RTCP.
    pub cname: String,
    /// Law of the speech on each span.
    pub line_laws: Vec<Law>,
}

impl VoiceSettings {
    fn law_of(&self, channel: BChannel) -> Law {
        self.line_laws.get(channel.span).copied().unwrap_or(Law::A)
    }

    /// The law of timeslots' ends, which are made before a channel is chosen: that of all spans.
    /// Where they differ, some have to turn one into the other.
    fn law(&self) -> Law {
        let is_mu = |law: &Law| *law == Law::Mu;
        if !self.line_laws.is_empty() && self.line_laws.iter().all(is_mu) {
            Law::Mu
        } else {
            Law::A
        }
    }
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
    /// By the leg that called: the joint of its B channel with that of the called side.
    crossings: HashMap<LegId, Crossing>,
    /// By the leg that called: the other leg of its pair, while nobody is called on it.
    spare: HashMap<LegId, VoiceLeg>,
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
            crossings: HashMap::new(),
            spare: HashMap::new(),
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
        terms: &Terms,
    ) -> Result<Vec<u8>, VoiceError> {
        let offer = Sdp::parse(description)?;
        // The answer needs a port, and the port's leg needs what is negotiated: so negotiate with
        // any port first.
        let any_port = self.local_media(terms.srtp);
        let (_, negotiated) = answer(&offer, &any_port, &terms.codecs)?;
        let agreed = Agreed::of(&negotiated, from);
        let local = self.open(leg, any_port, agreed, &terms.codecs)?;
        let (answer, _) = answer(&offer, &local, &terms.codecs)?;
        let text = answer.to_string().into_bytes();
        if let Some(voice) = self.legs.get_mut(&leg) {
            voice.said = Some(answer);
        }
        Ok(text)
    }

    /// Opens the media of a leg that we make an offer to; gives the offer: of SRTP if
    /// `with_srtp`, else of plain RTP. The SRTP of `terms` is for what the leg's peer offers later.
    pub fn offer(
        &mut self,
        leg: LegId,
        terms: &Terms,
        with_srtp: bool,
    ) -> Result<Vec<u8>, VoiceError> {
        let agreed = self.nothing_agreed(&terms.codecs);
        let local = self.local_media(terms.srtp);
        self.open(leg, local, agreed, &terms.codecs)?;
        self.offer_anew(leg, with_srtp)
    }

    /// Offers to a leg that has refused our first offer, or had none; gives the offer.
    pub fn offer_anew(&mut self, leg: LegId, with_srtp: bool) -> Result<Vec<u8>, VoiceError> {
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        let mut local = voice.local.clone();
        if !with_srtp {
            local.crypto.clear();
        }
        let offer = make_offer(&local, &voice.codecs);
        let text = offer.to_string().into_bytes();
        voice.said = Some(offer.clone());
        voice.offer = Some(offer);
        voice.answered = false;
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
        voice.codec = Some(negotiated.codec);
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

    /// The peer offers something else in a call that is up (hold, another address), while the other
    /// party wishes `other`; gives our answer, and what the peer wishes.
    pub fn offered_again(
        &mut self,
        leg: LegId,
        description: &[u8],
        from: Option<IpAddr>,
        other: Wish,
    ) -> Result<(Vec<u8>, Wish), VoiceError> {
        let offer = Sdp::parse(description)?;
        let voice = self.legs.get_mut(&leg).ok_or(VoiceError::NoLeg)?;
        voice.local.version += 1;
        voice.local.direction = direction_of(other);
        let (answer, negotiated) = answer(&offer, &voice.local, &voice.codecs)?;
        self.media.update(voice.media, RtpLegUpdate::negotiated(&negotiated, from))?;
        voice.codec = Some(negotiated.codec);
        let offered = offer.audio().map(Audio::effective_direction).unwrap_or_default();
        let text = answer.to_string().into_bytes();
        voice.said = Some(answer);
        Ok((text, Wish { speaks: offered.sends(), listens: offered.receives() }))
    }

    /// Connects a packet leg with a B channel: gives what to attach there. Nothing when that still
    /// sits on another channel; it will come by [`Voice::came_back`].
    pub fn join(&mut self, leg: LegId, channel: BChannel) -> Vec<(BChannel, OnTimeslot)> {
        let Some(voice) = self.legs.get_mut(&leg) else { return Vec::new() };
        match voice.end.take() {
            Some(end) => {
                vec![(channel, self.on(channel, leg, End::Packet(Box::new(end)), false))]
            }
            None => {
                self.waiting.insert(leg, channel);
                Vec::new()
            }
        }
    }

    /// A B channel gave back what was attached. Gives the channel that waits for it, if one does.
    pub fn came_back(&mut self, bearer: OnTimeslot) -> Option<(BChannel, OnTimeslot)> {
        if !matches!(bearer.end, End::Calling(_))
            && let Some(channel) = self.waiting.remove(&bearer.leg)
        {
            let is_data = self.is_data(bearer.leg);
            return Some((channel, self.on(channel, bearer.leg, bearer.end, is_data)));
        }
        // What still lives may be joined to another channel later.
        match bearer.end {
            End::Packet(end) => {
                if let Some(voice) = self.legs.get_mut(&bearer.leg) {
                    voice.end = Some(*end);
                }
            }
            End::Called(end) => self.far_end_came_back(bearer.leg, end),
            // The caller's channel is left only at the end of the call.
            End::Calling(_) => {}
        }
        None
    }

    /// Closes the media of a leg, if it has any. Its statistics come as an event.
    pub fn close(&mut self, leg: LegId) {
        self.waiting.remove(&leg);
        for voice in self.legs.remove(&leg).into_iter().chain(self.spare.remove(&leg)) {
            if let Err(error) = self.media.close(voice.media) {
                tracing::error!(%error, "the media of a leg was not closed");
            }
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
        local: LocalMedia,
        agreed: Agreed,
        codecs: &[Codec],
    ) -> Result<LocalMedia, VoiceError> {
        let opened = self.media.open(self.spec(agreed))?;
        Ok(self.place(leg, local, opened, codecs))
    }

    /// Takes an opened leg among ours; gives what is said of it.
    fn place(
        &mut self,
        leg: LegId,
        mut local: LocalMedia,
        opened: OpenedLeg,
        codecs: &[Codec],
    ) -> LocalMedia {
        local.rtp = opened.local;
        local.rtcp = rtcp_of(opened.local);
        self.by_media.insert(opened.leg, leg);
        self.legs.insert(
            leg,
            VoiceLeg {
                media: opened.leg,
                local: local.clone(),
                offer: None,
                said: None,
                offered_onward: None,
                answered: false,
                end: Some(opened.timeslot),
                codecs: codecs.to_vec(),
                codec: None,
                caller: None,
            },
        );
        local
    }

    fn nothing_agreed(&self, codecs: &[Codec]) -> Agreed {
        Agreed::nothing(codecs[0], self.settings.ptime_ms)
    }

    fn spec(&self, agreed: Agreed) -> RtpLegSpec {
        RtpLegSpec {
            local: self.settings.address,
            remote: agreed.remote,
            sending: agreed.sending,
            receiving: agreed.receiving,
            line_law: self.settings.law(),
            detect_digits: true,
            cname: self.settings.cname.clone(),
            protection: agreed.protection,
        }
    }

    /// A bearer for a B channel: speech is turned into the line's law, data is not touched.
    fn on(&self, channel: BChannel, leg: LegId, end: End, is_data: bool) -> OnTimeslot {
        let line_law = self.settings.law_of(channel);
        let is_other = !is_data && line_law != end.law();
        OnTimeslot { leg, end, line_law: is_other.then_some(line_law), is_data }
    }

    /// What we say of a new leg, at a port that is still to be found.
    fn local_media(&mut self, policy: SrtpPolicy) -> LocalMedia {
        self.sessions_begun += 1;
        let any_port = SocketAddr::new(self.settings.address, 9);
        let mut local = LocalMedia::new(any_port, self.sessions_begun);
        local.ptime_ms = self.settings.ptime_ms;
        if policy.accepts() {
            // A generator for cryptography, seeded by the kernel.
            local.crypto = Crypto::generate(&self.settings.suites, |key| rand::fill(key));
        }
        local.srtp_only = policy == SrtpPolicy::Require;
        local
    }
}

/// What a leg begins with.
struct Agreed {
    remote: Option<Remote>,
    sending: Sending,
    receiving: Vec<PayloadFormat>,
    protection: Protection,
}

impl Agreed {
    /// What a description from `from` and ours have agreed on.
    fn of(negotiated: &Negotiated, from: IpAddr) -> Self {
        Self {
            remote: Some(Remote::negotiated(negotiated, Some(from))),
            sending: negotiated.into(),
            receiving: PayloadFormat::receivable(negotiated),
            protection: negotiated.into(),
        }
    }

    /// Nothing is sent or accepted before an answer has named the other side.
    fn nothing(codec: Codec, ptime_ms: u16) -> Self {
        let payload_type = codec.static_payload_type().unwrap_or(DYNAMIC_PAYLOAD_TYPE);
        Self {
            remote: None,
            sending: Sending { codec, payload_type, telephone_event: None, ptime_ms },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            protection: Protection::Plain,
        }
    }
}

/// The direction that stands for a party towards the other one.
fn direction_of(wish: Wish) -> Direction {
    Direction::of(wish.speaks, wish.listens)
}

/// The port beside that of RTP (RFC 3550 §11).
fn rtcp_of(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
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
        "srtp": figures.srtp.map(|srtp| json!({
            "suite": srtp.suite.map(Suite::name),
            "packets_refused_authentication": srtp.authentication_failed,
            "packets_replayed": srtp.replayed,
            "packets_refused_exhausted": srtp.exhausted,
            "packets_unsent": srtp.unsent,
        })),
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
        "quality": quality(figures),
        "remote_quality": figures.remote_voice.as_ref().map(remote_quality),
    })
}

/// How the voice to us arrived (RFC 3611 §4.7.2) and how good it was (ITU-T G.107).
fn quality(figures: &LegStatistics) -> Option<Value> {
    let quality = figures.quality?;
    let losses = &figures.losses;
    let hundredths = |value: f64| (value * 100.0).round() / 100.0;
    Some(json!({
        "r_factor": hundredths(quality.r_factor),
        "mos_lq": hundredths(quality.mos_lq),
        "mos_cq": hundredths(quality.mos_cq),
        "packets_expected": losses.expected,
        "packets_lost": losses.lost,
        "packets_discarded": losses.discarded,
        "bursts": losses.bursts.count,
        "burst_density": hundredths(losses.bursts.density()),
        "burst_ms": losses.bursts.mean_duration_ms(figures.packet_ms).round(),
        "gap_density": hundredths(losses.gaps.density()),
        "gap_ms": losses.gaps.mean_duration_ms(figures.packet_ms).round(),
    }))
}

/// The same of our voice, in the words of the peer.
fn remote_quality(voice: &VoipMetrics) -> Value {
    let share = |in_256ths: u8| f64::from(in_256ths) / 256.0;
    let mos = |tenths: Option<u8>| tenths.map(|tenths| f64::from(tenths) / 10.0);
    json!({
        "r_factor": voice.r_factor,
        "mos_lq": mos(voice.mos_lq_tenths),
        "mos_cq": mos(voice.mos_cq_tenths),
        "loss_rate": share(voice.loss_rate),
        "discard_rate": share(voice.discard_rate),
        "burst_density": share(voice.burst_density),
        "burst_ms": voice.burst_duration_ms,
        "gap_density": share(voice.gap_density),
        "gap_ms": voice.gap_duration_ms,
        "round_trip_ms": voice.round_trip_ms,
        "end_system_delay_ms": voice.end_system_delay_ms,
        "jitter_buffer_ms": voice.jitter_buffer_nominal_ms,
    })
}

#[cfg(test)]
mod tests;
