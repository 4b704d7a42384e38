//! What a data link is set up with, gives out and counts.

use std::time::Duration;

use crate::Side;

/// States of Q.921 Annex B. TEI assignment (states 1 to 3) does not exist on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// 4: TEI assigned; the link is down.
    TeiAssigned4,
    /// 5: awaiting establishment, SABME is on its way.
    AwaitingEstablishment5,
    /// 6: awaiting release, DISC is on its way.
    AwaitingRelease6,
    /// 7: multiple frame established; the link is up.
    MultipleFrameEstablished7,
    /// 8: timer recovery; the peer was asked where it stands.
    TimerRecovery8,
}

/// System parameters of Q.921 §5.9. T201, T202 and N202 belong to the assignment of TEIs, which a
/// primary rate interface does not have: its one data link is SAPI 0, TEI 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfiguration {
    /// Side that we are.
    pub side: Side,
    /// T200: time for an answer, 1 s.
    pub t200: Duration,
    /// T203: longest silence before the peer is asked, 10 s.
    pub t203: Duration,
    /// N200: retransmissions, 3.
    pub n200: u32,
    /// N201: octets of a message, 260.
    pub n201_octets: usize,
    /// k: frames that may be outstanding, 7.
    pub k: u8,
    /// A link that could not be established is tried again after this (not in Q.921, whose
    /// layer 3 would ask again).
    pub retry: Duration,
}

impl LinkConfiguration {
    /// The defaults of Q.921 §5.9 for a primary rate interface.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            t200: Duration::from_secs(1),
            t203: Duration::from_secs(10),
            n200: 3,
            n201_octets: 260,
            k: 7,
            retry: Duration::from_secs(1),
        }
    }
}

/// What a data link gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    /// A frame for the line.
    Frame(Vec<u8>),
    /// The link is up, for the first time or anew: what was under way before is lost.
    Established,
    /// The link is down.
    Released,
    /// The link could not be brought up; it is tried again, and not told of again until it was up or
    /// the line was gone.
    NotEstablished {
        /// The peer answers, and refuses (DM); else nothing comes from it.
        refused: bool,
    },
    /// A message from the peer.
    Data(Vec<u8>),
}

/// What a data link has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames received.
    pub frames_received: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames sent again.
    pub frames_repeated: u64,
    /// Frames that could not be read or were of another data link.
    pub frames_refused: u64,
    /// REJ sent or received.
    pub rejects: u64,
    /// Times that timer recovery was entered.
    pub recoveries: u64,
    /// Times that the link came up.
    pub established: u64,
    /// Attempts to bring it up that failed.
    pub establishments_failed: u64,
    /// Times that T200 ran out.
    pub t200_expired: u64,
    /// Frames with an undefined control field, of a wrong length or in the wrong role: of a link
    /// that is up, these end it (Q.921 §5.8.5).
    pub frames_undefined: u64,
    /// Acknowledgements of what was never sent.
    pub sequence_errors: u64,
    /// Messages for which there was no link, or no place in the queue.
    pub messages_lost: u64,
    /// Messages of ours that were longer than N201 and were not sent.
    pub messages_too_long: u64,
    /// Protocol errors of Q.921 table II.1, those above among them.
    pub errors: u64,
}
