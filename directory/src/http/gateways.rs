//! Gateways over HTTP: they register, tell how they are and leave; operators set, drain and remove
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use trunkline_number::CountryProfile;

use super::access::{Scope, Who};
use super::fault::{Asked, Fault, Written};
use crate::fleet::{Announced, GroupReport, LeaseId, MemberView, Registration, Report, TrunkGroup};
use crate::gateways::{AUTHORITY_FORMS, Gateway, Standing, Transport, check_authority, check_name};
use crate::provisioning::entry;
use crate::state::State;
use crate::store::Action;
use crate::wire::{Coming, Granted, GroupTold, Told};
use crate::written::prefix_digits;

pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Written(coming): Written<Coming>,
) -> Result<Json<Granted>, Fault> {
    match coming.lease_s {
        Some(lease_s) => {
            let who = state.permit(&headers, Scope::Register)?;
            check_own(&who, &name)?;
            register(&state, &who, name, coming, lease_s).await
        }
        None => {
            let who = state.permit(&headers, Scope::Operate)?;
            set(&state, &who, name, coming).await
        }
    }
}

async fn register(
    state: &Arc<State>,
    who: &Who,
    name: String,
    coming: Coming,
    lease_s: u32,
) -> Result<Json<Granted>, Fault> {
    let registration = registration(coming, &state.edition().country, name, lease_s)?;
    let name = registration.gateway.name.clone();
    let action = Action::Registered {
        gateway: name.clone(),
        sip: registration.gateway.authority.clone(),
        prefixes: registration.prefixes.len(),
    };
    let now = Instant::now();
    let lease = LeaseId(rand::random());
    let (lease, granted, stored) = {
        let mut fleet = state.fleet();
        // At several nodes of a shared store a gateway has one lease.
        match state.replica().and_then(|_| fleet.renew(now, &registration)) {
            Some((lease, granted)) => {
                state.heard(&fleet, &name);
                (lease, granted, None)
            }
            None => {
                let granted = fleet.register(now, registration, lease)?;
                state.heard(&fleet, &name);
                // Handed over under the lock: stored in the order in which it counts.
                let stored = state.store_gateway(&fleet, &name, Some(entry(&who.name, action)));
                (lease, granted, Some(stored))
            }
        }
    };
    let published = state.publish_soon();
    if let Some(stored) = stored {
        stored.await?;
    }
    published.await;
    Ok(Json(Granted {
        gateway: name,
        lease: Some(format!("{:016x}", lease.0)),
        lease_s: Some(granted.as_secs_f64()),
    }))
}

async fn set(
    state: &Arc<State>,
    who: &Who,
    name: String,
    coming: Coming,
) -> Result<Json<Granted>, Fault> {
    state.need_store()?;
    if !coming.prefixes.is_empty() || !coming.trunk_groups.is_empty() {
        return Err(Fault::bad(
            "prefixes and trunk_groups are for gateways that register, with lease_s; an operator \
             sets prefixes under /v1/prefixes",
        ));
    }
    check_name(&name).map_err(Fault::bad)?;
    check_authority(&coming.sip)
        .map_err(|problem| Fault::bad(format!("sip: {problem}; {AUTHORITY_FORMS}")))?;
    let gateway =
        Gateway { name: name.clone(), authority: coming.sip, transport: coming.transport };
    let action = Action::GatewaySet {
        gateway: name.clone(),
        sip: gateway.authority.clone(),
        transport: gateway.transport,
    };
    let stored = {
        let mut fleet = state.fleet();
        fleet.provision_one(gateway)?;
        state.store_gateway(&fleet, &name, Some(entry(&who.name, action)))
    };
    let published = state.publish_soon();
    stored.await?;
    published.await;
    Ok(Json(Granted { gateway: name, lease: None, lease_s: None }))
}

/// What a gateway says when it comes, with its prefixes as digits.
pub(crate) fn registration(
    coming: Coming,
    country: &CountryProfile,
    name: String,
    lease_s: u32,
) -> Result<Registration, Fault> {
    let group = |name: &String| {
        let place = coming.trunk_groups.iter().position(|group| group.name == *name);
        place
            .and_then(|place| u8::try_from(place).ok())
            .ok_or_else(|| Fault::bad(format!("trunk group {name:?} is not among trunk_groups")))
    };
    let prefixes = coming
        .prefixes
        .iter()
        .map(|own| {
            Ok(Announced {
                prefix: prefix_digits(&own.prefix, country)
                    .map_err(|(problem, remedy)| Fault::bad(format!("{problem}: {remedy}")))?,
                trunk_group: own.trunk_group.as_ref().map(group).transpose()?,
                order: own.order,
                preference: own.preference,
                weight: own.weight,
            })
        })
        .collect::<Result<_, Fault>>()?;
    let groups = coming.trunk_groups.into_iter();
    Ok(Registration {
        gateway: Gateway { name, authority: coming.sip, transport: coming.transport },
        lease: Duration::from_secs(u64::from(lease_s)),
        trunk_groups: groups
            .map(|group| TrunkGroup { name: group.name, circuits: group.circuits })
            .collect(),
        prefixes,
    })
}

pub(super) async fn report(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Written(told): Written<Told>,
) -> Result<StatusCode, Fault> {
    let who = state.permit(&headers, Scope::Register)?;
    check_own(&who, &name)?;
    let lease = read_lease(&told.lease)?;
    let group = |group: &GroupTold| GroupReport { free: group.free, alarmed: group.alarmed };
    let report = Report {
        groups: told.trunk_groups.iter().map(group).collect(),
        draining: told.draining,
        alarms: told.alarms,
    };
    {
        let mut fleet = state.fleet();
        fleet.report(Instant::now(), &name, lease, report)?;
        state.heard(&fleet, &name);
    }
    // A gateway does not wait for the answer's effect: the next report may be on its way.
    drop(state.publish_soon());
    Ok(StatusCode::NO_CONTENT)
}

/// Which registration leaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaving {
    lease: Option<String>,
}

pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Asked(leaving): Asked<Leaving>,
) -> Result<StatusCode, Fault> {
    match leaving.lease {
        Some(lease) => {
            let who = state.permit(&headers, Scope::Register)?;
            check_own(&who, &name)?;
            let lease = read_lease(&lease)?;
            let stored = {
                let mut fleet = state.fleet();
                fleet.leave(&name, lease)?;
                state.unheard(&name);
                let action = Action::Left { gateway: name.clone() };
                state.store_gateway(&fleet, &name, Some(entry(&who.name, action)))
            };
            let published = state.publish_soon();
            stored.await?;
            published.await;
        }
        None => {
            let who = state.permit(&headers, Scope::Operate)?;
            remove(&state, &who, name).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(state: &Arc<State>, who: &Who, name: String) -> Result<(), Fault> {
    // Nobody gives it new prefixes meanwhile.
    let _provisioning = state.provisioning().lock().await;
    let place = state.fleet().place(&name);
    let place = place.ok_or_else(|| Fault::not_found(format!("there is no gateway {name:?}")))?;
    let edition = state.edition();
    let used = tokio::task::spawn_blocking(move || {
        let names = |route: &crate::table::Route| {
            route.choices().iter().any(|choice| choice.gateway == place)
        };
        // Most often no route at all names it, and then nothing has to be looked through.
        let changed = edition.table.changes.iter().filter_map(|(_, route)| route).any(names);
        let any = changed || edition.table.provisioned.routes().iter().any(names);
        any.then(|| {
            let mut entries = edition.table.provisioned_below(crate::table::Digits::default());
            entries.find(|(_, route)| names(route)).map(|(prefix, _)| prefix)
        })
        .flatten()
    });
    if let Ok(Some(prefix)) = used.await {
        return Err(Fault::conflict(
            "in_use",
            format!("+{prefix} leads to gateway {name:?}: take it out of its prefixes first"),
        ));
    }
    let stored = {
        let mut fleet = state.fleet();
        let provisioned =
            fleet.view_one(&name, Instant::now()).is_some_and(|member| member.provisioned);
        if provisioned {
            state.need_store()?;
            fleet.unprovision(&name)?;
        }
        if fleet.registration(&name).is_some() {
            fleet.expel(&name)?;
            state.unheard(&name);
        }
        let action = Action::GatewayRemoved { gateway: name.clone() };
        state.store_gateway(&fleet, &name, Some(entry(&who.name, action)))
    };
    let published = state.publish_soon();
    stored.await?;
    published.await;
    Ok(())
}

/// Whether a gateway shall take new calls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draining {
    drain: bool,
}

pub(super) async fn drain(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Written(Draining { drain }): Written<Draining>,
) -> Result<StatusCode, Fault> {
    let who = state.permit(&headers, Scope::Operate)?;
    let stored = {
        let mut fleet = state.fleet();
        fleet.drain(&name, drain)?;
        let action = Action::Drained { gateway: name.clone(), drain };
        state.store_gateway(&fleet, &name, Some(entry(&who.name, action)))
    };
    let published = state.publish_soon();
    stored.await?;
    published.await;
    Ok(StatusCode::NO_CONTENT)
}

/// A gateway as the operator sees it.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    name: String,
    sip: String,
    transport: Transport,
    standing: Standing,
    provisioned: bool,
    drained: bool,
    registered: Option<SeenLease>,
}

#[derive(Debug, Serialize)]
struct SeenLease {
    lease_s: f64,
    lease_left_s: Option<f64>,
    draining: bool,
    alarms: Vec<String>,
    trunk_groups: Vec<SeenGroup>,
    prefixes: usize,
}

#[derive(Debug, Serialize)]
struct SeenGroup {
    name: String,
    circuits: u32,
    free: u32,
    alarmed: bool,
}

/// All gateways.
#[derive(Debug, Serialize)]
pub(super) struct SeenGateways {
    gateways: Vec<Seen>,
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
) -> Result<Json<SeenGateways>, Fault> {
    state.permit(&headers, Scope::Read)?;
    let members = state.fleet().view(Instant::now());
    Ok(Json(SeenGateways { gateways: members.into_iter().map(Seen::new).collect() }))
}

pub(super) async fn get(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<Seen>, Fault> {
    state.permit(&headers, Scope::Read)?;
    let member = state.fleet().view_one(&name, Instant::now());
    let member = member.ok_or_else(|| Fault::not_found(format!("there is no gateway {name:?}")))?;
    Ok(Json(Seen::new(member)))
}

impl Seen {
    fn new(member: MemberView) -> Self {
        let registered = member.registered.map(|own| {
            let groups = own.registration.trunk_groups.iter().zip(&own.report.groups);
            SeenLease {
                lease_s: own.registration.lease.as_secs_f64(),
                lease_left_s: own.lease_left.map(|left| left.as_secs_f64()),
                draining: own.report.draining,
                trunk_groups: groups
                    .map(|(group, report)| SeenGroup {
                        name: group.name.clone(),
                        circuits: group.circuits,
                        free: report.free,
                        alarmed: report.alarmed,
                    })
                    .collect(),
                prefixes: own.registration.prefixes.len(),
                alarms: own.report.alarms,
            }
        });
        Self {
            name: member.gateway.name.clone(),
            sip: member.gateway.authority.clone(),
            transport: member.gateway.transport,
            standing: member.state.standing,
            provisioned: member.provisioned,
            drained: member.drained_by_operator,
            registered,
        }
    }
}

fn check_own(who: &Who, name: &str) -> Result<(), Fault> {
    match &who.gateway {
        Some(own) if !own.eq_ignore_ascii_case(name) => Err(Fault::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("token {} is gateway {own:?}'s alone", who.name),
        )),
        _ => Ok(()),
    }
}

fn read_lease(text: &str) -> Result<LeaseId, Fault> {
    let id = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    id.map(LeaseId).ok_or_else(|| Fault::bad("lease: is none that was given out here"))
}
