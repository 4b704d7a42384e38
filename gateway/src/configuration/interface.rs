//! What is spoken on the D channel of a span: side, national variant, timers, data link.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_dsp::g711::Law;
use trunkline_isdn::q921::LinkConfiguration;
use trunkline_isdn::q931::timer::Timer;
use trunkline_isdn::{self as isdn, Variant};
use trunkline_program::{ConfigurationError, Source};

use super::SpanEntry;

/// Side of a primary rate interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// User side (TE, CPE).
    #[default]
    User,
    /// Network side (NT).
    Network,
}

/// Frame format of a span (ITU-T G.704; JT-G704 for Japan).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameFormat {
    /// 2,048 kbit/s: 30 B channels, the D channel on timeslot 16.
    E1,
    /// 1,544 kbit/s: 23 B channels, the D channel on timeslot 24.
    T1,
    /// The same in Japan: what differs (CRC-6, the yellow alarm) is a card's business.
    J1,
}

/// A national variant by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariantName(pub Variant);

impl Default for VariantName {
    fn default() -> Self {
        Self(Variant::EURO_ISDN)
    }
}

impl Serialize for VariantName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for VariantName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Variant::by_name(&text).map(Self).ok_or_else(|| {
            let names = Variant::ALL.map(|variant| variant.name).join(", ");
            serde::de::Error::custom(format!("{text:?} is no variant: write one of {names}"))
        })
    }
}

/// A timer of Q.931 by its name, as in `t303`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerName(pub Timer);

impl Serialize for TimerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("t{}", self.0.number()))
    }
}

impl<'de> Deserialize<'de> for TimerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timer::by_name(&text).map(Self).ok_or_else(|| {
            let names = Timer::ALL.map(|timer| format!("t{}", timer.number())).join(", ");
            serde::de::Error::custom(format!("{text:?} is no timer: write one of {names}"))
        })
    }
}

/// System parameters of the data link (Q.921 §5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataLinkEntry {
    /// T200: time for an answer, in ms.
    pub t200_ms: u64,
    /// T203: longest silence before the other end is asked, in ms.
    pub t203_ms: u64,
    /// N200: retransmissions.
    pub n200: u32,
    /// N201: octets of a message.
    pub n201_octets: usize,
    /// k: frames that may be outstanding.
    pub k: u8,
}

impl Default for DataLinkEntry {
    fn default() -> Self {
        let standard = LinkConfiguration::new(isdn::Side::User);
        Self {
            t200_ms: standard.t200.as_millis() as u64,
            t203_ms: standard.t203.as_millis() as u64,
            n200: standard.n200,
            n201_octets: standard.n201_octets,
            k: standard.k,
        }
    }
}

/// Timers that run longer are a slip of the pen.
const TIMER_MAX_S: u64 = 3_600;

impl SpanEntry {
    /// What is spoken on the D channel.
    pub fn interface(&self) -> isdn::Configuration {
        let side = match self.side {
            Side::User => isdn::Side::User,
            Side::Network => isdn::Side::Network,
        };
        let variant = match self.frame {
            None => self.variant.0,
            Some(FrameFormat::E1) => self.variant.0.on_e1(),
            Some(FrameFormat::T1 | FrameFormat::J1) => self.variant.0.on_t1(),
        };
        let mut interface = isdn::Configuration::new(side, variant);
        for (timer, &duration_s) in &self.timers_s {
            interface.timers.set(timer.0, Duration::from_secs(duration_s));
        }
        let DataLinkEntry { t200_ms, t203_ms, n200, n201_octets, k } = self.data_link;
        interface.link = LinkConfiguration {
            t200: Duration::from_millis(t200_ms),
            t203: Duration::from_millis(t203_ms),
            n200,
            n201_octets,
            k,
            ..interface.link
        };
        interface
    }

    /// Law of the speech on its B channels: that of its variant.
    pub fn law(&self) -> Law {
        if self.variant.0.is_mu_law() { Law::Mu } else { Law::A }
    }
}

/// Checks what is spoken on the span at this place of the list.
pub(super) fn check(
    place: usize,
    span: &SpanEntry,
    source: &Source,
) -> Result<(), ConfigurationError> {
    let between = |key: &str, value: u64, first: u64, last: u64| {
        if (first..=last).contains(&value) {
            return Ok(());
        }
        let remedy = format!("write a number from {first} to {last}");
        let key = format!("spans.{place}.{key}");
        Err(source.error(&key, format!("{value} is out of range"), remedy))
    };
    for (timer, &duration_s) in &span.timers_s {
        let key = format!("timers_s.t{}", timer.0.number());
        between(&key, duration_s, 1, TIMER_MAX_S)?;
    }
    let link = &span.data_link;
    between("data_link.t200_ms", link.t200_ms, 100, 60_000)?;
    // Q.921 §5.9.8: it outlasts T200.
    between("data_link.t203_ms", link.t203_ms, link.t200_ms + 1, 600_000)?;
    between("data_link.n200", link.n200.into(), 1, 20)?;
    between("data_link.n201_octets", link.n201_octets as u64, 64, 260)?;
    between("data_link.k", link.k.into(), 1, 127)?;
    if let Some(digits) = span.overlap_receiving_digits {
        let key = format!("spans.{place}.overlap_receiving_digits");
        if !span.variant.0.overlap {
            let problem = format!("numbers come whole in {}", span.variant.0.name);
            return Err(source.error(&key, problem, "leave it out"));
        }
        between("overlap_receiving_digits", digits.into(), 1, 20)?;
    }
    Ok(())
}

/// Timers set otherwise than the standard has them, by name.
pub type TimersS = BTreeMap<TimerName, u64>;
