//! The HTTP side of calls from within web pages.
//!
//! `POST /calls` with the offer as body and the web server's token as bearer begins a call: 201 with our
//! answer, and the call's resource in `Location`. There, `GET …/events` is a stream of events (ringing,
//! answered, ended with its cause), `PATCH` takes another offer of the same page (ICE restart), `DELETE`
//! hangs up. The form is that of WHIP (RFC 9725), with events for what a telephone call has beside it.

pub mod admission;
mod resource;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use trunkline_number::{CallToken, E164, TokenError};
use trunkline_program::http::{Tls, serve as serve_connections};

use crate::configuration::Browser;
use admission::{Admission, Caller, Refusal};

/// What a page asks of the control task.
#[derive(Debug)]
pub enum PageRequest {
    /// A new call.
    Call(PageCall),
    /// The events of a call, from its present state on.
    Events {
        /// The call's secret name.
        id: String,
        /// Where they go; none, if there is no such call.
        reply: oneshot::Sender<Option<mpsc::Receiver<PageEvent>>>,
    },
    /// Another offer within a call.
    Offer {
        /// The call's secret name.
        id: String,
        /// The offer.
        offer: Vec<u8>,
        /// Our answer, or why there is none.
        reply: oneshot::Sender<Result<Vec<u8>, CallRefused>>,
    },
    /// The page hangs up.
    HangUp {
        /// The call's secret name.
        id: String,
        /// Whether there was such a call.
        reply: oneshot::Sender<bool>,
    },
}

/// A call that a page wants.
#[derive(Debug)]
pub struct PageCall {
    /// Whom it calls.
    pub number: E164,
    /// The page's origin.
    pub origin: String,
    /// Where it is.
    pub from: IpAddr,
    /// Longest duration.
    pub longest: Duration,
    /// Its offer.
    pub offer: Vec<u8>,
    /// What it is told.
    pub reply: oneshot::Sender<Result<Accepted, CallRefused>>,
}

/// A call that has begun.
#[derive(Debug)]
pub struct Accepted {
    /// Its secret name.
    pub id: String,
    /// Our answer.
    pub answer: Vec<u8>,
}

/// A call that has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRefused {
    /// HTTP status.
    pub status: u16,
    /// Cause by Q.850, if call control has refused it.
    pub cause: Option<u8>,
    /// In a word, for the page.
    pub reason: &'static str,
}

/// What a page is told of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageEvent {
    /// It is on its way.
    Connecting,
    /// The telephone rings, or something else is to be heard.
    Ringing,
    /// Somebody has answered.
    Answered,
    /// It is over.
    Ended {
        /// Cause by Q.850.
        cause: u8,
        /// In a word, for the page.
        reason: &'static str,
    },
}

/// Longest body: that of the longest offer that is read.
const BODY_OCTETS_MAX: usize = 16 * 1024;

/// How long a body may take.
const BODY_MAX: Duration = Duration::from_secs(10);

/// Connections beside one for the events of each call.
const CONNECTIONS_BESIDE: usize = 512;

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    settings: Browser,
    requests: mpsc::Sender<PageRequest>,
    admission: Mutex<Admission>,
}

type SharedState = State<Arc<Shared>>;

/// Serves pages until the task is dropped.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    settings: Browser,
    calls_max: usize,
    requests: mpsc::Sender<PageRequest>,
) {
    let admission = Mutex::new(Admission::new(settings.limits));
    let shared = Arc::new(Shared { settings, requests, admission });
    let router = Router::new()
        .route("/calls", post(call))
        .route("/calls/{id}", patch(offer).delete(hang_up))
        .route("/calls/{id}/events", get(events))
        .layer(DefaultBodyLimit::max(BODY_OCTETS_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    serve_connections(listener, tls, CONNECTIONS_BESIDE + calls_max, router).await;
}

/// Answers pages of configured origins only (CORS of the Fetch standard), and no request for ever.
async fn guard(State(shared): SharedState, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_known = |origin: &HeaderValue| {
        let known = shared.settings.origins.iter();
        known.clone().any(|known| known.as_bytes() == origin.as_bytes())
    };
    if origin.is_none() && request.method() == Method::GET {
        // A page of our own address: browsers name the origin only of others, and the call's name is
        // secret enough for its events.
        return next.run(request).await;
    }
    let Some(origin) = origin.filter(is_known) else {
        return refused(StatusCode::FORBIDDEN, None, "origin").into_response();
    };
    let mut response = if request.method() == Method::OPTIONS {
        let allowed: [(HeaderName, &str); 3] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, GET"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        (StatusCode::NO_CONTENT, allowed).into_response()
    } else {
        // A body that drips is cut off; the events of a call are a response, which is not.
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_OCTETS_MAX);
        match tokio::time::timeout(BODY_MAX, body).await {
            Ok(Ok(body)) => next.run(Request::from_parts(parts, body.into())).await,
            Ok(Err(_)) => refused(StatusCode::PAYLOAD_TOO_LARGE, None, "offer").into_response(),
            Err(_) => refused(StatusCode::REQUEST_TIMEOUT, None, "offer").into_response(),
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("location, retry-after"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal that the page's script can read.
fn refused(
    status: StatusCode,
    cause: Option<u8>,
    reason: &str,
) -> (StatusCode, Json<serde_json::Value>) {
    (status, Json(json!({ "reason": reason, "cause": cause })))
}

impl IntoResponse for CallRefused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = refused(status, self.cause, self.reason).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

/// The control task has ended: so does the program.
const GONE: CallRefused = CallRefused { status: 503, cause: None, reason: "gateway" };

async fn call(
    State(shared): SharedState,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    offer: Bytes,
) -> Response {
    let from = shared.address_of(peer, &headers);
    let (token, origin) = match shared.permitted(&headers) {
        Ok(permitted) => permitted,
        Err((status, reason)) => {
            tracing::info!(%from, reason, "a page's call is refused");
            return refused(status, None, reason).into_response();
        }
    };
    let caller = Caller { address: from, origin: &origin, number: token.number, token: &token.id };
    if let Err(refusal) = shared.admit(&caller, token.expires) {
        tracing::warn!(%from, %origin, number = %token.number, ?refusal, "a page's call is refused");
        return match refusal {
            Refusal::Used => refused(StatusCode::FORBIDDEN, None, "token").into_response(),
            Refusal::TooMany { again_s } => {
                let headers = [(header::RETRY_AFTER, again_s.to_string())];
                (headers, refused(StatusCode::TOO_MANY_REQUESTS, None, "rate")).into_response()
            }
        };
    }
    let (reply, outcome) = oneshot::channel();
    let call = PageCall {
        number: token.number,
        origin,
        from,
        longest: Duration::from_secs(token.longest_s.into()),
        offer: offer.to_vec(),
        reply,
    };
    match shared.ask(PageRequest::Call(call), outcome).await {
        Some(Ok(Accepted { id, answer })) => {
            let headers = [
                (header::CONTENT_TYPE, "application/sdp".to_owned()),
                (header::LOCATION, format!("/calls/{id}")),
            ];
            (StatusCode::CREATED, headers, answer).into_response()
        }
        Some(Err(refused)) => refused.into_response(),
        None => GONE.into_response(),
    }
}

async fn offer(State(shared): SharedState, Path(id): Path<String>, offer: Bytes) -> Response {
    let (reply, outcome) = oneshot::channel();
    let request = PageRequest::Offer { id, offer: offer.to_vec(), reply };
    match shared.ask(request, outcome).await {
        Some(Ok(answer)) => ([(header::CONTENT_TYPE, "application/sdp")], answer).into_response(),
        Some(Err(refused)) => refused.into_response(),
        None => GONE.into_response(),
    }
}

async fn hang_up(State(shared): SharedState, Path(id): Path<String>) -> StatusCode {
    let (reply, outcome) = oneshot::channel();
    match shared.ask(PageRequest::HangUp { id, reply }, outcome).await {
        Some(true) => StatusCode::NO_CONTENT,
        Some(false) => StatusCode::NOT_FOUND,
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn events(State(shared): SharedState, Path(id): Path<String>) -> Response {
    let (reply, outcome) = oneshot::channel();
    match shared.ask(PageRequest::Events { id, reply }, outcome).await {
        Some(Some(events)) => resource::stream(events).into_response(),
        Some(None) => refused(StatusCode::NOT_FOUND, None, "over").into_response(),
        None => GONE.into_response(),
    }
}

impl Shared {
    /// Asks the control task.
    async fn ask<T>(&self, request: PageRequest, outcome: oneshot::Receiver<T>) -> Option<T> {
        self.requests.send(request).await.ok()?;
        outcome.await.ok()
    }

    fn admit(&self, caller: &Caller<'_>, token_expires_unix_s: u64) -> Result<(), Refusal> {
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        admission.admit(Instant::now(), caller, token_expires_unix_s)
    }

    /// The token that the request shows, and its origin; else status and reason.
    fn permitted(
        &self,
        headers: &HeaderMap,
    ) -> Result<(CallToken, String), (StatusCode, &'static str)> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or((StatusCode::UNAUTHORIZED, "token"))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let token = CallToken::verify(token, &self.settings.trusted_keys, since.as_secs());
        let token = token.map_err(|error| match error {
            TokenError::Expired => (StatusCode::FORBIDDEN, "expired"),
            _ => (StatusCode::FORBIDDEN, "token"),
        })?;
        // `guard` has seen that it is one of ours; the token must be for this very one.
        let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
        match origin.filter(|origin| *origin == token.origin) {
            Some(origin) => Ok((token, origin.to_owned())),
            None => Err((StatusCode::FORBIDDEN, "origin")),
        }
    }

    /// Who asks: behind a proxy of ours the last address that it has written down.
    fn address_of(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let told = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let last = told.and_then(|told| told.rsplit(',').next()?.trim().parse().ok());
        last.filter(|_| self.settings.proxies.contains(&peer.ip())).unwrap_or(peer.ip())
    }
}
