//! The media plane: a pinned worker per core, RTP legs, timeslot bridges and packet I/O.
//!
//! [`Media::start`] starts the workers. [`Media::open`] binds the ports of an RTP leg, hands it to
//! a worker and gives back a [`TimeslotEnd`], which the span (or the sound card) serves on its own
//! thread and clock. Between the two lie only lock-free rings: the jitter buffer towards the line,
//! a ring of samples towards the worker. Whatever happens to legs comes as [`MediaEvent`].
//!
//! The life of a packet from the network: `packet_io` → `leg/incoming.rs` (source rule, reception,
//! timeline) → jitter buffer → `timeslot/player.rs` (playout policy, decoding, concealment) → line.
//! And back: line → ring → `leg/from_line.rs` (digits, encoding, header) → `packet_io`.
//!
//! [`Media::open_pair`] joins two RTP legs instead: `packet_io` → `leg/incoming.rs` of the one →
//! `leg/relay.rs` of the other (new numbers, in place) → `packet_io`, within one look at the packet.
//!
//! [`cross`] joins two timeslots: no packet and no worker, one elastic store each way.

mod bridge;
mod coders;
mod config;
mod counters;
mod crossing;
mod error;
mod event;
mod format;
mod leg;
mod load;
mod media;
mod memory;
pub mod packet_io;
mod pairs;
mod ports;
mod spec;
mod timeslot;
pub mod transcode;
mod virtual_line;
mod worker;

pub use config::{MediaConfig, PacketAllowance};
pub use counters::{
    MediaCounters, TICK_LATENESS_BOUNDS_US, TICK_LATENESS_BUCKETS, TICK_WORK_BOUNDS_US,
    TICK_WORK_BUCKETS, WorkerCounters, WorkerLoad,
};
pub use crossing::{CrossBoard, CrossEnd, CrossFigures, cross};
pub use error::MediaError;
pub use event::{LegId, LegStatistics, MediaEvent, MediaEventKind, PlayoutFigures, SrtpFigures};
pub use leg::{BesideReceiver, BesideRtp};
pub use media::{Media, OpenedEnd, OpenedLeg, OpenedPair};
pub use spec::{
    Direction, Payload, PayloadFormat, Protection, Remote, RtpLegSpec, RtpLegUpdate, Sending,
};
pub use timeslot::TimeslotEnd;
pub use virtual_line::VirtualLine;
