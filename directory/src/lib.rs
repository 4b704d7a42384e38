//! The gateway address server: which gateway serves a number, answered as ENUM.
//!
//! [`table`] is the lookup core: longest prefix over the digits of a number, in an immutable
//! [`Snapshot`](table::Snapshot) that is swapped by pointer while queries run. [`fleet`] knows the
//! gateways and which of them take calls, [`selection`] brings both together. [`enum_server`] shows
//! the result as ENUM (RFC 6116), [`redirect`] as SIP and [`http`] as JSON and metrics;
//! [`Directory`] runs them. [`client`] asks such a server, from a gateway or a telephone.
#![forbid(unsafe_code)]

pub mod client;
pub mod configuration;
pub mod daemon;
pub mod datagrams;
pub mod edition;
mod endpoint;
pub mod enum_name;
pub mod enum_server;
mod error;
mod etcd;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gateways;
pub mod http;
pub mod provisioning;
pub mod redirect;
mod replica;
#[cfg(any(test, fuzzing))]
mod samples;
pub mod selection;
mod state;
pub mod store;
pub mod table;
pub mod why;
pub mod wire;
pub mod written;

pub use client::{
    EnumResolver, Resolution, ResolverSettings, SipTarget, SipTransport, Unavailable,
};
pub use configuration::Configuration;
pub use daemon::Directory;
pub use edition::Edition;
pub use error::DirectoryError;
pub use state::read_edition;
