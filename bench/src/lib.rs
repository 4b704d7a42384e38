//! What stands around the product: the simulated telephone exchange, and the load test of the media
//! plane.
// Only the load test's clocks and sockets talk to the kernel directly; they say so.
#![deny(unsafe_code)]

pub mod compare;
pub mod directory;
pub mod exchange;
pub mod load;
pub mod scale;
pub mod voice;
