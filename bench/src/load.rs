//! The load test of the media plane: RTP calls through a relay, counted and timed at both ends.
//!
//! A call is two parties, A and B. Each sends to the relay's port for it, and checks what comes
//! from there. The flooder knows nothing of the relay but a [`call_list`], which a small driver
//! for each kind of relay writes.
//!
//! | module | subject |
//! |---|---|
//! | [`call_list`] | who sends from where to where |
//! | [`packet`] | the RTP packets, marked so that each is known again |
//! | [`codecs`] | what the sides of a call speak, where it is transcoded |
//! | [`speech`] | the packets then, known by the numbers of the relay's stream |
//! | [`ledger`] | what arrived: lost, doubled, reordered, changed |
//! | [`latency`] | percentiles |
//! | [`schedule`] | when which packet is due |
//! | [`protection`] | SRTP of the parties |
//! | [`wire`] | a packet socket for all parties, or a UDP socket a party |
//! | [`cpu`] | processor time of processes and of soft interrupts |
//! | [`clock`] | the kernel's clocks, and a real-time thread |
//! | [`flood`] | a run, from start to figures |
//! | [`report`] | the figures, as JSON and as a table |
//! | [`descriptors`] | how many sockets a process may have |
//! | [`bare_relay`] | the floor: what the kernel takes for a relay that does nothing |
//! | [`media_relay`] | our own media plane as a relay |
//! | [`rtpengine`] | calls through rtpengine, by its control protocol |

pub mod bare_relay;
pub mod call_list;
pub mod clock;
pub mod codecs;
pub mod cpu;
pub mod descriptors;
mod error;
pub mod flood;
pub mod latency;
pub mod ledger;
pub mod media_relay;
pub mod packet;
pub mod protection;
pub mod report;
pub mod rtpengine;
pub mod schedule;
pub mod speech;
pub mod wire;

pub use error::LoadError;
