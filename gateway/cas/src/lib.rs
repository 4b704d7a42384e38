//! Channel-associated signalling of E1 and T1 lines as pure state machines.
//!
//! Every timeslot has four bits of its own, ABCD, and digits go as tones in the timeslot itself.
//! [`em::EAndM`] and [`r2::R2`] are one timeslot each: bits, digits or tones as they were heard,
//! requests and the present time come in; what is to be sent, and what happened to the call, come
//! out of `poll_output`. There is no clock, socket or sample here: the owner has the tones
//! (`trunkline_dsp::dtmf`, `trunkline_dsp::mf_r2`) and calls `timeout` when `next_deadline` says.
//!
//! | module | subject |
//! |---|---|
//! | [`em`] | E&M with immediate and wink start |
//! | [`r2`] | MFC/R2: line signals of Q.421, register signals of Q.441 |
#![forbid(unsafe_code)]

pub mod em;
pub mod r2;
mod recognition;

/// ABCD of a timeslot: A is 8, B 4, C 2, D 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bits(u8);

impl Bits {
    /// Bits of a nibble; what is above is dropped, as lines leave a neighbour's there.
    pub const fn new(abcd: u8) -> Self {
        Self(abcd & 0x0f)
    }

    /// The nibble.
    pub const fn abcd(self) -> u8 {
        self.0
    }
}

/// A call that is made or that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Digits of the called number.
    pub called: String,
    /// Digits of the calling number, where there is one and the signalling has it.
    pub calling: Option<String>,
    /// Category of the calling party as MFC/R2 counts it (group II of Q.441: 1 a subscriber without
    /// priority); `None` where the signalling has none.
    pub category: Option<u8>,
}

/// What the owner asks of a timeslot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Makes a call.
    Call(Called),
    /// The call that came is one that can be: it rings (MFC/R2: group B).
    Accept {
        /// It costs something.
        charge: bool,
    },
    /// The called party has answered.
    Answer,
    /// Ends the call, or refuses the one that came, for this cause of Q.850.
    Release {
        /// Cause of Q.850.
        cause: u8,
    },
}

/// What happened to the call on a timeslot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indication {
    /// The other end has seized the timeslot: digits are to come.
    Seized,
    /// A call came, and its number is whole.
    Called(Called),
    /// The number of our call is sent.
    Dialled,
    /// Our call rings (MFC/R2); where the signalling does not say that, it is never told.
    Accepted {
        /// It costs something.
        charge: bool,
    },
    /// Our call was answered.
    Answered,
    /// The call is over, for this cause of Q.850. The timeslot may be [`Free`](Self::Free) only later.
    Released {
        /// Cause of Q.850.
        cause: u8,
        /// It was decided here.
        by_us: bool,
    },
    /// The timeslot is idle and can be seized.
    Free,
    /// The other end does not take calls on the timeslot.
    Blocked,
}

/// What a timeslot gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// These bits are to be sent from now on.
    Bits(Bits),
    /// These digits are to be sent as DTMF; then `digits_sent` is called.
    Digits(String),
    /// Register signals are exchanged in this role from now on, or (`None`) speech: what is heard is
    /// told by `tone` meanwhile.
    Register(Option<r2::Role>),
    /// This register signal sounds from now on, or none.
    Tone(Option<u8>),
    /// Something happened to the call.
    Indication(Indication),
}

/// Why a request cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasError {
    /// The timeslot is not idle.
    #[error("the timeslot is not idle")]
    NotIdle,
    /// There is no call that this could be asked of now.
    #[error("the request does not fit the call's state")]
    WrongState,
    /// The number has something that cannot be sent, or nothing at all.
    #[error("{0:?} is no digit of a number that can be sent")]
    Digit(Option<char>),
}

/// Causes of Q.850 that are found here.
mod cause {
    /// Unallocated number.
    pub const UNALLOCATED: u8 = 1;
    /// Normal call clearing.
    pub const NORMAL: u8 = 16;
    /// User busy.
    pub const BUSY: u8 = 17;
    /// Send special information tone.
    pub const SPECIAL_TONE: u8 = 4;
    /// Number changed.
    pub const NUMBER_CHANGED: u8 = 22;
    /// Destination out of order.
    pub const OUT_OF_ORDER: u8 = 27;
    /// Invalid number format: the digits ended too soon.
    pub const INVALID_NUMBER: u8 = 28;
    /// Normal, unspecified.
    pub const UNSPECIFIED: u8 = 31;
    /// Temporary failure.
    pub const TEMPORARY_FAILURE: u8 = 41;
    /// Switching equipment congestion.
    pub const CONGESTION: u8 = 42;
    /// Requested channel not available: both ends have seized it.
    pub const CHANNEL_UNAVAILABLE: u8 = 44;
    /// Protocol error, unspecified.
    pub const PROTOCOL: u8 = 111;
}
