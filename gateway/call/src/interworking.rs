//! Q.850 causes to SIP statuses and back.
//!
//! The two directions are tables of their own and not inverses of one another: a SIP 480 becomes
//! cause 18 towards the line, a cause 18 becomes SIP 408 (RFC 3398 §7.2.4.1 and §8.2.6.1). Where a
//! SIP message carries a Reason header with a Q.850 cause (RFC 3326, RFC 6432), that cause is
//! better than the table and the caller uses it instead.

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

/// Cause to final SIP status, RFC 3398 §7.2.4.1; sorted by cause.
pub const STATUS_OF_CAUSE: &[(u8, u16)] = &[
    (1, 404),
    (2, 404),
    (3, 404),
    (16, 480), // Not in the table (a BYE carries it); before answer the line side ended the call.
    (17, 486),
    (18, 408),
    (19, 480),
    (20, 480),
    (21, 403),
    (22, 410),
    (23, 410),
    (26, 404),
    (27, 502),
    (28, 484),
    (29, 501),
    (31, 480),
    (34, 503),
    (38, 503),
    (41, 503),
    (42, 503),
    (44, 503), // Not in the table; a channel that cannot be had is a lack of circuits as 34 is.
    (47, 503),
    (55, 403),
    (57, 403),
    (58, 503),
    (65, 488),
    (70, 488),
    (79, 501),
    (87, 403),
    (88, 503),
    (102, 504),
    (111, 500),
    (127, 500),
];

/// Final SIP status to cause, RFC 3398 §8.2.6.1; sorted by status.
pub const CAUSE_OF_STATUS: &[(u16, u8)] = &[
    (400, 41),
    (401, 21),
    (402, 21),
    (403, 21),
    (404, 1),
    (405, 63),
    (406, 79),
    (407, 21),
    (408, 102),
    (410, 22),
    (413, 127),
    (414, 127),
    (415, 79),
    (416, 127),
    (420, 127),
    (421, 127),
    (423, 127),
    (480, 18),
    (481, 41),
    (482, 25),
    (483, 25),
    (484, 28),
    (485, 1),
    (486, 17),
    (487, 16), // Not in the table: 487 answers our own CANCEL, which is normal clearing.
    (488, 65), // The table looks at Warning; without one the bearer was what did not fit.
    (500, 41),
    (501, 79),
    (502, 38),
    (503, 41),
    (504, 102),
    (505, 127),
    (513, 127),
    (600, 17),
    (603, 21),
    (604, 1),
    (606, 65), // As 488.
];

/// The final SIP status for a call that the line side cleared with `cause` before answer.
///
/// `from_user` says that the cause came from the called user (Q.850 location 0): a call that the
/// person refused is then 603, not 403 (RFC 3398 §7.2.4.1, note on cause 21). Causes without an
/// entry go by their class as RFC 3398 asks: 500.
pub fn status_of_cause(cause: u8, from_user: bool) -> u16 {
    if cause == 21 && from_user {
        return 603;
    }
    STATUS_OF_CAUSE.iter().find(|(known, _)| *known == cause).map_or(500, |(_, status)| *status)
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

/// The Q.850 cause for a SIP final `status` without a Reason header.
///
/// Statuses without an entry are treated as the x00 of their class (RFC 3261 §8.1.3.2).
pub fn cause_of_status(status: u16) -> u8 {
    let find = |wanted: u16| CAUSE_OF_STATUS.iter().find(|(known, _)| *known == wanted);
    find(status).or_else(|| find(status / 100 * 100)).map_or(127, |(_, cause)| *cause)
}

/// What a cause means, in the words of Q.850, for logs and records.
pub fn cause_text(cause: u8) -> &'static str {
    match cause {
        1 => "unallocated number",
        2 => "no route to specified transit network",
        3 => "no route to destination",
        16 => "normal call clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer from user",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        23 => "redirection to new destination",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_without_doubles() {
        assert!(STATUS_OF_CAUSE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(CAUSE_OF_STATUS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn directions_are_not_inverses() {
        assert_eq!(cause_of_status(480), 18);
        assert_eq!(status_of_cause(18, true), 408);
    }

    #[test]
    fn a_resource_that_is_unavailable_is_503_not_480() {
        // The complaint of a carrier about another gateway: cause 47 came out as 480.
        assert_eq!(status_of_cause(47, false), 503);
    }

    #[test]
    fn a_person_who_refuses_is_603_and_a_network_that_refuses_403() {
        assert_eq!(status_of_cause(21, true), 603);
        assert_eq!(status_of_cause(21, false), 403);
    }

    #[test]
    fn unknown_values_fall_back_to_their_class() {
        assert_eq!(status_of_cause(99, false), 500);
        assert_eq!(cause_of_status(599), 41);
        assert_eq!(cause_of_status(499), 41);
        assert_eq!(cause_of_status(302), 127);
    }
}
