//! HTTPS: connections are encrypted before they are served, each in a task of its own, so that one
//! that says nothing holds up no other.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// A certificate and its key, ready to serve.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
}

/// Connections whose handshake is under way.
const HANDSHAKES_MAX: usize = 256;

/// Longest handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

impl Tls {
    /// Reads a chain of certificates and a key, both PEM.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let failed =
            |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| failed(certificate, &error))?;
        let own = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, own))
            .map_err(|error| failed(certificate, &error))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// A listener whose connections are encrypted.
    pub(super) fn listen(self, listener: TcpListener) -> TlsListener {
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, self.acceptor, sender));
        TlsListener { ready, address, _tasks: tasks }
    }
}

type Ready = (TlsStream<TcpStream>, SocketAddr);

/// Connections that are encrypted. Dropping it closes the listener.
pub(super) struct TlsListener {
    ready: mpsc::Receiver<Ready>,
    address: io::Result<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The task that accepts ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}

async fn accept(mut listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<Ready>) {
    let free = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        // Waits out what accepting may fail by.
        let (stream, source) = axum::serve::Listener::accept(&mut listener).await;
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream));
            if let Ok(Ok(stream)) = handshake.await {
                let _ = ready.send((stream, source)).await;
            }
            drop(permit);
        });
    }
}
