//! Extended reports (RFC 3611): the VoIP metrics block is read and written, other blocks are skipped.
#![forbid(unsafe_code)]

use super::{take, word};
use crate::error::RtpError;

/// Packet type of extended reports (RFC 3611 §2).
pub(super) const EXTENDED_REPORT: u8 = 207;
/// Block type of VoIP metrics (RFC 3611 §4.7).
const VOIP_METRICS: u8 = 7;
/// The VoIP metrics block with its header.
pub(super) const VOIP_METRICS_OCTETS: usize = 36;
/// The constant of its length field: words after the first.
const VOIP_METRICS_LENGTH: u16 = 8;
/// What stands where a value is unavailable.
const UNAVAILABLE: u8 = 127;

/// How the voice of one source arrives and how good it is (RFC 3611 §4.7); all since the beginning of
/// reception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VoipMetrics {
    /// The source the block is about.
    pub ssrc: u32,
    /// Packets lost, in 1/256 of those expected.
    pub loss_rate: u8,
    /// Packets that came and could not be played, in 1/256 of those expected.
    pub discard_rate: u8,
    /// Packets lost or discarded within bursts, in 1/256.
    pub burst_density: u8,
    /// Packets lost or discarded within gaps, in 1/256.
    pub gap_density: u8,
    /// Mean duration of a burst, ms; 0 where there was none.
    pub burst_duration_ms: u16,
    /// Mean duration of a gap, ms; 0 where there was none.
    pub gap_duration_ms: u16,
    /// Round trip between the RTP interfaces, ms; 0 while it is not known.
    pub round_trip_ms: u16,
    /// What the end system adds to the delay, sending and receiving together, ms; 0 if unknown.
    pub end_system_delay_ms: u16,
    /// Level of speech, dBm0.
    pub signal_level_dbm0: Option<i8>,
    /// Level of the silence between, dBm0.
    pub noise_level_dbm0: Option<i8>,
    /// Residual echo return loss, dB.
    pub rerl_db: Option<u8>,
    /// Received packets in a row that end a burst.
    pub gmin: u8,
    /// R factor of this segment, 0..=100.
    pub r_factor: Option<u8>,
    /// R factor of the segment behind the reporter, 0..=100.
    pub external_r_factor: Option<u8>,
    /// Listening quality in tenths of MOS, 10..=50.
    pub mos_lq_tenths: Option<u8>,
    /// Conversational quality in tenths of MOS, 10..=50.
    pub mos_cq_tenths: Option<u8>,
    /// How losses are concealed.
    pub concealment: LossConcealment,
    /// Of which kind the jitter buffer is.
    pub jitter_buffer: JitterBufferKind,
    /// How fast an adaptive jitter buffer adjusts, 0..=15; 0 is unknown.
    pub adjustment_rate: u8,
    /// Delay of the jitter buffer for a packet that is exactly on time, ms.
    pub jitter_buffer_nominal_ms: u16,
    /// Delay for the earliest packet that would not be discarded now, ms.
    pub jitter_buffer_maximum_ms: u16,
    /// Delay that the jitter buffer can reach at worst, ms.
    pub jitter_buffer_absolute_maximum_ms: u16,
}

/// Packet loss concealment, by its two bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LossConcealment {
    /// Nothing is said about it.
    #[default]
    Unspecified,
    /// Silence is played.
    Disabled,
    /// An interpolation that conceals high loss rates.
    Enhanced,
    /// A replay or interpolation that conceals single losses.
    Standard,
}

/// The jitter buffer, by its two bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JitterBufferKind {
    /// Nothing is said about it, or a reserved value.
    #[default]
    Unknown,
    /// Its delay is fixed.
    Fixed,
    /// Its delay follows the jitter.
    Adaptive,
}

impl VoipMetrics {
    /// Reads a whole block.
    fn read(b: &[u8; VOIP_METRICS_OCTETS]) -> Self {
        let half = |at| u16::from_be_bytes([b[at], b[at + 1]]);
        let level = |octet: u8| (octet != UNAVAILABLE).then_some(octet as i8);
        // §4.7.5: other values than those of the range must be ignored.
        let within = |octet: u8, range: std::ops::RangeInclusive<u8>| {
            range.contains(&octet).then_some(octet)
        };
        Self {
            ssrc: word(b, 4),
            loss_rate: b[8],
            discard_rate: b[9],
            burst_density: b[10],
            gap_density: b[11],
            burst_duration_ms: half(12),
            gap_duration_ms: half(14),
            round_trip_ms: half(16),
            end_system_delay_ms: half(18),
            signal_level_dbm0: level(b[20]),
            noise_level_dbm0: level(b[21]),
            rerl_db: (b[22] != UNAVAILABLE).then_some(b[22]),
            gmin: b[23],
            r_factor: within(b[24], 0..=100),
            external_r_factor: within(b[25], 0..=100),
            mos_lq_tenths: within(b[26], 10..=50),
            mos_cq_tenths: within(b[27], 10..=50),
            concealment: match b[28] >> 6 {
                1 => LossConcealment::Disabled,
                2 => LossConcealment::Enhanced,
                3 => LossConcealment::Standard,
                _ => LossConcealment::Unspecified,
            },
            jitter_buffer: match b[28] >> 4 & 3 {
                2 => JitterBufferKind::Fixed,
                3 => JitterBufferKind::Adaptive,
                _ => JitterBufferKind::Unknown,
            },
            adjustment_rate: b[28] & 0x0f,
            jitter_buffer_nominal_ms: half(30),
            jitter_buffer_maximum_ms: half(32),
            jitter_buffer_absolute_maximum_ms: half(34),
        }
    }

    /// The block as it goes on the wire.
    pub(super) fn to_bytes(self) -> [u8; VOIP_METRICS_OCTETS] {
        let mut b = [0; VOIP_METRICS_OCTETS];
        b[0] = VOIP_METRICS;
        b[2..4].copy_from_slice(&VOIP_METRICS_LENGTH.to_be_bytes());
        b[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        b[8..12].copy_from_slice(&[
            self.loss_rate,
            self.discard_rate,
            self.burst_density,
            self.gap_density,
        ]);
        let level = |level: Option<i8>| level.map_or(UNAVAILABLE, |level| level as u8);
        b[20] = level(self.signal_level_dbm0);
        b[21] = level(self.noise_level_dbm0);
        b[22] = self.rerl_db.unwrap_or(UNAVAILABLE);
        b[23] = self.gmin;
        b[24] = self.r_factor.unwrap_or(UNAVAILABLE);
        b[25] = self.external_r_factor.unwrap_or(UNAVAILABLE);
        b[26] = self.mos_lq_tenths.unwrap_or(UNAVAILABLE);
        b[27] = self.mos_cq_tenths.unwrap_or(UNAVAILABLE);
        let concealment = match self.concealment {
            LossConcealment::Unspecified => 0,
            LossConcealment::Disabled => 1,
            LossConcealment::Enhanced => 2,
            LossConcealment::Standard => 3,
        };
        let jitter_buffer = match self.jitter_buffer {
            JitterBufferKind::Unknown => 0,
            JitterBufferKind::Fixed => 2,
            JitterBufferKind::Adaptive => 3,
        };
        b[28] = concealment << 6 | jitter_buffer << 4 | self.adjustment_rate.min(15);
        for (at, half) in [
            (12, self.burst_duration_ms),
            (14, self.gap_duration_ms),
            (16, self.round_trip_ms),
            (18, self.end_system_delay_ms),
            (30, self.jitter_buffer_nominal_ms),
            (32, self.jitter_buffer_maximum_ms),
            (34, self.jitter_buffer_absolute_maximum_ms),
        ] {
            b[at..at + 2].copy_from_slice(&half.to_be_bytes());
        }
        b
    }
}

/// One block of an extended report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendedBlock {
    /// How the voice of a source arrives.
    VoipMetrics(VoipMetrics),
    /// A block of another type: not used here.
    Other {
        /// The block type.
        block_type: u8,
    },
}

/// The blocks of an extended report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedBlocks<'a> {
    pub(super) rest: &'a [u8],
}

impl Iterator for ExtendedBlocks<'_> {
    type Item = Result<ExtendedBlock, RtpError>;

    /// The next block; an error in one that is whole concerns that block only.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match split_block(self.rest) {
            Ok((block, after)) => {
                self.rest = after;
                Some(read_block(block))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// Cuts the block at the start off, by its own length field (RFC 3611 §3).
fn split_block(bytes: &[u8]) -> Result<(&[u8], &[u8]), RtpError> {
    let mut rest = bytes;
    let head = take(&mut rest, 4, "the extended report block")?;
    let octets = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
    let mut rest = bytes;
    let block = take(&mut rest, octets, "the extended report block")?;
    Ok((block, rest))
}

fn read_block(block: &[u8]) -> Result<ExtendedBlock, RtpError> {
    if block[0] != VOIP_METRICS {
        return Ok(ExtendedBlock::Other { block_type: block[0] });
    }
    let block: &[u8; VOIP_METRICS_OCTETS] = block.try_into().map_err(|_| RtpError::Value {
        what: "the length of the VoIP metrics block",
        found: u32::from(u16::from_be_bytes([block[2], block[3]])),
    })?;
    Ok(ExtendedBlock::VoipMetrics(VoipMetrics::read(block)))
}

#[cfg(test)]
mod tests;
