//! Packets of one leg of a pair out of the other: changed in place, in the numbering of our own
//! stream.
//!
//! Towards its side each leg is one stream for the whole call: own SSRC, sequence numbers without
//! gaps but for what the network lost, timestamps that follow the sender's. Whoever speaks behind
//! the other leg is moved into that numbering by two offsets, which are found anew when the speaker
//! changes.

use std::time::Instant;

use trunkline_rtp::packet::{RtpHeader, SequenceNumber, Timestamp};

use super::below::Below;
use super::outgoing::Outgoing;
use super::translate::Way;
use super::{Channel, Joint, Leg, Surroundings};
use crate::packet_io::{Datagram, Verdict};
use crate::spec::{Payload, Sending};
use crate::transcode::{Transcoder, steps};

/// How far back a packet can be and still have a number: more than reception lets pass as
/// reordered (RFC 3550 A.1: 100).
const REORDERED_MAX: u16 = 128;

/// How far ahead a packet can be and still go on in the same numbering; reception takes it for a
/// new one from there on (RFC 3550 A.1).
const AHEAD_MAX: u16 = 3000;

/// Longest packet by which the pace of a stream is believed, in milliseconds.
const PACKET_MAX_MS: u32 = 120;

/// A packet that one leg of a pair has accepted, on its way to the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    /// The other leg's place on the worker.
    pub(crate) mate: usize,
    pub(super) header: RtpHeader,
    pub(super) payload: Payload,
    /// Where the payload lies in the datagram.
    pub(super) payload_at: usize,
    pub(super) payload_octets: usize,
    /// The sender began a new numbering under the same name.
    pub(super) restarted: bool,
    /// Its side is not to be heard now.
    pub(super) on_hold: bool,
}

/// One leg's knowledge of the other, and of what it sends in the other side's place.
#[derive(Debug)]
pub(super) struct Pair {
    mate: Option<usize>,
    anchor: Option<Anchor>,
    /// Timestamp steps between two packets of speech, once seen.
    pace: Option<u32>,
    /// When the packet came whose timestamp is the newest.
    pub(super) newest_at: Instant,
    /// What makes another codec's packets of what cannot pass as it is, if anything comes so.
    pub(super) transcoder: Option<Box<Transcoder>>,
    /// The newest packet of speech passed as it was.
    pub(super) is_untouched: bool,
    /// Packets of nothing but speech that have come to this leg in a row; from below zero after a
    /// source has sent too much.
    pub(super) steady: i16,
    /// The stream that comes to this leg, while it is relayed below.
    pub(super) comes_below: Option<Below>,
    /// The stream that leaves by this leg, while it is.
    pub(super) goes_below: Option<Below>,
}

/// How the present speaker's numbers become ours.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    ssrc: u32,
    /// Numbers before this one have no place in our numbering.
    first: SequenceNumber,
    /// The newest that was seen, and its timestamp if it was speech.
    newest: SequenceNumber,
    spoken: Option<Timestamp>,
    sequence_offset: u16,
    timestamp_offset: u32,
}

impl Pair {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            mate: None,
            anchor: None,
            pace: None,
            newest_at: now,
            transcoder: None,
            is_untouched: false,
            steady: 0,
            comes_below: None,
            goes_below: None,
        }
    }

    pub(super) fn mate(&self) -> Option<usize> {
        self.mate
    }

    /// A packet has come: of speech in its plainest form, or not.
    pub(super) fn heard(&mut self, is_plain: bool) {
        self.steady = if is_plain { self.steady.saturating_add(1) } else { self.steady.min(0) };
    }

    /// The present speaker, and what is added to his numbers and timestamps.
    pub(super) fn numbering(&self) -> Option<(u32, u16, u32)> {
        let anchor = self.anchor?;
        Some((anchor.ssrc, anchor.sequence_offset, anchor.timestamp_offset))
    }

    /// Packets of the present speaker have gone out below, the newest under these numbers.
    pub(super) fn went_below(
        &mut self,
        outgoing: &mut Outgoing,
        sequence: SequenceNumber,
        timestamp: Timestamp,
        now: Instant,
    ) {
        let Some(anchor) = &mut self.anchor else { return };
        if sequence.since(outgoing.sequence) < 0 {
            return;
        }
        anchor.newest = SequenceNumber(sequence.0.wrapping_sub(anchor.sequence_offset));
        anchor.spoken = None;
        if anchor.newest.0.wrapping_sub(anchor.first.0) > 2 * REORDERED_MAX {
            anchor.first = SequenceNumber(anchor.newest.0.wrapping_sub(REORDERED_MAX));
        }
        outgoing.sequence = sequence.next();
        outgoing.timestamp = timestamp;
        outgoing.marker = false;
        self.newest_at = now;
    }

    /// What is sent changes.
    pub(super) fn change(&mut self, before: &Sending, after: &Sending) {
        if before.codec.rtp_clock_hz() != after.codec.rtp_clock_hz() {
            // Old and new timestamps do not count the same.
            self.anchor = None;
            self.pace = None;
        }
    }

    /// The timestamp that a packet sampled at `now` would carry.
    pub(super) fn timestamp_at(&self, outgoing: &Outgoing, now: Instant) -> Timestamp {
        outgoing.timestamp.plus(steps(self.newest_at, now, outgoing.clock_hz()))
    }

    /// The present numbering, if a packet belongs to it.
    fn present(&self, passed: &Passed) -> Option<Anchor> {
        let RtpHeader { ssrc, sequence, .. } = passed.header;
        let span = -i32::from(REORDERED_MAX)..i32::from(AHEAD_MAX);
        self.anchor.filter(|anchor| {
            anchor.ssrc == ssrc
                && !passed.restarted
                && span.contains(&sequence.since(anchor.newest).into())
        })
    }

    /// The speaker goes on another way.
    pub(super) fn forget_anchor(&mut self) {
        self.anchor = None;
        self.is_untouched = false;
    }

    /// A speaker who came another way goes on here, with so much added to his timestamps.
    pub(super) fn take_over(&mut self, outgoing: &Outgoing, header: &RtpHeader, offset: u32) {
        self.anchor = Some(Anchor {
            timestamp_offset: offset,
            ..Anchor::new(outgoing, header, outgoing.timestamp)
        });
    }

    /// A packet does not go out: our numbers close up behind it, so that nobody misses it.
    fn hold_back(&mut self, outgoing: &mut Outgoing, passed: &Passed) {
        let sequence = passed.header.sequence;
        self.anchor = self.present(passed).map(|anchor| {
            if !sequence.is_after(anchor.newest) {
                return anchor;
            }
            let first = sequence.next();
            Anchor {
                first,
                newest: sequence,
                spoken: None,
                sequence_offset: outgoing.sequence.0.wrapping_sub(first.0),
                ..anchor
            }
        });
        outgoing.marker = true;
    }

    /// Our numbers for a packet; none if it is older than anything that has a number.
    fn number(
        &mut self,
        outgoing: &mut Outgoing,
        passed: &Passed,
        now: Instant,
    ) -> Option<(SequenceNumber, Timestamp)> {
        let header = passed.header;
        let mut anchor = match self.present(passed) {
            Some(anchor) => anchor,
            None => self.join(outgoing, &header, now),
        };
        if header.sequence.since(anchor.first) < 0 {
            return None;
        }
        let sequence = SequenceNumber(header.sequence.0.wrapping_add(anchor.sequence_offset));
        let timestamp = header.timestamp.plus(anchor.timestamp_offset);
        // Reordered packets have their number by the offset; only the newest move anything.
        if sequence.since(outgoing.sequence) >= 0 {
            if let Payload::Audio(codec) = passed.payload {
                let follows = header.sequence == anchor.newest.next();
                if let Some(spoken) = anchor.spoken.filter(|_| follows) {
                    let step = header.timestamp.since(spoken);
                    let longest = codec.rtp_clock_hz() / 1000 * PACKET_MAX_MS;
                    self.pace = u32::try_from(step)
                        .ok()
                        .filter(|step| (1..=longest).contains(step))
                        .or(self.pace);
                }
                anchor.spoken = Some(header.timestamp);
                outgoing.timestamp = timestamp;
                self.newest_at = now;
            } else {
                anchor.spoken = None;
            }
            anchor.newest = header.sequence;
            outgoing.sequence = sequence.next();
            if header.sequence.0.wrapping_sub(anchor.first.0) > 2 * REORDERED_MAX {
                anchor.first = SequenceNumber(header.sequence.0.wrapping_sub(REORDERED_MAX));
            }
        }
        self.anchor = Some(anchor);
        Some((sequence, timestamp))
    }

    /// Another speaker: it goes on where the one before has ended, in whole packets of its pace.
    fn join(&mut self, outgoing: &mut Outgoing, header: &RtpHeader, now: Instant) -> Anchor {
        let timestamp = if outgoing.has_sent() {
            let pace = self.pace.unwrap_or_else(|| outgoing.packet_steps()).max(1);
            let passed = steps(self.newest_at, now, outgoing.clock_hz());
            // Packets come with jitter and are looked at once a tick: the nearest whole number.
            let packets = (passed.saturating_add(pace / 2) / pace).max(1);
            outgoing.timestamp.plus(packets.wrapping_mul(pace))
        } else {
            outgoing.timestamp
        };
        outgoing.marker = true;
        outgoing.timestamp = timestamp;
        self.newest_at = now;
        Anchor::new(outgoing, header, timestamp)
    }
}

impl Anchor {
    /// The packet with this header becomes our next, with this timestamp.
    fn new(outgoing: &Outgoing, header: &RtpHeader, timestamp: Timestamp) -> Self {
        Self {
            ssrc: header.ssrc,
            first: header.sequence,
            newest: SequenceNumber(header.sequence.0.wrapping_sub(1)),
            spoken: None,
            sequence_offset: outgoing.sequence.0.wrapping_sub(header.sequence.0),
            timestamp_offset: timestamp.0.wrapping_sub(header.timestamp.0),
        }
    }
}

impl Leg {
    /// Joins a leg of a pair with the other one, or parts them.
    pub(crate) fn set_mate(&mut self, mate: Option<usize>) {
        if let Joint::Pair(pair) = &mut self.joint {
            pair.mate = mate;
        }
    }

    /// What is sent has a new numbering: the present speaker's place in it is found anew.
    pub(super) fn forget_numbering(&mut self) {
        if let Joint::Pair(pair) = &mut self.joint {
            pair.anchor = None;
        }
    }

    /// The other leg of the pair, by its place on the worker.
    pub(crate) fn mate(&self) -> Option<usize> {
        match &self.joint {
            Joint::Pair(pair) => pair.mate(),
            Joint::Timeslot(_) => None,
        }
    }

    /// Sends on what the other leg of the pair has accepted; `datagram` is the whole of it.
    pub(crate) fn relay(
        &mut self,
        passed: &Passed,
        datagram: &mut Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) -> Verdict {
        self.look_what_went(around);
        let destination = self.destination();
        let passage = self.passage_of(passed.payload);
        let Joint::Pair(pair) = &mut self.joint else { return Verdict::Consumed };
        let outgoing = &mut self.outgoing;
        let counters = &mut *around.counters;
        let (to, (way, payload_type)) = match (destination, passage) {
            (Some(to), Some(passage)) if !passed.on_hold => (to, passage),
            (destination, _) => {
                let dropped = match destination {
                    _ if passed.on_hold || !self.direction.send => &mut counters.dropped_on_hold,
                    None => &mut counters.dropped_nowhere,
                    Some(_) => &mut counters.dropped_untranslated,
                };
                *dropped += 1;
                pair.hold_back(outgoing, passed);
                pair.pass_by(outgoing, passed, false);
                return Verdict::Consumed;
            }
        };
        if way == Way::Transcoder {
            self.take_in(passed, datagram, around);
            return Verdict::Consumed;
        }
        let is_speech = matches!(passed.payload, Payload::Audio(_));
        if is_speech {
            pair.pass_by(outgoing, passed, true);
            pair.is_untouched = way == Way::Untouched;
        }
        let Some((sequence, timestamp)) = pair.number(outgoing, passed, around.now) else {
            around.counters.dropped_late += 1;
            return Verdict::Consumed;
        };
        // An event's marker is its own; the beginning of speech waits for speech.
        let begins = is_speech && std::mem::take(&mut outgoing.marker);
        let header =
            outgoing.header(passed.header.marker || begins, payload_type, sequence, timestamp);
        if header.rewrite(datagram).is_err() {
            return Verdict::Consumed;
        }
        if let Way::Law(from, to) = way {
            let payload = passed.payload_at..passed.payload_at + passed.payload_octets;
            from.convert_block(datagram.get_mut(payload).unwrap_or_default(), to);
        }
        let (octets, room) = (datagram.len(), datagram.with_room());
        let protected = self.srtp.protect(Channel::Rtp, room, octets, around.counters);
        let Some(len) = protected else { return Verdict::Consumed };
        outgoing.packet_sent(passed.payload_octets);
        around.counters.packets_sent += 1;
        around.counters.octets_sent += passed.payload_octets as u64;
        Verdict::Forward { port: self.ports.rtp, to, len }
    }

    /// How a payload passes to our side, and by which payload type; none if it cannot.
    fn passage_of(&self, payload: Payload) -> Option<(Way, u8)> {
        let sending = &self.outgoing.sending;
        let Joint::Pair(pair) = &self.joint else { return None };
        let way = pair.way(payload, sending)?;
        let payload_type = match payload {
            Payload::Audio(_) => Some(sending.payload_type),
            Payload::TelephoneEvent { .. } => sending.telephone_event,
            // RFC 3389 §4: agreed on for both ways at once.
            Payload::ComfortNoise => self.incoming.comfort_noise(),
        };
        Some((way, payload_type?))
    }
}

#[cfg(test)]
mod tests;
