//! Writing of the one compound a leg sends: SR or RR, SDES CNAME, XR if it was asked for, and BYE at
//! the end.
#![forbid(unsafe_code)]

use super::xr::{EXTENDED_REPORT, VOIP_METRICS_OCTETS, VoipMetrics};
use super::{BLOCK_OCTETS, BYE, CNAME, RECEIVER_REPORT, ReportBlock, SENDER_OCTETS, SENDER_REPORT};
use super::{SOURCE_DESCRIPTION, SenderReport};
use crate::error::RtpError;

/// What a leg reports.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Our source.
    pub ssrc: u32,
    /// Of our stream, if anything was sent since the report before; else an RR goes out (§6.4).
    pub sender: Option<SenderReport>,
    /// Of what we receive; at most 31.
    pub blocks: &'a [ReportBlock],
    /// Our canonical name, at most 255 octets.
    pub cname: &'a str,
    /// The voice that we receive, in an extended report (RFC 3611).
    pub voip_metrics: Option<VoipMetrics>,
    /// Whether our source ends (§6.6).
    pub bye: bool,
}

/// Writes `report` at the start of `out` and returns its octets; allocates nothing.
///
/// # Errors
/// [`RtpError::BufferTooSmall`]; [`RtpError::TooLong`] for a name or a list beyond its field.
pub fn write_report(report: &Report<'_>, out: &mut [u8]) -> Result<usize, RtpError> {
    check_length("the list of report blocks", report.blocks.len(), 31)?;
    check_length("the CNAME", report.cname.len(), 255)?;

    // The SDES chunk: source, type, length, text, and one to four nulls to the 32-bit boundary (§6.5).
    let chunk_octets = (4 + 2 + report.cname.len() + 1).next_multiple_of(4);
    let sender_octets = if report.sender.is_some() { SENDER_OCTETS } else { 0 };
    let report_octets = 8 + sender_octets + report.blocks.len() * BLOCK_OCTETS;
    let extended_octets = if report.voip_metrics.is_some() { 8 + VOIP_METRICS_OCTETS } else { 0 };
    let bye_octets = if report.bye { 8 } else { 0 };
    let needed_octets = report_octets + 4 + chunk_octets + extended_octets + bye_octets;
    let present_octets = out.len();
    let out = out.get_mut(..needed_octets).ok_or(RtpError::BufferTooSmall {
        what: "the RTCP report",
        needed_octets,
        present_octets,
    })?;
    out.fill(0);
    let mut writer = Writer { out, at: 0 };

    let kind = if report.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    writer.header(report.blocks.len() as u8, kind, report_octets);
    writer.word(report.ssrc);
    if let Some(sender) = report.sender {
        writer.put(&sender.ntp.0.to_be_bytes());
        writer.word(sender.timestamp.0);
        writer.word(sender.packets);
        writer.word(sender.octets);
    }
    for block in report.blocks {
        writer.word(block.ssrc);
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        writer.word(u32::from(block.fraction_lost) << 24 | lost);
        writer.word(block.highest_sequence);
        writer.word(block.jitter);
        writer.word(block.last_sr);
        writer.word(block.delay_since_last_sr);
    }

    writer.header(1, SOURCE_DESCRIPTION, 4 + chunk_octets);
    let chunk_end = writer.at + chunk_octets;
    writer.word(report.ssrc);
    writer.put(&[CNAME, report.cname.len() as u8]);
    writer.put(report.cname.as_bytes());
    writer.at = chunk_end;

    if let Some(metrics) = report.voip_metrics {
        writer.header(0, EXTENDED_REPORT, extended_octets);
        writer.word(report.ssrc);
        writer.put(&metrics.to_bytes());
    }

    // RFC 3550 §6.1: the last packet of a source is its BYE.
    if report.bye {
        writer.header(1, BYE, bye_octets);
        writer.word(report.ssrc);
    }
    Ok(needed_octets)
}

/// The whole length is checked before the first octet is written.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    fn header(&mut self, count: u8, kind: u8, octets: usize) {
        let words_less_one = (octets / 4 - 1) as u16;
        let [high, low] = words_less_one.to_be_bytes();
        self.put(&[0x80 | count, kind, high, low]);
    }
}

fn check_length(what: &'static str, length: usize, limit: usize) -> Result<(), RtpError> {
    if length > limit {
        return Err(RtpError::TooLong { what, length, limit });
    }
    Ok(())
}
