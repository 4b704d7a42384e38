//! An AF_XDP socket on one queue of a device.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use crate::ring::{FromKernel, Memory, ToKernel};
use crate::umem::{FRAME_OCTETS, Umem};

/// How packets come into our memory, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The card writes them there.
    ZeroCopy,
    /// The kernel copies them.
    Copy,
}

/// What cannot be done, and what the kernel says.
pub(crate) type Refusal = (&'static str, io::Error);

/// A socket: packets in by `received`, out by `outgoing`.
#[derive(Debug)]
pub(crate) struct Socket {
    // The rings' mappings end before the socket.
    pub(crate) received: FromKernel<libc::xdp_desc>,
    pub(crate) outgoing: ToKernel<libc::xdp_desc>,
    descriptor: OwnedFd,
    /// The kernel works in it for as long as the socket lives.
    umem: Arc<Umem>,
}

/// The rings by which frames of a queue go to the kernel and come back; all sockets of the queue
/// share them.
#[derive(Debug)]
pub(crate) struct FrameRings {
    /// Frames for packets to come.
    pub(crate) fill: ToKernel<u64>,
    /// Frames whose packets have gone out.
    pub(crate) completed: FromKernel<u64>,
}

/// Sizes of the rings, in slots; powers of two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingSizes {
    pub(crate) received: u32,
    pub(crate) outgoing: u32,
    pub(crate) fill: u32,
    pub(crate) completed: u32,
}

impl Socket {
    /// The first socket of a queue, which brings the memory and the frame rings.
    pub(crate) fn first(
        umem: &Arc<Umem>,
        device: u32,
        queue: u32,
        binding: Binding,
        sizes: RingSizes,
    ) -> Result<(Self, FrameRings), Refusal> {
        let descriptor = descriptor()?;
        let socket = descriptor.as_fd();
        let registration = libc::xdp_umem_reg {
            addr: umem.start() as u64,
            len: umem.octets() as u64,
            chunk_size: FRAME_OCTETS as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        set(socket, libc::XDP_UMEM_REG, &registration).map_err(|error| {
            let hint = "; locked memory: raise LimitMEMLOCK or grant CAP_IPC_LOCK";
            ("registering memory", hinted(error, libc::ENOBUFS, hint))
        })?;
        set(socket, libc::XDP_UMEM_FILL_RING, &sizes.fill).map_err(|e| ("fill ring", e))?;
        set(socket, libc::XDP_UMEM_COMPLETION_RING, &sizes.completed)
            .map_err(|e| ("completion ring", e))?;
        let (received, outgoing, offsets) = packet_rings(socket, sizes)?;
        let at = libc::XDP_UMEM_PGOFF_FILL_RING as i64;
        let fill = Memory::map(socket, at, offsets.fr, sizes.fill)
            .map(ToKernel::over)
            .map_err(|e| ("fill ring", e))?;
        let at = libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64;
        let completed = Memory::map(socket, at, offsets.cr, sizes.completed)
            .map(FromKernel::over)
            .map_err(|e| ("completion ring", e))?;
        let how = match binding {
            Binding::ZeroCopy => libc::XDP_ZEROCOPY,
            Binding::Copy => libc::XDP_COPY,
        };
        bind(socket, device, queue, how | libc::XDP_USE_NEED_WAKEUP, None)?;
        let socket = Self { received, outgoing, descriptor, umem: Arc::clone(umem) };
        Ok((socket, FrameRings { fill, completed }))
    }

    /// Another socket on the queue of `first`, with its memory and frame rings.
    pub(crate) fn beside(
        first: &Socket,
        device: u32,
        queue: u32,
        sizes: RingSizes,
    ) -> Result<Self, Refusal> {
        let descriptor = descriptor()?;
        let socket = descriptor.as_fd();
        let (received, outgoing, _) = packet_rings(socket, sizes)?;
        bind(socket, device, queue, libc::XDP_SHARED_UMEM, Some(first.descriptor.as_fd()))?;
        Ok(Self { received, outgoing, descriptor, umem: Arc::clone(&first.umem) })
    }

    /// Has the kernel send what is in `outgoing`.
    pub(crate) fn kick(&self) -> io::Result<()> {
        // SAFETY: no address is given.
        let outcome = unsafe {
            libc::sendto(
                self.descriptor.as_raw_fd(),
                std::ptr::null(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null(),
                0,
            )
        };
        if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the kernel take frames from the fill ring.
    pub(crate) fn wake(&self) {
        // SAFETY: no address is given. Whatever it says, the next tick asks again.
        unsafe {
            libc::recvfrom(
                self.descriptor.as_raw_fd(),
                std::ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
    }

    /// Packets the kernel has dropped: no frame for them, no slot, or too long.
    pub(crate) fn dropped(&self) -> u64 {
        // SAFETY: all-zero is a value of this type.
        let mut counts: libc::xdp_statistics = unsafe { mem::zeroed() };
        let mut octets = size_of_val(&counts) as libc::socklen_t;
        // SAFETY: the kernel writes at most as much as said.
        let outcome = unsafe {
            libc::getsockopt(
                self.descriptor.as_raw_fd(),
                libc::SOL_XDP,
                libc::XDP_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut octets,
            )
        };
        if outcome == 0 { counts.rx_dropped + counts.rx_ring_full } else { 0 }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn descriptor() -> Result<OwnedFd, Refusal> {
    // SAFETY: no address is given.
    let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        let error = io::Error::last_os_error();
        return Err(("opening", hinted(error, libc::EPERM, "; it needs CAP_NET_RAW")));
    }
    // SAFETY: a descriptor the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

type PacketRings = (FromKernel<libc::xdp_desc>, ToKernel<libc::xdp_desc>, libc::xdp_mmap_offsets);

fn packet_rings(socket: BorrowedFd<'_>, sizes: RingSizes) -> Result<PacketRings, Refusal> {
    set(socket, libc::XDP_RX_RING, &sizes.received).map_err(|e| ("receive ring", e))?;
    set(socket, libc::XDP_TX_RING, &sizes.outgoing).map_err(|e| ("send ring", e))?;
    // SAFETY: all-zero is a value of this type.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { mem::zeroed() };
    let mut octets = size_of_val(&offsets) as libc::socklen_t;
    // SAFETY: the kernel writes at most as much as said.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_MMAP_OFFSETS,
            (&raw mut offsets).cast(),
            &raw mut octets,
        )
    };
    if outcome != 0 {
        return Err(("ring offsets", io::Error::last_os_error()));
    }
    let received = Memory::map(socket, libc::XDP_PGOFF_RX_RING, offsets.rx, sizes.received)
        .map(FromKernel::over)
        .map_err(|e| ("receive ring", e))?;
    let outgoing = Memory::map(socket, libc::XDP_PGOFF_TX_RING, offsets.tx, sizes.outgoing)
        .map(ToKernel::over)
        .map_err(|e| ("send ring", e))?;
    Ok((received, outgoing, offsets))
}

fn set<T>(socket: BorrowedFd<'_>, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads as much as said.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            option,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind(
    socket: BorrowedFd<'_>,
    device: u32,
    queue: u32,
    flags: u16,
    with: Option<BorrowedFd<'_>>,
) -> Result<(), Refusal> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: device,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: with.map_or(0, |with| with.as_raw_fd() as u32),
    };
    // SAFETY: an address of the length given.
    let outcome = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(("binding", io::Error::last_os_error())) }
}

/// Adds a remedy to the error it remedies.
fn hinted(error: io::Error, code: i32, hint: &str) -> io::Error {
    if error.raw_os_error() == Some(code) {
        return io::Error::new(error.kind(), format!("{error}{hint}"));
    }
    error
}
