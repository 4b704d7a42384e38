//! The tables that a gateway goes by: a standard's, with what its operator has set otherwise.

use std::collections::BTreeMap;

use super::tables::{CAUSE_OF_STATUS, DECLINED, STATUS_OF_CAUSE, Standard};

/// Cause to status and status to cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CauseMap {
    standard: Standard,
    statuses: BTreeMap<u8, u16>,
    causes: BTreeMap<u16, u8>,
}

/// A line of a table: what becomes what, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<From, To> {
    /// What comes.
    pub from: From,
    /// What it becomes.
    pub to: To,
    /// It was set by the operator, and is not the standard's.
    pub is_set: bool,
}

impl CauseMap {
    /// The tables of a standard.
    pub fn of(standard: Standard) -> Self {
        Self { standard, ..Self::default() }
    }

    /// The standard that the tables are of.
    pub fn standard(&self) -> Standard {
        self.standard
    }

    /// Calls that the line side clears with `cause` before answer end with `status` from now on.
    pub fn set_status(&mut self, cause: u8, status: u16) {
        self.statuses.insert(cause, status);
    }

    /// Calls that the packet side refuses with `status` are cleared with `cause` from now on.
    pub fn set_cause(&mut self, status: u16, cause: u8) {
        self.causes.insert(status, cause);
    }

    /// The final SIP status for a call that the line side cleared with `cause` before answer.
    ///
    /// `from_user` says that the cause came from the called user (Q.850 location 0): a call that
    /// the person refused is then 603, not 403. Causes without an entry go by their class.
    pub fn status_of_cause(&self, cause: u8, from_user: bool) -> u16 {
        if let Some(status) = self.statuses.get(&cause) {
            return *status;
        }
        if cause == DECLINED && from_user && self.standard != Standard::Q1912_5 {
            return 603;
        }
        let column = self.standard as usize;
        let listed = STATUS_OF_CAUSE.iter().find(|(known, _)| *known == cause);
        let listed = listed.and_then(|(_, statuses)| statuses[column]);
        listed.unwrap_or_else(|| self.standard.status_of_class(cause))
    }

    /// The Q.850 cause for a SIP final `status` without a Reason header.
    ///
    /// Statuses without an entry are treated as the x00 of their class (RFC 3261 §8.1.3.2).
    pub fn cause_of_status(&self, status: u16) -> u8 {
        let column = self.standard as usize;
        let find = |wanted: u16| {
            let listed = CAUSE_OF_STATUS.iter().find(|(known, _)| *known == wanted);
            let standard = listed.and_then(|(_, causes)| causes[column]);
            self.causes.get(&wanted).copied().or(standard)
        };
        let class = || find(status / 100 * 100).unwrap_or(self.standard.cause_of_class());
        // A status that the standard knows, and leaves to the default, is of no class's.
        let is_listed = CAUSE_OF_STATUS.iter().any(|(known, _)| *known == status);
        match find(status) {
            Some(cause) => cause,
            None if is_listed => self.standard.cause_of_class(),
            None => class(),
        }
    }

    /// The table of statuses by cause, with what was set.
    pub fn statuses(&self) -> Vec<Entry<u8, u16>> {
        let listed = STATUS_OF_CAUSE.iter().map(|(cause, _)| *cause);
        let mut causes: Vec<u8> = listed.chain(self.statuses.keys().copied()).collect();
        causes.sort_unstable();
        causes.dedup();
        let entry = |from| Entry {
            from,
            to: self.status_of_cause(from, false),
            is_set: self.statuses.contains_key(&from),
        };
        causes.into_iter().map(entry).collect()
    }

    /// The table of causes by status, with what was set.
    pub fn causes(&self) -> Vec<Entry<u16, u8>> {
        let listed = CAUSE_OF_STATUS.iter().map(|(status, _)| *status);
        let mut statuses: Vec<u16> = listed.chain(self.causes.keys().copied()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        let entry = |from| Entry {
            from,
            to: self.cause_of_status(from),
            is_set: self.causes.contains_key(&from),
        };
        statuses.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_without_doubles() {
        assert!(STATUS_OF_CAUSE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(CAUSE_OF_STATUS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn directions_are_not_inverses() {
        let map = CauseMap::default();
        assert_eq!(map.cause_of_status(480), 18);
        assert_eq!(map.status_of_cause(18, true), 408);
        let itu = CauseMap::of(Standard::Q1912_5);
        assert_eq!((itu.cause_of_status(480), itu.status_of_cause(18, true)), (20, 480));
    }

    #[test]
    fn a_resource_that_is_unavailable_is_503_not_480() {
        // The complaint of a carrier about another gateway: cause 47 came out as 480.
        for standard in Standard::ALL {
            assert_eq!(CauseMap::of(standard).status_of_cause(47, false), 503, "{standard:?}");
        }
    }

    #[test]
    fn a_person_who_refuses_is_603_and_a_network_that_refuses_403() {
        let map = CauseMap::default();
        assert_eq!(map.status_of_cause(21, true), 603);
        assert_eq!(map.status_of_cause(21, false), 403);
    }

    #[test]
    fn unknown_values_fall_back_to_their_class() {
        let map = CauseMap::default();
        assert_eq!(map.status_of_cause(99, false), 500);
        assert_eq!(map.cause_of_status(599), 41);
        assert_eq!(map.cause_of_status(499), 41);
        assert_eq!(map.cause_of_status(302), 127);
        let itu = CauseMap::of(Standard::Q1912_5);
        assert_eq!((itu.status_of_cause(30, false), itu.status_of_cause(46, false)), (480, 503));
        assert_eq!((itu.cause_of_status(403), itu.cause_of_status(503)), (127, 127));
    }

    #[test]
    fn every_value_has_a_final_status_and_a_cause_that_exists() {
        for map in Standard::ALL.map(CauseMap::of) {
            for cause in 0..=127 {
                assert!((400..700).contains(&map.status_of_cause(cause, false)), "{cause}");
            }
            for status in 300..700 {
                assert!((1..=127).contains(&map.cause_of_status(status)), "{status}");
            }
        }
    }

    #[test]
    fn an_operator_sets_single_entries_and_the_others_stay() {
        let mut map = CauseMap::default();
        map.set_status(34, 486);
        map.set_status(21, 480);
        map.set_cause(480, 20);
        assert_eq!((map.status_of_cause(34, false), map.status_of_cause(21, true)), (486, 480));
        assert_eq!((map.cause_of_status(480), map.cause_of_status(486)), (20, 17));
        assert_eq!(map.status_of_cause(38, false), 503);
        let set: Vec<u8> =
            map.statuses().iter().filter(|entry| entry.is_set).map(|entry| entry.from).collect();
        assert_eq!(set, [21, 34]);
    }
}
