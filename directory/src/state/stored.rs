//! Gateways and tokens between the store and memory.

use std::time::{Duration, Instant};

use crate::DirectoryError;
use crate::fleet::{Announced, Fleet, LeaseId, Registration, TrunkGroup};
use crate::gateways::Gateway;
use crate::http::{Scope, Token, Tokens};
use crate::store::{Change, Store, StoreError, StoredGateway, StoredLease};
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

/// Brings the gateways back. Their leases begin anew: who was alive before the restart of the
/// directory has its time to be heard of, and goes on with the lease that it has.
pub(super) fn restore_gateways(store: &Store, fleet: &mut Fleet) -> Result<(), DirectoryError> {
    for stored in store.gateways()? {
        let gateway = Gateway {
            name: stored.name.clone(),
            authority: stored.sip,
            transport: stored.transport,
        };
        if stored.provisioned {
            fleet.provision_one(gateway.clone())?;
        }
        if let Some(lease) = stored.lease {
            let bad = |cause: String| StoreError::Row {
                table: "gateways",
                key: stored.name.clone(),
                cause,
            };
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
                gateway,
                lease: Duration::from_millis(lease.lease_ms),
                trunk_groups: groups
                    .map(|(name, circuits)| TrunkGroup { name, circuits })
                    .collect(),
                prefixes,
            };
            fleet.register(Instant::now(), registration, LeaseId(lease.id))?;
        }
        fleet.drain(&stored.name, stored.drained)?;
    }
    Ok(())
}

/// Brings the tokens back.
pub(super) fn restore_tokens(store: &Store, tokens: &mut Tokens) -> Result<(), StoreError> {
    for stored in store.tokens()? {
        let bad =
            |cause: String| StoreError::Row { table: "tokens", key: stored.name.clone(), cause };
        let scopes = stored.scopes.iter().map(|word| word.parse::<Scope>());
        let scopes = scopes.collect::<Result<_, _>>().map_err(bad)?;
        let token = Token {
            name: stored.name.clone(),
            scopes,
            gateway: stored.gateway.clone(),
            configured: false,
        };
        if !tokens.add(&stored.sha256, token) {
            return Err(bad("sha256 is none".to_owned()));
        }
    }
    Ok(())
}
