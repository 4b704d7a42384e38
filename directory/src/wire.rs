//! What gateways and the directory say to each other over HTTP, in JSON; `http/openapi.json` has it
//! in full.

use serde::{Deserialize, Serialize};

use crate::gateways::Transport;
use crate::written::{default_order, default_weight};

/// What a gateway, or an operator for it, says when it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coming {
    /// Host, or host and port, of its SIP side.
    pub sip: String,
    /// How SIP gets there.
    #[serde(default)]
    pub transport: Transport,
    /// With it the gateway registers itself, for so long; without it the operator sets it for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
    /// Its circuits.
    #[serde(default)]
    pub trunk_groups: Vec<GroupComing>,
    /// The numbers it serves.
    #[serde(default)]
    pub prefixes: Vec<PrefixComing>,
}

/// Circuits to one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupComing {
    /// Name at the gateway.
    pub name: String,
    /// How many it has.
    pub circuits: u32,
}

/// A prefix that a gateway serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixComing {
    /// With +, or as an area code.
    pub prefix: String,
    /// The trunk group that serves it; none where any does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk_group: Option<String>,
    /// NAPTR order.
    #[serde(default = "default_order")]
    pub order: u16,
    /// NAPTR preference.
    #[serde(default = "default_order")]
    pub preference: u16,
    /// Share of the calls among equals.
    #[serde(default = "default_weight")]
    pub weight: u16,
}

/// What a gateway that has come is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// Its name.
    pub gateway: String,
    /// To be shown with each report; none for the operator's gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// How long it may be silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<f64>,
}

/// How a registered gateway is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// From [`Granted`].
    pub lease: String,
    /// Its trunk groups, in the order of [`Coming`].
    #[serde(default)]
    pub trunk_groups: Vec<GroupTold>,
    /// It takes no new calls.
    #[serde(default)]
    pub draining: bool,
    /// What is wrong, in words for the operator.
    #[serde(default)]
    pub alarms: Vec<String>,
}

/// How a trunk group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupTold {
    /// Free circuits.
    pub free: u32,
    /// None of its circuits can carry a call.
    #[serde(default)]
    pub alarmed: bool,
}
