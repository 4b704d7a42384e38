//! Connections over HTTP and HTTPS, each in a task of its own, so that one that says nothing holds up
//! no other; at most so many at once, since the files that a process may open are what ENUM over TCP
//! and the store need too.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::tls::Tls;

/// How long a client may take until a request begins and its header is there.
const HEADER_MAX: Duration = Duration::from_secs(30);

/// Serves until it is dropped, which ends all connections. `connections_max` at once; more wait until
/// one of them ends. Whoever asks is in each request as [`ConnectInfo`].
pub async fn serve(
    mut listener: TcpListener,
    tls: Option<Tls>,
    connections_max: usize,
    router: Router,
) {
    let free = Arc::new(Semaphore::new(connections_max));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        // Waits out what accepting may fail by.
        let (stream, from) = axum::serve::Listener::accept(&mut listener).await;
        let _ = stream.set_nodelay(true);
        let tls = tls.clone();
        let router = router.clone().layer(Extension(ConnectInfo(from)));
        connections.spawn(async move {
            match tls {
                None => converse(stream, router, HEADER_MAX).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream).await {
                        converse(stream, router, HEADER_MAX).await;
                    }
                }
            }
            drop(permit);
        });
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    header_max: Duration,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_max);
    let service = TowerToHyperService::new(router);
    // How a client ends is its own affair.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn request_that_does_not_come_ends_the_connection() {
        const MOST: Duration = Duration::from_millis(50);
        let router = Router::new().route("/", get(async || "here"));
        for begun in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let (mut client, server) = tokio::io::duplex(1_024);
            let began = std::time::Instant::now();
            let served = tokio::spawn(converse(server, router.clone(), MOST));
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            client.write_all(begun.as_bytes()).await.unwrap();
            served.await.unwrap();
            assert!(began.elapsed() >= MOST);
        }
    }
}
