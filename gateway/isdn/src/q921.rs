//! LAPD (Q.921) as a primary rate interface uses it: one point-to-point data link, SAPI 0, TEI 0,
//! modulo 128.

pub mod frame;
pub mod link;

pub use link::{DataLink, LinkConfiguration, LinkCounters, LinkOutput, LinkState};
