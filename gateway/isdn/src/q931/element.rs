//! Information elements of Q.931 §4.5, as far as basic call control uses them.

/// Identifiers of elements (Q.931 table 4-3).
pub mod id {
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

/// Information transfer capability (Q.931 §4.5.5, octet 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferCapability {
    /// Speech.
    Speech,
    /// Unrestricted digital information, 64 kbit/s.
    UnrestrictedDigital,
    /// 3.1 kHz audio.
    Audio31,
    /// Another one, by its value.
    Other(u8),
}

/// Bearer capability (Q.931 §4.5.5): circuit mode, 64 kbit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BearerCapability {
    /// What is carried.
    pub transfer: TransferCapability,
    /// User information layer 1 protocol: 2 G.711 µ-law, 3 G.711 A-law.
    pub user_layer_1: Option<u8>,
}

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
    /// Digits in IA5.
    pub digits: String,
}

impl Number {
    /// A number of the ISDN plan.
    pub fn new(number_type: NumberType, digits: impl Into<String>) -> Self {
        Self { number_type, digits: digits.into(), ..Self::default() }
    }
}

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
    fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0 => Self::User,
            1 => Self::PrivateLocal,
            2 => Self::PublicLocal,
            4 => Self::PublicRemote,
            other => Self::Other(other),
        }
    }

    fn bits(self) -> u8 {
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

/// Which channels a channel identification means (Q.931 §4.5.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channels {
    /// No channel.
    None,
    /// Any channel.
    Any,
    /// These B channels.
    Listed(Vec<u8>),
}

/// Channel identification on a primary rate interface (Q.931 §4.5.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelIdentification {
    /// Only this channel will do; else it is preferred.
    pub exclusive: bool,
    /// The channels.
    pub channels: Channels,
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
    /// Bearer capability.
    BearerCapability(BearerCapability),
    /// Cause.
    Cause(Cause),
    /// Call state: its number.
    CallState(u8),
    /// Channel identification.
    ChannelIdentification(ChannelIdentification),
    /// Progress indicator: progress description (Q.931 §4.5.23).
    ProgressIndicator(u8),
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
    RedirectingNumber(Number),
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

/// Whether a progress description says that tones or announcements can be heard
/// (Q.931 table 4-20: 1 not end-to-end ISDN, 8 in-band information available).
pub fn is_in_band(description: u8) -> bool {
    matches!(description, 1 | 8)
}

impl Element {
    /// Reads the contents of a variable length element of codeset 0.
    pub fn decode(identifier: u8, contents: &[u8]) -> Self {
        let decoded = match identifier {
            id::BEARER_CAPABILITY => bearer_capability(contents).map(Self::BearerCapability),
            id::CAUSE => cause(contents).map(Self::Cause),
            id::CALL_STATE => contents.first().map(|octet| Self::CallState(octet & 0x3f)),
            id::CHANNEL_IDENTIFICATION => {
                channel_identification(contents).map(Self::ChannelIdentification)
            }
            id::PROGRESS_INDICATOR => {
                contents.get(1).map(|octet| Self::ProgressIndicator(octet & 0x7f))
            }
            id::NOTIFICATION_INDICATOR => {
                contents.first().map(|octet| Self::NotificationIndicator(octet & 0x7f))
            }
            id::DISPLAY => ia5(strip_charset(contents)).map(Self::Display),
            id::KEYPAD_FACILITY => ia5(contents).map(Self::KeypadFacility),
            id::CONNECTED_NUMBER => number(contents).map(Self::ConnectedNumber),
            id::CALLING_PARTY_NUMBER => number(contents).map(Self::CallingPartyNumber),
            // §4.5.8: a called number has no octet 3a; one that is there all the same says nothing.
            id::CALLED_PARTY_NUMBER => number(contents).map(|number| {
                Self::CalledPartyNumber(Number {
                    presentation: Presentation::default(),
                    screening: Screening::default(),
                    ..number
                })
            }),
            id::REDIRECTING_NUMBER => number(contents).map(Self::RedirectingNumber),
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
            Self::BearerCapability(_) => id::BEARER_CAPABILITY,
            Self::Cause(_) => id::CAUSE,
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
            Self::BearerCapability(bearer) => encode_bearer_capability(*bearer),
            Self::Cause(cause) => vec![0x80 | cause.location.bits(), 0x80 | cause.value],
            Self::CallState(state) => vec![state & 0x3f],
            Self::ChannelIdentification(channel) => encode_channel_identification(channel),
            // Location: public network serving the local user.
            Self::ProgressIndicator(description) => vec![0x82, 0x80 | description],
            Self::NotificationIndicator(description) => vec![0x80 | description],
            Self::Display(text) | Self::KeypadFacility(text) => text.as_bytes().to_vec(),
            Self::CalledPartyNumber(number) => encode_number(number, false),
            Self::ConnectedNumber(number)
            | Self::CallingPartyNumber(number)
            | Self::RedirectingNumber(number) => encode_number(number, true),
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

fn bearer_capability(contents: &[u8]) -> Option<BearerCapability> {
    let [first, rest @ ..] = contents else { return None };
    let transfer = match first & 0x1f {
        0x00 => TransferCapability::Speech,
        0x08 => TransferCapability::UnrestrictedDigital,
        0x10 => TransferCapability::Audio31,
        other => TransferCapability::Other(other),
    };
    let mode = *rest.first()?;
    // Rate multiplier (octet 4.1) follows only for multirate, value 0x18.
    let behind_rate = if mode & 0x1f == 0x18 { 2 } else { 1 };
    let user_layer_1 =
        rest.get(behind_rate).filter(|octet| *octet & 0x60 == 0x20).map(|octet| octet & 0x1f);
    Some(BearerCapability { transfer, user_layer_1 })
}

fn encode_bearer_capability(bearer: BearerCapability) -> Vec<u8> {
    let transfer = match bearer.transfer {
        TransferCapability::Speech => 0x00,
        TransferCapability::UnrestrictedDigital => 0x08,
        TransferCapability::Audio31 => 0x10,
        TransferCapability::Other(bits) => bits & 0x1f,
    };
    // Circuit mode, 64 kbit/s.
    let mut contents = vec![0x80 | transfer, 0x90];
    contents.extend(bearer.user_layer_1.map(|protocol| 0xa0 | protocol));
    contents
}

fn cause(contents: &[u8]) -> Option<Cause> {
    let first = *contents.first()?;
    // Octet 3a (recommendation) is there when the extension bit of octet 3 is 0.
    let value = *contents.get(if first & 0x80 == 0 { 2 } else { 1 })? & 0x7f;
    Some(Cause { value, location: Location::from_bits(first) })
}

fn channel_identification(contents: &[u8]) -> Option<ChannelIdentification> {
    let first = *contents.first()?;
    let exclusive = first & 0x08 != 0;
    let mut rest = &contents[1..];
    if first & 0x40 != 0 {
        // Interface identifier: octets up to the one with the extension bit.
        let last = rest.iter().position(|octet| octet & 0x80 != 0)?;
        rest = &rest[last + 1..];
    }
    if first & 0x20 == 0 {
        return None; // A basic interface.
    }
    let channels = match first & 3 {
        0 => Channels::None,
        3 => Channels::Any,
        1 => {
            let [kind, numbers @ ..] = rest else { return None };
            if kind & 0x10 == 0 {
                let mut listed = Vec::new();
                for octet in numbers {
                    listed.push(octet & 0x7f);
                    if octet & 0x80 != 0 {
                        break;
                    }
                }
                Channels::Listed(listed)
            } else {
                // Slot map: the last octet's lowest bit is timeslot 1 of a T1 and 0 of an E1.
                let bits = numbers.len() * 8;
                let first_slot = u8::from(numbers.len() == 3);
                Channels::Listed(
                    (0..bits.min(32))
                        .filter(|bit| numbers[numbers.len() - 1 - bit / 8] >> (bit % 8) & 1 != 0)
                        .map(|bit| bit as u8 + first_slot)
                        .collect(),
                )
            }
        }
        _ => return None,
    };
    Some(ChannelIdentification { exclusive, channels })
}

fn encode_channel_identification(channel: &ChannelIdentification) -> Vec<u8> {
    // Primary rate, interface implicitly identified.
    let first = 0xa0 | u8::from(channel.exclusive) << 3;
    match &channel.channels {
        Channels::None => vec![first],
        Channels::Any => vec![first | 3],
        Channels::Listed(listed) => {
            // Coding by number, B channel units.
            let mut contents = vec![first | 1, 0x83];
            contents.extend(listed);
            if let Some(last) = contents.last_mut() {
                *last |= 0x80;
            }
            contents
        }
    }
}

fn number(contents: &[u8]) -> Option<Number> {
    let first = *contents.first()?;
    let mut number = Number {
        number_type: NumberType::from_bits(first >> 4),
        plan: NumberingPlan::from_bits(first),
        ..Number::default()
    };
    let mut rest = &contents[1..];
    let mut extended = first & 0x80 == 0;
    let mut is_octet_3a = true;
    while extended {
        let [octet, more @ ..] = rest else { return None };
        if is_octet_3a {
            number.presentation = match octet >> 5 & 3 {
                0 => Presentation::Allowed,
                1 => Presentation::Restricted,
                2 => Presentation::NotAvailable,
                _ => Presentation::Reserved,
            };
            number.screening = match octet & 3 {
                0 => Screening::UserNotScreened,
                1 => Screening::UserPassed,
                2 => Screening::UserFailed,
                _ => Screening::Network,
            };
            is_octet_3a = false;
        }
        extended = octet & 0x80 == 0;
        rest = more;
    }
    number.digits = ia5(rest)?;
    Some(number)
}

fn encode_number(number: &Number, with_presentation: bool) -> Vec<u8> {
    let first = number.number_type.bits() << 4 | number.plan.bits();
    let mut contents = Vec::with_capacity(2 + number.digits.len());
    if with_presentation {
        let presentation = match number.presentation {
            Presentation::Allowed => 0,
            Presentation::Restricted => 1,
            Presentation::NotAvailable => 2,
            Presentation::Reserved => 3,
        };
        let screening = match number.screening {
            Screening::UserNotScreened => 0,
            Screening::UserPassed => 1,
            Screening::UserFailed => 2,
            Screening::Network => 3,
        };
        contents.extend([first, 0x80 | presentation << 5 | screening]);
    } else {
        contents.push(0x80 | first);
    }
    contents.extend_from_slice(number.digits.as_bytes());
    contents
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
        let cause = Cause { value: 17, location: Location::User };
        assert_eq!(octets(&Element::Cause(cause)), [0x08, 2, 0x80, 0x91]);
        assert_eq!(octets(&Element::ProgressIndicator(8)), [0x1e, 2, 0x82, 0x88]);
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
