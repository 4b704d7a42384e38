//! RTCP: compound packets read as an iterator and written into the caller's buffer (RFC 3550 §6).
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::RtpError;
use crate::ntp::NtpTime;
use crate::packet::Timestamp;

mod compose;
mod xr;

pub use compose::{Report, write_report};
pub use xr::{ExtendedBlock, ExtendedBlocks, JitterBufferKind, LossConcealment, VoipMetrics};

use xr::EXTENDED_REPORT;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
/// SDES item type of the canonical name (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

const BLOCK_OCTETS: usize = 24;
const SENDER_OCTETS: usize = 20;

/// What the sender of a stream says of it (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderReport {
    /// When the report was sent.
    pub ntp: NtpTime,
    /// The same moment on the stream's RTP clock.
    pub timestamp: Timestamp,
    /// Packets sent so far, modulo 2^32.
    pub packets: u32,
    /// Payload octets sent so far, modulo 2^32.
    pub octets: u32,
}

/// What a receiver says of one source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source the block is about.
    pub ssrc: u32,
    /// Loss since the block before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, 24 bits with sign.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the count of wraps above it.
    pub highest_sequence: u32,
    /// Interarrival jitter in steps of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time (LSR), 0 if there was none.
    pub last_sr: u32,
    /// Time since that report came (DLSR), in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// SR: a sender speaks of its stream and of what it receives.
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// Of its stream.
        report: SenderReport,
        /// Of what it receives.
        blocks: ReportBlocks<'a>,
    },
    /// RR: of what it receives.
    ReceiverReport {
        /// The receiver.
        ssrc: u32,
        /// Of what it receives.
        blocks: ReportBlocks<'a>,
    },
    /// SDES: names of sources.
    SourceDescription(CanonicalNames<'a>),
    /// BYE: sources end.
    Bye {
        /// The sources that end.
        sources: Sources<'a>,
        /// Why, as bytes that should be UTF-8.
        reason: Option<&'a [u8]>,
    },
    /// XR: of what it receives in more detail (RFC 3611).
    ExtendedReport {
        /// The receiver.
        ssrc: u32,
        /// Of what it receives.
        blocks: ExtendedBlocks<'a>,
    },
    /// APP, feedback: not used here.
    Other {
        /// The packet type.
        packet_type: u8,
    },
}

/// The packets of a compound whose outer form is known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks the compound as a whole (RFC 3550 §6.1, A.2): version 2 throughout, SR or RR first, the
    /// lengths add up to the datagram, padding only in the last packet.
    ///
    /// # Errors
    /// [`RtpError::Truncated`], [`RtpError::Version`], [`RtpError::CompoundStart`], [`RtpError::Padding`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let mut rest = bytes;
        let mut first = true;
        while first || !rest.is_empty() {
            let (part, after) = split_packet(rest)?;
            if first && !matches!(part[1], SENDER_REPORT | RECEIVER_REPORT) {
                return Err(RtpError::CompoundStart { found: part[1] });
            }
            let padded = part[0] & 0x20 != 0;
            let octets = part[part.len() - 1];
            let fits = octets != 0 && octets % 4 == 0 && usize::from(octets) <= part.len() - 4;
            if padded && (!after.is_empty() || !fits) {
                return Err(RtpError::Padding { what: "the RTCP packet", octets });
            }
            first = false;
            rest = after;
        }
        Ok(Self { rest: bytes })
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<RtcpPacket<'a>, RtpError>;

    /// The next packet; an error concerns that packet only, those after it can still be read.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match split_packet(self.rest) {
            Ok((part, after)) => {
                self.rest = after;
                Some(read_packet(part))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// Report blocks of an SR or RR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (b, rest) = self.rest.split_first_chunk::<BLOCK_OCTETS>()?;
        self.rest = rest;
        // Sign extension of the 24 bits.
        let lost = i32::from_be_bytes([b[5], b[6], b[7], 0]) >> 8;
        Some(ReportBlock {
            ssrc: word(b, 0),
            fraction_lost: b[4],
            cumulative_lost: lost,
            highest_sequence: word(b, 8),
            jitter: word(b, 12),
            last_sr: word(b, 16),
            delay_since_last_sr: word(b, 20),
        })
    }
}

/// The sources a BYE names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources<'a> {
    rest: &'a [u8],
}

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*word))
    }
}

/// The canonical names of an SDES packet: source and CNAME. Other items are skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalNames<'a> {
    rest: &'a [u8],
    chunks: u8,
}

impl<'a> Iterator for CanonicalNames<'a> {
    type Item = Result<(u32, &'a [u8]), RtpError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.chunks > 0 {
            self.chunks -= 1;
            match self.read_chunk() {
                Ok((ssrc, Some(name))) => return Some(Ok((ssrc, name))),
                Ok((_, None)) => {}
                Err(error) => {
                    self.chunks = 0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl<'a> CanonicalNames<'a> {
    fn read_chunk(&mut self) -> Result<(u32, Option<&'a [u8]>), RtpError> {
        let whole = self.rest.len();
        let ssrc = take(&mut self.rest, 4, "the SDES chunk")?;
        let mut name = None;
        loop {
            let kind = take(&mut self.rest, 1, "the SDES item")?[0];
            if kind == 0 {
                // The list ends with one null octet or more, up to the next 32-bit boundary (§6.5).
                let used = whole - self.rest.len();
                let fill = used.next_multiple_of(4) - used;
                take(&mut self.rest, fill, "the SDES padding")?;
                return Ok((word(ssrc, 0), name));
            }
            let length = take(&mut self.rest, 1, "the SDES item")?[0];
            let text = take(&mut self.rest, usize::from(length), "the SDES item")?;
            if kind == CNAME {
                name = Some(text);
            }
        }
    }
}

/// The pause to the next report (RFC 3550 §6.2, §6.3.1) for a call of two: the minimum of 5 s rules, as
/// 5 % of even an 8 kbit/s session would allow a report each 2.4 s. The `first` pause is halved;
/// `random`, uniform over all of `u32`, spreads it over 0.5 to 1.5 times, and the timer
/// reconsideration's factor e - 3/2 is applied.
pub fn report_interval(first: bool, random: u32) -> Duration {
    let minimum_s = if first { 2.5 } else { 5.0 };
    let spread = 0.5 + f64::from(random) / f64::from(u32::MAX);
    Duration::from_secs_f64(minimum_s * spread / (std::f64::consts::E - 1.5))
}

/// Cuts the packet at the start off, by its own length field.
fn split_packet(bytes: &[u8]) -> Result<(&[u8], &[u8]), RtpError> {
    let mut rest = bytes;
    let head = take(&mut rest, 4, "the RTCP header")?;
    if head[0] >> 6 != 2 {
        return Err(RtpError::Version { what: "the RTCP packet", found: head[0] >> 6 });
    }
    let octets = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
    let mut rest = bytes;
    let part = take(&mut rest, octets, "the RTCP packet")?;
    Ok((part, rest))
}

fn read_packet(part: &[u8]) -> Result<RtcpPacket<'_>, RtpError> {
    let count = part[0] & 0x1f;
    let mut rest = &part[4..];
    if part[0] & 0x20 != 0 {
        let octets = usize::from(rest.last().copied().unwrap_or(0));
        rest = &rest[..rest.len().saturating_sub(octets)];
    }
    let blocks_octets = usize::from(count) * BLOCK_OCTETS;
    Ok(match part[1] {
        SENDER_REPORT => {
            let ssrc = word(take(&mut rest, 4, "the sender report")?, 0);
            let s = take(&mut rest, SENDER_OCTETS, "the sender report")?;
            RtcpPacket::SenderReport {
                ssrc,
                report: SenderReport {
                    ntp: NtpTime(u64::from(word(s, 0)) << 32 | u64::from(word(s, 4))),
                    timestamp: Timestamp(word(s, 8)),
                    packets: word(s, 12),
                    octets: word(s, 16),
                },
                // What is left after the blocks is a profile's extension (§6.4.3), skipped.
                blocks: ReportBlocks { rest: take(&mut rest, blocks_octets, "the report blocks")? },
            }
        }
        RECEIVER_REPORT => RtcpPacket::ReceiverReport {
            ssrc: word(take(&mut rest, 4, "the receiver report")?, 0),
            blocks: ReportBlocks { rest: take(&mut rest, blocks_octets, "the report blocks")? },
        },
        SOURCE_DESCRIPTION => RtcpPacket::SourceDescription(CanonicalNames { rest, chunks: count }),
        BYE => {
            let sources = take(&mut rest, usize::from(count) * 4, "the BYE sources")?;
            let reason = if rest.is_empty() {
                None
            } else {
                let length = take(&mut rest, 1, "the BYE reason")?[0];
                Some(take(&mut rest, usize::from(length), "the BYE reason")?)
            };
            RtcpPacket::Bye { sources: Sources { rest: sources }, reason }
        }
        EXTENDED_REPORT => {
            let ssrc = word(take(&mut rest, 4, "the extended report")?, 0);
            RtcpPacket::ExtendedReport { ssrc, blocks: ExtendedBlocks { rest } }
        }
        packet_type => RtcpPacket::Other { packet_type },
    })
}

fn take<'a>(rest: &mut &'a [u8], octets: usize, what: &'static str) -> Result<&'a [u8], RtpError> {
    let (part, after) = rest.split_at_checked(octets).ok_or(RtpError::Truncated {
        what,
        needed_octets: octets,
        present_octets: rest.len(),
    })?;
    *rest = after;
    Ok(part)
}

/// Callers have made sure of the length.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests;
