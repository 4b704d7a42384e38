//! ENUM over TCP (RFC 7766): several queries a connection, each behind its length.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Asked, Transport, answer};
use super::udp::unix_s;
use super::{Counters, ladder};
use crate::edition::Edition;

/// A TCP listener with its connections; dropping the future closes all of them.
pub(crate) struct Listener {
    pub(crate) listener: TcpListener,
    pub(crate) edition: Arc<ArcSwap<Edition>>,
    pub(crate) counters: Arc<Counters>,
    /// Free connections, over all listeners.
    pub(crate) free: Arc<Semaphore>,
    pub(crate) idle: Duration,
}

impl Listener {
    pub(crate) async fn run(self) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((stream, source)) = accepted else {
                self.counters.error();
                // Out of file descriptors, most likely: wait for some to come back.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
                self.counters.connection_refused();
                continue;
            };
            self.counters.connection();
            let edition = Arc::clone(&self.edition);
            let counters = Arc::clone(&self.counters);
            let idle = self.idle;
            connections.spawn(async move {
                // How a client ends is its own affair: closing, idling and breaking off alike.
                let _ = serve(stream, source, &edition, &counters, idle).await;
                drop(permit);
            });
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn serve(
    mut stream: TcpStream,
    source: SocketAddr,
    edition: &ArcSwap<Edition>,
    counters: &Counters,
    idle: Duration,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut query = Vec::new();
    let mut reply = Vec::new();
    let mut framed = Vec::new();
    loop {
        timeout(idle, async {
            let length = stream.read_u16().await?;
            query.resize(usize::from(length), 0);
            stream.read_exact(&mut query).await
        })
        .await??;
        let answered = {
            let asked = Asked {
                query: &query,
                source: source.ip(),
                transport: Transport::Tcp,
                unix_s: unix_s(),
                draw: rand::random(),
            };
            answer(&asked, &edition.load(), &mut reply)
        };
        counters.answered(&answered);
        ladder::log(&answered, source, Transport::Tcp);
        if reply.is_empty() {
            // Who sends no queries here is not our client.
            return Ok(());
        }
        framed.clear();
        framed.extend_from_slice(&(reply.len() as u16).to_be_bytes());
        framed.extend_from_slice(&reply);
        timeout(idle, stream.write_all(&framed)).await??;
    }
}
