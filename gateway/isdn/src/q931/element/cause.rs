//! Causes and their locations (Q.850, Q.931 §4.5.12).

/// Location of a cause (Q.850 §2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// The user.
    User,
    /// Private network serving the local user.
    PrivateLocal,
    /// Public network serving the local user.
    PublicLocal,
    /// Public network serving the remote user.
    PublicRemote,
    /// Another one, by its value.
    Other(u8),
}

impl Location {
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0 => Self::User,
            1 => Self::PrivateLocal,
            2 => Self::PublicLocal,
            4 => Self::PublicRemote,
            other => Self::Other(other),
        }
    }

    pub(super) fn bits(self) -> u8 {
        match self {
            Self::User => 0,
            Self::PrivateLocal => 1,
            Self::PublicLocal => 2,
            Self::PublicRemote => 4,
            Self::Other(bits) => bits & 0x0f,
        }
    }
}

/// A cause (Q.850).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Cause value, 1 to 127.
    pub value: u8,
    /// Where it was given.
    pub location: Location,
}

pub(super) fn decode(contents: &[u8]) -> Option<Cause> {
    let first = *contents.first()?;
    // Octet 3a (recommendation) is there when the extension bit of octet 3 is 0.
    let value = *contents.get(if first & 0x80 == 0 { 2 } else { 1 })? & 0x7f;
    Some(Cause { value, location: Location::from_bits(first) })
}

pub(super) fn encode(cause: Cause, diagnostic: &[u8]) -> Vec<u8> {
    let mut contents = vec![0x80 | cause.location.bits(), 0x80 | cause.value];
    contents.extend_from_slice(diagnostic);
    contents
}
