//! How causes become statuses and back, where an operator wants it otherwise than the standard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trunkline_call::interworking::{CauseMap, Standard};
use trunkline_program::{ConfigurationError, Source};

/// The tables of a standard, and what differs from them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Causes {
    /// The standard: `rfc3398`, `rfc4497` or `q1912_5`.
    pub standard: Standard,
    /// Final SIP status by Q.850 cause, for calls that the line ends before answer.
    pub to_status: BTreeMap<u8, u16>,
    /// Q.850 cause by final SIP status, for calls that the packet side refuses without a Reason.
    pub to_cause: BTreeMap<u16, u8>,
}

impl Causes {
    /// Checks the entries, and gives the tables.
    pub(super) fn map(&self, source: &Source) -> Result<CauseMap, ConfigurationError> {
        let check = |key: String, what: &str, value: u16, first: u16, last: u16| {
            if (first..=last).contains(&value) {
                return Ok(());
            }
            let remedy = format!("write a {what} from {first} to {last}");
            Err(source.error(&key, format!("{value} is no {what}"), remedy))
        };
        let mut map = CauseMap::of(self.standard);
        for (&cause, &status) in &self.to_status {
            let key = format!("causes.to_status.{cause}");
            check(key.clone(), "Q.850 cause", cause.into(), 1, 127)?;
            check(key, "final SIP status that refuses a call", status, 400, 699)?;
            map.set_status(cause, status);
        }
        for (&status, &cause) in &self.to_cause {
            let key = format!("causes.to_cause.{status}");
            check(key.clone(), "final SIP status that refuses a call", status, 300, 699)?;
            check(key, "Q.850 cause", cause.into(), 1, 127)?;
            map.set_cause(status, cause);
        }
        Ok(map)
    }
}
