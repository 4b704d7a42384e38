//! Outgoing calls: the INVITE until its final response.

use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::authenticate::Credential as StackCredential;
use rsipstack::dialog::dialog::DialogStateReceiver;
use rsipstack::dialog::invitation::{InviteAsyncResult, InviteOption};
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::{self, Header, Response, StatusCode, StatusCodeKind};
use rsipstack::transport::tcp::TcpConnection;
use rsipstack::transport::{SipAddr, SipConnection};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{ALLOW, Command, Leg, Phase, further_header, value_of};
use crate::config::{Credential, OutgoingInvite};
use crate::endpoint::{Shared, clean};
use crate::event::{Event, LegId, Transport};
use crate::reason;
use crate::uri::Uri;

/// How long a TCP connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// Makes a call and runs its leg.
pub(crate) async fn call(
    shared: Arc<Shared>,
    id: LegId,
    invite: OutgoingInvite,
    commands: mpsc::Receiver<Command>,
) {
    let mut interval_s = shared.config.session_expires_s;
    let mut attempt = match prepare(&shared, &invite).await {
        Ok(destination) => Attempt { destination, interval_s },
        Err(status) => return fail(&shared, id, status).await,
    };
    let Ok((dialog, states, running)) = send(&shared, id, &invite, &attempt) else {
        return fail(&shared, id, 400).await;
    };
    let mut leg = Leg::new(id, Arc::clone(&shared), dialog, states, commands);
    leg.local_sdp = Some(invite.sdp.0.clone());
    let mut running = Some(running);
    // Until the final response, which may ask for a longer session interval (422).
    loop {
        leg.invite = running.take();
        match leg.until_final().await {
            Final::Refused(response) => {
                let least_s = Leg::least_interval_s(&response);
                let again = leg.phase == Phase::Open
                    && response.status_code == StatusCode::SessionIntervalTooSmall
                    && least_s > interval_s
                    && least_s.is_some_and(|least_s| least_s <= 86_400);
                if again {
                    // RFC 4028 §7.3: once more, with what the far end asks for.
                    interval_s = least_s;
                    attempt.interval_s = interval_s;
                    shared.dialogs.remove_dialog(&leg.dialog.id());
                    if let Ok((dialog, states, next)) = send(&shared, id, &invite, &attempt) {
                        (leg.dialog, leg.states, running) = (dialog, states, Some(next));
                        continue;
                    }
                }
                leg.emit_failure(&response).await;
                return leg.forget().await;
            }
            Final::Over => return leg.forget().await,
            Final::Answered => return leg.run().await,
        }
    }
}

struct Attempt {
    destination: SipAddr,
    interval_s: Option<u32>,
}

/// How an INVITE ended.
enum Final {
    /// There is a session, or there will be none and only the end is to be awaited.
    Answered,
    /// Final response other than 2xx.
    Refused(Box<Response>),
    /// Nothing more will come.
    Over,
}

impl Leg {
    /// Runs the leg until its INVITE has its final response.
    async fn until_final(&mut self) -> Final {
        loop {
            let deadline = self.next_deadline();
            let step = tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.on_command(command).await,
                state = self.states.recv() => match state {
                    Some(state) => self.on_state(state).await,
                    None => ControlFlow::Break(()),
                },
                result = super::join(&mut self.invite), if self.invite.is_some() => {
                    self.invite = None;
                    match result {
                        Some(Ok((_, Some(response)))) => {
                            if response.status_code.kind() != StatusCodeKind::Successful {
                                return Final::Refused(Box::new(response));
                            }
                            self.on_invite_over(Some(Ok((self.dialog.id(), Some(response))))).await
                        }
                        other => self.on_invite_over(other).await,
                    }
                }
                () = super::until(deadline), if deadline.is_some() => {
                    self.on_deadline(std::time::Instant::now()).await
                }
            };
            if step.is_break() {
                return Final::Over;
            }
            if self.phase == Phase::Confirmed || self.bye.is_some() {
                return Final::Answered;
            }
        }
    }

    /// The INVITE is over with a 2xx, or without any response that could be used.
    pub(super) async fn on_invite_over(
        &mut self,
        result: Option<InviteAsyncResult>,
    ) -> ControlFlow<()> {
        match result {
            Some(Ok((_, Some(response)))) if self.phase != Phase::Ending => {
                if response.status_code == StatusCode::OK {
                    return ControlFlow::Continue(());
                }
                // RFC 3261 §13.2.2.4 means any 2xx; the stack takes 200 alone for an answer.
                self.emit_failure(&response).await;
                ControlFlow::Break(())
            }
            // Given up: whatever came, the stack has confirmed and ended it.
            _ if self.phase == Phase::Ending && self.bye.is_none() => ControlFlow::Break(()),
            _ if self.phase == Phase::Open => {
                self.emit(Event::Failed {
                    leg: self.id,
                    status: 503,
                    cause: None,
                    retry_after_s: None,
                })
                .await;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    async fn emit_failure(&self, response: &Response) {
        let retry_after_s = value_of(&response.headers, "Retry-After")
            .and_then(|value| value.split([';', '(', ' ']).next()?.parse().ok());
        self.emit(Event::Failed {
            leg: self.id,
            status: u16::from(response.status_code.clone()),
            cause: reason::of(&response.headers),
            retry_after_s,
        })
        .await;
    }
}

async fn fail(shared: &Shared, leg: LegId, status: u16) {
    shared.legs.remove(leg);
    let failed = Event::Failed { leg, status, cause: None, retry_after_s: None };
    let _ = shared.events.send(failed).await;
}

/// Where the INVITE goes; over TCP the connection is made here, so that a far end that is not
/// there is known at once and not after Timer B.
async fn prepare(shared: &Shared, invite: &OutgoingInvite) -> Result<SipAddr, u16> {
    let transport =
        invite.transport.unwrap_or_else(|| transport_of(&invite.target, shared.has_udp()));
    let destination = sip_addr(&invite.target, transport).ok_or(400u16)?;
    match transport {
        Transport::Udp if shared.has_udp() => Ok(destination),
        Transport::Udp => Err(503),
        Transport::Tcp => connect(shared, destination).await,
    }
}

/// The transport a URI asks for.
pub(crate) fn transport_of(uri: &Uri, has_udp: bool) -> Transport {
    match uri.param("transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        None if !has_udp => Transport::Tcp,
        _ => Transport::Udp,
    }
}

pub(crate) fn sip_addr(uri: &Uri, transport: Transport) -> Option<SipAddr> {
    let host: sip::Host = uri.host.parse().ok()?;
    let transport = match transport {
        Transport::Udp => sip::Transport::Udp,
        Transport::Tcp => sip::Transport::Tcp,
    };
    // An address without port means the port of SIP; a name without port asks the directory of
    // names for it (RFC 3263 §4.2).
    let port = uri.port.or(matches!(host, sip::Host::IpAddr(_)).then_some(5060));
    Some(SipAddr::new(transport, sip::HostWithPort { host, port: port.map(Into::into) }))
}

/// A connection from our own address. The stack finds it by the far end's.
async fn connect(shared: &Shared, destination: SipAddr) -> Result<SipAddr, u16> {
    let layer = &shared.stack.transport_layer;
    let resolved = match &destination.addr.host {
        sip::Host::IpAddr(_) => destination,
        sip::Host::Domain(_) => {
            layer.inner.domain_resolver.resolve(&destination).await.map_err(|_| 503u16)?
        }
    };
    let far: SocketAddr = resolved.get_socketaddr().map_err(|_| 400u16)?;
    let slot = shared.dialled(far);
    // Calls to one place wait for one connection and share it.
    let mut live = slot.lock().await;
    if live.as_ref().is_some_and(|connection| !connection.is_cancelled()) {
        return Ok(resolved);
    }
    let source = shared.tcp_source().filter(|source| same_family(source, &far.ip()));
    let stream = async {
        let socket = if far.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(far).await
    };
    let stream = match tokio::time::timeout(CONNECT_LIMIT, stream).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) | Err(_) => return Err(503),
    };
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map_err(|_| 503u16)?;
    let local = SipAddr::new(sip::Transport::Tcp, local.into());
    // The stack cancels it when the connection is gone.
    let connection = shared.end.child_token();
    let stream =
        TcpConnection::from_stream(stream, local, Some(connection.clone())).map_err(|_| 503u16)?;
    layer.add_connection(SipConnection::Tcp(stream));
    *live = Some(connection);
    Ok(resolved)
}

fn same_family(a: &IpAddr, b: &IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

type Sent = (InviteDialog, DialogStateReceiver, JoinHandle<InviteAsyncResult>);

fn send(
    shared: &Shared,
    id: LegId,
    invite: &OutgoingInvite,
    attempt: &Attempt,
) -> Result<Sent, ()> {
    let parse = |uri: &Uri| sip::Uri::try_from(uri.to_string()).map_err(drop);
    let transport = match attempt.destination.r#type {
        Some(sip::Transport::Tcp) => Transport::Tcp,
        _ => Transport::Udp,
    };
    let mut headers = vec![
        make_header("Allow", ALLOW.to_owned()),
        make_header("Supported", "timer".to_owned()),
        make_header("Accept", "application/sdp".to_owned()),
    ];
    if let Some(interval_s) = attempt.interval_s {
        headers.push(Header::SessionExpires(interval_s.to_string().into()));
        headers.push(make_header("Min-SE", shared.config.min_se_s.to_string()));
    }
    headers.extend(invite.headers.iter().map(|(name, value)| further_header(name, value)));
    let option = InviteOption {
        caller_display_name: invite
            .from_display
            .as_deref()
            .map(clean)
            .filter(|name| !name.is_empty()),
        caller: parse(&invite.from)?,
        callee: parse(&invite.target)?,
        destination: Some(attempt.destination.clone()),
        offer: Some(invite.sdp.0.clone()),
        contact: shared.contact(transport, None),
        credential: invite.credential.clone().map(stack_credential),
        headers: Some(headers),
        ..InviteOption::default()
    };
    let (state_sender, states) = shared.dialogs.new_dialog_state_channel();
    let (dialog, running) = shared.dialogs.do_invite_async(option, state_sender).map_err(drop)?;
    let tag = dialog.id().local_tag;
    shared.legs.set_dialog(id, &dialog, tag);
    Ok((dialog, states, running))
}

pub(crate) fn stack_credential(credential: Credential) -> StackCredential {
    StackCredential {
        username: credential.user,
        password: credential.password,
        realm: None,
        auth_username: None,
    }
}
