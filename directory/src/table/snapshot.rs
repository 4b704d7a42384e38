//! An immutable table: longest prefix over the digits of a number.

use std::collections::HashMap;

use trunkline_number::E164;

use super::pages::{PAGE, Pages};
use super::{Digits, Route};

/// A table of up to some hundred million prefixes; made once by [`SnapshotBuilder`], then only
/// asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) routes: Vec<Route>,
    /// Place 0 holds prefixes of one digit.
    pub(super) by_length: [Pages; E164::MAX_DIGITS],
    /// Bit 1 is set when there are prefixes of one digit, and so on.
    pub(super) lengths: u16,
}

impl Snapshot {
    /// The longest prefix of `digits` that has an entry.
    pub(super) fn longest(&self, digits: Digits) -> Option<(Digits, &Route)> {
        let mut lengths = u32::from(self.lengths) & ((2 << digits.length()) - 1);
        while let Some(length) = lengths.checked_ilog2() {
            let prefix = digits.leading(length as u8);
            if let Some(route) = self.entry(prefix) {
                return Some((prefix, route));
            }
            lengths ^= 1 << length;
        }
        None
    }

    /// Looks at the places where these numbers would be, all at once: memory brings many of them in
    /// the time of one, and looking them up one by one finds them near.
    pub(super) fn approach(&self, numbers: impl Iterator<Item = Digits> + Clone) {
        let of_length = |digits: Digits| {
            let pages = &self.by_length[usize::from(digits.length().checked_sub(1)?)];
            (pages.entries > FITS_CACHE).then_some(pages)
        };
        let numbers = numbers.filter_map(|digits| Some((of_length(digits)?, digits.value())));
        numbers.clone().for_each(|(pages, value)| pages.touch_page(value));
        numbers.for_each(|(pages, value)| pages.touch_entry(value));
    }

    /// Whether longer entries begin with these digits.
    pub(super) fn has_below(&self, digits: Digits) -> bool {
        let longer = digits.length() + 1..=E164::MAX_DIGITS as u8;
        longer.filter(|length| self.lengths >> length & 1 == 1).any(|length| {
            let pages = &self.by_length[usize::from(length - 1)];
            pages.range(digits.values_below(length)).next().is_some()
        })
    }

    /// The entry of exactly these digits.
    pub fn entry(&self, prefix: Digits) -> Option<&Route> {
        if self.lengths >> prefix.length() & 1 == 0 {
            return None;
        }
        let pages = &self.by_length[usize::from(prefix.length().checked_sub(1)?)];
        Some(&self.routes[pages.find(prefix.value())? as usize])
    }

    /// All entries that begin with these digits, the shorter first.
    pub fn below(&self, digits: Digits) -> impl Iterator<Item = (Digits, &Route)> + '_ {
        (digits.length().max(1)..=E164::MAX_DIGITS as u8).flat_map(move |length| {
            let pages = &self.by_length[usize::from(length - 1)];
            pages.range(digits.values_below(length)).filter_map(move |(value, route)| {
                Some((Digits::from_value(length, value)?, &self.routes[route as usize]))
            })
        })
    }

    /// All entries, the shorter first, then by value.
    pub fn iter(&self) -> impl Iterator<Item = (Digits, &Route)> + '_ {
        self.below(Digits::default())
    }

    /// Prefixes in the table.
    pub fn entries(&self) -> usize {
        self.by_length.iter().map(|pages| pages.entries).sum()
    }

    /// Distinct routes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Memory that the table takes, in octets.
    pub fn size_octets(&self) -> usize {
        self.by_length.iter().map(Pages::size_octets).sum::<usize>()
            + self.routes.iter().map(|route| size_of_val(route.choices())).sum::<usize>()
            + self.routes.capacity() * size_of::<Route>()
    }

    /// Takes down which lengths there are; after all pages are there.
    pub(super) fn finish(&mut self) {
        let lengths = self.by_length.iter().zip(1..).filter(|(pages, _)| pages.entries > 0);
        self.lengths = lengths.map(|(_, length)| 1 << length).sum();
    }

    /// Gives the gateways of all routes other places.
    pub(crate) fn map_gateways(&mut self, place: impl Fn(u32) -> u32) {
        self.routes.iter_mut().for_each(|route| route.map_gateways(&place));
    }
}

/// Entries of a length that are near anyway.
const FITS_CACHE: usize = 100_000;

/// Why entries are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntries {
    /// A prefix stands there twice.
    #[error("prefix +{0} is there twice")]
    Twice(Digits),
    /// More than the structure holds.
    #[error("too many entries with as many digits: {0}")]
    TooMany(usize),
}

/// Collects the entries of a snapshot, in any order; it takes 16 octets an entry meanwhile.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    routes: Vec<Route>,
    places: HashMap<Route, u32>,
    by_length: [Vec<(u64, u32)>; E164::MAX_DIGITS],
}

impl SnapshotBuilder {
    /// Place of a route for [`SnapshotBuilder::add`]; the same for equal routes.
    pub fn route(&mut self, route: Route) -> u32 {
        let routes = &mut self.routes;
        let next = routes.len() as u32;
        *self.places.entry(route).or_insert_with_key(|route| {
            routes.push(route.clone());
            next
        })
    }

    /// Adds a prefix. One without digits is left out.
    pub fn add(&mut self, prefix: Digits, route: u32) {
        if let Some(place) = prefix.length().checked_sub(1) {
            self.by_length[usize::from(place)].push((prefix.value(), route));
        }
    }

    /// Entries so far.
    pub fn entries(&self) -> usize {
        self.by_length.iter().map(Vec::len).sum()
    }

    /// The finished table.
    ///
    /// # Errors
    /// A prefix that stands there twice.
    pub fn build(self) -> Result<Snapshot, BadEntries> {
        let mut snapshot = Snapshot { routes: self.routes, ..Snapshot::default() };
        for ((place, mut entries), pages) in
            self.by_length.into_iter().enumerate().zip(&mut snapshot.by_length)
        {
            // Sorted input, which an export is, takes one pass.
            entries.sort_unstable_by_key(|&(value, _)| value);
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                let twice = Digits::from_value(place as u8 + 1, pair[0].0).unwrap_or_default();
                return Err(BadEntries::Twice(twice));
            }
            let mut page = Vec::new();
            for chunk in entries.chunk_by(|a, b| a.0 / PAGE == b.0 / PAGE) {
                page.clear();
                page.extend(chunk.iter().map(|&(value, route)| ((value % PAGE) as u16, route)));
                if !pages.push(chunk[0].0 / PAGE, &page) {
                    return Err(BadEntries::TooMany(entries.len()));
                }
            }
            pages.finish();
        }
        snapshot.finish();
        Ok(snapshot)
    }
}
