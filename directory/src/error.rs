//! What can go wrong at the start and the reload of a directory.

use std::io;
use std::net::SocketAddr;

use trunkline_program::ConfigurationError;

use crate::fleet::FleetError;
use crate::provisioning::ProvisioningError;
use crate::store::StoreError;

/// Why a directory does not start or does not take a new table.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The configuration or the table cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// A socket does not open.
    #[error("{what} on {address} does not open: {cause}")]
    Listen {
        /// UDP, TCP or HTTP.
        what: &'static str,
        /// The address of the configuration.
        address: SocketAddr,
        /// The system's word.
        cause: io::Error,
    },
    /// The table has gateways that cannot be taken in.
    #[error(transparent)]
    Gateways(#[from] FleetError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prefixes in the store cannot be used.
    #[error(transparent)]
    Provisioning(#[from] ProvisioningError),
    /// There is nothing to answer from.
    #[error(
        "etcd gave no copy of the shared store within {waited_s} s, and there is none on the disk; \
         the log says why"
    )]
    NoCopy {
        /// How long was waited.
        waited_s: u64,
    },
    /// The SIP side does not start.
    #[error(transparent)]
    Sip(#[from] trunkline_sip::SipError),
    /// A thread does not start.
    #[error("a worker thread does not start: {0}")]
    Worker(io::Error),
}
