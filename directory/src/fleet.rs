//! The gateways that exist: those of the operator, and those that registered themselves and are
//! there for as long as they say so. Time comes in; what has changed comes out.

mod registration;
mod shared;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use registration::{Announced, BadRegistration, GroupReport, Registration, Report, TrunkGroup};
pub use shared::Adopted;

use crate::gateways::{Circuits, Gateway, Gateways, Standing, State, Transport};
use crate::table::{CHOICES_MAX, Choice, Digits, Route, Snapshot, SnapshotBuilder};

/// All gateways.
#[derive(Debug)]
pub struct Fleet {
    settings: FleetSettings,
    /// A place is never given to another name: tables refer to it.
    members: Vec<Member>,
    places: HashMap<String, u32>,
    /// When leases end, and when the dead are forgotten.
    deadlines: BTreeSet<(Instant, u32)>,
    outputs: VecDeque<Output>,
    /// How many registered gateways announce a prefix.
    announced: HashMap<Digits, usize>,
}

/// Limits of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct FleetSettings {
    /// Gateways at most, those that have left included.
    pub gateways_max: usize,
    /// Shortest and longest lease that is granted.
    pub lease: (Duration, Duration),
    /// A gateway that has been dead for so long is taken to have left.
    pub forget_after: Duration,
}

impl Default for FleetSettings {
    /// 100,000 gateways, leases of 1 s to 1 h, a day.
    fn default() -> Self {
        Self {
            gateways_max: 100_000,
            lease: (Duration::from_secs(1), Duration::from_secs(3600)),
            forget_after: Duration::from_secs(24 * 3600),
        }
    }
}

#[derive(Debug)]
struct Member {
    gateway: Arc<Gateway>,
    /// The operator's table has it.
    provisioned: bool,
    /// What it registered, until it leaves.
    registered: Option<Registered>,
    drained_by_operator: bool,
    /// What follows from the above.
    state: State,
}

#[derive(Debug)]
struct Registered {
    registration: Registration,
    lease: LeaseId,
    ends_at: Instant,
    dead: bool,
    report: Report,
    /// Other directories that hear of it.
    vouched: HashSet<String>,
}

/// Tells a gateway's present registration from its earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(pub u64);

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A gateway stands otherwise.
    Standing {
        /// Its name.
        gateway: String,
        /// How it stood; a new one was dead.
        was: Standing,
        /// How it stands; one that is gone is dead.
        is: Standing,
    },
    /// Circuits are free or not that were otherwise before.
    Circuits,
    /// Other prefixes are registered.
    Prefixes,
    /// There are other gateways, or they have other addresses.
    Gateways,
    /// A gateway has been dead for so long that it is gone.
    Forgotten {
        /// Its name.
        gateway: String,
    },
}

/// Why a gateway is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// Nobody of that name.
    #[error("there is no gateway {gateway:?}")]
    Unknown {
        /// The name.
        gateway: String,
    },
    /// The lease has ended, or another registration of the same gateway took its place.
    #[error("gateway {gateway:?} has no such lease now: register again")]
    NoLease {
        /// The name.
        gateway: String,
    },
    /// Another gateway that is alive has the name.
    #[error("gateway {gateway:?} is alive at {authority}: give each gateway its own name")]
    NameTaken {
        /// The name.
        gateway: String,
        /// Where the other one is.
        authority: String,
    },
    /// The operator's table has a gateway of that name with another address.
    #[error("the operator has gateway {gateway:?} at {authority}")]
    Provisioned {
        /// The name.
        gateway: String,
        /// Where.
        authority: String,
    },
    /// As many gateways as may be.
    #[error("there are {limit} gateways already")]
    TooMany {
        /// How many.
        limit: usize,
    },
    /// As many gateways of a prefix as an answer holds.
    #[error("{limit} gateways serve +{prefix} already")]
    PrefixFull {
        /// The prefix.
        prefix: Digits,
        /// How many.
        limit: usize,
    },
    /// It cannot be used as it is.
    #[error(transparent)]
    Bad(#[from] BadRegistration),
}

impl Fleet {
    /// Nobody yet.
    pub fn new(settings: FleetSettings) -> Self {
        Self {
            settings,
            members: Vec::new(),
            places: HashMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
            announced: HashMap::new(),
        }
    }

    /// The operator's gateways are these from now on; the result are their places, in this order.
    /// One that is registered as well keeps its lease.
    ///
    /// # Errors
    /// [`FleetError::TooMany`]; then nothing changes.
    pub fn provision(&mut self, gateways: Vec<Gateway>) -> Result<Vec<u32>, FleetError> {
        let new = gateways.iter().filter(|gateway| !self.places.contains_key(&key(&gateway.name)));
        self.check_room(new.count())?;
        self.members.iter_mut().for_each(|member| member.provisioned = false);
        let places = gateways
            .into_iter()
            .map(|gateway| {
                let place = self.place_for(gateway);
                self.members[place as usize].provisioned = true;
                place
            })
            .collect();
        self.outputs.push_back(Output::Gateways);
        self.refresh_all();
        Ok(places)
    }

    /// Adds one gateway of the operator's, or gives it another address.
    ///
    /// # Errors
    /// [`FleetError::TooMany`].
    pub fn provision_one(&mut self, gateway: Gateway) -> Result<u32, FleetError> {
        self.check_room(usize::from(!self.places.contains_key(&key(&gateway.name))))?;
        let place = self.place_for(gateway);
        self.members[place as usize].provisioned = true;
        self.outputs.push_back(Output::Gateways);
        self.refresh(place);
        Ok(place)
    }

    /// Takes one gateway of the operator's out. Its place stays for the routes that name it, where
    /// it is dead.
    pub fn unprovision(&mut self, name: &str) -> Result<(), FleetError> {
        let place = self.existing(name)?;
        self.members[place as usize].provisioned = false;
        self.outputs.push_back(Output::Gateways);
        self.refresh(place);
        Ok(())
    }

    /// A gateway comes, or comes again. `lease` is any number that has not been used.
    ///
    /// # Errors
    /// Why it is refused; then nothing changes.
    pub fn register(
        &mut self,
        now: Instant,
        registration: Registration,
        lease: LeaseId,
    ) -> Result<Duration, FleetError> {
        registration.check()?;
        let name = registration.gateway.name.clone();
        let known = self.places.get(&key(&name)).copied();
        if let Some(member) = known.map(|place| &self.members[place as usize]) {
            let authority = member.gateway.authority.clone();
            let elsewhere = authority != registration.gateway.authority;
            if elsewhere && member.provisioned {
                return Err(FleetError::Provisioned { gateway: name, authority });
            }
            if elsewhere && member.registered.as_ref().is_some_and(|other| !other.dead) {
                return Err(FleetError::NameTaken { gateway: name, authority });
            }
        } else {
            self.check_room(1)?;
        }
        let before = known.and_then(|place| self.members[place as usize].registered.as_ref());
        let had = |prefix: &Digits| {
            before.is_some_and(|own| own.registration.prefixes.iter().any(|p| p.prefix == *prefix))
        };
        for Announced { prefix, .. } in &registration.prefixes {
            let others = self.announced.get(prefix).map_or(0, |all| all - usize::from(had(prefix)));
            if others >= CHOICES_MAX {
                return Err(FleetError::PrefixFull { prefix: *prefix, limit: CHOICES_MAX });
            }
        }
        let (shortest, longest) = self.settings.lease;
        let granted = registration.lease.clamp(shortest, longest);
        let place = self.place_for(registration.gateway.clone());
        let registration = Registration { lease: granted, ..registration };
        self.enter(place, registration, lease, now + granted);
        self.outputs.extend([Output::Gateways, Output::Prefixes]);
        self.refresh(place);
        Ok(granted)
    }

    /// A registered gateway says that it is alive, and how it is.
    ///
    /// # Errors
    /// The gateway or its lease is not there: it has to register again.
    pub fn report(
        &mut self,
        now: Instant,
        name: &str,
        lease: LeaseId,
        report: Report,
    ) -> Result<(), FleetError> {
        let place = self.existing(name)?;
        let registered = self.leased(place, lease)?;
        report.check(&registered.registration)?;
        let was = (registered.ends_at, place);
        registered.ends_at = now + registered.registration.lease;
        let changed = registered.report != report;
        registered.report = report;
        let ends_at = registered.ends_at;
        self.deadlines.remove(&was);
        self.deadlines.insert((ends_at, place));
        if changed {
            self.outputs.push_back(Output::Circuits);
            self.refresh(place);
        }
        Ok(())
    }

    /// A registered gateway goes, and its prefixes with it.
    ///
    /// # Errors
    /// The gateway or its lease is not there.
    pub fn leave(&mut self, name: &str, lease: LeaseId) -> Result<(), FleetError> {
        let place = self.existing(name)?;
        self.leased(place, lease)?;
        self.remove(place);
        Ok(())
    }

    /// The operator takes a registered gateway out, dead or alive.
    ///
    /// # Errors
    /// It is not there.
    pub fn expel(&mut self, name: &str) -> Result<(), FleetError> {
        let place = self.existing(name)?;
        if self.members[place as usize].registered.is_none() {
            return Err(FleetError::Unknown { gateway: name.to_owned() });
        }
        self.remove(place);
        Ok(())
    }

    /// The operator lets a gateway take no new calls, or take them again.
    ///
    /// # Errors
    /// The gateway is not there.
    pub fn drain(&mut self, name: &str, drain: bool) -> Result<(), FleetError> {
        let place = self.existing(name)?;
        self.members[place as usize].drained_by_operator = drain;
        self.refresh(place);
        Ok(())
    }

    /// Lets time pass: leases end.
    pub fn timeout(&mut self, now: Instant) {
        while let Some(&(at, place)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            let Some(registered) = &mut self.members[place as usize].registered else {
                continue;
            };
            // Its deadline is set when nobody vouches any more.
            if !registered.vouched.is_empty() {
                continue;
            }
            if registered.dead {
                self.remove(place);
                let gateway = self.members[place as usize].gateway.name.clone();
                self.outputs.push_back(Output::Forgotten { gateway });
                continue;
            }
            registered.dead = true;
            registered.ends_at = at + self.settings.forget_after;
            self.deadlines.insert((registered.ends_at, place));
            self.refresh(place);
        }
    }

    /// When [`Fleet::timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// The next change; to be asked until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The gateways for answers. Places of those that are gone stay, dead.
    pub fn gateways(&self) -> Gateways {
        Gateways::new(self.members.iter().map(|member| Arc::clone(&member.gateway)).collect())
            .with_states(self.states())
    }

    /// How all of them stand, by their places.
    pub fn states(&self) -> Vec<State> {
        self.members.iter().map(|member| member.state.clone()).collect()
    }

    /// The prefixes that gateways registered, those of the dead included: their numbers are known,
    /// only out of reach.
    pub fn registered_prefixes(&self) -> Snapshot {
        let mut by_prefix: HashMap<Digits, Vec<Choice>> = HashMap::new();
        for (place, member) in (0..).zip(&self.members) {
            let Some(Registered { registration, .. }) = &member.registered else {
                continue;
            };
            for announced in &registration.prefixes {
                let choice = Choice {
                    gateway: place,
                    trunk_group: announced.trunk_group,
                    order: announced.order,
                    preference: announced.preference,
                    weight: announced.weight,
                    capacity: None,
                    hours: None,
                };
                by_prefix.entry(announced.prefix).or_default().push(choice);
            }
        }
        let mut builder = SnapshotBuilder::default();
        for (prefix, choices) in by_prefix {
            let route = builder.route(Route::new(choices));
            builder.add(prefix, route);
        }
        builder.build().unwrap_or_default()
    }

    /// All gateways that exist, for the operator, in the order of their names.
    pub fn view(&self, now: Instant) -> Vec<MemberView> {
        let mut view: Vec<MemberView> =
            self.members.iter().filter(|member| member.exists()).map(|m| m.view(now)).collect();
        view.sort_by(|a, b| a.gateway.name.cmp(&b.gateway.name));
        view
    }

    /// One gateway, for the operator.
    pub fn view_one(&self, name: &str, now: Instant) -> Option<MemberView> {
        let place = self.existing(name).ok()?;
        Some(self.members[place as usize].view(now))
    }

    /// Place of a gateway that exists.
    pub fn place(&self, name: &str) -> Option<u32> {
        self.existing(name).ok()
    }

    /// Places of all gateways that exist, by name as they write it.
    pub fn places(&self) -> HashMap<String, u32> {
        let existing = (0..).zip(&self.members).filter(|(_, member)| member.exists());
        existing.map(|(place, member)| (member.gateway.name.clone(), place)).collect()
    }

    /// Place for a gateway that a table names, whether it exists or not (any more): it is dead until
    /// it comes.
    pub fn reserve(&mut self, name: &str) -> u32 {
        if let Some(&place) = self.places.get(&key(name)) {
            return place;
        }
        self.outputs.push_back(Output::Gateways);
        self.place_for(Gateway {
            name: name.to_owned(),
            authority: "invalid".to_owned(),
            transport: Transport::Udp,
        })
    }

    /// What a gateway has registered.
    pub fn registration(&self, name: &str) -> Option<&Registration> {
        let place = self.existing(name).ok()?;
        Some(&self.members[place as usize].registered.as_ref()?.registration)
    }

    fn check_room(&self, more: usize) -> Result<(), FleetError> {
        let limit = self.settings.gateways_max;
        if self.members.len() + more > limit { Err(FleetError::TooMany { limit }) } else { Ok(()) }
    }

    fn existing(&self, name: &str) -> Result<u32, FleetError> {
        self.places
            .get(&key(name))
            .copied()
            .filter(|&place| self.members[place as usize].exists())
            .ok_or_else(|| FleetError::Unknown { gateway: name.to_owned() })
    }

    fn leased(&mut self, place: u32, lease: LeaseId) -> Result<&mut Registered, FleetError> {
        let member = &mut self.members[place as usize];
        let gateway = &member.gateway.name;
        member
            .registered
            .as_mut()
            .filter(|registered| registered.lease == lease && !registered.dead)
            .ok_or_else(|| FleetError::NoLease { gateway: gateway.clone() })
    }

    /// The place of this gateway, which takes over the address and the like.
    fn place_for(&mut self, gateway: Gateway) -> u32 {
        let next = self.members.len() as u32;
        let place = *self.places.entry(key(&gateway.name)).or_insert(next);
        let gateway = Arc::new(gateway);
        match self.members.get_mut(place as usize) {
            Some(member) => {
                if !member.exists() {
                    member.drained_by_operator = false;
                }
                member.gateway = gateway;
            }
            None => self.members.push(Member {
                gateway,
                provisioned: false,
                registered: None,
                drained_by_operator: false,
                state: State { standing: Standing::Dead, ..State::default() },
            }),
        }
        place
    }

    /// Forgets what a gateway registered.
    fn withdraw(&mut self, place: u32) {
        let Some(before) = self.members[place as usize].registered.take() else {
            return;
        };
        self.deadlines.remove(&(before.ends_at, place));
        for announced in &before.registration.prefixes {
            if let Some(count) = self.announced.get_mut(&announced.prefix) {
                *count -= 1;
                if *count == 0 {
                    self.announced.remove(&announced.prefix);
                }
            }
        }
    }

    fn remove(&mut self, place: u32) {
        self.withdraw(place);
        self.outputs.extend([Output::Gateways, Output::Prefixes]);
        self.refresh(place);
    }

    fn refresh_all(&mut self) {
        (0..self.members.len() as u32).for_each(|place| self.refresh(place));
    }

    /// Tells when a gateway stands otherwise than before.
    fn refresh(&mut self, place: u32) {
        let member = &mut self.members[place as usize];
        let state = member.state();
        let (was, is) = (member.state.standing, state.standing);
        if is != was {
            let gateway = member.gateway.name.clone();
            self.outputs.push_back(Output::Standing { gateway, was, is });
        }
        member.state = state;
    }
}

/// Names are the same in upper and lower case, as in DNS.
fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

impl Member {
    fn exists(&self) -> bool {
        self.provisioned || self.registered.is_some()
    }

    fn state(&self) -> State {
        let Some(registered) = &self.registered else {
            let standing = match (self.provisioned, self.drained_by_operator) {
                (false, _) => Standing::Dead,
                (true, true) => Standing::Draining,
                (true, false) => Standing::InService,
            };
            return State { standing, ..State::default() };
        };
        let groups: Option<Arc<[Circuits]>> =
            (!registered.report.groups.is_empty()).then(|| registered.circuits().collect());
        let whole = groups.as_ref().map(|groups| Circuits {
            total: groups.iter().map(|group| group.total).sum(),
            free: groups.iter().map(|group| if group.alarmed { 0 } else { group.free }).sum(),
            alarmed: groups.iter().all(|group| group.alarmed),
        });
        let standing = match whole {
            _ if registered.dead => Standing::Dead,
            _ if self.drained_by_operator || registered.report.draining => Standing::Draining,
            Some(Circuits { alarmed: true, .. }) => Standing::Alarmed,
            Some(Circuits { free: 0, .. }) => Standing::Full,
            _ => Standing::InService,
        };
        State { standing, leased: true, whole, trunk_groups: groups }
    }

    fn view(&self, now: Instant) -> MemberView {
        MemberView {
            gateway: Arc::clone(&self.gateway),
            provisioned: self.provisioned,
            drained_by_operator: self.drained_by_operator,
            state: self.state.clone(),
            registered: self.registered.as_ref().map(|registered| RegisteredView {
                lease_left: (!registered.dead)
                    .then(|| registered.ends_at.saturating_duration_since(now)),
                lease: registered.lease,
                registration: registered.registration.clone(),
                report: registered.report.clone(),
            }),
        }
    }
}

impl Registered {
    fn circuits(&self) -> impl Iterator<Item = Circuits> + '_ {
        self.registration.trunk_groups.iter().zip(&self.report.groups).map(|(group, report)| {
            Circuits {
                total: group.circuits,
                free: report.free.min(group.circuits),
                alarmed: report.alarmed,
            }
        })
    }
}

/// A gateway as the operator sees it.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Its name and address.
    pub gateway: Arc<Gateway>,
    /// The operator's table has it.
    pub provisioned: bool,
    /// The operator lets it take no new calls.
    pub drained_by_operator: bool,
    /// How it stands.
    pub state: State,
    /// What it registered.
    pub registered: Option<RegisteredView>,
}

/// What a gateway registered and last told.
#[derive(Clone, Debug)]
pub struct RegisteredView {
    /// Time until the lease ends; none when it has ended.
    pub lease_left: Option<Duration>,
    /// What it shows with each report.
    pub lease: LeaseId,
    /// What it registered.
    pub registration: Registration,
    /// What it last told.
    pub report: Report,
}

#[cfg(test)]
mod tests;
