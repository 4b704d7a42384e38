//! The HTTP server for operators: /metrics, /status and /healthz.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::metrics;
use crate::status::Status;

/// A request for the gateway's present status.
pub type StatusQuery = oneshot::Sender<Status>;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, queries: mpsc::Sender<StatusQuery>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/status", get(status))
        .route("/metrics", get(metrics_page))
        .with_state(queries);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "HTTP server ended");
    }
}

/// Binds the server's address.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn ask(queries: &mpsc::Sender<StatusQuery>) -> Result<Status, StatusCode> {
    let (reply, status) = oneshot::channel();
    queries.send(reply).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    status.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn status(State(queries): State<mpsc::Sender<StatusQuery>>) -> Result<Response, StatusCode> {
    Ok(axum::Json(ask(&queries).await?).into_response())
}

async fn metrics_page(
    State(queries): State<mpsc::Sender<StatusQuery>>,
) -> Result<Response, StatusCode> {
    let text = metrics::render(&ask(&queries).await?);
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
