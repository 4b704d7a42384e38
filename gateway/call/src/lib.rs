//! Call control: joins legs, routes, hunts for B channels, maps causes and writes call records.
//!
//! This crate is the part of the gateway that knows what a call is and nothing else: no SIP
//! message, no RTP packet, no socket, clock, thread or lock. Events of the legs and the present
//! time come in as arguments of [`CallControl`]'s methods, [`Action`]s come out of
//! [`CallControl::poll_action`]. The gateway crate ties both to SIP, Q.931 and the media plane.
//!
//! | module | subject |
//! |---|---|
//! | [`control`] | the calls: two legs each, from offer to record |
//! | [`routing`] | which way a number goes: to a trunk group, to a phone, or to the directory |
//! | [`congestion`] | why new calls are refused for want of room |
//! | [`trunk`] | trunk groups, spans and B channels; hunting |
//! | [`interworking`] | Q.850 causes to SIP statuses and back, as data |
//! | [`record`] | the call detail record |
#![forbid(unsafe_code)]

pub mod congestion;
pub mod control;
pub mod identity;
pub mod interworking;
pub mod record;
pub mod routing;
pub mod trunk;

pub use control::{Action, CallControl, CallId, LegId};
