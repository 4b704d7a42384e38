//! The whole system on one machine: starts it, prints the ladder of each call, compares what was
//! said and heard.
//!
//! The system tests, in which foreign software talks to the programs, are in `tests/`.

pub mod call;
pub mod comparison;
pub mod ladder;
pub mod lone_gateway;
pub mod network;
pub mod party;
pub mod program;
pub mod speech;
