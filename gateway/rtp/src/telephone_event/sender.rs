//! The sending side: which packet to put in the place of sound at each packet time.
#![forbid(unsafe_code)]

use super::{Digit, EVENT_OCTETS, TelephoneEvent};
use crate::error::RtpError;
use crate::packet::Timestamp;

/// Digits that may wait while one is being sent.
const WAITING_LIMIT: usize = 32;
/// The last packet of an event or segment goes out this often (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;
/// Shortest pause between digits; Q.24 asks receivers to accept 40 ms, so 60 ms is safe.
const PAUSE_MS: u32 = 60;
/// Shortest digit; Q.24 asks receivers to accept 40 ms.
const SHORTEST_MS: u32 = 40;
/// Level written into the packets, of a telephone's digits.
const LEVEL_MINUS_DBM0: u8 = 10;

/// Sends digits one after another. Call [`DigitSender::next_packet`] once each packet time.
#[derive(Debug, Clone)]
pub struct DigitSender {
    clock_hz: u32,
    waiting: [Option<(Digit, u32)>; WAITING_LIMIT],
    waiting_count: usize,
    current: Option<Current>,
    free_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    digit: Digit,
    /// RTP timestamp of the segment that is being sent.
    segment: Timestamp,
    /// Steps from the start of that segment to the end of the event.
    left: u32,
    first: bool,
    /// Last packets of the event or segment sent so far.
    ends_sent: u8,
}

/// A packet to send in the place of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// Set on the first packet of an event.
    pub marker: bool,
    /// Start of the event or segment, the same in all its packets.
    pub timestamp: Timestamp,
    /// The payload.
    pub payload: [u8; EVENT_OCTETS],
}

impl DigitSender {
    /// `clock_hz` is the rate negotiated for telephone-event.
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz,
            waiting: [None; WAITING_LIMIT],
            waiting_count: 0,
            current: None,
            free_at: None,
        }
    }

    /// Queues a digit; one shorter than 40 ms is sent for 40 ms, one longer than a minute for a minute.
    ///
    /// # Errors
    /// [`RtpError::DigitsWaiting`] when 32 wait already.
    pub fn send(&mut self, digit: Digit, duration_ms: u32) -> Result<(), RtpError> {
        let place = self
            .waiting
            .get_mut(self.waiting_count)
            .ok_or(RtpError::DigitsWaiting { limit: WAITING_LIMIT })?;
        *place = Some((digit, duration_ms.clamp(SHORTEST_MS, 60_000)));
        self.waiting_count += 1;
        Ok(())
    }

    /// Whether a digit is being sent or waits.
    pub fn is_sending(&self) -> bool {
        self.current.is_some() || self.waiting_count > 0
    }

    /// The event packet for the packet time that starts at `timestamp` and lasts `step`, or none: sound
    /// goes out as usual.
    pub fn next_packet(&mut self, timestamp: Timestamp, step: u32) -> Option<EventPacket> {
        if self.current.is_none() {
            self.begin(timestamp);
        }
        let current = self.current.as_mut()?;
        // The packet tells what will have been "pressed" when its packet time is over.
        let elapsed = timestamp.plus(step).0.wrapping_sub(current.segment.0);
        let longest = u32::from(u16::MAX);
        let is_last_segment = current.left <= longest;
        let limit = current.left.min(longest);
        let duration = if current.ends_sent > 0 { limit } else { elapsed.min(limit) };
        let is_final = duration == limit;
        let packet = EventPacket {
            marker: current.first,
            timestamp: current.segment,
            payload: TelephoneEvent {
                event: current.digit.event(),
                end: is_final && is_last_segment,
                level_minus_dbm0: LEVEL_MINUS_DBM0,
                duration: duration as u16,
            }
            .to_bytes(),
        };
        current.first = false;
        if is_final {
            current.ends_sent += 1;
            if current.ends_sent == END_PACKETS {
                let segment_end = current.segment.plus(limit);
                if is_last_segment {
                    let pause = self.clock_hz / 1000 * PAUSE_MS;
                    let retransmitted_until = timestamp.plus(step);
                    let from = if retransmitted_until.is_after(segment_end) {
                        retransmitted_until
                    } else {
                        segment_end
                    };
                    self.free_at = Some(from.plus(pause));
                    self.current = None;
                } else {
                    // A new segment starts where the last ended (RFC 4733 §2.5.1.3).
                    current.segment = segment_end;
                    current.left -= limit;
                    current.ends_sent = 0;
                }
            }
        }
        Some(packet)
    }

    fn begin(&mut self, timestamp: Timestamp) {
        if let Some(free_at) = self.free_at {
            if free_at.is_after(timestamp) {
                return;
            }
            self.free_at = None;
        }
        let Some((digit, duration_ms)) = self.waiting[0] else {
            return;
        };
        self.waiting.copy_within(1.., 0);
        self.waiting_count -= 1;
        self.waiting[self.waiting_count] = None;
        self.current = Some(Current {
            digit,
            segment: timestamp,
            left: self.clock_hz / 1000 * duration_ms,
            first: true,
            ends_sent: 0,
        });
    }
}
