//! Changes of single prefixes that lie over a snapshot until the next one takes them in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Digits, Route};

/// Changed prefixes: a new route, or none where the prefix is taken out.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    changes: BTreeMap<Digits, Option<Arc<Route>>>,
    /// Bit 1 is set when there are changes of one digit, and so on.
    lengths: u16,
}

impl Overlay {
    /// Sets a prefix's route; none takes the prefix out.
    pub fn set(&mut self, prefix: Digits, route: Option<Route>) {
        if prefix.length() > 0 {
            self.changes.insert(prefix, route.map(Arc::new));
            self.lengths |= 1 << prefix.length();
        }
    }

    /// What is changed about a prefix: nothing, taken out, or its route.
    pub fn change(&self, prefix: Digits) -> Option<Option<&Route>> {
        if self.lengths >> prefix.length() & 1 == 0 {
            return None;
        }
        self.changes.get(&prefix).map(Option::as_deref)
    }

    /// All changes, the shorter first.
    pub fn iter(&self) -> impl Iterator<Item = (Digits, Option<&Route>)> + '_ {
        self.changes.iter().map(|(prefix, route)| (*prefix, route.as_deref()))
    }

    /// Changes of prefixes that begin with these digits, the shorter first.
    pub fn below(&self, digits: Digits) -> impl Iterator<Item = (Digits, Option<&Route>)> + '_ {
        (digits.length()..=trunkline_number::E164::MAX_DIGITS as u8)
            .filter(|length| self.lengths >> length & 1 == 1)
            .flat_map(move |length| {
                let values = digits.values_below(length);
                let bound = |value| Digits::from_value(length, value);
                let last = values.end.checked_sub(1).and_then(bound);
                let range = bound(values.start).zip(last);
                range.into_iter().flat_map(|(first, last)| self.changes.range(first..=last))
            })
            .map(|(prefix, route)| (*prefix, route.as_deref()))
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
