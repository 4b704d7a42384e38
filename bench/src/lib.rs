//! The simulated telephone exchange; load tools and benchmarks will stand beside it.
#![forbid(unsafe_code)]

pub mod exchange;
