//! The HTTP server: /metrics, /status and /healthz for operators, and their orders to spans and channels.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::control::Access;
use crate::metrics;
use crate::status::Status;
use crate::switch::maintenance::{Deed, Done, MaintenanceError, Order};

/// What the control task is asked.
#[derive(Debug)]
pub enum Request {
    /// The gateway's present status.
    Status(oneshot::Sender<Status>),
    /// An operator's order.
    Order(Order, oneshot::Sender<Result<Done, MaintenanceError>>),
}

/// What handlers share.
#[derive(Clone)]
struct Shared {
    queries: mpsc::Sender<Request>,
    access: Arc<Access>,
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, queries: mpsc::Sender<Request>, access: Access) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/status", get(status))
        .route("/metrics", get(metrics_page))
        .route("/spans/{span}/{deed}", post(order))
        .with_state(Shared { queries, access: Arc::new(access) });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "HTTP server ended");
    }
}

/// Binds the server's address.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn ask<T>(
    queries: &mpsc::Sender<Request>,
    query: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, StatusCode> {
    let (reply, answer) = oneshot::channel();
    queries.send(query(reply)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn status(State(shared): State<Shared>) -> Result<Response, StatusCode> {
    Ok(axum::Json(ask(&shared.queries, Request::Status).await?).into_response())
}

async fn metrics_page(State(shared): State<Shared>) -> Result<Response, StatusCode> {
    let text = metrics::render(&ask(&shared.queries, Request::Status).await?);
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

#[derive(Deserialize)]
struct Which {
    timeslot: Option<u8>,
}

/// `POST /spans/{span}/block`, `unblock` or `reset`, with `?timeslot=` for one B channel.
async fn order(
    State(shared): State<Shared>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Path((span, deed)): Path<(String, String)>,
    Query(Which { timeslot }): Query<Which>,
) -> Result<Response, StatusCode> {
    shared.access.check(from.ip(), &headers).inspect_err(|status| {
        tracing::warn!(%from, span, deed, status = status.as_u16(), "order refused");
    })?;
    let deed: Deed = deed.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    let order = Order { span, timeslot, deed };
    Ok(match ask(&shared.queries, |reply| Request::Order(order, reply)).await? {
        Ok(done) => axum::Json(done).into_response(),
        Err(error) => (StatusCode::NOT_FOUND, format!("{error}\n")).into_response(),
    })
}
