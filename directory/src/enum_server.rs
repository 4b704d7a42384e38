//! The table as ENUM: NAPTR records over UDP and TCP (RFC 6116).

pub(crate) mod answer;
mod clients;
mod cookie;
mod counters;
mod ladder;
mod response_rate;
pub(crate) mod tcp;
pub(crate) mod udp;

pub use answer::{
    Answered, Asked, Kind, NO_GATEWAY_INFO_CODE, Transport, UDP_ANSWER_MAX_OCTETS, Zone, answer,
    has_valid_cookie,
};
pub use clients::{BadNetwork, ClientRule, Clients, Network, Sees};
pub use cookie::CookieSecrets;
pub use counters::{Counters, CountersSnapshot, KindCounts};
pub use response_rate::{ResponseRate, Verdict};
