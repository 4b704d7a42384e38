//! The registers: numbers by compelled signals (Q.440 §4, Q.457).
//!
//! A forward signal sounds until a backward one is heard; that one sounds until the forward one has
//! ended, and its end is what the next forward signal waits for.

mod incoming;
mod outgoing;

pub(super) use incoming::Incoming;
pub(super) use outgoing::Outgoing;

use crate::Called;

/// What a register came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Outgoing: the called party is free.
    Accepted {
        /// The call costs something.
        charge: bool,
    },
    /// Outgoing: the call is over.
    Refused {
        /// Cause of Q.850.
        cause: u8,
        /// The other end did not say so.
        by_us: bool,
    },
    /// Incoming: the number is whole; the other end waits for group B.
    Called(Called),
    /// Incoming: the other end knows that the called party is free.
    Done,
    /// Incoming: no signal comes; the other end is being told.
    Failed {
        /// Cause of Q.850.
        cause: u8,
    },
    /// Incoming: the other end knows that the call is refused.
    RefusalSaid,
}

/// The signal of a digit: I-1 to I-9, and I-10 for 0.
fn signal_of(digit: char) -> u8 {
    match digit.to_digit(10) {
        Some(0) | None => 10,
        Some(digit) => digit as u8,
    }
}

/// The digit of a signal, if it is one.
fn digit_of(signal: u8) -> Option<char> {
    match signal {
        1..=10 => char::from_digit(u32::from(signal % 10), 10),
        _ => None,
    }
}
