//! Which back end a host allows, found out by trying.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use trunkline_xdp::Mode;

use super::af_xdp::{FastPath, Share};
use super::{AfXdp, Backend, IoUring, Mio, PacketIo, Verdict, io_uring, showing};
use crate::error::MediaError;

/// What a back end needs to know of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The network device that RTP comes by; none: no packet goes past the kernel.
    pub device: Option<String>,
    /// Where the XDP program shall be; none: in the driver if it lets it, else behind it.
    pub xdp_mode: Option<Mode>,
    /// The ports of RTP.
    pub rtp_ports: RangeInclusive<u16>,
    /// How many workers there are to be.
    pub workers: usize,
    /// Whether streams may be relayed in the kernel; none: where the device is known to be able to.
    pub kernel_relay: Option<bool>,
    /// Differentiated services code point of what is sent.
    pub dscp: u8,
}

/// A back end that was tried, and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The back end.
    pub backend: Backend,
    /// Whether streams may be relayed in the kernel.
    pub relays_in_kernel: bool,
    /// For the log: why this one, what stands against a better one, and what would help.
    pub reason: String,
}

/// A back end that is ready to be opened on its worker's thread.
#[derive(Debug)]
pub enum Opening {
    /// With the worker's part of the fast path.
    AfXdp(Box<Share>),
    /// A ring of its own.
    IoUring,
    /// Sockets.
    Mio,
}

impl Opening {
    /// Which back end it is.
    pub fn backend(&self) -> Backend {
        match self {
            Self::AfXdp(_) => Backend::AfXdp,
            Self::IoUring => Backend::IoUring,
            Self::Mio => Backend::Mio,
        }
    }

    /// Makes the back end for the calling thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(self) -> io::Result<Box<dyn PacketIo>> {
        Ok(match self {
            Self::AfXdp(share) => Box::new(AfXdp::new(*share)?),
            Self::IoUring => Box::new(IoUring::new(io_uring::BUFFERS)?),
            Self::Mio => Box::new(Mio::new()?),
        })
    }
}

/// Takes the best back end this host allows, or the one that is `forced`; an opening for each worker.
///
/// # Errors
/// If `af_xdp` is forced and cannot be had.
pub fn choose(forced: Option<Backend>, host: &Host) -> Result<(Choice, Vec<Opening>), MediaError> {
    let each = |opening: fn() -> Opening| (0..host.workers).map(|_| opening()).collect();
    if !matches!(forced, None | Some(Backend::AfXdp)) {
        let choice = probe(forced);
        let opening =
            if choice.backend == Backend::Mio { || Opening::Mio } else { || Opening::IoUring };
        return Ok((choice, each(opening)));
    }
    let against = match &host.device {
        None => "no network device is named for af_xdp".to_owned(),
        Some(device) => {
            match FastPath::open(device, host.xdp_mode, &host.rtp_ports, host.workers, host.dscp) {
                Ok(shares) => {
                    let fast_path = shares.first().map(Share::fast_path);
                    let relays = fast_path.map(|it| it.relays_in_kernel(host.kernel_relay));
                    let (relays_in_kernel, relay) = relays.unwrap_or_default();
                    let how = fast_path.map(ToString::to_string).unwrap_or_default();
                    let reason = format!("af_xdp has taken {how}; {relay}");
                    let openings =
                        shares.into_iter().map(|share| Opening::AfXdp(Box::new(share))).collect();
                    let backend = Backend::AfXdp;
                    return Ok((Choice { backend, relays_in_kernel, reason }, openings));
                }
                Err(error) if forced.is_some() => {
                    return Err(MediaError::Backend {
                        backend: Backend::AfXdp,
                        source: io::Error::other(error),
                    });
                }
                Err(error) => format!("af_xdp cannot be used: {error}"),
            }
        }
    };
    if forced.is_some() {
        return Err(MediaError::Setting { setting: "device", reason: against });
    }
    let next = probe(None);
    let opening = if next.backend == Backend::Mio { || Opening::Mio } else { || Opening::IoUring };
    let reason = format!("{against}; {}", next.reason);
    Ok((Choice { reason, ..next }, each(opening)))
}

/// Finds the better of io_uring and mio by trying it, unless one is `forced`.
pub fn probe(forced: Option<Backend>) -> Choice {
    if let Some(backend) = forced {
        let reason = "forced by configuration".to_owned();
        return Choice { backend, relays_in_kernel: false, reason };
    }
    // On a thread of its own: the kernel interrupts the thread of a ring once more after the ring
    // is closed, and that shall not be a system call of the caller.
    let trial = std::thread::Builder::new()
        .name("io-uring-probe".to_owned())
        .spawn(|| IoUring::new(16).and_then(|mut ring| carries_a_packet(&mut ring)))
        .and_then(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the trial failed")))
        });
    match trial {
        Ok(()) => Choice {
            backend: Backend::IoUring,
            relays_in_kernel: false,
            reason: "io_uring carried a test packet with multishot receive".to_owned(),
        },
        Err(error) => Choice {
            backend: Backend::Mio,
            relays_in_kernel: false,
            reason: format!(
                "io_uring cannot be used: {error}; it needs Linux 6.1 and \
                 kernel.io_uring_disabled=0, and no seccomp filter against it"
            ),
        },
    }
}

/// One packet through the loopback, received and sent by the back end.
fn carries_a_packet(io: &mut dyn PacketIo) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    let to = socket.local_addr()?;
    let port = io.open_port(socket)?;
    io.send(port, to, b"trunkline");
    io.flush();
    let deadline = Instant::now() + Duration::from_millis(200);
    let mut arrived = false;
    while !arrived && Instant::now() < deadline {
        io.receive(&mut showing(|_, from, bytes| {
            arrived |= from == to && **bytes == *b"trunkline";
            Verdict::Consumed
        }));
        std::thread::yield_now();
    }
    io.close_port(port);
    io.flush();
    if arrived { Ok(()) } else { Err(io::Error::other("the test packet did not come back")) }
}
