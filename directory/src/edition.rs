//! All that a query is answered from, replaced as a whole.

use std::sync::Arc;
use std::time::Instant;

use trunkline_number::CountryProfile;

use crate::enum_server::Zone;
use crate::gateways::Gateways;
use crate::table::Table;

/// All that a query is answered from. Its parts are shared, so that a changed edition costs what
/// has changed.
#[derive(Clone, Debug)]
pub struct Edition {
    /// Domains, TTLs, names and clients.
    pub zone: Arc<Zone>,
    /// Prefixes and their routes.
    pub table: Table,
    /// Gateways and how they stand.
    pub gateways: Gateways,
    /// How numbers are written in look-ups.
    pub country: Arc<CountryProfile>,
    /// Version of the operator's prefixes: the number of the last entry of the log about them; 0
    /// where there is no store.
    pub version: u64,
    /// When the operator's prefixes were loaded.
    pub loaded_at: Instant,
}
