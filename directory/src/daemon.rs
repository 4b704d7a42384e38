//! The running directory: its threads, its sockets and the edition they answer from.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trunkline_sip::Endpoint;

use crate::datagrams;
use crate::enum_server::{Counters, ResponseRate, tcp, udp};
use crate::state::State;
use crate::{DirectoryError, http, redirect};

/// A running directory. Dropping it ends its tasks; [`Directory::stop`] also waits for them.
#[derive(Debug)]
pub struct Directory {
    state: Arc<State>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    listen: Vec<SocketAddr>,
    http: Option<SocketAddr>,
    sip: Option<Endpoint>,
}

impl Directory {
    /// Reads the configuration and the table, opens all sockets and answers. Call it inside a
    /// tokio runtime.
    pub async fn start(path: &Path) -> Result<Self, DirectoryError> {
        let (configuration, state) = State::new(path)?;
        let tls = state.tls()?;
        let edition = Arc::clone(state.editions());
        let workers = configuration
            .udp_workers
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let mut counters = Vec::new();
        let mut directory = Self {
            state: Arc::new(state),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            tasks: JoinSet::new(),
            listen: Vec::new(),
            http: None,
            sip: None,
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
                sockets.push(datagrams::bind(bound).map_err(failed)?);
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
            directory.tasks.spawn(http::serve(listener, tls, Arc::clone(&directory.state)));
        }
        if !configuration.sip.is_empty() {
            let (endpoint, events) = redirect::open(&configuration.sip).await?;
            let state = Arc::clone(&directory.state);
            directory.tasks.spawn(redirect::serve(endpoint.clone(), events, state));
            directory.sip = Some(endpoint);
        }
        directory.tasks.spawn(Arc::clone(&directory.state).keep_published());
        directory.follow_others().await?;
        directory.state.counters.set(counters, tcp_counters);
        for worker in udp_workers {
            // Already started threads end with `directory`.
            directory.threads.push(worker.start().map_err(DirectoryError::Worker)?);
        }
        directory.tasks.spawn(Arc::clone(&directory.state).free_retired());
        tracing::info!(
            listen = ?directory.listen,
            http = ?directory.http,
            sip = ?directory.sip(),
            apexes = ?configuration.apexes,
            entries = edition.load().table.entries(),
            gateways = edition.load().gateways.len(),
            "directory answers"
        );
        Ok(directory)
    }

    /// Keeps the store the same as that of other nodes, where it is shared. Who has no copy yet waits
    /// for one: better no answer than that a number is unknown.
    async fn follow_others(&mut self) -> Result<(), DirectoryError> {
        let state = &self.state;
        let parts = (state.replica_task()?, state.replica(), state.store());
        let (Some(task), Some(replica), Some(store)) = parts else {
            return Ok(());
        };
        let has_copy = store.position()?.is_some();
        let replica = Arc::clone(replica);
        self.tasks.spawn(task.run());
        if !has_copy && tokio::time::timeout(FIRST_COPY_MAX, replica.first_copy()).await.is_err() {
            return Err(DirectoryError::NoCopy { waited_s: FIRST_COPY_MAX.as_secs() });
        }
        Ok(())
    }

    /// Addresses that answer ENUM over UDP and TCP, with the ports really used.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Address of the HTTP listener.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// UDP addresses of the SIP redirect server.
    pub fn sip(&self) -> &[SocketAddr] {
        self.sip.as_ref().map_or(&[], Endpoint::udp_addresses)
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
        if let Some(endpoint) = self.sip.take() {
            endpoint.shutdown(SIP_PATIENCE).await;
        }
        for thread in std::mem::take(&mut self.threads) {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// How long a directory without a copy of a shared store waits for the first.
const FIRST_COPY_MAX: Duration = Duration::from_secs(15);

/// How long callers who have not acknowledged their answer are waited for at the end.
const SIP_PATIENCE: Duration = Duration::from_millis(200);

impl Drop for Directory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let (Some(endpoint), Ok(runtime)) = (self.sip.take(), Handle::try_current()) {
            runtime.spawn(endpoint.shutdown(Duration::ZERO));
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
        match taken.and_then(|()| datagrams::bind(bound)) {
            Ok(socket) => return Ok((socket, listener)),
            Err(_) if address.port() == 0 && attempt < ATTEMPTS => attempt += 1,
            Err(cause) => return Err(failed("UDP", cause)),
        }
    }
}
