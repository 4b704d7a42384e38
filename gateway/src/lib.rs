//! The media gateway between SIP and E1/T1.
//!
//! This crate ties the edges to the machines: SIP ([`trunkline_sip`]), spans ([`trunkline_tdm`])
//! with their primary rate interfaces ([`trunkline_isdn`]) and RTP ([`trunkline_media`]) to call
//! control ([`trunkline_call`]). Configuration, call records, metrics, start and stop are here.
#![forbid(unsafe_code)]

use std::fmt::Write;

pub mod configuration;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod journal;
pub mod metrics;
mod program;
pub mod status;
pub mod switch;
pub mod voice_quality;
pub mod wall_clock;

pub use program::{GatewayError, run};

/// The tables by which causes become statuses and back, for the operator to read.
pub fn cause_tables() -> String {
    use trunkline_call::interworking::{CAUSE_OF_STATUS, STATUS_OF_CAUSE, cause_text};
    let mut text = String::from("Q.850 cause -> SIP status (RFC 3398 §7.2.4.1)\n");
    for (cause, status) in STATUS_OF_CAUSE {
        let _ = writeln!(text, "{cause:>5} -> {status}  {}", cause_text(*cause));
    }
    text.push_str("SIP status -> Q.850 cause (RFC 3398 §8.2.6.1)\n");
    for (status, cause) in CAUSE_OF_STATUS {
        let _ = writeln!(text, "{status:>5} -> {cause:<4} {}", cause_text(*cause));
    }
    text
}
