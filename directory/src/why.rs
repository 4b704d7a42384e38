//! Why a number goes where it goes: the matched entry, its gateways, and why some are left out.

use std::fmt;

use serde::Serialize;
use trunkline_number::E164;

use crate::edition::Edition;
use crate::selection::{LeftOut, Selection};
use crate::table::{Digits, Found, Portability, WeekMinute};

/// What the directory says about a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The number.
    pub number: E164,
    /// In a word, as ENUM answers it.
    pub result: Outcome,
    /// The longest prefix of the table that matches, with +; none for an unknown number.
    pub prefix: Option<String>,
    /// Routing number of the network that the number was ported to, with +.
    pub ported_to: Option<String>,
    /// Gateways that are offered, the first choice first.
    pub gateways: Vec<WhyGateway>,
    /// Gateways of the prefix that are not offered.
    pub left_out: Vec<WhyLeftOut>,
}

/// What an answer says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Gateways serve it.
    Served,
    /// It is known, and none of its gateways takes calls now.
    NoGateway,
    /// No prefix matches.
    Unknown,
}

/// A gateway that serves a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyGateway {
    /// Name in the table.
    pub name: String,
    /// NAPTR order.
    pub order: u16,
    /// NAPTR preference.
    pub preference: u16,
    /// Share of the calls among equals.
    pub weight: u16,
    /// The SIP URI of the number there.
    pub uri: String,
}

/// A gateway that does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyLeftOut {
    /// Name in the table.
    pub name: String,
    /// Why it is left out.
    pub reason: LeftOut,
}

/// Asks an edition, as a query would at that time.
pub fn why(edition: &Edition, number: E164, unix_s: u64) -> Why {
    let digits = Digits::from(&number);
    let Found::Routes(matched) = edition.table.find(digits) else {
        return Why {
            number,
            result: Outcome::Unknown,
            prefix: None,
            ported_to: None,
            gateways: Vec::new(),
            left_out: Vec::new(),
        };
    };
    let at = WeekMinute::from_unix(unix_s, edition.zone.utc_offset_min);
    let selection = Selection::new(&matched, &edition.gateways, at, 0);
    let gateway = |place| edition.gateways.gateway(place);
    let gateways: Vec<WhyGateway> = selection
        .offered()
        .iter()
        .filter_map(|candidate| {
            let choice = candidate.choice;
            let gateway = gateway(choice.gateway)?;
            Some(WhyGateway {
                name: gateway.name.clone(),
                order: choice.order,
                preference: choice.preference,
                weight: choice.weight,
                uri: gateway.uri(&digits).to_string(),
            })
        })
        .collect();
    let left_out = selection
        .left_out()
        .iter()
        .filter_map(|candidate| {
            let gateway = gateway(candidate.choice.gateway)?;
            Some(WhyLeftOut { name: gateway.name.clone(), reason: candidate.left_out? })
        })
        .collect();
    let is_served = !gateways.is_empty() || matched.portability().is_some();
    Why {
        number,
        result: if is_served { Outcome::Served } else { Outcome::NoGateway },
        prefix: Some(format!("+{}", matched.prefix)),
        ported_to: match matched.portability() {
            Some(Portability::Ported(rn)) => Some(format!("+{rn}")),
            _ => None,
        },
        gateways,
        left_out,
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(prefix) = &self.prefix else {
            return write!(f, "{}: unknown, no prefix of the table matches", self.number);
        };
        write!(f, "{}: matches {prefix}", self.number)?;
        if let Some(rn) = &self.ported_to {
            write!(f, ", ported to {rn}")?;
        }
        if self.result == Outcome::NoGateway {
            f.write_str(", but none of its gateways takes calls now")?;
        }
        for WhyGateway { name, order, preference, uri, .. } in &self.gateways {
            write!(f, "\n  gateway {name}, order {order}, preference {preference}: {uri}")?;
        }
        for WhyLeftOut { name, reason } in &self.left_out {
            write!(f, "\n  left out {name}: {}", reason.word())?;
        }
        Ok(())
    }
}
