//! Whole tables over HTTP: a CSV file comes, is compared with the table that answers, and takes its
//! place when somebody who has seen the differences says so.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use serde::Serialize;
use tokio::sync::mpsc;

use super::access::Scope;
use super::fault::Fault;
use crate::edition::Edition;
use crate::provisioning::table_csv::{self, Mistake};
use crate::provisioning::{Difference, Import, Stage, commit_import};
use crate::state::State;
use crate::table::{Digits, Route};

/// An import as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    id: String,
    /// `reading`, `ready` or `failed`.
    stage: &'static str,
    who: String,
    /// Lines read so far.
    rows: u64,
    /// Version of the prefixes that it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Mistake>,
}

impl Shown {
    fn new(import: &Import) -> Self {
        let mut shown = Self {
            id: format!("{:016x}", import.id),
            stage: "reading",
            who: import.who.clone(),
            rows: import.rows.load(Ordering::Relaxed),
            against: None,
            difference: None,
            mistakes: Vec::new(),
        };
        match &import.stage {
            Stage::Reading => {}
            Stage::Ready { against, difference, .. } => {
                shown.stage = "ready";
                shown.against = Some(*against);
                shown.difference = Some(Difference::clone(difference));
            }
            Stage::Failed(mistakes) => {
                shown.stage = "failed";
                shown.mistakes.clone_from(mistakes);
            }
        }
        shown
    }
}

/// An import that nobody commits makes room for another after so long.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// Takes the file whole before it answers: the differences, or the mistakes. Others can see how far
/// it is meanwhile.
pub(super) async fn post(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let who = state.permit(&headers, Scope::Provision)?;
    state.need_store()?;
    let id = rand::random();
    let rows = Arc::new(AtomicU64::new(0));
    {
        let mut place = state.import();
        let is_kept =
            |own: &Import| !matches!(own.stage, Stage::Failed(_)) && own.began.elapsed() < KEPT;
        if let Some(other) = place.as_ref().filter(|own| is_kept(own)) {
            let text =
                format!("import {:016x} of {} waits: commit or delete it", other.id, other.who);
            return Err(Fault::conflict("busy", text));
        }
        *place = Some(Import {
            id,
            who: who.name,
            began: Instant::now(),
            rows: Arc::clone(&rows),
            stage: Stage::Reading,
        });
    }
    // Whoever breaks off must not leave a place taken.
    let mut guard = Abandoned { state: Some(Arc::clone(&state)), id };
    let stage = read(&state, body, rows).await;
    guard.state = None;
    let mut place = state.import();
    let Some(import) = place.as_mut().filter(|import| import.id == id) else {
        return Err(Fault::conflict("deleted", "the import was deleted meanwhile"));
    };
    import.stage = stage;
    let shown = Shown::new(import);
    if let Stage::Failed(mistakes) = &import.stage {
        let fault = Fault::bad("the table cannot be used").with_mistakes(mistakes.clone());
        return Err(fault);
    }
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// An import whose request ended before it was read.
struct Abandoned {
    state: Option<Arc<State>>,
    id: u64,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.import().take_if(|import| import.id == self.id);
        }
    }
}

async fn read(state: &Arc<State>, body: Body, rows: Arc<AtomicU64>) -> Stage {
    let (sender, receiver) = mpsc::channel(16);
    let edition = state.edition();
    let against = edition.version;
    let places = state.fleet().places();
    let reading = tokio::task::spawn_blocking(move || {
        let from = Pieces { receiver, piece: Bytes::new() };
        let next = table_csv::read(from, &edition.country, &places, &rows)?;
        let difference = Difference::new(&edition, &next);
        Ok((Arc::new(next), Arc::new(difference)))
    });
    let mut body = body;
    let mut broken = None;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data()
                    && sender.send(data).await.is_err()
                {
                    // It has seen enough mistakes.
                    break;
                }
            }
            Err(error) => {
                broken = Some(error.to_string());
                break;
            }
        }
    }
    drop(sender);
    let whole = |problem| Stage::Failed(vec![Mistake { line: None, problem }]);
    match (reading.await, broken) {
        (_, Some(problem)) => whole(format!("the file did not come whole: {problem}")),
        (Ok(Ok((next, difference))), None) => Stage::Ready { next, against, difference },
        (Ok(Err(mistakes)), None) => Stage::Failed(mistakes),
        (Err(panic), None) => whole(panic.to_string()),
    }
}

/// The pieces of a body, to be read by a thread.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

pub(super) async fn get(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
) -> Result<Json<Shown>, Fault> {
    state.permit(&headers, Scope::Read)?;
    let place = state.import();
    let import = place.as_ref().ok_or_else(|| Fault::not_found("there is no import"))?;
    Ok(Json(Shown::new(import)))
}

pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
) -> Result<StatusCode, Fault> {
    state.permit(&headers, Scope::Provision)?;
    let import = state.import().take();
    let import = import.ok_or_else(|| Fault::not_found("there is no import"))?;
    // A big table takes long to free.
    drop(tokio::task::spawn_blocking(move || drop(import)));
    Ok(StatusCode::NO_CONTENT)
}

/// What a commit has made.
#[derive(Debug, Serialize)]
pub(super) struct Committed {
    version: u64,
}

pub(super) async fn commit(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Committed>, Fault> {
    let who = state.permit(&headers, Scope::Provision)?;
    let (next, against, difference) = {
        let place = state.import();
        let import = place.as_ref().filter(|import| format!("{:016x}", import.id) == id);
        let import = import.ok_or_else(|| Fault::not_found(format!("there is no import {id}")))?;
        let Stage::Ready { next, against, difference } = &import.stage else {
            return Err(Fault::conflict("not_ready", "the import is not ready to be committed"));
        };
        (Arc::clone(next), *against, Arc::clone(difference))
    };
    let version = commit_import(&state, who.name, next, against, difference).await?;
    state.import().take_if(|import| format!("{:016x}", import.id) == id);
    Ok(Json(Committed { version }))
}

/// The operator's prefixes, as an import takes them.
pub(super) async fn export(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    state.permit(&headers, Scope::Read)?;
    let edition = state.edition();
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(4);
    let (pieces, mut ready) = mpsc::channel::<Bytes>(4);
    // The table does not change while it is written out: the edition is held.
    tokio::task::spawn_blocking(move || write_out(&edition, &pieces));
    tokio::spawn(async move {
        while let Some(piece) = ready.recv().await {
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"prefixes.csv\""),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// Prefixes in a piece.
const PIECE: usize = 2_000;

fn write_out(edition: &Edition, pieces: &mpsc::Sender<Bytes>) {
    let name = |place| edition.gateways.gateway(place).map(|gateway| gateway.name.as_str());
    let mut entries = edition.table.provisioned_below(Digits::default());
    let mut out = Vec::new();
    // Into memory: nothing can fail but the receiver's going.
    let _ = table_csv::write_header(&mut out);
    loop {
        let some: Vec<(Digits, &Route)> = entries.by_ref().take(PIECE).collect();
        if some.is_empty() && out.is_empty() {
            return;
        }
        let _ = table_csv::write(some.into_iter(), name, &mut out);
        if pieces.blocking_send(Bytes::from(std::mem::take(&mut out))).is_err() {
            return;
        }
    }
}
