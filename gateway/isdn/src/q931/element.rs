//! Information elements of Q.931 §4.5, as far as basic call control uses them.

mod bearer;
mod cause;
mod channel;
mod number;
mod progress;

pub use bearer::{BearerCapability, TransferCapability};
pub use cause::{Cause, Location};
pub use channel::{ChannelIdentification, Channels};
pub use number::{
    DIGITS_MAX, Number, NumberType, NumberingPlan, Presentation, Redirecting, RedirectionReason,
    Screening,
};
pub use progress::Progress;

/// Identifiers of elements (Q.931 table 4-3).
pub mod id {
    /// Change status, of SERVICE (TR 41459).
    pub const CHANGE_STATUS: u8 = 0x01;
    /// Bearer capability.
    pub const BEARER_CAPABILITY: u8 = 0x04;
    /// Cause.
    pub const CAUSE: u8 = 0x08;
    /// Call state.
    pub const CALL_STATE: u8 = 0x14;
    /// Channel identification.
    pub const CHANNEL_IDENTIFICATION: u8 = 0x18;
    /// Progress indicator.
    pub const PROGRESS_INDICATOR: u8 = 0x1e;
    /// Notification indicator.
    pub const NOTIFICATION_INDICATOR: u8 = 0x27;
    /// Display.
    pub const DISPLAY: u8 = 0x28;
    /// Keypad facility.
    pub const KEYPAD_FACILITY: u8 = 0x2c;
    /// Connected number.
    pub const CONNECTED_NUMBER: u8 = 0x4c;
    /// Calling party number.
    pub const CALLING_PARTY_NUMBER: u8 = 0x6c;
    /// Called party number.
    pub const CALLED_PARTY_NUMBER: u8 = 0x70;
    /// Redirecting number.
    pub const REDIRECTING_NUMBER: u8 = 0x74;
    /// Restart indicator.
    pub const RESTART_INDICATOR: u8 = 0x79;
    /// User-user.
    pub const USER_USER: u8 = 0x7e;
    /// Sending complete (a single octet).
    pub const SENDING_COMPLETE: u8 = 0xa1;
}

/// What a RESTART means (Q.931 §4.5.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartClass {
    /// The indicated channels.
    Indicated,
    /// The whole interface.
    Interface,
    /// All interfaces of the D channel.
    AllInterfaces,
}

/// An information element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// Change status: its value.
    ChangeStatus(u8),
    /// Bearer capability.
    BearerCapability(BearerCapability),
    /// Cause. A diagnostic that comes with it is not read.
    Cause(Cause),
    /// A cause that is sent with a diagnostic (Q.850 §2.2.5).
    Diagnosed(Cause, Vec<u8>),
    /// Call state: its number.
    CallState(u8),
    /// Channel identification.
    ChannelIdentification(ChannelIdentification),
    /// Progress indicator.
    ProgressIndicator(Progress),
    /// Notification indicator: its description.
    NotificationIndicator(u8),
    /// Display.
    Display(String),
    /// Keypad facility.
    KeypadFacility(String),
    /// Connected number.
    ConnectedNumber(Number),
    /// Calling party number.
    CallingPartyNumber(Number),
    /// Called party number.
    CalledPartyNumber(Number),
    /// Redirecting number.
    RedirectingNumber(Redirecting),
    /// Restart indicator.
    RestartIndicator(RestartClass),
    /// User-user.
    UserUser(Vec<u8>),
    /// Sending complete.
    SendingComplete,
    /// An element whose contents make no sense.
    Invalid(u8),
    /// An element that call control has no use for.
    Other(u8),
}

impl Element {
    /// Reads the contents of a variable length element of codeset 0.
    pub fn decode(identifier: u8, contents: &[u8]) -> Self {
        let decoded = match identifier {
            id::CHANGE_STATUS => contents.first().map(|octet| Self::ChangeStatus(octet & 0x07)),
            id::BEARER_CAPABILITY => bearer::decode(contents).map(Self::BearerCapability),
            id::CAUSE => cause::decode(contents).map(Self::Cause),
            id::CALL_STATE => contents.first().map(|octet| Self::CallState(octet & 0x3f)),
            id::CHANNEL_IDENTIFICATION => {
                channel::decode(contents).map(Self::ChannelIdentification)
            }
            id::PROGRESS_INDICATOR => progress::decode(contents).map(Self::ProgressIndicator),
            id::NOTIFICATION_INDICATOR => {
                contents.first().map(|octet| Self::NotificationIndicator(octet & 0x7f))
            }
            id::DISPLAY => ia5(strip_charset(contents)).map(Self::Display),
            id::KEYPAD_FACILITY => ia5(contents).map(Self::KeypadFacility),
            id::CONNECTED_NUMBER => number::decode(contents).map(Self::ConnectedNumber),
            id::CALLING_PARTY_NUMBER => number::decode(contents).map(Self::CallingPartyNumber),
            // §4.5.8: a called number has no octet 3a; one that is there all the same says nothing.
            id::CALLED_PARTY_NUMBER => number::decode(contents).map(|number| {
                Self::CalledPartyNumber(Number {
                    presentation: Presentation::default(),
                    screening: Screening::default(),
                    ..number
                })
            }),
            id::REDIRECTING_NUMBER => {
                number::decode_redirecting(contents).map(Self::RedirectingNumber)
            }
            id::RESTART_INDICATOR => contents.first().and_then(|octet| match octet & 7 {
                0 => Some(Self::RestartIndicator(RestartClass::Indicated)),
                6 => Some(Self::RestartIndicator(RestartClass::Interface)),
                7 => Some(Self::RestartIndicator(RestartClass::AllInterfaces)),
                _ => None,
            }),
            id::USER_USER => Some(Self::UserUser(contents.to_vec())),
            other => Some(Self::Other(other)),
        };
        decoded.unwrap_or(Self::Invalid(identifier))
    }

    /// Identifier by which elements are ordered in a message (Q.931 §4.5.1).
    pub fn identifier(&self) -> u8 {
        match self {
            Self::ChangeStatus(_) => id::CHANGE_STATUS,
            Self::BearerCapability(_) => id::BEARER_CAPABILITY,
            Self::Cause(_) | Self::Diagnosed(..) => id::CAUSE,
            Self::CallState(_) => id::CALL_STATE,
            Self::ChannelIdentification(_) => id::CHANNEL_IDENTIFICATION,
            Self::ProgressIndicator(_) => id::PROGRESS_INDICATOR,
            Self::NotificationIndicator(_) => id::NOTIFICATION_INDICATOR,
            Self::Display(_) => id::DISPLAY,
            Self::KeypadFacility(_) => id::KEYPAD_FACILITY,
            Self::ConnectedNumber(_) => id::CONNECTED_NUMBER,
            Self::CallingPartyNumber(_) => id::CALLING_PARTY_NUMBER,
            Self::CalledPartyNumber(_) => id::CALLED_PARTY_NUMBER,
            Self::RedirectingNumber(_) => id::REDIRECTING_NUMBER,
            Self::RestartIndicator(_) => id::RESTART_INDICATOR,
            Self::UserUser(_) => id::USER_USER,
            Self::SendingComplete => id::SENDING_COMPLETE,
            Self::Invalid(identifier) | Self::Other(identifier) => *identifier,
        }
    }

    /// Appends the element to a message. Elements that were only skipped are not written.
    pub fn encode(&self, octets: &mut Vec<u8>) {
        if let Self::SendingComplete = self {
            octets.push(id::SENDING_COMPLETE);
            return;
        }
        let contents = match self {
            // Of a channel.
            Self::ChangeStatus(status) => vec![0xc0 | status],
            Self::BearerCapability(bearer) => bearer::encode(*bearer),
            Self::Cause(cause) => cause::encode(*cause, &[]),
            Self::Diagnosed(cause, diagnostic) => cause::encode(*cause, diagnostic),
            Self::CallState(state) => vec![state & 0x3f],
            Self::ChannelIdentification(channel) => channel::encode(channel),
            Self::ProgressIndicator(progress) => progress::encode(*progress),
            Self::NotificationIndicator(description) => vec![0x80 | description],
            Self::Display(text) | Self::KeypadFacility(text) => text.as_bytes().to_vec(),
            Self::CalledPartyNumber(number) => number::encode_called(number),
            Self::ConnectedNumber(number) | Self::CallingPartyNumber(number) => {
                number::encode(number)
            }
            Self::RedirectingNumber(redirecting) => number::encode_redirecting(redirecting),
            Self::RestartIndicator(class) => vec![match class {
                RestartClass::Indicated => 0x80,
                RestartClass::Interface => 0x86,
                RestartClass::AllInterfaces => 0x87,
            }],
            Self::UserUser(contents) => contents.clone(),
            Self::SendingComplete | Self::Invalid(_) | Self::Other(_) => return,
        };
        let size = contents.len().min(255);
        octets.extend([self.identifier(), size as u8]);
        octets.extend_from_slice(&contents[..size]);
    }
}

/// Display may begin with a character set octet that has the extension bit (ETS 300 102-1).
fn strip_charset(contents: &[u8]) -> &[u8] {
    match contents {
        [first, rest @ ..] if first & 0x80 != 0 => rest,
        all => all,
    }
}

fn ia5(contents: &[u8]) -> Option<String> {
    contents
        .iter()
        .map(|octet| (0x20..0x7f).contains(octet).then_some(char::from(*octet)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn octets(element: &Element) -> Vec<u8> {
        let mut octets = Vec::new();
        element.encode(&mut octets);
        octets
    }

    #[test]
    fn elements_are_on_the_wire_as_in_the_standard() {
        let bearer =
            BearerCapability { transfer: TransferCapability::Speech, user_layer_1: Some(3) };
        assert_eq!(octets(&Element::BearerCapability(bearer)), [0x04, 3, 0x80, 0x90, 0xa3]);
        let channel =
            ChannelIdentification { exclusive: true, channels: Channels::Listed(vec![17]) };
        assert_eq!(octets(&Element::ChannelIdentification(channel)), [0x18, 3, 0xa9, 0x83, 0x91]);
        let called = Number::new(NumberType::National, "333331234");
        assert_eq!(octets(&Element::CalledPartyNumber(called))[..3], [0x70, 10, 0xa1]);
        let in_band = Progress { description: 8, location: Location::PublicLocal };
        let cause = Cause { value: 17, location: Location::User };
        assert_eq!(octets(&Element::Cause(cause)), [0x08, 2, 0x80, 0x91]);
        assert_eq!(octets(&Element::ProgressIndicator(in_band)), [0x1e, 2, 0x82, 0x88]);
    }

    #[test]
    fn a_slot_map_names_its_channels() {
        assert_eq!(
            Element::decode(0x18, &[0xa9, 0x93, 0x80, 0x01, 0x00, 0x02]),
            Element::ChannelIdentification(ChannelIdentification {
                exclusive: true,
                channels: Channels::Listed(vec![1, 16, 31]),
            })
        );
    }

    #[test]
    fn a_restricted_calling_number_says_so() {
        let number = Number {
            presentation: Presentation::Restricted,
            screening: Screening::Network,
            ..Number::new(NumberType::National, "469595678")
        };
        let written = octets(&Element::CallingPartyNumber(number.clone()));
        assert_eq!(written[2..4], [0x21, 0xa3]);
        assert_eq!(Element::decode(0x6c, &written[2..]), Element::CallingPartyNumber(number));
    }

    #[test]
    fn a_number_too_long_to_be_one_makes_no_sense() {
        let longest = [&[0x81][..], &[b'1'; DIGITS_MAX]].concat();
        assert!(matches!(Element::decode(0x70, &longest), Element::CalledPartyNumber(_)));
        let longer = [&longest[..], b"1"].concat();
        assert_eq!(Element::decode(0x70, &longer), Element::Invalid(0x70));
    }

    proptest! {
        #[test]
        fn any_contents_are_survived_and_what_is_read_writes_back(
            identifier in 0..0x80_u8,
            contents in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let element = Element::decode(identifier, &contents);
            let written = octets(&element);
            if !written.is_empty() {
                prop_assert_eq!(Element::decode(identifier, &written[2..]), element);
            }
        }
    }
}
