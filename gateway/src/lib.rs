//! The media gateway between SIP and E1/T1.
//!
//! This crate ties the edges to the machines: SIP ([`trunkline_sip`]), spans ([`trunkline_tdm`])
//! with their primary rate interfaces ([`trunkline_isdn`]) and RTP ([`trunkline_media`]) to call
//! control ([`trunkline_call`]). Configuration, call records, metrics, start and stop are here.
#![forbid(unsafe_code)]

pub mod browser;
pub mod causes;
pub mod configuration;
pub mod control;
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
