//! What can go wrong on the way past the kernel.

use std::io;

use crate::bpf::Mode;

/// Why a device cannot be had past the kernel, or no more.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// No device of this name.
    #[error("no network device is called {device}")]
    NoDevice {
        /// The name.
        device: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The device has no Ethernet frames, as the loopback.
    #[error("{device} is no Ethernet: its packets stay with the kernel")]
    NoEthernet {
        /// The name.
        device: String,
    },
    /// The kernel refuses a map or the program.
    #[error("the kernel refuses {what}: {source}; it needs CAP_BPF and CAP_NET_ADMIN")]
    Program {
        /// The map or program.
        what: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The program cannot be put on the device.
    #[error(
        "the XDP program cannot be put on {device} ({}): {source}; it needs CAP_NET_ADMIN, and no \
         other XDP program there", mode_name(*mode)
    )]
    Attach {
        /// The device.
        device: String,
        /// In the driver or behind it.
        mode: Mode,
        /// What the kernel says.
        source: io::Error,
    },
    /// No AF_XDP socket on a queue of the device.
    #[error("no AF_XDP socket on queue {queue} of {device}: {step}: {source}")]
    Socket {
        /// The device.
        device: String,
        /// The queue.
        queue: u32,
        /// What was being done.
        step: &'static str,
        /// What the kernel says, with a remedy if there is one.
        source: io::Error,
    },
    /// The kernel does not say where packets go.
    #[error("netlink: {step}: {source}")]
    Netlink {
        /// What was being done.
        step: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Native => "native",
        Mode::Generic => "generic",
    }
}
