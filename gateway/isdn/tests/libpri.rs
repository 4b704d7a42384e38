//! Calls with libpri at the other end: an implementation that nobody here wrote.

#[path = "libpri/basic_call.rs"]
mod basic_call;
#[path = "libpri/peer.rs"]
mod peer;
#[path = "libpri/restart.rs"]
mod restart;
