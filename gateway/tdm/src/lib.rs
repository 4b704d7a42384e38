//! E1 and T1 spans: the line trait, HDLC, alarms, the DAHDI driver, TDM over
//! Ethernet and lines held in memory.
//!
//! A [`Span`] is one thread that lives on the clock of its [`Line`]. Each block of octets that
//! the line delivers goes timeslot by timeslot to the [`Bearer`] attached there, and what the
//! bearer gives back leaves with the block sent in answer. The D channel's timeslot goes through
//! HDLC and reaches the owner as frames.
//!
//! One block, in file order: `tdmoe.rs` (or `memory.rs`) receives when `pace.rs` says so ·
//! `span/worker.rs` feeds `hdlc.rs` and the bearers, tells `alarm.rs` · the line transmits.

pub mod alarm;
pub mod dahdi;
pub mod error;
pub mod hdlc;
pub mod line;
pub mod memory;
mod pace;
pub mod span;
pub mod tdmoe;

pub use alarm::{AlarmMonitor, AlarmState, AlarmTimes};
pub use dahdi::{DahdiBuffers, DahdiConfig, DahdiLine, EchoCanceller, Gains};
pub use error::TdmError;
pub use line::{Block, DChannel, Line, LineCounters, Load, Shape, Tick};
pub use memory::MemoryLine;
pub use span::{Bearer, Span, SpanConfig, SpanCounters, SpanEvent, SpanEvents};
pub use tdmoe::{Clock, MacAddress, TdmoeConfig, TdmoeLine};

/// Octet that an unused timeslot of an A-law span carries: the smallest positive value with the
/// even bits inverted (G.711 table 1a).
pub const IDLE_A_LAW: u8 = 0xd5;
