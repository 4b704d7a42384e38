//! The operator's prefixes in a store: single changes, whole tables, differences, versions.
//!
//! A change is first stored, then answered from: what a query has seen is never lost.

pub mod table_csv;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::edition::Edition;
use crate::enum_server::udp::unix_s;
use crate::gateways::Gateways;
use crate::state::State;
use crate::store::{Action, Base, Change, Entry, PrefixChange, Store, StoreError};
use crate::table::{BadEntries, Digits, Overlay, Route, Snapshot, SnapshotBuilder, Table};
use crate::written::WrittenRoute;

/// Changes over a snapshot before they are taken into the next.
const OVERLAY_MAX: usize = 10_000;

/// Why the prefixes are not changed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisioningError {
    /// The table is a file, which the operator writes.
    #[error("the table is a file: change it there and reload, or configure a store")]
    NoStore,
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entries are no table.
    #[error(transparent)]
    Entries(#[from] BadEntries),
    /// There is no such version any more, or yet.
    #[error("version {version} is not kept: {oldest} to {newest} are")]
    NoVersion {
        /// What was asked for.
        version: u64,
        /// The oldest to go back to.
        oldest: u64,
        /// The present one.
        newest: u64,
    },
    /// Somebody else has changed the prefixes meanwhile.
    #[error("the prefixes are at version {is} by now, the differences were shown against {was}")]
    Moved {
        /// The version that was compared with.
        was: u64,
        /// The present one.
        is: u64,
    },
}

/// How two tables differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Prefixes that are new.
    pub added: u64,
    /// Prefixes that are gone.
    pub removed: u64,
    /// Prefixes that lead elsewhere.
    pub changed: u64,
    /// Prefixes that stay as they are.
    pub unchanged: u64,
    /// The first of those that differ.
    pub first: Vec<PrefixChange>,
}

const SHOWN_MAX: usize = 100;

impl Difference {
    /// Compares the operator's prefixes with others.
    pub fn new(now: &Edition, next: &Snapshot) -> Self {
        let mut difference = Self::default();
        for (prefix, after) in next.iter() {
            match now.table.provisioned_entry(prefix) {
                Some(before) if before == after => difference.unchanged += 1,
                Some(before) => {
                    difference.changed += 1;
                    difference.show(&now.gateways, prefix, Some(before), Some(after));
                }
                None => {
                    difference.added += 1;
                    difference.show(&now.gateways, prefix, None, Some(after));
                }
            }
        }
        for (prefix, before) in now.table.provisioned_below(Digits::default()) {
            if next.entry(prefix).is_none() {
                difference.removed += 1;
                difference.show(&now.gateways, prefix, Some(before), None);
            }
        }
        difference
    }

    fn show(
        &mut self,
        gateways: &Gateways,
        prefix: Digits,
        before: Option<&Route>,
        after: Option<&Route>,
    ) {
        if self.first.len() < SHOWN_MAX {
            self.first.push(prefix_change(gateways, prefix, before, after));
        }
    }
}

/// A change as the log keeps it.
pub(crate) fn prefix_change(
    gateways: &Gateways,
    prefix: Digits,
    before: Option<&Route>,
    after: Option<&Route>,
) -> PrefixChange {
    PrefixChange {
        prefix: format!("+{prefix}"),
        before: before.map(|route| written(gateways, route)),
        after: after.map(|route| written(gateways, route)),
    }
}

/// A route with the names of its gateways.
pub(crate) fn written(gateways: &Gateways, route: &Route) -> WrittenRoute {
    WrittenRoute::new(route, |place| gateways.gateway(place).map(|own| own.name.as_str()))
}

/// An entry of the log, of now.
pub(crate) fn entry(who: &str, action: Action) -> Change {
    Change::Log(Entry { number: 0, at_s: unix_s(), who: who.to_owned(), action })
}

/// Sets prefixes, or takes them out, all or none; the result is the version.
///
/// # Errors
/// Nothing is changed then.
pub(crate) async fn change_prefixes(
    state: &Arc<State>,
    who: String,
    changes: Vec<(Digits, Option<Route>)>,
) -> Result<u64, ProvisioningError> {
    let state = Arc::clone(state);
    unbroken(async move {
        for _ in 1..ATTEMPTS {
            // Another node was first: what it has changed is known here by now.
            match change(&state, &who, changes.clone()).await {
                Err(ProvisioningError::Store(StoreError::Moved)) => {
                    // So that they do not meet again.
                    let pause_ms = rand::random_range(5..=50);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                result => return result,
            }
        }
        change(&state, &who, changes).await
    })
    .await
}

/// How often a change of prefixes is made anew because another node was first.
const ATTEMPTS: usize = 30;

async fn change(
    state: &Arc<State>,
    who: &str,
    changes: Vec<(Digits, Option<Route>)>,
) -> Result<u64, ProvisioningError> {
    let store = state.need_store()?;
    let provisioning = state.provisioning().lock().await;
    let edition = state.edition();
    let before = |prefix| edition.table.provisioned_entry(prefix);
    let changes: Vec<(Digits, Option<Route>)> =
        changes.into_iter().filter(|(prefix, route)| before(*prefix) != route.as_ref()).collect();
    if changes.is_empty() {
        return Ok(edition.version);
    }
    let logged = changes
        .iter()
        .map(|(prefix, route)| {
            prefix_change(&edition.gateways, *prefix, before(*prefix), route.as_ref())
        })
        .collect();
    let logged = vec![entry(who, Action::Prefixes { changes: logged })];
    let stored = store.write_version(edition.version, logged).await?;
    if !store.is_shared() {
        let mut overlay = Overlay::clone(&edition.table.changes);
        for (prefix, route) in changes {
            overlay.set(prefix, route);
        }
        state.replace_table(stored, |table| Table { changes: Arc::new(overlay), ..table });
    }
    drop(provisioning);
    if state.edition().table.changes.len() > OVERLAY_MAX {
        let state = Arc::clone(state);
        tokio::spawn(async move {
            if let Err(error) = compact(&state).await {
                tracing::error!("changes cannot be taken into the table: {error}");
            }
        });
    }
    Ok(stored)
}

/// Replaces all prefixes by those of an import, if they are still at the version that it was
/// compared with.
///
/// # Errors
/// Nothing is changed then.
pub(crate) async fn commit_import(
    state: &Arc<State>,
    who: String,
    next: Arc<Snapshot>,
    against: u64,
    difference: Arc<Difference>,
) -> Result<u64, ProvisioningError> {
    let state = Arc::clone(state);
    unbroken(async move {
        let _provisioning = state.provisioning().lock().await;
        let is = state.edition().version;
        if is != against {
            return Err(ProvisioningError::Moved { was: against, is });
        }
        let action = Action::Imported {
            entries: next.entries() as u64,
            added: difference.added,
            removed: difference.removed,
            changed: difference.changed,
        };
        commit_snapshot(&state, &who, next, action).await
    })
    .await
}

/// Brings the prefixes back to what they were at a version; with `dry_run` only says what that
/// would change.
///
/// # Errors
/// Nothing is changed then.
pub(crate) async fn roll_back(
    state: &Arc<State>,
    who: String,
    to: u64,
    dry_run: bool,
) -> Result<(u64, Difference), ProvisioningError> {
    let state = Arc::clone(state);
    unbroken(async move { go_back(&state, &who, to, dry_run).await }).await
}

async fn go_back(
    state: &Arc<State>,
    who: &str,
    to: u64,
    dry_run: bool,
) -> Result<(u64, Difference), ProvisioningError> {
    let store = Arc::clone(state.need_store()?);
    let _provisioning = state.provisioning().lock().await;
    let own = Arc::clone(state);
    let next = blocking(move || Ok(Arc::new(read_version(&own, &store, to)?))).await?;
    // It may name gateways that have left since: from now on they have names again.
    state.publish_soon().await;
    let (edition, other) = (state.edition(), Arc::clone(&next));
    let newest = edition.version;
    let difference = blocking(move || Ok(Difference::new(&edition, &other))).await?;
    if dry_run {
        return Ok((newest, difference));
    }
    let number = commit_snapshot(state, who, next, Action::RolledBack { to }).await?;
    Ok((number, difference))
}

/// Stores a whole table, then answers from it. Who calls it may change the prefixes.
async fn commit_snapshot(
    state: &Arc<State>,
    who: &str,
    next: Arc<Snapshot>,
    action: Action,
) -> Result<u64, ProvisioningError> {
    let store = Arc::clone(state.need_store()?);
    let (own, snapshot) = (Arc::clone(&store), Arc::clone(&next));
    let gateways = state.edition().gateways.clone();
    let base =
        blocking(move || Ok(own.write_base(&snapshot, |route| written(&gateways, route))?)).await?;
    let version = state.edition().version;
    let number = store.write_version(version, vec![entry(who, action), Change::Base(base)]).await?;
    if !store.is_shared() {
        answer_from(state, store, number, next).await?;
    }
    Ok(number)
}

/// Answers from a snapshot that is stored. Where the store is shared, the replica does it.
async fn answer_from(
    state: &Arc<State>,
    store: Arc<Store>,
    version: u64,
    next: Arc<Snapshot>,
) -> Result<(), ProvisioningError> {
    state.replace_table(version, |table| Table {
        provisioned: next,
        changes: Arc::default(),
        ..table
    });
    blocking(move || Ok(store.remove_orphans()?)).await
}

/// Takes the changes into a new snapshot of the same version.
async fn compact(state: &Arc<State>) -> Result<(), ProvisioningError> {
    let store = Arc::clone(state.need_store()?);
    // Until the end: what looks like an orphan may be a file that another change has just written.
    let _provisioning = state.provisioning().lock().await;
    let edition = state.edition();
    if edition.table.changes.len() <= OVERLAY_MAX {
        return Ok(());
    }
    let number = edition.version;
    let own = Arc::clone(&store);
    let (next, base) = blocking(move || {
        let next = merged(edition.table.provisioned_below(Digits::default()))?;
        let base = own.write_base(&next, |route| written(&edition.gateways, route))?;
        Ok((Arc::new(next), base))
    })
    .await?;
    store.write_version(number, vec![Change::BaseAt(number, base)]).await?;
    if store.is_shared() { Ok(()) } else { answer_from(state, store, number, next).await }
}

/// The prefixes as they are stored, and their version.
///
/// # Errors
/// The store's. When the last big table is damaged, the one before it and all changes since are
/// taken.
pub(crate) fn read_latest(
    store: &Store,
    place: &dyn Fn(&str) -> u32,
    country: &trunkline_number::CountryProfile,
) -> Result<(Table, u64), ProvisioningError> {
    let newest = store.version()?;
    let reader = Reader { place, country };
    let mut bases = store.bases()?;
    let latest = bases.pop();
    let (provisioned, from) = match &latest {
        None => (Snapshot::default(), 0),
        Some(base) => match reader.base(store, base) {
            Ok(snapshot) => (snapshot, base.number),
            Err(error) => {
                let Some(before) = bases.last() else {
                    return Err(error);
                };
                tracing::error!(
                    "{error}; the prefixes are those of version {} with the changes since, but \
                     without what version {} brought",
                    before.number,
                    base.number
                );
                (reader.base(store, before)?, before.number)
            }
        },
    };
    let changes = Arc::new(reader.changes(store, from, newest)?);
    let table = Table { provisioned: Arc::new(provisioned), changes, ..Table::default() };
    Ok((table, newest))
}

/// The prefixes as they were at a version.
fn read_version(state: &State, store: &Store, version: u64) -> Result<Snapshot, ProvisioningError> {
    let edition = state.edition();
    let newest = edition.version;
    let bases = store.bases()?;
    let base = bases.iter().rev().find(|base| base.number <= version);
    let oldest = store.oldest_version(bases.first())?;
    if !(oldest..=newest).contains(&version) {
        return Err(ProvisioningError::NoVersion { version, oldest, newest });
    }
    let place = |name: &str| state.fleet().reserve(name);
    let reader = Reader { place: &place, country: &edition.country };
    let provisioned = base.map(|base| reader.base(store, base)).transpose()?.unwrap_or_default();
    let from = base.map_or(0, |base| base.number);
    let changes = Arc::new(reader.changes(store, from, version)?);
    let table = Table { provisioned: Arc::new(provisioned), changes, ..Table::default() };
    Ok(merged(table.provisioned_below(Digits::default()))?)
}

/// Lays the changes of an entry of the log over others.
///
/// # Errors
/// The entry cannot be read.
pub(crate) fn lay_over(
    overlay: &mut Overlay,
    entry: &Entry,
    place: &dyn Fn(&str) -> u32,
    country: &trunkline_number::CountryProfile,
) -> Result<(), ProvisioningError> {
    Reader { place, country }.lay_over(overlay, entry)
}

struct Reader<'a> {
    place: &'a dyn Fn(&str) -> u32,
    country: &'a trunkline_number::CountryProfile,
}

impl Reader<'_> {
    fn base(&self, store: &Store, base: &Base) -> Result<Snapshot, ProvisioningError> {
        Ok(store.read_base(base, |route| self.route(&route))?)
    }

    fn changes(&self, store: &Store, after: u64, until: u64) -> Result<Overlay, ProvisioningError> {
        let mut overlay = Overlay::default();
        for entry in store.changes_between(after, until)? {
            self.lay_over(&mut overlay, &entry)?;
        }
        Ok(overlay)
    }

    fn lay_over(&self, overlay: &mut Overlay, entry: &Entry) -> Result<(), ProvisioningError> {
        let Action::Prefixes { changes } = &entry.action else {
            return Ok(());
        };
        let bad =
            |cause: String| StoreError::Row { table: "log", key: entry.number.to_string(), cause };
        for change in changes {
            let prefix = change.prefix.strip_prefix('+').and_then(Digits::read);
            let prefix = prefix.ok_or_else(|| bad(format!("prefix {}", change.prefix)))?;
            let route = change.after.as_ref().map(|route| self.route(route)).transpose();
            overlay.set(prefix, route.map_err(bad)?);
        }
        Ok(())
    }

    fn route(&self, written: &WrittenRoute) -> Result<Route, String> {
        written
            .read(self.country, |name| Some((self.place)(name)))
            .map_err(|error| error.to_string())
    }
}

/// One snapshot of many entries.
fn merged<'a>(entries: impl Iterator<Item = (Digits, &'a Route)>) -> Result<Snapshot, BadEntries> {
    let mut builder = SnapshotBuilder::default();
    // Routes of a table are few and lie in it one by one: their addresses tell them apart.
    let mut places: HashMap<*const Route, u32> = HashMap::new();
    for (prefix, route) in entries {
        let place = *places.entry(route).or_insert_with(|| builder.route(route.clone()));
        builder.add(prefix, place);
    }
    builder.build()
}

/// Work that goes on when nobody waits for it any more: a client that hangs up between what is stored
/// and what is answered from must not leave the two apart.
async fn unbroken<T: Send + 'static>(
    work: impl Future<Output = Result<T, ProvisioningError>> + Send + 'static,
) -> Result<T, ProvisioningError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(panic) => Err(StoreError::Failed(panic.to_string()).into()),
    }
}

/// Work that takes long, beside the tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProvisioningError> + Send + 'static,
) -> Result<T, ProvisioningError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(StoreError::Failed(panic.to_string()).into()),
    }
}

/// An import that is being read, or waits to be committed.
#[derive(Debug)]
pub(crate) struct Import {
    /// Tells it from others.
    pub(crate) id: u64,
    /// Who brought it.
    pub(crate) who: String,
    /// When.
    pub(crate) began: Instant,
    /// Lines so far.
    pub(crate) rows: Arc<std::sync::atomic::AtomicU64>,
    /// How far it is.
    pub(crate) stage: Stage,
}

/// How far an import is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Lines come.
    Reading,
    /// It can be committed.
    Ready { next: Arc<Snapshot>, against: u64, difference: Arc<Difference> },
    /// It cannot be used.
    Failed(Vec<table_csv::Mistake>),
}
