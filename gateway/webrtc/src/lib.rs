//! A call's leg in a browser, without sockets, clocks or threads.
//!
//! A page offers ([`Offer`]); what the offer says of codecs is negotiated like any other
//! (`trunkline_rtp::sdp`), and what it says of the path goes into a [`Session`]: ICE-lite
//! (RFC 8445 §2.5), DTLS (RFC 6347, RFC 9147) and the SRTP keys that come of it (RFC 5764). Datagrams
//! and the time go in, [`Action`]s come out of [`Session::poll_action`].
#![forbid(unsafe_code)]

mod certificate;
mod error;
mod ice;
mod offer;
mod session;

pub use certificate::{Certificate, Fingerprint};
pub use error::WebRtcError;
pub use ice::Credentials;
pub use offer::{Offer, Path};
pub use session::{Action, End, Session};
