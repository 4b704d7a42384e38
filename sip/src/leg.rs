//! One call leg: a task between the owner and a dialog of the stack.

mod caller;
mod offer;
mod state;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsipstack::dialog::dialog::{DialogStateReceiver, TransactionHandle};
use rsipstack::dialog::invitation::InviteAsyncResult;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Headers, Request, Response, StatusCode};
use rsipstack::transaction::key::TransactionRole;
use rsipstack::transaction::transaction::{TransactionEvent, TransactionEventSender};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Rejection;
use crate::endpoint::{Shared, clean};
use crate::event::{Event, LegId};
use crate::reason;
use crate::session::{self, Refresher, Session, SessionExpires, Wish};

pub(crate) use caller::{call, stack_credential, transport_of};

/// Methods we take within calls and about them, for Allow.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/// What reaches a leg from its owner, and from the tasks around it.
pub(crate) enum Command {
    Provisional {
        status: u16,
        sdp: Option<Vec<u8>>,
    },
    Answer {
        sdp: Vec<u8>,
    },
    Reject(Rejection),
    Hangup {
        cause: Option<u8>,
    },
    ReInvite {
        sdp: Vec<u8>,
    },
    AnswerReInvite {
        sdp: Vec<u8>,
    },
    RejectReInvite {
        status: u16,
    },
    /// A BYE has come in; the stack reports the end of the dialog without the reason.
    ByeReceived {
        cause: Option<u8>,
    },
    /// The transaction of an incoming INVITE is over.
    InviteOver,
    /// Our UPDATE or re-INVITE was answered; `sdp` is the offer it carried for the owner.
    RequestAnswered {
        sdp: Option<Vec<u8>>,
        response: Option<Response>,
    },
}

/// How much longer than the stack a leg waits for the ACK.
const ACK_MARGIN: Duration = Duration::from_secs(1);

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No final response yet.
    Open,
    /// Incoming: our 2xx is out, the ACK is not in.
    Answered,
    /// There is a session.
    Confirmed,
    /// We end it, or gave it up; the owner hears no more.
    Ending,
}

/// A new offer of the far end that waits for its answer.
struct TheirOffer {
    handle: TransactionHandle,
    sdp: Vec<u8>,
    session: session::Answer,
    peer_has_timer: bool,
}

struct Leg {
    id: LegId,
    shared: Arc<Shared>,
    dialog: InviteDialog,
    states: DialogStateReceiver,
    commands: mpsc::Receiver<Command>,
    phase: Phase,
    /// Incoming: where responses to the INVITE go.
    responses: Option<TransactionEventSender>,
    /// Outgoing: the INVITE while it runs.
    invite: Option<JoinHandle<InviteAsyncResult>>,
    /// The BYE while it runs.
    bye: Option<JoinHandle<()>>,
    local_sdp: Option<Vec<u8>>,
    remote_sdp: Option<Vec<u8>>,
    their_offer: Option<TheirOffer>,
    /// An UPDATE or re-INVITE of ours is under way.
    our_request: bool,
    /// Incoming: what the 2xx says about the session timer.
    answer_session: session::Answer,
    peer_has_timer: bool,
    peer_takes_update: bool,
    session: Option<Session>,
    /// Incoming: hang up as soon as the ACK is in (RFC 3261 §15: the callee must not send BYE
    /// before).
    hangup_on_ack: Option<Option<u8>>,
    bye_cause: Option<u8>,
    /// Outgoing and given up: by then a far end that never answers the CANCEL is forgotten.
    /// Incoming and answered: by then the ACK must be in.
    give_up_at: Option<Instant>,
}

impl Leg {
    fn new(
        id: LegId,
        shared: Arc<Shared>,
        dialog: InviteDialog,
        states: DialogStateReceiver,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            id,
            shared,
            dialog,
            states,
            commands,
            phase: Phase::Open,
            responses: None,
            invite: None,
            bye: None,
            local_sdp: None,
            remote_sdp: None,
            their_offer: None,
            our_request: false,
            answer_session: session::Answer::Untimed,
            peer_has_timer: false,
            peer_takes_update: false,
            session: None,
            hangup_on_ack: None,
            bye_cause: None,
            give_up_at: None,
        }
    }

    /// Runs until the leg is over and leaves nothing of it in the stack.
    async fn run(mut self) {
        loop {
            let deadline = self.next_deadline();
            // Commands first: the reason of a BYE comes that way, ahead of the BYE itself.
            let step = tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.on_command(command).await,
                state = self.states.recv() => match state {
                    Some(state) => self.on_state(state).await,
                    None => ControlFlow::Break(()),
                },
                result = join(&mut self.invite), if self.invite.is_some() => {
                    self.invite = None;
                    self.on_invite_over(result).await
                }
                () = ended(&mut self.bye), if self.bye.is_some() => ControlFlow::Break(()),
                () = until(deadline), if deadline.is_some() => self.on_deadline(Instant::now()).await,
            };
            if step.is_break() {
                break;
            }
        }
        self.forget().await;
    }

    /// Takes the leg out of every map, ours and the stack's: confirmed dialogs stay in the
    /// stack's until they are removed.
    async fn forget(mut self) {
        self.shared.legs.remove(self.id);
        let (shared, dialog) = (Arc::clone(&self.shared), self.dialog.clone());
        if let Some(mut invite) = self.invite.take() {
            // It enters a confirmed dialog into the map at its very end.
            if tokio::time::timeout(Duration::from_secs(1), &mut invite).await.is_err() {
                invite.abort();
            }
        }
        shared.dialogs.remove_dialog(&dialog.id());
    }

    fn next_deadline(&self) -> Option<Instant> {
        let session = self.session.filter(|_| self.phase == Phase::Confirmed);
        [
            session.and_then(|s| if self.our_request { None } else { s.refresh_at() }),
            session.map(|s| s.expires_at()),
            self.give_up_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    async fn on_deadline(&mut self, now: Instant) -> ControlFlow<()> {
        if self.give_up_at.is_some_and(|at| at <= now) {
            self.give_up_at = None;
            if self.phase != Phase::Answered {
                // RFC 3261 §9.1: no final response within 64 × T1 after the CANCEL.
                return ControlFlow::Break(());
            }
            // The stack did not see the ACK missing: it could not even send the 2xx.
            self.emit(Event::AckTimeout { leg: self.id }).await;
            self.send_bye(Some(102));
            return ControlFlow::Continue(());
        }
        let Some(session) = self.session else { return ControlFlow::Continue(()) };
        if session.expires_at() <= now {
            // RFC 4028 §10. Q.850 cause 102: recovery on timer expiry.
            self.emit(Event::SessionExpired { leg: self.id }).await;
            self.send_bye(Some(102));
        } else if session.refresh_at().is_some_and(|at| at <= now) {
            self.refresh();
        }
        ControlFlow::Continue(())
    }

    async fn on_command(&mut self, command: Command) -> ControlFlow<()> {
        match command {
            Command::Provisional { status, sdp } => self.send_provisional(status, sdp),
            Command::Answer { sdp } => self.send_answer(sdp),
            Command::Reject(rejection) => return self.send_rejection(&rejection),
            Command::Hangup { cause } => return self.hang_up(cause),
            Command::ReInvite { sdp } => {
                if self.phase == Phase::Confirmed && !self.our_request && self.their_offer.is_none()
                {
                    self.offer(sdp);
                } else {
                    // RFC 3261 §14.1: one offer at a time.
                    self.emit(Event::ReInviteRefused { leg: self.id, status: 491 }).await;
                }
            }
            Command::AnswerReInvite { sdp } => self.answer_their_offer(sdp).await,
            Command::RejectReInvite { status } => {
                if let Some(offer) = self.their_offer.take() {
                    let _ = offer.handle.reply(StatusCode::from(status.clamp(300, 699))).await;
                }
            }
            Command::ByeReceived { cause } => self.bye_cause = cause,
            Command::InviteOver => {
                // What the stack reported of it is queued already, and goes first.
                while let Ok(state) = self.states.try_recv() {
                    self.on_state(state).await?;
                }
                if self.phase == Phase::Open {
                    // Over without an answer of ours: it could not be sent.
                    let leg = self.id;
                    self.emit(Event::Failed { leg, status: 503, cause: None, retry_after_s: None })
                        .await;
                    return ControlFlow::Break(());
                }
            }
            Command::RequestAnswered { sdp, response } => {
                self.on_request_answered(sdp, response).await;
            }
        }
        ControlFlow::Continue(())
    }

    fn send_provisional(&mut self, status: u16, sdp: Option<Vec<u8>>) {
        if self.phase != Phase::Open || self.responses.is_none() {
            return;
        }
        if sdp.is_some() {
            self.local_sdp.clone_from(&sdp);
        }
        let response = self.response(status, None, Vec::new(), sdp);
        self.respond(response);
    }

    fn send_answer(&mut self, sdp: Vec<u8>) {
        if self.phase != Phase::Open || self.responses.is_none() {
            return;
        }
        let mut headers = vec![
            make_header("Content-Type", "application/sdp".to_owned()),
            make_header("Allow", ALLOW.to_owned()),
            make_header("Supported", "timer".to_owned()),
        ];
        headers.extend(session_headers(self.answer_session, self.peer_has_timer));
        self.start_session(self.answer_session);
        self.local_sdp = Some(sdp.clone());
        self.phase = Phase::Answered;
        self.give_up_at = Some(Instant::now() + self.shared.config.t1 * 64 + ACK_MARGIN);
        if self.dialog.accept(Some(headers), Some(sdp)).is_err() {
            // The INVITE's transaction is gone; `InviteOver` is on its way.
            self.phase = Phase::Open;
        }
    }

    fn send_rejection(&mut self, rejection: &Rejection) -> ControlFlow<()> {
        if self.phase != Phase::Open || self.responses.is_none() {
            return self.hang_up(rejection.cause);
        }
        let mut headers = Vec::new();
        if let Some(cause) = rejection.cause {
            headers.push(Header::Reason(reason::value(cause).into()));
        }
        if let Some(retry_after_s) = rejection.retry_after_s {
            headers.push(make_header("Retry-After", retry_after_s.to_string()));
        }
        headers.extend(rejection.headers.iter().map(|(name, value)| further_header(name, value)));
        let status = rejection.status.clamp(300, 699);
        let response = self.response(status, rejection.phrase.as_deref(), headers, None);
        self.respond(response);
        // Ends the dialog; its own response comes after ours and goes nowhere.
        let _ = self.dialog.reject(Some(StatusCode::from(status)), None);
        self.phase = Phase::Ending;
        ControlFlow::Break(())
    }

    fn hang_up(&mut self, cause: Option<u8>) -> ControlFlow<()> {
        match self.phase {
            Phase::Open if self.responses.is_some() => {
                let rejection = Rejection { cause, ..Rejection::status(480) };
                return self.send_rejection(&rejection);
            }
            Phase::Open => {
                self.shared.legs.with_entry(self.id, |entry| entry.cancel_cause = cause);
                self.phase = Phase::Ending;
                self.give_up_at = Some(Instant::now() + self.shared.config.t1 * 64);
                let dialog = self.dialog.clone();
                tokio::spawn(async move {
                    // Its answer says nothing; the INVITE's final response is what counts.
                    let _ = dialog.cancel().await;
                });
            }
            Phase::Answered => self.hangup_on_ack = Some(cause),
            Phase::Confirmed => self.send_bye(cause),
            Phase::Ending => {}
        }
        ControlFlow::Continue(())
    }

    fn send_bye(&mut self, cause: Option<u8>) {
        if self.bye.is_some() {
            return;
        }
        self.phase = Phase::Ending;
        let headers = cause.map(|cause| vec![Header::Reason(reason::value(cause).into())]);
        let dialog = self.dialog.clone();
        self.bye = Some(tokio::spawn(async move {
            let _ = dialog.bye_with_headers(headers).await;
        }));
    }

    /// A response to the INVITE, of this dialog.
    fn response(
        &self,
        status: u16,
        phrase: Option<&str>,
        headers: Vec<Header>,
        sdp: Option<Vec<u8>>,
    ) -> Response {
        let request = self.dialog.initial_request();
        let has_sdp = sdp.is_some();
        let mut response = self.shared.stack.make_response(&request, StatusCode::from(status), sdp);
        response.wire_reason = phrase.map(clean);
        let tag = self.dialog.id().local_tag;
        for header in response.headers.iter_mut() {
            if let Header::To(to) = header {
                let _ = to.mut_tag(tag.as_str().into());
            }
        }
        if status < 300 {
            // RFC 3261 §12.1.1: a response that makes a dialog shows the way it came.
            let route = request.headers.iter().filter(|h| matches!(h, Header::RecordRoute(_)));
            response.headers.extend(route.cloned().collect());
            if let Some(contact) = self.dialog.snapshot().local_contact {
                response.headers.push(rsipstack::sip::typed::Contact::from(contact).into());
            }
            response.headers.push(make_header("Allow", ALLOW.to_owned()));
        }
        if has_sdp {
            response.headers.push(make_header("Content-Type", "application/sdp".to_owned()));
        }
        response.headers.extend(headers);
        response
    }

    fn respond(&self, response: Response) {
        if let Some(responses) = &self.responses {
            let _ = responses.send(TransactionEvent::Respond(response));
        }
    }

    /// Reports to the owner; waits while the owner is behind.
    async fn emit(&self, event: Event) {
        if self.phase != Phase::Ending {
            let _ = self.shared.events.send(event).await;
        }
    }

    fn is_caller(&self) -> bool {
        self.dialog.role() == TransactionRole::Client
    }

    fn wish(&self) -> Wish {
        Wish {
            interval_s: self.shared.config.session_expires_s,
            min_se_s: self.shared.config.min_se_s,
        }
    }

    /// Starts the timer as we, the answering party, have just agreed to.
    fn start_session(&mut self, answer: session::Answer) {
        self.session = match answer {
            session::Answer::Timed(timed) => Some(Session::start(
                timed.interval_s,
                timed.refresher == Some(Refresher::Uas),
                Instant::now(),
            )),
            _ => None,
        };
    }
}

/// An incoming call: takes over the dialog and stays until the leg is over.
pub(crate) struct Incoming {
    pub leg: LegId,
    pub dialog: InviteDialog,
    pub states: DialogStateReceiver,
    pub commands: mpsc::Receiver<Command>,
    pub responses: TransactionEventSender,
    pub answer_session: session::Answer,
}

/// Runs an incoming leg.
pub(crate) async fn receive(shared: Arc<Shared>, incoming: Incoming) {
    let request = incoming.dialog.initial_request();
    let mut leg =
        Leg::new(incoming.leg, shared, incoming.dialog, incoming.states, incoming.commands);
    leg.responses = Some(incoming.responses);
    leg.answer_session = incoming.answer_session;
    leg.note_peer(&request.headers);
    leg.remote_sdp = body(&request.body);
    leg.run().await;
}

impl Leg {
    /// What the far end says it can do.
    fn note_peer(&mut self, headers: &Headers) {
        self.peer_has_timer |= has_token(headers, "Supported", "timer");
        self.peer_takes_update |= has_token(headers, "Allow", "UPDATE");
    }
}

/// How a request that opens or refreshes a session is to be answered.
pub(crate) fn session_answer(request: &Request, wish: Wish) -> session::Answer {
    let asked =
        request.session_expires_header().and_then(|header| SessionExpires::parse(header.value()));
    session::answer(asked, has_token(&request.headers, "Supported", "timer"), wish)
}

fn session_headers(answer: session::Answer, peer_has_timer: bool) -> Vec<Header> {
    let session::Answer::Timed(timed) = answer else { return Vec::new() };
    let mut headers = vec![Header::SessionExpires(timed.to_string().into())];
    if peer_has_timer && timed.refresher == Some(Refresher::Uac) {
        // RFC 4028 §9: a caller that is to refresh must know it.
        headers.push(make_header("Require", "timer".to_owned()));
    }
    headers
}

/// Whether a comma-separated header names a token.
pub(crate) fn has_token(headers: &Headers, name: &str, token: &str) -> bool {
    headers
        .iter()
        .filter(|header| header.name().eq_ignore_ascii_case(name))
        .flat_map(|header| header.value().split(','))
        .any(|known| known.trim().eq_ignore_ascii_case(token))
}

/// First value of a header the stack has no accessor for.
pub(crate) fn value_of<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name().eq_ignore_ascii_case(name)).map(Header::value)
}

/// A body, if there is one.
pub(crate) fn body(octets: &[u8]) -> Option<Vec<u8>> {
    (!octets.is_empty()).then(|| octets.to_vec())
}

async fn join(task: &mut Option<JoinHandle<InviteAsyncResult>>) -> Option<InviteAsyncResult> {
    match task {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

async fn ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => {
            let _ = task.await;
        }
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// A header line that the owner adds, without what could end the line.
fn further_header(name: &str, value: &str) -> Header {
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let value: String = value.chars().filter(|c| !c.is_control()).collect();
    make_header(&name, value)
}
