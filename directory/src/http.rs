//! The directory over HTTP: look-ups with their why, gateways, prefixes, metrics, and a page for
//! operators. `openapi.json` beside this file describes it and is served as `/openapi.json`.

mod access;
mod fault;
pub(crate) mod gateways;
mod imports;
mod lookup;
mod metrics;
mod prefixes;
mod tokens;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{delete, get, post, put};
use tokio::net::TcpListener;
use trunkline_program::http::{self as connections, Tls};

pub use access::{Scope, Token, Tokens, Who, new_token, read_sha256};
pub(crate) use fault::Fault;

use crate::replica;
use crate::state::State;

/// Connections at once: the files that a process may open are what ENUM over TCP and the store need, too.
const CONNECTIONS_MAX: usize = 512;

/// The description of all this, OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("http/openapi.json");

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Tls>, state: Arc<State>) {
    connections::serve(listener, tls, CONNECTIONS_MAX, router(state)).await;
}

fn router(state: Arc<State>) -> Router {
    let import = post(imports::post).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/", get(page))
        .route("/openapi.json", get(openapi))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(healthz))
        .route("/lookup/{number}", get(lookup::one))
        .route("/v1/lookups", post(lookup::several))
        .route("/v1/gateways", get(gateways::list))
        .route(
            "/v1/gateways/{name}",
            get(gateways::get).put(gateways::put).delete(gateways::delete),
        )
        .route("/v1/gateways/{name}/report", post(gateways::report))
        .route("/v1/gateways/{name}/drain", put(gateways::drain))
        .route("/v1/prefixes", get(prefixes::search).post(prefixes::post))
        .route(
            "/v1/prefixes/{prefix}",
            get(prefixes::get).put(prefixes::put).delete(prefixes::delete),
        )
        .route("/v1/export", get(imports::export))
        .route("/v1/import", import.get(imports::get).delete(imports::delete))
        .route("/v1/import/{id}/commit", post(imports::commit))
        .route("/v1/versions", get(versions::list))
        .route("/v1/versions/{version}/roll-back", post(versions::roll_back))
        .route("/v1/changes", get(versions::changes))
        .route("/v1/replica/tables/{file}", get(replica::serve_base))
        .route("/v1/tokens", get(tokens::list).post(tokens::post))
        .route("/v1/tokens/{name}", delete(tokens::delete))
        .fallback(async || Fault::not_found("there is nothing here: see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Fault::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "not with this method: see /openapi.json",
            )
        })
        .with_state(state)
}

async fn healthz(Shared(state): Shared<Arc<State>>) -> String {
    let entries = state.edition().table.entries();
    if let Some(replica) = state.replica().filter(|replica| !replica.is_connected()) {
        let age_s = replica.age().as_secs();
        return format!(
            "answers, {entries} prefixes, as the shared store was {age_s} s ago: etcd does not answer\n"
        );
    }
    match state.store().and_then(|store| store.failure()) {
        Some(failure) => format!("answers, {entries} prefixes, but stores nothing: {failure}\n"),
        None => format!("ok, {entries} prefixes\n"),
    }
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn page() -> impl IntoResponse {
    // All it loads is itself, and all it asks is this server.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  connect-src 'self'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("http/page.html")))
}
