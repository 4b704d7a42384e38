//! Rows of the store.

use serde::{Deserialize, Serialize};

use super::{StoreError, from_row};
use crate::gateways::Transport;
use crate::written::WrittenRoute;

/// What was done, when and by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1; of entries about prefixes it is the version.
    #[serde(default)]
    pub number: u64,
    /// When, in seconds since 1970 UTC.
    pub at_s: u64,
    /// Name of the token, or of the gateway.
    pub who: String,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// Things that are done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Single prefixes were set or taken out.
    Prefixes {
        /// Which.
        changes: Vec<PrefixChange>,
    },
    /// A whole table was imported.
    Imported {
        /// Entries of it.
        entries: u64,
        /// How many prefixes are new.
        added: u64,
        /// How many are gone.
        removed: u64,
        /// How many lead elsewhere.
        changed: u64,
    },
    /// The prefixes are again as they were.
    RolledBack {
        /// At this version.
        to: u64,
    },
    /// A gateway of the operator's was set.
    GatewaySet {
        /// Its name.
        gateway: String,
        /// Host and port.
        sip: String,
        /// Transport.
        transport: Transport,
    },
    /// A gateway was taken out.
    GatewayRemoved {
        /// Its name.
        gateway: String,
    },
    /// A gateway takes no new calls, or takes them again.
    Drained {
        /// Its name.
        gateway: String,
        /// No new calls.
        drain: bool,
    },
    /// A gateway registered.
    Registered {
        /// Its name.
        gateway: String,
        /// Host and port.
        sip: String,
        /// How many prefixes.
        prefixes: usize,
    },
    /// A registered gateway left, or was dead for too long.
    Left {
        /// Its name.
        gateway: String,
    },
    /// A token was made.
    TokenMade {
        /// Its name.
        token: String,
        /// What it permits.
        scopes: Vec<String>,
    },
    /// A token is worth nothing any more.
    TokenRevoked {
        /// Its name.
        token: String,
    },
}

impl Action {
    /// Whether it makes a new version of the prefixes.
    pub fn is_version(&self) -> bool {
        matches!(self, Self::Prefixes { .. }) || self.is_whole_table()
    }

    /// Whether what it made of the prefixes is in a file.
    pub fn is_whole_table(&self) -> bool {
        matches!(self, Self::Imported { .. } | Self::RolledBack { .. })
    }
}

/// A prefix that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrefixChange {
    /// With +.
    pub prefix: String,
    /// Where it led; none for a new one.
    pub before: Option<WrittenRoute>,
    /// Where it leads; none for one that is taken out.
    pub after: Option<WrittenRoute>,
}

impl Entry {
    pub(super) fn read(number: u64, row: &[u8]) -> Result<Self, StoreError> {
        let entry: Self = from_row("log", number.to_string(), row)?;
        Ok(Self { number, ..entry })
    }
}

/// A table in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Version of the prefixes that it holds; 0 before it is stored.
    pub number: u64,
    /// Name of the file.
    pub file: String,
    /// Its checksum.
    pub sha256: String,
    /// Prefixes in it.
    pub entries: u64,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredGateway {
    /// Its name.
    pub name: String,
    /// Host and port.
    pub sip: String,
    /// Transport.
    pub transport: Transport,
    /// It is the operator's.
    pub provisioned: bool,
    /// The operator lets it take no new calls.
    pub drained: bool,
    /// It registered itself.
    pub lease: Option<StoredLease>,
}

/// What a gateway registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredLease {
    /// Tells it from earlier ones.
    pub id: u64,
    /// How long the gateway may be silent, in milliseconds.
    pub lease_ms: u64,
    /// Trunk groups and their circuits.
    pub trunk_groups: Vec<(String, u32)>,
    /// Digits, trunk group, order, preference, weight.
    pub prefixes: Vec<(String, Option<u8>, u16, u16, u16)>,
}

/// A token; only its hash is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredToken {
    /// Its name.
    pub name: String,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// What it permits.
    pub scopes: Vec<String>,
    /// The only gateway that may register by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}
