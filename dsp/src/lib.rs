//! Sample arithmetic of the telephone network: codecs, concealment, tones, resampling.
//!
//! Everything here is pure: samples come in, samples go out, into the caller's buffers. Samples
//! are linear, 16 bits, mono, at 8 kHz unless a name says otherwise. Construction may allocate,
//! processing never does.
//!
//! | module | algorithm |
//! |---|---|
//! | [`g711`] | A-law and µ-law, and the direct conversion between them |
//! | [`level`] | dBm0, dBov and samples; a level meter |
//! | [`tone`] | tones with cadence as data; the tones of Japan |
#![forbid(unsafe_code)]

pub mod g711;
pub mod level;
mod oscillator;
pub mod tone;

/// The sample rate of the telephone network.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
