//! The call: which gateway, INVITE, voice, and how it ended.

mod route;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use trunkline_directory::client::{BadApex, SipTarget, SipTransport, Unavailable};
use trunkline_dsp::g711::Law;
use trunkline_media::{
    Media, MediaConfig, MediaError, MediaEvent, MediaEventKind, Payload, PayloadFormat, Protection,
    RtpLegSpec, RtpLegUpdate, Sending,
};
use trunkline_number::E164;
use trunkline_program::signal::{Request, Signals};
use trunkline_rtp::RtpError;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::sdp::{LocalMedia, Sdp, accept_answer, answer, make_offer};
use trunkline_rtp::telephone_event::Digit;
use trunkline_sip::{
    Endpoint, EndpointConfig, Event, Events, LegId, OutgoingInvite, SipError, Uri,
};

use crate::callee::Callee;
use crate::configuration::{CodecName, Configuration, Transport};
use crate::face::Face;
use crate::sound::line::Controls;
use crate::sound::{Sound, SoundError};
use crate::terminal::Key;
use crate::words::why_it_failed;

/// First of the dynamic payload types (RFC 3551 §6).
const DYNAMIC_PAYLOAD_TYPE: u8 = 96;

/// How long a digit sounds, in ms.
const DIGIT_MS: u32 = 120;

/// T1 of RFC 3261 §17.1.1.1. A person does not wait for 64 times the usual 500 ms before the next
/// gateway is tried; on a longer way an INVITE is sent once more than needed.
const T1: Duration = Duration::from_millis(100);

/// Longest time for the last message to be answered at the end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// What a call is to do by itself.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Hang up so long after the answer.
    pub hang_up_after: Option<Duration>,
    /// Digits to send once the call is answered.
    pub digits: Option<String>,
}

/// Why a call did not come about.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No gateway serves the number.
    #[error("unknown number: no gateway serves this number")]
    NoGateway,
    /// Gateways serve the number, but none of them takes calls now.
    #[error("no gateway of this number takes calls now: try again later")]
    GatewaysOut,
    /// The directory does not say.
    #[error("no gateway: the directory does not answer ({0})")]
    NoDirectory(#[from] Unavailable),
    /// The gateway turned the call down.
    #[error("{why}")]
    Refused {
        /// Status of SIP.
        status: u16,
        /// Why, in words.
        why: &'static str,
    },
    /// Nothing came back from the gateway.
    #[error("the gateway does not answer: {0}")]
    Silent(String),
    /// The voice stopped.
    #[error("the voice of the call failed")]
    Voice,
    /// A digit to be sent is none.
    #[error("{0:?} is no digit: 0-9, *, # and A-D can be sent")]
    Digit(char),
    /// The gateway's address cannot be used.
    #[error("no gateway: {0:?} is no address that can be called")]
    Gateway(String),
    /// The directory's domain is none.
    #[error("apex: {0}")]
    Apex(#[from] BadApex),
    /// SIP does not work.
    #[error(transparent)]
    Sip(#[from] SipError),
    /// The media plane does not work.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The gateway's session description cannot be used.
    #[error("not possible: {0}")]
    Description(#[from] RtpError),
    /// Sound does not work.
    #[error(transparent)]
    Sound(#[from] SoundError),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// Makes a call and returns when it is over.
///
/// # Errors
/// The call did not come about.
pub fn run(
    configuration: Configuration,
    callee: Callee,
    wishes: Wishes,
    face: &Face,
) -> Result<(), CallError> {
    if let Some(other) = wishes.digits.iter().flat_map(|text| text.chars()).find(is_no_digit) {
        return Err(CallError::Digit(other));
    }
    tracing::info!(target: "ladder", step = 406_u32, number = %callee.number, "phone started with {}", callee.written);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(call(configuration, callee, wishes, face))
}

async fn call(
    configuration: Configuration,
    callee: Callee,
    wishes: Wishes,
    face: &Face,
) -> Result<(), CallError> {
    let mut desk = Desk { face, keys: face.read_keys(), signals: Signals::catch()? };
    let mut outcome = Err(CallError::NoGateway);
    for gateway in route::gateways(&configuration, &callee).await? {
        desk.face.show(&format!(
            "Dialling {} through {}:{}",
            callee.written, gateway.host, gateway.port
        ));
        outcome = match Phone::dial(&configuration, callee.number, &gateway).await {
            Ok(phone) => phone.talk(&wishes, &mut desk).await,
            Err(error) => Err(error),
        };
        match &outcome {
            Err(error) if error.is_of_this_gateway() => {
                tracing::warn!(gateway = %gateway.host, %error, "gateway passed over");
            }
            _ => break,
        }
    }
    outcome
}

impl CallError {
    /// Whether another gateway may do better: one that is full, dead or nowhere.
    fn is_of_this_gateway(&self) -> bool {
        matches!(self, Self::Refused { status: 503, .. } | Self::Silent(_) | Self::Gateway(_))
    }
}

/// What the person can do during a call, whichever gateway it goes through.
struct Desk<'a> {
    face: &'a Face,
    keys: mpsc::Receiver<Key>,
    signals: Signals,
}

/// A call that is dialled.
struct Phone {
    number: E164,
    gateway: String,
    endpoint: Endpoint,
    events: Events,
    sip: LegId,
    media: Media,
    media_events: mpsc::Receiver<MediaEvent>,
    leg: trunkline_media::LegId,
    local: LocalMedia,
    offer: Sdp,
    codecs: Vec<Codec>,
    controls: Controls,
    sound: Sound,
    /// The network's own ring-back tone comes.
    has_early_media: bool,
    is_held: bool,
}

impl Phone {
    async fn dial(
        configuration: &Configuration,
        number: E164,
        target: &SipTarget,
    ) -> Result<Self, CallError> {
        let address = match configuration.address {
            Some(address) => address,
            None => route::own_address(target).await?,
        };
        let tcp =
            configuration.transport == Transport::Tcp || target.transport == SipTransport::Tcp;
        let local: SocketAddr = (address, 0).into();
        let (endpoint, events) = Endpoint::start(EndpointConfig {
            udp: if tcp { Vec::new() } else { vec![local] },
            tcp: if tcp { vec![local] } else { Vec::new() },
            user_agent: "Trunkline phone".to_owned(),
            contact_user: configuration.identity.clone(),
            t1: T1,
            ..EndpointConfig::default()
        })
        .await?;
        let media = Media::start(MediaConfig {
            cores: vec![first_core()],
            rtp_timeout: Duration::ZERO,
            ..MediaConfig::default()
        })?;
        let media_events = media.events().expect("nobody else asked for them");
        let codecs: Vec<Codec> =
            configuration.codecs.iter().map(|codec| codec_of(*codec)).collect();
        let codec = codecs.first().copied().unwrap_or(Codec::Pcma);
        let payload_type = codec.static_payload_type().unwrap_or(DYNAMIC_PAYLOAD_TYPE);
        let opened = media.open(RtpLegSpec {
            local: address,
            remote: None,
            sending: Sending { codec, payload_type, telephone_event: None, ptime_ms: 20 },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            line_law: Law::A,
            detect_digits: false,
            cname: configuration.identity.clone(),
            protection: Protection::Plain,
        })?;
        let controls = Controls::default();
        let sound =
            Sound::start(&configuration.sound, opened.timeslot, controls.clone(), |text| {
                eprintln!("{text}");
            })?;
        let local = LocalMedia::new(opened.local, session_id());
        let offer = make_offer(&local, &codecs);
        let host = address.to_string();
        let uri: Uri = target.uri.parse()?;
        let mut invite = OutgoingInvite::new(
            uri,
            Uri::sip(&configuration.identity, &host, None),
            offer.to_string().into_bytes(),
        );
        invite.transport =
            Some(if tcp { trunkline_sip::Transport::Tcp } else { trunkline_sip::Transport::Udp });
        tracing::info!(target: "ladder", step = 409_u32, %number, "INVITE to {}:{}", target.host, target.port);
        let sip = endpoint.invite(invite)?;
        Ok(Self {
            number,
            gateway: format!("{}:{}", target.host, target.port),
            endpoint,
            events,
            sip,
            media,
            media_events,
            leg: opened.leg,
            local,
            offer,
            codecs,
            controls,
            sound,
            has_early_media: false,
            is_held: false,
        })
    }

    /// Follows the call to its end.
    async fn talk(mut self, wishes: &Wishes, desk: &mut Desk<'_>) -> Result<(), CallError> {
        let outcome = self.follow(wishes, desk).await;
        let ended = self.end().await;
        outcome.and(ended)
    }

    async fn follow(&mut self, wishes: &Wishes, desk: &mut Desk<'_>) -> Result<(), CallError> {
        let face = desk.face;
        let mut keys_open = true;
        let mut is_muted = false;
        let mut has_replied = false;
        let mut answered_at: Option<Instant> = None;
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            let hang_up = answered_at.zip(wishes.hang_up_after).map(|(at, after)| at + after);
            let timer = async {
                match hang_up {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Event::Provisional { status, sdp, .. }) => {
                        has_replied = true;
                        self.progress(status, sdp.as_deref(), face);
                    }
                    Some(Event::Answered { sdp, .. }) => {
                        match sdp {
                            Some(sdp) => self.use_answer(&sdp)?,
                            None if self.has_early_media => {}
                            None => return Err(RtpError::NoAudio.into()),
                        }
                        self.controls.talk();
                        answered_at = Some(Instant::now());
                        tracing::info!(target: "ladder", step = 413_u32, number = %self.number, "talking");
                        face.show("Talking: digits are sent, m mutes, h hangs up");
                        for digit in wishes.digits.iter().flat_map(|digits| digits.chars()) {
                            self.send_digit(digit)?;
                        }
                    }
                    // RFC 3261 §17.1.1.2: a client transaction that times out counts as 408.
                    Some(Event::Failed { status: 408, cause: None, .. }) if !has_replied => {
                        return Err(CallError::Silent(self.gateway.clone()));
                    }
                    Some(Event::Failed { status, cause, .. }) => {
                        let why = why_it_failed(cause, status);
                        return Err(CallError::Refused { status, why });
                    }
                    Some(Event::ReInvite { sdp, .. }) => self.offered_again(&sdp, face)?,
                    Some(Event::Bye { .. } | Event::SessionExpired { .. }) | None => {
                        face.show(&ended("The other side hung up", answered_at));
                        return Ok(());
                    }
                    Some(_) => {}
                },
                Some(event) = self.media_events.recv() => {
                    if let MediaEventKind::Failed = event.kind {
                        return Err(CallError::Voice);
                    }
                }
                key = desk.keys.recv(), if keys_open => match key {
                    Some(Key::Digit(digit)) => self.send_digit(digit)?,
                    Some(Key::Mute) => {
                        is_muted = !is_muted;
                        self.controls.mute(is_muted);
                    }
                    Some(Key::HangUp) => break,
                    // A phone that a browser starts has nobody at its standard input.
                    None => keys_open = false,
                },
                () = timer => break,
                request = desk.signals.next() => if request == Request::End { break },
                _ = tick.tick() => {
                    if let Some(at) = answered_at {
                        face.show_timer(at.elapsed(), is_muted);
                    }
                }
            }
        }
        // Q.850 16: normal call clearing.
        self.endpoint.hangup(self.sip, Some(16))?;
        face.show(&ended("Hung up", answered_at));
        Ok(())
    }

    /// Ends what is left of the call; the other side gets BYE or CANCEL, and RTCP BYE.
    async fn end(self) -> Result<(), CallError> {
        let closed = self.media.close(self.leg);
        self.endpoint.shutdown(SHUTDOWN_MAX).await;
        self.sound.stop()?;
        Ok(closed?)
    }

    /// The gateway is at work. Early media, if there is any, is heard instead of our own tone.
    fn progress(&mut self, status: u16, description: Option<&[u8]>, face: &Face) {
        if let Some(description) = description {
            match self.use_answer(description) {
                Ok(()) => self.has_early_media = true,
                // The answer itself may still be good.
                Err(error) => tracing::warn!(%error, "early media cannot be used"),
            }
        }
        if status == 180 {
            face.show("Ringing");
            self.controls.ring(true);
        }
        if self.has_early_media {
            self.controls.ring(false);
        }
    }

    fn use_answer(&mut self, description: &[u8]) -> Result<(), CallError> {
        let negotiated = accept_answer(&self.offer, &Sdp::parse(description)?)?;
        self.media.update(self.leg, RtpLegUpdate::negotiated(&negotiated, None))?;
        Ok(())
    }

    /// The gateway puts the call on hold, or moves it.
    fn offered_again(&mut self, description: &[u8], face: &Face) -> Result<(), CallError> {
        self.local.version += 1;
        let outcome =
            Sdp::parse(description).and_then(|offer| answer(&offer, &self.local, &self.codecs));
        match outcome {
            Ok((answer, negotiated)) => {
                self.media.update(self.leg, RtpLegUpdate::negotiated(&negotiated, None))?;
                self.endpoint.answer_reinvite(self.sip, answer.to_string().into_bytes())?;
                if self.is_held != negotiated.is_held() {
                    self.is_held = negotiated.is_held();
                    face.show(if self.is_held { "On hold" } else { "Talking again" });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a re-INVITE cannot be accepted");
                self.endpoint.reject_reinvite(self.sip, 488)?;
            }
        }
        Ok(())
    }

    fn send_digit(&self, digit: char) -> Result<(), CallError> {
        if let Ok(digit) = Digit::try_from(digit) {
            self.media.send_digit(self.leg, digit, DIGIT_MS)?;
        }
        Ok(())
    }
}

fn ended(how: &str, answered_at: Option<Instant>) -> String {
    match answered_at {
        Some(at) => {
            let seconds = at.elapsed().as_secs();
            format!("{how} after {:02}:{:02}", seconds / 60, seconds % 60)
        }
        None => format!("{how} before an answer"),
    }
}

fn is_no_digit(symbol: &char) -> bool {
    Digit::try_from(*symbol).is_err()
}

/// Names the session as RFC 8866 §5.2 advises: by the time.
fn session_id() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

/// The first core that this process may use.
fn first_core() -> usize {
    let allowed = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.and_then(|list| list.trim().split(['-', ',']).next());
    first.and_then(|core| core.parse().ok()).unwrap_or(0)
}

fn codec_of(name: CodecName) -> Codec {
    match name {
        CodecName::Pcma => Codec::Pcma,
        CodecName::Pcmu => Codec::Pcmu,
        CodecName::Opus => Codec::opus_telephony(),
    }
}
