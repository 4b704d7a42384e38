//! HTTP control of the exchange, for tests and for the curious: make telephones call, see calls.

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

/// A span as the exchange sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpanReport {
    /// Its name.
    pub span: String,
    /// The data link is up.
    pub data_link_up: bool,
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
        /// It is sent digit by digit (overlap sending).
        digit_by_digit: bool,
        /// The call's number, or why there is none.
        reply: oneshot::Sender<Result<u64, String>>,
    },
    /// End a call.
    HangUp {
        /// The call.
        call: u64,
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
    #[serde(default)]
    digit_by_digit: bool,
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
    let CallBody { to, digit_by_digit } = body;
    let order = |reply| Order::Call { telephone, to, digit_by_digit, reply };
    let outcome = ask(&orders, order).await?;
    Ok(match outcome {
        Ok(call) => Json(serde_json::json!({ "call": call })).into_response(),
        Err(why) => (StatusCode::CONFLICT, why).into_response(),
    })
}

async fn hang_up(State(orders): Orders, Path(call): Path<u64>) -> Result<StatusCode, StatusCode> {
    let known = ask(&orders, |reply| Order::HangUp { call, reply }).await?;
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
