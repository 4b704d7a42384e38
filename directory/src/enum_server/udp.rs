//! ENUM over UDP: threads that share a port, each with its socket, answering one query after
//! another.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};

use super::answer::{self, Asked, Transport, answer, has_valid_cookie};
use super::{Counters, ResponseRate, Verdict, ladder};
use crate::edition::Edition;

/// A socket on an address that the sockets of other threads share: the kernel spreads the
/// clients over them.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    // A burst waits here while the thread is off the core.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    socket.set_read_timeout(Some(STOP_POLL))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What a UDP thread works with.
pub(crate) struct Worker {
    pub(crate) socket: UdpSocket,
    pub(crate) edition: Arc<ArcSwap<Edition>>,
    pub(crate) response_rate: Option<ResponseRate>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Worker {
    pub(crate) fn start(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("enum-udp".to_owned()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut edition = arc_swap::Cache::new(self.edition);
        let mut query = [0; QUERY_MAX_OCTETS];
        let mut reply = Vec::with_capacity(usize::from(answer::UDP_ANSWER_MAX_OCTETS));
        while !self.stop.load(Ordering::Relaxed) {
            let (length, source) = match self.socket.recv_from(&mut query) {
                Ok(received) => received,
                Err(error) if is_timeout(&error) => {
                    // A thread that nobody asks must not keep an old table in memory.
                    edition.load();
                    continue;
                }
                Err(_) => {
                    self.counters.error();
                    // An error that stays must not take the core.
                    thread::sleep(ERROR_PAUSE);
                    continue;
                }
            };
            // Port 0 cannot be answered; only a forger sends from it.
            if source.port() == 0 {
                self.counters.error();
                continue;
            }
            let asked = Asked {
                query: &query[..length],
                source: source.ip(),
                transport: Transport::Udp,
                unix_s: unix_s(),
                draw: rand::random(),
            };
            let edition = edition.load();
            let verdict = match &mut self.response_rate {
                Some(rate) => match rate.check(source.ip(), Instant::now()) {
                    Verdict::Send => Verdict::Send,
                    // Who shows our cookie is where it says it is: no answer hits a third.
                    _ if has_valid_cookie(&asked, &edition.zone) => Verdict::Send,
                    held_back => held_back,
                },
                None => Verdict::Send,
            };
            match verdict {
                Verdict::Send => {
                    let answered = answer(&asked, edition, &mut reply);
                    self.counters.answered(&answered);
                    ladder::log(&answered, source, Transport::Udp);
                }
                Verdict::Truncate => {
                    self.counters.rate_limited();
                    answer::answer_truncated(asked.query, &mut reply);
                }
                Verdict::Drop => {
                    self.counters.rate_limited();
                    continue;
                }
            }
            if !reply.is_empty() && self.socket.send_to(&reply, source).is_err() {
                self.counters.error();
            }
        }
    }
}

/// No query of ours is longer; of a longer one the rest is cut, and it is refused as malformed.
const QUERY_MAX_OCTETS: usize = 4096;

const RECEIVE_BUFFER_OCTETS: usize = 1 << 20;

/// The time of day as queries are judged by it.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How often a thread without queries looks whether it shall end.
const STOP_POLL: Duration = Duration::from_millis(100);

const ERROR_PAUSE: Duration = Duration::from_millis(10);

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
