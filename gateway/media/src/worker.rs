//! A worker: one thread on one core that serves its legs once a tick.

mod reception;
mod thread;
mod ticker;

pub(crate) use thread::available_cores;

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use slab::Slab;
use trunkline_rtp::telephone_event::Digit;

use crate::coders::Coders;
use crate::counters::{Board, WorkerCounters};
use crate::error::MediaError;
use crate::event::{LegId, MediaEventKind};
use crate::leg::{
    Channel, Events, Leg, Ports, Readied, Surroundings, Timetable, Translation, Turn,
};
use crate::load::{Gate, Load};
use crate::packet_io::{Opening, PacketIo, PortIndex};
use crate::spec::RtpLegUpdate;
use reception::Reception;
use ticker::Ticker;

/// Commands that can wait for a worker.
pub(crate) const COMMANDS: usize = 1024;

/// What a worker is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Open(Newcomer),
    OpenPair(Newcomer, Newcomer),
    Update {
        id: LegId,
        update: Box<RtpLegUpdate>,
        coders: Coders,
        /// Of what the leg sends, and of what the other leg of the pair does.
        transcoding: Box<(Translation, Translation)>,
        protection: Option<Readied>,
    },
    Digit {
        id: LegId,
        digit: Digit,
        duration_ms: u32,
    },
    /// A datagram that is no RTP leaves by the leg's RTP port.
    SendBeside {
        id: LegId,
        to: SocketAddr,
        octets: Box<[u8]>,
    },
    Close {
        id: LegId,
    },
}

/// A leg that comes to its worker, with its sockets.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) leg: Box<Leg>,
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

/// What a worker shares with the threads that command it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) commands: ArrayQueue<Command>,
    pub(crate) board: Board,
    /// Legs opened or about to be.
    pub(crate) legs: AtomicUsize,
    /// Whether it is given new legs.
    pub(crate) gate: Gate,
    pub(crate) stop: AtomicBool,
    /// Legs whose memory is to be freed on another thread.
    pub(crate) released: ArrayQueue<Box<Leg>>,
}

impl Link {
    pub(crate) fn new(legs_max: usize) -> Self {
        Self {
            commands: ArrayQueue::new(COMMANDS),
            board: Board::default(),
            legs: AtomicUsize::new(0),
            gate: Gate::default(),
            stop: AtomicBool::new(false),
            released: ArrayQueue::new(legs_max),
        }
    }
}

/// How a worker shall run.
#[derive(Debug, Clone)]
pub(crate) struct WorkerSettings {
    pub(crate) number: usize,
    pub(crate) core: usize,
    pub(crate) realtime_priority: Option<u8>,
    pub(crate) tick: Duration,
    pub(crate) relays_below: bool,
    pub(crate) legs_max: usize,
}

/// The state of a worker, on its thread.
pub(crate) struct Worker {
    io: Box<dyn PacketIo>,
    link: Arc<Link>,
    tick: Duration,
    /// Streams may be given to the back end to be relayed on their way.
    relays_below: bool,
    legs: Slab<Box<Leg>>,
    by_serial: HashMap<u64, usize>,
    /// Whose port it is, by [`PortIndex`].
    owners: Vec<Option<(usize, Channel)>>,
    events: Events,
    counters: WorkerCounters,
    load: Load,
    /// Legs whose code has failed in this tick.
    failed: Vec<usize>,
    /// Legs whose stream may be relayed on its way, as its packets of this tick show.
    steady: Vec<usize>,
    /// When each leg's turn is, and the other leg of its pair, by its index: what is to be known of a
    /// leg before it is looked at, which costs more than this does.
    turns: Vec<Option<Turn>>,
    mates: Vec<Option<usize>>,
    timetable: Timetable,
    /// Ticks so far.
    ticks: usize,
    /// The ways out at the last tick (see [`PacketIo::ways`]).
    ways: u64,
}

impl Worker {
    /// Readies the calling thread and its back end.
    pub(crate) fn new(
        settings: &WorkerSettings,
        link: Arc<Link>,
        events: Events,
        opening: Opening,
    ) -> Result<Self, MediaError> {
        let WorkerSettings { number: worker, core, .. } = *settings;
        let standing = thread::settle(core, settings.realtime_priority)
            .map_err(|source| MediaError::Worker { worker, core, source })?;
        let backend = opening.backend();
        let io = opening.open().map_err(|source| MediaError::Backend { backend, source })?;
        tracing::info!(
            worker,
            core,
            backend = %io.kind(),
            scheduling = %standing.scheduling,
            memory = %standing.memory,
            tick_ms = settings.tick.as_millis() as u64,
            "media worker started"
        );
        Ok(Self {
            io,
            link,
            tick: settings.tick,
            relays_below: settings.relays_below,
            legs: Slab::with_capacity(settings.legs_max),
            by_serial: HashMap::with_capacity(settings.legs_max),
            owners: Vec::with_capacity(2 * settings.legs_max),
            events,
            counters: WorkerCounters::default(),
            load: Load::new(settings.tick, Instant::now()),
            failed: Vec::with_capacity(settings.legs_max),
            steady: Vec::with_capacity(settings.legs_max),
            turns: Vec::with_capacity(settings.legs_max),
            mates: Vec::with_capacity(settings.legs_max),
            timetable: Timetable::new(settings.tick),
            ticks: 0,
            ways: 0,
        })
    }

    /// Serves until it is told to stop; then closes every leg.
    pub(crate) fn run(&mut self) {
        let mut ticker = Ticker::new(self.tick);
        while !self.link.stop.load(Ordering::Acquire) {
            let lateness = ticker.wait();
            let began = Instant::now();
            self.serve(began);
            let ended = Instant::now();
            self.load.served(began, ended, self.legs.len());
            self.counters.count_tick(lateness, ended.saturating_duration_since(began));
            self.publish();
        }
        // Whatever was asked for before the stop still gets its last event.
        self.obey_all(Instant::now());
        let open: Vec<usize> = self.legs.iter().map(|(index, _)| index).collect();
        for index in open {
            self.close(index, Instant::now());
        }
        self.io.flush();
        self.publish();
        // Give whoever listens the chance to take the last words; the queue is bounded.
        let deadline = Instant::now() + Duration::from_millis(200);
        while self.events.waiting() > 0 && Instant::now() < deadline {
            self.events.retry();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn serve(&mut self, now: Instant) {
        self.obey_all(now);
        self.receive(now);
        self.give_below(now);
        self.tick_legs(now);
        self.release_failed(now);
        self.io.flush();
        self.events.retry();
    }

    fn receive(&mut self, now: Instant) {
        let Self { io, legs, owners, turns, mates, steady, events, counters, failed, .. } = self;
        let steady = self.relays_below.then_some(steady);
        io.receive(&mut Reception {
            legs,
            owners,
            turns,
            mates,
            steady,
            failed,
            now,
            counters,
            events,
        });
    }

    fn tick_legs(&mut self, now: Instant) {
        let Self { io, legs, events, counters, failed, relays_below, turns, timetable, .. } = self;
        self.ticks = self.ticks.wrapping_add(1);
        let ways = io.ways();
        // Frames of streams that are relayed below may go wrong.
        let are_all_due = ways != std::mem::replace(&mut self.ways, ways) && *relays_below;
        for (index, place) in turns.iter_mut().enumerate() {
            // Looking at every leg in every tick costs more than moving its packets does.
            let Some(turn) = *place else { continue };
            if !are_all_due && !timetable.is_due(turn, self.ticks, index) {
                continue;
            }
            // Most likely the next one whose turn is in this tick.
            if let Some(leg) = legs.get(index + timetable.ticks_between(turn)) {
                leg.prefetch();
            }
            let Some(leg) = legs.get_mut(index) else { continue };
            let mut around = Surroundings { now, counters, events };
            let work = || leg.tick(&mut **io, &mut around);
            if catch_unwind(AssertUnwindSafe(work)).is_err() && !failed.contains(&index) {
                failed.push(index);
            }
            *place = Some(leg.turn());
        }
    }

    /// Gives streams that need nothing done to them to the back end, to be relayed on their way.
    fn give_below(&mut self, now: Instant) {
        let Self { io, legs, events, counters, steady, .. } = self;
        for index in steady.drain(..) {
            let Some(mate) = legs.get(index).and_then(|leg| leg.mate()) else { continue };
            let Ok([leg, mate]) = legs.get_disjoint_mut([index, mate]) else { continue };
            // More than one packet in a tick may have said so.
            let stream = leg.is_steady().then(|| leg.stream_to(mate)).flatten();
            let Some(stream) = stream else { continue };
            if let Some(relay) = io.relay_below(&stream) {
                let relay = Arc::new(relay);
                leg.comes_below(&relay, &mut Surroundings { now, counters, events });
                mate.goes_below(&relay);
            }
        }
    }

    fn release_failed(&mut self, now: Instant) {
        while let Some(index) = self.failed.pop() {
            self.counters.legs_failed += 1;
            if let Some(leg) = self.legs.get(index) {
                self.events.push(leg.id, MediaEventKind::Failed, &mut self.counters);
            }
            self.close(index, now);
        }
    }

    fn obey_all(&mut self, now: Instant) {
        while let Some(command) = self.link.commands.pop() {
            self.obey(command, now);
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Open(newcomer) => {
                self.open(newcomer, now);
            }
            Command::OpenPair(a, b) => self.open_pair(a, b, now),
            Command::Update { id, update, coders, transcoding, protection } => {
                let Self { io, legs, by_serial, events, counters, .. } = self;
                let Some(index) = by_serial.get(&id.serial).copied() else { return };
                let Some(leg) = legs.get_mut(index) else { return };
                protection.into_iter().for_each(|protection| leg.protect(protection));
                let mut around = Surroundings { now, counters, events };
                leg.update(*update, coders, &mut around);
                // Whoever is expected from now on may speak at once.
                leg.admit(&mut **io, &mut around);
                let (own, mates) = *transcoding;
                leg.translate(own);
                if let Some(mate) = leg.mate() {
                    if let Some(leg) = legs.get_mut(mate) {
                        leg.translate(mates);
                    }
                    self.note(mate);
                }
                self.note(index);
            }
            Command::Digit { id, digit, duration_ms } => {
                let index = self.by_serial.get(&id.serial);
                if let Some(leg) = index.and_then(|index| self.legs.get_mut(*index)) {
                    leg.send_digit(digit, duration_ms);
                }
            }
            Command::SendBeside { id, to, octets } => {
                let index = self.by_serial.get(&id.serial);
                if let Some(leg) = index.and_then(|index| self.legs.get(*index)) {
                    self.io.send(leg.ports.rtp, to, &octets);
                }
            }
            Command::Close { id } => {
                if let Some(index) = self.by_serial.get(&id.serial) {
                    self.close(*index, now);
                }
            }
        }
    }

    fn open_pair(&mut self, a: Newcomer, b: Newcomer, now: Instant) {
        let (a, b) = (self.open(a, now), self.open(b, now));
        if let (Some(a), Some(b)) = (a, b) {
            self.legs[a].set_mate(Some(b));
            self.legs[b].set_mate(Some(a));
            self.note(a);
            self.note(b);
        }
    }

    /// Takes a leg into service; its place, unless it has failed at once.
    fn open(&mut self, newcomer: Newcomer, now: Instant) -> Option<usize> {
        let Newcomer { mut leg, rtp, rtcp } = newcomer;
        self.counters.legs_opened += 1;
        let ports = self.open_ports(rtp, rtcp);
        let index = self.legs.vacant_key();
        if let Some(ports) = ports {
            leg.ports = ports;
            self.own(ports.rtp, Some((index, Channel::Rtp)));
            self.own(ports.rtcp, Some((index, Channel::Rtcp)));
        }
        self.by_serial.insert(leg.id.serial, index);
        self.legs.insert(leg);
        self.note(index);
        if ports.is_none() {
            // The kernel takes no more sockets: the leg fails at once, with its events.
            self.failed.push(index);
            self.release_failed(now);
            return None;
        }
        Some(index)
    }

    /// Notes when a leg's turn is, and which leg is its mate.
    fn note(&mut self, index: usize) {
        if self.turns.len() <= index {
            self.turns.resize(index + 1, None);
            self.mates.resize(index + 1, None);
        }
        let leg = self.legs.get(index);
        self.turns[index] = leg.map(|leg| leg.turn());
        self.mates[index] = leg.and_then(|leg| leg.mate());
    }

    fn open_ports(&mut self, rtp: UdpSocket, rtcp: UdpSocket) -> Option<Ports> {
        let rtp = self.io.open_port(rtp).ok()?;
        match self.io.open_port(rtcp) {
            Ok(rtcp) => Some(Ports { rtp, rtcp }),
            Err(_) => {
                self.io.close_port(rtp);
                None
            }
        }
    }

    fn own(&mut self, port: PortIndex, owner: Option<(usize, Channel)>) {
        let at = port.0 as usize;
        if at >= self.owners.len() {
            self.owners.resize(at + 1, None);
        }
        self.owners[at] = owner;
    }

    fn close(&mut self, index: usize, now: Instant) {
        let Some(mut leg) = self.legs.try_remove(index) else { return };
        self.by_serial.remove(&leg.id.serial);
        self.turns[index] = None;
        let Self { events, counters, .. } = self;
        leg.recall(&mut Surroundings { now, counters, events });
        if let Some(mate) = leg.mate().and_then(|mate| self.legs.get_mut(mate)) {
            mate.set_mate(None);
        }
        let Self { io, events, counters, .. } = self;
        let mut around = Surroundings { now, counters, events };
        let last = || leg.close(&mut **io, &mut around);
        // A leg that fails even at its end leaves figures of zero.
        let statistics = catch_unwind(AssertUnwindSafe(last)).unwrap_or_default();
        counters.legs_closed += 1;
        let ports = leg.ports;
        if ports.rtp != Ports::NONE.rtp {
            io.close_port(ports.rtp);
            io.close_port(ports.rtcp);
            self.own(ports.rtp, None);
            self.own(ports.rtcp, None);
        }
        self.events.push(leg.id, MediaEventKind::Closed(statistics), &mut self.counters);
        self.link.legs.fetch_sub(1, Ordering::AcqRel);
        // Freed on the thread that opens the next leg; here only when nobody does.
        drop(self.link.released.push(leg));
    }

    fn publish(&mut self) {
        let io = self.io.counts();
        self.counters.dropped_oversized = io.oversized;
        self.counters.send_failed = io.send_failed;
        self.counters.receive_failed = io.receive_failed;
        self.counters.received_fast = io.received_fast;
        self.counters.sent_fast = io.sent_fast;
        self.link.board.publish(&self.counters, self.load.reading());
    }
}

#[cfg(test)]
mod tests;
