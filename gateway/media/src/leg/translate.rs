//! Packets of one leg of a pair out of the other in another codec.
//!
//! G.711 in its other law goes the way of the relay, its octets changed where they lie; everything
//! else goes through the leg's transcoder and leaves in its next tick.

use std::time::Instant;

use trunkline_dsp::g711::Law;
use trunkline_rtp::packet::HEADER_OCTETS;

use super::outgoing::Outgoing;
use super::relay::{Pair, Passed};
use super::{Channel, Joint, Leg, Surroundings};
use crate::format::Format;
use crate::packet_io::{Datagram, PacketIo};
use crate::spec::{Payload, Sending};
use crate::transcode::{Arrived, Departing, Kind, Newest, Transcoder};

/// What shall become of a leg's transcoder.
#[derive(Debug, Default)]
pub(crate) enum Translation {
    /// It stays as it is.
    #[default]
    Same,
    /// Another takes its place, or none.
    Other(Option<Box<Transcoder>>),
}

/// How a payload passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As it is.
    Untouched,
    /// Its octets in the other law.
    Law(Law, Law),
    /// Through the transcoder.
    Transcoder,
}

impl Pair {
    /// How a payload passes to a side that is sent this; none if it cannot.
    pub(super) fn way(&self, payload: Payload, sending: &Sending) -> Option<Way> {
        let transcoder = self.transcoder.as_deref();
        let codec = match payload {
            Payload::Audio(codec) => codec,
            Payload::TelephoneEvent { .. } | Payload::ComfortNoise => {
                // With the speech beside it.
                let is_transcoded = transcoder.is_some_and(Transcoder::is_active);
                let is_in_clock = match payload {
                    Payload::TelephoneEvent { clock_hz } => {
                        clock_hz == sending.codec.rtp_clock_hz()
                    }
                    _ => true,
                };
                return match (is_transcoded, is_in_clock, transcoder) {
                    (false, true, _) => Some(Way::Untouched),
                    (true, ..) | (false, false, Some(_)) => Some(Way::Transcoder),
                    (false, false, None) => None,
                };
            }
        };
        if codec.same_encoding(&sending.codec) {
            return Some(Way::Untouched);
        }
        if transcoder.is_some_and(|transcoder| transcoder.takes(codec)) {
            return Some(Way::Transcoder);
        }
        match (Format::of(codec), Format::of(sending.codec)) {
            (Format::G711(from), Format::G711(to)) => Some(Way::Law(from, to)),
            _ => None,
        }
    }

    /// The transcoder is told of a packet that goes another way, or nowhere.
    pub(super) fn pass_by(&mut self, outgoing: &Outgoing, passed: &Passed, is_heard: bool) {
        let Some(transcoder) = self.transcoder.as_deref_mut().filter(|it| it.is_active()) else {
            return;
        };
        let Passed { header, restarted, .. } = *passed;
        if is_heard {
            let offset = transcoder.timestamp_offset(header.ssrc);
            transcoder.leave();
            if let Some(offset) = offset {
                self.take_over(outgoing, &header, offset);
            }
        } else {
            let nothing =
                Arrived { header, payload: None, octets: &[], restarted, timestamp_offset: None };
            // Without room for it it is taken for lost.
            transcoder.arrived(nothing);
        }
    }
}

impl Leg {
    /// Whether it has to look in each tick at what has come for it.
    pub(crate) fn translates(&self) -> bool {
        matches!(&self.joint, Joint::Pair(Pair { transcoder: Some(_), .. }))
    }

    /// What becomes of the transcoder of what is sent.
    pub(crate) fn translate(&mut self, translation: Translation) {
        let (Joint::Pair(pair), Translation::Other(next)) = (&mut self.joint, translation) else {
            return;
        };
        let before = std::mem::replace(&mut pair.transcoder, next);
        if let (Some(next), Some(before)) = (&mut pair.transcoder, before) {
            next.succeed(*before);
        }
    }

    /// Takes in what has to go through the transcoder.
    pub(super) fn take_in(
        &mut self,
        passed: &Passed,
        datagram: &Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) {
        let Joint::Pair(pair) = &mut self.joint else { return };
        // What was relayed until now goes on in its time.
        let offset = pair.numbering().filter(|(ssrc, ..)| *ssrc == passed.header.ssrc);
        pair.forget_anchor();
        let Some(transcoder) = &mut pair.transcoder else { return };
        let octets = datagram.get(passed.payload_at..passed.payload_at + passed.payload_octets);
        let is_taken = transcoder.arrived(Arrived {
            header: passed.header,
            payload: Some(passed.payload),
            octets: octets.unwrap_or_default(),
            restarted: passed.restarted,
            timestamp_offset: offset.map(|(_, _, timestamp_offset)| timestamp_offset),
        });
        if !is_taken {
            around.counters.dropped_overrun += 1;
        }
    }

    /// Sends what has gone through the transcoder.
    pub(super) fn send_transcoded(&mut self, io: &mut dyn PacketIo, around: &mut Surroundings<'_>) {
        let destination = self.destination();
        let noise = self.incoming.comfort_noise();
        let Joint::Pair(pair) = &mut self.joint else { return };
        let Some(transcoder) = &mut pair.transcoder else { return };
        let (outgoing, srtp, port) = (&mut self.outgoing, &mut self.srtp, self.ports.rtp);
        let counters = &mut *around.counters;
        let newest = Newest {
            timestamp: outgoing.timestamp,
            at: outgoing.has_sent().then_some(pair.newest_at),
        };
        let sending = outgoing.sending;
        let mut sent_at: Option<Instant> = None;
        let mut send = |departing: Departing<'_>| {
            let Departing { kind, timestamp, marker, packet, payload_octets } = departing;
            let payload_type = match kind {
                Kind::Speech => Some(sending.payload_type),
                Kind::Event => sending.telephone_event,
                Kind::ComfortNoise => noise,
            };
            let (Some(to), Some(payload_type)) = (destination, payload_type) else {
                match destination {
                    Some(_) => counters.dropped_untranslated += 1,
                    None => counters.dropped_nowhere += 1,
                }
                return;
            };
            let is_speech = kind == Kind::Speech;
            let begins = is_speech && std::mem::take(&mut outgoing.marker);
            let sequence = outgoing.sequence;
            let header = outgoing.header(marker || begins, payload_type, sequence, timestamp);
            packet[..HEADER_OCTETS].copy_from_slice(&header.to_bytes());
            outgoing.sequence = sequence.next();
            if is_speech {
                outgoing.timestamp = timestamp;
                sent_at = Some(around.now);
            }
            let octets = HEADER_OCTETS + payload_octets;
            let Some(octets) = srtp.protect(Channel::Rtp, packet, octets, counters) else { return };
            outgoing.packet_sent(payload_octets);
            counters.packets_sent += 1;
            counters.octets_sent += payload_octets as u64;
            io.send(port, to, &packet[..octets]);
        };
        let outcome = transcoder.work(sending.ptime_ms, newest, around.now, &mut send);
        pair.newest_at = sent_at.unwrap_or(pair.newest_at);
        let counters = &mut *around.counters;
        counters.dropped_late += outcome.late;
        counters.dropped_untranslated += outcome.untranslated;
        counters.dropped_malformed += outcome.broken;
        counters.concealed_samples += outcome.concealed_samples;
        self.malformed += outcome.broken;
    }
}
