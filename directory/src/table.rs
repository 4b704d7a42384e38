//! The lookup core: which gateways serve a number, by longest prefix over its digits.
//!
//! A [`Table`] has three layers: the [`Snapshot`] of what the operator provisioned, an [`Overlay`]
//! of the changes since, and a snapshot of the prefixes that gateways registered themselves. All
//! are immutable and shared: a change makes a new table that has most of the old one in common.

mod digits;
pub mod file;
mod overlay;
mod pages;
mod route;
mod snapshot;

use std::sync::Arc;

pub use digits::Digits;
pub use overlay::Overlay;
pub use route::{BadHours, CHOICES_MAX, Choice, Hours, Portability, Route, WeekMinute};
pub use snapshot::{BadEntries, Snapshot, SnapshotBuilder};

/// Prefixes and their routes.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the operator provisioned.
    pub provisioned: Arc<Snapshot>,
    /// Changes of single prefixes since.
    pub changes: Arc<Overlay>,
    /// Prefixes that gateways registered.
    pub registered: Arc<Snapshot>,
}

/// What a table says about a string of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The longest matching prefix and its routes.
    Routes(Matched<'a>),
    /// No prefix matches, but longer ones of the table begin with these digits: there may be
    /// numbers below them (an empty non-terminal of RFC 8020).
    Interior,
    /// Nothing at or below these digits.
    Nothing,
}

/// The entry that matches a number. At least one of its routes is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The prefix.
    pub prefix: Digits,
    /// The operator's route.
    pub provisioned: Option<&'a Route>,
    /// The gateways that registered the prefix.
    pub registered: Option<&'a Route>,
}

impl<'a> Matched<'a> {
    /// Gateways of both routes, each gateway of the operator's choice only as the operator has it.
    pub fn choices(&self) -> impl Iterator<Item = &'a Choice> + use<'a> {
        let provisioned = self.provisioned.map_or(&[][..], Route::choices);
        let registered = self.registered.map_or(&[][..], Route::choices);
        let chosen = move |gateway| provisioned.iter().any(|choice| choice.gateway == gateway);
        provisioned.iter().chain(registered.iter().filter(move |choice| !chosen(choice.gateway)))
    }

    /// What a portability database says of the number.
    pub fn portability(&self) -> Option<Portability> {
        self.provisioned.and_then(Route::portability)
    }
}

impl Table {
    /// A table of the operator's prefixes.
    pub fn new(provisioned: Snapshot) -> Self {
        Self { provisioned: Arc::new(provisioned), ..Self::default() }
    }

    /// The longest prefix of `digits`.
    pub fn find(&self, digits: Digits) -> Found<'_> {
        let provisioned = self.longest_provisioned(digits);
        let shortest = provisioned.map_or(0, |(prefix, _)| prefix.length());
        let registered =
            self.registered.longest(digits).filter(|(prefix, _)| prefix.length() >= shortest);
        let matched = match (provisioned, registered) {
            (None, None) if self.is_interior(digits) => return Found::Interior,
            (None, None) => return Found::Nothing,
            (Some((prefix, route)), None) => {
                Matched { prefix, provisioned: Some(route), registered: None }
            }
            (provisioned, Some((prefix, route))) => Matched {
                prefix,
                provisioned: provisioned.filter(|found| found.0 == prefix).map(|found| found.1),
                registered: Some(route),
            },
        };
        Found::Routes(matched)
    }

    /// Prepares for finding these numbers: together they take less time than one by one.
    pub fn approach(&self, numbers: impl Iterator<Item = Digits> + Clone) {
        self.provisioned.approach(numbers);
    }

    /// The operator's route of exactly this prefix.
    pub fn provisioned_entry(&self, prefix: Digits) -> Option<&Route> {
        match self.changes.change(prefix) {
            Some(change) => change,
            None => self.provisioned.entry(prefix),
        }
    }

    /// The operator's entries that begin with these digits: those of the snapshot that still hold,
    /// the shorter first, then the changed ones.
    pub fn provisioned_below(&self, digits: Digits) -> impl Iterator<Item = (Digits, &Route)> + '_ {
        let unchanged = self
            .provisioned
            .below(digits)
            .filter(|(prefix, _)| self.changes.change(*prefix).is_none());
        let changed =
            self.changes.below(digits).filter_map(|(prefix, route)| Some((prefix, route?)));
        unchanged.chain(changed)
    }

    /// Prefixes in the table. What is both registered and provisioned counts twice.
    pub fn entries(&self) -> usize {
        let mut entries = self.provisioned.entries() + self.registered.entries();
        for (prefix, route) in self.changes.iter() {
            match (self.provisioned.entry(prefix), route) {
                (None, Some(_)) => entries += 1,
                (Some(_), None) => entries -= 1,
                _ => {}
            }
        }
        entries
    }

    fn longest_provisioned(&self, digits: Digits) -> Option<(Digits, &Route)> {
        if self.changes.is_empty() {
            return self.provisioned.longest(digits);
        }
        (1..=digits.length()).rev().find_map(|length| {
            let prefix = digits.leading(length);
            Some((prefix, self.provisioned_entry(prefix)?))
        })
    }

    /// Whether entries begin with these digits, which are none themselves. It looks at no more
    /// entries than were taken out.
    fn is_interior(&self, digits: Digits) -> bool {
        if digits.length() == 0 {
            return false;
        }
        let is_provisioned = if self.changes.is_empty() {
            self.provisioned.has_below(digits)
        } else {
            self.provisioned_below(digits).next().is_some()
        };
        is_provisioned || self.registered.has_below(digits)
    }
}

#[cfg(test)]
mod tests;
