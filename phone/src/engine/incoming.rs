//! Calls that come to the phone: registration at a gateway, ringing, and the answer.

use std::net::SocketAddr;

use trunkline_directory::client::SipTarget;
use trunkline_program::signal::{Request, Signals};
use trunkline_rtp::sdp::{Sdp, answer};
use trunkline_sip::{
    Credential, Endpoint, Event, Events, IncomingInvite, LegId, Register, Rejection,
};

use super::{CallError, Desk, Phone, Setting, Voice, Wishes, route};
use crate::configuration::{Account, Configuration};
use crate::face::Face;
use crate::state::{CallState, Ending, Key};

/// How long a registration lasts, in s. It is renewed at two thirds of it.
const REGISTRATION_S: u32 = 600;

/// What ended the waiting for calls.
#[derive(Debug)]
pub enum Waited {
    /// The person has opened a link or file, to call somebody.
    Opened(String),
    /// A call came, and is over.
    Called,
    /// The person ends the phone.
    Ended,
}

/// What the person did while it rang.
enum Answer {
    Yes,
    No,
    /// The caller gave up.
    GaveUp,
    End,
}

/// Registers at the gateway of the configuration and waits for a call, or for something that the
/// person wants; a call that comes is rung, answered and followed to its end.
///
/// # Errors
/// There is no account, or its gateway cannot be reached.
pub async fn wait(
    configuration: &mut Configuration,
    wishes: &Wishes,
    face: &mut Face,
    signals: &mut Signals,
) -> Result<Waited, CallError> {
    let account = configuration.account.clone().ok_or(CallError::NoAccount)?;
    let unusable = || CallError::Gateway(account.registrar.clone());
    let uri = format!("sip:{}@{}", account.user, account.registrar);
    let target = SipTarget::read(&uri).ok_or_else(unusable)?;
    let setting = Setting::of(configuration, &target).await?;
    let (endpoint, mut events) = setting.endpoint(&account.user).await?;
    endpoint.register(registration(&account)?)?;
    let gateway = route::address_of(&target).await?;
    let mut desk = Desk { face, signals };
    desk.face.state(CallState::Registering { gateway: account.registrar.clone() });
    let mut keys_open = true;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Registration { expires_s }) => {
                    tracing::info!(registrar = %account.registrar, expires_s, "registered");
                    desk.face.state(CallState::Ready { user: account.user.clone() });
                }
                Some(Event::RegistrationFailed { status }) => {
                    tracing::warn!(registrar = %account.registrar, status, "not registered");
                    desk.face.state(CallState::NotRegistered { status });
                }
                Some(Event::Invite(invite)) if invite.source.ip() != gateway.ip() => {
                    // Scanners ring every telephone that they find.
                    tracing::warn!(source = %invite.source, "a call that is not the gateway's");
                    endpoint.reject(invite.leg, Rejection::status(403))?;
                }
                Some(Event::Invite(invite)) => {
                    return rung(configuration, *invite, setting, endpoint, events, wishes, &mut desk)
                        .await;
                }
                Some(_) => {}
                None => return Ok(Waited::Ended),
            },
            key = desk.face.keys().recv(), if keys_open => match key {
                Some(Key::Open(target)) => {
                    endpoint.shutdown(super::SHUTDOWN_MAX).await;
                    return Ok(Waited::Opened(target));
                }
                Some(Key::Close | Key::HangUp) => {
                    endpoint.shutdown(super::SHUTDOWN_MAX).await;
                    return Ok(Waited::Ended);
                }
                Some(_) => {}
                // Nobody at the standard input: calls still come.
                None => keys_open = false,
            },
            request = desk.signals.next() => if request == Request::End {
                endpoint.shutdown(super::SHUTDOWN_MAX).await;
                return Ok(Waited::Ended);
            },
        }
    }
}

fn registration(account: &Account) -> Result<Register, CallError> {
    Ok(Register {
        registrar: format!("sip:{}", account.registrar).parse()?,
        user: account.user.clone(),
        credential: account
            .password
            .clone()
            .map(|password| Credential { user: account.user.clone(), password }),
        expires_s: REGISTRATION_S,
    })
}

/// Rings, and follows the call if the person takes it.
async fn rung(
    configuration: &mut Configuration,
    invite: IncomingInvite,
    setting: Setting,
    endpoint: Endpoint,
    mut events: Events,
    wishes: &Wishes,
    desk: &mut Desk<'_>,
) -> Result<Waited, CallError> {
    let Some(offer) = &invite.sdp else {
        // Every gateway of ours offers; an offer of our own in the answer is not made here.
        endpoint.reject(invite.leg, Rejection::status(488))?;
        endpoint.shutdown(super::SHUTDOWN_MAX).await;
        return Ok(Waited::Called);
    };
    let from = match &invite.from.uri.user {
        user if user.is_empty() => invite.from.display.clone().unwrap_or_default(),
        user => user.clone(),
    };
    tracing::info!(%from, source = %invite.source, "a call rings");
    let voice = Voice::open(configuration, setting.address, desk.face)?;
    let offer = Sdp::parse(offer)?;
    endpoint.provisional(invite.leg, 180, None)?;
    // The loudspeaker plays what the person is to hear.
    voice.controls.ring(true);
    desk.face.state(CallState::RungBy { from });
    let decision = decide(&mut events, invite.leg, desk).await;
    if !matches!(decision, Answer::Yes) {
        if !matches!(decision, Answer::GaveUp) {
            // Q.850 21: call rejected.
            endpoint.reject(invite.leg, Rejection::status(603).with_cause(21))?;
        }
        let ending = match decision {
            Answer::GaveUp => Ending::OtherSide,
            _ => Ending::HungUp,
        };
        desk.face.state(CallState::Ended { ending, talked: None });
        voice.media.close(voice.leg)?;
        voice.sound.stop()?;
        endpoint.shutdown(super::SHUTDOWN_MAX).await;
        return Ok(match decision {
            Answer::End => Waited::Ended,
            _ => Waited::Called,
        });
    }
    let (accepted, negotiated) = answer(&offer, &voice.local, &voice.codecs)?;
    voice.media.update(voice.leg, super::RtpLegUpdate::negotiated(&negotiated, None))?;
    endpoint.answer(invite.leg, accepted.to_string().into_bytes())?;
    let phone = Phone::answered(invite.leg, accepted, voice, endpoint, events, invite.source);
    phone.talk(configuration, wishes, desk).await?;
    Ok(Waited::Called)
}

async fn decide(events: &mut Events, leg: LegId, desk: &mut Desk<'_>) -> Answer {
    let mut keys_open = true;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Cancelled { leg: gone, .. } | Event::Bye { leg: gone, .. })
                    if gone == leg => return Answer::GaveUp,
                Some(_) => {}
                None => return Answer::GaveUp,
            },
            key = desk.face.keys().recv(), if keys_open => match key {
                Some(Key::Yes) => return Answer::Yes,
                Some(Key::No | Key::HangUp) => return Answer::No,
                Some(Key::Close) => {
                    desk.face.close();
                    return Answer::End;
                }
                Some(Key::Open(target)) => desk.face.wait(target),
                Some(_) => {}
                None => keys_open = false,
            },
            request = desk.signals.next() => if request == Request::End { return Answer::End },
        }
    }
}

impl Phone {
    /// A phone whose person has just answered.
    fn answered(
        sip: LegId,
        description: Sdp,
        voice: Voice,
        endpoint: Endpoint,
        events: Events,
        gateway: SocketAddr,
    ) -> Self {
        voice.controls.talk();
        let mut phone = Self::new(sip, description, voice, endpoint, events, gateway.to_string());
        phone.answered_at = Some(std::time::Instant::now());
        phone
    }
}
