//! Q.921 data links and Q.931 calls as pure state machines.
//!
//! A primary rate interface has one D channel. [`PrimaryRate`] is what is spoken on it: a
//! [`q921::DataLink`] that carries messages safely, and the calls of [`q931`] above it. Frames
//! (without flags and FCS), requests and the present time come in; frames and indications come
//! out of [`PrimaryRate::poll_output`]. There is no clock, socket or thread here.
//!
//! | module | subject |
//! |---|---|
//! | [`primary_rate`] | data link and calls of one D channel together |
//! | [`q921`] | LAPD: frames, the data link's states and timers |
//! | [`q931`] | messages, information elements, call states and timers |
//! | [`variant`] | what differs between national networks, as data |
#![forbid(unsafe_code)]

pub mod error;
pub mod primary_rate;
pub mod q921;
pub mod q931;
#[cfg(test)]
mod snapshot;
pub mod variant;

pub use error::IsdnError;
pub use primary_rate::{Configuration, Counters, Output, PrimaryRate, ServiceCoding, ServiceState};
pub use q931::accompanying::Accompanying;
pub use q931::call::{CallId, Indication, Request, Setup};
pub use q931::element::{
    BearerCapability, Cause, DIGITS_MAX, Location, Number, NumberType, NumberingPlan, Presentation,
    Progress, Redirecting, RedirectionReason, Screening, TransferCapability,
};
pub use variant::Variant;

/// Side of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The user's equipment (TE).
    User,
    /// The network (NT).
    Network,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::User => Self::Network,
            Self::Network => Self::User,
        }
    }
}
