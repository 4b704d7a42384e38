//! What can go wrong with a line or a span.

use std::io;
use std::net::SocketAddr;

/// An error of a line or a span. What the far end can cause on a running line is counted instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TdmError {
    /// The line's socket could not be opened.
    #[error("the line cannot use UDP address {address}: {source}")]
    Bind {
        /// The local address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// DAHDI refused something.
    #[error("DAHDI refuses {what}: {source}")]
    Dahdi {
        /// Which file or channel.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// DAHDI has no such span with its B channels and D channel.
    #[error("DAHDI has no span {0} of 1 to 31 channels with the D channel asked for")]
    NoDahdiSpan(i32),
    /// A dynamic span got another number than the one it is to have.
    #[error(
        "DAHDI numbers the dynamic span {made}, not {span}: spans are numbered in the order in which they are made"
    )]
    DahdiSpanNumber {
        /// The number asked for.
        span: i32,
        /// The number that it got.
        made: i32,
    },
    /// A block of this size is not possible.
    #[error("a block of a DAHDI line has 16 to 160 samples, not {samples}")]
    BlockSize {
        /// The size asked for.
        samples: usize,
    },
    /// The line broke and cannot go on.
    #[error("the line failed: {0}")]
    Line(#[from] io::Error),
    /// The far end of a line held in memory is gone for good.
    #[error("the far end of the line is gone")]
    Gone,
    /// The span's thread could not be started.
    #[error("the thread of span {name} cannot be started: {source}")]
    Thread {
        /// Name of the span.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The timeslot is not one that can carry a bearer.
    #[error("timeslot {0} carries no bearer on this span")]
    Timeslot(u8),
    /// The span does not keep up with what it is told to do.
    #[error("the span's queue is full")]
    QueueFull,
    /// A frame for the D channel is empty or too long.
    #[error("a D-channel frame of {size_octets} octets cannot be sent")]
    FrameSize {
        /// Its length without flags and FCS.
        size_octets: usize,
    },
    /// The span has no D channel.
    #[error("the span has no D channel")]
    NoDChannel,
    /// A line of this shape is not possible.
    #[error("a span has 31 timeslots (E1) or 24 (T1), not {0}")]
    Shape(u8),
}
