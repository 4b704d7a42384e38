//! One RTP leg on its worker: packets in, packets out, reports, digits.

mod admission;
mod allowance;
mod below;
mod from_line;
mod incoming;
mod outgoing;
mod path;
mod relay;
mod reports;
mod srtp;
mod translate;
mod turn;
mod voice;

pub use path::{BesideReceiver, BesideRtp};
pub(crate) use path::{BesideSender, ring as beside_rtp};
pub(crate) use relay::Passed;
pub(crate) use srtp::Readied;
pub(crate) use translate::Translation;
pub(crate) use turn::{Timetable, Turn};

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use trunkline_rtp::ntp::NtpTime;
use trunkline_rtp::source::{Latching, PayloadTypes, SourcePolicy, SourceRule};
use trunkline_rtp::telephone_event::Digit;
use trunkline_xdp::cache;

use crate::bridge::{Reading, TimeslotBridge, ToTimeslot};
use crate::coders::Coders;
use crate::config::PacketAllowance;
use crate::counters::WorkerCounters;
use crate::event::{LegId, LegStatistics, MediaEvent, MediaEventKind};
use crate::packet_io::{Datagram, PacketIo, PortIndex};
use crate::ports::Lease;
use crate::spec::{Direction, Remote, RtpLegSpec, RtpLegUpdate};
use admission::Admission;
use allowance::Allowances;
use from_line::FromLine;
use incoming::Incoming;
use outgoing::Outgoing;
use relay::Pair;
use reports::Reports;
use srtp::Srtp;

/// One party's media on a worker.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    pub(crate) ports: Ports,
    joint: Joint,
    remote: Option<Remote>,
    source: Option<SourceRule>,
    policy: SourcePolicy,
    direction: Direction,
    incoming: Incoming,
    outgoing: Outgoing,
    reports: Reports,
    srtp: Srtp,
    allowances: Allowances,
    admission: Admission,
    /// Where STUN and DTLS go; none: nothing but RTP is expected.
    beside: Option<BesideSender>,
    rtp_timeout: Duration,
    malformed: u64,
    /// Gives the ports back with the leg.
    _lease: Lease,
    #[cfg(test)]
    fault: bool,
}

/// What the media of a leg is joined with.
#[derive(Debug)]
enum Joint {
    /// A timeslot (or a sound card) on a thread and a clock of its own.
    Timeslot(Box<Line>),
    /// Another RTP leg on the same worker: packets pass through as they come.
    Pair(Pair),
}

/// A leg's side of its timeslot.
#[derive(Debug)]
struct Line {
    bridge: TimeslotBridge,
    voice: FromLine,
    /// What of the timeslot's board is in the worker's counters already.
    accounted: Reading,
    account_at: Instant,
}

/// The CNAME of a leg that panics at its first datagram.
#[cfg(test)]
pub(crate) const FAULTY: &str = "faulty";

/// The leg's ports at the back end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) rtp: PortIndex,
    pub(crate) rtcp: PortIndex,
}

impl Ports {
    /// Before the worker has opened them.
    pub(crate) const NONE: Self = Self { rtp: PortIndex(u32::MAX), rtcp: PortIndex(u32::MAX) };
}

/// Which of a leg's ports a datagram came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Rtp,
    Rtcp,
}

/// What a leg needs of its worker while it works.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Instant,
    pub(crate) counters: &'a mut WorkerCounters,
    pub(crate) events: &'a mut Events,
}

/// What does not change over a leg's life and is not in its description.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LegSettings {
    pub(crate) policy: SourcePolicy,
    pub(crate) allowance: Option<PacketAllowance>,
    pub(crate) rtp_timeout: Duration,
    pub(crate) rtcp_interval: Duration,
}

/// Seconds between two looks at what the timeslot has done.
const ACCOUNT_EVERY: Duration = Duration::from_secs(1);

impl Leg {
    /// A leg joined with a timeslot.
    pub(crate) fn new(
        id: LegId,
        spec: &RtpLegSpec,
        coders: Coders,
        settings: LegSettings,
        bridge: TimeslotBridge,
        lease: Lease,
        now: Instant,
    ) -> Self {
        let line = Line {
            bridge,
            voice: FromLine::new(spec, coders.encoder),
            accounted: Reading::default(),
            account_at: now + ACCOUNT_EVERY,
        };
        let joint = Joint::Timeslot(Box::new(line));
        let mut leg = Self::with_joint(id, spec, settings, joint, lease, now);
        if let Some(decoders) = coders.decoders {
            leg.tell_timeslot(ToTimeslot::Decoders(decoders));
        }
        leg
    }

    /// A leg of a pair; it passes nothing on before the worker has told it of the other.
    pub(crate) fn paired(
        id: LegId,
        spec: &RtpLegSpec,
        settings: LegSettings,
        lease: Lease,
        now: Instant,
    ) -> Self {
        Self::with_joint(id, spec, settings, Joint::Pair(Pair::new(now)), lease, now)
    }

    fn with_joint(
        id: LegId,
        spec: &RtpLegSpec,
        settings: LegSettings,
        joint: Joint,
        lease: Lease,
        now: Instant,
    ) -> Self {
        let incoming = Incoming::new(&spec.receiving);
        let outgoing = Outgoing::new(spec.sending);
        let source = spec.remote.map(|remote| {
            let expected = incoming.payload_types();
            SourceRule::new(settings.policy, remote.rtp, remote.signalling_from, expected, now)
        });
        Self {
            id,
            ports: Ports::NONE,
            joint,
            remote: spec.remote,
            source,
            policy: settings.policy,
            direction: Direction::default(),
            reports: Reports::new(outgoing.ssrc(), &spec.cname, settings.rtcp_interval, now),
            incoming,
            outgoing,
            srtp: Srtp::default(),
            allowances: Allowances::new(settings.allowance, spec.sending.ptime_ms, now),
            rtp_timeout: settings.rtp_timeout,
            admission: Admission::default(),
            beside: None,
            malformed: 0,
            _lease: lease,
            #[cfg(test)]
            fault: spec.cname == FAULTY,
        }
    }

    /// STUN and DTLS come by the RTP port, too, and go out by `beside`. They say whose packets to
    /// believe, so that no other source is latched.
    pub(crate) fn expect_beside(&mut self, beside: BesideSender) {
        self.beside = Some(beside);
        self.policy.latching = Latching::Never;
    }

    /// Fetches into the cache what a packet that comes to this leg needs.
    pub(crate) fn prefetch(&self) {
        cache::prefetch_value(self);
    }

    /// The same for a packet that leaves by this leg of a pair.
    pub(crate) fn prefetch_sending(&self) {
        cache::prefetch_value(&self.joint);
        cache::prefetch_value(&self.outgoing);
        cache::prefetch_value(&self.source);
        cache::prefetch_value(&self.srtp);
        cache::prefetch_value(&self.ports);
    }

    /// Which ticks concern it, as things are.
    pub(crate) fn turn(&self) -> Turn {
        match &self.joint {
            Joint::Timeslot(_) => Turn::EachTick,
            Joint::Pair(_) if self.translates() => Turn::EachTick,
            Joint::Pair(_) if self.incoming.has_digit() => Turn::Often,
            Joint::Pair(_) => Turn::Seldom,
        }
    }

    /// A datagram has come; what it gives the other leg of a pair, if it gives anything.
    pub(crate) fn datagram(
        &mut self,
        channel: Channel,
        from: SocketAddr,
        datagram: &mut Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<Passed> {
        #[cfg(test)]
        assert!(!self.fault, "a fault made by a test");
        if path::is_beside_rtp(datagram) {
            self.beside_arrived(from, datagram, around);
            return None;
        }
        if channel == Channel::Rtcp || trunkline_rtp::packet::is_rtcp(datagram) {
            self.report_arrived(from, datagram, around);
            None
        } else {
            self.packet_arrived(from, datagram, around)
        }
    }

    /// The worker's tick: what the line has brought goes out, and what is due is done.
    pub(crate) fn tick(&mut self, io: &mut dyn PacketIo, around: &mut Surroundings<'_>) {
        self.admit(io, around);
        self.send_from_line(io, around);
        self.send_transcoded(io, around);
        self.look_below(around);
        self.watch_digits(around);
        self.watch_timeout(around);
        if self.reports.is_due(around.now) {
            self.count_reports_kept_out(io, around);
            self.send_report(io, around, false);
        }
        if let Joint::Timeslot(line) = &mut self.joint
            && around.now >= line.account_at
        {
            line.account_at = around.now + ACCOUNT_EVERY;
            self.incoming.stored_discarded(line.account(around.counters));
        }
    }

    pub(crate) fn update(
        &mut self,
        update: RtpLegUpdate,
        coders: Coders,
        around: &mut Surroundings<'_>,
    ) {
        self.recall(around);
        if let Some(decoders) = coders.decoders {
            self.tell_timeslot(ToTimeslot::Decoders(decoders));
        }
        if let Some(receiving) = &update.receiving {
            self.incoming.accept(receiving);
        }
        if let Some(sending) = update.sending {
            self.allowances.expect(sending.ptime_ms);
            match &mut self.joint {
                Joint::Timeslot(line) => {
                    line.voice.change(&self.outgoing.sending, &sending, coders.encoder);
                }
                Joint::Pair(pair) => pair.change(&self.outgoing.sending, &sending),
            }
            self.outgoing.change(sending);
        }
        if let Some(remote) = update.remote {
            self.remote = Some(remote);
        }
        if let Some(remote) = self.remote {
            self.signalled(remote, self.incoming.payload_types(), around.now);
        }
        if let Some(direction) = update.direction {
            if direction.receive && !self.direction.receive {
                self.incoming.expect_from(around.now);
            }
            self.direction = direction;
            self.tell_timeslot(ToTimeslot::Hold(!direction.receive));
        }
    }

    /// Sends a digit to the RTP side; false when too many wait already, or on a leg of a pair.
    pub(crate) fn send_digit(&mut self, digit: Digit, duration_ms: u32) -> bool {
        let Joint::Timeslot(line) = &mut self.joint else { return false };
        line.voice.send_digit(&self.outgoing.sending, digit, duration_ms)
    }

    /// The end: says goodbye and sums up.
    pub(crate) fn close(
        &mut self,
        io: &mut dyn PacketIo,
        around: &mut Surroundings<'_>,
    ) -> Box<LegStatistics> {
        self.admit(io, around);
        self.count_reports_kept_out(io, around);
        // RFC 3550 §6.3.7: a participant that never sent a packet must not send a BYE.
        if self.outgoing.has_sent() || self.reports.sent() > 0 {
            self.send_report(io, around, true);
        }
        if let Joint::Timeslot(line) = &mut self.joint {
            self.incoming.stored_discarded(line.account(around.counters));
        }
        Box::new(self.statistics())
    }

    pub(crate) fn statistics(&self) -> LegStatistics {
        let (reading, buffer) = match &self.joint {
            Joint::Timeslot(line) => (line.bridge.board.read(), line.bridge.counts()),
            Joint::Pair(_) => Default::default(),
        };
        LegStatistics {
            packets_received: self.incoming.packets(),
            octets_received: self.incoming.octets(),
            packets_sent: self.outgoing.packets(),
            octets_sent: self.outgoing.octets(),
            reception: self.incoming.reception(),
            source: self.source.as_ref().map(SourceRule::counters).unwrap_or_default(),
            malformed: self.malformed,
            over_rate: self.allowances.over(),
            srtp: self.srtp.figures(),
            late: buffer.late,
            overwritten: buffer.overwritten,
            playout: reading.figures(),
            remote_loss: self.reports.remote_loss(),
            remote_jitter_us: self.reports.remote_jitter_us(),
            round_trip_us: self.reports.round_trip_us(),
            losses: self.incoming.losses().figures(),
            packet_ms: self.incoming.packet_ms(),
            quality: self.quality(),
            remote_voice: self.reports.remote_voice(),
            line_overflow_samples: reading.overflow,
            rtcp_received: self.reports.received(),
            rtcp_sent: self.reports.sent(),
        }
    }

    fn signalled(&mut self, remote: Remote, expected: PayloadTypes, now: Instant) {
        match &mut self.source {
            Some(source) => source.signalled(remote.rtp, expected, now),
            None => {
                self.source = Some(SourceRule::new(
                    self.policy,
                    remote.rtp,
                    remote.signalling_from,
                    expected,
                    now,
                ));
            }
        }
    }

    /// A full queue costs a message: the timeslot is not being served.
    fn tell_timeslot(&mut self, message: ToTimeslot) {
        if let Joint::Timeslot(line) = &mut self.joint {
            let _ = line.bridge.messages.push(message);
        }
    }

    fn watch_timeout(&mut self, around: &mut Surroundings<'_>) {
        if self.remote.is_some()
            && self.direction.receive
            && !self.rtp_timeout.is_zero()
            && self.incoming.is_silent(around.now, self.rtp_timeout)
        {
            around.events.push(self.id, MediaEventKind::RtpTimeout, around.counters);
            self.recall_what_comes(around);
        }
    }

    /// Where packets go, if the other side wants any.
    fn destination(&self) -> Option<SocketAddr> {
        self.source
            .as_ref()
            .filter(|_| self.direction.send)
            .map(|source| source.destination())
            // Port 0 and the unspecified address: the other side wants no packets.
            .filter(|to| to.port() != 0 && !to.ip().is_unspecified())
    }
}

impl Line {
    /// Brings what the timeslot and the jitter buffer have counted into the worker's counters; gives
    /// the packets that the playout has dropped.
    fn account(&mut self, counters: &mut WorkerCounters) -> u64 {
        let (now, before) = (self.bridge.board.read(), self.accounted);
        counters.concealed_samples += now.playout.concealed - before.playout.concealed;
        counters.lengthened_samples += now.playout.lengthened - before.playout.lengthened;
        counters.shortened_samples += now.playout.shortened - before.playout.shortened;
        let discarded = now.playout.discarded - before.playout.discarded;
        counters.playout_discarded += discarded;
        counters.line_overflow_samples += now.overflow - before.overflow;
        self.accounted = now;
        discarded
    }
}

/// The present for RTCP.
fn ntp_now() -> NtpTime {
    NtpTime::from_system_time(SystemTime::now())
}

/// The way of events out of a worker.
#[derive(Debug)]
pub(crate) struct Events {
    sender: mpsc::Sender<MediaEvent>,
    /// Last words of legs, which must not be lost.
    waiting: VecDeque<MediaEvent>,
}

impl Events {
    pub(crate) fn new(sender: mpsc::Sender<MediaEvent>, legs_max: usize) -> Self {
        Self { sender, waiting: VecDeque::with_capacity(legs_max) }
    }

    /// Reports; an event that finds no room is lost and counted, the last one of a leg waits.
    pub(crate) fn push(&mut self, leg: LegId, kind: MediaEventKind, counters: &mut WorkerCounters) {
        let last = matches!(kind, MediaEventKind::Closed(_));
        match self.sender.try_send(MediaEvent { leg, kind }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(event)) if last => self.waiting.push_back(event),
            Err(_) => counters.events_lost += 1,
        }
    }

    /// Tries what is waiting again.
    pub(crate) fn retry(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.sender.try_send(event) {
                self.waiting.push_front(event);
                return;
            }
        }
    }

    /// How many last words nobody has fetched yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests;
