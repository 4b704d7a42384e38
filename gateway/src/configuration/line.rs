//! What carries a span: TDM over Ethernet, or a span of the DAHDI driver.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use trunkline_program::{ConfigurationError, Source};
use trunkline_tdm::dahdi::SetUp;
use trunkline_tdm::dahdi::device::{Coding, DynamicSpan, Framing, LineSettings};
use trunkline_tdm::{DahdiBuffers, DahdiConfig, EchoCanceller, Gains};

use super::{Side, SpanEntry};

/// What carries a span.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum LineEntry {
    /// TDM over Ethernet frames in UDP datagrams.
    Tdmoe {
        /// Our UDP address.
        local: SocketAddr,
        /// The other end's UDP address.
        remote: SocketAddr,
        /// Who paces the line.
        #[serde(default)]
        clock: Clock,
    },
    /// A span of the DAHDI driver in this host.
    Dahdi(DahdiEntry),
}

/// Who paces a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The other end; we answer frame by frame.
    #[default]
    Line,
    /// This host's clock.
    Internal,
}

/// A span of the DAHDI driver.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DahdiEntry {
    /// Its number in `/proc/dahdi`, from 1.
    pub span: u16,
    /// Length of a block in ms, 2 to 20: from the line we hear two of them late at most, to the
    /// line we speak `buffers.ahead` late; shorter ones wake the span's thread more often.
    #[serde(default = "default_block_ms")]
    pub block_ms: u8,
    /// How the span is set up at the start; none: `dahdi_cfg` has done it.
    #[serde(default)]
    pub set_up: Option<SetUpEntry>,
    /// Buffers of each B channel.
    #[serde(default)]
    pub buffers: BuffersEntry,
    /// Gains of each B channel.
    #[serde(default)]
    pub gains_db: GainsEntry,
    /// The driver's echo canceller for calls with speech; none: no canceller.
    #[serde(default)]
    pub echo_canceller: Option<EchoCancellerEntry>,
}

/// How a span is set up.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetUpEntry {
    /// Priority as a source of the card's clock, 1 the first; 0: the card gives the clock. None: 1 on
    /// the user side, 0 on the network's.
    pub sync: Option<u8>,
    /// Line code; none: HDB3 on an E1, B8ZS on a T1 or J1.
    pub coding: Option<CodingName>,
    /// CRC-4 multiframes on an E1; none: yes.
    pub crc4: Option<bool>,
    /// Superframes of 12 frames (D4) on a T1 instead of extended ones.
    pub d4: bool,
    /// Line build-out, 0 to 7, as `dahdi_cfg` counts it.
    pub build_out: u8,
    /// The span is one of `dahdi_dynamic`, and made at the start.
    pub dynamic: Option<DynamicEntry>,
}

/// A line code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CodingName {
    /// Alternate mark inversion.
    Ami,
    /// Of a T1.
    B8zs,
    /// Of an E1.
    Hdb3,
}

/// A span of `dahdi_dynamic`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicEntry {
    /// `eth` or `loc`.
    pub driver: String,
    /// Where the other end is, as the driver writes it: `eth0/02:00:00:00:00:01/0`, `1:0`.
    pub address: String,
    /// Priority as a source of the driver's clock; 0: none.
    #[serde(default)]
    pub timing: u8,
}

/// Buffers of a B channel.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuffersEntry {
    /// How many each way, 4 to 32, of a block each.
    pub count: u8,
    /// Blocks on the way to the line: a thread that is later than these leaves a hole.
    pub ahead: u8,
    /// When the driver plays.
    pub policy: PolicyName,
}

impl Default for BuffersEntry {
    fn default() -> Self {
        let DahdiBuffers { count, ahead, .. } = DahdiBuffers::default();
        Self { count, ahead, policy: PolicyName::Immediate }
    }
}

/// When the driver plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// As soon as there is something.
    #[default]
    Immediate,
    /// When half of the buffers are full; `ahead` is that half then.
    HalfFull,
}

/// Gains of a B channel, in dB.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GainsEntry {
    /// From the line.
    pub receive: f32,
    /// To the line.
    pub transmit: f32,
}

/// An echo canceller of the driver or of the card.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EchoCancellerEntry {
    /// Its name, as in `mg2`; `hwec` for the card's. None: the one that `dahdi_cfg` has attached.
    #[serde(default)]
    pub name: Option<String>,
    /// Samples of its tail.
    #[serde(default = "default_taps")]
    pub taps: u16,
}

fn default_block_ms() -> u8 {
    10
}

/// 32 ms.
fn default_taps() -> u16 {
    256
}

impl DahdiEntry {
    /// How the driver is used for a span, with its D channel on this timeslot.
    pub fn config(&self, span: &SpanEntry, d_channel: u8) -> DahdiConfig {
        let BuffersEntry { count, ahead, policy } = self.buffers;
        let echo_canceller = self
            .echo_canceller
            .as_ref()
            .map(|echo| EchoCanceller { name: echo.name.clone(), taps: echo.taps });
        DahdiConfig {
            block_samples: usize::from(self.block_ms) * 8,
            set_up: self.set_up.as_ref().map(|set_up| set_up.set_up(span.side, d_channel == 24)),
            buffers: DahdiBuffers { count, ahead, half_full: policy == PolicyName::HalfFull },
            gains: Gains { receive_db: self.gains_db.receive, transmit_db: self.gains_db.transmit },
            echo_canceller,
            ..DahdiConfig::new(self.span.into(), d_channel, span.law())
        }
    }

    /// How late speech from the line is at most, and speech to the line, in ms.
    pub fn delays_ms(&self) -> (u32, u32) {
        let block_ms = u32::from(self.block_ms);
        let BuffersEntry { count, ahead, policy } = self.buffers;
        let buffers = DahdiBuffers { count, ahead, half_full: policy == PolicyName::HalfFull };
        (2 * block_ms, u32::from(buffers.blocks_ahead()) * block_ms)
    }
}

impl SetUpEntry {
    fn set_up(&self, side: Side, is_t1: bool) -> SetUp {
        let coding = match self.coding {
            Some(CodingName::Ami) => Coding::Ami,
            Some(CodingName::B8zs) => Coding::B8zs,
            Some(CodingName::Hdb3) => Coding::Hdb3,
            None if is_t1 => Coding::B8zs,
            None => Coding::Hdb3,
        };
        let framing = match (is_t1, self.d4) {
            (true, true) => Framing::D4,
            (true, false) => Framing::Esf,
            (false, _) => Framing::Ccs { crc4: self.crc4.unwrap_or(true) },
        };
        let sync = self.sync.unwrap_or((side == Side::User).into()).into();
        let dynamic = self.dynamic.as_ref().map(|dynamic| DynamicSpan {
            driver: dynamic.driver.clone(),
            address: dynamic.address.clone(),
            timing: dynamic.timing.into(),
        });
        let line = LineSettings { framing, coding, build_out: self.build_out.into(), sync };
        SetUp { dynamic, line }
    }
}

/// Checks the span of DAHDI at this place of the list.
pub(super) fn check_dahdi(
    place: usize,
    span: &SpanEntry,
    entry: &DahdiEntry,
    source: &Source,
) -> Result<(), ConfigurationError> {
    let wrong = |key: &str, problem: String, remedy: &str| {
        Err(source.error(&format!("spans.{place}.line.dahdi.{key}"), problem, remedy))
    };
    if entry.span == 0 {
        let remedy = "take a number that /proc/dahdi lists, 1 or more";
        return wrong("span", "DAHDI has no span 0".to_owned(), remedy);
    }
    if !(2..=20).contains(&entry.block_ms) {
        let problem = format!("a block of {} ms cannot be had from DAHDI", entry.block_ms);
        return wrong("block_ms", problem, "take 2 to 20; 10 suits most");
    }
    let BuffersEntry { count, ahead, .. } = entry.buffers;
    if !(4..=32).contains(&count) {
        let problem = format!("DAHDI does not take {count} buffers");
        return wrong("buffers.count", problem, "take 4 to 32; 8 suits most");
    }
    if !(1..=count / 2).contains(&ahead) {
        let problem = format!("{ahead} of {count} buffers cannot be kept ahead");
        return wrong("buffers.ahead", problem, "take 1 to half of the count; 2 suits most");
    }
    for (key, gain) in [("receive", entry.gains_db.receive), ("transmit", entry.gains_db.transmit)]
    {
        if !(-24.0..=12.0).contains(&gain) {
            let problem = format!("{gain} dB is no gain for speech");
            return wrong(
                &format!("gains_db.{key}"),
                problem,
                "write -24 to 12; 0 changes nothing",
            );
        }
    }
    if let Some(echo) = &entry.echo_canceller
        && !matches!(echo.taps, 32 | 64 | 128 | 256 | 512 | 1024)
    {
        let problem = format!("no echo canceller has {} taps", echo.taps);
        let remedy = "write 32, 64, 128, 256, 512 or 1024 (8 to 128 ms)";
        return wrong("echo_canceller.taps", problem, remedy);
    }
    match &entry.set_up {
        Some(set_up) => check_set_up(place, span, set_up, source),
        None => Ok(()),
    }
}

fn check_set_up(
    place: usize,
    span: &SpanEntry,
    set_up: &SetUpEntry,
    source: &Source,
) -> Result<(), ConfigurationError> {
    let wrong = |key: &str, problem: &str, remedy: &str| {
        Err(source.error(&format!("spans.{place}.line.dahdi.set_up.{key}"), problem, remedy))
    };
    let is_t1 = span.interface().variant.d_channel == 24;
    match set_up.coding {
        Some(CodingName::Hdb3) if is_t1 => {
            return wrong("coding", "HDB3 is no line code of a T1", "write b8zs or ami");
        }
        Some(CodingName::B8zs) if !is_t1 => {
            return wrong("coding", "B8ZS is no line code of an E1", "write hdb3 or ami");
        }
        _ => {}
    }
    if set_up.crc4.is_some() && is_t1 {
        return wrong("crc4", "a T1 has no CRC-4", "leave it out");
    }
    if set_up.d4 && !is_t1 {
        return wrong("d4", "an E1 has no superframes of 12 frames", "leave it out");
    }
    if set_up.build_out > 7 {
        return wrong("build_out", "there is no such line build-out", "write 0 to 7");
    }
    if let Some(dynamic) = &set_up.dynamic {
        if !matches!(dynamic.driver.as_str(), "eth" | "loc") {
            return wrong("dynamic.driver", "it is no driver of dahdi_dynamic", "write eth or loc");
        }
        if dynamic.address.is_empty() || dynamic.address.len() > 39 {
            let remedy = "write it as in eth0/02:00:00:00:00:01/0 or 1:0";
            return wrong("dynamic.address", "it is no address of a dynamic span", remedy);
        }
    }
    Ok(())
}
