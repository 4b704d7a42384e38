//! The AF_XDP back end: RTP past the kernel, with the kernel's sockets beside it.
//!
//! Every port is a bound socket all the same: it owns the port, takes what comes by another device
//! or in fragments, and sends what has no known neighbour yet, which makes the kernel look for it.

mod below;
mod paths;

pub use self::below::RelayBelow;
pub use self::paths::Paths;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use trunkline_xdp::frame::{self, headers_octets};
use trunkline_xdp::network::Path;
use trunkline_xdp::{Binding, Bypass, Lanes, Mode, Onward, Viewer, XdpError, cache};

use super::mio::Mio;
use super::{
    Backend, DATAGRAM_MAX_OCTETS, Datagram, IoCounts, PacketIo, PortIndex, Sender, Sink, Stream,
    TAILROOM_OCTETS, Verdict,
};

/// A device taken past the kernel, shared by all workers.
#[derive(Debug)]
pub struct FastPath {
    bypass: Bypass,
    paths: Paths,
    traffic_class: u8,
}

/// A worker's part of the fast path, on its way to the worker's thread.
#[derive(Debug)]
pub struct Share {
    worker: u32,
    lanes: Lanes,
    fast_path: Arc<FastPath>,
}

/// Packet I/O over AF_XDP.
#[derive(Debug)]
pub struct AfXdp {
    worker: u32,
    lanes: Lanes,
    sockets: Mio,
    ports: Ports,
    fast_path: Arc<FastPath>,
    counts: IoCounts,
    /// Flushes until the kernel is asked again what it has dropped.
    ask_in: u32,
}

/// The ports of a worker.
#[derive(Debug, Default)]
struct Ports {
    /// By [`PortIndex`].
    open: Vec<Option<Port>>,
    /// [`PortIndex`] plus one by port number; zero: not ours.
    by_number: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Port {
    local: SocketAddr,
    /// How the newest destination is reached, as of a state of the paths.
    destination: IpAddr,
    path: Option<Path>,
    state: u64,
    /// Whether the UDP checksums of what comes are whole: looked at now and then.
    whole_checksums: bool,
    /// Packets until they are looked at again.
    look_in: u8,
    /// Packets to a stale neighbour since the kernel was last made to send one itself.
    unasked: u16,
}

/// To a stale neighbour so many packets go past the kernel before it sends one itself, and thereby
/// asks whether the neighbour is still there (RFC 4861 §7.3.2): a few seconds of a call.
const UNASKED_MAX: u16 = 128;

/// Packets of a port between two looks at their checksums.
const LOOK_EVERY: u8 = 32;

/// Flushes between two questions what the kernel has dropped.
const ASK_EVERY: u32 = 200;

impl FastPath {
    /// Takes `device` past the kernel for so many workers.
    ///
    /// # Errors
    /// What stands against it.
    pub fn open(
        device: &str,
        only: Option<Mode>,
        rtp_ports: &RangeInclusive<u16>,
        workers: usize,
        dscp: u8,
    ) -> Result<Vec<Share>, XdpError> {
        let (bypass, lanes) = Bypass::open(device, rtp_ports, workers, only)?;
        let paths = Paths::watch(bypass.device.clone())?;
        let fast_path = Arc::new(Self { bypass, paths, traffic_class: dscp << 2 });
        let share = |(worker, lanes)| Share {
            worker: worker as u32,
            lanes,
            fast_path: Arc::clone(&fast_path),
        };
        Ok(lanes.into_iter().enumerate().map(share).collect())
    }

    /// Whether streams are relayed in the kernel, as it is `wanted` or, without a wish, where the
    /// device is known to be able to; and what the log says to that.
    pub fn relays_in_kernel(&self, wanted: Option<bool>) -> (bool, String) {
        let Bypass { device, .. } = &self.bypass;
        let relays = wanted.unwrap_or_else(|| self.bypass.sends_from_program());
        let text = match (relays, &device.kind) {
            (true, _) => "plain calls between peers are relayed in the kernel".to_owned(),
            (false, Some(kind)) if wanted.is_none() => format!(
                "no call is relayed in the kernel, as {} is a {kind}, which may not be able to send \
                 from its driver (the generic mode can)",
                device.name
            ),
            _ => "no call is relayed in the kernel: switched off".to_owned(),
        };
        (relays, text)
    }
}

impl fmt::Display for FastPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bypass { device, mode, binding, queues, .. } = &self.bypass;
        let mode = match mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
        };
        let copies = match binding {
            Binding::ZeroCopy => "without copies",
            Binding::Copy => "with copies",
        };
        write!(f, "{} ({mode}, {copies}, queues: {queues})", device.name)
    }
}

impl Share {
    /// What it is a share of.
    pub fn fast_path(&self) -> &Arc<FastPath> {
        &self.fast_path
    }
}

impl AfXdp {
    /// The back end of one worker.
    ///
    /// # Errors
    /// What the kernel says to the sockets beside.
    pub fn new(share: Share) -> io::Result<Self> {
        let Share { worker, lanes, fast_path } = share;
        let ports = Ports { open: Vec::new(), by_number: vec![0; 1 << 16] };
        let sockets = Mio::new()?;
        let counts = IoCounts::default();
        Ok(Self { worker, lanes, sockets, ports, fast_path, counts, ask_in: ASK_EVERY })
    }
}

impl Ports {
    fn get_mut(&mut self, port: PortIndex) -> Option<&mut Port> {
        self.open.get_mut(port.0 as usize)?.as_mut()
    }

    /// The number of a port whose packets come past the kernel.
    fn steered(&self, port: PortIndex) -> Option<u16> {
        let number = self.open.get(port.0 as usize)?.as_ref()?.local.port();
        (self.by_number[usize::from(number)] == port.0 + 1).then_some(number)
    }

    /// Whose a received datagram is.
    fn receiver(&self, to: SocketAddr) -> Option<PortIndex> {
        let index = self.by_number[usize::from(to.port())].checked_sub(1)?;
        let port = self.open.get(index as usize)?.as_ref()?;
        (port.local == to).then_some(PortIndex(index))
    }
}

impl Port {
    /// The way to `to`, if it is known; and if not, it is asked for.
    fn path(&mut self, to: SocketAddr, paths: &Paths) -> Option<Path> {
        let state = paths.state();
        if self.destination != to.ip() || self.state != state {
            self.destination = to.ip();
            self.state = state;
            self.path = paths.find(self.local.ip(), to.ip());
            // The next packet makes the kernel ask.
            self.unasked = UNASKED_MAX - 1;
        }
        let path = self.path?;
        if path.stale {
            self.unasked += 1;
            if self.unasked >= UNASKED_MAX {
                self.unasked = 0;
                return None;
            }
        }
        Some(path)
    }

    fn look_at_checksum(&mut self, frame: &[u8], datagram: &frame::Datagram) {
        match self.look_in.checked_sub(1) {
            Some(left) => self.look_in = left,
            None => {
                self.look_in = LOOK_EVERY;
                self.whole_checksums = frame::is_checksum_whole(frame, datagram);
            }
        }
    }

    /// The way for a datagram of so many octets, and the headers it gets.
    fn way(&mut self, to: SocketAddr, octets: usize, paths: &Paths) -> Option<(Path, usize)> {
        let headers = headers_octets(&self.local, &to)?;
        // What is too long is cut by the kernel.
        self.path(to, paths).filter(|path| headers + octets <= path.mtu + 14).map(|p| (p, headers))
    }
}

impl PacketIo for AfXdp {
    fn open_port(&mut self, socket: UdpSocket) -> io::Result<PortIndex> {
        let local = socket.local_addr()?;
        let index = self.sockets.open_port(socket)?;
        let at = index.0 as usize;
        if self.ports.open.len() <= at {
            self.ports.open.resize(at + 1, None);
        }
        self.ports.open[at] = Some(Port {
            local,
            destination: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            path: None,
            state: 0,
            whole_checksums: false,
            look_in: 0,
            unasked: 0,
        });
        // A port of every address of the host is left to its socket: the program compares one.
        if !local.ip().is_unspecified() && self.fast_path.bypass.ports.steer(local, self.worker) {
            self.ports.by_number[usize::from(local.port())] = index.0 + 1;
        }
        Ok(index)
    }

    fn close_port(&mut self, port: PortIndex) {
        let closed = self.ports.open.get_mut(port.0 as usize).and_then(Option::take);
        if let Some(Port { local, .. }) = closed {
            let number = usize::from(local.port());
            if self.ports.by_number[number] == port.0 + 1 {
                self.fast_path.bypass.ports.pass(local.port());
                self.ports.by_number[number] = 0;
            }
        }
        self.sockets.close_port(port);
    }

    fn receive(&mut self, sink: &mut dyn Sink) -> usize {
        let Self { lanes, sockets, ports, fast_path, counts, .. } = self;
        let before = counts.received_fast;
        lanes.receive(&mut Reception { ports, counts, sockets, fast_path, sink });
        let fast = (counts.received_fast - before) as usize;
        fast + sockets.receive(sink)
    }

    fn send(&mut self, port: PortIndex, to: SocketAddr, bytes: &[u8]) {
        let Self { lanes, sockets, ports, fast_path, counts, .. } = self;
        let way = ports.get_mut(port).and_then(|port| {
            port.way(to, bytes.len(), &fast_path.paths).map(|way| (port.local, way))
        });
        let Some((local, (path, headers))) = way else {
            return sockets.send(port, to, bytes);
        };
        let sent = lanes.send(|frame| {
            let frame = frame.get_mut(..headers + bytes.len())?;
            frame[headers..].copy_from_slice(bytes);
            frame::write(frame, &path.ethernet, local, to, fast_path.traffic_class);
            Some(frame.len())
        });
        counts.sent_fast += u64::from(sent);
    }

    fn flush(&mut self) {
        self.lanes.flush();
        self.ask_in -= 1;
        if self.ask_in == 0 {
            self.ask_in = ASK_EVERY;
            self.counts.receive_failed = self.lanes.dropped();
        }
    }

    fn relay_below(&mut self, stream: &Stream) -> Option<RelayBelow> {
        let (out, receiver) = (*self.ports.get_mut(stream.out)?, *self.ports.get_mut(stream.port)?);
        RelayBelow::new(&self.fast_path, &receiver, &out, stream)
    }

    fn ways(&self) -> u64 {
        self.fast_path.paths.state()
    }

    fn admit(&mut self, port: PortIndex, only: Option<[Sender; 2]>) {
        if let Some(number) = self.ports.steered(port) {
            self.fast_path.bypass.ports.admit(number, only);
        }
    }

    fn kept_out(&self, port: PortIndex) -> u64 {
        let number = self.ports.steered(port);
        number.map_or(0, |number| self.fast_path.bypass.ports.kept_out(number))
    }

    fn counts(&self) -> IoCounts {
        let (fast, sockets) = (self.counts, self.sockets.counts());
        IoCounts {
            received: fast.received_fast + sockets.received,
            sent: fast.sent_fast + sockets.sent,
            send_failed: self.lanes.not_sent() + sockets.send_failed,
            oversized: fast.oversized + sockets.oversized,
            receive_failed: fast.receive_failed + sockets.receive_failed,
            ..fast
        }
    }

    fn kind(&self) -> Backend {
        Backend::AfXdp
    }
}

/// Packets that come past the kernel.
struct Reception<'a> {
    ports: &'a mut Ports,
    counts: &'a mut IoCounts,
    sockets: &'a mut Mio,
    fast_path: &'a FastPath,
    sink: &'a mut dyn Sink,
}

impl Viewer for Reception<'_> {
    fn soon(&mut self, packet: &[u8]) {
        let index = frame::port_of(packet).map(|port| self.ports.by_number[usize::from(port)]);
        let Some(index) = index.and_then(|index| index.checked_sub(1)) else { return };
        if let Some(port) = self.ports.open.get(index as usize) {
            cache::prefetch_value(port);
        }
        self.sink.expect(PortIndex(index));
    }

    fn packet(&mut self, frame: &mut [u8], packet: Range<usize>) -> Onward {
        let Self { ports, counts, sockets, fast_path, sink } = self;
        let Some(datagram) = frame::read(&frame[packet.clone()]) else { return Onward::Done };
        let Some(receiver) = ports.receiver(datagram.to) else { return Onward::Done };
        let payload = packet.start + datagram.begin..packet.start + datagram.end;
        let room = payload.end + TAILROOM_OCTETS;
        if payload.len() > DATAGRAM_MAX_OCTETS || room > frame.len() {
            counts.oversized += 1;
            return Onward::Done;
        }
        counts.received_fast += 1;
        if let Some(port) = ports.get_mut(receiver) {
            port.look_at_checksum(&frame[packet], &datagram);
        }
        let octets = payload.len();
        let mut shown = Datagram::new(&mut frame[payload.start..room], octets);
        let verdict = sink.look(receiver, datagram.from, &mut shown);
        let Verdict::Forward { port, to, len } = verdict else { return Onward::Done };
        let kept = payload.start..payload.start + len.min(octets + TAILROOM_OCTETS);
        match ports.get_mut(port).and_then(|port| onward(port, to, frame, &kept, fast_path)) {
            Some(out) => {
                counts.sent_fast += 1;
                Onward::Send(out)
            }
            None => {
                sockets.send(port, to, &frame[kept]);
                Onward::Done
            }
        }
    }
}

/// Readies a received packet to leave by `port`; none if that is for the socket.
fn onward(
    port: &mut Port,
    to: SocketAddr,
    frame: &mut [u8],
    payload: &Range<usize>,
    fast_path: &FastPath,
) -> Option<Range<usize>> {
    let (path, headers) = port.way(to, payload.len(), &fast_path.paths)?;
    // The other IP version's headers may be longer: the kernel leaves room in front.
    let out = payload.start.checked_sub(headers)?..payload.end;
    let traffic_class = fast_path.traffic_class;
    frame::write(&mut frame[out.clone()], &path.ethernet, port.local, to, traffic_class);
    Some(out)
}
