//! What every program of Trunkline shares: configuration files whose errors name file, line, key
//! and remedy; logs as text or JSON lines; the signals that end and reload a program.
#![forbid(unsafe_code)]

pub mod configuration;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
pub mod signal;

pub use configuration::{ConfigurationError, Source};
pub use log::LogFormat;
