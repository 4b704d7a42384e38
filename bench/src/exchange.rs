//! A simulated telephone exchange: the telephone network on the far side of the gateways' E1
//! lines, with telephones that answer, speak and record.
//!
//! It is the network side of each span with real Q.921 and Q.931, carried by the same line
//! implementations as the gateway's. A telephone is configured: its number, its network, when it
//! answers (or that it is busy, or that nobody is at home), what is said into it. What it hears is
//! written to a WAV file for each call.
//!
//! | module | subject |
//! |---|---|
//! | [`configuration`] | the YAML file |
//! | [`telephone`] | what a telephone does in a call, as a pure state machine |
//! | [`voice`] | a telephone's mouth and ear on a B channel |
//! | [`recorder`] | what was heard, into WAV files |
//! | [`switching`] | calls between telephones and spans |
//! | [`control`] | HTTP: make telephones call, see calls |

pub mod configuration;
pub mod control;
pub mod recorder;
pub mod switching;
pub mod telephone;
pub mod voice;
