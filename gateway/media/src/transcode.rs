//! One direction of a call between two legs that do not speak the same codec: packets in, packets of
//! another codec and another length out.
//!
//! # How it works
//! Packets wait in an inbox, in their order, until the worker's tick; there they are decoded, and the
//! samples leave in packets of the agreed length within the same tick. Nothing is played out by a
//! clock of our own: the far end has the jitter buffer, and what comes in bursts leaves in bursts.
//!
//! - A packet behind a gap is held for one tick, in which the missing one may still come; then what
//!   is missing is concealed (for Opus by the copy in the next packet, if there is one), so that the
//!   far end hears no hole. What comes after that is late.
//! - Timestamps follow the sender's, in the clock of the codec that is sent: pauses in which nothing
//!   was sent (silence suppression, hold) stay pauses of the same length.
//! - Events and comfort noise keep their place between the packets of speech; the times in events are
//!   counted in the other clock.
//!
//! No call allocates but [`Transcoder::new`].

mod event;
mod inbox;
mod timeline;
mod voice;

use std::time::Instant;

use trunkline_rtp::codec::Codec;
use trunkline_rtp::packet::{HEADER_OCTETS, RtpHeader, SequenceNumber, Timestamp};
use trunkline_rtp::srtp::MAXIMUM_OVERHEAD_OCTETS;
use trunkline_rtp::telephone_event::TelephoneEvent;

use crate::error::MediaError;
use crate::format::Format;
use crate::spec::Payload;
use event::Segments;
use inbox::{Inbox, Letter};
use timeline::Timeline;
pub(crate) use timeline::steps;
use voice::Voice;

/// How far back a packet can be and still be of the same numbering, and how far ahead: as reception
/// has it (RFC 3550 A.1).
const NUMBERS: std::ops::Range<i32> = -128..3000;

/// The longest gap that is concealed, in units of 125 µs: 120 ms. A concealment is silent long before.
const CONCEALED_MAX_UNITS: u32 = 960;

/// The longest payload: 60 ms of G.711, or any Opus packet we make.
const PAYLOAD_MAX_OCTETS: usize = 1000;

/// The longest packet, with room for its protection.
const PACKET_MAX_OCTETS: usize = HEADER_OCTETS + PAYLOAD_MAX_OCTETS + MAXIMUM_OVERHEAD_OCTETS;

/// Translates one direction of a call.
#[derive(Debug)]
pub struct Transcoder {
    heard: Vec<Codec>,
    sent: Codec,
    inbox: Inbox,
    voice: Voice,
    speaker: Option<Speaker>,
    /// The next packet of speech begins a talkspurt.
    begins: bool,
    segments: Segments,
    packet: Box<[u8; PACKET_MAX_OCTETS]>,
}

/// Whoever is heard at present.
#[derive(Debug)]
struct Speaker {
    ssrc: u32,
    timeline: Timeline,
    /// Of the next packet.
    expected: SequenceNumber,
    /// Packets missing since the last one of speech.
    missing: u32,
    /// Where the speech so far ends, by the speaker's timestamps.
    heard_until: Option<Timestamp>,
    /// Length of the last packet of speech.
    units: u32,
}

/// A packet that has come.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Its header.
    pub header: RtpHeader,
    /// What it carries; none if it is not to be heard, so that nobody takes it for lost.
    pub payload: Option<Payload>,
    /// The payload.
    pub octets: &'a [u8],
    /// Its sender began a new numbering under the same name.
    pub restarted: bool,
    /// What to add to the sender's timestamps, if that was settled before.
    pub timestamp_offset: Option<u32>,
}

/// The newest packet that was sent on the same stream, whoever made it.
#[derive(Debug, Clone, Copy)]
pub struct Newest {
    /// Its timestamp; that of the first packet, if there was none yet.
    pub timestamp: Timestamp,
    /// When it was sent, if any was.
    pub at: Option<Instant>,
}

/// A packet to send.
#[derive(Debug)]
pub struct Departing<'a> {
    /// What it carries.
    pub kind: Kind,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// It begins a talkspurt or an event.
    pub marker: bool,
    /// Room for the header, the payload, and room for its protection.
    pub packet: &'a mut [u8],
    /// How long the payload is.
    pub payload_octets: usize,
}

/// What a packet to send carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Speech.
    Speech,
    /// A telephone-event.
    Event,
    /// Comfort noise.
    ComfortNoise,
}

/// What has happened beside packets that were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Packets that came after their place was concealed or passed.
    pub late: u64,
    /// Packets for which the codec that is sent has no place.
    pub untranslated: u64,
    /// Packets of speech that no decoder made sense of; they were concealed.
    pub broken: u64,
    /// Concealed, in samples at 8 kHz.
    pub concealed_samples: u64,
}

impl Transcoder {
    /// A transcoder for speech in any of the codecs `heard`, which is sent as `sent`. It works at
    /// 16 kHz if there is more than telephone quality to pass on.
    ///
    /// # Errors
    /// A codec that cannot be set up.
    pub fn new(heard: &[Codec], sent: Codec) -> Result<Self, MediaError> {
        Ok(Self {
            heard: heard.to_vec(),
            sent,
            inbox: Inbox::new(),
            voice: Voice::new(heard, sent)?,
            speaker: None,
            begins: true,
            segments: Segments::default(),
            packet: Box::new([0; PACKET_MAX_OCTETS]),
        })
    }

    /// Whether it translates a codec.
    pub(crate) fn takes(&self, codec: Codec) -> bool {
        self.heard.iter().any(|heard| heard.same_encoding(&codec))
    }

    /// Whether it has heard the present speaker, so that whatever else he sends belongs here too.
    pub(crate) fn is_active(&self) -> bool {
        self.speaker.is_some() || !self.inbox.is_empty()
    }

    /// Takes a packet; it leaves, translated, in [`Transcoder::work`]. False if there is no room: more
    /// have come since than a call can have.
    pub fn arrived(&mut self, packet: Arrived<'_>) -> bool {
        self.inbox.put(packet)
    }

    /// Translates what has come since the last call; `ptime_ms` is the length of the packets that are
    /// sent. To be called once a tick.
    pub fn work(
        &mut self,
        ptime_ms: u16,
        newest: Newest,
        now: Instant,
        send: &mut dyn FnMut(Departing<'_>),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if self.inbox.is_empty() {
            return outcome;
        }
        let Self { sent, inbox, voice, speaker, begins, segments, packet, .. } = self;
        let mut work = Work {
            sent: *sent,
            units: u32::from(ptime_ms) * 8,
            now,
            newest,
            voice,
            begins,
            segments,
            packet,
            send,
            outcome: &mut outcome,
        };
        while let Some((letter, octets)) = inbox.first() {
            if speaker.as_ref().is_some_and(|speaker| speaker.misses_before(letter))
                && !letter.waited
            {
                break;
            }
            work.take(speaker, letter, octets);
            inbox.drop_first();
        }
        inbox.pass_tick();
        outcome
    }

    /// What is added to the present speaker's timestamps, if both clocks are the same.
    pub(crate) fn timestamp_offset(&self, ssrc: u32) -> Option<u32> {
        let speaker = self.speaker.as_ref().filter(|speaker| speaker.ssrc == ssrc)?;
        speaker.timeline.offset()
    }

    /// The speaker goes on another way; what of him is still here is dropped.
    pub(crate) fn leave(&mut self) {
        self.inbox.clear();
        self.speaker = None;
    }

    /// Goes on where another one has been: the present speaker's time goes on.
    pub(crate) fn succeed(&mut self, before: Self) {
        if before.sent.rtp_clock_hz() == self.sent.rtp_clock_hz() {
            self.inbox = before.inbox;
            self.speaker = before.speaker;
            self.segments = before.segments;
        }
    }

    /// What share of our packets gets lost, in 1/256.
    pub(crate) fn expect_loss(&mut self, fraction: u8) {
        self.voice.expect_loss(fraction);
    }
}

impl Speaker {
    /// How far after the expected packet a letter is, if it is of the same numbering.
    fn ahead(&self, letter: &Letter) -> Option<i32> {
        let ahead = i32::from(letter.sequence.since(self.expected));
        let is_same = letter.ssrc == self.ssrc && !letter.restarted && NUMBERS.contains(&ahead);
        is_same.then_some(ahead)
    }

    fn misses_before(&self, letter: &Letter) -> bool {
        self.ahead(letter).is_some_and(|ahead| ahead > 0)
    }
}

/// One tick's work, and what it is done with.
struct Work<'a> {
    sent: Codec,
    /// Length of the packets that are sent, in units of 125 µs.
    units: u32,
    now: Instant,
    newest: Newest,
    voice: &'a mut Voice,
    begins: &'a mut bool,
    segments: &'a mut Segments,
    packet: &'a mut [u8; PACKET_MAX_OCTETS],
    send: &'a mut dyn FnMut(Departing<'_>),
    outcome: &'a mut Outcome,
}

impl Work<'_> {
    fn take(&mut self, present: &mut Option<Speaker>, letter: &Letter, octets: &[u8]) {
        let clock_hz = match letter.payload {
            Some(Payload::Audio(codec)) => Some(codec.rtp_clock_hz()),
            Some(Payload::TelephoneEvent { clock_hz }) => Some(clock_hz),
            Some(Payload::ComfortNoise) => Some(8000),
            None => None,
        };
        let mut ahead = present.as_ref().and_then(|speaker| speaker.ahead(letter));
        if ahead.is_some_and(|ahead| ahead < 0) {
            self.outcome.late += u64::from(letter.payload.is_some());
            return;
        }
        // Speech in another clock has timestamps that count otherwise.
        let is_in_time = |speaker: &Speaker| {
            !matches!(letter.payload, Some(Payload::Audio(_)))
                || clock_hz == Some(speaker.timeline.clock_hz())
        };
        if ahead.is_none() || !present.as_ref().is_some_and(is_in_time) {
            let Some(clock_hz) = clock_hz else { return };
            *present = Some(self.join(letter, clock_hz));
            ahead = None;
        }
        let Some(speaker) = present else { return };
        speaker.missing += ahead.unwrap_or(0).unsigned_abs();
        speaker.expected = letter.sequence.next();
        match letter.payload {
            Some(Payload::Audio(codec)) => self.speech(speaker, letter, codec, octets),
            _ if clock_hz.is_some_and(|hz| hz != speaker.timeline.clock_hz()) => {
                self.outcome.untranslated += 1;
            }
            Some(Payload::TelephoneEvent { .. }) => self.event(speaker, letter, octets),
            Some(Payload::ComfortNoise) => self.comfort_noise(speaker, letter, octets),
            None => {}
        }
    }

    /// Another speaker: he goes on where the one before has ended, in whole packets of ours.
    fn join(&mut self, letter: &Letter, clock_hz: u32) -> Speaker {
        let sent_hz = self.sent.rtp_clock_hz();
        let settled = letter.timestamp_offset.filter(|_| clock_hz == sent_hz);
        let timestamp = match (settled, self.newest.at) {
            (Some(offset), _) => letter.timestamp.plus(offset),
            (None, None) => self.newest.timestamp,
            (None, Some(at)) => {
                let pace = self.units * (sent_hz / 8000);
                // Packets come with jitter and are looked at once a tick: the nearest whole number.
                let packets = (steps(at, self.now, sent_hz).saturating_add(pace / 2) / pace).max(1);
                self.newest.timestamp.plus(packets.wrapping_mul(pace))
            }
        };
        self.voice.begin_anew();
        *self.begins = true;
        self.newest.timestamp = timestamp;
        self.newest.at = Some(self.now);
        Speaker {
            ssrc: letter.ssrc,
            timeline: Timeline::new((clock_hz, letter.timestamp), (sent_hz, timestamp)),
            expected: letter.sequence,
            missing: 0,
            heard_until: None,
            units: 0,
        }
    }

    fn speech(&mut self, speaker: &mut Speaker, letter: &Letter, codec: Codec, octets: &[u8]) {
        let format = Format::of(codec);
        let Some(units) = format.samples(octets).map(u32::from) else { return };
        let missing = std::mem::take(&mut speaker.missing);
        let now = letter.timestamp;
        let ahead = speaker.heard_until.map_or(0, |until| now.since(until));
        if let (1.., Some(until)) = (ahead, speaker.heard_until) {
            // Of a long gap only so much is lost as packets are missing; the rest is a pause.
            let gap = ahead.unsigned_abs() / speaker.timeline.ticks_per_unit();
            let lost = missing.saturating_mul(speaker.units).min(gap).min(CONCEALED_MAX_UNITS);
            let until = until.plus(lost * speaker.timeline.ticks_per_unit());
            if lost > 0 {
                self.voice.conceal(lost as usize, format, octets);
                self.outcome.concealed_samples += u64::from(lost);
                speaker.heard_until = Some(until);
                self.send_speech(speaker);
            }
            if now.since(until).unsigned_abs() >= speaker.timeline.ticks_per_unit() {
                self.voice.drop_rest();
                *self.begins = true;
            }
        } else if ahead < 0 {
            // The sender's time went back: the same as another speaker's.
            *speaker = self.join(letter, speaker.timeline.clock_hz());
            speaker.expected = letter.sequence.next();
        }
        *self.begins |= letter.marker;
        if !self.voice.decode(format, octets, units as usize) {
            self.outcome.broken += 1;
            self.outcome.concealed_samples += u64::from(units);
        }
        speaker.units = units;
        speaker.heard_until = Some(now.plus(units * speaker.timeline.ticks_per_unit()));
        speaker.timeline.keep_near(now);
        self.send_speech(speaker);
    }

    /// Sends the packets that are whole.
    fn send_speech(&mut self, speaker: &Speaker) {
        let Some(until) = speaker.heard_until else { return };
        loop {
            let rest = self.voice.units() as u32 * speaker.timeline.ticks_per_unit();
            let payload = &mut self.packet[HEADER_OCTETS..][..PAYLOAD_MAX_OCTETS];
            let Some(encoded) = self.voice.packet(self.units as usize, payload) else { return };
            // Nothing needs to be sent for silence.
            let Some(payload_octets) = encoded else {
                *self.begins = true;
                continue;
            };
            let timestamp = speaker.timeline.place(Timestamp(until.0.wrapping_sub(rest)));
            let marker = std::mem::take(self.begins);
            self.newest = Newest { timestamp, at: Some(self.now) };
            self.send(Kind::Speech, timestamp, marker, payload_octets);
        }
    }

    fn event(&mut self, speaker: &Speaker, letter: &Letter, octets: &[u8]) {
        let Ok(event) = TelephoneEvent::parse(octets) else { return };
        let begins = speaker.timeline.place(letter.timestamp);
        let ends = speaker.timeline.place(letter.timestamp.plus(event.duration.into()));
        let mut marker = letter.marker;
        for (timestamp, event) in self.segments.of(event, begins, ends) {
            let payload = event.to_bytes();
            self.packet[HEADER_OCTETS..][..payload.len()].copy_from_slice(&payload);
            self.send(Kind::Event, timestamp, std::mem::take(&mut marker), payload.len());
        }
    }

    fn comfort_noise(&mut self, speaker: &Speaker, letter: &Letter, octets: &[u8]) {
        // RFC 3389 §4: the payload's clock is 8 kHz.
        if self.sent.rtp_clock_hz() != 8000 || octets.len() > PAYLOAD_MAX_OCTETS {
            self.outcome.untranslated += 1;
            return;
        }
        self.packet[HEADER_OCTETS..][..octets.len()].copy_from_slice(octets);
        let timestamp = speaker.timeline.place(letter.timestamp);
        self.send(Kind::ComfortNoise, timestamp, letter.marker, octets.len());
    }

    fn send(&mut self, kind: Kind, timestamp: Timestamp, marker: bool, payload_octets: usize) {
        let packet = &mut self.packet[..];
        (self.send)(Departing { kind, timestamp, marker, packet, payload_octets });
    }
}

#[cfg(test)]
mod tests;
