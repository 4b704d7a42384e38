//! The call: which gateway, INVITE, voice, and how it ended.

mod incoming;
mod route;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
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
    Endpoint, EndpointConfig, Event, Events, LegId, OutgoingInvite, Rejection, SipError, Uri,
};

use crate::callee::Callee;
use crate::configuration::{self, CodecName, Configuration, Transport};
use crate::face::Face;
use crate::sound::devices::Choice;
use crate::sound::line::Controls;
use crate::sound::{Sound, SoundError};
use crate::state::{CallState, Ending, Key};
use crate::words::Why;

pub use incoming::{Waited, wait};

/// First of the dynamic payload types (RFC 3551 §6).
const DYNAMIC_PAYLOAD_TYPE: u8 = 96;

/// How long a digit sounds, in ms.
const DIGIT_MS: u32 = 120;

/// T1 of RFC 3261 §17.1.1.1. A person does not wait for 64 times the usual 500 ms before the next
/// gateway is tried; on a longer way an INVITE is sent once more than needed.
const T1: Duration = Duration::from_millis(100);

/// Longest time for the last message to be answered at the end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// Longest time for the sound system to change devices.
const CHANGE_MAX: Duration = Duration::from_secs(6);

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
        why: Why,
    },
    /// There is no account to be called by.
    #[error("no account: write registrar and user below account in the configuration")]
    NoAccount,
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
    configuration: &mut Configuration,
    callee: Callee,
    wishes: &Wishes,
    face: &mut Face,
) -> Result<(), CallError> {
    runtime()?.block_on(async {
        let mut signals = Signals::catch()?;
        call(configuration, &callee, wishes, face, &mut signals).await
    })
}

/// What calls run on.
///
/// # Errors
/// The system gives no thread.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// Makes a call and returns when it is over. The devices that the person chooses during it are
/// written into the configuration.
///
/// # Errors
/// The call did not come about.
pub async fn call(
    configuration: &mut Configuration,
    callee: &Callee,
    wishes: &Wishes,
    face: &mut Face,
    signals: &mut Signals,
) -> Result<(), CallError> {
    if let Some(other) = wishes.digits.iter().flat_map(|text| text.chars()).find(is_no_digit) {
        return Err(CallError::Digit(other));
    }
    tracing::info!(target: "ladder", step = 406_u32, number = %callee.number, "phone started with {}", callee.written);
    let mut desk = Desk { face, signals };
    if callee.gateway.is_none() && desk.face.is_window() {
        desk.face.state(CallState::Inquiring);
    }
    let mut outcome = Err(CallError::NoGateway);
    for gateway in route::gateways(configuration, callee).await? {
        desk.face.state(CallState::Dialling {
            written: callee.written.clone(),
            gateway: format!("{}:{}", gateway.host, gateway.port),
        });
        outcome = match Phone::dial(configuration, callee.number, &gateway, desk.face).await {
            Ok(phone) => phone.talk(configuration, wishes, &mut desk).await,
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
    face: &'a mut Face,
    signals: &'a mut Signals,
}

/// A call that is dialled.
struct Phone {
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
    /// `None` after devices that do not let go of the call.
    sound: Option<Sound>,
    /// The network's own ring-back tone comes.
    has_early_media: bool,
    is_held: bool,
    answered_at: Option<Instant>,
}

/// From where and over what a gateway is reached.
struct Setting {
    address: IpAddr,
    is_tcp: bool,
}

impl Setting {
    async fn of(configuration: &Configuration, target: &SipTarget) -> Result<Self, CallError> {
        let address = match configuration.address {
            Some(address) => address,
            None => route::own_address(target).await?,
        };
        let is_tcp =
            configuration.transport == Transport::Tcp || target.transport == SipTransport::Tcp;
        Ok(Self { address, is_tcp })
    }

    /// Starts SIP there, as `user`.
    async fn endpoint(&self, user: &str) -> Result<(Endpoint, Events), SipError> {
        let local: SocketAddr = (self.address, 0).into();
        Endpoint::start(EndpointConfig {
            udp: if self.is_tcp { Vec::new() } else { vec![local] },
            tcp: if self.is_tcp { vec![local] } else { Vec::new() },
            user_agent: "Trunkline phone".to_owned(),
            contact_user: user.to_owned(),
            t1: T1,
            ..EndpointConfig::default()
        })
        .await
    }

    fn transport(&self) -> trunkline_sip::Transport {
        if self.is_tcp { trunkline_sip::Transport::Tcp } else { trunkline_sip::Transport::Udp }
    }
}

/// The voice of a call: media and sound.
struct Voice {
    media: Media,
    media_events: mpsc::Receiver<MediaEvent>,
    leg: trunkline_media::LegId,
    local: LocalMedia,
    codecs: Vec<Codec>,
    controls: Controls,
    sound: Sound,
}

impl Voice {
    fn open(
        configuration: &Configuration,
        address: IpAddr,
        face: &Face,
    ) -> Result<Self, CallError> {
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
        let say = |text: &str| face.warn(text);
        let sound = Sound::start(&configuration.sound, opened.timeslot, controls.clone(), say)?;
        face.controls(&controls);
        if let configuration::Sound::Devices(wanted) = &configuration.sound
            && face.is_window()
        {
            face.devices(Choice::look(wanted));
        }
        let local = LocalMedia::new(opened.local, session_id());
        Ok(Self { media, media_events, leg: opened.leg, local, codecs, controls, sound })
    }
}

impl Phone {
    async fn dial(
        configuration: &Configuration,
        number: E164,
        target: &SipTarget,
        face: &Face,
    ) -> Result<Self, CallError> {
        let setting = Setting::of(configuration, target).await?;
        let (endpoint, events) = setting.endpoint(&configuration.identity).await?;
        let voice = Voice::open(configuration, setting.address, face)?;
        let offer = make_offer(&voice.local, &voice.codecs);
        let uri: Uri = target.uri.parse()?;
        let mut invite = OutgoingInvite::new(
            uri,
            Uri::sip(&configuration.identity, &setting.address.to_string(), None),
            offer.to_string().into_bytes(),
        );
        invite.transport = Some(setting.transport());
        tracing::info!(target: "ladder", step = 409_u32, %number, "INVITE to {}:{}", target.host, target.port);
        let sip = endpoint.invite(invite)?;
        let gateway = format!("{}:{}", target.host, target.port);
        Ok(Self::new(sip, offer, voice, endpoint, events, gateway))
    }

    /// A call whose description of ours is `offer`.
    fn new(
        sip: LegId,
        offer: Sdp,
        voice: Voice,
        endpoint: Endpoint,
        events: Events,
        gateway: String,
    ) -> Self {
        let Voice { media, media_events, leg, local, codecs, controls, sound } = voice;
        Self {
            gateway,
            endpoint,
            events,
            sip,
            media,
            media_events,
            leg,
            local,
            offer,
            codecs,
            controls,
            sound: Some(sound),
            has_early_media: false,
            is_held: false,
            answered_at: None,
        }
    }

    /// Follows the call to its end.
    async fn talk(
        mut self,
        configuration: &mut Configuration,
        wishes: &Wishes,
        desk: &mut Desk<'_>,
    ) -> Result<(), CallError> {
        let outcome = self.follow(configuration, wishes, desk).await;
        let ended = self.end().await;
        outcome.and(ended)
    }

    async fn follow(
        &mut self,
        configuration: &mut Configuration,
        wishes: &Wishes,
        desk: &mut Desk<'_>,
    ) -> Result<(), CallError> {
        let mut keys_open = true;
        let mut has_replied = false;
        // A call that came was answered before.
        if let Some(since) = self.answered_at {
            desk.face.state(CallState::Talking { since });
        }
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            let hang_up = self.answered_at.zip(wishes.hang_up_after).map(|(at, after)| at + after);
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
                        self.progress(status, sdp.as_deref(), desk.face);
                    }
                    Some(Event::Answered { sdp, .. }) => {
                        match sdp {
                            Some(sdp) => self.use_answer(&sdp)?,
                            None if self.has_early_media => {}
                            None => return Err(RtpError::NoAudio.into()),
                        }
                        self.controls.talk();
                        let since = Instant::now();
                        self.answered_at = Some(since);
                        tracing::info!(target: "ladder", step = 413_u32, gateway = %self.gateway, "talking");
                        desk.face.state(CallState::Talking { since });
                        for digit in wishes.digits.iter().flat_map(|digits| digits.chars()) {
                            self.send_digit(digit)?;
                        }
                    }
                    // RFC 3261 §17.1.1.2: a client transaction that times out counts as 408.
                    Some(Event::Failed { status: 408, cause: None, .. }) if !has_replied => {
                        return Err(CallError::Silent(self.gateway.clone()));
                    }
                    Some(Event::Failed { status, cause, .. }) => {
                        let why = Why::of(cause, status);
                        return Err(CallError::Refused { status, why });
                    }
                    Some(Event::ReInvite { sdp, .. }) => self.offered_again(&sdp, desk.face)?,
                    // One call at a time.
                    Some(Event::Invite(invite)) => {
                        let busy = Rejection::status(486).with_cause(17);
                        self.endpoint.reject(invite.leg, busy)?;
                    }
                    Some(Event::Bye { .. } | Event::SessionExpired { .. }) | None => {
                        desk.face.state(self.ended(Ending::OtherSide));
                        return Ok(());
                    }
                    Some(_) => {}
                },
                Some(event) = self.media_events.recv() => {
                    if let MediaEventKind::Failed = event.kind {
                        return Err(CallError::Voice);
                    }
                }
                key = desk.face.keys().recv(), if keys_open => match key {
                    Some(Key::Digit(digit)) => self.send_digit(digit)?,
                    Some(Key::Mute) => self.controls.mute(!self.controls.is_muted()),
                    Some(Key::HangUp) => break,
                    Some(Key::Close) => {
                        desk.face.close();
                        break;
                    }
                    Some(Key::Open(target)) => desk.face.wait(target),
                    Some(Key::Microphone(name)) => {
                        if let configuration::Sound::Devices(wanted) = &mut configuration.sound {
                            wanted.microphone = name;
                            self.change_devices(wanted.clone(), desk.face).await?;
                        }
                    }
                    Some(Key::Loudspeaker(name)) => {
                        if let configuration::Sound::Devices(wanted) = &mut configuration.sound {
                            wanted.loudspeaker = name;
                            self.change_devices(wanted.clone(), desk.face).await?;
                        }
                    }
                    Some(Key::Yes | Key::No | Key::Again) => {}
                    // A phone that a browser starts has nobody at its standard input.
                    None => keys_open = false,
                },
                () = timer => break,
                request = desk.signals.next() => if request == Request::End { break },
                _ = tick.tick() => {
                    if let Some(at) = self.answered_at {
                        desk.face.show_timer(at.elapsed(), self.controls.is_muted());
                    }
                    if self.sound.as_ref().is_some_and(Sound::has_failed)
                        && let configuration::Sound::Devices(wanted) = &mut configuration.sound
                    {
                        // Whatever the system has left.
                        (wanted.microphone, wanted.loudspeaker) = (None, None);
                        self.change_devices(wanted.clone(), desk.face).await?;
                    }
                }
            }
        }
        // Q.850 16: normal call clearing.
        self.endpoint.hangup(self.sip, Some(16))?;
        desk.face.state(self.ended(Ending::HungUp));
        Ok(())
    }

    fn ended(&self, ending: Ending) -> CallState {
        CallState::Ended { ending, talked: self.answered_at.map(|at| at.elapsed()) }
    }

    /// Goes on with other devices. The network hears nothing of it but a short silence.
    async fn change_devices(
        &mut self,
        wanted: configuration::Devices,
        face: &Face,
    ) -> Result<(), CallError> {
        let Some(sound) = self.sound.take() else { return Ok(()) };
        tracing::info!(microphone = ?wanted.microphone, loudspeaker = ?wanted.loudspeaker, "devices change");
        let say = face.warner();
        // On a thread of its own: the sound system takes its time, and signalling goes on.
        let changed = tokio::task::spawn_blocking(move || {
            let choice = Choice::look(&wanted);
            sound.change(&wanted, say).map(|sound| (sound, choice))
        });
        let (sound, choice) = tokio::time::timeout(CHANGE_MAX, changed)
            .await
            .map_err(|_| SoundError::Stuck)?
            .map_err(std::io::Error::other)??;
        self.sound = Some(sound);
        face.devices(choice);
        Ok(())
    }

    /// Ends what is left of the call; the other side gets BYE or CANCEL, and RTCP BYE.
    async fn end(self) -> Result<(), CallError> {
        let closed = self.media.close(self.leg);
        self.endpoint.shutdown(SHUTDOWN_MAX).await;
        if let Some(sound) = self.sound {
            sound.stop()?;
        }
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
            face.state(CallState::Ringing);
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
                    let since = self.answered_at.unwrap_or_else(Instant::now);
                    face.state(match self.is_held {
                        true => CallState::OnHold { since },
                        false => CallState::TalkingAgain { since },
                    });
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
