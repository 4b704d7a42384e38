//! The log over HTTP: who changed what, the versions of the prefixes, and the way back.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::access::Scope;
use super::fault::{Asked, Fault, Written};
use crate::provisioning::{self, Difference};
use crate::state::State;
use crate::store::Entry;

/// Which part of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    #[serde(default)]
    before: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

/// Entries of the log, the latest first.
#[derive(Debug, Serialize)]
pub(super) struct Log {
    entries: Vec<Entry>,
}

const LIMIT_MAX: usize = 1_000;

/// All that was changed.
pub(super) async fn changes(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Asked(part): Asked<Part>,
) -> Result<Json<Log>, Fault> {
    log(&state, &headers, part, |_| true).await
}

/// Changes of prefixes, each with its version.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Asked(part): Asked<Part>,
) -> Result<Json<Log>, Fault> {
    log(&state, &headers, part, |entry| entry.action.is_version()).await
}

async fn log(
    state: &Arc<State>,
    headers: &HeaderMap,
    part: Part,
    wanted: fn(&Entry) -> bool,
) -> Result<Json<Log>, Fault> {
    state.permit(headers, Scope::Read)?;
    let store = Arc::clone(state.need_store()?);
    let limit = part.limit.unwrap_or(100).clamp(1, LIMIT_MAX);
    let before = part.before.unwrap_or(u64::MAX);
    let read = provisioning::blocking(move || Ok(store.log_before(before, limit, wanted)?));
    Ok(Json(Log { entries: read.await? }))
}

/// How to go back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Back {
    /// Only tell what would change.
    #[serde(default)]
    dry_run: bool,
}

/// What going back has changed, or would.
#[derive(Debug, Serialize)]
pub(super) struct Gone {
    /// The prefixes are at this version.
    version: u64,
    difference: Difference,
}

pub(super) async fn roll_back(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(to): Path<u64>,
    Written(back): Written<Back>,
) -> Result<Json<Gone>, Fault> {
    let who = state.permit(&headers, Scope::Provision)?;
    let (version, difference) = provisioning::roll_back(&state, who.name, to, back.dry_run).await?;
    Ok(Json(Gone { version, difference }))
}
