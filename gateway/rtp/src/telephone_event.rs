//! Digits as RTP events (RFC 4733): the payload, the sender in `sender.rs`, the receiver in `receiver.rs`.
#![forbid(unsafe_code)]

use crate::error::RtpError;

mod receiver;
mod sender;

pub use receiver::{DigitEvent, DigitReceiver, DigitReceiverCounters};
pub use sender::{DigitSender, EventPacket};

/// Octets of the payload (RFC 4733 §2.3).
pub const EVENT_OCTETS: usize = 4;

/// A DTMF digit: `0-9 * # A-D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

const SYMBOLS: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

impl Digit {
    /// The digit of an event code (RFC 4733 §3.2, Table 3); none for events that are no DTMF digits.
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// Its event code, 0..=15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// Its symbol, capital for A to D.
    pub fn symbol(self) -> char {
        SYMBOLS[usize::from(self.0 & 0x0f)]
    }
}

impl TryFrom<char> for Digit {
    type Error = RtpError;

    /// Accepts `a-d` too.
    fn try_from(symbol: char) -> Result<Self, RtpError> {
        let capital = symbol.to_ascii_uppercase();
        SYMBOLS
            .iter()
            .position(|known| *known == capital)
            .map(|code| Self(code as u8))
            .ok_or(RtpError::Digit { found: symbol })
    }
}

impl std::fmt::Display for Digit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.symbol())
    }
}

/// The payload of a telephone-event packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code, 0..=15 for DTMF.
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Power below 0 dBm0: 10 stands for -10 dBm0; 0..=63.
    pub level_minus_dbm0: u8,
    /// Length so far of the event or of this segment of it, in timestamp steps.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads a payload. Where several events stand in one packet the first is read (§2.5.1.5 allows
    /// them only for senders that were told so).
    ///
    /// # Errors
    /// [`RtpError::Truncated`].
    pub fn parse(payload: &[u8]) -> Result<Self, RtpError> {
        let Some(head) = payload.first_chunk::<EVENT_OCTETS>() else {
            return Err(RtpError::Truncated {
                what: "the telephone-event payload",
                needed_octets: EVENT_OCTETS,
                present_octets: payload.len(),
            });
        };
        Ok(Self {
            event: head[0],
            end: head[1] & 0x80 != 0,
            level_minus_dbm0: head[1] & 0x3f,
            duration: u16::from_be_bytes([head[2], head[3]]),
        })
    }

    /// The payload's octets; the reserved bit is 0.
    pub fn to_bytes(self) -> [u8; EVENT_OCTETS] {
        let [high, low] = self.duration.to_be_bytes();
        let flags = u8::from(self.end) << 7 | self.level_minus_dbm0.min(63);
        [self.event, flags, high, low]
    }
}

#[cfg(test)]
mod tests;
