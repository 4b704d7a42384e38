//! What a gateway says of itself: when it comes, and from time to time.

use std::time::Duration;

use crate::gateways::{Gateway, check_authority, check_name};
use crate::table::Digits;

/// What a gateway says when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Name and address.
    pub gateway: Gateway,
    /// How long it may be silent before it is taken for dead.
    pub lease: Duration,
    /// Its circuits, by trunk group. None for a gateway without circuits, which is never full.
    pub trunk_groups: Vec<TrunkGroup>,
    /// The numbers it serves.
    pub prefixes: Vec<Announced>,
}

/// Circuits to one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkGroup {
    /// Name at the gateway.
    pub name: String,
    /// How many it has.
    pub circuits: u32,
}

/// A prefix that a gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The prefix.
    pub prefix: Digits,
    /// Place of the trunk group that serves it; none where any does.
    pub trunk_group: Option<u8>,
    /// NAPTR order.
    pub order: u16,
    /// NAPTR preference.
    pub preference: u16,
    /// Share of the calls among equals.
    pub weight: u16,
}

/// What a gateway says from time to time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its trunk groups, as they stand in the registration.
    pub groups: Vec<GroupReport>,
    /// It takes no new calls.
    pub draining: bool,
    /// What is wrong, in words for the operator.
    pub alarms: Vec<String>,
}

/// How a trunk group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupReport {
    /// Free circuits.
    pub free: u32,
    /// None of its circuits can carry a call.
    pub alarmed: bool,
}

/// What cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRegistration {
    /// No name of a gateway.
    #[error("{0}")]
    Name(String),
    /// No address.
    #[error("{0}")]
    Authority(String),
    /// Trunk groups with names that are none or the same.
    #[error("{0:?} is no name of a trunk group, or another has it")]
    GroupName(String),
    /// More trunk groups than a gateway has.
    #[error("more than {GROUPS_MAX} trunk groups")]
    Groups,
    /// More circuits than a trunk group has.
    #[error("trunk group {0:?} has no 1 to {CIRCUITS_MAX} circuits")]
    Circuits(String),
    /// A prefix without digits, or twice.
    #[error("prefix +{0} is empty or there twice")]
    Prefix(Digits),
    /// More prefixes than a gateway may register.
    #[error("more than {PREFIXES_MAX} prefixes: provision them")]
    Prefixes,
    /// A prefix is served by a trunk group that is not there.
    #[error("prefix +{0} is served by a trunk group that is not registered")]
    NoGroup(Digits),
    /// A report about other trunk groups than were registered.
    #[error("the report is about {found} trunk groups, {wanted} are registered")]
    Report {
        /// Those of the report.
        found: usize,
        /// Those that are registered.
        wanted: usize,
    },
    /// More alarms than anybody reads.
    #[error("more than {ALARMS_MAX} alarms, or one of more than {ALARM_MAX_OCTETS} octets")]
    Alarms,
}

const GROUPS_MAX: usize = 250;
const CIRCUITS_MAX: u32 = 1_000_000;
const PREFIXES_MAX: usize = 10_000;
const ALARMS_MAX: usize = 32;
const ALARM_MAX_OCTETS: usize = 128;

impl Registration {
    pub(super) fn check(&self) -> Result<(), BadRegistration> {
        check_name(&self.gateway.name).map_err(BadRegistration::Name)?;
        check_authority(&self.gateway.authority).map_err(BadRegistration::Authority)?;
        if self.trunk_groups.len() > GROUPS_MAX {
            return Err(BadRegistration::Groups);
        }
        for (place, group) in self.trunk_groups.iter().enumerate() {
            let same = self.trunk_groups[..place].iter().any(|other| other.name == group.name);
            let plain = group.name.chars().all(|character| !character.is_control());
            if same || !plain || !(1..=64).contains(&group.name.len()) {
                return Err(BadRegistration::GroupName(group.name.clone()));
            }
            if !(1..=CIRCUITS_MAX).contains(&group.circuits) {
                return Err(BadRegistration::Circuits(group.name.clone()));
            }
        }
        if self.prefixes.len() > PREFIXES_MAX {
            return Err(BadRegistration::Prefixes);
        }
        let mut prefixes: Vec<Digits> = self.prefixes.iter().map(|own| own.prefix).collect();
        prefixes.sort_unstable();
        if let Some(pair) = prefixes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BadRegistration::Prefix(pair[0]));
        }
        for announced in &self.prefixes {
            if announced.prefix.length() == 0 {
                return Err(BadRegistration::Prefix(announced.prefix));
            }
            let group = announced.trunk_group.map(usize::from);
            if group.is_some_and(|group| group >= self.trunk_groups.len()) {
                return Err(BadRegistration::NoGroup(announced.prefix));
            }
        }
        Ok(())
    }
}

impl Report {
    /// All circuits are free and well.
    pub fn all_free(registration: &Registration) -> Self {
        let group = |group: &TrunkGroup| GroupReport { free: group.circuits, alarmed: false };
        Self {
            groups: registration.trunk_groups.iter().map(group).collect(),
            draining: false,
            alarms: Vec::new(),
        }
    }

    pub(super) fn check(&self, registration: &Registration) -> Result<(), BadRegistration> {
        let (found, wanted) = (self.groups.len(), registration.trunk_groups.len());
        if found != wanted {
            return Err(BadRegistration::Report { found, wanted });
        }
        let long = self.alarms.iter().any(|alarm| alarm.len() > ALARM_MAX_OCTETS);
        if long || self.alarms.len() > ALARMS_MAX {
            return Err(BadRegistration::Alarms);
        }
        Ok(())
    }
}
