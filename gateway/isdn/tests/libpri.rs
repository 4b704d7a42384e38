//! Calls with libpri at the other end: an implementation that nobody here wrote.

#[path = "libpri/basic_call.rs"]
mod basic_call;
#[path = "libpri/channels.rs"]
mod channels;
#[path = "libpri/numbers.rs"]
mod numbers;
#[path = "libpri/overlap.rs"]
mod overlap;
#[path = "libpri/peer.rs"]
mod peer;
#[path = "libpri/recovery.rs"]
mod recovery;
#[path = "libpri/restart.rs"]
mod restart;
#[path = "libpri/service.rs"]
mod service;
