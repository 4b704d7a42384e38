//! ENUM over UDP: threads that share a port, each with its socket, answering what has come by then
//! together.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::answer::plain::Plain;
use super::answer::{self, Asked, Transport, answer_read, has_valid_cookie};
use super::{Counters, ResponseRate, Verdict, ladder};
use crate::datagrams::{BATCH, Datagram, Datagrams};
use crate::edition::Edition;

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

    fn run(self) {
        let Self { socket, edition, mut response_rate, counters, stop } = self;
        let mut datagrams = Datagrams::new(socket);
        let mut edition = arc_swap::Cache::new(edition);
        let mut draw: u64 = rand::random();
        while !stop.load(Ordering::Relaxed) {
            if datagrams.receive().is_err() {
                counters.error();
                // An error that stays must not take the core.
                thread::sleep(ERROR_PAUSE);
            }
            // Also when nobody asks: such a thread must not keep an old table in memory.
            let edition = edition.load();
            let mut moment = Moment { edition, unix_s: unix_s(), now: Instant::now(), draw };
            let mut plain = [None; BATCH];
            for (datagram, plain) in datagrams.taken().iter().zip(&mut plain) {
                *plain =
                    Plain::read(&moment.asked(datagram.octets(), datagram.source()), &edition.zone);
            }
            edition.table.approach(plain.iter().flatten().map(|plain| plain.digits));
            for (datagram, plain) in datagrams.taken().iter_mut().zip(plain) {
                moment.serve(datagram, plain, response_rate.as_mut(), &counters);
            }
            draw = moment.draw;
            for _ in 0..datagrams.reply() {
                counters.error();
            }
        }
    }
}

/// What the datagrams that are answered together have in common.
struct Moment<'a> {
    edition: &'a Edition,
    unix_s: u64,
    now: Instant,
    draw: u64,
}

impl Moment<'_> {
    fn asked<'a>(&self, query: &'a [u8], source: SocketAddr) -> Asked<'a> {
        let Self { unix_s, draw, .. } = *self;
        Asked { query, source: source.ip(), transport: Transport::Udp, unix_s, draw }
    }

    fn serve(
        &mut self,
        datagram: &mut Datagram,
        plain: Option<Plain>,
        response_rate: Option<&mut ResponseRate>,
        counters: &Counters,
    ) {
        let source: SocketAddr = datagram.source();
        // Port 0 cannot be answered; only a forger sends from it.
        if source.port() == 0 {
            counters.error();
            return;
        }
        self.draw = self.draw.wrapping_add(1);
        let (query, reply) = datagram.split();
        let asked = self.asked(query, source);
        let verdict = match response_rate {
            Some(rate) => match rate.check(source.ip(), self.now) {
                Verdict::Send => Verdict::Send,
                // Who shows our cookie is where it says it is: no answer hits a third.
                _ if has_valid_cookie(&asked, &self.edition.zone) => Verdict::Send,
                held_back => held_back,
            },
            None => Verdict::Send,
        };
        match verdict {
            Verdict::Send => {
                let answered = answer_read(plain, &asked, self.edition, reply);
                counters.answered(&answered);
                ladder::log(&answered, source, Transport::Udp);
            }
            Verdict::Truncate => {
                counters.rate_limited();
                answer::answer_truncated(asked.query, reply);
            }
            Verdict::Drop => counters.rate_limited(),
        }
    }
}

/// The time of day as queries are judged by it.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

const ERROR_PAUSE: Duration = Duration::from_millis(10);
