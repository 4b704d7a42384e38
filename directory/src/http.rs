//! Metrics, health and look-ups over HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use serde::Serialize;
use tokio::net::TcpListener;
use trunkline_number::Dialled;

use crate::enum_server::udp::unix_s;
use crate::enum_server::{CountersSnapshot, Kind};
use crate::state::State;
use crate::why;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/lookup/{number}", get(lookup))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("HTTP ends: {error}");
    }
}

async fn healthz(Shared(state): Shared<Arc<State>>) -> String {
    let edition = state.edition();
    format!("ok, {} prefixes\n", edition.table.entries())
}

/// The answer of a look-up that has none.
#[derive(Serialize)]
struct Fault {
    error: String,
}

async fn lookup(Shared(state): Shared<Arc<State>>, Path(number): Path<String>) -> Response {
    let fault = |status, error| (status, Json(Fault { error })).into_response();
    let edition = state.edition();
    match Dialled::parse(&number, &edition.country) {
        Ok(Dialled::E164(number)) => {
            let why = why::why(&edition, number, unix_s());
            let status = if why.prefix.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            (status, Json(why)).into_response()
        }
        Ok(Dialled::Short(code)) => fault(
            StatusCode::BAD_REQUEST,
            format!("{code} is a short code, which the caller's own network serves"),
        ),
        Err(error) => fault(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    match encode(&state) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Fills a registry of one scrape from the counters of the threads, which are no shared
/// counters so that threads do not wait for each other's cache lines.
fn encode(state: &State) -> prometheus::Result<Vec<u8>> {
    let mut scrape = Scrape { registry: Registry::new() };
    let (udp, tcp) = state.counters.sums();
    let by_transport = [("udp", &udp), ("tcp", &tcp)];
    let mut queries = Vec::new();
    let mut answers = Vec::new();
    for (transport, counters) in by_transport {
        for rcode in RCODES {
            queries
                .push((vec![transport, rcode], sum(counters, |kind| kind.rcode() == Some(rcode))));
        }
        for kind in Kind::ALL {
            answers.push((vec![transport, kind.label()], sum(counters, |other| other == kind)));
        }
    }
    scrape.counters(
        "trunkline_directory_queries_total",
        "Queries answered, by transport and response code.",
        &["transport", "rcode"],
        &queries,
    )?;
    scrape.counters(
        "trunkline_directory_answers_total",
        "Queries by what became of them: hit, miss, refused, malformed, dropped and others.",
        &["transport", "kind"],
        &answers,
    )?;
    let per_transport = |value: fn(&CountersSnapshot) -> u64| {
        by_transport.map(|(transport, counters)| (vec![transport], value(counters)))
    };
    scrape.counters(
        "trunkline_directory_truncated_total",
        "Answers that did not fit and asked for TCP.",
        &["transport"],
        &per_transport(|counters| counters.truncated),
    )?;
    scrape.counters(
        "trunkline_directory_rate_limited_total",
        "Answers held back because their network asked too fast.",
        &["transport"],
        &per_transport(|counters| counters.rate_limited),
    )?;
    scrape.counters(
        "trunkline_directory_socket_errors_total",
        "Receives, sends and accepts that failed.",
        &["transport"],
        &per_transport(|counters| counters.errors),
    )?;
    scrape.counters(
        "trunkline_directory_tcp_connections_total",
        "TCP connections, by whether there was room for them.",
        &["result"],
        &[(vec!["accepted"], tcp.connections), (vec!["refused"], tcp.connections_refused)],
    )?;
    scrape.counters(
        "trunkline_directory_reloads_total",
        "Reloads of the table, by whether it was taken.",
        &["result"],
        &[
            (vec!["ok"], state.reloads.accepted.load(Ordering::Relaxed)),
            (vec!["refused"], state.reloads.refused.load(Ordering::Relaxed)),
        ],
    )?;
    let edition = state.edition();
    scrape.gauge(
        "trunkline_directory_table_entries",
        "Prefixes in the table.",
        edition.table.entries() as i64,
    )?;
    scrape.gauge(
        "trunkline_directory_table_gateways",
        "Gateways in the table.",
        edition.gateways.len() as i64,
    )?;
    scrape.gauge(
        "trunkline_directory_table_age_seconds",
        "Time since the table was loaded.",
        edition.loaded_at.elapsed().as_secs() as i64,
    )?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&scrape.registry.gather(), &mut text)?;
    Ok(text)
}

const RCODES: [&str; 6] = ["NOERROR", "NXDOMAIN", "REFUSED", "FORMERR", "NOTIMP", "BADVERS"];

fn sum(counters: &CountersSnapshot, wanted: impl Fn(Kind) -> bool) -> u64 {
    Kind::ALL
        .into_iter()
        .zip(counters.kinds)
        .filter(|&(kind, _)| wanted(kind))
        .map(|(_, count)| count)
        .sum()
}

struct Scrape {
    registry: Registry,
}

impl Scrape {
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: &[(Vec<&str>, u64)],
    ) -> prometheus::Result<()> {
        let family = IntCounterVec::new(Opts::new(name, help), labels)?;
        for (labels, value) in values {
            family.get_metric_with_label_values(labels)?.inc_by(*value);
        }
        self.registry.register(Box::new(family))
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> prometheus::Result<()> {
        let family = IntGaugeVec::new(Opts::new(name, help), &[])?;
        family.get_metric_with_label_values::<&str>(&[])?.set(value);
        self.registry.register(Box::new(family))
    }
}
