//! What a person sees of a call.

use std::time::{Duration, Instant};

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState {
    /// The phone registers, to be called.
    Registering {
        /// The gateway.
        gateway: String,
    },
    /// It is registered and can be called.
    Ready {
        /// As whom.
        user: String,
    },
    /// The gateway did not register it; it is tried again.
    NotRegistered {
        /// What the gateway said, a status of SIP.
        status: u16,
    },
    /// Somebody calls.
    RungBy {
        /// Their number or name, as their side tells it.
        from: String,
    },
    /// The directory is asked for a gateway.
    Inquiring,
    /// A gateway was called.
    Dialling {
        /// The number as the page has it.
        written: String,
        /// The gateway, `host:port`.
        gateway: String,
    },
    /// The telephone rings.
    Ringing,
    /// Somebody has answered.
    Talking {
        /// When.
        since: Instant,
    },
    /// The other side has put the call on hold.
    OnHold {
        /// When the call was answered.
        since: Instant,
    },
    /// The other side has taken the call back.
    TalkingAgain {
        /// When the call was answered.
        since: Instant,
    },
    /// It is over.
    Ended {
        /// Who ended it.
        ending: Ending,
        /// How long there was talk; none where nobody had answered.
        talked: Option<Duration>,
    },
}

impl CallState {
    /// When the call was answered, while it lasts.
    pub fn since(&self) -> Option<Instant> {
        match *self {
            Self::Talking { since } | Self::OnHold { since } | Self::TalkingAgain { since } => {
                Some(since)
            }
            _ => None,
        }
    }

    /// Whether it waits for calls.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Registering { .. } | Self::Ready { .. } | Self::NotRegistered { .. })
    }

    /// Whether there is a call that still lives.
    pub fn is_live(&self) -> bool {
        !self.is_waiting() && !matches!(self, Self::Ended { .. })
    }
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The person at this phone.
    HungUp,
    /// The other side.
    OtherSide,
}

/// What a person asks of the phone, by terminal or window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A digit to send.
    Digit(char),
    /// Mute the microphone, or switch it on again.
    Mute,
    /// End the call.
    HangUp,
    /// Yes, call.
    Yes,
    /// No, do not.
    No,
    /// Call the same number once more.
    Again,
    /// End the phone.
    Close,
    /// Use another microphone from now on; none: the system's default.
    Microphone(Option<String>),
    /// Use another loudspeaker from now on; none: the system's default.
    Loudspeaker(Option<String>),
    /// Another link or file was opened.
    Open(String),
}
