//! HTTP control of the exchange, for tests and for the curious: make telephones call, see calls.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// A call as the exchange sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallReport {
    /// Number of the call, from 1.
    pub call: u64,
    /// The exchange's telephone in it, E.164.
    pub telephone: String,
    /// The other party's number, where it is known.
    pub other: Option<String>,
    /// Presentation and screening of the caller's number, and who redirected the call: what its
    /// SETUP said, for a call of the gateway's.
    #[serde(flatten)]
    pub stated: Stated,
    /// The telephone made the call.
    pub outgoing: bool,
    /// ringing, talking or ended.
    pub state: String,
    /// Q.850 cause that ended it.
    pub cause: Option<u8>,
    /// What the telephone heard.
    pub recording: Option<String>,
    /// Digits that it heard.
    pub digits: String,
    /// Span that carries the call.
    pub span: String,
    /// Timeslot.
    pub timeslot: u8,
}

/// What SETUP says of its caller, in the words of Q.931.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stated {
    /// Presentation of the calling number: allowed, restricted, not_available.
    pub presentation: Option<String>,
    /// Screening of the calling number: user_not_screened, user_passed, user_failed, network.
    pub screening: Option<String>,
    /// Type of the calling number: unknown, international, national, …
    pub number_type: Option<String>,
    /// Redirecting number.
    pub redirecting: Option<String>,
    /// Reason for redirection, its value (Q.931 §4.6.7).
    pub redirecting_reason: Option<u8>,
}

/// How a telephone calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manner {
    /// Its number is sent digit by digit (overlap sending).
    pub digit_by_digit: bool,
    /// The caller's number is not to be shown.
    pub restricted: bool,
    /// The telephone that redirected the call, E.164 digits.
    pub redirecting: Option<String>,
    /// Why, by its value.
    pub redirecting_reason: Option<u8>,
}

/// A span as the exchange sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpanReport {
    /// Its name.
    pub span: String,
    /// The data link is up.
    pub data_link_up: bool,
    /// Counters since the start.
    pub counters: BTreeMap<String, u64>,
}

/// What the control interface asks of the exchange.
#[derive(Debug)]
pub enum Order {
    /// Make a telephone call a number.
    Call {
        /// The telephone's number, E.164 digits.
        telephone: String,
        /// The number to dial.
        to: String,
        /// How.
        manner: Manner,
        /// The call's number, or why there is none.
        reply: oneshot::Sender<Result<u64, String>>,
    },
    /// End a call.
    HangUp {
        /// The call.
        call: u64,
        /// Q.850 cause.
        cause: u8,
        /// Whether there was such a call.
        reply: oneshot::Sender<bool>,
    },
    /// Key digits into a call.
    Key {
        /// The call.
        call: u64,
        /// The digits.
        digits: String,
        /// Whether there was such a call.
        reply: oneshot::Sender<bool>,
    },
    /// All calls since the start.
    Calls(oneshot::Sender<Vec<CallReport>>),
    /// All spans.
    Spans(oneshot::Sender<Vec<SpanReport>>),
}

#[derive(Deserialize)]
struct CallBody {
    to: String,
    #[serde(flatten)]
    manner: Manner,
}

#[derive(Deserialize)]
struct HangUpBody {
    #[serde(default = "normal_call_clearing")]
    cause: u8,
}

fn normal_call_clearing() -> u8 {
    16
}

#[derive(Deserialize)]
struct KeyBody {
    digits: String,
}

type Orders = State<mpsc::Sender<Order>>;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, orders: mpsc::Sender<Order>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/calls", get(calls))
        .route("/spans", get(spans))
        .route("/telephones/{number}/call", post(call))
        .route("/calls/{call}/hang-up", post(hang_up))
        .route("/calls/{call}/keys", post(key))
        .with_state(orders);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "HTTP server ended");
    }
}

async fn ask<T>(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, StatusCode> {
    let (reply, answer) = oneshot::channel();
    orders.send(order(reply)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn calls(State(orders): Orders) -> Result<Json<Vec<CallReport>>, StatusCode> {
    ask(&orders, Order::Calls).await.map(Json)
}

async fn spans(State(orders): Orders) -> Result<Json<Vec<SpanReport>>, StatusCode> {
    ask(&orders, Order::Spans).await.map(Json)
}

async fn call(
    State(orders): Orders,
    Path(telephone): Path<String>,
    Json(body): Json<CallBody>,
) -> Result<Response, StatusCode> {
    let CallBody { to, manner } = body;
    let order = |reply| Order::Call { telephone, to, manner, reply };
    let outcome = ask(&orders, order).await?;
    Ok(match outcome {
        Ok(call) => Json(serde_json::json!({ "call": call })).into_response(),
        Err(why) => (StatusCode::CONFLICT, why).into_response(),
    })
}

async fn hang_up(
    State(orders): Orders,
    Path(call): Path<u64>,
    body: Option<Json<HangUpBody>>,
) -> Result<StatusCode, StatusCode> {
    let cause = body.map_or_else(normal_call_clearing, |body| body.cause);
    let known = ask(&orders, |reply| Order::HangUp { call, cause, reply }).await?;
    Ok(if known { StatusCode::OK } else { StatusCode::NOT_FOUND })
}

async fn key(
    State(orders): Orders,
    Path(call): Path<u64>,
    Json(body): Json<KeyBody>,
) -> Result<StatusCode, StatusCode> {
    let known = ask(&orders, |reply| Order::Key { call, digits: body.digits, reply }).await?;
    Ok(if known { StatusCode::OK } else { StatusCode::NOT_FOUND })
}
