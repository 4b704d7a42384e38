//! The table as ENUM: NAPTR records over UDP and TCP (RFC 6116).

pub(crate) mod answer;
mod counters;
mod ladder;
mod response_rate;
pub(crate) mod tcp;
pub(crate) mod udp;

pub use answer::{Answered, Kind, Transport, UDP_ANSWER_MAX_OCTETS, Zone, answer};
pub use counters::{Counters, CountersSnapshot, KindCounts};
pub use response_rate::{ResponseRate, Verdict};
