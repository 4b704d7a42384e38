//! What the owner of calls asks for and is told.

use super::super::accompanying::Accompanying;
use super::super::element::{BearerCapability, Cause, Number};

/// A call on a D channel; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// States of Q.931 §2.1.1 and §2.2.1, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallState {
    /// 0: null.
    Null = 0,
    /// 1: call initiated.
    CallInitiated = 1,
    /// 2: overlap sending.
    OverlapSending = 2,
    /// 3: outgoing call proceeding.
    OutgoingCallProceeding = 3,
    /// 4: call delivered.
    CallDelivered = 4,
    /// 6: call present.
    CallPresent = 6,
    /// 7: call received.
    CallReceived = 7,
    /// 8: connect request.
    ConnectRequest = 8,
    /// 9: incoming call proceeding.
    IncomingCallProceeding = 9,
    /// 10: active.
    Active = 10,
    /// 11: disconnect request.
    DisconnectRequest = 11,
    /// 12: disconnect indication.
    DisconnectIndication = 12,
    /// 19: release request.
    ReleaseRequest = 19,
    /// 25: overlap receiving.
    OverlapReceiving = 25,
}

impl CallState {
    /// How far a call has come.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::CallInitiated | Self::CallPresent => 0,
            Self::OverlapSending | Self::OverlapReceiving => 1,
            Self::OutgoingCallProceeding | Self::IncomingCallProceeding => 2,
            Self::CallDelivered | Self::CallReceived => 3,
            Self::ConnectRequest => 4,
            Self::Active => 5,
            _ => 6,
        }
    }
}

/// A call to be made or offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// B channel, by its timeslot.
    pub channel: u8,
    /// The channel may not be changed by the other end.
    pub exclusive: bool,
    /// What the B channel carries.
    pub bearer: BearerCapability,
    /// Called number.
    pub called: Number,
    /// Calling number.
    pub calling: Option<Number>,
    /// All digits are there.
    pub sending_complete: bool,
    /// Redirecting number, display, user-user and progress indicators.
    pub accompanying: Accompanying,
}

/// What the owner asks of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// SETUP ACKNOWLEDGE: more digits are awaited.
    MoreDigits {
        /// A dial tone can be heard.
        dial_tone: bool,
    },
    /// INFORMATION with more digits of the called number.
    Digits {
        /// The digits.
        digits: String,
        /// These are the last.
        complete: bool,
    },
    /// CALL PROCEEDING: all digits are there, the call is under way.
    Proceeding,
    /// PROGRESS with something to hear.
    Progress,
    /// ALERTING.
    Alerting {
        /// A ring-back tone can be heard.
        in_band: bool,
    },
    /// CONNECT.
    Connect,
    /// NOTIFY.
    Notify {
        /// Notification description (Q.931 §4.5.22): 0 user suspended, 1 user resumed, 2 bearer
        /// service change.
        description: u8,
    },
    /// STATUS ENQUIRY: where the other end takes the call for. One that does not fit, or no answer,
    /// ends the call.
    Enquire,
    /// Ends the call, as its state asks for: DISCONNECT, RELEASE or RELEASE COMPLETE.
    Disconnect {
        /// Q.850 cause.
        cause: u8,
        /// A tone can be heard until the other end releases.
        in_band: bool,
    },
    /// Ends the call in the same way, with a cause that came from another line: it keeps its location
    /// (Q.850 §2.2.3).
    PassOn {
        /// The cause as it came.
        cause: Cause,
    },
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indication {
    /// The other end calls.
    Setup(Box<Setup>),
    /// What came with the message that the next indication is about.
    Accompanying(Box<Accompanying>),
    /// The other end has chosen another channel than the one that was preferred.
    Channel {
        /// Timeslot.
        channel: u8,
    },
    /// SETUP ACKNOWLEDGE came: digits can be sent.
    MoreDigits {
        /// A dial tone can be heard.
        in_band: bool,
    },
    /// More digits of the called number came, or (by T302) no more will.
    Digits {
        /// The digits, behind those that came before.
        digits: String,
        /// These are the last.
        complete: bool,
    },
    /// Keypad facility came while no digits of the number were awaited.
    Keypad(String),
    /// INFORMATION came with nothing but what [`Indication::Accompanying`] has told.
    Information,
    /// CALL PROCEEDING came.
    Proceeding {
        /// Something can be heard.
        in_band: bool,
    },
    /// PROGRESS came.
    Progress {
        /// Something can be heard.
        in_band: bool,
    },
    /// ALERTING came.
    Alerting {
        /// A ring-back tone can be heard.
        in_band: bool,
    },
    /// CONNECT came; it was acknowledged.
    Connect,
    /// CONNECT ACKNOWLEDGE came.
    ConnectAcknowledged,
    /// NOTIFY came.
    Notify {
        /// Notification description (Q.931 §4.5.22).
        description: u8,
    },
    /// The call is to end: DISCONNECT came or a timer ran out. Answer with
    /// [`Request::Disconnect`]; [`Indication::Released`] follows.
    Disconnect {
        /// The cause.
        cause: Cause,
        /// A tone or announcement can be heard.
        in_band: bool,
        /// It was decided at this end: by a timer, or since both ends' states do not fit.
        by_us: bool,
    },
    /// Nothing is left of the call.
    Released {
        /// The cause.
        cause: Cause,
        /// The other end has said nothing of it: the owner refused the call, a timer ran out, or
        /// there is no data link.
        by_us: bool,
    },
}
