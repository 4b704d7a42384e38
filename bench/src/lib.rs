//! The simulated telephone exchange, load tools and benchmarks.
#![forbid(unsafe_code)]

pub mod exchange;
