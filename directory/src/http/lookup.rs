//! Look-ups over HTTP: where a number goes, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use trunkline_number::Dialled;

use super::access::Scope;
use super::fault::{Fault, Written};
use crate::edition::Edition;
use crate::enum_server::udp::unix_s;
use crate::state::State;
use crate::why::{self, Why};

pub(super) async fn one(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(number): Path<String>,
) -> Result<Response, Fault> {
    state.permit(&headers, Scope::Read)?;
    let why = look_up(&state.edition(), &number).map_err(Fault::bad)?;
    let status = if why.prefix.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Ok((status, Json(why)).into_response())
}

/// Numbers as people write them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    numbers: Vec<String>,
}

/// The answers, in the same order.
#[derive(Debug, Serialize)]
pub(super) struct Answers {
    answers: Vec<Answer>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Why(Why),
    Error { asked: String, error: String },
}

const NUMBERS_MAX: usize = 1_000;

pub(super) async fn several(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Written(Numbers { numbers }): Written<Numbers>,
) -> Result<Json<Answers>, Fault> {
    state.permit(&headers, Scope::Read)?;
    if numbers.len() > NUMBERS_MAX {
        return Err(Fault::bad(format!("more than {NUMBERS_MAX} numbers")));
    }
    // All are answered from the same edition.
    let edition = state.edition();
    let answer = |asked: String| match look_up(&edition, &asked) {
        Ok(why) => Answer::Why(why),
        Err(error) => Answer::Error { asked, error },
    };
    Ok(Json(Answers { answers: numbers.into_iter().map(answer).collect() }))
}

fn look_up(edition: &Edition, number: &str) -> Result<Why, String> {
    match Dialled::parse(number, &edition.country) {
        Ok(Dialled::E164(number)) => Ok(why::why(edition, number, unix_s())),
        Ok(Dialled::Short(code)) => {
            Err(format!("{code} is a short code, which the caller's own network serves"))
        }
        Err(error) => Err(error.to_string()),
    }
}
