//! Packets from the RTP side: judged, counted, and put into the jitter buffer or passed on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_rtp::codec::Codec;
use trunkline_rtp::jitter::Insertion;
use trunkline_rtp::packet::{RtpPacket, SequenceNumber};
use trunkline_rtp::playout::Timeline;
use trunkline_rtp::reception::{Arrival, Reception, ReceptionStatistics};
use trunkline_rtp::source::{PayloadTypes, Refusal, Verdict};
use trunkline_rtp::telephone_event::{DigitEvent, DigitReceiver, EVENT_OCTETS};
use trunkline_rtp::voip_metrics::LossPattern;

use super::{Channel, Joint, Leg, Passed, Surroundings};
use crate::bridge::ToTimeslot;
use crate::event::MediaEventKind;
use crate::format::Format;
use crate::packet_io::Datagram;
use crate::spec::{Payload, PayloadFormat};

/// Ticks of a 48 kHz RTP clock (Opus) a sample of 8 kHz.
const OPUS_TICKS: u32 = 6;

/// The receiving side of a leg.
#[derive(Debug)]
pub(super) struct Incoming {
    formats: Vec<PayloadFormat>,
    stream: Option<Stream>,
    timeline: Timeline,
    ticks_per_sample: u32,
    digits: DigitReceiver,
    /// Figures of the streams before the present one.
    past: ReceptionStatistics,
    losses: LossPattern,
    /// The voice that came last.
    heard: Option<Heard>,
    packets: u64,
    octets: u64,
    /// The last packet, or since when one was to be expected.
    silent_since: Option<Instant>,
    timed_out: bool,
}

/// The SSRC that is heard at present.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    reception: Reception,
}

/// A packet of voice.
#[derive(Debug, Clone, Copy)]
struct Heard {
    codec: Codec,
    samples: u16,
}

impl Incoming {
    pub(super) fn new(receiving: &[PayloadFormat]) -> Self {
        let ticks_per_sample = ticks_of(receiving);
        Self {
            formats: receiving.to_vec(),
            stream: None,
            timeline: Timeline::new(ticks_per_sample),
            ticks_per_sample,
            digits: DigitReceiver::new(event_clock_hz(receiving)),
            past: ReceptionStatistics::default(),
            losses: LossPattern::default(),
            heard: None,
            packets: 0,
            octets: 0,
            silent_since: None,
            timed_out: false,
        }
    }

    pub(super) fn accept(&mut self, receiving: &[PayloadFormat]) {
        if event_clock_hz(receiving) != event_clock_hz(&self.formats) {
            self.digits = DigitReceiver::new(event_clock_hz(receiving));
        }
        self.formats.clear();
        self.formats.extend_from_slice(receiving);
    }

    pub(super) fn payload_types(&self) -> PayloadTypes {
        self.formats.iter().map(|format| format.payload_type).collect()
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// SSRC and bookkeeping of the present stream.
    pub(super) fn stream(&mut self) -> Option<(u32, &mut Reception)> {
        self.stream.as_mut().map(|stream| (stream.ssrc, &mut stream.reception))
    }

    /// The figures of all streams so far.
    pub(super) fn reception(&self) -> ReceptionStatistics {
        let present =
            self.stream.as_ref().map(|stream| stream.reception.statistics()).unwrap_or_default();
        sum(self.past, present)
    }

    /// Which packets were lost or not played.
    pub(super) fn losses(&self) -> &LossPattern {
        &self.losses
    }

    /// The codec of the voice that came last.
    pub(super) fn heard_codec(&self) -> Option<Codec> {
        self.heard.map(|heard| heard.codec)
    }

    /// How long a packet of that voice plays, ms.
    pub(super) fn packet_ms(&self) -> f64 {
        self.heard.map_or(0.0, |heard| f64::from(heard.samples) / 8.0)
    }

    /// The playout has dropped so many packets that were stored for it.
    pub(super) fn stored_discarded(&mut self, packets: u64) {
        self.losses.stored_discarded(packets);
    }

    /// Whether nothing was heard for another `limit`: true once each time.
    pub(super) fn is_silent(&mut self, now: Instant, limit: Duration) -> bool {
        let since = *self.silent_since.get_or_insert(now);
        if now.saturating_duration_since(since) < limit {
            return false;
        }
        self.silent_since = Some(now);
        self.timed_out = true;
        true
    }

    /// Silence counts from now: packets were not to be expected before.
    pub(super) fn expect_from(&mut self, now: Instant) {
        self.silent_since = Some(now);
    }

    /// Packets of the present stream have arrived below, the newest under this number.
    pub(super) fn arrived_below(
        &mut self,
        packets: u64,
        octets: u64,
        newest: SequenceNumber,
        now: Instant,
    ) {
        if let Some(stream) = &mut self.stream {
            let few = u32::try_from(packets).unwrap_or(u32::MAX);
            let arrival = stream.reception.packets_arrived_unseen(few, newest);
            self.losses.packets_arrived_unseen(few, arrival);
        }
        self.packets += packets;
        self.octets += octets;
        self.silent_since = Some(now);
    }

    /// Whether a digit is being pressed.
    pub(super) fn has_digit(&self) -> bool {
        self.digits.next_deadline().is_some()
    }

    /// The payload type by which a codec comes, if this is the present stream.
    pub(super) fn payload_type_of(&self, codec: Codec, ssrc: u32) -> Option<u8> {
        self.stream.as_ref().filter(|stream| stream.ssrc == ssrc)?;
        let format = self.formats.iter().find(|format| match format.payload {
            Payload::Audio(audio) => audio.same_encoding(&codec),
            _ => false,
        });
        format.map(|format| format.payload_type)
    }

    /// The payload type of comfort noise, if it was agreed on.
    pub(super) fn comfort_noise(&self) -> Option<u8> {
        let noise = self.formats.iter().find(|f| f.payload == Payload::ComfortNoise);
        noise.map(|format| format.payload_type)
    }

    fn payload(&self, payload_type: u8) -> Option<Payload> {
        self.formats.iter().find(|f| f.payload_type == payload_type).map(|f| f.payload)
    }

    /// The bookkeeping of this SSRC; another one than before begins anew.
    fn reception_of(&mut self, ssrc: u32, clock_hz: u32) -> &mut Reception {
        if self.stream.as_ref().is_some_and(|stream| stream.ssrc != ssrc) {
            self.past = self.reception();
            self.losses.source_changed();
            self.stream = None;
            self.digits.source_changed();
        }
        // The source rule has vetted the sender: no packets are spent on probation.
        let stream = self
            .stream
            .get_or_insert_with(|| Stream { ssrc, reception: Reception::new(clock_hz, 1) });
        &mut stream.reception
    }

    fn keep_clock(&mut self, ticks_per_sample: u32) {
        if ticks_per_sample != self.ticks_per_sample {
            self.ticks_per_sample = ticks_per_sample;
            self.timeline.change_rate(ticks_per_sample);
        }
    }
}

impl Leg {
    pub(super) fn packet_arrived(
        &mut self,
        from: SocketAddr,
        datagram: &mut Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<Passed> {
        let Some(source) = &mut self.source else {
            // Nobody has said yet whose packets these may be.
            around.counters.dropped_source += 1;
            return None;
        };
        // A flood is to cost as little as it can: before anything of the packet is looked at.
        if source.is_hopeless(from, around.now) {
            around.counters.dropped_source += 1;
            return None;
        }
        if self.allowances.is_spent(Channel::Rtp, around.now) {
            around.counters.dropped_rate += 1;
            return None;
        }
        // What is not authentic changes nothing: neither the source nor the timeout, nor does it use
        // up the source's allowance.
        if !self.unprotect(Channel::Rtp, datagram, around) {
            return None;
        }
        let Ok(packet) = RtpPacket::parse(datagram) else {
            self.malformed += 1;
            around.counters.dropped_malformed += 1;
            return None;
        };
        let source = self.source.as_mut()?;
        match source.judge(from, &packet, around.now) {
            Verdict::Accept => {}
            Verdict::AcceptMoved => {
                self.recall(around);
                let kind = MediaEventKind::SourceMoved { to: from };
                around.events.push(self.id, kind, around.counters);
            }
            Verdict::Refuse(Refusal::PayloadType) => {
                around.counters.dropped_payload_type += 1;
                return None;
            }
            Verdict::Refuse(Refusal::Stranger | Refusal::Probation) => {
                around.counters.dropped_source += 1;
                return None;
            }
        }
        self.allowances.spend(Channel::Rtp, around.now);
        self.accepted(&packet, around)
    }

    fn accepted(
        &mut self,
        packet: &RtpPacket<'_>,
        around: &mut Surroundings<'_>,
    ) -> Option<Passed> {
        let header = packet.header;
        let Some(payload) = self.incoming.payload(header.payload_type) else {
            around.counters.dropped_payload_type += 1;
            return None;
        };
        if self.incoming.timed_out {
            self.incoming.timed_out = false;
            around.events.push(self.id, MediaEventKind::RtpResumed, around.counters);
        }
        self.incoming.silent_since = Some(around.now);
        self.met_above(payload, header.ssrc, around);
        let (clock_hz, sampled_at) = match payload {
            Payload::Audio(codec) => (codec.rtp_clock_hz(), Some(header.timestamp)),
            Payload::ComfortNoise => (8000, Some(header.timestamp)),
            // The timestamp is that of the event's beginning.
            Payload::TelephoneEvent { clock_hz } => (clock_hz, None),
        };
        let reception = self.incoming.reception_of(header.ssrc, clock_hz);
        let arrival = reception.packet_arrived(header.sequence, sampled_at, around.now);
        self.incoming.losses.packet_arrived(arrival);
        match arrival {
            Arrival::InOrder { .. } | Arrival::Reordered { .. } | Arrival::Restarted { .. } => {}
            Arrival::Duplicate => {
                around.counters.dropped_duplicate += 1;
                return None;
            }
            Arrival::Probation | Arrival::Jump => {
                around.counters.dropped_jump += 1;
                return None;
            }
        }
        self.incoming.packets += 1;
        self.incoming.octets += packet.payload.len() as u64;
        around.counters.packets_received += 1;
        around.counters.octets_received += packet.payload.len() as u64;
        if let Joint::Pair(pair) = &mut self.joint {
            let mate = pair.mate();
            let is_plain = packet.csrc.is_empty() && packet.extension.is_none();
            pair.heard(is_plain && matches!(payload, Payload::Audio(_)));
            let restarted = matches!(arrival, Arrival::Restarted { .. });
            return self.pass(packet, payload, restarted, mate, around);
        }
        match payload {
            Payload::Audio(codec) => {
                self.incoming.keep_clock(codec.rtp_clock_hz() / 8000);
                self.insert(Format::of(codec), packet, around);
                self.note_heard(codec, packet.payload);
            }
            Payload::ComfortNoise => self.insert(Format::ComfortNoise, packet, around),
            Payload::TelephoneEvent { .. } => {
                let digits = &mut self.incoming.digits;
                digits.packet_arrived(header.timestamp, packet.payload, around.now);
                self.drain_digits(around);
            }
        }
        None
    }

    /// Judges a payload for the other leg of the pair.
    fn pass(
        &mut self,
        packet: &RtpPacket<'_>,
        payload: Payload,
        restarted: bool,
        mate: Option<usize>,
        around: &mut Surroundings<'_>,
    ) -> Option<Passed> {
        let header = packet.header;
        if let Payload::Audio(codec) = payload {
            self.note_heard(codec, packet.payload);
        }
        let is_whole = match payload {
            Payload::Audio(codec) => Format::of(codec).samples(packet.payload).is_some(),
            Payload::ComfortNoise => Format::ComfortNoise.samples(packet.payload).is_some(),
            Payload::TelephoneEvent { .. } => packet.payload.len() >= EVENT_OCTETS,
        };
        if !is_whole {
            self.malformed += 1;
            around.counters.dropped_malformed += 1;
            return None;
        }
        if let Payload::TelephoneEvent { .. } = payload {
            let digits = &mut self.incoming.digits;
            digits.packet_arrived(header.timestamp, packet.payload, around.now);
            self.drain_digits(around);
        }
        let Some(mate) = mate else {
            around.counters.dropped_nowhere += 1;
            return None;
        };
        Some(Passed {
            mate,
            header,
            payload,
            payload_at: packet.payload_at(),
            payload_octets: packet.payload.len(),
            restarted,
            on_hold: !self.direction.receive,
        })
    }

    fn note_heard(&mut self, codec: Codec, payload: &[u8]) {
        if let Some(samples) = Format::of(codec).samples(payload) {
            self.incoming.heard = Some(Heard { codec, samples });
        }
    }

    fn insert(&mut self, format: Format, packet: &RtpPacket<'_>, around: &mut Surroundings<'_>) {
        if !self.direction.receive {
            around.counters.dropped_on_hold += 1;
            return;
        }
        let Some(samples) = format.samples(packet.payload) else {
            self.malformed += 1;
            around.counters.dropped_malformed += 1;
            return;
        };
        let Joint::Timeslot(line) = &mut self.joint else { return };
        let bridge = &mut line.bridge;
        let before = bridge.counts().overwritten;
        let insertion = bridge.insert(&mut self.incoming.timeline, format, samples, packet);
        let overwritten = bridge.counts().overwritten - before;
        around.counters.dropped_overwritten += overwritten;
        if matches!(insertion, Insertion::Late | Insertion::TooLong) {
            self.incoming.losses.last_discarded();
        }
        self.incoming.losses.stored_discarded(overwritten);
        match insertion {
            Insertion::Stored => {}
            Insertion::Duplicate => around.counters.dropped_duplicate += 1,
            Insertion::Late => around.counters.dropped_late += 1,
            Insertion::TooLong => around.counters.dropped_too_long += 1,
        }
    }

    /// Ends digits whose last packets were lost.
    pub(super) fn watch_digits(&mut self, around: &mut Surroundings<'_>) {
        if self.incoming.digits.next_deadline().is_some_and(|due| due <= around.now) {
            self.incoming.digits.timeout(around.now);
            self.drain_digits(around);
        }
    }

    fn drain_digits(&mut self, around: &mut Surroundings<'_>) {
        while let Some(event) = self.incoming.digits.poll_output() {
            match event {
                DigitEvent::Started { digit } => {
                    self.tell_timeslot(ToTimeslot::DigitStarted(digit));
                }
                DigitEvent::Ended { digit, duration_ms } => {
                    self.tell_timeslot(ToTimeslot::DigitEnded { duration_ms });
                    around.counters.digits_from_rtp += 1;
                    let kind = MediaEventKind::DigitFromRtp { digit, duration_ms };
                    around.events.push(self.id, kind, around.counters);
                }
            }
        }
    }
}

/// The RTP clock of the first audio format, in ticks a sample.
fn ticks_of(receiving: &[PayloadFormat]) -> u32 {
    receiving
        .iter()
        .find_map(|format| match format.payload {
            Payload::Audio(codec) => Some(codec.rtp_clock_hz() / 8000),
            _ => None,
        })
        .unwrap_or(1)
        .clamp(1, OPUS_TICKS)
}

fn event_clock_hz(receiving: &[PayloadFormat]) -> u32 {
    receiving
        .iter()
        .find_map(|format| match format.payload {
            Payload::TelephoneEvent { clock_hz } => Some(clock_hz),
            _ => None,
        })
        .unwrap_or(8000)
}

fn sum(past: ReceptionStatistics, present: ReceptionStatistics) -> ReceptionStatistics {
    ReceptionStatistics {
        received: past.received + present.received,
        lost: past.lost + present.lost,
        duplicates: past.duplicates + present.duplicates,
        reordered: past.reordered + present.reordered,
        restarts: past.restarts + present.restarts,
        refused: past.refused + present.refused,
        jitter_us: if present.received > 0 { present.jitter_us } else { past.jitter_us },
    }
}
