//! How speech comes out of a bad network: our playout and others, on the same packet traces.
//!
//! Everything runs in virtual time, so that a loaded machine changes no figure but the processor time.
//!
//! | module | subject |
//! |---|---|
//! | [`speech`] | what is said: recordings of several voices and languages |
//! | [`trace`] | twenty networks: when each packet comes, if it comes |
//! | [`ours`] | our playout, from the timeline to the line |
//! | [`fixed`] | a playout that knows beforehand which delay is the best |
//! | [`peers`] | SpeexDSP's jitter buffer and WebRTC's NetEQ |
//! | [`score`] | PESQ and delay of what was heard, and what both make of a conversation |
//! | [`comparison`] | all of them on all traces, and whether ours is as good as it shall be |
//! | [`report`] | the table, as Markdown |
//! | [`picture`] | the bars, as SVG |

pub mod comparison;
mod error;
pub mod fixed;
pub mod ours;
pub mod peers;
pub mod picture;
mod random;
pub mod report;
pub mod score;
pub mod speech;
pub mod trace;

pub use error::VoiceError;
