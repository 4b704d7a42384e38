//! Counters for Prometheus.

use prometheus::{Encoder, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

/// What the server has done since it started.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Responses by status.
    responses: IntCounterVec,
    /// Pages sent by language.
    pages: IntCounterVec,
    /// Linked data sent, with the gateway's address or without.
    linked_data: IntCounterVec,
    /// Tokens for calls from within a page.
    call_tokens: IntCounter,
    /// Requests for linked data or a token that were not granted, by reason.
    refused: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &[label])
                .expect("the names here are valid");
            registry.register(Box::new(counter.clone())).expect("each name is used once");
            counter
        };
        let call_tokens = IntCounter::new(
            "trunkline_web_call_tokens_total",
            "Tokens for calls from within a page.",
        )
        .expect("the name is valid");
        registry.register(Box::new(call_tokens.clone())).expect("each name is used once");
        Metrics {
            call_tokens,
            responses: counter("trunkline_web_responses_total", "Responses by status.", "status"),
            pages: counter("trunkline_web_pages_total", "Company pages sent.", "language"),
            linked_data: counter(
                "trunkline_web_linked_data_total",
                "Linked data sent: route directory (the phone asks) or gateway (address inside).",
                "route",
            ),
            refused: counter(
                "trunkline_web_linked_data_refused_total",
                "Requests for linked data or a token not granted.",
                "reason",
            ),
            registry,
        }
    }

    pub(crate) fn response(&self, status: axum::http::StatusCode) {
        self.responses.with_label_values(&[status.as_str()]).inc();
    }

    pub(crate) fn page(&self, language: crate::Language) {
        self.pages.with_label_values(&[language.tag()]).inc();
    }

    pub(crate) fn linked_data(&self, with_gateway: bool) {
        self.linked_data
            .with_label_values(&[if with_gateway { "gateway" } else { "directory" }])
            .inc();
    }

    pub(crate) fn call_token(&self) {
        self.call_tokens.inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// The Prometheus text format.
    pub(crate) fn text(&self) -> String {
        let mut octets = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut octets)
            .expect("a vector takes every octet");
        String::from_utf8(octets).expect("the format is UTF-8")
    }
}
