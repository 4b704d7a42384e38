//! RTCP: our reports out, theirs in (RFC 3550 §6).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_rtp::packet::Timestamp;
use trunkline_rtp::rtcp::{
    Compound, ExtendedBlock, Report, ReportBlock, RtcpPacket, VoipMetrics, write_report,
};
use trunkline_rtp::srtp::MAXIMUM_OVERHEAD_OCTETS;
use trunkline_rtp::transmission::round_trip;

use super::{Channel, Joint, Leg, Surroundings, ntp_now};
use crate::event::MediaEventKind;
use crate::packet_io::{Datagram, PacketIo};

/// Room for SR, one block, SDES with the longest name, XR with VoIP metrics, BYE.
const COMPOUND_MAX: usize = 8 + 20 + 24 + 4 + 264 + 44 + 8;

/// What a leg reports and is told.
#[derive(Debug)]
pub(super) struct Reports {
    cname: String,
    interval: Duration,
    due: Instant,
    /// State of the generator that spreads the reports of many legs.
    spread: u32,
    /// Packets sent when the last report went out.
    sent_before: u64,
    sent: u64,
    received: u64,
    remote: Option<ReportBlock>,
    remote_voice: Option<VoipMetrics>,
    remote_clock_hz: u32,
    round_trip: Option<Duration>,
}

impl Reports {
    pub(super) fn new(ssrc: u32, cname: &str, interval: Duration, now: Instant) -> Self {
        let mut reports = Self {
            cname: cname.to_owned(),
            interval,
            due: now,
            spread: ssrc | 1,
            sent_before: 0,
            sent: 0,
            received: 0,
            remote: None,
            remote_voice: None,
            remote_clock_hz: 8000,
            round_trip: None,
        };
        // RFC 3550 §6.2: the first after half the interval.
        reports.schedule(now, interval / 2);
        reports
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Another stream of ours has taken the place of the one before.
    pub(super) fn stream_began(&mut self) {
        self.sent_before = 0;
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn remote_loss(&self) -> Option<f64> {
        self.remote.map(|block| f64::from(block.fraction_lost) / 256.0)
    }

    pub(super) fn remote_jitter_us(&self) -> Option<u32> {
        let micros = |block: ReportBlock| {
            u64::from(block.jitter) * 1_000_000 / u64::from(self.remote_clock_hz)
        };
        self.remote.map(|block| u32::try_from(micros(block)).unwrap_or(u32::MAX))
    }

    pub(super) fn round_trip_us(&self) -> Option<u32> {
        self.round_trip.map(|trip| u32::try_from(trip.as_micros()).unwrap_or(u32::MAX))
    }

    /// The same in ms; as the far end has told if there was nothing to measure it by.
    pub(super) fn round_trip_ms(&self) -> Option<f64> {
        let measured = self.round_trip.map(|trip| trip.as_secs_f64() * 1_000.0);
        let told = self.remote_voice.map(|voice| f64::from(voice.round_trip_ms));
        measured.or(told.filter(|ms| *ms > 0.0))
    }

    /// What the far end says of the voice that we send.
    pub(super) fn remote_voice(&self) -> Option<VoipMetrics> {
        self.remote_voice
    }

    /// RFC 3550 §6.3.1: between half and one and a half times the interval.
    fn schedule(&mut self, now: Instant, interval: Duration) {
        self.spread = self.spread.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.due = now + interval / 2 + interval * (self.spread >> 24) / 256;
    }
}

impl Leg {
    pub(super) fn send_report(
        &mut self,
        io: &mut dyn PacketIo,
        around: &mut Surroundings<'_>,
        bye: bool,
    ) {
        let interval = self.reports.interval;
        self.reports.schedule(around.now, interval);
        let (Some(remote), Some(source)) = (self.remote, &self.source) else { return };
        let transmission = *self.outgoing.transmission();
        let speaks = transmission.packets() > self.reports.sent_before;
        let sender = speaks.then(|| transmission.report(ntp_now(), self.timestamp_at(around.now)));
        let block = self.incoming.stream().and_then(|(ssrc, heard)| heard.report(ssrc, around.now));
        // RFC 3611 §5: extended reports are for those who ask for them.
        let asked = block.filter(|_| remote.voip_metrics);
        let voip_metrics = asked.and_then(|block| self.voip_metrics(block.ssrc));
        let report = Report {
            ssrc: self.outgoing.ssrc(),
            sender,
            blocks: block.as_slice(),
            cname: &self.reports.cname,
            voip_metrics,
            bye,
        };
        let mut compound = [0; COMPOUND_MAX + MAXIMUM_OVERHEAD_OCTETS];
        // The name was checked when the leg was opened: it fits.
        let Ok(len) = write_report(&report, &mut compound) else { return };
        let to = source.rtcp_destination(remote.rtcp);
        if to.port() == 0 || to.ip().is_unspecified() {
            return;
        }
        let protected = self.srtp.protect(Channel::Rtcp, &mut compound, len, around.counters);
        let Some(len) = protected else { return };
        // RFC 5761: one port for both.
        let port = if remote.rtcp == remote.rtp { self.ports.rtp } else { self.ports.rtcp };
        io.send(port, to, &compound[..len]);
        self.reports.sent_before = transmission.packets();
        self.reports.sent += 1;
        around.counters.rtcp_sent += 1;
    }

    pub(super) fn report_arrived(
        &mut self,
        from: SocketAddr,
        datagram: &mut Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) {
        let (Some(remote), Some(source)) = (self.remote, &self.source) else {
            around.counters.dropped_source += 1;
            return;
        };
        if !source.accepts_rtcp(from, remote.rtcp) {
            around.counters.dropped_source += 1;
            return;
        }
        if self.allowances.is_spent(Channel::Rtcp, around.now) {
            around.counters.dropped_rate += 1;
            return;
        }
        if !self.unprotect(Channel::Rtcp, datagram, around) {
            return;
        }
        self.allowances.spend(Channel::Rtcp, around.now);
        let Ok(compound) = Compound::parse(datagram) else {
            self.malformed += 1;
            around.counters.dropped_malformed += 1;
            return;
        };
        self.reports.received += 1;
        around.counters.rtcp_received += 1;
        if !self.direction.send {
            // On hold without music only RTCP tells that the peer is still there.
            self.incoming.expect_from(around.now);
        }
        for packet in compound {
            match packet {
                Ok(RtcpPacket::SenderReport { ssrc, report, blocks }) => {
                    if let Some((heard, reception)) = self.incoming.stream()
                        && heard == ssrc
                    {
                        reception.sender_report_arrived(report.ntp, around.now);
                    }
                    blocks.for_each(|block| self.heard_of(&block));
                }
                Ok(RtcpPacket::ReceiverReport { blocks, .. }) => {
                    blocks.for_each(|block| self.heard_of(&block));
                }
                Ok(RtcpPacket::Bye { sources, .. }) => {
                    let heard = self.incoming.stream().map(|(ssrc, _)| ssrc);
                    if heard.is_some_and(|heard| sources.clone().any(|source| source == heard)) {
                        let kind = MediaEventKind::ByeReceived;
                        around.events.push(self.id, kind, around.counters);
                    }
                }
                Ok(RtcpPacket::ExtendedReport { blocks, .. }) => {
                    for block in blocks {
                        match block {
                            Ok(ExtendedBlock::VoipMetrics(voice)) => self.heard_of_voice(voice),
                            Ok(ExtendedBlock::Other { .. }) => {}
                            Err(_) => {
                                self.malformed += 1;
                                around.counters.dropped_malformed += 1;
                            }
                        }
                    }
                }
                Ok(RtcpPacket::SourceDescription(_) | RtcpPacket::Other { .. }) => {}
                Err(_) => {
                    self.malformed += 1;
                    around.counters.dropped_malformed += 1;
                }
            }
        }
    }

    /// The timestamp that a packet sampled now would carry.
    fn timestamp_at(&self, now: Instant) -> Timestamp {
        match &self.joint {
            Joint::Timeslot(_) => self.outgoing.timestamp,
            Joint::Pair(pair) => pair.timestamp_at(&self.outgoing, now),
        }
    }

    /// What the other side says of our voice.
    fn heard_of_voice(&mut self, voice: VoipMetrics) {
        if voice.ssrc == self.outgoing.ssrc() {
            self.reports.remote_voice = Some(voice);
        }
    }

    /// What the other side says of our packets.
    fn heard_of(&mut self, block: &ReportBlock) {
        if block.ssrc == self.outgoing.ssrc() {
            self.reports.remote = Some(*block);
            match &mut self.joint {
                Joint::Timeslot(line) => line.voice.expect_loss(block.fraction_lost),
                Joint::Pair(pair) => {
                    if let Some(transcoder) = &mut pair.transcoder {
                        transcoder.expect_loss(block.fraction_lost);
                    }
                }
            }
            self.reports.remote_clock_hz = self.outgoing.clock_hz();
            if let Some(trip) = round_trip(block, ntp_now()) {
                self.reports.round_trip = Some(trip);
            }
        }
    }
}
