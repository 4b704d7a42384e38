//! Gateways and tokens between the store and memory.

use std::time::{Duration, Instant};

use crate::DirectoryError;
use crate::fleet::{Adopted, Announced, Fleet, LeaseId, Registration, TrunkGroup};
use crate::gateways::Gateway;
use crate::http::{Scope, Token, Tokens, read_sha256};
use crate::store::{Change, Store, StoreError, StoredGateway, StoredLease, StoredToken};
use crate::table::Digits;

/// The row of a gateway as it is in the fleet.
pub(super) fn gateway_change(fleet: &Fleet, name: &str) -> Change {
    let Some(member) = fleet.view_one(name, Instant::now()) else {
        return Change::NoGateway(name.to_ascii_lowercase());
    };
    let lease = member.registered.map(|own| {
        let Registration { lease, trunk_groups, prefixes, .. } = own.registration;
        StoredLease {
            id: own.lease.0,
            lease_ms: lease.as_millis() as u64,
            trunk_groups: trunk_groups
                .into_iter()
                .map(|group| (group.name, group.circuits))
                .collect(),
            prefixes: prefixes
                .into_iter()
                .map(|own| {
                    let Announced { prefix, trunk_group, order, preference, weight } = own;
                    (prefix.to_string(), trunk_group, order, preference, weight)
                })
                .collect(),
        }
    });
    Change::Gateway(StoredGateway {
        name: member.gateway.name.clone(),
        sip: member.gateway.authority.clone(),
        transport: member.gateway.transport,
        provisioned: member.provisioned,
        drained: member.drained_by_operator,
        lease,
    })
}

/// A gateway as its row says.
///
/// # Errors
/// The row cannot be read.
pub(super) fn adopted(stored: StoredGateway) -> Result<Adopted, StoreError> {
    let gateway =
        Gateway { name: stored.name.clone(), authority: stored.sip, transport: stored.transport };
    let bad =
        |cause: String| StoreError::Row { table: "gateways", key: stored.name.clone(), cause };
    let registered = stored.lease.map(|lease| {
        let prefixes = lease
            .prefixes
            .into_iter()
            .map(|(digits, trunk_group, order, preference, weight)| {
                let prefix = Digits::read(&digits).ok_or_else(|| bad(digits.clone()))?;
                Ok(Announced { prefix, trunk_group, order, preference, weight })
            })
            .collect::<Result<_, StoreError>>()?;
        let groups = lease.trunk_groups.into_iter();
        let registration = Registration {
            gateway: gateway.clone(),
            lease: Duration::from_millis(lease.lease_ms),
            trunk_groups: groups.map(|(name, circuits)| TrunkGroup { name, circuits }).collect(),
            prefixes,
        };
        Ok((registration, LeaseId(lease.id)))
    });
    Ok(Adopted {
        gateway,
        provisioned: stored.provisioned,
        drained: stored.drained,
        registered: registered.transpose()?,
    })
}

/// Brings the gateways back. Their leases begin anew: who was alive before the restart of the
/// directory has its time to be heard of, and goes on with the lease that it has.
pub(super) fn restore_gateways(store: &Store, fleet: &mut Fleet) -> Result<(), DirectoryError> {
    for stored in store.gateways()? {
        fleet.adopt(Instant::now(), adopted(stored)?)?;
    }
    Ok(())
}

/// A token as its row says, and its hash.
///
/// # Errors
/// The row cannot be read.
pub(super) fn token(stored: StoredToken) -> Result<(String, Token), StoreError> {
    let bad = |cause| StoreError::Row { table: "tokens", key: stored.name.clone(), cause };
    let scopes = stored.scopes.iter().map(|word| word.parse::<Scope>());
    let scopes = scopes.collect::<Result<_, _>>().map_err(bad)?;
    if read_sha256(&stored.sha256).is_none() {
        return Err(bad("sha256 is none".to_owned()));
    }
    let StoredToken { name, sha256, gateway, .. } = stored;
    Ok((sha256, Token { name, scopes, gateway, configured: false }))
}

/// Brings the tokens back.
pub(super) fn restore_tokens(store: &Store, tokens: &mut Tokens) -> Result<(), StoreError> {
    for stored in store.tokens()? {
        let (sha256, token) = token(stored)?;
        tokens.add(&sha256, token);
    }
    Ok(())
}
