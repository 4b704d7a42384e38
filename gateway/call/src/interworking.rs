//! Q.850 causes to SIP statuses and back.
//!
//! The two directions are tables of their own and not inverses of one another: a SIP 480 becomes
//! cause 18 towards the line, a cause 18 becomes SIP 408 (RFC 3398 §7.2.4.1 and §8.2.6.1). They are
//! data ([`tables`]), one column a standard, and what a gateway uses of them is a [`CauseMap`], in
//! which an operator can set single entries. Where a SIP message carries a Reason header with a
//! Q.850 cause (RFC 3326, RFC 6432), that cause is better than the table and is used instead.

mod map;
pub mod tables;

pub use map::{CauseMap, Entry};
pub use tables::Standard;

/// Causes of Q.850 that call control itself gives.
pub mod cause {
    /// 1: unallocated (unassigned) number.
    pub const UNALLOCATED_NUMBER: u8 = 1;
    /// 3: no route to destination.
    pub const NO_ROUTE_TO_DESTINATION: u8 = 3;
    /// 16: normal call clearing.
    pub const NORMAL_CALL_CLEARING: u8 = 16;
    /// 18: no user responding.
    pub const NO_USER_RESPONDING: u8 = 18;
    /// 19: no answer from user (user alerted).
    pub const NO_ANSWER: u8 = 19;
    /// Exchange routing error: the call goes in circles.
    pub const EXCHANGE_ROUTING_ERROR: u8 = 25;
    /// 27: destination out of order.
    pub const DESTINATION_OUT_OF_ORDER: u8 = 27;
    /// 28: invalid number format (address incomplete).
    pub const INVALID_NUMBER_FORMAT: u8 = 28;
    /// 34: no circuit or channel available.
    pub const NO_CIRCUIT_AVAILABLE: u8 = 34;
    /// 38: network out of order.
    pub const NETWORK_OUT_OF_ORDER: u8 = 38;
    /// 41: temporary failure.
    pub const TEMPORARY_FAILURE: u8 = 41;
    /// 42: switching equipment congestion.
    pub const SWITCHING_EQUIPMENT_CONGESTION: u8 = 42;
    /// 44: requested circuit or channel not available.
    pub const REQUESTED_CIRCUIT_NOT_AVAILABLE: u8 = 44;
    /// 65: bearer capability not implemented.
    pub const BEARER_NOT_IMPLEMENTED: u8 = 65;
    /// 102: recovery on timer expiry.
    pub const RECOVERY_ON_TIMER_EXPIRY: u8 = 102;
}

/// Where in the networks a cause was given: its value in Q.850 §2.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location(pub u8);

impl Location {
    /// The user at the far end.
    pub const USER: Self = Self(0);
}

/// The final status that answers the caller when whoever was called on the packet side refused with
/// `status`; none where that says nothing to the caller, and the cause has to.
pub fn status_onward(status: u16) -> Option<u16> {
    match status {
        // Where else to call, and who we would have to be, was said to us.
        300..=399 | 401 | 407 => None,
        // RFC 3261 §16.7, item 6: our other calls may well find room.
        503 => Some(500),
        _ => Some(status),
    }
}

/// What a cause means, in the words of Q.850, for logs and records.
pub fn cause_text(cause: u8) -> &'static str {
    match cause {
        1 => "unallocated number",
        2 => "no route to specified transit network",
        3 => "no route to destination",
        4 => "send special information tone",
        5 => "misdialled trunk prefix",
        6 => "channel unacceptable",
        7 => "call awarded and being delivered in an established channel",
        8 => "preemption",
        9 => "preemption, circuit reserved for reuse",
        16 => "normal call clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer from user",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        23 => "redirection to new destination",
        24 => "call rejected due to a feature at the destination",
        25 => "exchange routing error",
        26 => "non-selected user clearing",
        27 => "destination out of order",
        28 => "invalid number format",
        29 => "facility rejected",
        30 => "response to STATUS ENQUIRY",
        31 => "normal, unspecified",
        34 => "no circuit or channel available",
        38 => "network out of order",
        41 => "temporary failure",
        42 => "switching equipment congestion",
        43 => "access information discarded",
        44 => "requested circuit or channel not available",
        47 => "resource unavailable, unspecified",
        50 => "requested facility not subscribed",
        55 => "incoming calls barred within CUG",
        57 => "bearer capability not authorized",
        58 => "bearer capability not presently available",
        63 => "service or option not available, unspecified",
        65 => "bearer capability not implemented",
        69 => "requested facility not implemented",
        70 => "only restricted digital information bearer capability is available",
        79 => "service or option not implemented, unspecified",
        81 => "invalid call reference value",
        82 => "identified channel does not exist",
        87 => "user not member of CUG",
        88 => "incompatible destination",
        95 => "invalid message, unspecified",
        96 => "mandatory information element is missing",
        97 => "message type non-existent or not implemented",
        98 => "message not compatible with call state",
        99 => "information element non-existent or not implemented",
        100 => "invalid information element contents",
        101 => "message not compatible with call state",
        102 => "recovery on timer expiry",
        111 => "protocol error, unspecified",
        127 => "interworking, unspecified",
        _ => "cause without a text",
    }
}
