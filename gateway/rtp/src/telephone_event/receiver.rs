//! The receiving side: one digit for the many packets that tell of it, whichever of them are lost.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Digit, TelephoneEvent};
use crate::packet::Timestamp;

/// A digit without a further packet for this long is over, its end being lost.
const LOST_END: Duration = Duration::from_millis(250);
/// Packets up to this much older than the newest event are late; older still, the sender has a new
/// time base.
const LATE_S: u32 = 5;
/// A digit that is said to last longer than this is not believed and ended.
const LONGEST_S: u64 = 60;
/// At most three outputs come of one input: the digit before ends, one starts, and ends.
const OUTPUTS: usize = 4;

/// Receives digits.
///
/// Feed it the packets of the telephone-event payload type, and drain [`DigitReceiver::poll_output`]
/// after each input.
#[derive(Debug, Clone)]
pub struct DigitReceiver {
    clock_hz: u32,
    current: Option<Current>,
    /// Timestamp of the newest segment that was taken note of, its digit over.
    finished: Option<(Timestamp, u8)>,
    outputs: VecDeque<DigitEvent>,
    counters: DigitReceiverCounters,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    digit: Digit,
    segment: Timestamp,
    /// Steps of the segments before.
    before: u64,
    duration: u16,
    heard_at: Instant,
}

/// What the other side presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitEvent {
    /// The digit is pressed.
    Started {
        /// The digit.
        digit: Digit,
    },
    /// It is released, or its end was lost.
    Ended {
        /// The digit.
        digit: Digit,
        /// How long it was pressed, as far as known.
        duration_ms: u32,
    },
}

/// What was not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DigitReceiverCounters {
    /// Packets too short to be an event.
    pub malformed: u64,
    /// Events that are no DTMF digits.
    pub other_events: u64,
    /// Packets that told nothing new.
    pub repeated: u64,
    /// Packets of an event before the newest.
    pub late: u64,
    /// Digits ended without their end packet.
    pub lost_ends: u64,
}

impl DigitReceiver {
    /// `clock_hz` is the rate negotiated for telephone-event.
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: clock_hz.max(1),
            current: None,
            finished: None,
            outputs: VecDeque::with_capacity(OUTPUTS),
            counters: DigitReceiverCounters::default(),
        }
    }

    /// Takes a packet's timestamp and payload.
    pub fn packet_arrived(&mut self, timestamp: Timestamp, payload: &[u8], now: Instant) {
        self.timeout(now);
        let Ok(event) = TelephoneEvent::parse(payload) else {
            self.counters.malformed += 1;
            return;
        };
        let Some(digit) = Digit::from_event(event.event) else {
            self.counters.other_events += 1;
            return;
        };
        if self.goes_on(timestamp, digit, now) {
            self.update(event);
            return;
        }
        let newest = match (self.current, self.finished) {
            (Some(current), _) => Some((current.segment, current.digit.event())),
            (None, finished) => finished,
        };
        if let Some((newest, code)) = newest {
            let steps = timestamp.since(newest);
            // All packets of an event carry its timestamp (RFC 4733 §2.5.1.2): it is known already.
            if steps == 0 && code == event.event {
                self.counters.repeated += 1;
                return;
            }
            if steps <= 0 && steps.unsigned_abs() < self.clock_hz.saturating_mul(LATE_S) {
                self.counters.late += 1;
                return;
            }
        }
        // A new event; the one before is over even if its end was lost (RFC 4733 §2.5.2.2).
        self.end_lost();
        self.current =
            Some(Current { digit, segment: timestamp, before: 0, duration: 0, heard_at: now });
        self.put(DigitEvent::Started { digit });
        // If this is an end packet already, those before it were lost: the digit counts all the same.
        self.update(event);
    }

    /// Forgets the sender's time base: call it when the SSRC changes.
    pub fn source_changed(&mut self) {
        self.end_lost();
        self.finished = None;
    }

    /// Ends a digit whose packets stopped coming.
    pub fn timeout(&mut self, now: Instant) {
        if self.next_deadline().is_some_and(|deadline| now >= deadline) {
            self.end_lost();
        }
    }

    /// When [`DigitReceiver::timeout`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.current.map(|current| current.heard_at + LOST_END)
    }

    /// The next thing that happened.
    pub fn poll_output(&mut self) -> Option<DigitEvent> {
        self.outputs.pop_front()
    }

    /// The counters so far.
    pub fn counters(&self) -> DigitReceiverCounters {
        self.counters
    }

    /// Whether the packet belongs to the current digit, be it to its next segment.
    fn goes_on(&mut self, timestamp: Timestamp, digit: Digit, now: Instant) -> bool {
        let Some(current) = self.current.as_mut().filter(|current| current.digit == digit) else {
            return false;
        };
        let steps = timestamp.0.wrapping_sub(current.segment.0);
        // Segments of a long event follow each other without a gap (RFC 4733 §2.5.1.3). The last
        // packets of a segment may be lost, its length is known all the same.
        let is_next_segment = steps == u32::from(u16::MAX);
        if is_next_segment {
            current.before += u64::from(steps);
            current.segment = timestamp;
            current.duration = 0;
        }
        if is_next_segment || steps == 0 {
            current.heard_at = now;
            return true;
        }
        false
    }

    fn update(&mut self, event: TelephoneEvent) {
        let Some(current) = self.current.as_mut() else {
            return;
        };
        current.duration = current.duration.max(event.duration);
        let steps = current.before + u64::from(current.duration);
        if event.end || steps > u64::from(self.clock_hz) * LONGEST_S {
            self.end();
        }
    }

    fn end_lost(&mut self) {
        if self.current.is_some() {
            self.counters.lost_ends += 1;
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(current) = self.current.take() {
            let steps = current.before + u64::from(current.duration);
            let duration_ms = steps * 1000 / u64::from(self.clock_hz);
            self.finished = Some((current.segment, current.digit.event()));
            self.put(DigitEvent::Ended {
                digit: current.digit,
                duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
            });
        }
    }

    /// The queue never grows beyond its first allocation, even if nobody drains it.
    fn put(&mut self, event: DigitEvent) {
        if self.outputs.len() < OUTPUTS {
            self.outputs.push_back(event);
        }
    }
}
