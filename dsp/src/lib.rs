//! Sample arithmetic of the telephone network: codecs, concealment, tones, resampling.
//!
//! Everything here is pure: samples come in, samples go out, into the caller's buffers. Samples
//! are linear, 16 bits, mono, at 8 kHz unless a name says otherwise. Construction may allocate,
//! processing never does.
//!
//! | module | algorithm |
//! |---|---|
//! | [`g711`] | A-law and µ-law, and the direct conversion between them |
//! | [`g722`] | G.722 with concealment, at 8 and 16 kHz |
//! | [`opus`] | Opus over libopus, with FEC, DTX and concealment |
//! | [`concealment`] | a continuation in the place of lost samples |
//! | [`stretch`] | a little more or less of a voice, in pauses or by a pitch period |
//! | [`activity`] | whether someone is speaking |
//! | [`comfort_noise`] | the background of a silent sender (RFC 3389) |
//! | [`resample`] | between 8, 16 and 48 kHz |
//! | [`drift`] | between any rates, by a ratio that follows a sound card's clock |
//! | [`level`] | dBm0, dBov and samples; a level meter |
//! | [`tone`] | tones with cadence as data; the tones of Japan |
//! | [`lanes`] | sixteen channels side by side, for the banks of the modules below |
//! | [`dtmf`] | the digits of push-button dialling: generator and detector |
//! | [`mf_r2`] | the signals of MFC/R2 between exchanges: generator and detector |
#![deny(unsafe_code)]

pub mod activity;
pub mod comfort_noise;
pub mod concealment;
pub mod drift;
pub mod dtmf;
pub mod echo;
mod error;
pub mod fax;
mod filter;
pub mod g711;
pub mod g722;
pub mod lanes;
pub mod level;
pub mod mf_r2;
mod noise;
pub mod opus;
mod oscillator;
mod pitch;
mod rate;
pub mod resample;
pub mod stretch;
pub mod tone;

pub use error::DspError;
pub use rate::SampleRate;

/// The sample rate of the telephone network.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// Samples in a duration at [`SAMPLE_RATE_HZ`].
const fn samples_in(duration_ms: u32) -> usize {
    duration_ms as usize * (SAMPLE_RATE_HZ as usize / 1_000)
}
