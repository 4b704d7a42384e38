//! Who calls, and who redirected the call: numbers with what their networks say of them.

use trunkline_number::E164;

/// Who vouches for a number (screening indicator, Q.931 table 4-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screening {
    /// Nobody: the caller says so.
    #[default]
    NotScreened,
    /// The caller says so, and the network has found it to be true.
    Passed,
    /// The caller says so, and the network has found it to be false.
    Failed,
    /// The network itself gave the number.
    Network,
}

impl Screening {
    /// Somebody vouches for the number, so that it may be asserted to others (RFC 3325 §5).
    pub fn is_vouched_for(self) -> bool {
        matches!(self, Self::Passed | Self::Network)
    }
}

/// Somebody's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<N> {
    /// The number; none where there is only the wish not to be shown.
    pub number: Option<N>,
    /// Not to be shown to the called person.
    pub restricted: bool,
    /// Who vouches for it.
    pub screening: Screening,
}

impl<N> Identity<N> {
    /// A number that may be shown, for which nobody vouches.
    pub fn shown(number: N) -> Self {
        Self { number: Some(number), restricted: false, screening: Screening::NotScreened }
    }

    /// The same with its number understood. Nothing is left of one that is not, unless it wished
    /// not to be shown.
    pub fn understood(self, read: impl FnOnce(&N) -> Option<E164>) -> Option<Identity<E164>> {
        let number = self.number.as_ref().and_then(read);
        let Self { restricted, screening, .. } = self;
        (number.is_some() || restricted).then_some(Identity { number, restricted, screening })
    }
}

/// Calling number as handed to the egress leg.
pub type Calling = Identity<E164>;

/// Why a call was redirected (reason for redirection, Q.931 §4.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectionReason {
    /// It is not known.
    #[default]
    Unknown,
    /// Whoever was called is busy.
    Busy,
    /// Whoever was called did not answer.
    NoReply,
    /// Whoever was called deflected the call.
    Deflection,
    /// Whoever was called cannot be reached.
    OutOfOrder,
    /// Every call is redirected.
    Unconditional,
}

/// The last who redirected a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection<N> {
    /// Who.
    pub by: Identity<N>,
    /// Why.
    pub reason: RedirectionReason,
}

impl<N> Redirection<N> {
    /// The same with its number understood.
    pub fn understood(self, read: impl FnOnce(&N) -> Option<E164>) -> Option<Redirection<E164>> {
        let Self { by, reason } = self;
        by.understood(read).map(|by| Redirection { by, reason })
    }
}
