//! Which way a number goes.
//!
//! A call goes to a phone that is configured or registered under its number. Otherwise it goes where
//! the prefix leads that fits its number longest: to trunk groups, to peers on the packet side, or to
//! the gateway that the directory names. A call from the line for which there is no prefix goes there
//! as well.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkline_number::{CountryProfile, Dialled, E164};

/// Type of number of Q.931 §4.5.8, as far as routing makes a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberType {
    /// As a person on that exchange would dial it, with trunk prefix.
    #[default]
    Unknown,
    /// Country code first.
    International,
    /// Without country code and trunk prefix.
    National,
    /// Without area code.
    Subscriber,
}

/// A number on the line: digits and what they begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineNumber {
    /// Type of number.
    pub number_type: NumberType,
    /// The digits.
    pub digits: String,
}

impl LineNumber {
    /// Writes an E.164 number for the line in the form that `number_type` asks for.
    ///
    /// A number of another country is international whatever was asked for, and so is a
    /// subscriber number, whose area code call control cannot tell.
    pub fn from_e164(number: &E164, number_type: NumberType, profile: &CountryProfile) -> Self {
        let digits = number.as_digits();
        match (number_type, digits.strip_prefix(profile.country_code.as_str())) {
            (NumberType::National, Some(national)) => {
                Self { number_type, digits: national.to_owned() }
            }
            (NumberType::Unknown, Some(national)) => {
                Self { number_type, digits: format!("{}{national}", profile.trunk_prefix) }
            }
            _ => Self { number_type: NumberType::International, digits: digits.to_owned() },
        }
    }

    /// Reads the number as E.164, `None` where its digits do not make one (a short code, a
    /// subscriber number without area code, a wrong length).
    pub fn to_e164(&self, profile: &CountryProfile) -> Option<E164> {
        match self.number_type {
            NumberType::International => self.digits.parse().ok(),
            NumberType::National => format!("{}{}", profile.country_code, self.digits).parse().ok(),
            NumberType::Subscriber => None,
            NumberType::Unknown => match Dialled::parse(&self.digits, profile) {
                Ok(Dialled::E164(number)) => Some(number),
                _ => None,
            },
        }
    }
}

/// The leading E.164 digits that an operator writes as `+813` or as an area code with trunk prefix
/// (`03`); `None` for what is neither. `+` alone is the empty prefix.
pub fn prefix_digits(text: &str, profile: &CountryProfile) -> Option<String> {
    let digits = match text.strip_prefix('+') {
        Some(digits) => digits.to_owned(),
        None => {
            let national = text.strip_prefix(profile.trunk_prefix.as_str())?;
            format!("{}{national}", profile.country_code)
        }
    };
    let fits =
        digits.len() <= E164::MAX_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    fits.then_some(digits)
}

/// Where the numbers of a prefix are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRoute {
    /// Leading E.164 digits, without `+`. The empty prefix takes every number.
    pub prefix: String,
    /// The calls that go this way.
    pub calls_from: CallsFrom,
    /// What leads there.
    pub via: Via,
}

/// Which calls a route is for, by the side that they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallsFrom {
    /// The packet side.
    #[default]
    Packet,
    /// The line.
    Line,
    /// Both.
    Both,
}

impl CallsFrom {
    /// Whether some call is meant by both.
    pub fn overlaps(self, other: Self) -> bool {
        self == other || self == Self::Both || other == Self::Both
    }
}

/// What leads to the numbers of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The line.
    TrunkGroups {
        /// Trunk groups, first choice first.
        groups: Vec<String>,
        /// How the called number is written towards them.
        number_type: NumberType,
    },
    /// Other switches on the packet side, first choice first. A target without a number is called
    /// with the one that was dialled.
    Peers(Vec<PacketTarget>),
    /// The gateways on the packet side that the directory names.
    Directory,
}

/// Where a call on the packet side goes: the target in the packet side's own form, which call
/// control hands through untouched (a SIP URI).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketTarget(pub String);

/// The routing table of a gateway.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// How numbers are dialled here.
    pub profile: CountryProfile,
    routes: Vec<PrefixRoute>,
    phones: BTreeMap<E164, PacketTarget>,
    registered: BTreeMap<E164, Registered>,
}

/// A phone that has registered itself.
#[derive(Clone, Debug)]
struct Registered {
    target: PacketTarget,
    until: Instant,
}

impl Routing {
    /// A table with the given dialling habits and prefixes.
    pub fn new(profile: CountryProfile, mut routes: Vec<PrefixRoute>) -> Self {
        // Longest first, so that the first that fits is the one.
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self { profile, routes, ..Self::default() }
    }

    /// Sets the phone that rings for a number when the line calls it and no other has registered.
    pub fn set_phone(&mut self, number: E164, target: PacketTarget) {
        self.phones.insert(number, target);
    }

    /// A phone registered itself for a number `until` then.
    pub fn register(&mut self, number: E164, target: PacketTarget, until: Instant) {
        self.registered.insert(number, Registered { target, until });
    }

    /// The phone that had registered itself for a number took that back.
    pub fn unregister(&mut self, number: &E164) {
        self.registered.remove(number);
    }

    /// A number as people write it, if it is a whole number.
    pub fn understood(&self, text: &str) -> Option<E164> {
        match Dialled::parse(text, &self.profile) {
            Ok(Dialled::E164(number)) => Some(number),
            _ => None,
        }
    }

    /// What leads to a number from one of the sides.
    pub fn via(&self, number: &E164, from: CallsFrom) -> Option<&Via> {
        let fits = |route: &&PrefixRoute| {
            route.calls_from.overlaps(from) && number.as_digits().starts_with(&route.prefix)
        };
        self.routes.iter().find(fits).map(|route| &route.via)
    }

    /// The phone under a number: one that is registered now, else the configured one.
    pub fn to_phone(&self, number: &E164, now: Instant) -> Option<&PacketTarget> {
        let registered = self.registered.get(number).filter(|phone| phone.until > now);
        registered.map(|phone| &phone.target).or_else(|| self.phones.get(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e164(digits: &str) -> E164 {
        digits.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let route = |prefix: &str, group: &str| PrefixRoute {
            prefix: prefix.into(),
            calls_from: CallsFrom::Both,
            via: Via::TrunkGroups { groups: vec![group.into()], number_type: NumberType::Unknown },
        };
        let routing = Routing::new(
            CountryProfile::japan(),
            vec![route("81", "any"), route("813", "tokyo"), route("8133333", "one office")],
        );
        let group = |digits| match routing.via(&e164(digits), CallsFrom::Packet)? {
            Via::TrunkGroups { groups, .. } => Some(groups[0].clone()),
            Via::Peers(_) | Via::Directory => None,
        };
        assert_eq!(group("81333331234").as_deref(), Some("one office"));
        assert_eq!(group("81355551234").as_deref(), Some("tokyo"));
        assert_eq!(group("81469595678").as_deref(), Some("any"));
        assert_eq!(group("12025550123"), None);
    }

    #[test]
    fn a_prefix_is_written_with_country_code_or_as_an_area_code() {
        let profile = CountryProfile::japan();
        let digits = |text| prefix_digits(text, &profile);
        assert_eq!(digits("+813").as_deref(), Some("813"));
        assert_eq!(digits("0469").as_deref(), Some("81469"));
        assert_eq!(digits("+").as_deref(), Some(""));
        assert_eq!(digits("813"), None);
        assert_eq!(digits("03-3333"), None);
    }

    #[test]
    fn numbers_are_written_for_the_line_as_configured() {
        let profile = CountryProfile::japan();
        let number = e164("81333331234");
        let digits = |number_type| LineNumber::from_e164(&number, number_type, &profile).digits;
        assert_eq!(digits(NumberType::Unknown), "0333331234");
        assert_eq!(digits(NumberType::National), "333331234");
        assert_eq!(digits(NumberType::International), "81333331234");
        let abroad = LineNumber::from_e164(&e164("12025550123"), NumberType::National, &profile);
        assert_eq!(abroad.number_type, NumberType::International);
    }

    #[test]
    fn what_was_written_for_the_line_reads_back() {
        let profile = CountryProfile::japan();
        let number = e164("81469595678");
        for number_type in [NumberType::Unknown, NumberType::National, NumberType::International] {
            let written = LineNumber::from_e164(&number, number_type, &profile);
            assert_eq!(written.to_e164(&profile), Some(number), "{written:?}");
        }
    }
}
