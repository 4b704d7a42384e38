//! A device taken past the kernel, and the lanes by which each worker has its packets.
//!
//! Every worker has a socket on every queue, so that the program can hand a packet to the worker
//! whose call it is, whichever queue it came by. The sockets of a queue share its frames: one
//! worker, the owner, gives them to the kernel; the others pass theirs back to it by a ring.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bpf::{Link, Map, MapKind, Mode, Program};
use crate::cache;
use crate::error::XdpError;
use crate::network::{Device, Network};
use crate::ports::PortTable;
use crate::program::program;
use crate::socket::{Binding, FrameRings, Refusal, RingSizes, Socket};
use crate::umem::{FRAME_OCTETS, Umem};

/// Frames for received packets of all queues together, if there are not too many queues.
const RECEIVE_FRAMES: usize = 16_384;
/// And of one queue at least.
const RECEIVE_FRAMES_MIN: usize = 2048;
/// Frames of a worker for packets of its own.
const SEND_FRAMES: usize = 4096;
/// Slots of a socket's send ring.
const SEND_SLOTS: u32 = 8192;
/// Queues that are looked after; packets of further ones come by the kernel.
const QUEUES_MAX: u32 = 16;

/// A device whose RTP goes past the kernel. Dropping it gives the device back.
#[derive(Debug)]
pub struct Bypass {
    /// The device.
    pub device: Device,
    /// Where the program is.
    pub mode: Mode,
    /// How packets come into our memory.
    pub binding: Binding,
    /// Queues of the device.
    pub queues: u32,
    /// The ports that are steered and relayed.
    pub ports: PortTable,
    _link: Link,
    _program: Program,
    _sockets: Map,
}

/// A worker's sockets, one for each queue.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    umem: Arc<Umem>,
    /// Own frames that hold nothing.
    free: Vec<u64>,
    /// The first of all workers' own frames.
    send_begin: u64,
    /// The lane that sends own packets.
    sending: usize,
    not_sent: u64,
}

#[derive(Debug)]
struct Lane {
    socket: Socket,
    frames: Frames,
    /// Written into the send ring since the last kick.
    waiting: bool,
}

/// A worker's part in the frames of a queue.
#[derive(Debug)]
enum Frames {
    Owner {
        worker: usize,
        rings: FrameRings,
        /// Frames of packets that another worker has received and is done with.
        back: Vec<Consumer<u64>>,
        /// Frames of other workers' own packets that have gone out, by worker; none for itself.
        done: Vec<Option<Producer<u64>>>,
    },
    Guest {
        back: Producer<u64>,
        done: Consumer<u64>,
    },
}

/// What becomes of a received packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onward {
    /// Nothing: its frame is free.
    Done,
    /// These octets of its frame go out.
    Send(Range<usize>),
}

/// Who looks at received packets.
pub trait Viewer {
    /// A packet of this frame is shown soon.
    fn soon(&mut self, packet: &[u8]);

    /// A packet: its whole frame, and where in it the packet lies.
    fn packet(&mut self, frame: &mut [u8], packet: Range<usize>) -> Onward;
}

/// How many packets ahead of the one that is shown its octets are brought into the cache, and how
/// many ahead the viewer hears of it.
const FETCH_AHEAD: u32 = 12;
const TELL_AHEAD: u32 = 6;

impl Bypass {
    /// Takes a device past the kernel for the RTP of `ports`, by the best way it offers: native
    /// with zero copies, native with copies, generic.
    ///
    /// # Errors
    /// What stands against each of the three.
    pub fn open(
        device: &str,
        ports: &std::ops::RangeInclusive<u16>,
        workers: usize,
        only: Option<Mode>,
    ) -> Result<(Self, Vec<Lanes>), XdpError> {
        let device = Network::open()?.device(device)?;
        let ladder = [
            (Mode::Native, Binding::ZeroCopy),
            (Mode::Native, Binding::Copy),
            (Mode::Generic, Binding::Copy),
        ];
        let mut last = None;
        for (mode, binding) in ladder.into_iter().filter(|step| only.is_none_or(|o| o == step.0)) {
            match Self::by(&device, ports, workers.max(1), mode, binding) {
                Ok(open) => return Ok(open),
                // Not allowed to at all: the other ways will not be either.
                Err(error @ XdpError::Program { .. }) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| XdpError::NoDevice {
            device: device.name.clone(),
            source: io::ErrorKind::Unsupported.into(),
        }))
    }

    /// Whether the program can send what has come (`XDP_TX`), as far as that is known: behind every
    /// driver, and from within those of hardware that take a program at all. Devices of software
    /// differ: a veth pair sends from there only to an end that has a program too.
    pub fn sends_from_program(&self) -> bool {
        self.mode == Mode::Generic || self.device.kind.is_none()
    }

    fn by(
        device: &Device,
        ports: &std::ops::RangeInclusive<u16>,
        workers: usize,
        mode: Mode,
        binding: Binding,
    ) -> Result<(Self, Vec<Lanes>), XdpError> {
        let refused = |what| move |source| XdpError::Program { what, source };
        let queues = queues(&device.name).clamp(1, QUEUES_MAX);
        let table =
            PortTable::new(*ports.start(), *ports.end()).map_err(refused("the port table"))?;
        let slots = queues * workers as u32;
        let sockets = Map::new(MapKind::XskMap, "rtp_sockets", 4, slots, false)
            .map_err(refused("the socket map"))?;
        let code = program(&table, sockets.as_fd(), workers as u32);
        let program = Program::load("rtp_steering", &code).map_err(refused("the XDP program"))?;
        let link = program.attach(device.index, mode).map_err(|source| XdpError::Attach {
            device: device.name.clone(),
            mode,
            source,
        })?;
        let lanes = lanes(device, queues, workers, binding)?;
        for (worker, lanes) in lanes.iter().enumerate() {
            for (queue, lane) in lanes.lanes.iter().enumerate() {
                sockets
                    .set((queue * workers + worker) as u32, lane.socket.as_fd())
                    .map_err(refused("a socket in its map"))?;
            }
        }
        let bypass = Self {
            device: device.clone(),
            mode,
            binding,
            queues,
            ports: table,
            _link: link,
            _program: program,
            _sockets: sockets,
        };
        Ok((bypass, lanes))
    }
}

/// The sockets of all workers on all queues.
fn lanes(
    device: &Device,
    queues: u32,
    workers: usize,
    binding: Binding,
) -> Result<Vec<Lanes>, XdpError> {
    let per_queue = (RECEIVE_FRAMES / queues as usize).next_power_of_two().max(RECEIVE_FRAMES_MIN);
    let send_begin = (per_queue * queues as usize * FRAME_OCTETS) as u64;
    let all = per_queue * queues as usize + SEND_FRAMES * workers;
    let failed = |queue| {
        move |(step, source): Refusal| XdpError::Socket {
            device: device.name.clone(),
            queue,
            step,
            source,
        }
    };
    let umem = Arc::new(Umem::new(all).map_err(|source| failed(0)(("memory for frames", source)))?);
    let mut made: Vec<Lanes> = (0..workers)
        .map(|worker| Lanes {
            lanes: Vec::with_capacity(queues as usize),
            umem: Arc::clone(&umem),
            free: (0..SEND_FRAMES)
                .map(|frame| send_begin + ((worker * SEND_FRAMES + frame) * FRAME_OCTETS) as u64)
                .collect(),
            send_begin,
            sending: worker % queues as usize,
            not_sent: 0,
        })
        .collect();
    let sizes = RingSizes {
        received: per_queue as u32,
        outgoing: SEND_SLOTS,
        fill: per_queue as u32,
        completed: all.next_power_of_two() as u32,
    };
    for queue in 0..queues {
        let owner = queue as usize % workers;
        let (first, mut rings) =
            Socket::first(&umem, device.index, queue, binding, sizes).map_err(failed(queue))?;
        for frame in 0..per_queue {
            let number = queue as usize * per_queue + frame;
            // As many slots as frames.
            rings.fill.push((number * FRAME_OCTETS) as u64);
        }
        rings.fill.publish();
        let (mut back, mut done) = (Vec::new(), Vec::new());
        for (worker, lanes) in made.iter_mut().enumerate() {
            if worker == owner {
                done.push(None);
                continue;
            }
            let socket =
                Socket::beside(&first, device.index, queue, sizes).map_err(failed(queue))?;
            let (to_owner, from_guest) = RingBuffer::new(per_queue);
            let (to_guest, from_owner) = RingBuffer::new(SEND_FRAMES);
            back.push(from_guest);
            done.push(Some(to_guest));
            let frames = Frames::Guest { back: to_owner, done: from_owner };
            lanes.lanes.push(Lane { socket, frames, waiting: false });
        }
        let frames = Frames::Owner { worker: owner, rings, back, done };
        made[owner].lanes.push(Lane { socket: first, frames, waiting: false });
    }
    Ok(made)
}

impl Lanes {
    /// Shows each packet that has come. What is to be sent goes out at the next [`Lanes::flush`].
    pub fn receive(&mut self, viewer: &mut impl Viewer) {
        let Self { lanes, umem, not_sent, .. } = self;
        for lane in lanes {
            for _ in 0..lane.socket.received.look() {
                if let Some(packet) = lane.socket.received.ahead(FETCH_AHEAD) {
                    cache::prefetch(received(umem, &packet));
                }
                if let Some(packet) = lane.socket.received.ahead(TELL_AHEAD) {
                    viewer.soon(received(umem, &packet));
                }
                let Some(packet) = lane.socket.received.pop() else { break };
                let bounds = Umem::bounds(packet.addr);
                let begin = (packet.addr - bounds.start) as usize;
                let end = (begin + packet.len as usize).min(FRAME_OCTETS);
                // SAFETY: the kernel has given us the frame, and gets it back below.
                let frame = unsafe { umem.slice(bounds.clone()) };
                match viewer.packet(frame, begin..end) {
                    Onward::Send(octets) if octets.end <= FRAME_OCTETS && !octets.is_empty() => {
                        let out = libc::xdp_desc {
                            addr: bounds.start + octets.start as u64,
                            len: octets.len() as u32,
                            options: 0,
                        };
                        if lane.socket.outgoing.push(out) {
                            lane.waiting = true;
                        } else {
                            *not_sent += 1;
                            lane.frames.give_back(bounds.start);
                        }
                    }
                    _ => lane.frames.give_back(bounds.start),
                }
            }
            lane.socket.received.release();
        }
    }

    /// Sends a packet that `write` puts into a frame of ours, telling how long it is; false if
    /// there was no room, or nothing to be sent.
    pub fn send(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some(address) = self.free.pop() else {
            self.not_sent += 1;
            return false;
        };
        // SAFETY: the frame is ours until it is in the send ring.
        let frame = unsafe { self.umem.slice(Umem::bounds(address)) };
        let written = write(frame).filter(|octets| *octets <= FRAME_OCTETS);
        let lane = &mut self.lanes[self.sending];
        let sent = written.is_some_and(|octets| {
            let out = libc::xdp_desc { addr: address, len: octets as u32, options: 0 };
            lane.socket.outgoing.push(out)
        });
        if sent {
            lane.waiting = true;
        } else {
            self.free.push(address);
            self.not_sent += u64::from(written.is_some());
        }
        sent
    }

    /// Sends all that waits, and gives the kernel its frames back.
    pub fn flush(&mut self) {
        let Self { lanes, free, send_begin, .. } = self;
        for lane in lanes {
            if lane.waiting {
                lane.socket.outgoing.publish();
                kick(&mut lane.socket);
                lane.waiting = lane.socket.outgoing.unread() > 0;
            }
            lane.frames.settle(&lane.socket, free, *send_begin);
        }
    }

    /// Packets for which there was no room in a ring.
    pub fn not_sent(&self) -> u64 {
        self.not_sent
    }

    /// Packets the kernel has dropped for want of frames or room: asks the kernel.
    pub fn dropped(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.socket.dropped()).sum()
    }
}

/// A packet that the kernel has put into our memory and may not touch before it is released.
fn received<'a>(umem: &'a Umem, packet: &libc::xdp_desc) -> &'a [u8] {
    let end = (packet.addr + u64::from(packet.len)).min(Umem::bounds(packet.addr).end);
    // SAFETY: as said; only looked at, and before it is shown.
    unsafe { umem.slice(packet.addr..end) }
}

/// The kernel sends a few packets a call, and says so.
fn kick(socket: &mut Socket) {
    let mut left = socket.outgoing.unread();
    while left > 0 {
        // Whatever it says: if it has sent nothing, the device takes no more for now.
        let _ = socket.kick();
        let now = socket.outgoing.unread();
        if now == left {
            return;
        }
        left = now;
    }
}

impl Frames {
    /// The frame of a received packet is free.
    fn give_back(&mut self, frame: u64) {
        match self {
            // Both hold as many as there are frames.
            Self::Owner { rings, .. } => drop(rings.fill.push(frame)),
            Self::Guest { back, .. } => drop(back.push(frame)),
        }
    }

    /// Moves frames to where they are wanted next.
    fn settle(&mut self, socket: &Socket, free: &mut Vec<u64>, send_begin: u64) {
        match self {
            Self::Owner { worker, rings, back, done } => {
                for _ in 0..rings.completed.look() {
                    let Some(address) = rings.completed.pop() else { break };
                    let frame = Umem::bounds(address).start;
                    let Some(own) = frame.checked_sub(send_begin) else {
                        // A received packet that was sent on.
                        rings.fill.push(frame);
                        continue;
                    };
                    let whose = own as usize / (SEND_FRAMES * FRAME_OCTETS);
                    match done.get_mut(whose) {
                        Some(Some(guest)) => drop(guest.push(frame)),
                        _ if whose == *worker => free.push(frame),
                        _ => {}
                    }
                }
                rings.completed.release();
                for guest in back {
                    while let Ok(frame) = guest.pop() {
                        rings.fill.push(frame);
                    }
                }
                rings.fill.publish();
                if rings.fill.wants_wakeup() {
                    socket.wake();
                }
            }
            Self::Guest { done, .. } => {
                while let Ok(frame) = done.pop() {
                    free.push(frame);
                }
            }
        }
    }
}

/// Receive queues of a device, as its driver says; one if it does not.
fn queues(device: &str) -> u32 {
    /// `struct ethtool_channels`.
    #[repr(C)]
    #[derive(Default)]
    struct Channels {
        command: u32,
        max: [u32; 4],
        received: u32,
        sent: u32,
        other: u32,
        combined: u32,
    }
    /// `struct ifreq` with a pointer.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IF_NAMESIZE],
        data: *mut Channels,
        _rest: [u8; 16],
    }
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    let mut request =
        Request { name: [0; libc::IF_NAMESIZE], data: &raw mut channels, _rest: [0; 16] };
    for (to, from) in request.name.iter_mut().take(libc::IF_NAMESIZE - 1).zip(device.bytes()) {
        *to = from;
    }
    let Ok(socket) = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)) else {
        return 1;
    };
    // SAFETY: a request of the kernel's layout, whose pointer outlives the call.
    let outcome = unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SIOCETHTOOL as libc::c_ulong,
            &raw mut request,
        )
    };
    if outcome == 0 { channels.received + channels.combined } else { 1 }
}
