//! The running directory: its threads, its sockets and the edition they answer from.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trunkline_number::CountryProfile;

use crate::enum_server::{Counters, CountersSnapshot, ResponseRate, Zone, tcp, udp};
use crate::{Configuration, DirectoryError, Snapshot, http};

/// All that a query is answered from; replaced as a whole.
#[derive(Debug)]
pub struct Edition {
    /// Apexes, TTLs and names.
    pub zone: Zone,
    /// The table.
    pub table: Snapshot,
    /// How numbers are written in look-ups.
    pub country: CountryProfile,
    /// When it was loaded.
    pub loaded_at: Instant,
}

impl Edition {
    /// Reads a configuration file and its table.
    pub fn read(path: &Path) -> Result<(Configuration, Self), DirectoryError> {
        let (configuration, source) = Configuration::read(path)?;
        // Later editions have higher serials, as secondaries and eyes expect (RFC 1982).
        let serial = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as u32);
        let edition = Self {
            zone: configuration.zone(&source, serial)?,
            table: configuration.read_table(&source)?,
            country: configuration.country.clone(),
            loaded_at: Instant::now(),
        };
        Ok((configuration, edition))
    }
}

/// A running directory. Dropping it ends its tasks; [`Directory::stop`] also waits for them.
#[derive(Debug)]
pub struct Directory {
    state: Arc<State>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    listen: Vec<SocketAddr>,
    http: Option<SocketAddr>,
}

impl Directory {
    /// Reads the configuration and the table, opens all sockets and answers. Call it inside a
    /// tokio runtime.
    pub async fn start(path: &Path) -> Result<Self, DirectoryError> {
        let (configuration, edition) = Edition::read(path)?;
        let workers = configuration
            .udp_workers
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let edition = Arc::new(ArcSwap::from_pointee(edition));
        let mut counters = Vec::new();
        let mut directory = Self {
            state: Arc::new(State::new(path, &configuration, Arc::clone(&edition))),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            tasks: JoinSet::new(),
            listen: Vec::new(),
            http: None,
        };
        let tcp_counters = Arc::new(Counters::default());
        let free = Arc::new(Semaphore::new(configuration.tcp.connections));
        let mut udp_workers = Vec::new();
        for &address in &configuration.listen {
            let (first, listener) = bind_both(address).await?;
            let failed = |cause| DirectoryError::Listen { what: "UDP", address, cause };
            let bound = first.local_addr().map_err(failed)?;
            directory.listen.push(bound);
            let mut sockets = vec![first];
            for _ in 1..workers {
                sockets.push(udp::bind(bound).map_err(failed)?);
            }
            for socket in sockets {
                let own = Arc::new(Counters::default());
                counters.push(Arc::clone(&own));
                udp_workers.push(udp::Worker {
                    socket,
                    edition: Arc::clone(&edition),
                    response_rate: ResponseRate::new(
                        configuration.response_rate.per_second,
                        configuration.response_rate.burst,
                    ),
                    counters: own,
                    stop: Arc::clone(&directory.stop),
                });
            }
            let listener = tcp::Listener {
                listener,
                edition: Arc::clone(&edition),
                counters: Arc::clone(&tcp_counters),
                free: Arc::clone(&free),
                idle: Duration::from_secs(configuration.tcp.idle_s),
            };
            directory.tasks.spawn(listener.run());
        }
        if let Some(address) = configuration.http {
            let failed = |cause| DirectoryError::Listen { what: "HTTP", address, cause };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            directory.http = Some(listener.local_addr().map_err(failed)?);
            directory.tasks.spawn(http::serve(listener, Arc::clone(&directory.state)));
        }
        directory.state.counters.set(counters, tcp_counters);
        for worker in udp_workers {
            // Already started threads end with `directory`.
            directory.threads.push(worker.start().map_err(DirectoryError::Worker)?);
        }
        directory.tasks.spawn(free_retired(Arc::clone(&directory.state)));
        tracing::info!(
            listen = ?directory.listen,
            http = ?directory.http,
            apexes = ?configuration.apexes,
            entries = edition.load().table.entries(),
            gateways = edition.load().table.gateways(),
            "directory answers"
        );
        Ok(directory)
    }

    /// Addresses that answer ENUM over UDP and TCP, with the ports really used.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Address of the HTTP listener.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Reads configuration and table again and answers from them; queries go on meanwhile. What
    /// belongs to sockets stays as it was at the start.
    ///
    /// # Errors
    /// The mistake in the files. The old edition stays.
    pub async fn reload(&self) -> Result<(), DirectoryError> {
        let state = Arc::clone(&self.state);
        // A big table takes seconds to read; TCP and HTTP go on meanwhile.
        match tokio::task::spawn_blocking(move || state.reload()).await {
            Ok(result) => result,
            Err(panic) => Err(DirectoryError::Worker(io::Error::other(panic))),
        }
    }

    /// Ends all threads and tasks and waits for them.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        for thread in std::mem::take(&mut self.threads) {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What reloads, metrics and look-ups share.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    sockets: SocketKeys,
    edition: Arc<ArcSwap<Edition>>,
    /// Replaced editions, kept until no query thread has them any more, so that a query never
    /// pays for freeing a big table.
    retired: Mutex<Vec<Arc<Edition>>>,
    pub(crate) counters: CounterSet,
    pub(crate) reloads: Reloads,
}

impl State {
    fn new(path: &Path, configuration: &Configuration, edition: Arc<ArcSwap<Edition>>) -> Self {
        Self {
            path: path.to_owned(),
            sockets: SocketKeys::of(configuration),
            edition,
            retired: Mutex::default(),
            counters: CounterSet::default(),
            reloads: Reloads::default(),
        }
    }

    pub(crate) fn edition(&self) -> Arc<Edition> {
        self.edition.load_full()
    }

    fn reload(&self) -> Result<(), DirectoryError> {
        let (configuration, edition) = Edition::read(&self.path).inspect_err(|error| {
            self.reloads.refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!("reload refused, the old table stays: {error}");
        })?;
        if SocketKeys::of(&configuration) != self.sockets {
            tracing::warn!(
                "listen, http, udp_workers, response_rate and tcp change at a restart only"
            );
        }
        let (entries, gateways) = (edition.table.entries(), edition.table.gateways());
        let old = self.edition.swap(Arc::new(edition));
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(old);
        self.reloads.accepted.fetch_add(1, Ordering::Relaxed);
        tracing::info!(entries, gateways, "table reloaded");
        Ok(())
    }
}

/// Keys that a reload cannot change.
#[derive(Debug, PartialEq, Eq)]
struct SocketKeys(String);

impl SocketKeys {
    fn of(configuration: &Configuration) -> Self {
        let Configuration { listen, http, udp_workers, response_rate, tcp, .. } = configuration;
        Self(format!("{listen:?} {http:?} {udp_workers:?} {response_rate:?} {tcp:?}"))
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
    fn set(&self, udp: Vec<Arc<Counters>>, tcp: Arc<Counters>) {
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

/// Frees replaced editions when the last query thread has turned to a newer one.
async fn free_retired(state: Arc<State>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let free: Vec<_> = {
            let mut retired = state.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.extract_if(.., |edition| Arc::strong_count(edition) == 1).collect()
        };
        if !free.is_empty() {
            // Freeing millions of entries takes long enough to be kept from the other tasks.
            let _ = tokio::task::spawn_blocking(move || drop(free)).await;
        }
    }
}

/// UDP and TCP on one address. With port 0 in the configuration the system chooses a port, which
/// must be free for both.
async fn bind_both(
    address: SocketAddr,
) -> Result<(std::net::UdpSocket, TcpListener), DirectoryError> {
    const ATTEMPTS: usize = 16;
    let mut attempt = 1;
    loop {
        let failed = |what, cause| DirectoryError::Listen { what, address, cause };
        let listener = TcpListener::bind(address).await.map_err(|cause| failed("TCP", cause))?;
        let bound = listener.local_addr().map_err(|cause| failed("TCP", cause))?;
        // Sharing a port is for our own threads: another server's port must be refused.
        let taken = std::net::UdpSocket::bind(bound).map(drop);
        match taken.and_then(|()| udp::bind(bound)) {
            Ok(socket) => return Ok((socket, listener)),
            Err(_) if address.port() == 0 && attempt < ATTEMPTS => attempt += 1,
            Err(cause) => return Err(failed("UDP", cause)),
        }
    }
}
