//! RTP, RTCP, telephone-event, session descriptions and the lock-free jitter buffer.

pub mod jitter;
pub mod playout;
