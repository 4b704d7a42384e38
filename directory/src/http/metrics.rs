//! Metrics for Prometheus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::enum_server::{CountersSnapshot, Kind};
use crate::gateways::Standing;
use crate::redirect;
use crate::state::State;

pub(super) async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
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
    let redirects =
        redirect::Kind::ALL.map(|kind| (vec![kind.label()], state.redirects.count(kind)));
    scrape.counters(
        "trunkline_directory_redirects_total",
        "Calls answered over SIP, by what they were told.",
        &["kind"],
        &redirects,
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
    encode_table(state, &mut scrape)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&scrape.registry.gather(), &mut text)?;
    Ok(text)
}

fn encode_table(state: &State, scrape: &mut Scrape) -> prometheus::Result<()> {
    let edition = state.edition();
    let mut standings = [0; Standing::ALL.len()];
    let members = state.fleet().view(std::time::Instant::now());
    for member in &members {
        standings[member.state.standing as usize] += 1;
    }
    let by_standing: Vec<_> = Standing::ALL
        .into_iter()
        .map(|standing| (vec![standing.word()], standings[standing as usize]))
        .collect();
    scrape.gauges(
        "trunkline_directory_gateways",
        "Gateways by how they stand.",
        &["standing"],
        &by_standing,
    )?;
    let table = &edition.table;
    let is_failed = state.store().is_some_and(|store| store.failure().is_some());
    for (name, help, value) in [
        ("trunkline_directory_table_entries", "Prefixes in the table.", table.entries() as i64),
        ("trunkline_directory_table_gateways", "Gateways in the table.", members.len() as i64),
        (
            "trunkline_directory_table_age_seconds",
            "Time since the table was loaded or changed.",
            edition.loaded_at.elapsed().as_secs() as i64,
        ),
        (
            "trunkline_directory_table_octets",
            "Memory that the prefixes take.",
            (table.provisioned.size_octets() + table.registered.size_octets()) as i64,
        ),
        (
            "trunkline_directory_table_changes",
            "Changes of prefixes that lie over the table until it is written anew.",
            table.changes.len() as i64,
        ),
        (
            "trunkline_directory_store_failed",
            "1 when changes cannot be stored any more.",
            i64::from(is_failed),
        ),
    ] {
        scrape.gauges(name, help, &[], &[(Vec::new(), value)])?;
    }
    let Some(replica) = state.replica() else {
        return Ok(());
    };
    for (name, help, value) in [
        (
            "trunkline_directory_store_age_seconds",
            "Time since etcd last confirmed that answers are from what it has.",
            replica.age().as_secs() as i64,
        ),
        (
            "trunkline_directory_store_connected",
            "1 while etcd answers.",
            i64::from(replica.is_connected()),
        ),
    ] {
        scrape.gauges(name, help, &[], &[(Vec::new(), value)])?;
    }
    Ok(())
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

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: &[(Vec<&str>, i64)],
    ) -> prometheus::Result<()> {
        let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
        for (labels, value) in values {
            family.get_metric_with_label_values(labels)?.set(*value);
        }
        self.registry.register(Box::new(family))
    }
}
