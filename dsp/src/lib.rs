//! Sample arithmetic of the telephone network: codecs, concealment, tones, resampling.
#![forbid(unsafe_code)]

pub mod g711;
