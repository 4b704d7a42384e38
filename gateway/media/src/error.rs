//! What can go wrong with a media plane or a leg.

use std::io;
use std::net::IpAddr;

use crate::event::LegId;
use crate::packet_io::Backend;

/// Why the media plane refused.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// A setting cannot be used.
    #[error("media setting {setting}: {reason}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// Why not.
        reason: String,
    },
    /// A worker could not start.
    #[error("media worker {worker} cannot start on core {core}: {source}")]
    Worker {
        /// Counted from 0.
        worker: usize,
        /// The core it was to have.
        core: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The cores this process may use could not be asked for.
    #[error("cannot learn which cores may be used: {source}")]
    Cores {
        /// What the system says.
        source: io::Error,
    },
    /// The back end does not work on this host.
    #[error("packet back end {backend} cannot be used: {source}")]
    Backend {
        /// The back end.
        backend: Backend,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Every port pair of the range is taken.
    #[error("no RTP port pair left on {ip}: all {pairs} of {first}-{last} are taken")]
    PortsExhausted {
        /// The local address.
        ip: IpAddr,
        /// How many pairs the range has.
        pairs: usize,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// A socket could not be made or bound.
    #[error("cannot bind an RTP port on {ip}: {source}")]
    Bind {
        /// The local address.
        ip: IpAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// All workers have as many legs as they may.
    #[error("no room for another leg: {limit} a worker on {workers} workers")]
    LegsExhausted {
        /// Legs a worker may have.
        limit: usize,
        /// How many workers there are.
        workers: usize,
    },
    /// The workers that have room for legs have no time for them.
    #[error(
        "no time for another leg: the load would be {load_percent} % or more on each of {workers} \
         workers, allowed are {limit_percent} %"
    )]
    Overloaded {
        /// The least load that a worker would have with it, in percent of its time.
        load_percent: u32,
        /// What a worker may have.
        limit_percent: u32,
        /// How many workers there are.
        workers: usize,
    },
    /// The leg's description contradicts itself.
    #[error("leg description: {0}")]
    Spec(&'static str),
    /// A leg of a pair only passes on what the other side sends.
    #[error("leg {0} is one of a pair: it sends no digits of its own")]
    Paired(LegId),
    /// No such leg, or not any more.
    #[error("no leg {0}")]
    UnknownLeg(LegId),
    /// The worker has too many commands waiting.
    #[error("media worker {worker} has {waiting} commands waiting")]
    Busy {
        /// Counted from 0.
        worker: usize,
        /// How many wait.
        waiting: usize,
    },
    /// The codec could not be set up.
    #[error("codec: {0}")]
    Codec(String),
}
