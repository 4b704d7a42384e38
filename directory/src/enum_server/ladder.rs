//! The directory's steps of a call, logged at debug.

use std::net::SocketAddr;

use super::answer::{Answered, Kind, Transport};

/// The patent's steps 407 (inquiry) and 408 (reply) as the directory sees them.
pub(crate) fn log(answered: &Answered, source: SocketAddr, transport: Transport) {
    if !tracing::enabled!(target: "ladder", tracing::Level::DEBUG) {
        return;
    }
    let Some(digits) = answered.digits else {
        return;
    };
    let number = format!("+{digits}");
    tracing::debug!(target: "ladder", step = 407_u32, number, %source, ?transport, "inquiry received");
    let text = if answered.kind == Kind::Hit { "reply sent: gateways" } else { "reply sent: none" };
    tracing::debug!(target: "ladder", step = 408_u32, number, %source, ?transport, "{text}");
}
