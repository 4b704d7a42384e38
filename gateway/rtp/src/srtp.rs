//! SRTP and SRTCP (RFC 3711, RFC 7714): packets are protected and unprotected where they lie, without
//! allocation.
//!
//! A leg has one [`SrtpSender`] and one [`SrtpReceiver`], made from the [`SrtpKeys`] that its session
//! descriptions agreed on. Both live as long as their key: **a description that keeps a key keeps what was
//! made of it**, since indices that start again under the same key would use its key stream twice.
//! Nothing a packet says is believed before its tag was checked: a refused packet changes nothing but a
//! counter.
#![forbid(unsafe_code)]

use self::cipher::{Cipher, RTCP_HEADER_OCTETS};
use self::key::StreamKind;
use self::stream::Streams;
use crate::error::RtpError;
use crate::packet::HEADER_OCTETS;

mod cipher;
mod key;
mod stream;

pub use key::{MAXIMUM_KEY_OCTETS, MasterKey, Suite};

/// Octets of the longest RTP or RTCP packet that is protected: that of the longest datagram.
const MAXIMUM_PACKET_OCTETS: usize = u16::MAX as usize;
/// Octets that protection adds at most: the tag of GCM and the index of an RTCP packet.
pub const MAXIMUM_OVERHEAD_OCTETS: usize = 16 + 4;

/// RFC 3711 §9.2: packets that one key protects at most.
const RTP_INDICES: u64 = 1 << 48;
const RTCP_INDICES: u64 = 1 << 31;

/// The master keys of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// Ours: it protects what we send.
    pub local: MasterKey,
    /// Theirs: it protects what they send.
    pub remote: MasterKey,
}

/// Packets refused, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SrtpCounters {
    /// The tag is wrong ([`RtpError::SrtpTag`]): another key, or changed on the way.
    pub tag: u64,
    /// It came before, or is too old to tell ([`RtpError::SrtpReplay`]). At the sender: its sequence number
    /// was used before.
    pub replay: u64,
    /// It is cut off, too long, or no RTP at all.
    pub malformed: u64,
    /// Its SSRC is one too many ([`RtpError::SrtpStreams`]).
    pub streams: u64,
    /// Its key has protected all it may ([`RtpError::SrtpKeyUsedUp`]).
    pub key_used_up: u64,
}

impl SrtpCounters {
    #[cold]
    fn count(&mut self, error: RtpError) -> RtpError {
        let counter = match error {
            RtpError::SrtpTag { .. } => &mut self.tag,
            RtpError::SrtpReplay { .. } => &mut self.replay,
            RtpError::SrtpStreams { .. } => &mut self.streams,
            RtpError::SrtpKeyUsedUp => &mut self.key_used_up,
            _ => &mut self.malformed,
        };
        *counter += 1;
        error
    }
}

/// Protects what a leg sends.
pub struct SrtpSender {
    context: Context,
}

impl SrtpSender {
    /// The sender of a leg with a key that nothing was protected with yet.
    ///
    /// # Errors
    /// [`RtpError::SrtpKeyLength`]; not with a key that [`MasterKey::new`] made.
    pub fn new(key: &MasterKey) -> Result<Self, RtpError> {
        Ok(Self { context: Context::new(key)? })
    }

    /// Protects the RTP packet in the first `packet_octets` of `buffer`; gives its octets with the tag,
    /// [`Suite::rtp_overhead_octets`] more. No two packets may have the same SSRC and index, so that a
    /// sequence number that was used already is refused. A stream's first should be below 2^15 (RFC 3711
    /// §3.3.1): a receiver that misses the packets before a wrap would count its roll-overs wrong.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`], [`RtpError::TooLong`], [`RtpError::Truncated`], [`RtpError::Version`],
    /// [`RtpError::SrtpReplay`], [`RtpError::SrtpStreams`], [`RtpError::SrtpKeyUsedUp`].
    #[inline]
    pub fn protect_rtp(
        &mut self,
        buffer: &mut [u8],
        packet_octets: usize,
    ) -> Result<usize, RtpError> {
        let result = self.context.protect_rtp(buffer, packet_octets);
        result.map_err(|error| self.context.counters.count(error))
    }

    /// As [`Self::protect_rtp`] for a compound RTCP packet, which grows by
    /// [`Suite::rtcp_overhead_octets`].
    ///
    /// # Errors
    /// Those of [`Self::protect_rtp`], without [`RtpError::SrtpReplay`].
    pub fn protect_rtcp(
        &mut self,
        buffer: &mut [u8],
        packet_octets: usize,
    ) -> Result<usize, RtpError> {
        let result = self.context.protect_rtcp(buffer, packet_octets);
        result.map_err(|error| self.context.counters.count(error))
    }

    /// The suite of its key.
    pub fn suite(&self) -> Suite {
        self.context.suite
    }

    /// The counters so far.
    pub fn counters(&self) -> SrtpCounters {
        self.context.counters
    }
}

impl std::fmt::Debug for SrtpSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.context.describe(f, "SrtpSender")
    }
}

/// Checks and decrypts what a leg receives.
pub struct SrtpReceiver {
    context: Context,
}

impl SrtpReceiver {
    /// The receiver of a leg with a key that nothing was received under yet.
    ///
    /// # Errors
    /// [`RtpError::SrtpKeyLength`]; not with a key that [`MasterKey::new`] made.
    pub fn new(key: &MasterKey) -> Result<Self, RtpError> {
        Ok(Self { context: Context::new(key)? })
    }

    /// Takes the place of `before`, which had another key, in a session that goes on. Its stream may have
    /// kept its roll-over counter or begin again with zero; one packet may be refused until that is known.
    pub fn follow(&mut self, before: &Self) {
        self.context.streams.follow(&before.context.streams);
    }

    /// Checks the SRTP packet and decrypts it in place; gives its octets without the tag. After an error
    /// the packet's octets are of no use.
    ///
    /// # Errors
    /// [`RtpError::Truncated`], [`RtpError::TooLong`], [`RtpError::Version`], [`RtpError::SrtpReplay`],
    /// [`RtpError::SrtpTag`], [`RtpError::SrtpStreams`], [`RtpError::SrtpKeyUsedUp`].
    #[inline]
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, RtpError> {
        let result = self.context.unprotect_rtp(packet);
        result.map_err(|error| self.context.counters.count(error))
    }

    /// As [`Self::unprotect_rtp`] for an SRTCP packet. One that is authenticated but not encrypted, as its
    /// E flag says, is taken too.
    ///
    /// # Errors
    /// Those of [`Self::unprotect_rtp`].
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, RtpError> {
        let result = self.context.unprotect_rtcp(packet);
        result.map_err(|error| self.context.counters.count(error))
    }

    /// The suite of its key.
    pub fn suite(&self) -> Suite {
        self.context.suite
    }

    /// The counters so far.
    pub fn counters(&self) -> SrtpCounters {
        self.context.counters
    }
}

impl std::fmt::Debug for SrtpReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.context.describe(f, "SrtpReceiver")
    }
}

/// The cryptographic context of one direction (RFC 3711 §3.2).
struct Context {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    streams: Streams,
    counters: SrtpCounters,
}

impl Context {
    fn new(key: &MasterKey) -> Result<Self, RtpError> {
        Ok(Self {
            suite: key.suite(),
            rtp: Cipher::new(key, StreamKind::Rtp)?,
            rtcp: Cipher::new(key, StreamKind::Rtcp)?,
            streams: Streams::new(),
            counters: SrtpCounters::default(),
        })
    }

    #[inline]
    fn protect_rtp(&mut self, buffer: &mut [u8], packet_octets: usize) -> Result<usize, RtpError> {
        let overhead_octets = self.suite.rtp_overhead_octets();
        check_room("the SRTP packet", buffer, packet_octets, overhead_octets)?;
        let head = RtpHead::read(&buffer[..packet_octets], 0)?;
        let mut stream = self.streams.find(head.ssrc).ok_or_else(too_many_streams)?;
        let index = stream.rtp.estimate(head.sequence);
        if index >= RTP_INDICES {
            return Err(RtpError::SrtpKeyUsedUp);
        }
        if !stream.rtp.is_open(index) {
            return Err(RtpError::SrtpReplay { index });
        }
        let octets = self
            .rtp
            .seal_rtp(buffer, head.octets, packet_octets, head.ssrc, index)
            .ok_or_else(|| too_long(packet_octets))?;
        stream.rtp.note(index);
        self.streams.keep(stream);
        Ok(octets)
    }

    #[inline]
    fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, RtpError> {
        if packet.len() > MAXIMUM_PACKET_OCTETS {
            return Err(too_long(packet.len()));
        }
        let head = RtpHead::read(packet, self.suite.rtp_overhead_octets())?;
        let mut stream = self.streams.find(head.ssrc).ok_or_else(too_many_streams)?;
        let index = self.streams.estimate(&stream, head.sequence);
        if index >= RTP_INDICES {
            return Err(RtpError::SrtpKeyUsedUp);
        }
        // RFC 3711 §3.3: what was received already costs no authentication.
        if !stream.rtp.is_open(index) {
            return Err(RtpError::SrtpReplay { index });
        }
        let octets = self
            .rtp
            .open_rtp(packet, head.octets, head.ssrc, index)
            .ok_or(RtpError::SrtpTag { index })?;
        stream.rtp.note(index);
        self.streams.keep(stream);
        Ok(octets)
    }

    fn protect_rtcp(&mut self, buffer: &mut [u8], packet_octets: usize) -> Result<usize, RtpError> {
        let overhead_octets = self.suite.rtcp_overhead_octets();
        check_room("the SRTCP packet", buffer, packet_octets, overhead_octets)?;
        let ssrc = rtcp_ssrc(&buffer[..packet_octets], 0)?;
        let mut stream = self.streams.find(ssrc).ok_or_else(too_many_streams)?;
        // RFC 3711 §3.4: the first has index 0.
        let index = stream.rtcp.highest().map_or(0, |highest| highest + 1);
        let word = u32::try_from(index).ok().filter(|_| index < RTCP_INDICES);
        let word = word.ok_or(RtpError::SrtpKeyUsedUp)?;
        let octets = self
            .rtcp
            .seal_rtcp(buffer, packet_octets, ssrc, word)
            .ok_or_else(|| too_long(packet_octets))?;
        stream.rtcp.note(index);
        self.streams.keep(stream);
        Ok(octets)
    }

    fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, RtpError> {
        if packet.len() > MAXIMUM_PACKET_OCTETS {
            return Err(too_long(packet.len()));
        }
        let ssrc = rtcp_ssrc(packet, self.suite.rtcp_overhead_octets())?;
        let mut stream = self.streams.find(ssrc).ok_or_else(too_many_streams)?;
        let index = u64::from(self.rtcp.rtcp_index(packet));
        if !stream.rtcp.is_open(index) {
            return Err(RtpError::SrtpReplay { index });
        }
        let octets = self.rtcp.open_rtcp(packet, ssrc).ok_or(RtpError::SrtpTag { index })?;
        stream.rtcp.note(index);
        self.streams.keep(stream);
        Ok(octets)
    }

    /// Without keys.
    fn describe(&self, f: &mut std::fmt::Formatter<'_>, name: &str) -> std::fmt::Result {
        f.debug_struct(name)
            .field("suite", &self.suite)
            .field("streams", &self.streams)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// What stays readable of an SRTP packet. [`crate::packet::RtpPacket`] cannot read one: the padding's
/// length is encrypted.
struct RtpHead {
    octets: usize,
    sequence: u16,
    ssrc: u32,
}

impl RtpHead {
    /// Reads the head of a packet that ends with `tag_octets`.
    #[inline]
    fn read(packet: &[u8], tag_octets: usize) -> Result<Self, RtpError> {
        let truncated = |needed_octets| RtpError::Truncated {
            what: "the SRTP packet",
            needed_octets: needed_octets + tag_octets,
            present_octets: packet.len(),
        };
        let head = packet.first_chunk::<HEADER_OCTETS>().ok_or_else(|| truncated(HEADER_OCTETS))?;
        if head[0] >> 6 != 2 {
            return Err(RtpError::Version { what: "the SRTP packet", found: head[0] >> 6 });
        }
        let mut octets = HEADER_OCTETS + usize::from(head[0] & 0x0f) * 4;
        if head[0] & 0x10 != 0 {
            // RFC 3550 §5.3.1
            let lead = packet.get(octets..octets + 4).ok_or_else(|| truncated(octets + 4))?;
            octets += 4 + usize::from(u16::from_be_bytes([lead[2], lead[3]])) * 4;
        }
        if octets + tag_octets > packet.len() {
            return Err(truncated(octets));
        }
        Ok(Self {
            octets,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        })
    }
}

/// The SSRC of an RTCP packet that ends with `trailer_octets`.
fn rtcp_ssrc(packet: &[u8], trailer_octets: usize) -> Result<u32, RtpError> {
    let head = packet
        .first_chunk::<RTCP_HEADER_OCTETS>()
        .filter(|_| packet.len() >= RTCP_HEADER_OCTETS + trailer_octets)
        .ok_or(RtpError::Truncated {
            what: "the SRTCP packet",
            needed_octets: RTCP_HEADER_OCTETS + trailer_octets,
            present_octets: packet.len(),
        })?;
    if head[0] >> 6 != 2 {
        return Err(RtpError::Version { what: "the SRTCP packet", found: head[0] >> 6 });
    }
    Ok(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
}

#[inline]
fn check_room(
    what: &'static str,
    buffer: &[u8],
    packet_octets: usize,
    overhead_octets: usize,
) -> Result<(), RtpError> {
    if packet_octets > MAXIMUM_PACKET_OCTETS {
        return Err(too_long(packet_octets));
    }
    let needed_octets = packet_octets + overhead_octets;
    if buffer.len() < needed_octets {
        let present_octets = buffer.len();
        return Err(RtpError::BufferTooSmall { what, needed_octets, present_octets });
    }
    Ok(())
}

#[cold]
fn too_long(length: usize) -> RtpError {
    RtpError::TooLong {
        what: "the packet to protect (octets)",
        length,
        limit: MAXIMUM_PACKET_OCTETS,
    }
}

#[cold]
fn too_many_streams() -> RtpError {
    RtpError::SrtpStreams { limit: stream::MAXIMUM_STREAMS }
}

#[cfg(test)]
mod tests;
