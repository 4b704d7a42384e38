//! Internet telephone software: the helper application that a click on a number starts.
//!
//! | module | subject |
//! |---|---|
//! | [`callee`] | whom to call, from a number, a link or linked data |
//! | [`engine`] | the call: directory, SIP, voice |
//! | [`session`] | from start to end: one call, or in a window one after another |
//! | [`face`] | where the phone meets the person: terminal or window |
//! | [`window`] | the window |
//! | [`running`] | one phone a person: a second click goes to the running one |
//! | [`state`] | what a person sees of a call, and asks for |
//! | [`log_file`] | the log where there is no terminal |
//! | [`sound`] | microphone and loudspeaker, WAV files, or nothing |
//! | [`terminal`] | the text interface |
//! | [`desktop`] | the helper application of a desktop |
//! | [`words`] | what a person reads, in English and Japanese |
#![forbid(unsafe_code)]

pub mod callee;
pub mod configuration;
pub mod desktop;
pub mod engine;
pub mod face;
pub mod log_file;
pub mod running;
pub mod session;
pub mod sound;
pub mod state;
pub mod terminal;
pub mod window;
pub mod words;
