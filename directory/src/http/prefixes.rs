//! The operator's prefixes over HTTP: search, single changes, several at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::access::Scope;
use super::fault::{Asked, Fault, Written};
use crate::edition::Edition;
use crate::provisioning::{self, written};
use crate::state::State;
use crate::store::PrefixChange;
use crate::table::{Digits, Route};
use crate::written::{WrittenRoute, prefix_digits};

/// What to look for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// Digits that the prefixes begin with.
    #[serde(default)]
    begins: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

/// Prefixes that were found.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    prefixes: Vec<Listed>,
    /// There are more: look for longer ones.
    more: bool,
    version: u64,
}

/// A prefix.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    prefix: String,
    /// The operator's route.
    provisioned: Option<WrittenRoute>,
    /// Gateways that registered it.
    registered: Option<WrittenRoute>,
}

const LIMIT_MAX: usize = 1_000;

pub(super) async fn search(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Asked(search): Asked<Search>,
) -> Result<Json<Page>, Fault> {
    state.permit(&headers, Scope::Read)?;
    let edition = state.edition();
    let digits = match search.begins.as_deref() {
        None | Some("" | "+") => Digits::default(),
        Some(text) => read_prefix(&edition, text)?,
    };
    let limit = search.limit.unwrap_or(100).clamp(1, LIMIT_MAX);
    // The layers are each in order, so the first of all are among the first of each.
    let mut found: Vec<Digits> = edition
        .table
        .provisioned
        .below(digits)
        .map(|(prefix, _)| prefix)
        .filter(|prefix| edition.table.changes.change(*prefix).is_none())
        .take(limit + 1)
        .collect();
    let changed = edition.table.changes.below(digits).filter(|(_, route)| route.is_some());
    found.extend(changed.map(|(prefix, _)| prefix).take(limit + 1));
    found.extend(edition.table.registered.below(digits).map(|(prefix, _)| prefix).take(limit + 1));
    found.sort_unstable();
    found.dedup();
    let more = found.len() > limit;
    found.truncate(limit);
    let prefixes = found.into_iter().map(|prefix| Listed::new(&edition, prefix)).collect();
    Ok(Json(Page { prefixes, more, version: edition.version }))
}

impl Listed {
    fn new(edition: &Edition, prefix: Digits) -> Self {
        let written = |route: &Route| written(&edition.gateways, route);
        Self {
            prefix: format!("+{prefix}"),
            provisioned: edition.table.provisioned_entry(prefix).map(written),
            registered: edition.table.registered.entry(prefix).map(written),
        }
    }
}

pub(super) async fn get(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(prefix): Path<String>,
) -> Result<Json<Listed>, Fault> {
    state.permit(&headers, Scope::Read)?;
    let edition = state.edition();
    let listed = Listed::new(&edition, read_prefix(&edition, &prefix)?);
    if listed.provisioned.is_none() && listed.registered.is_none() {
        return Err(Fault::not_found(format!("{} is not in the table", listed.prefix)));
    }
    Ok(Json(listed))
}

/// What has become of changes.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    /// The prefixes are at this version.
    version: u64,
    /// What is otherwise than before, or with a dry run would be.
    changes: Vec<PrefixChange>,
}

pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(prefix): Path<String>,
    Written(route): Written<WrittenRoute>,
) -> Result<Json<Changed>, Fault> {
    change(&state, &headers, vec![Wanted { prefix, route: Some(route) }], false).await
}

pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(prefix): Path<String>,
) -> Result<Json<Changed>, Fault> {
    let Json(changed) =
        change(&state, &headers, vec![Wanted { prefix: prefix.clone(), route: None }], false)
            .await?;
    if changed.changes.is_empty() {
        return Err(Fault::not_found(format!("{prefix} is not in the operator's table")));
    }
    Ok(Json(changed))
}

/// Changes that are made all or none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Several {
    changes: Vec<Wanted>,
    #[serde(default)]
    dry_run: bool,
}

/// A prefix and where it shall lead; without a route it is taken out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    prefix: String,
    route: Option<WrittenRoute>,
}

/// Changes at once; more are an import.
const CHANGES_MAX: usize = 1_000;

pub(super) async fn post(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Written(several): Written<Several>,
) -> Result<Json<Changed>, Fault> {
    change(&state, &headers, several.changes, several.dry_run).await
}

async fn change(
    state: &Arc<State>,
    headers: &HeaderMap,
    wanted: Vec<Wanted>,
    dry_run: bool,
) -> Result<Json<Changed>, Fault> {
    let who = state.permit(headers, Scope::Provision)?;
    state.need_store()?;
    if wanted.len() > CHANGES_MAX {
        return Err(Fault::bad(format!("more than {CHANGES_MAX} changes: import a table")));
    }
    let edition = state.edition();
    let mut changes = Vec::with_capacity(wanted.len());
    for Wanted { prefix, route } in &wanted {
        let digits = read_prefix(&edition, prefix)?;
        if changes.iter().any(|(other, _)| *other == digits) {
            return Err(Fault::bad(format!("+{digits} is there twice")));
        }
        let route = match route {
            Some(route) => {
                let fleet = state.fleet();
                let route = route.read(&edition.country, |name| fleet.place(name));
                Some(route.map_err(|error| Fault::bad(format!("+{digits}: {error}")))?)
            }
            None => None,
        };
        changes.push((digits, route));
    }
    let shown = changes
        .iter()
        .filter_map(|(prefix, after)| {
            let before = edition.table.provisioned_entry(*prefix);
            (before != after.as_ref()).then(|| {
                provisioning::prefix_change(&edition.gateways, *prefix, before, after.as_ref())
            })
        })
        .collect();
    let version = if dry_run {
        edition.version
    } else {
        provisioning::change_prefixes(state, who.name, changes).await?
    };
    Ok(Json(Changed { version, changes: shown }))
}

fn read_prefix(edition: &Edition, text: &str) -> Result<Digits, Fault> {
    prefix_digits(text, &edition.country)
        .map_err(|(problem, remedy)| Fault::bad(format!("{problem}: {remedy}")))
}
