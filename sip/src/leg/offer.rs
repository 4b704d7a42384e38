//! Re-INVITE and UPDATE, both ways: other media, and session refreshes.

use std::time::Instant;

use rsipstack::dialog::dialog::TransactionHandle;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Method, Request, Response, StatusCode, StatusCodeKind};

use super::{
    ALLOW, Command, Leg, Phase, TheirOffer, body, has_token, session_answer, session_headers,
    value_of,
};
use crate::event::{Event, Sdp};
use crate::session::{self, Refresher, Session, SessionExpires};

impl Leg {
    /// The far end sends a re-INVITE or UPDATE.
    pub(super) async fn on_offer(&mut self, request: Request, handle: TransactionHandle) {
        if self.phase != Phase::Confirmed {
            let _ = handle.reply(StatusCode::CallTransactionDoesNotExist).await;
            return;
        }
        let sdp = body(&request.body);
        if self.our_request && (sdp.is_some() || request.method == Method::Invite) {
            // RFC 3261 §14.2, RFC 3311 §5.2: ours is not answered yet.
            let _ = handle.reply(StatusCode::RequestPending).await;
            return;
        }
        if self.their_offer.is_some() {
            let wait = Some(vec![make_header("Retry-After", "3".to_owned())]);
            let _ = handle.respond(StatusCode::ServerInternalError, wait, None).await;
            return;
        }
        let answer = session_answer(&request, self.wish());
        if let session::Answer::TooSmall { min_se_s } = answer {
            let least = Some(vec![make_header("Min-SE", min_se_s.to_string())]);
            let _ = handle.respond(StatusCode::SessionIntervalTooSmall, least, None).await;
            return;
        }
        self.note_peer(&request.headers);
        let peer_has_timer = has_token(&request.headers, "Supported", "timer");
        match sdp {
            Some(sdp) if self.remote_sdp.as_ref() != Some(&sdp) => {
                self.their_offer =
                    Some(TheirOffer { handle, sdp: sdp.clone(), session: answer, peer_has_timer });
                self.emit(Event::ReInvite { leg: self.id, sdp: Sdp(sdp) }).await;
            }
            // The session as it is: a refresh (RFC 4028 §7.4), answered without the owner. A
            // re-INVITE without offer asks for ours, which is the same again.
            sdp => {
                let with_media = sdp.is_some() || request.method == Method::Invite;
                let ours = if with_media { self.local_sdp.clone() } else { None };
                self.accept_offer(&handle, answer, peer_has_timer, ours).await;
            }
        }
    }

    pub(super) async fn answer_their_offer(&mut self, sdp: Vec<u8>) {
        if let Some(offer) = self.their_offer.take() {
            self.remote_sdp = Some(offer.sdp);
            self.local_sdp = Some(sdp.clone());
            self.accept_offer(&offer.handle, offer.session, offer.peer_has_timer, Some(sdp)).await;
        }
    }

    async fn accept_offer(
        &mut self,
        handle: &TransactionHandle,
        answer: session::Answer,
        peer_has_timer: bool,
        sdp: Option<Vec<u8>>,
    ) {
        let mut headers = vec![
            make_header("Allow", ALLOW.to_owned()),
            make_header("Supported", "timer".to_owned()),
        ];
        if sdp.is_some() {
            headers.push(make_header("Content-Type", "application/sdp".to_owned()));
        }
        headers.extend(session_headers(answer, peer_has_timer));
        self.start_session(answer);
        let _ = handle.respond(StatusCode::OK, Some(headers), sdp).await;
    }

    /// Offers other media for the owner.
    pub(super) fn offer(&mut self, sdp: Vec<u8>) {
        self.request(Some(sdp), true);
    }

    /// Refreshes the session: by UPDATE when the far end takes it, which leaves the media out
    /// of it, else by the same offer again (RFC 4028 §7.4).
    pub(super) fn refresh(&mut self) {
        if let Some(session) = &mut self.session {
            session.refreshing();
        }
        let sdp = if self.peer_takes_update { None } else { self.local_sdp.clone() };
        self.request(sdp, false);
    }

    fn request(&mut self, sdp: Option<Vec<u8>>, for_owner: bool) {
        self.our_request = true;
        let mut headers = vec![
            make_header("Supported", "timer".to_owned()),
            make_header("Allow", ALLOW.to_owned()),
        ];
        if let Some(session) = self.session {
            let refresher = Some(if session.ours { Refresher::Uac } else { Refresher::Uas });
            let expires = SessionExpires { interval_s: session.interval_s, refresher };
            headers.push(Header::SessionExpires(expires.to_string().into()));
            headers.push(make_header("Min-SE", self.shared.config.min_se_s.to_string()));
        }
        if sdp.is_some() {
            headers.push(make_header("Content-Type", "application/sdp".to_owned()));
        }
        let dialog = self.dialog.clone();
        let Some(commands) = self.shared.legs.commands(self.id) else { return };
        tokio::spawn(async move {
            let result = match &sdp {
                Some(sdp) => dialog.reinvite(Some(headers), Some(sdp.clone())).await,
                None => dialog.update(Some(headers), None).await,
            };
            let answered = Command::RequestAnswered {
                sdp: sdp.filter(|_| for_owner),
                response: result.ok().flatten(),
            };
            let _ = commands.send(answered).await;
        });
    }

    pub(super) async fn on_request_answered(
        &mut self,
        offered: Option<Vec<u8>>,
        response: Option<Response>,
    ) {
        self.our_request = false;
        if self.phase != Phase::Confirmed {
            return;
        }
        let status =
            response.as_ref().map_or(408, |response| u16::from(response.status_code.clone()));
        let good = response.filter(|r| r.status_code.kind() == StatusCodeKind::Successful);
        if let Some(response) = &good {
            self.on_answer(response);
        }
        match (offered, good) {
            (Some(offered), Some(response)) => {
                self.local_sdp = Some(offered);
                let sdp = body(&response.body);
                self.remote_sdp.clone_from(&sdp);
                let sdp = sdp.map(Sdp);
                self.emit(Event::ReInviteAnswered { leg: self.id, sdp }).await;
            }
            (Some(_), None) => self.emit(Event::ReInviteRefused { leg: self.id, status }).await,
            (None, _) => {}
        }
        if matches!(status, 408 | 481) {
            // RFC 3261 §12.2.1.2: the far end has lost the dialog, or is gone.
            self.emit(Event::Bye { leg: self.id, cause: None }).await;
            self.send_bye(None);
        }
    }

    /// What a 2xx to a request of ours says of the session timer, and of the far end.
    pub(super) fn on_answer(&mut self, response: &Response) {
        self.note_peer(&response.headers);
        let timed = response
            .session_expires_header()
            .and_then(|header| SessionExpires::parse(header.value()));
        self.session = timed.map(|timed| {
            // A far end shorter than the RFC allows would have us refresh all the time.
            let interval_s = timed.interval_s.max(self.shared.config.min_se_s);
            Session::start(interval_s, timed.refresher != Some(Refresher::Uas), Instant::now())
        });
    }

    /// The Min-SE of a 422.
    pub(super) fn least_interval_s(response: &Response) -> Option<u32> {
        value_of(&response.headers, "Min-SE")?.split(';').next()?.trim().parse().ok()
    }
}
