//! Called, calling, connected and redirecting numbers (Q.931 §4.5.8, §4.5.10).

use super::ia5;

/// Digits of a number; no network has longer ones, and a longer element makes no sense (Q.931
/// §5.8.7.2). What is read can so always be written with every octet that a number may have.
pub const DIGITS_MAX: usize = 64;

/// Type of number (Q.931 table 4-9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberType {
    /// Unknown: as dialled.
    #[default]
    Unknown,
    /// International.
    International,
    /// National.
    National,
    /// Network specific.
    NetworkSpecific,
    /// Subscriber.
    Subscriber,
    /// Abbreviated.
    Abbreviated,
    /// Reserved values.
    Reserved(u8),
}

impl NumberType {
    fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Unknown,
            1 => Self::International,
            2 => Self::National,
            3 => Self::NetworkSpecific,
            4 => Self::Subscriber,
            6 => Self::Abbreviated,
            other => Self::Reserved(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::International => 1,
            Self::National => 2,
            Self::NetworkSpecific => 3,
            Self::Subscriber => 4,
            Self::Abbreviated => 6,
            Self::Reserved(bits) => bits & 7,
        }
    }
}

/// Numbering plan (Q.931 table 4-9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberingPlan {
    /// Unknown.
    Unknown,
    /// ISDN/telephony, E.164.
    #[default]
    Isdn,
    /// Private.
    Private,
    /// Another one, by its value.
    Other(u8),
}

impl NumberingPlan {
    fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0 => Self::Unknown,
            1 => Self::Isdn,
            9 => Self::Private,
            other => Self::Other(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Isdn => 1,
            Self::Private => 9,
            Self::Other(bits) => bits & 0x0f,
        }
    }
}

/// Presentation indicator (Q.931 table 4-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presentation {
    /// May be shown.
    #[default]
    Allowed,
    /// Must not be shown.
    Restricted,
    /// There is no number.
    NotAvailable,
    /// Reserved.
    Reserved,
}

impl Presentation {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Allowed,
            1 => Self::Restricted,
            2 => Self::NotAvailable,
            _ => Self::Reserved,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Allowed => 0,
            Self::Restricted => 1,
            Self::NotAvailable => 2,
            Self::Reserved => 3,
        }
    }
}

/// Screening indicator (Q.931 table 4-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screening {
    /// By the user, not screened.
    #[default]
    UserNotScreened,
    /// By the user, verified and passed.
    UserPassed,
    /// By the user, verified and failed.
    UserFailed,
    /// By the network.
    Network,
}

impl Screening {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::UserNotScreened,
            1 => Self::UserPassed,
            2 => Self::UserFailed,
            _ => Self::Network,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::UserNotScreened => 0,
            Self::UserPassed => 1,
            Self::UserFailed => 2,
            Self::Network => 3,
        }
    }
}

/// A called, calling, connected or redirecting number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// Type of number.
    pub number_type: NumberType,
    /// Numbering plan.
    pub plan: NumberingPlan,
    /// Presentation; called numbers have none.
    pub presentation: Presentation,
    /// Screening; called numbers have none.
    pub screening: Screening,
    /// Digits in IA5, [`DIGITS_MAX`] of them at most.
    pub digits: String,
}

impl Number {
    /// A number of the ISDN plan.
    pub fn new(number_type: NumberType, digits: impl Into<String>) -> Self {
        Self { number_type, digits: digits.into(), ..Self::default() }
    }

    /// Type and plan.
    fn first_octet(&self) -> u8 {
        self.number_type.bits() << 4 | self.plan.bits()
    }

    /// Presentation and screening.
    fn second_octet(&self) -> u8 {
        self.presentation.bits() << 5 | self.screening.bits()
    }
}

/// A redirecting number with why it redirected (Q.931 §4.6.7 in its form of 1993, ETS 300 207-1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirecting {
    /// Who redirected the call.
    pub number: Number,
    /// Why; `None` where it is not said.
    pub reason: Option<RedirectionReason>,
}

/// Reason for redirection (octet 3b of the redirecting number).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectionReason {
    /// Unknown.
    Unknown,
    /// Call forwarding busy.
    Busy,
    /// Call forwarding no reply.
    NoReply,
    /// Call deflection.
    Deflection,
    /// The called equipment is out of order.
    OutOfOrder,
    /// Call forwarding by the called equipment.
    ByEquipment,
    /// Call forwarding unconditional.
    Unconditional,
    /// Reserved values.
    Reserved(u8),
}

impl RedirectionReason {
    /// The reason with this value; its four low bits count.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0 => Self::Unknown,
            1 => Self::Busy,
            2 => Self::NoReply,
            4 => Self::Deflection,
            9 => Self::OutOfOrder,
            10 => Self::ByEquipment,
            15 => Self::Unconditional,
            other => Self::Reserved(other),
        }
    }

    /// Its value.
    pub fn bits(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Busy => 1,
            Self::NoReply => 2,
            Self::Deflection => 4,
            Self::OutOfOrder => 9,
            Self::ByEquipment => 10,
            Self::Unconditional => 15,
            Self::Reserved(bits) => bits & 0x0f,
        }
    }
}

pub(super) fn decode(contents: &[u8]) -> Option<Number> {
    decode_redirecting(contents).map(|redirecting| redirecting.number)
}

/// Octets 3, 3a and 3b, each there only when the one before has no extension bit, then digits.
pub(super) fn decode_redirecting(contents: &[u8]) -> Option<Redirecting> {
    let first = *contents.first()?;
    let mut number = Number {
        number_type: NumberType::from_bits(first >> 4),
        plan: NumberingPlan::from_bits(first),
        ..Number::default()
    };
    let mut reason = None;
    let mut rest = &contents[1..];
    let mut extended = first & 0x80 == 0;
    let mut extension = 0;
    while extended {
        let [octet, more @ ..] = rest else { return None };
        match extension {
            0 => {
                number.presentation = Presentation::from_bits(octet >> 5);
                number.screening = Screening::from_bits(*octet);
            }
            1 => reason = Some(RedirectionReason::from_bits(*octet)),
            _ => {}
        }
        extension += 1;
        extended = octet & 0x80 == 0;
        rest = more;
    }
    if rest.len() > DIGITS_MAX {
        return None;
    }
    number.digits = ia5(rest)?;
    Some(Redirecting { number, reason })
}

/// A called number: octet 3 alone.
pub(super) fn encode_called(number: &Number) -> Vec<u8> {
    let mut contents = vec![0x80 | number.first_octet()];
    contents.extend_from_slice(number.digits.as_bytes());
    contents
}

/// A calling or connected number: octets 3 and 3a.
pub(super) fn encode(number: &Number) -> Vec<u8> {
    let mut contents = vec![number.first_octet(), 0x80 | number.second_octet()];
    contents.extend_from_slice(number.digits.as_bytes());
    contents
}

pub(super) fn encode_redirecting(redirecting: &Redirecting) -> Vec<u8> {
    let Redirecting { number, reason: Some(reason) } = redirecting else {
        return encode(&redirecting.number);
    };
    let mut contents = vec![number.first_octet(), number.second_octet(), 0x80 | reason.bits()];
    contents.extend_from_slice(number.digits.as_bytes());
    contents
}
