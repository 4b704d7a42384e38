//! RTP, RTCP, telephone-event, session descriptions and the lock-free jitter buffer.
