//! The tables of the standards, both directions, as data.
//!
//! A column that says nothing of a value is `None`; [`super::CauseMap`] then goes by the class.

use serde::{Deserialize, Serialize};

/// A standard for the interworking of SIP with Q.850 causes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standard {
    /// RFC 3398 §7.2.4.1 and §8.2.6.1: SIP and ISUP, as the IETF sees it.
    #[default]
    Rfc3398,
    /// RFC 4497 §8.4.1 and §8.4.4: SIP and QSIG.
    Rfc4497,
    /// ITU-T Q.1912.5, the tables for REL and for final responses: SIP and ISUP, as carriers see
    /// it. It knows fewer differences in both directions.
    Q1912_5,
}

impl Standard {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 3] = [Self::Rfc3398, Self::Rfc4497, Self::Q1912_5];

    /// Its name as people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rfc3398 => "RFC 3398",
            Self::Rfc4497 => "RFC 4497",
            Self::Q1912_5 => "Q.1912.5",
        }
    }

    /// The status for causes that the table does not name.
    ///
    /// The RFCs ask for 500. Q.1912.5 has the classes 0 and 1 (normal events) and 7 (interworking)
    /// at 480.
    pub(super) fn status_of_class(self, cause: u8) -> u16 {
        match (self, cause >> 4) {
            (Self::Q1912_5, 0 | 1 | 7) => 480,
            // Resources that are not there: the class that 503 is for.
            (Self::Q1912_5, 2) => 503,
            _ => 500,
        }
    }

    /// The cause for statuses of a class that the table does not name.
    pub(super) fn cause_of_class(self) -> u8 {
        127
    }
}

/// Cause to final SIP status, one column a [`Standard`], sorted by cause.
///
/// What no standard has is our own: 16 before answer, since the line side ended a call that was
/// never up (a BYE or CANCEL carries it otherwise), and 44, a lack of circuits as 34 is.
pub const STATUS_OF_CAUSE: &[(u8, [Option<u16>; 3])] = &[
    (1, [Some(404), Some(404), Some(404)]),
    (2, [Some(404), Some(404), Some(500)]),
    (3, [Some(404), Some(404), Some(500)]),
    (4, [None, None, Some(500)]),
    (5, [None, None, Some(404)]),
    (8, [None, None, Some(500)]),
    (9, [None, None, Some(500)]),
    (16, [Some(480), Some(480), Some(480)]),
    (17, [Some(486), Some(486), Some(486)]),
    (18, [Some(408), Some(408), Some(480)]),
    (19, [Some(480), Some(480), Some(480)]),
    (20, [Some(480), Some(480), Some(480)]),
    (21, [Some(403), Some(403), Some(480)]),
    (22, [Some(410), Some(410), Some(410)]),
    (23, [Some(410), Some(410), None]),
    (24, [None, None, Some(433)]), // RFC 5079: anonymity disallowed.
    (25, [None, None, Some(480)]),
    (26, [Some(404), None, None]),
    (27, [Some(502), Some(502), Some(502)]),
    (28, [Some(484), Some(484), Some(484)]),
    (29, [Some(501), Some(501), Some(500)]),
    (31, [Some(480), Some(480), Some(480)]),
    (34, [Some(503), Some(503), Some(480)]),
    (38, [Some(503), Some(503), Some(503)]),
    (41, [Some(503), Some(503), Some(503)]),
    (42, [Some(503), Some(503), Some(503)]),
    (43, [None, None, Some(503)]),
    (44, [Some(503), Some(503), Some(503)]),
    (47, [Some(503), Some(503), Some(503)]),
    (55, [Some(403), Some(403), Some(500)]),
    (57, [Some(403), Some(403), Some(500)]),
    (58, [Some(503), Some(503), Some(500)]),
    (65, [Some(488), Some(488), Some(500)]),
    (70, [Some(488), Some(488), Some(500)]),
    (79, [Some(501), Some(501), Some(500)]),
    (87, [Some(403), Some(403), Some(500)]),
    (88, [Some(503), Some(503), Some(500)]),
    (102, [Some(504), Some(504), Some(480)]),
    (111, [Some(500), Some(500), Some(500)]),
    (127, [Some(500), Some(500), Some(480)]),
];

/// Causes that become 603 where the called person gave them (Q.850 location 0), and not a network:
/// RFC 3398 §7.2.4.1 and RFC 4497 §8.4.1, the note on cause 21. Q.1912.5 makes no difference.
pub(super) const DECLINED: u8 = 21;

/// Final SIP status to cause, one column a [`Standard`], sorted by status.
///
/// Our own are 487, which answers our own CANCEL and is normal clearing, and 488 and 606, for which
/// the RFCs look at a Warning header: what did not fit was the bearer. Statuses younger than
/// the standards stand for what they say: 430 and 439 a flow that failed, 433 anonymity refused
/// (RFC 5079), 607 and 608 a call that is unwanted or rejected (RFC 8197, RFC 8688).
pub const CAUSE_OF_STATUS: &[(u16, [Option<u8>; 3])] = &[
    (400, [Some(41), Some(41), None]),
    (401, [Some(21), Some(21), None]),
    (402, [Some(21), Some(21), None]),
    (403, [Some(21), Some(21), None]),
    (404, [Some(1), Some(1), Some(1)]),
    (405, [Some(63), Some(63), None]),
    (406, [Some(79), Some(79), None]),
    (407, [Some(21), Some(21), None]),
    (408, [Some(102), Some(102), None]),
    (410, [Some(22), Some(22), Some(22)]),
    (413, [Some(127), Some(127), None]),
    (414, [Some(127), Some(127), None]),
    (415, [Some(79), Some(79), None]),
    (416, [Some(127), Some(127), None]),
    (420, [Some(127), Some(127), None]),
    (421, [Some(127), Some(127), None]),
    (423, [Some(127), Some(127), None]),
    (430, [Some(41), Some(41), None]),
    (433, [Some(24), Some(24), Some(24)]),
    (439, [Some(41), Some(41), None]),
    (480, [Some(18), Some(18), Some(20)]),
    (481, [Some(41), Some(41), None]),
    (482, [Some(25), Some(25), None]),
    (483, [Some(25), Some(25), None]),
    (484, [Some(28), Some(28), Some(28)]),
    (485, [Some(1), Some(1), None]),
    (486, [Some(17), Some(17), Some(17)]),
    (487, [Some(16), Some(16), Some(16)]),
    (488, [Some(65), Some(65), None]),
    (500, [Some(41), Some(41), None]),
    (501, [Some(79), Some(79), None]),
    (502, [Some(38), Some(38), None]),
    (503, [Some(41), Some(41), None]),
    (504, [Some(102), Some(102), None]),
    (505, [Some(127), Some(127), None]),
    (513, [Some(127), Some(127), None]),
    (600, [Some(17), Some(17), Some(17)]),
    (603, [Some(21), Some(21), Some(21)]),
    (604, [Some(1), Some(1), Some(1)]),
    (606, [Some(65), Some(65), None]),
    (607, [Some(21), Some(21), Some(21)]),
    (608, [Some(21), Some(21), Some(21)]),
];
