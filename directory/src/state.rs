//! What the threads of a directory share, and how it changes: editions are replaced as a whole
//! while queries go on.

mod shared;
mod stored;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use tokio::sync::{Notify, watch};
use trunkline_program::Source;
use trunkline_program::http::Tls;

use crate::configuration::Provisioned;
use crate::edition::Edition;
use crate::enum_server::{Counters, CountersSnapshot};
use crate::fleet::{Fleet, FleetError, FleetSettings, Output};
use crate::gateways::Gateways;
use crate::http::{Fault, Scope, Tokens, Who};
use crate::provisioning::{self, Import, ProvisioningError, entry};
use crate::redirect::Redirects;
use crate::replica::{self, Inbox, Replica};
use crate::store::{Action, Change, Store, StoreError};
use crate::table::Table;
use crate::{Configuration, DirectoryError};

/// What reloads, registrations, metrics and look-ups share.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    sockets: SocketKeys,
    edition: Arc<ArcSwap<Edition>>,
    /// Replaced editions, kept until no query thread has them any more, so that a query never
    /// pays for freeing a big table.
    retired: Mutex<Vec<Arc<Edition>>>,
    /// Who holds it may replace the edition.
    fleet: Mutex<Fleet>,
    /// There is something to publish, or an earlier deadline.
    changed: Notify,
    /// How often the fleet was published: who waits for the next sees its own change.
    published: watch::Sender<u64>,
    store: Option<Arc<Store>>,
    /// Keeps the store the same as that of other nodes, where it is shared.
    replica: Option<Arc<Replica>>,
    /// Until its task is started.
    inbox: Mutex<Option<Inbox>>,
    /// Who holds it may change the operator's prefixes.
    provisioning: tokio::sync::Mutex<()>,
    import: Mutex<Option<Import>>,
    tokens: RwLock<Tokens>,
    pub(crate) counters: CounterSet,
    pub(crate) redirects: Redirects,
    pub(crate) reloads: Reloads,
}

impl State {
    /// The state at the start.
    pub(crate) fn new(path: &Path) -> Result<(Configuration, Self), DirectoryError> {
        let (configuration, source) = Configuration::read(path)?;
        let zone = configuration.zone(&source, serial())?;
        let mut fleet = Fleet::new(FleetSettings::default());
        let mut tokens = configuration.tokens(&source)?;
        let folder = configuration.store_path(&source);
        let (store, replica, inbox) = match (folder, configuration.etcd.is_some()) {
            (Some(folder), true) => {
                let (store, jobs) = Store::open_shared(&folder)?;
                let (replica, inbox) = Replica::new(jobs);
                (Some(Arc::new(store)), Some(Arc::new(replica)), Some(inbox))
            }
            (Some(folder), false) => (Some(Arc::new(Store::open(&folder)?)), None, None),
            (None, _) => (None, None, None),
        };
        let (table, version) = match &store {
            Some(store) => {
                stored::restore_gateways(store, &mut fleet)?;
                stored::restore_tokens(store, &mut tokens)?;
                let places = Mutex::new(fleet);
                let place = |name: &str| lock(&places).reserve(name);
                let read = provisioning::read_latest(store, &place, &configuration.country);
                fleet = places.into_inner().unwrap_or_else(PoisonError::into_inner);
                let (table, version) = read?;
                (Table { registered: Arc::new(fleet.registered_prefixes()), ..table }, version)
            }
            None => (provision(&mut fleet, read_table(&configuration, &source)?)?, 0),
        };
        while fleet.poll_output().is_some() {}
        let edition = Edition {
            zone: Arc::new(zone),
            table,
            gateways: fleet.gateways(),
            country: Arc::new(configuration.country.clone()),
            version,
            loaded_at: Instant::now(),
        };
        let state = Self {
            path: path.to_owned(),
            sockets: SocketKeys::of(&configuration),
            edition: Arc::new(ArcSwap::from_pointee(edition)),
            retired: Mutex::default(),
            fleet: Mutex::new(fleet),
            changed: Notify::new(),
            published: watch::Sender::new(0),
            store,
            replica,
            inbox: Mutex::new(inbox),
            provisioning: tokio::sync::Mutex::default(),
            import: Mutex::default(),
            tokens: RwLock::new(tokens),
            counters: CounterSet::default(),
            redirects: Redirects::default(),
            reloads: Reloads::default(),
        };
        Ok((configuration, state))
    }

    /// Certificate and key of HTTPS.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, DirectoryError> {
        let (configuration, source) = Configuration::read(&self.path)?;
        Ok(configuration.tls(&source)?)
    }

    /// What queries are answered from.
    pub(crate) fn edition(&self) -> Arc<Edition> {
        self.edition.load_full()
    }

    /// The place where editions are replaced.
    pub(crate) fn editions(&self) -> &Arc<ArcSwap<Edition>> {
        &self.edition
    }

    /// The store, where there is one.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// The store, for what cannot be done without.
    pub(crate) fn need_store(&self) -> Result<&Arc<Store>, ProvisioningError> {
        self.store.as_ref().ok_or(ProvisioningError::NoStore)
    }

    /// What keeps the store the same as that of other nodes, where it is shared.
    pub(crate) fn replica(&self) -> Option<&Arc<Replica>> {
        self.replica.as_ref()
    }

    /// The task of the replica, once.
    pub(crate) fn replica_task(self: &Arc<Self>) -> Result<Option<replica::Task>, DirectoryError> {
        let (configuration, source) = Configuration::read(&self.path)?;
        let settings = configuration.replica(&source)?;
        let parts = (settings, self.replica.clone(), lock(&self.inbox).take());
        let (Some(settings), Some(replica), Some(inbox)) = parts else {
            return Ok(None);
        };
        Ok(Some(replica::Task::new(settings, Arc::clone(self), replica, inbox)))
    }

    /// Tells the other nodes of a gateway that was heard here.
    pub(crate) fn heard(&self, fleet: &Fleet, name: &str) {
        let Some(replica) = &self.replica else {
            return;
        };
        let member = fleet.view_one(name, Instant::now());
        if let Some(own) = member.and_then(|member| member.registered) {
            replica.alive(name.to_owned(), own.lease, own.report, own.registration.lease);
        }
    }

    /// Tells the other nodes that a gateway has left here.
    pub(crate) fn unheard(&self, name: &str) {
        if let Some(replica) = &self.replica {
            replica.left(name.to_owned());
        }
    }

    /// Who holds it may change the operator's prefixes.
    pub(crate) fn provisioning(&self) -> &tokio::sync::Mutex<()> {
        &self.provisioning
    }

    /// The import that is being read or waits.
    pub(crate) fn import(&self) -> MutexGuard<'_, Option<Import>> {
        lock(&self.import)
    }

    /// Lets pass who shows a token with this scope.
    pub(crate) fn permit(&self, headers: &HeaderMap, scope: Scope) -> Result<Who, Fault> {
        self.tokens().permit(headers, scope)
    }

    /// Those who may do something.
    pub(crate) fn tokens(&self) -> RwLockReadGuard<'_, Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed.
    pub(crate) fn tokens_mut(&self) -> RwLockWriteGuard<'_, Tokens> {
        self.tokens.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateways; whoever changes them calls [`State::publish_soon`] afterwards.
    pub(crate) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        lock(&self.fleet)
    }

    /// Stores a gateway as it is in the fleet, and what is told of it. The order is that of the
    /// calls; without a store there is nothing to wait for.
    pub(crate) fn store_gateway(
        &self,
        fleet: &Fleet,
        name: &str,
        told: Option<Change>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let stored = self.store.as_ref().map(|store| {
            let mut changes = vec![stored::gateway_change(fleet, name)];
            changes.extend(told);
            store.write(changes)
        });
        async move {
            match stored {
                Some(stored) => stored.await.map(|_| ()),
                None => Ok(()),
            }
        }
    }

    /// Reads configuration and table again.
    pub(crate) fn reload(&self) -> Result<(), DirectoryError> {
        self.try_reload().inspect_err(|error| {
            self.reloads.refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!("reload refused, the old table stays: {error}");
        })
    }

    fn try_reload(&self) -> Result<(), DirectoryError> {
        let (configuration, source) = Configuration::read(&self.path)?;
        let zone = configuration.zone(&source, serial())?;
        let tokens = configuration.tokens(&source)?;
        let provisioned = match &self.store {
            Some(_) => None,
            None => Some(read_table(&configuration, &source)?),
        };
        if SocketKeys::of(&configuration) != self.sockets {
            tracing::warn!(
                "listen, http, http_tls, sip, udp_workers, response_rate, tcp, etcd, and whether there \
                 is a store, change at a restart only"
            );
        }
        let mut fleet = self.fleet();
        let mut edition = Edition::clone(&self.edition());
        if let Some(provisioned) = provisioned {
            let table = provision(&mut fleet, provisioned)?;
            edition.table = Table { registered: edition.table.registered, ..table };
        }
        edition.zone = Arc::new(zone);
        edition.gateways = fleet.gateways();
        edition.country = Arc::new(configuration.country);
        edition.loaded_at = Instant::now();
        let (entries, gateways) = (edition.table.entries(), edition.gateways.len());
        self.replace(edition);
        drop(fleet);
        self.tokens_mut().replace_configured(tokens);
        self.reloads.accepted.fetch_add(1, Ordering::Relaxed);
        tracing::info!(entries, gateways, "table reloaded");
        Ok(())
    }

    /// Answers from another version of the table from now on.
    pub(crate) fn replace_table(&self, version: u64, change: impl FnOnce(Table) -> Table) {
        let _fleet = self.fleet();
        let mut edition = Edition::clone(&self.edition());
        edition.table = change(edition.table);
        edition.version = version;
        edition.loaded_at = Instant::now();
        self.replace(edition);
    }

    /// Puts what has changed about gateways into the next edition. The result, awaited, comes when
    /// queries see it.
    pub(crate) fn publish_soon(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut published = self.published.subscribe();
        // One that is under way may have missed the change.
        let wanted = *published.borrow() + 2;
        self.changed.notify_one();
        async move {
            // The sender lives as long as the directory.
            let _ = published.wait_for(|count| *count >= wanted).await;
        }
    }

    /// Lets leases end in time and publishes what has changed; does not return.
    pub(crate) async fn keep_published(self: Arc<Self>) {
        loop {
            let deadline = self.fleet().next_deadline();
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = self.changed.notified() => {}
            }
            // Twice: what comes while the first is under way waits for the second.
            for _ in 0..2 {
                let state = Arc::clone(&self);
                // Many prefixes take longer than other tasks should wait.
                let _ = tokio::task::spawn_blocking(move || state.publish()).await;
                self.published.send_modify(|count| *count += 1);
            }
            // A storm of registrations is published together.
            tokio::time::sleep(PUBLISH_EVERY).await;
        }
    }

    fn publish(&self) {
        let mut fleet = self.fleet();
        fleet.timeout(Instant::now());
        let outputs: Vec<Output> = std::iter::from_fn(|| fleet.poll_output()).collect();
        let has = |wanted: fn(&Output) -> bool| outputs.iter().any(wanted);
        let gateways = has(|output| matches!(output, Output::Gateways));
        let prefixes = has(|output| matches!(output, Output::Prefixes));
        if outputs.is_empty() {
            return;
        }
        let mut edition = Edition::clone(&self.edition());
        edition.gateways = if gateways {
            fleet.gateways()
        } else {
            Gateways::with_states(&edition.gateways, fleet.states())
        };
        if prefixes {
            edition.table.registered = Arc::new(fleet.registered_prefixes());
        }
        self.replace(edition);
        // Behind what counts: a log that cannot be written must not keep answers from changing.
        for output in outputs {
            self.tell(&fleet, output);
        }
    }

    fn tell(&self, fleet: &Fleet, output: Output) {
        match output {
            Output::Standing { gateway, was, is } => {
                let (was, is) = (was.word(), is.word());
                tracing::info!(gateway, was, is, "gateway stands otherwise");
            }
            Output::Forgotten { gateway } => {
                let left = entry("directory", Action::Left { gateway: gateway.clone() });
                // What is not stored is forgotten again after the next start.
                drop(self.store_gateway(fleet, &gateway, Some(left)));
                tracing::info!(gateway, "gateway has been dead for too long and is forgotten");
            }
            Output::Circuits | Output::Gateways | Output::Prefixes => {}
        }
    }

    /// Who calls it holds the fleet.
    fn replace(&self, edition: Edition) {
        let old = self.edition.swap(Arc::new(edition));
        lock(&self.retired).push(old);
    }

    /// Frees replaced editions when the last query thread has turned to a newer one; does not
    /// return.
    pub(crate) async fn free_retired(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let free: Vec<_> = {
                let mut retired = lock(&self.retired);
                retired.extract_if(.., |edition| Arc::strong_count(edition) == 1).collect()
            };
            if !free.is_empty() {
                // Freeing millions of entries takes long enough to be kept from the other tasks.
                let _ = tokio::task::spawn_blocking(move || drop(free)).await;
            }
        }
    }
}

/// Longest time that a change of a gateway waits for others to come with it.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads configuration and table once, as a directory would begin with them. A store must not be in
/// use by a running one.
///
/// # Errors
/// Why a directory would not start.
pub fn read_edition(path: &Path) -> Result<Edition, DirectoryError> {
    let (_, state) = State::new(path)?;
    Ok(Edition::clone(&state.edition()))
}

fn read_table(
    configuration: &Configuration,
    source: &Source,
) -> Result<Provisioned, DirectoryError> {
    Ok(configuration.read_table(source)?)
}

/// Gives the gateways of a table their places in the fleet.
fn provision(fleet: &mut Fleet, provisioned: Provisioned) -> Result<Table, FleetError> {
    let Provisioned { gateways, mut prefixes } = provisioned;
    let places = fleet.provision(gateways)?;
    prefixes.map_gateways(|place| places[place as usize]);
    Ok(Table::new(prefixes))
}

/// Later editions have higher serials, as secondaries and eyes expect (RFC 1982).
fn serial() -> u32 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as u32)
}

/// Keys that a reload cannot change.
#[derive(Debug, PartialEq, Eq)]
struct SocketKeys(String);

impl SocketKeys {
    fn of(configuration: &Configuration) -> Self {
        let Configuration { listen, http, udp_workers, response_rate, tcp, .. } = configuration;
        let Configuration { store, etcd, http_tls, sip, .. } = configuration;
        let sockets = format!("{listen:?} {http:?} {udp_workers:?} {response_rate:?} {tcp:?}");
        Self(format!("{sockets} {store:?} {etcd:?} {http_tls:?} {sip:?}"))
    }
}

/// Reloads since the start.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// The counters of all threads, known once the sockets are open.
#[derive(Debug, Default)]
pub(crate) struct CounterSet(std::sync::OnceLock<(Vec<Arc<Counters>>, Arc<Counters>)>);

impl CounterSet {
    pub(crate) fn set(&self, udp: Vec<Arc<Counters>>, tcp: Arc<Counters>) {
        let _ = self.0.set((udp, tcp));
    }

    /// Counters of UDP and of TCP.
    pub(crate) fn sums(&self) -> (CountersSnapshot, CountersSnapshot) {
        let (mut udp_sum, mut tcp_sum) = Default::default();
        if let Some((udp, tcp)) = self.0.get() {
            udp.iter().for_each(|counters| counters.add_to(&mut udp_sum));
            tcp.add_to(&mut tcp_sum);
        }
        (udp_sum, tcp_sum)
    }
}
