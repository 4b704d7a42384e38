//! Files of big tables between the nodes, over HTTP. What permits it is a key that lies in etcd: who
//! may read that knows the table anyway.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use ring::digest::{SHA256, digest};
use tokio::time::timeout;

use crate::endpoint::{Authorities, Endpoint};
use crate::http::Fault;
use crate::state::State;

/// Longest file, in octets.
const FILE_MAX_OCTETS: usize = 8 << 30;

/// Longest time for a file.
const FETCH_MAX: Duration = Duration::from_secs(600);

/// Gets a file from another node.
///
/// # Errors
/// Why there is none.
pub(super) async fn fetch_base(
    url: &str,
    authorities: Option<&Authorities>,
    key: &str,
    file: &str,
) -> Result<Bytes, String> {
    let fetch = async {
        let node = Endpoint::read(url)?;
        let mut connection = node.connect(authorities).await?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("/v1/replica/tables/{file}"))
            .header(header::HOST, node.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .body(Full::new(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let answer = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(status.to_string());
        }
        let body = Limited::new(answer.into_body(), FILE_MAX_OCTETS).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
    };
    timeout(FETCH_MAX, fetch).await.unwrap_or_else(|_| Err("it takes too long".to_owned()))
}

/// Gives another node a file.
pub(crate) async fn serve_base(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(file): Path<String>,
) -> Result<Vec<u8>, Fault> {
    let nothing = || Fault::not_found("there is no such file of a shared store here");
    let replica = state.replica().ok_or_else(nothing)?;
    let key = replica.peer_key();
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // Hashes are compared, so that the time it takes tells nothing.
    let hash = |text: &str| digest(&SHA256, text.as_bytes());
    let is_peer = match (key, shown) {
        (Some(key), Some(shown)) => hash(&key).as_ref() == hash(shown).as_ref(),
        _ => false,
    };
    if !is_peer {
        return Err(Fault::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "only the nodes of the shared store may fetch its files",
        ));
    }
    let store = state.need_store().map_err(Fault::from)?;
    let path = store.base_path(&file).ok_or_else(nothing)?;
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    read.ok().and_then(Result::ok).ok_or_else(nothing)
}
