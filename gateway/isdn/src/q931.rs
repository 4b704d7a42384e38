//! Call control of Q.931: messages, information elements, calls and their timers.

pub mod accompanying;
pub mod call;
pub mod element;
pub mod message;
pub mod timer;
