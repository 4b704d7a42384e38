//! Tokens over HTTP: made, listed without their secrets, revoked.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::access::{Scope, Token, new_token};
use super::fault::{Fault, Written};
use crate::gateways::check_name;
use crate::provisioning::entry;
use crate::state::State;
use crate::store::{Action, Change, StoredToken};

/// Tokens, without what they are shown by.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    tokens: Vec<ListedToken>,
}

#[derive(Debug, Serialize)]
struct ListedToken {
    name: String,
    scopes: Vec<Scope>,
    gateway: Option<String>,
    configured: bool,
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
) -> Result<Json<Listed>, Fault> {
    state.permit(&headers, Scope::Admin)?;
    let known = state.tokens();
    let tokens = known
        .list()
        .into_iter()
        .map(|token| ListedToken {
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            gateway: token.gateway.clone(),
            configured: token.configured,
        })
        .collect();
    Ok(Json(Listed { tokens }))
}

/// A token that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    #[serde(default)]
    gateway: Option<String>,
}

/// A token that was made: this once it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    name: String,
    token: String,
}

pub(super) async fn post(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Written(wanted): Written<Wanted>,
) -> Result<(StatusCode, Json<Made>), Fault> {
    let who = state.permit(&headers, Scope::Admin)?;
    let store = state.need_store()?;
    let Wanted { name, scopes, gateway } = wanted;
    check_name(&name).map_err(|_| {
        Fault::bad(format!("{name:?} is no name of a token: use letters, digits, - and _"))
    })?;
    if scopes.is_empty() {
        return Err(Fault::bad("a token without scopes permits nothing"));
    }
    if state.tokens().list().iter().any(|token| token.name == name) {
        return Err(Fault::conflict("name_taken", format!("there is a token {name:?}")));
    }
    let (token, sha256) = new_token();
    let words: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    let action = Action::TokenMade { token: name.clone(), scopes: words.clone() };
    let stored = StoredToken {
        name: name.clone(),
        sha256: sha256.clone(),
        scopes: words,
        gateway: gateway.clone(),
    };
    store.write(vec![entry(&who.name, action), Change::Token(stored)]).await?;
    let own = Token { name: name.clone(), scopes, gateway, configured: false };
    state.tokens_mut().add(&sha256, own);
    Ok((StatusCode::CREATED, Json(Made { name, token })))
}

pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<StatusCode, Fault> {
    let who = state.permit(&headers, Scope::Admin)?;
    let store = state.need_store()?;
    let known = state.tokens().list().iter().find(|token| token.name == name).map(|t| t.configured);
    match known {
        None => return Err(Fault::not_found(format!("there is no token {name:?}"))),
        Some(true) => {
            let text = format!("token {name:?} stands in the configuration: take it out there");
            return Err(Fault::conflict("configured", text));
        }
        Some(false) => {}
    }
    // Worth nothing at once, whatever becomes of the store.
    state.tokens_mut().remove(&name);
    let action = Action::TokenRevoked { token: name.clone() };
    store.write(vec![entry(&who.name, action), Change::NoToken(name)]).await?;
    Ok(StatusCode::NO_CONTENT)
}
