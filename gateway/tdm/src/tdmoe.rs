//! TDM over Ethernet (`dahdi_dynamic_eth`) with each Ethernet frame in a UDP datagram, as QEMU's
//! datagram network back end carries it.
//!
//! The end with [`Clock::Internal`] sends one frame a millisecond, the other end answers each.

pub mod frame;
mod wait;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::error::TdmError;
use crate::line::{Block, DChannel, Line, LineCounters, Shape, Tick};
use crate::pace::{Pace, PaceSettings, Turn};
pub use frame::MacAddress;
use frame::{Addresses, FRAME_SIZE_OCTETS_MAX, SAMPLES};

/// Frames that may wait between socket and span.
const WAITING_MAX: usize = 256;
/// Kernel buffer for frames that arrive while the span's thread does not run; a stall of 250 ms
/// fits with the kernel's own share of it.
const RECEIVE_BUFFER_SIZE_OCTETS: usize = 1 << 20;
/// Missing frames up to so many are made up for with idle blocks, so that both ends keep count.
const GAP_FILLED_MAX: u16 = 32;
/// The owner looks after commands and alarms at least so often.
const QUIET_MAX: Duration = Duration::from_millis(5);

/// Who paces the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The other end; each frame is answered.
    #[default]
    Line,
    /// This host's clock, one frame a millisecond.
    Internal,
}

/// A TDM over Ethernet line.
#[derive(Clone, Debug)]
pub struct TdmoeConfig {
    /// Our UDP address.
    pub local: SocketAddr,
    /// The other end's UDP address.
    pub remote: SocketAddr,
    /// Who paces the line.
    pub clock: Clock,
    /// Timeslots: 31 (E1) or 24 (T1).
    pub timeslots: u8,
    /// Ethernet address that our frames come from.
    pub local_mac: MacAddress,
    /// Ethernet address that the other end's frames come from; others are refused.
    pub remote_mac: MacAddress,
    /// DAHDI's subaddress: which span of the two hosts.
    pub subaddress: u16,
}

impl TdmoeConfig {
    /// An E1 between two UDP addresses, with Ethernet addresses made from these, as the other end
    /// makes them too.
    pub fn e1(local: SocketAddr, remote: SocketAddr, clock: Clock) -> Self {
        Self {
            local,
            remote,
            clock,
            timeslots: 31,
            local_mac: mac_of(local),
            remote_mac: mac_of(remote),
            subaddress: 0,
        }
    }
}

/// A locally administered address that holds the end of the IP address and the port.
fn mac_of(address: SocketAddr) -> MacAddress {
    let [_, _, .., a, b, c] = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let [d, e] = address.port().to_be_bytes();
    MacAddress([0x02, a, b, c, d, e])
}

/// A line over a UDP socket.
#[derive(Debug)]
pub struct TdmoeLine {
    socket: UdpSocket,
    config: TdmoeConfig,
    pace: Pace,
    waiting: VecDeque<Waiting>,
    expected_sequence: Option<u16>,
    sequence: u16,
    buffer: Box<[u8; FRAME_SIZE_OCTETS_MAX + 1]>,
    previous: Option<Instant>,
    counters: LineCounters,
    dropped: u64,
}

/// A frame between socket and span.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    octets: [u8; FRAME_SIZE_OCTETS_MAX],
    /// 0 stands for a frame lost on the way.
    size_octets: usize,
}

impl TdmoeLine {
    /// Opens the socket.
    pub fn open(config: TdmoeConfig) -> Result<Self, TdmError> {
        if !matches!(config.timeslots, 24 | 31) {
            return Err(TdmError::Shape(config.timeslots));
        }
        let bind = |source| TdmError::Bind { address: config.local, source };
        let socket = UdpSocket::bind(config.local).map_err(bind)?;
        socket.set_nonblocking(true).map_err(bind)?;
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_SIZE_OCTETS).map_err(bind)?;
        let paces = config.clock == Clock::Internal;
        let settings = PaceSettings {
            paces,
            interval: Duration::from_millis(1),
            ahead: if paces { 4 } else { 0 },
            hold: Duration::from_millis(if paces { 100 } else { 250 }),
        };
        Ok(Self {
            socket,
            pace: Pace::new(Instant::now(), settings),
            config,
            waiting: VecDeque::with_capacity(WAITING_MAX),
            expected_sequence: None,
            sequence: 0,
            buffer: Box::new([0; _]),
            previous: None,
            counters: LineCounters::default(),
            dropped: 0,
        })
    }

    /// The socket's address, for a configuration with port 0.
    pub fn local_address(&self) -> Result<SocketAddr, TdmError> {
        Ok(self.socket.local_addr()?)
    }

    /// Takes what the socket holds.
    fn drain(&mut self) -> Result<(), TdmError> {
        while self.waiting.len() < WAITING_MAX {
            let (size_octets, source) = match self.socket.recv_from(&mut self.buffer[..]) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The far end's host says that nobody listens there: same as silence.
                Err(error) if passes(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            self.accept(size_octets, source);
        }
        Ok(())
    }

    fn accept(&mut self, size_octets: usize, source: SocketAddr) {
        if source != self.config.remote {
            self.counters.wrong_address += 1;
            return;
        }
        let Ok(frame) = frame::decode(&self.buffer[..size_octets]) else {
            self.counters.malformed += 1;
            return;
        };
        let expected = Addresses {
            destination: self.config.local_mac,
            source: self.config.remote_mac,
            subaddress: self.config.subaddress,
        };
        let to_us =
            [expected.destination, MacAddress::BROADCAST].contains(&frame.addresses.destination);
        if !to_us
            || frame.addresses.source != expected.source
            || frame.addresses.subaddress != expected.subaddress
        {
            self.counters.wrong_address += 1;
            return;
        }
        if frame.timeslots != self.config.timeslots {
            self.counters.malformed += 1;
            return;
        }
        let sequence = frame.sequence;
        if !self.follow(sequence) {
            return;
        }
        let mut octets = [0; FRAME_SIZE_OCTETS_MAX];
        octets[..size_octets].copy_from_slice(&self.buffer[..size_octets]);
        self.waiting.push_back(Waiting { octets, size_octets });
    }

    /// Counts what is missing before this sequence number; false for a frame that comes too late.
    fn follow(&mut self, sequence: u16) -> bool {
        let gap = self.expected_sequence.map_or(0, |expected| sequence.wrapping_sub(expected));
        if gap > u16::MAX - GAP_FILLED_MAX {
            self.counters.out_of_order += 1;
            return false;
        }
        self.expected_sequence = Some(sequence.wrapping_add(1));
        if gap > GAP_FILLED_MAX {
            // The far end began anew, or was away for long: nothing to make up for.
            self.counters.sequence_gaps += 1;
            return true;
        }
        self.counters.sequence_gaps += u64::from(gap);
        for _ in 0..gap {
            self.waiting.push_back(Waiting { octets: [0; _], size_octets: 0 });
        }
        true
    }

    /// Fills the block with the next frame; false if that one was lost.
    fn take(&mut self, block: &mut Block) -> bool {
        let frame = self.waiting.pop_front().filter(|waiting| waiting.size_octets > 0);
        let Some(Waiting { octets, size_octets }) = frame else {
            block.set_missing(SAMPLES, crate::IDLE_A_LAW);
            return false;
        };
        if let Ok(frame) = frame::decode(&octets[..size_octets]) {
            frame.read_into(block);
        }
        true
    }

    /// How late a block of the far end's clock is: beyond one interval after the one before.
    fn late_us(&mut self, now: Instant, late: Duration) -> u64 {
        let since = self.previous.replace(now).map(|previous| now.duration_since(previous));
        let late = match self.config.clock {
            Clock::Internal => late,
            Clock::Line => since.unwrap_or_default().saturating_sub(Duration::from_millis(1)),
        };
        late.as_micros() as u64
    }
}

impl Line for TdmoeLine {
    fn shape(&self) -> Shape {
        Shape { timeslots: self.config.timeslots, d_channel: DChannel::Octets }
    }

    fn receive(&mut self, block: &mut Block) -> Result<Tick, TdmError> {
        let begun = Instant::now();
        loop {
            self.drain()?;
            let now = Instant::now();
            match self.pace.turn(now, self.waiting.len()) {
                Turn::Take { drop, late } => {
                    self.dropped += drop as u64;
                    self.waiting.drain(..drop);
                    let late_us = self.late_us(now, late);
                    let came = self.take(block);
                    return Ok(if came { Tick::Block { late_us } } else { Tick::Missing });
                }
                Turn::Missing => {
                    block.set_missing(SAMPLES, crate::IDLE_A_LAW);
                    return Ok(Tick::Missing);
                }
                Turn::Sleep(until) => std::thread::sleep(until - now),
                Turn::Await(until) => {
                    let quiet = begun + QUIET_MAX;
                    if now >= quiet {
                        return Ok(Tick::Quiet);
                    }
                    wait::readable(&self.socket, until.min(quiet) - now)?;
                }
            }
        }
    }

    fn transmit(&mut self, block: &Block) -> Result<(), TdmError> {
        let addresses = Addresses {
            destination: self.config.remote_mac,
            source: self.config.local_mac,
            subaddress: self.config.subaddress,
        };
        let size_octets = frame::encode(
            &mut self.buffer[..],
            addresses,
            self.config.timeslots,
            self.sequence,
            block,
        );
        self.sequence = self.sequence.wrapping_add(1);
        match self.socket.send_to(&self.buffer[..size_octets], self.config.remote) {
            Ok(_) => Ok(()),
            Err(error) if passes(&error) => {
                self.counters.not_sent += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn counters(&self) -> LineCounters {
        LineCounters { slips: self.dropped + self.pace.skipped_ticks(), ..self.counters }
    }
}

/// Whether a socket goes on after this error: it tells about the network, not about the socket.
fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        WouldBlock
            | Interrupted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
            | PermissionDenied
            | OutOfMemory
            | TimedOut
    ) || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(test)]
mod tests;
