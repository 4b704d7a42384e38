//! The way past the kernel: an XDP program that steers RTP to AF_XDP sockets or relays it on its
//! own, the frames those sockets carry, and what the kernel knows of the network around.

mod assembler;
mod bpf;
mod bypass;
pub mod cache;
mod error;
pub mod frame;
pub mod network;
mod ports;
mod program;
mod ring;
mod socket;
mod sync;
mod umem;

pub use bpf::Mode;
pub use bypass::{Bypass, Lanes, Onward, Viewer};
pub use error::XdpError;
pub use ports::{PortTable, Relay, Relayed, Sender};
pub use socket::Binding;
