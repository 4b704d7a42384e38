//! The lookup core: which gateways serve a number, by longest prefix over its digits.
//!
//! A hash map for each prefix length, the longest asked first. Against tries, sorted intervals
//! and finite-state maps this was the fastest at every size measured, at 19 octets an entry.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use trunkline_number::E164;

/// An immutable table; made once by [`SnapshotBuilder`], then only asked.
#[derive(Debug, Default)]
pub struct Snapshot {
    gateways: Vec<Gateway>,
    routes: Vec<Route>,
    /// Place 0 holds prefixes of one digit.
    by_length: [LengthMap; E164::MAX_DIGITS],
    /// Lengths that have entries, longest first.
    lengths: Vec<u8>,
    entries: usize,
}

/// What a table says about a string of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The longest matching prefix and its route.
    Route {
        /// The prefix.
        prefix: Digits,
        /// Its gateways.
        route: &'a Route,
    },
    /// No prefix matches, but longer ones of the table begin with these digits: there may be
    /// numbers below them (an empty non-terminal of RFC 8020).
    Interior,
    /// Nothing at or below these digits.
    Nothing,
}

impl Snapshot {
    /// The longest prefix of `digits`.
    pub fn find(&self, digits: Digits) -> Found<'_> {
        let exact = digits
            .length
            .checked_sub(1)
            .and_then(|place| self.by_length[usize::from(place)].get(&digits.value));
        match exact {
            Some(&route) if route != INTERIOR => return self.found(digits, route),
            _ => {}
        }
        for &length in self.lengths.iter().filter(|&&length| length < digits.length) {
            let prefix = digits.leading(length);
            match self.by_length[usize::from(length - 1)].get(&prefix.value) {
                Some(&route) if route != INTERIOR => return self.found(prefix, route),
                _ => {}
            }
        }
        if exact.is_some() { Found::Interior } else { Found::Nothing }
    }

    fn found(&self, prefix: Digits, route: u32) -> Found<'_> {
        Found::Route { prefix, route: &self.routes[route as usize] }
    }

    /// A gateway of a [`Choice`] of this snapshot.
    pub fn gateway(&self, choice: &Choice) -> &Gateway {
        &self.gateways[choice.gateway as usize]
    }

    /// Prefixes in the table.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Gateways in the table.
    pub fn gateways(&self) -> usize {
        self.gateways.len()
    }
}

/// The gateways of a prefix, the first choice first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route(Vec<Choice>);

impl Route {
    /// Sorts the choices by order, then preference, the lower first (RFC 3403 §4.1).
    pub fn new(mut choices: Vec<Choice>) -> Self {
        choices.sort_by_key(|choice| (choice.order, choice.preference));
        Self(choices)
    }

    /// The choices, the first first.
    pub fn choices(&self) -> &[Choice] {
        &self.0
    }
}

/// A gateway in a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Place in the snapshot's gateways.
    pub gateway: u32,
    /// NAPTR order: lower is tried first.
    pub order: u16,
    /// NAPTR preference among equal orders: lower is tried first.
    pub preference: u16,
}

/// A gateway as calls reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Name in the table.
    pub name: String,
    /// Host and port as they stand in a SIP URI: `127.0.0.10:5060`.
    pub authority: String,
    /// What follows the authority in the URI: nothing for UDP, or `;transport=tcp`.
    pub parameters: &'static str,
}

impl Gateway {
    /// The SIP URI of a number at this gateway, as RFC 6116 has it in a NAPTR.
    pub fn uri<'a>(&'a self, number: &'a Digits) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| write!(f, "sip:+{number}@{}{}", self.authority, self.parameters))
    }
}

/// Collects the entries of a snapshot.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    snapshot: Snapshot,
    routes: HashMap<Route, u32>,
}

impl SnapshotBuilder {
    /// Adds a gateway; the result is its place for [`Choice::gateway`].
    pub fn add_gateway(&mut self, gateway: Gateway) -> u32 {
        self.snapshot.gateways.push(gateway);
        (self.snapshot.gateways.len() - 1) as u32
    }

    /// Adds a prefix. False when it is there already or empty; then nothing changes.
    pub fn add_prefix(&mut self, prefix: Digits, route: Route) -> bool {
        let Some(place) = prefix.length.checked_sub(1) else {
            return false;
        };
        let routes = &mut self.snapshot.routes;
        let next = routes.len() as u32;
        let index = *self.routes.entry(route).or_insert_with_key(|route| {
            routes.push(route.clone());
            next
        });
        let by_length = &mut self.snapshot.by_length;
        match by_length[usize::from(place)].insert(prefix.value, index) {
            Some(before) if before != INTERIOR => {
                by_length[usize::from(place)].insert(prefix.value, before);
                return false;
            }
            _ => {}
        }
        for length in (1..prefix.length).rev() {
            let above = by_length[usize::from(length - 1)].entry(prefix.leading(length).value);
            // What is there has its own ancestors already.
            match above {
                std::collections::hash_map::Entry::Occupied(_) => break,
                std::collections::hash_map::Entry::Vacant(place) => place.insert(INTERIOR),
            };
        }
        self.snapshot.entries += 1;
        true
    }

    /// The finished table.
    pub fn build(mut self) -> Snapshot {
        let has_entries = |map: &LengthMap| map.values().any(|&route| route != INTERIOR);
        self.snapshot.lengths = (1..=E164::MAX_DIGITS as u8)
            .rev()
            .filter(|length| has_entries(&self.snapshot.by_length[usize::from(length - 1)]))
            .collect();
        self.snapshot
    }
}

/// Up to 15 decimal digits: a number, or the beginning of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digits {
    value: u64,
    length: u8,
}

impl Digits {
    /// Reads ASCII digits. None for another character or more than 15.
    pub fn read(text: &str) -> Option<Self> {
        text.bytes().try_fold(Self::default(), |digits, octet| {
            octet.is_ascii_digit().then(|| digits.push(octet - b'0')).flatten()
        })
    }

    /// With one more digit, 0 to 9, at the end. None when there are 15 already.
    pub fn push(self, digit: u8) -> Option<Self> {
        (usize::from(self.length) < E164::MAX_DIGITS && digit < 10)
            .then(|| Self { value: self.value * 10 + u64::from(digit), length: self.length + 1 })
    }

    /// Number of digits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The first `length` digits; all when there are no more.
    pub fn leading(&self, length: u8) -> Self {
        match self.length.checked_sub(length) {
            Some(cut) => Self { value: self.value / POWERS_OF_TEN[usize::from(cut)], length },
            None => *self,
        }
    }
}

impl From<&E164> for Digits {
    fn from(number: &E164) -> Self {
        Self {
            value: number
                .as_digits()
                .bytes()
                .fold(0, |value, octet| value * 10 + u64::from(octet - b'0')),
            length: number.as_digits().len() as u8,
        }
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return Ok(());
        }
        write!(f, "{:0width$}", self.value, width = usize::from(self.length))
    }
}

/// Route index of digits that only lead to longer prefixes.
const INTERIOR: u32 = u32::MAX;

const POWERS_OF_TEN: [u64; E164::MAX_DIGITS + 1] = {
    let mut powers = [1; E164::MAX_DIGITS + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

type LengthMap = HashMap<u64, u32, BuildHasherDefault<DigitHasher>>;

/// Spreads a number's value over all bits. The keys are the operator's own table, so nobody can
/// choose them to collide, and the default hasher would cost as much as the rest of the lookup.
#[derive(Debug, Default)]
struct DigitHasher(u64);

impl Hasher for DigitHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.write_u64(u64::from(octet));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Both halves of the product by the golden ratio: high and low bits alike are used as hash.
        let product = u128::from(self.0 ^ value) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digits(text: &str) -> Digits {
        Digits::read(text).unwrap()
    }

    fn snapshot(prefixes: &[&str]) -> Snapshot {
        let mut builder = SnapshotBuilder::default();
        for (index, prefix) in prefixes.iter().enumerate() {
            let choice = Choice { gateway: index as u32, order: 10, preference: 10 };
            builder.add_gateway(Gateway {
                name: (*prefix).to_owned(),
                authority: "127.0.0.1".into(),
                parameters: "",
            });
            assert!(builder.add_prefix(digits(prefix), Route::new(vec![choice])));
        }
        builder.build()
    }

    fn prefix_of(snapshot: &Snapshot, number: &str) -> Option<String> {
        match snapshot.find(digits(number)) {
            Found::Route { prefix, route } => {
                let name = &snapshot.gateway(&route.choices()[0]).name;
                assert_eq!(*name, prefix.to_string());
                Some(prefix.to_string())
            }
            Found::Interior | Found::Nothing => None,
        }
    }

    #[test]
    fn area_codes_of_the_patent_lead_to_their_gateways() {
        let snapshot = snapshot(&["813", "81469"]);
        assert_eq!(prefix_of(&snapshot, "81333331234").as_deref(), Some("813"));
        assert_eq!(prefix_of(&snapshot, "81469595678").as_deref(), Some("81469"));
        assert_eq!(prefix_of(&snapshot, "81466595678"), None);
    }

    #[test]
    fn ported_number_leaves_its_neighbours_with_the_area() {
        let snapshot = snapshot(&["813", "81333331234", "81469"]);
        for (number, prefix) in [
            ("81333331234", "81333331234"),
            ("81333331235", "813"),
            ("81333339999", "813"),
            ("81355551234", "813"),
            ("81469221234", "81469"),
        ] {
            assert_eq!(prefix_of(&snapshot, number).as_deref(), Some(prefix), "{number}");
        }
    }

    #[test]
    fn beginning_of_a_prefix_is_not_the_same_as_nothing() {
        let snapshot = snapshot(&["81469"]);
        for number in ["8", "81", "8146"] {
            assert_eq!(snapshot.find(digits(number)), Found::Interior, "{number}");
        }
        for number in ["9", "82", "8147", "814"] {
            let expected = if number == "814" { Found::Interior } else { Found::Nothing };
            assert_eq!(snapshot.find(digits(number)), expected, "{number}");
        }
    }

    #[test]
    fn second_entry_for_a_prefix_is_refused_and_the_first_stays() {
        let mut builder = SnapshotBuilder::default();
        let route = |gateway| Route::new(vec![Choice { gateway, order: 1, preference: 1 }]);
        assert!(builder.add_prefix(digits("813"), route(0)));
        assert!(!builder.add_prefix(digits("813"), route(1)));
        let snapshot = builder.build();
        assert_eq!(snapshot.entries(), 1);
        assert_eq!(
            snapshot.find(digits("8133")),
            Found::Route { prefix: digits("813"), route: &route(0) }
        );
    }

    #[test]
    fn choices_stand_in_order_then_preference() {
        let choice = |gateway, order, preference| Choice { gateway, order, preference };
        let route = Route::new(vec![choice(0, 20, 1), choice(1, 10, 9), choice(2, 10, 3)]);
        let gateways: Vec<u32> = route.choices().iter().map(|choice| choice.gateway).collect();
        assert_eq!(gateways, [2, 1, 0]);
    }

    #[test]
    fn digits_keep_leading_zeros_and_stop_at_fifteen() {
        assert_eq!(digits("0012").to_string(), "0012");
        assert_eq!(digits("").to_string(), "");
        assert_eq!(digits("999999999999999").length(), 15);
        assert_eq!(Digits::read("1234567890123456"), None);
        assert_eq!(Digits::read("12a"), None);
        assert_eq!(Digits::read("１２"), None);
    }

    proptest! {
        /// Few different digits, so that prefixes nest and queries hit.
        #[test]
        fn finds_what_a_linear_scan_finds(
            prefixes in proptest::collection::btree_set("[0-2]{1,7}|[0-9]{1,15}", 0..60),
            queries in proptest::collection::vec("[0-2]{0,9}|[0-9]{1,15}", 1..60),
        ) {
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            let snapshot = snapshot(&prefixes);
            prop_assert_eq!(snapshot.entries(), prefixes.len());
            for query in &queries {
                let scanned = prefixes
                    .iter()
                    .filter(|prefix| query.starts_with(**prefix))
                    .max_by_key(|prefix| prefix.len());
                match snapshot.find(digits(query)) {
                    Found::Route { prefix, route } => {
                        prop_assert_eq!(Some(prefix.to_string()), scanned.map(|&text| text.to_owned()));
                        let name = &snapshot.gateway(&route.choices()[0]).name;
                        prop_assert_eq!(Some(name.as_str()), scanned.copied());
                    }
                    found => {
                        prop_assert_eq!(scanned, None);
                        let below = !query.is_empty()
                            && prefixes.iter().any(|prefix| prefix.starts_with(query.as_str()));
                        prop_assert_eq!(found == Found::Interior, below);
                    }
                }
            }
        }
    }
}
