//! The media plane as its owner sees it: start, legs, events, counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as handshake};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_rtp::telephone_event::Digit;

use crate::bridge;
use crate::coders::Coders;
use crate::config::MediaConfig;
use crate::counters::{MediaCounters, WorkerLoad};
use crate::error::MediaError;
use crate::event::{LegId, MediaEvent};
use crate::leg::{
    BesideReceiver, BesideSender, Events, Leg, LegSettings, Readied, Translation, beside_rtp,
};
use crate::load::{self, Candidate, Full, Limits};
use crate::packet_io::{Backend, Host, Opening, choose};
use crate::pairs::{Consequences, Pairs, Terms};
use crate::ports::{PortPair, PortRange};
use crate::spec::{RtpLegSpec, RtpLegUpdate, check_receiving, check_sending};
use crate::timeslot::TimeslotEnd;
use crate::worker::{COMMANDS, Command, Link, Newcomer, Worker, WorkerSettings, available_cores};

/// Events that can wait to be fetched.
const EVENTS: usize = 4096;

/// The workers of a process, and the legs on them.
///
/// Every method returns at once; what it asks for happens at the worker's next tick. Dropping it
/// closes all legs and ends the workers.
#[derive(Debug)]
pub struct Media {
    config: MediaConfig,
    backend: Backend,
    relays_in_kernel: bool,
    workers: Vec<Running>,
    ports: Arc<PortRange>,
    serial: AtomicU64,
    events: Mutex<Option<mpsc::Receiver<MediaEvent>>>,
    pairs: Mutex<Pairs>,
}

#[derive(Debug)]
struct Running {
    link: Arc<Link>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn load(&self) -> WorkerLoad {
        let load = self.link.board.load();
        WorkerLoad {
            legs: self.link.legs.load(Ordering::Acquire),
            busy_ppm: load.busy_ppm,
            tick_work_p99_us: load.work_p99_us,
            refuses: self.link.gate.is_shut(),
        }
    }
}

/// A leg that has been opened.
#[derive(Debug)]
pub struct OpenedLeg {
    /// Its name.
    pub leg: LegId,
    /// Where it receives RTP; RTCP on the next port.
    pub local: SocketAddr,
    /// The end for the line.
    pub timeslot: TimeslotEnd,
}

/// Two legs that have been opened as a pair.
#[derive(Debug, Clone, Copy)]
pub struct OpenedPair {
    /// Towards the one side.
    pub a: OpenedEnd,
    /// Towards the other.
    pub b: OpenedEnd,
}

/// One leg of a pair.
#[derive(Debug, Clone, Copy)]
pub struct OpenedEnd {
    /// Its name.
    pub leg: LegId,
    /// Where it receives RTP; RTCP on the next port.
    pub local: SocketAddr,
}

impl Media {
    /// Chooses a back end and starts a worker on each core.
    ///
    /// # Errors
    /// A setting that cannot be used, or a worker that cannot start.
    pub fn start(config: MediaConfig) -> Result<Self, MediaError> {
        config.check()?;
        let cores = if config.cores.is_empty() {
            available_cores().map_err(|source| MediaError::Cores { source })?
        } else {
            config.cores.clone()
        };
        let host = Host {
            device: config.device.clone(),
            xdp_mode: config.xdp_mode,
            rtp_ports: config.rtp_ports.clone(),
            workers: cores.len(),
            kernel_relay: config.kernel_relay,
            dscp: config.dscp,
        };
        let (choice, openings) = choose(config.backend, &host)?;
        tracing::info!(backend = %choice.backend, reason = %choice.reason, "packet back end chosen");
        if config.kernel_relay == Some(true) && !choice.relays_in_kernel {
            tracing::warn!(backend = %choice.backend, "only af_xdp can relay calls in the kernel");
        }
        let (sender, receiver) = mpsc::channel(EVENTS);
        let mut media = Self {
            backend: choice.backend,
            relays_in_kernel: choice.relays_in_kernel,
            workers: Vec::with_capacity(cores.len()),
            ports: Arc::new(PortRange::new(config.rtp_ports.clone())),
            serial: AtomicU64::new(1),
            events: Mutex::new(Some(receiver)),
            pairs: Mutex::default(),
            config,
        };
        for (number, (core, opening)) in cores.into_iter().zip(openings).enumerate() {
            let running = media.start_worker(number, core, opening, sender.clone())?;
            media.workers.push(running);
        }
        Ok(media)
    }

    /// Binds a leg's ports and hands it to the worker with the least load.
    ///
    /// # Errors
    /// A description that contradicts itself, no port pair or no room left, or workers that have no
    /// time for it.
    pub fn open(&self, spec: RtpLegSpec) -> Result<OpenedLeg, MediaError> {
        self.free_released();
        check(&spec)?;
        self.open_checked(&spec, None)
    }

    /// As [`Media::open`], for a browser: STUN and DTLS come by the RTP port, too (RFC 7983), and are
    /// handed out as they are. Until an update names the other side and its keys no RTP is sent or
    /// accepted, and after that only that side's.
    ///
    /// # Errors
    /// Those of [`Media::open`].
    pub fn open_beside(&self, spec: RtpLegSpec) -> Result<(OpenedLeg, BesideReceiver), MediaError> {
        self.free_released();
        check(&spec)?;
        let (sender, receiver) = beside_rtp();
        Ok((self.open_checked(&spec, Some(sender))?, receiver))
    }

    /// Sends a datagram that is no RTP by a leg's RTP port.
    ///
    /// # Errors
    /// A worker with too many commands waiting.
    pub fn send_beside(
        &self,
        leg: LegId,
        to: SocketAddr,
        octets: Vec<u8>,
    ) -> Result<(), MediaError> {
        let octets = octets.into_boxed_slice();
        self.command(leg, Command::SendBeside { id: leg, to, octets })
    }

    fn open_checked(
        &self,
        spec: &RtpLegSpec,
        beside: Option<BesideSender>,
    ) -> Result<OpenedLeg, MediaError> {
        let number = self.reserve(1)?;
        let opened = self.hand_over(number, spec, beside);
        if opened.is_err() {
            self.workers[number].link.legs.fetch_sub(1, Ordering::AcqRel);
        }
        opened
    }

    /// Opens two legs on the same worker whose media go to one another, without jitter buffer: a
    /// packet is changed in place and sent on as soon as it is looked at, or transcoded and sent in
    /// the same tick where the sides do not speak the same codec ([`crate::transcode`]). `line_law`
    /// and `detect_digits` mean nothing to them. Each is updated and closed by its own name; when one
    /// is closed the other stays, and what comes to it is dropped and counted.
    ///
    /// # Errors
    /// A description that contradicts itself, a codec that cannot be set up, no port pair or no room
    /// left, or workers that have no time for them.
    pub fn open_pair(&self, a: RtpLegSpec, b: RtpLegSpec) -> Result<OpenedPair, MediaError> {
        self.free_released();
        check(&a)?;
        check(&b)?;
        let number = self.reserve(2)?;
        let opened = self.hand_over_pair(number, &a, &b);
        if opened.is_err() {
            self.workers[number].link.legs.fetch_sub(2, Ordering::AcqRel);
        }
        opened
    }

    /// Changes what is agreed on: address, codec, hold. The legs of a pair begin and end to
    /// transcode as it takes.
    ///
    /// # Errors
    /// A description that contradicts itself, a codec that cannot be set up, or a worker with too
    /// many commands waiting.
    pub fn update(&self, leg: LegId, update: RtpLegUpdate) -> Result<(), MediaError> {
        if let Some(sending) = &update.sending {
            check_sending(sending)?;
        }
        if let Some(receiving) = &update.receiving {
            check_receiving(receiving)?;
        }
        let coders = match leg.paired {
            true => Coders::default(),
            false => Coders::new(update.sending.as_ref(), update.receiving.as_deref())?,
        };
        let protection = update.protection.as_ref().map(Readied::new).transpose()?;
        // Until the command is given: updates of both legs reach the worker in the order in which they
        // are taken note of.
        let mut pairs = self.pairs();
        let Consequences { own, mates, terms } = pairs.consequences(leg, &update)?;
        let update = Box::new(update);
        let transcoding = Box::new((own, mates));
        self.command(leg, Command::Update { id: leg, update, coders, transcoding, protection })?;
        pairs.updated(leg, terms);
        Ok(())
    }

    /// Sends a digit to the RTP side: as RFC 4733 event if that was agreed on, else as a tone.
    ///
    /// # Errors
    /// A leg of a pair, or a worker with too many commands waiting.
    pub fn send_digit(&self, leg: LegId, digit: Digit, duration_ms: u32) -> Result<(), MediaError> {
        if leg.paired {
            return Err(MediaError::Paired(leg));
        }
        self.command(leg, Command::Digit { id: leg, digit, duration_ms })
    }

    /// Ends a leg; its last event carries its statistics. Closing twice does nothing.
    ///
    /// # Errors
    /// A worker with too many commands waiting.
    pub fn close(&self, leg: LegId) -> Result<(), MediaError> {
        self.command(leg, Command::Close { id: leg })
    }

    /// The receiver of all legs' events; the first call gets it, later ones nothing.
    pub fn events(&self) -> Option<mpsc::Receiver<MediaEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The counters as of the last tick.
    pub fn counters(&self) -> MediaCounters {
        // Ports of closed legs are free, whether or not another leg has been opened since.
        self.free_released();
        MediaCounters {
            workers: self.workers.iter().map(|worker| worker.link.board.read()).collect(),
            loads: self.workers.iter().map(Running::load).collect(),
            backend: self.backend,
            port_pairs_free: self.ports.free(),
        }
    }

    /// Whether so many legs on `local` would find room now; nothing is taken.
    ///
    /// # Errors
    /// What [`Media::open`] would say: [`MediaError::Overloaded`], [`MediaError::LegsExhausted`] or
    /// [`MediaError::PortsExhausted`].
    pub fn has_room(&self, local: IpAddr, legs: usize) -> Result<(), MediaError> {
        self.worker_for(legs)?;
        self.free_released();
        match self.ports.free() >= legs {
            true => Ok(()),
            false => Err(self.ports.exhausted(local)),
        }
    }

    /// Whether a pair's stream that needs nothing done to it is relayed in the kernel.
    pub fn relays_in_kernel(&self) -> bool {
        self.relays_in_kernel
    }

    /// The back end that carries the packets.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Legs that are open or opening.
    pub fn legs(&self) -> usize {
        self.workers.iter().map(|worker| worker.link.legs.load(Ordering::Acquire)).sum()
    }

    fn start_worker(
        &self,
        number: usize,
        core: usize,
        opening: Opening,
        events: mpsc::Sender<MediaEvent>,
    ) -> Result<Running, MediaError> {
        let legs_max = self.config.legs_per_worker_max;
        let settings = WorkerSettings {
            number,
            core,
            realtime_priority: self.config.realtime_priority,
            tick: self.config.tick,
            relays_below: self.relays_in_kernel,
            legs_max,
        };
        let link = Arc::new(Link::new(legs_max));
        let (ready, is_ready) = handshake::sync_channel(1);
        let theirs = Arc::clone(&link);
        let thread = std::thread::Builder::new()
            .name(format!("media-{number}"))
            .spawn(move || {
                match Worker::new(&settings, theirs, Events::new(events, legs_max), opening) {
                    Ok(mut worker) => {
                        // The starter waits for this; it cannot be gone.
                        let _ = ready.send(Ok(()));
                        worker.run();
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(|source| MediaError::Worker { worker: number, core, source })?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(Running { link, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(MediaError::Worker {
                worker: number,
                core,
                source: std::io::Error::other("the thread ended while starting"),
            }),
        }
    }

    /// Takes so many places on the worker with the least load.
    fn reserve(&self, places: usize) -> Result<usize, MediaError> {
        let limit = self.config.legs_per_worker_max;
        loop {
            let number = self.worker_for(places)?;
            let place = &self.workers[number].link.legs;
            let taken = place.fetch_update(Ordering::AcqRel, Ordering::Acquire, |legs| {
                (legs + places <= limit).then_some(legs + places)
            });
            // Another thread may have taken the last places: then there is another worker, or none.
            if taken.is_ok() {
                return Ok(number);
            }
        }
    }

    /// The worker that so many new legs would go to.
    fn worker_for(&self, places: usize) -> Result<usize, MediaError> {
        let limits = Limits { legs: self.config.legs_per_worker_max, load: self.config.load_max };
        let workers = self.workers.len();
        let candidates = self.workers.iter().map(|worker| Candidate {
            legs: worker.link.legs.load(Ordering::Acquire),
            load: worker.link.board.load(),
            gate: &worker.link.gate,
        });
        load::place(candidates, places, limits).map_err(|full| match full {
            Full::Legs => MediaError::LegsExhausted { limit: limits.legs, workers },
            Full::Load { least } => MediaError::Overloaded {
                load_percent: (least * 100.0).round() as u32,
                limit_percent: (limits.load.unwrap_or(1.0) * 100.0).round() as u32,
                workers,
            },
        })
    }

    fn hand_over(
        &self,
        number: usize,
        spec: &RtpLegSpec,
        beside: Option<BesideSender>,
    ) -> Result<OpenedLeg, MediaError> {
        let coders = Coders::new(Some(&spec.sending), Some(&spec.receiving))?;
        let protection = Readied::new(&spec.protection)?;
        let (ports, local) = self.bind(spec)?;
        let id = self.name(number, false);
        let (bridge, line) = bridge::timeslot(self.config.jitter_packets);
        let timeslot = TimeslotEnd::new(spec.line_law, self.config.playout, line);
        let PortPair { rtp, rtcp, lease } = ports;
        let (settings, now) = (self.leg_settings(), Instant::now());
        let mut leg = Box::new(Leg::new(id, spec, coders, settings, bridge, lease, now));
        leg.protect(protection);
        beside.into_iter().for_each(|beside| leg.expect_beside(beside));
        self.command(id, Command::Open(Newcomer { leg, rtp, rtcp }))?;
        Ok(OpenedLeg { leg: id, local, timeslot })
    }

    fn hand_over_pair(
        &self,
        number: usize,
        a: &RtpLegSpec,
        b: &RtpLegSpec,
    ) -> Result<OpenedPair, MediaError> {
        let (of_a, of_b) = (Terms::of(a), Terms::of(b));
        let transcoders = (of_a.transcoder_from(&of_b)?, of_b.transcoder_from(&of_a)?);
        let open = |spec: &RtpLegSpec, transcoder| {
            let protection = Readied::new(&spec.protection)?;
            let (PortPair { rtp, rtcp, lease }, local) = self.bind(spec)?;
            let id = self.name(number, true);
            let mut leg = Leg::paired(id, spec, self.leg_settings(), lease, Instant::now());
            leg.protect(protection);
            leg.translate(Translation::Other(transcoder));
            let end = OpenedEnd { leg: id, local };
            Ok::<_, MediaError>((end, Newcomer { leg: Box::new(leg), rtp, rtcp }))
        };
        let ((a, leg_a), (b, leg_b)) = (open(a, transcoders.0)?, open(b, transcoders.1)?);
        self.pairs().joined((a.leg, of_a), (b.leg, of_b));
        self.command(a.leg, Command::OpenPair(leg_a, leg_b)).inspect_err(|_| {
            [a, b].iter().for_each(|end| self.pairs().parted(end.leg));
        })?;
        Ok(OpenedPair { a, b })
    }

    fn bind(&self, spec: &RtpLegSpec) -> Result<(PortPair, SocketAddr), MediaError> {
        let ports = self.ports.bind(spec.local, self.config.dscp)?;
        let local = ports.rtp.local_addr();
        let local = local.map_err(|source| MediaError::Bind { ip: spec.local, source })?;
        Ok((ports, local))
    }

    fn name(&self, worker: usize, paired: bool) -> LegId {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        LegId { worker: worker as u16, serial, paired }
    }

    fn leg_settings(&self) -> LegSettings {
        LegSettings {
            policy: self.config.source,
            allowance: self.config.allowance,
            rtp_timeout: self.config.rtp_timeout,
            rtcp_interval: self.config.rtcp_interval,
        }
    }

    fn command(&self, leg: LegId, command: Command) -> Result<(), MediaError> {
        let worker = usize::from(leg.worker);
        let running = self.workers.get(worker).ok_or(MediaError::UnknownLeg(leg))?;
        let queue = &running.link.commands;
        queue.push(command).map_err(|_| MediaError::Busy { worker, waiting: COMMANDS })
    }

    /// Frees what the workers have let go of.
    fn free_released(&self) {
        for worker in &self.workers {
            while let Some(leg) = worker.link.released.pop() {
                if leg.id.paired {
                    self.pairs().parted(leg.id);
                }
            }
        }
    }

    fn pairs(&self) -> MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(spec: &RtpLegSpec) -> Result<(), MediaError> {
    check_sending(&spec.sending)?;
    check_receiving(&spec.receiving)?;
    if spec.cname.len() > 255 {
        return Err(MediaError::Spec("the CNAME is longer than 255 octets"));
    }
    if spec.remote.is_some_and(|remote| remote.rtp.is_ipv4() != spec.local.is_ipv4()) {
        return Err(MediaError::Spec("local and remote address are of different IP versions"));
    }
    Ok(())
}

impl Drop for Media {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.link.stop.store(true, Ordering::Release);
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A worker that panicked has nothing more to say.
                let _ = thread.join();
            }
        }
        self.free_released();
    }
}

#[cfg(test)]
mod tests;
