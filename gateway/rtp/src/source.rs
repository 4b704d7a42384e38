//! Whose packets a leg believes, and where it sends its own: symmetric RTP that a stranger cannot take
//! over.
//!
//! The address that signalling named is believed always. Another one is believed only where an address
//! translator makes that plausible, only within a short window after signalling spoke, only after a few
//! packets in a row of an agreed payload type from one stream; then it is latched, and nothing but
//! signalling moves it again — except that the signalled address, once it speaks itself, takes its place
//! back for good. Silence never opens the window again.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::packet::{RtpPacket, SequenceNumber};

/// Strangers that are watched at the same time within the window.
const CANDIDATES: usize = 4;

/// When another source than the signalled one may be latched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Latching {
    /// Never: signalling is always right, as on a trunk between carriers.
    Never,
    /// If the source has the signalled IP address and another port, or the IP address signalling came
    /// from, or the signalled address is a private one.
    #[default]
    Translated,
    /// Always, for peers whose signalling names useless addresses.
    Any,
}

/// The rule's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePolicy {
    /// When to latch.
    pub latching: Latching,
    /// How long after signalling a source may latch.
    pub window: Duration,
    /// Packets in a row a stranger must send first.
    pub probation: u8,
}

impl Default for SourcePolicy {
    /// Translators only, three seconds, four packets.
    fn default() -> Self {
        Self { latching: Latching::default(), window: Duration::from_secs(3), probation: 4 }
    }
}

/// A set of payload types: those agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayloadTypes(u128);

impl PayloadTypes {
    /// Whether `payload_type` is in the set.
    pub const fn contains(self, payload_type: u8) -> bool {
        self.0 >> (payload_type & 0x7f) & 1 == 1
    }
}

impl FromIterator<u8> for PayloadTypes {
    fn from_iter<I: IntoIterator<Item = u8>>(types: I) -> Self {
        Self(types.into_iter().fold(0, |set, one| set | 1 << (one & 0x7f)))
    }
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the other side's.
    Accept,
    /// It is the other side's, whose address is new from here on: send to [`SourceRule::destination`].
    AcceptMoved,
    /// Drop it; the reason is counted.
    Refuse(Refusal),
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It comes from neither the signalled nor the latched source.
    Stranger,
    /// Its source may latch, but has not sent enough packets in a row yet.
    Probation,
    /// Its payload type was not agreed on.
    PayloadType,
}

/// Packets refused, by reason, and moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceCounters {
    /// See [`Refusal::Stranger`].
    pub stranger: u64,
    /// See [`Refusal::Probation`].
    pub probation: u64,
    /// See [`Refusal::PayloadType`].
    pub payload_type: u64,
    /// Times a source was latched.
    pub latched: u32,
    /// Times the signalled address took its place back.
    pub reclaimed: u32,
}

/// The rule of one leg.
#[derive(Debug, Clone)]
pub struct SourceRule {
    policy: SourcePolicy,
    expected: PayloadTypes,
    signalled: SocketAddr,
    signalling_from: Option<IpAddr>,
    window_end: Instant,
    believed: Believed,
    candidates: [Option<Candidate>; CANDIDATES],
    counters: SourceCounters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believed {
    /// The signalled address, which has not spoken yet.
    Silent,
    /// The signalled address has spoken: nothing else can latch.
    Signalled,
    /// A latched source.
    Latched(SocketAddr),
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    last: SequenceNumber,
    in_row: u8,
    heard_at: Instant,
}

impl SourceRule {
    /// The rule as the leg opens: `signalled` is the address of the other side's session description,
    /// `signalling_from` the IP address its signalling came from, if known.
    pub fn new(
        policy: SourcePolicy,
        signalled: SocketAddr,
        signalling_from: Option<IpAddr>,
        expected: PayloadTypes,
        now: Instant,
    ) -> Self {
        Self {
            policy,
            expected,
            signalled,
            signalling_from,
            window_end: now + policy.window,
            believed: Believed::Silent,
            candidates: [None; CANDIDATES],
            counters: SourceCounters::default(),
        }
    }

    /// Signalling spoke again. A new address starts everything over; the same one changes only what is
    /// expected, and gives a source that has not been heard yet (it waited for the answer) a new window.
    pub fn signalled(&mut self, signalled: SocketAddr, expected: PayloadTypes, now: Instant) {
        self.expected = expected;
        if signalled != self.signalled {
            self.signalled = signalled;
            self.believed = Believed::Silent;
        }
        if self.believed == Believed::Silent {
            self.window_end = now + self.policy.window;
            self.candidates = [None; CANDIDATES];
        }
    }

    /// Refuses what comes from `source` before anything of it is looked at: from somebody who is
    /// neither believed nor may latch, whatever it is. The rest is for [`SourceRule::judge`].
    #[inline]
    pub fn is_hopeless(&mut self, source: SocketAddr, now: Instant) -> bool {
        let is_hopeless = source != self.signalled
            && self.believed != Believed::Latched(source)
            && !self.may_latch(source, now);
        self.counters.stranger += u64::from(is_hopeless);
        is_hopeless
    }

    /// The only sources that can be believed until signalling speaks again, if that is settled.
    pub fn only(&self, now: Instant) -> Option<[SocketAddr; 2]> {
        match self.believed {
            Believed::Silent if now < self.window_end => None,
            Believed::Silent | Believed::Signalled => Some([self.signalled; 2]),
            // The signalled address may take its place back.
            Believed::Latched(source) => Some([source, self.signalled]),
        }
    }

    /// Strangers' packets have been refused before they came here.
    pub fn refused_unseen(&mut self, packets: u64) {
        self.counters.stranger += packets;
    }

    /// Judges a packet that came from `source`; allocates nothing.
    #[inline]
    pub fn judge(&mut self, source: SocketAddr, packet: &RtpPacket<'_>, now: Instant) -> Verdict {
        let is_expected = self.expected.contains(packet.header.payload_type);
        if self.believed == Believed::Latched(source) || source == self.signalled {
            if !is_expected {
                self.counters.payload_type += 1;
                return Verdict::Refuse(Refusal::PayloadType);
            }
            if source == self.signalled && self.believed != Believed::Signalled {
                return self.reclaim();
            }
            return Verdict::Accept;
        }
        self.judge_stranger(source, packet, is_expected, now)
    }

    /// Where to send: the latched source if there is one, else where signalling says.
    pub fn destination(&self) -> SocketAddr {
        match self.believed {
            Believed::Latched(source) => source,
            Believed::Silent | Believed::Signalled => self.signalled,
        }
    }

    /// Where to send RTCP, given where signalling wants it. Behind a translator that is a guess: the
    /// same port if both share one, else the next (RFC 3550 §11).
    pub fn rtcp_destination(&self, signalled_rtcp: SocketAddr) -> SocketAddr {
        let Believed::Latched(source) = self.believed else {
            return signalled_rtcp;
        };
        if signalled_rtcp == self.signalled {
            return source;
        }
        SocketAddr::new(source.ip(), source.port().checked_add(1).unwrap_or(source.port()))
    }

    /// Whether RTCP from `source` may be read: from where signalling says, or from the host whose RTP
    /// is believed.
    pub fn accepts_rtcp(&self, source: SocketAddr, signalled_rtcp: SocketAddr) -> bool {
        source == signalled_rtcp || source.ip() == self.destination().ip()
    }

    /// The counters so far.
    pub fn counters(&self) -> SourceCounters {
        self.counters
    }

    /// The signalled address speaks: from here on only signalling can move the leg.
    #[cold]
    fn reclaim(&mut self) -> Verdict {
        let moved = matches!(self.believed, Believed::Latched(_));
        self.believed = Believed::Signalled;
        if moved {
            self.counters.reclaimed += 1;
            return Verdict::AcceptMoved;
        }
        Verdict::Accept
    }

    #[cold]
    fn judge_stranger(
        &mut self,
        source: SocketAddr,
        packet: &RtpPacket<'_>,
        is_expected: bool,
        now: Instant,
    ) -> Verdict {
        if !self.may_latch(source, now) {
            self.counters.stranger += 1;
            return Verdict::Refuse(Refusal::Stranger);
        }
        if !is_expected {
            self.counters.payload_type += 1;
            return Verdict::Refuse(Refusal::PayloadType);
        }
        if self.advance(source, packet, now) < self.policy.probation.max(1) {
            self.counters.probation += 1;
            return Verdict::Refuse(Refusal::Probation);
        }
        self.believed = Believed::Latched(source);
        self.counters.latched += 1;
        Verdict::AcceptMoved
    }

    fn may_latch(&self, source: SocketAddr, now: Instant) -> bool {
        self.believed == Believed::Silent && now < self.window_end && self.is_plausible(source)
    }

    fn is_plausible(&self, source: SocketAddr) -> bool {
        match self.policy.latching {
            Latching::Never => false,
            Latching::Translated => {
                source.ip() == self.signalled.ip()
                    || Some(source.ip()) == self.signalling_from
                    || is_private(self.signalled.ip())
            }
            Latching::Any => true,
        }
    }

    /// Counts how many packets in a row `source` has sent of one stream.
    fn advance(&mut self, source: SocketAddr, packet: &RtpPacket<'_>, now: Instant) -> u8 {
        let sequence = packet.header.sequence;
        let known =
            self.candidates.iter().position(|slot| slot.is_some_and(|c| c.source == source));
        // A newcomer takes the place of the one heard of longest ago.
        let place = known.unwrap_or_else(|| {
            let mut oldest = 0;
            for (index, slot) in self.candidates.iter().enumerate() {
                match (slot, &self.candidates[oldest]) {
                    (None, _) => return index,
                    (Some(this), Some(that)) if this.heard_at < that.heard_at => oldest = index,
                    _ => {}
                }
            }
            oldest
        });
        let in_row = match &self.candidates[place] {
            Some(c)
                if known.is_some() && c.ssrc == packet.header.ssrc && c.last.next() == sequence =>
            {
                c.in_row.saturating_add(1)
            }
            _ => 1,
        };
        self.candidates[place] = Some(Candidate {
            source,
            ssrc: packet.header.ssrc,
            last: sequence,
            in_row,
            heard_at: now,
        });
        in_row
    }
}

/// Addresses that mean nothing outside their network, so that a translator must stand between:
/// RFC 1918, RFC 6598, link-local, unique local. Loopback is not among them: nothing translates it.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests;
