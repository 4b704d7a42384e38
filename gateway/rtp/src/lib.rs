//! RTP, RTCP, telephone-event, session descriptions and the lock-free jitter buffer.

pub mod codec;
pub mod comfort_noise;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod jitter;
pub mod ntp;
pub mod packet;
pub mod playout;
pub mod reception;
pub mod rtcp;
pub mod sdp;
pub mod source;
pub mod srtp;
pub mod telephone_event;
pub mod transmission;
pub mod voip_metrics;

pub use error::RtpError;
