//! The RTP packet: a view over received bytes and a writer in place (RFC 3550 §5.1).
#![forbid(unsafe_code)]

use crate::error::RtpError;

/// Octets of the fixed header.
pub const HEADER_OCTETS: usize = 12;

/// A 16-bit RTP sequence number; comparisons are modulo 2^16 (RFC 1982).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Steps from `earlier` to this one: negative when this one is the older.
    pub const fn since(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }

    /// Whether this one was sent after `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

/// A 32-bit RTP timestamp in steps of the codec's RTP clock; comparisons are modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// The timestamp `steps` later.
    pub const fn plus(self, steps: u32) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// Steps from `earlier` to this one: negative when this one is the older.
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Whether this one lies after `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

/// What a sender decides about each packet; the rest of the header is constant for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// First packet of a talkspurt, or of an event.
    pub marker: bool,
    /// 0..=127.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: SequenceNumber,
    /// Counts samples of the RTP clock.
    pub timestamp: Timestamp,
    /// Names the stream.
    pub ssrc: u32,
}

impl RtpHeader {
    /// The header's octets, without CSRC, extension and padding.
    pub fn to_bytes(&self) -> [u8; HEADER_OCTETS] {
        let mut out = [0x80; HEADER_OCTETS];
        self.fill(&mut out);
        out
    }

    /// Writes the header at the start of `out` and returns the octets written.
    ///
    /// # Errors
    /// [`RtpError::BufferTooSmall`].
    pub fn write(&self, out: &mut [u8]) -> Result<usize, RtpError> {
        let present_octets = out.len();
        let head = out.first_chunk_mut::<HEADER_OCTETS>().ok_or(RtpError::BufferTooSmall {
            what: "the RTP header",
            needed_octets: HEADER_OCTETS,
            present_octets,
        })?;
        head[0] = 0x80;
        self.fill(head);
        Ok(HEADER_OCTETS)
    }

    /// Overwrites the fields of a packet that is relayed; CSRC list, extension, padding and payload stay.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] if `packet` is shorter than a header.
    pub fn rewrite(&self, packet: &mut [u8]) -> Result<(), RtpError> {
        let present_octets = packet.len();
        let head = packet
            .first_chunk_mut::<HEADER_OCTETS>()
            .ok_or_else(|| truncated("the RTP header", HEADER_OCTETS, present_octets))?;
        self.fill(head);
        Ok(())
    }

    fn fill(&self, head: &mut [u8; HEADER_OCTETS]) {
        head[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        head[2..4].copy_from_slice(&self.sequence.0.to_be_bytes());
        head[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        head[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// A received RTP packet: the fields copied, the rest borrowed from the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// The fixed header.
    pub header: RtpHeader,
    /// Contributing sources, four octets each.
    pub csrc: &'a [u8],
    /// The header extension, if there is one.
    pub extension: Option<HeaderExtension<'a>>,
    /// The payload without padding.
    pub payload: &'a [u8],
}

/// The header extension (RFC 3550 §5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderExtension<'a> {
    /// The 16 bits "defined by profile".
    pub profile: u16,
    /// A whole number of 32-bit words.
    pub data: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Reads a datagram; allocates nothing.
    ///
    /// # Errors
    /// [`RtpError::Truncated`], [`RtpError::Version`], [`RtpError::Padding`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let Some((head, mut rest)) = bytes.split_first_chunk::<HEADER_OCTETS>() else {
            return Err(truncated("the RTP header", HEADER_OCTETS, bytes.len()));
        };
        let first = head[0];
        if first >> 6 != 2 {
            return Err(RtpError::Version { what: "the RTP packet", found: first >> 6 });
        }
        let csrc = take(&mut rest, usize::from(first & 0x0f) * 4, "the CSRC list")?;
        let mut extension = None;
        if first & 0x10 != 0 {
            let lead = take(&mut rest, 4, "the header extension")?;
            let words = usize::from(u16::from_be_bytes([lead[2], lead[3]]));
            extension = Some(HeaderExtension {
                profile: u16::from_be_bytes([lead[0], lead[1]]),
                data: take(&mut rest, words * 4, "the header extension")?,
            });
        }
        if first & 0x20 != 0 {
            // The last octet counts the padding, itself included.
            let octets = rest.last().copied().unwrap_or(0);
            let kept = rest.len().checked_sub(usize::from(octets));
            match kept {
                Some(kept) if octets != 0 => rest = &rest[..kept],
                _ => {
                    return Err(RtpError::Padding { what: "the RTP packet", octets });
                }
            }
        }
        Ok(Self {
            header: RtpHeader {
                marker: head[1] & 0x80 != 0,
                payload_type: head[1] & 0x7f,
                sequence: SequenceNumber(u16::from_be_bytes([head[2], head[3]])),
                timestamp: Timestamp(u32::from_be_bytes([head[4], head[5], head[6], head[7]])),
                ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            },
            csrc,
            extension,
            payload: rest,
        })
    }

    /// Where the payload begins in the datagram.
    pub fn payload_at(&self) -> usize {
        HEADER_OCTETS + self.csrc.len() + self.extension.map_or(0, |it| 4 + it.data.len())
    }
}

/// Whether a datagram on a port shared by RTP and RTCP is RTCP (RFC 5761 §4).
#[inline]
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], octets: usize, what: &'static str) -> Result<&'a [u8], RtpError> {
    let (part, after) =
        rest.split_at_checked(octets).ok_or_else(|| truncated(what, octets, rest.len()))?;
    *rest = after;
    Ok(part)
}

#[cold]
fn truncated(what: &'static str, needed_octets: usize, present_octets: usize) -> RtpError {
    RtpError::Truncated { what, needed_octets, present_octets }
}

#[cfg(test)]
mod tests;
