//! DAHDI's device files: what is asked of the driver, with the structures of its `dahdi/user.h`.
//!
//! Channels are opened by `/dev/dahdi/channel` and their number, so no udev rule is needed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// What read and write fail with while an event waits (`ELAST` of the driver; libc has no name for it).
pub(super) const EVENT_WAITS: i32 = 500;

const SPECIFY: libc::c_ulong = 0x4004_da26;
const SET_BUFINFO: libc::c_ulong = 0x4018_da1b;
const FLUSH: libc::c_ulong = 0x4004_da03;
const GET_PARAMS: libc::c_ulong = 0xc088_da05;
const GETEVENT: libc::c_ulong = 0x8004_da08;
const SPANSTAT: libc::c_ulong = 0xc13a_da0a;
const SPANCONFIG: libc::c_ulong = 0x4024_da12;
const CHANCONFIG: libc::c_ulong = 0x404c_da13;
const STARTUP: libc::c_ulong = 0x4004_da63;
const AUDIOMODE: libc::c_ulong = 0x4004_da20;
const DYNAMIC_CREATE: libc::c_ulong = 0xc048_da50;
const DYNAMIC_DESTROY: libc::c_ulong = 0x4048_da51;

const SPAN_STATUS_SIZE_OCTETS: usize = 314;
const CHANNEL_SIZE_OCTETS: usize = 136;
const DYNAMIC_SIZE_OCTETS: usize = 72;

/// An `ioctl` whose argument is a structure held in `argument`, as many octets as its number says.
fn ask(fd: RawFd, request: libc::c_ulong, argument: &mut [u8]) -> io::Result<()> {
    // The size is in bits 16 to 29 of every request's number.
    assert_eq!(argument.len(), (request >> 16) as usize & 0x3fff);
    // SAFETY: the driver reads and writes as many octets as the number says, which the slice has;
    // its structures have no pointers.
    match unsafe { libc::ioctl(fd, request, argument.as_mut_ptr()) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn number(octets: &[u8], at: usize) -> i32 {
    i32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

fn set_number(octets: &mut [u8], at: usize, value: i32) {
    octets[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// What a channel is configured for (`DAHDI_SIG_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Signalling {
    /// 64 kbit/s as they are: a B channel.
    Clear = 0x80,
    /// HDLC frames with FCS: a D channel.
    HdlcFcs = 0x380,
}

/// What the driver says of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanStatus {
    /// Alarm bits: 4 yellow, 8 red, 0x10 blue, 0x100 loss of signal, 0x200 of frame, 0x400 of multiframe.
    pub alarms: i32,
    /// Bipolar violations.
    pub bpv: i32,
    /// CRC-4 errors.
    pub crc4: i32,
    /// E bits: CRC-4 errors that the far end saw.
    pub e_bit: i32,
    /// Frame alignment errors.
    pub fas: i32,
    /// Errored seconds.
    pub errored_s: i32,
    /// Interrupts that were missed.
    pub irq_misses: i32,
    /// Channels of the span.
    pub channels: i32,
}

/// A channel of a span, as enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelPlace {
    /// Number among all channels of the driver.
    pub channel: i32,
    /// Place in its span, from 1: the timeslot.
    pub timeslot: u8,
}

/// `/dev/dahdi/ctl`.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens it.
    pub fn open() -> io::Result<Self> {
        Ok(Self(OpenOptions::new().read(true).write(true).open("/dev/dahdi/ctl")?))
    }

    /// The state and error counters of a span.
    pub fn span_status(&self, span: i32) -> io::Result<SpanStatus> {
        let mut octets = [0; SPAN_STATUS_SIZE_OCTETS];
        set_number(&mut octets, 0, span);
        ask(self.0.as_raw_fd(), SPANSTAT, &mut octets)?;
        Ok(SpanStatus {
            alarms: number(&octets, 64),
            bpv: number(&octets, 76),
            crc4: number(&octets, 80),
            e_bit: number(&octets, 84),
            fas: number(&octets, 88),
            errored_s: number(&octets, 108),
            irq_misses: number(&octets, 112),
            channels: number(&octets, 124),
        })
    }

    /// The channels of a span. Numbers without a channel leave holes, so all of them are asked for.
    pub fn channels(&self, span: i32) -> Vec<ChannelPlace> {
        let place = |channel| {
            let mut octets = [0; CHANNEL_SIZE_OCTETS];
            set_number(&mut octets, 0, channel);
            ask(self.0.as_raw_fd(), GET_PARAMS, &mut octets).ok()?;
            let timeslot = u8::try_from(number(&octets, 8)).ok()?;
            (number(&octets, 4) == span).then_some(ChannelPlace { channel, timeslot })
        };
        (1..1024).filter_map(place).collect()
    }

    /// Configures a span for E1 with common channel signalling, HDB3 and, if wanted, CRC-4. `sync` is
    /// its priority as a source of the clock; 0: none.
    pub fn configure_e1(&self, span: i32, sync: i32, crc4: bool) -> io::Result<()> {
        const CCS: i32 = 1 << 8;
        const HDB3: i32 = 1 << 9;
        const CRC4: i32 = 1 << 10;
        let mut octets = [0; 36];
        set_number(&mut octets, 0, span);
        set_number(&mut octets, 28, CCS | HDB3 | if crc4 { CRC4 } else { 0 });
        set_number(&mut octets, 32, sync);
        ask(self.0.as_raw_fd(), SPANCONFIG, &mut octets)
    }

    /// Configures a channel, with A-law.
    pub fn configure_channel(&self, channel: i32, signalling: Signalling) -> io::Result<()> {
        const A_LAW: i32 = 2;
        let mut octets = [0; 76];
        set_number(&mut octets, 0, channel);
        set_number(&mut octets, 44, signalling as i32);
        set_number(&mut octets, 48, A_LAW);
        set_number(&mut octets, 52, channel);
        ask(self.0.as_raw_fd(), CHANCONFIG, &mut octets)
    }

    /// Starts a configured span.
    pub fn start_span(&self, span: i32) -> io::Result<()> {
        ask(self.0.as_raw_fd(), STARTUP, &mut span.to_ne_bytes())
    }

    /// Makes a span of the module `dahdi_dynamic_DRIVER` and says its number.
    pub fn create_dynamic_span(
        &self,
        driver: &str,
        address: &str,
        channels: i32,
    ) -> io::Result<i32> {
        let mut octets = dynamic_span(driver, address, channels)?;
        ask(self.0.as_raw_fd(), DYNAMIC_CREATE, &mut octets)?;
        Ok(number(&octets, 68))
    }

    /// Takes a dynamic span away; none of its channels may be open.
    pub fn destroy_dynamic_span(&self, driver: &str, address: &str) -> io::Result<()> {
        ask(self.0.as_raw_fd(), DYNAMIC_DESTROY, &mut dynamic_span(driver, address, 0)?)
    }
}

fn dynamic_span(
    driver: &str,
    address: &str,
    channels: i32,
) -> io::Result<[u8; DYNAMIC_SIZE_OCTETS]> {
    // Each string ends with a zero.
    if driver.len() > 19 || address.len() > 39 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "name or address too long"));
    }
    let mut octets = [0; DYNAMIC_SIZE_OCTETS];
    octets[..driver.len()].copy_from_slice(driver.as_bytes());
    octets[20..20 + address.len()].copy_from_slice(address.as_bytes());
    set_number(&mut octets, 60, channels);
    Ok(octets)
}

/// An open channel, never waited for.
#[derive(Debug)]
pub struct Channel(File);

impl Channel {
    /// Opens a channel by its number; fails if somebody else has it open.
    pub fn open(channel: i32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open("/dev/dahdi/channel")?;
        ask(file.as_raw_fd(), SPECIFY, &mut channel.to_ne_bytes())?;
        Ok(Self(file))
    }

    /// Makes a clear channel one of speech: law, gains and echo canceller apply.
    pub fn set_audio_mode(&self, on: bool) -> io::Result<()> {
        ask(self.0.as_raw_fd(), AUDIOMODE, &mut i32::from(on).to_ne_bytes())
    }

    /// Sets how many buffers of which size the driver keeps each way. Each is played as soon as it
    /// is written, and handed on when it is full.
    pub fn set_buffers(&self, count: i32, size_octets: i32) -> io::Result<()> {
        let mut octets = [0; 24];
        set_number(&mut octets, 8, count);
        set_number(&mut octets, 12, size_octets);
        ask(self.0.as_raw_fd(), SET_BUFINFO, &mut octets)
    }

    /// Forgets all that waits, each way, and all events.
    pub fn flush(&self) -> io::Result<()> {
        ask(self.0.as_raw_fd(), FLUSH, &mut 7_i32.to_ne_bytes())
    }

    /// The next event, if one waits. As long as one does, [`read`](Self::read) and
    /// [`write`](Self::write) fail with error 500.
    pub fn event(&self) -> io::Result<Option<i32>> {
        let mut octets = [0; 4];
        ask(self.0.as_raw_fd(), GETEVENT, &mut octets)?;
        Ok(Some(i32::from_ne_bytes(octets)).filter(|event| *event != 0))
    }

    /// Reads a whole block or frame.
    pub fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(octets)
    }

    /// Writes a block or frame; the driver takes no more than its buffer holds.
    pub fn write(&self, octets: &[u8]) -> io::Result<usize> {
        (&self.0).write(octets)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
