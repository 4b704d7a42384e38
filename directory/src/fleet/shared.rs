//! Gateways as other directories of the same store know them: what they registered there, and that
//! they are heard of there.

use std::time::{Duration, Instant};

use super::{Fleet, LeaseId, Output, Registered, Registration, Report, key};
use crate::fleet::FleetError;
use crate::gateways::Gateway;

/// A gateway as the shared store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Name and address.
    pub gateway: Gateway,
    /// It is the operator's.
    pub provisioned: bool,
    /// The operator lets it take no new calls.
    pub drained: bool,
    /// What it registered.
    pub registered: Option<(Registration, LeaseId)>,
}

impl Fleet {
    /// A gateway is so. A lease that is known goes on; a new one begins now.
    ///
    /// # Errors
    /// [`FleetError::TooMany`]; then nothing changes.
    pub fn adopt(&mut self, now: Instant, adopted: Adopted) -> Result<(), FleetError> {
        let Adopted { gateway, provisioned, drained, registered } = adopted;
        self.check_room(usize::from(!self.places.contains_key(&key(&gateway.name))))?;
        let place = self.place_for(gateway);
        let member = &self.members[place as usize];
        let has = member.registered.as_ref().map(|own| own.lease);
        match registered {
            Some((_, lease)) if has == Some(lease) => {}
            Some((registration, lease)) => {
                let ends_at = now + registration.lease;
                self.enter(place, registration, lease, ends_at);
            }
            None => self.withdraw(place),
        }
        let member = &mut self.members[place as usize];
        (member.provisioned, member.drained_by_operator) = (provisioned, drained);
        self.outputs.extend([Output::Gateways, Output::Prefixes]);
        self.refresh(place);
        Ok(())
    }

    /// A gateway is in the store no more.
    pub fn disown(&mut self, name: &str) {
        if let Ok(place) = self.existing(name) {
            self.members[place as usize].provisioned = false;
            self.remove(place);
        }
    }

    /// Another directory hears of a gateway, which told it this. As long as one does, it is alive.
    pub fn vouch(&mut self, node: &str, name: &str, lease: LeaseId, report: Report) {
        let Ok(place) = self.existing(name) else {
            return;
        };
        let Some(registered) = &mut self.members[place as usize].registered else {
            return;
        };
        if registered.lease != lease || report.check(&registered.registration).is_err() {
            return;
        }
        registered.vouched.insert(node.to_owned());
        registered.report = report;
        if registered.dead {
            registered.dead = false;
            self.deadlines.remove(&(registered.ends_at, place));
        }
        self.outputs.push_back(Output::Circuits);
        self.refresh(place);
    }

    /// Another directory hears of a gateway no more. Nobody else may be taken for dead for it before
    /// `not_before`.
    pub fn unvouch(&mut self, node: &str, name: &str, not_before: Instant) {
        let Ok(place) = self.existing(name) else {
            return;
        };
        let Some(registered) = &mut self.members[place as usize].registered else {
            return;
        };
        if registered.vouched.remove(node) && registered.vouched.is_empty() && !registered.dead {
            self.deadlines.remove(&(registered.ends_at, place));
            registered.ends_at = registered.ends_at.max(not_before);
            self.deadlines.insert((registered.ends_at, place));
        }
    }

    /// A gateway that is alive registers just what it has registered, at another directory or again:
    /// its lease goes on, and is granted for so long.
    pub fn renew(
        &mut self,
        now: Instant,
        registration: &Registration,
    ) -> Option<(LeaseId, Duration)> {
        let place = self.existing(&registration.gateway.name).ok()?;
        let (shortest, longest) = self.settings.lease;
        let lease = registration.lease.clamp(shortest, longest);
        let same = Registration { lease, ..registration.clone() };
        let own = self.members[place as usize].registered.as_mut()?;
        if own.registration != same || own.dead {
            return None;
        }
        self.deadlines.remove(&(own.ends_at, place));
        own.ends_at = now + lease;
        self.deadlines.insert((own.ends_at, place));
        Some((own.lease, lease))
    }

    pub(super) fn enter(
        &mut self,
        place: u32,
        registration: Registration,
        lease: LeaseId,
        ends_at: Instant,
    ) {
        self.withdraw(place);
        for announced in &registration.prefixes {
            *self.announced.entry(announced.prefix).or_default() += 1;
        }
        self.deadlines.insert((ends_at, place));
        let report = Report::all_free(&registration);
        self.members[place as usize].registered = Some(Registered {
            registration,
            lease,
            ends_at,
            dead: false,
            report,
            vouched: Default::default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::FleetSettings;
    use crate::fleet::tests::registration;
    use crate::gateways::Standing;

    fn adopted(name: &str, lease: u64) -> Adopted {
        let registration = registration(name, &["813"]);
        Adopted {
            gateway: registration.gateway.clone(),
            provisioned: false,
            drained: false,
            registered: Some((registration, LeaseId(lease))),
        }
    }

    fn standing(fleet: &Fleet) -> Standing {
        fleet.view_one("a", Instant::now()).unwrap().state.standing
    }

    #[test]
    fn gateway_is_alive_as_long_as_anybody_hears_of_it() {
        let mut fleet = Fleet::new(FleetSettings::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        fleet.adopt(start, adopted("a", 1)).unwrap();
        let report = fleet.view_one("a", start).unwrap().registered.unwrap().report;
        fleet.vouch("other", "a", LeaseId(1), report.clone());
        fleet.vouch("third", "a", LeaseId(1), report.clone());
        fleet.timeout(at(3_000));
        assert_eq!((standing(&fleet), fleet.next_deadline()), (Standing::InService, None));
        fleet.unvouch("other", "a", at(3_000));
        fleet.timeout(at(3_001));
        assert_eq!(standing(&fleet), Standing::InService);
        // The other node may only be on its way back.
        fleet.unvouch("third", "a", at(3_010));
        fleet.timeout(at(3_009));
        assert_eq!(standing(&fleet), Standing::InService);
        fleet.timeout(at(3_010));
        assert_eq!(standing(&fleet), Standing::Dead);
        fleet.vouch("third", "a", LeaseId(1), Report { draining: true, ..report });
        assert_eq!(standing(&fleet), Standing::Draining);
        fleet.disown("a");
        assert!(fleet.view(start).is_empty() && fleet.next_deadline().is_none());
    }

    #[test]
    fn known_lease_goes_on_and_a_new_one_begins() {
        let mut fleet = Fleet::new(FleetSettings::default());
        let start = Instant::now();
        fleet.register(start, registration("a", &["813"]), LeaseId(1)).unwrap();
        let lasts = registration("a", &[]).lease;
        let soon = start + Duration::from_millis(100);
        let renewed = fleet.renew(soon, &registration("a", &["813"]));
        assert_eq!(renewed, Some((LeaseId(1), lasts)));
        assert_eq!(fleet.renew(soon, &registration("a", &["814"])), None);
        let ends = fleet.next_deadline();
        assert_eq!(ends, Some(soon + lasts));
        let later = start + Duration::from_millis(500);
        fleet.adopt(later, Adopted { drained: true, ..adopted("a", 1) }).unwrap();
        assert_eq!((standing(&fleet), fleet.next_deadline()), (Standing::Draining, ends));
        fleet.adopt(later, adopted("a", 2)).unwrap();
        assert!(fleet.next_deadline() > ends);
        // What somebody says of an earlier lease does not count.
        fleet.vouch("other", "a", LeaseId(1), Report::default());
        assert!(fleet.view_one("a", later).unwrap().registered.is_some());
        assert_eq!(fleet.next_deadline(), Some(later + lasts));
    }
}
