//! An echo of RTP: what comes to its one port goes back to where it came from.
#![allow(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Room for packets while the machine has no time for the echo: some seconds of 480 calls.
const BUFFER_OCTETS: libc::c_int = 64 << 20;

/// How often is looked whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A running echo; ends when it is dropped.
#[derive(Debug)]
pub struct Echo {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    end: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Echo {
    /// Starts an echo at an address.
    pub fn start(address: &str) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        make_room(&socket);
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("echo".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut packet = [0; 2_048];
                while !shared.end.load(Ordering::Relaxed) {
                    let Ok((size, from)) = socket.recv_from(&mut packet) else { continue };
                    shared.received.fetch_add(1, Ordering::Relaxed);
                    if socket.send_to(&packet[..size], from).is_ok() {
                        shared.sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Packets received, and sent back.
    pub fn counts(&self) -> (u64, u64) {
        let Shared { received, sent, .. } = &*self.shared;
        (received.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A larger buffer than users may have; who may not have it loses packets earlier.
fn make_room(socket: &UdpSocket) {
    // SAFETY: the value is as long as said.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            std::ptr::from_ref(&BUFFER_OCTETS).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}
