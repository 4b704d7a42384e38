//! Why a number goes where it goes: the matched entry and its gateways.

use std::fmt;

use serde::Serialize;
use trunkline_number::E164;

use crate::table::{Digits, Found, Snapshot};

/// What the table says about a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The number.
    pub number: E164,
    /// The longest prefix of the table that matches, with +; none for an unknown number.
    pub prefix: Option<String>,
    /// Its gateways, the first choice first.
    pub gateways: Vec<WhyGateway>,
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
    /// The SIP URI of the number there.
    pub uri: String,
}

/// Asks the table.
pub fn why(table: &Snapshot, number: E164) -> Why {
    let digits = Digits::from(&number);
    let Found::Route { prefix, route } = table.find(digits) else {
        return Why { number, prefix: None, gateways: Vec::new() };
    };
    let gateways = route
        .choices()
        .iter()
        .map(|choice| {
            let gateway = table.gateway(choice);
            WhyGateway {
                name: gateway.name.clone(),
                order: choice.order,
                preference: choice.preference,
                uri: gateway.uri(&digits).to_string(),
            }
        })
        .collect();
    Why { number, prefix: Some(format!("+{prefix}")), gateways }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(prefix) = &self.prefix else {
            return write!(f, "{}: unknown, no prefix of the table matches", self.number);
        };
        write!(f, "{}: matches {prefix}", self.number)?;
        for gateway in &self.gateways {
            let WhyGateway { name, order, preference, uri } = gateway;
            write!(f, "\n  gateway {name}, order {order}, preference {preference}: {uri}")?;
        }
        Ok(())
    }
}
