//! The call: which gateway, INVITE, voice, and how it ended.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_directory::client::{
    BadApex, EnumResolver, Resolution, ResolverSettings, SipTarget, SipTransport, Unavailable,
};
use trunkline_dsp::g711::Law;
use trunkline_media::{
    Media, MediaConfig, MediaError, MediaEvent, MediaEventKind, Payload, PayloadFormat, RtpLegSpec,
    RtpLegUpdate, Sending,
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
use crate::sound::line::Controls;
use crate::sound::{Sound, SoundError};
use crate::terminal::{Key, Terminal};
use crate::words::why_it_failed;

/// Port of SIP where an address names none.
const SIP_PORT: u16 = 5060;

/// First of the dynamic payload types (RFC 3551 §6).
const DYNAMIC_PAYLOAD_TYPE: u8 = 96;

/// How long a digit sounds, in ms.
const DIGIT_MS: u32 = 120;

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
    #[error("unknown number: no gateway serves it")]
    UnknownNumber,
    /// The directory does not say.
    #[error("no gateway: {0}")]
    NoDirectory(#[from] Unavailable),
    /// The gateway turned the call down; why, in words.
    #[error("{0}")]
    Refused(&'static str),
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
    terminal: &Terminal,
) -> Result<(), CallError> {
    tracing::info!(target: "ladder", step = 406_u32, number = %callee.number, "phone started with {}", callee.written);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(call(configuration, callee, wishes, terminal))
}

async fn call(
    configuration: Configuration,
    callee: Callee,
    wishes: Wishes,
    terminal: &Terminal,
) -> Result<(), CallError> {
    let targets = targets(&configuration, &callee).await?;
    let mut last = CallError::UnknownNumber;
    for target in targets {
        terminal
            .show(&format!("Dialling {} through {}:{}", callee.written, target.host, target.port));
        match Phone::dial(&configuration, callee.number, &target)
            .await?
            .talk(&wishes, terminal)
            .await
        {
            // Another gateway may have room.
            Err(CallError::Refused(why)) if why.starts_with("gateway full") => {
                last = CallError::Refused(why);
            }
            outcome => return outcome,
        }
    }
    Err(last)
}

/// The gateways to try, best first.
async fn targets(
    configuration: &Configuration,
    callee: &Callee,
) -> Result<Vec<SipTarget>, CallError> {
    let number = callee.number;
    if let Some(gateway) = &callee.gateway {
        let uri = format!("sip:{number}@{gateway}");
        let target = SipTarget::read(&uri).ok_or_else(|| CallError::Gateway(gateway.clone()))?;
        return Ok(vec![target]);
    }
    let resolver = EnumResolver::new(ResolverSettings {
        servers: configuration.directory.clone(),
        apex: configuration.apex.clone(),
        ..ResolverSettings::default()
    })?;
    tracing::info!(target: "ladder", step = 407_u32, %number, "inquiry to the directory");
    match resolver.resolve(&number).await {
        Resolution::Routes(routes) => {
            let first = &routes[0];
            tracing::info!(target: "ladder", step = 408_u32, %number, "reply: gateway {}:{}", first.host, first.port);
            Ok(routes)
        }
        Resolution::UnknownNumber => Err(CallError::UnknownNumber),
        Resolution::Unavailable(why) => Err(why.into()),
    }
}

/// A call that is dialled.
struct Phone {
    number: E164,
    endpoint: Endpoint,
    events: Events,
    sip: LegId,
    media: Media,
    media_events: tokio::sync::mpsc::Receiver<MediaEvent>,
    leg: trunkline_media::LegId,
    local: LocalMedia,
    offer: Sdp,
    codecs: Vec<Codec>,
    controls: Controls,
    sound: Sound,
}

impl Phone {
    async fn dial(
        configuration: &Configuration,
        number: E164,
        target: &SipTarget,
    ) -> Result<Self, CallError> {
        let address = match configuration.address {
            Some(address) => address,
            None => own_address(target).await?,
        };
        let tcp =
            configuration.transport == Transport::Tcp || target.transport == SipTransport::Tcp;
        let local: SocketAddr = (address, 0).into();
        let (endpoint, events) = Endpoint::start(EndpointConfig {
            udp: if tcp { Vec::new() } else { vec![local] },
            tcp: if tcp { vec![local] } else { Vec::new() },
            user_agent: "Trunkline phone".to_owned(),
            contact_user: configuration.identity.clone(),
            ..EndpointConfig::default()
        })
        .await?;
        let media = Media::start(MediaConfig {
            cores: vec![0],
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
        })?;
        let controls = Controls::default();
        let sound =
            Sound::start(&configuration.sound, opened.timeslot, controls.clone(), |text| {
                eprintln!("{text}");
            })?;
        let local = LocalMedia::new(opened.local, 1);
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
        })
    }

    /// Follows the call to its end.
    async fn talk(mut self, wishes: &Wishes, terminal: &Terminal) -> Result<(), CallError> {
        let outcome = self.follow(wishes, terminal).await;
        self.end().await?;
        outcome
    }

    async fn follow(&mut self, wishes: &Wishes, terminal: &Terminal) -> Result<(), CallError> {
        let mut signals = Signals::catch()?;
        let mut keys = terminal.read_keys();
        let mut keys_open = true;
        let mut muted = false;
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
                        let has_media = sdp.is_some();
                        if let Some(sdp) = sdp { self.use_answer(&sdp)?; }
                        if status == 180 {
                            terminal.show("Ringing");
                            self.controls.ring(!has_media);
                        }
                    }
                    Some(Event::Answered { sdp, .. }) => {
                        if let Some(sdp) = sdp { self.use_answer(&sdp)?; }
                        self.controls.talk();
                        answered_at = Some(Instant::now());
                        tracing::info!(target: "ladder", step = 413_u32, number = %self.number, "talking");
                        terminal.show("Talking: digits are sent, m mutes, h hangs up");
                        for digit in wishes.digits.iter().flat_map(|digits| digits.chars()) {
                            self.send_digit(digit)?;
                        }
                    }
                    Some(Event::Failed { status, cause, .. }) => {
                        return Err(CallError::Refused(why_it_failed(cause, status)));
                    }
                    Some(Event::ReInvite { sdp, .. }) => self.offered_again(&sdp)?,
                    Some(Event::Bye { .. } | Event::SessionExpired { .. }) | None => {
                        terminal.show(&ended("The other side hung up", answered_at));
                        return Ok(());
                    }
                    Some(_) => {}
                },
                Some(event) = self.media_events.recv() => {
                    if let MediaEventKind::Failed = event.kind {
                        tracing::error!("the voice of the call failed");
                    }
                }
                key = keys.recv(), if keys_open => match key {
                    Some(Key::Digit(digit)) => self.send_digit(digit)?,
                    Some(Key::Mute) => {
                        muted = !muted;
                        self.controls.mute(muted);
                    }
                    Some(Key::HangUp) => break,
                    None => keys_open = false,
                },
                () = timer => break,
                request = signals.next() => if request == Request::End { break },
                _ = tick.tick() => {
                    if let Some(at) = answered_at {
                        terminal.show_timer(at.elapsed(), muted);
                    }
                }
            }
        }
        // Q.850 16: normal call clearing.
        self.endpoint.hangup(self.sip, Some(16))?;
        terminal.show(&ended("Hung up", answered_at));
        Ok(())
    }

    async fn end(self) -> Result<(), CallError> {
        self.media.close(self.leg)?;
        self.endpoint.shutdown(SHUTDOWN_MAX).await;
        self.sound.stop()?;
        Ok(())
    }

    fn use_answer(&mut self, description: &[u8]) -> Result<(), CallError> {
        let negotiated = accept_answer(&self.offer, &Sdp::parse(description)?)?;
        self.media.update(self.leg, RtpLegUpdate::negotiated(&negotiated, None))?;
        Ok(())
    }

    /// The gateway puts the call on hold, or moves it.
    fn offered_again(&mut self, description: &[u8]) -> Result<(), CallError> {
        self.local.version += 1;
        let outcome =
            Sdp::parse(description).and_then(|offer| answer(&offer, &self.local, &self.codecs));
        match outcome {
            Ok((answer, negotiated)) => {
                self.media.update(self.leg, RtpLegUpdate::negotiated(&negotiated, None))?;
                self.endpoint.answer_reinvite(self.sip, answer.to_string().into_bytes())?;
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

/// The address from which the gateway is reached.
async fn own_address(target: &SipTarget) -> Result<IpAddr, CallError> {
    let port = if target.port == 0 { SIP_PORT } else { target.port };
    let gateway = tokio::net::lookup_host((target.host.as_str(), port))
        .await?
        .next()
        .ok_or_else(|| CallError::Gateway(target.host.clone()))?;
    let any: SocketAddr = if gateway.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(gateway)?;
    Ok(socket.local_addr()?.ip())
}

fn codec_of(name: CodecName) -> Codec {
    match name {
        CodecName::Pcma => Codec::Pcma,
        CodecName::Pcmu => Codec::Pcmu,
        CodecName::Opus => Codec::opus_telephony(),
    }
}
