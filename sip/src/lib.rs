//! SIP for the gateway and the phone: call legs over rsipstack, behind a strict screen.
//!
//! An [`Endpoint`] is one user agent on one or more local addresses. What happens on its legs
//! comes out of [`Events`]; what is to happen goes in by the methods of [`Endpoint`], which
//! never wait. Session descriptions are opaque octets here and numbers are text: this crate
//! knows no codec and no numbering plan, and no type of the stack below shows through.
//!
//! The stack logs every message at level info; programs keep it quiet with `rsipstack=warn`.

#![forbid(unsafe_code)]

mod address;
mod config;
mod counters;
mod dispatch;
mod endpoint;
mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod leg;
mod reason;
mod registrar;
mod registration;
mod screen;
mod session;
mod transport;
mod uri;

pub use address::Address;
pub use config::{Credential, EndpointConfig, OutgoingInvite, Register, Rejection};
pub use counters::CountersSnapshot;
pub use endpoint::{Endpoint, Events};
pub use event::{Event, IncomingInvite, LegId, Party, Sdp, Transport};
pub use registrar::Binding;
pub use screen::Fault;
pub use uri::{Scheme, Uri};

/// What can go wrong when an endpoint is started or told to do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SipError {
    /// A local address cannot be listened on.
    #[error("cannot listen on {transport} {address}: {source}")]
    Listen {
        /// The transport.
        transport: Transport,
        /// The address as configured.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration names no local address at all.
    #[error("no UDP and no TCP address to listen on")]
    NoAddress,
    /// Text that is no `sip:` or `tel:` URI.
    #[error("not a SIP or tel URI: {0:?}")]
    Uri(String),
    /// The leg has ended, or never was.
    #[error("{0} has ended")]
    NoSuchLeg(LegId),
    /// The leg has more instructions waiting than any call has use for.
    #[error("{0} takes no more instructions")]
    Busy(LegId),
    /// The endpoint has as many legs as its configuration allows.
    #[error("all {0} legs are in use")]
    Full(usize),
    /// The endpoint is shutting down.
    #[error("the endpoint is shutting down")]
    ShuttingDown,
}
