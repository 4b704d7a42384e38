//! Internet telephone software: the helper application that a click on a number starts.
//!
//! | module | subject |
//! |---|---|
//! | [`callee`] | whom to call, from a number, a link or linked data |
//! | [`engine`] | the call: directory, SIP, voice |
//! | [`face`] | where the phone meets the person: terminal or windows |
//! | [`dialog`] | the windows of a desktop without a terminal |
//! | [`log_file`] | the log where there is no terminal |
//! | [`sound`] | microphone and loudspeaker, WAV files, or nothing |
//! | [`terminal`] | the text interface |
//! | [`desktop`] | the helper application of a desktop |
//! | [`words`] | why a call failed |
#![forbid(unsafe_code)]

pub mod callee;
pub mod configuration;
pub mod desktop;
pub mod dialog;
pub mod engine;
pub mod face;
pub mod log_file;
pub mod sound;
pub mod terminal;
pub mod words;
