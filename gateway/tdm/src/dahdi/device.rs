//! DAHDI's device files: what is asked of the driver, with the structures of its `dahdi/user.h`.
//!
//! Channels are opened by `/dev/dahdi/channel` and their number, and spans that nobody has numbered
//! yet are numbered through sysfs, so no udev rule is needed.

mod cas;
mod channel;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

pub use cas::{BitSignalling, Hook};
pub use channel::{Buffers, Channel, Policy};

/// What read and write fail with while an event waits (`ELAST` of the driver; libc has no name for it).
pub(super) const EVENT_WAITS: i32 = 500;

const GET_PARAMS: libc::c_ulong = 0xc088_da05;
const SPANSTAT: libc::c_ulong = 0xc13a_da0a;
const SPANCONFIG: libc::c_ulong = 0x4024_da12;
const CHANCONFIG: libc::c_ulong = 0x404c_da13;
const GETVERSION: libc::c_ulong = 0x80a0_da39;
const ATTACH_ECHOCAN: libc::c_ulong = 0x4014_da3b;
const DYNAMIC_CREATE: libc::c_ulong = 0xc048_da50;
const DYNAMIC_DESTROY: libc::c_ulong = 0x4048_da51;
const STARTUP: libc::c_ulong = 0x4004_da63;
const SHUTDOWN: libc::c_ulong = 0x4004_da64;

const SPAN_STATUS_SIZE_OCTETS: usize = 314;
const CHANNEL_SIZE_OCTETS: usize = 136;
const DYNAMIC_SIZE_OCTETS: usize = 72;
const LINE_SIZE_OCTETS: usize = 36;
const CHANNEL_SETTINGS_SIZE_OCTETS: usize = 76;
const VERSION_SIZE_OCTETS: usize = 160;
const ECHO_CANCELLER_SIZE_OCTETS: usize = 20;

/// Devices of the driver, each with the file that gives its spans their numbers.
const DEVICES: &str = "/sys/bus/dahdi_devices/devices";

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

/// A string that ends with a zero.
fn text(octets: &[u8]) -> String {
    let end = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(&octets[..end]).into_owned()
}

fn set_text(octets: &mut [u8], text: &str) -> io::Result<()> {
    if text.len() >= octets.len() || text.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} is too long")));
    }
    octets[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
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

/// How the bits stand on the line (`DAHDI_CONFIG_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Coding {
    /// Alternate mark inversion.
    Ami = 1 << 6,
    /// B8ZS, of a T1.
    B8zs = 1 << 7,
    /// HDB3, of an E1.
    Hdb3 = 1 << 9,
}

/// Frame format (`DAHDI_CONFIG_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Superframe of 12 frames, of a T1.
    D4,
    /// Extended superframe, of a T1.
    Esf,
    /// E1 with common channel signalling, with CRC-4 (G.704 §2.3.3) or without.
    Ccs {
        /// Multiframes with CRC-4.
        crc4: bool,
    },
    /// E1 with channel-associated signalling in timeslot 16, with CRC-4 or without.
    Cas {
        /// Multiframes with CRC-4.
        crc4: bool,
    },
}

/// Settings of a span's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSettings {
    /// Frame format.
    pub framing: Framing,
    /// Line code.
    pub coding: Coding,
    /// Line build-out (`lbo` of `dahdi_cfg`): 0 to 7; 0 is right on an E1.
    pub build_out: i32,
    /// Priority of the span as a source of the card's clock, 1 the first; 0: it is none, the card
    /// gives the clock.
    pub sync: i32,
}

/// Law of the speech on a channel (`DAHDI_LAW_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ChannelLaw {
    /// µ-law.
    Mu = 1,
    /// A-law.
    A = 2,
}

/// What the driver says of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanStatus {
    /// Alarm bits: 4 yellow, 8 red, 0x10 blue, 0x100 loss of signal, 0x200 of frame, 0x400 of multiframe.
    pub alarms: i32,
    /// Errors since the driver began to count.
    pub errors: SpanErrors,
    /// Span that the card takes its clock from; 0: it gives the clock.
    pub sync_source: i32,
    /// Channels of the span that are configured.
    pub configured_channels: i32,
    /// Channels of the span.
    pub channels: i32,
    /// Bits of [`Framing`] and [`Coding`] as they were set; a dynamic span has none.
    pub line: i32,
}

/// What cards count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanErrors {
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
}

/// A channel of a span, as enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelPlace {
    /// Number among all channels of the driver.
    pub channel: i32,
    /// Place in its span, from 1: the timeslot.
    pub timeslot: u8,
    /// What it is configured for (`DAHDI_SIG_…`); 0: nothing.
    pub signalling: i32,
}

/// A span of `dahdi_dynamic`, which no card has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicSpan {
    /// `loc` for another such span in this host, `eth` for TDM over Ethernet.
    pub driver: String,
    /// Where the other end is, as the driver writes it: `1:0` is back to back with `1:1`,
    /// `eth0/02:00:00:00:00:01/0` is device, Ethernet address and subaddress.
    pub address: String,
    /// Priority as a source of the clock, 1 the first; 0: none.
    pub timing: i32,
}

/// What the driver says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its version.
    pub version: String,
    /// Echo cancellers that are loaded, by name.
    pub echo_cancellers: Vec<String>,
}

/// `/dev/dahdi/ctl`.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens it.
    pub fn open() -> io::Result<Self> {
        Ok(Self(OpenOptions::new().read(true).write(true).open("/dev/dahdi/ctl")?))
    }

    /// The driver's version, and the echo cancellers that are loaded.
    pub fn version(&self) -> io::Result<Version> {
        let mut octets = [0; VERSION_SIZE_OCTETS];
        ask(self.0.as_raw_fd(), GETVERSION, &mut octets)?;
        let names = text(&octets[80..]);
        let echo_cancellers = names.split(", ").filter(|name| !name.is_empty());
        Ok(Version {
            version: text(&octets[..80]),
            echo_cancellers: echo_cancellers.map(str::to_owned).collect(),
        })
    }

    fn ask_status(&self, span: i32) -> io::Result<[u8; SPAN_STATUS_SIZE_OCTETS]> {
        let mut octets = [0; SPAN_STATUS_SIZE_OCTETS];
        set_number(&mut octets, 0, span);
        ask(self.0.as_raw_fd(), SPANSTAT, &mut octets)?;
        Ok(octets)
    }

    /// The name of a span and what it is, in the driver's words.
    pub fn span_names(&self, span: i32) -> io::Result<[String; 2]> {
        let octets = self.ask_status(span)?;
        Ok([text(&octets[4..24]), text(&octets[24..64])])
    }

    /// The state and error counters of a span.
    pub fn span_status(&self, span: i32) -> io::Result<SpanStatus> {
        let octets = self.ask_status(span)?;
        Ok(SpanStatus {
            alarms: number(&octets, 64),
            errors: SpanErrors {
                bpv: number(&octets, 76),
                crc4: number(&octets, 80),
                e_bit: number(&octets, 84),
                fas: number(&octets, 88),
                errored_s: number(&octets, 108),
                irq_misses: number(&octets, 112),
            },
            sync_source: number(&octets, 116),
            configured_channels: number(&octets, 120),
            channels: number(&octets, 124),
            line: number(&octets, 136),
        })
    }

    /// The channels of a span. Numbers without a channel leave holes, so all of them are asked for.
    pub fn channels(&self, span: i32) -> Vec<ChannelPlace> {
        let place = |channel| {
            let mut octets = [0; CHANNEL_SIZE_OCTETS];
            set_number(&mut octets, 0, channel);
            ask(self.0.as_raw_fd(), GET_PARAMS, &mut octets).ok()?;
            let timeslot = u8::try_from(number(&octets, 8)).ok()?;
            let signalling = number(&octets, 12);
            (number(&octets, 4) == span).then_some(ChannelPlace { channel, timeslot, signalling })
        };
        (1..1024).filter_map(place).collect()
    }

    /// Gives the spans of all devices their numbers, where nobody has yet: the driver leaves that to
    /// udev unless it was loaded with `auto_assign_spans=1`.
    pub fn assign_spans(&self) -> io::Result<()> {
        for device in std::fs::read_dir(DEVICES)? {
            let file = device?.path().join("auto_assign");
            match OpenOptions::new().write(true).open(&file) {
                // What is assigned already stays so.
                Ok(mut file) => _ = io::Write::write_all(&mut file, b"1"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Configures the line of a span.
    pub fn configure_span(&self, span: i32, settings: &LineSettings) -> io::Result<()> {
        const D4: i32 = 1 << 4;
        const ESF: i32 = 1 << 5;
        const CCS: i32 = 1 << 8;
        const CRC4: i32 = 1 << 10;
        let framing = match settings.framing {
            Framing::D4 => D4,
            Framing::Esf => ESF,
            Framing::Ccs { crc4: false } => CCS,
            Framing::Ccs { crc4: true } => CCS | CRC4,
            Framing::Cas { crc4: false } => 0,
            Framing::Cas { crc4: true } => CRC4,
        };
        let mut octets = [0; LINE_SIZE_OCTETS];
        set_number(&mut octets, 0, span);
        set_number(&mut octets, 24, settings.build_out);
        set_number(&mut octets, 28, framing | settings.coding as i32);
        set_number(&mut octets, 32, settings.sync);
        ask(self.0.as_raw_fd(), SPANCONFIG, &mut octets)
    }

    /// Configures a channel.
    pub fn configure_channel(
        &self,
        channel: i32,
        signalling: Signalling,
        law: ChannelLaw,
    ) -> io::Result<()> {
        self.set_channel(channel, signalling as i32, law, 0)
    }

    /// `idle` are the bits of a channel that has some, until it is told others.
    fn set_channel(
        &self,
        channel: i32,
        signalling: i32,
        law: ChannelLaw,
        idle: u8,
    ) -> io::Result<()> {
        let mut octets = [0; CHANNEL_SETTINGS_SIZE_OCTETS];
        set_number(&mut octets, 0, channel);
        set_number(&mut octets, 44, signalling);
        set_number(&mut octets, 48, law as i32);
        set_number(&mut octets, 52, channel);
        set_number(&mut octets, 56, idle.into());
        ask(self.0.as_raw_fd(), CHANCONFIG, &mut octets)
    }

    /// Says which echo canceller a channel gets when it asks for one; it must be loaded. `None`:
    /// none.
    pub fn attach_echo_canceller(&self, channel: i32, name: Option<&str>) -> io::Result<()> {
        let mut octets = [0; ECHO_CANCELLER_SIZE_OCTETS];
        set_number(&mut octets, 0, channel);
        set_text(&mut octets[4..], name.unwrap_or_default())?;
        ask(self.0.as_raw_fd(), ATTACH_ECHOCAN, &mut octets)
    }

    /// Starts a configured span.
    pub fn start_span(&self, span: i32) -> io::Result<()> {
        ask(self.0.as_raw_fd(), STARTUP, &mut span.to_ne_bytes())
    }

    /// Stops a span.
    pub fn stop_span(&self, span: i32) -> io::Result<()> {
        ask(self.0.as_raw_fd(), SHUTDOWN, &mut span.to_ne_bytes())
    }

    /// Makes a dynamic span and says its number; 0 if it got none yet
    /// ([`assign_spans`](Self::assign_spans)).
    pub fn create_dynamic_span(&self, span: &DynamicSpan, channels: i32) -> io::Result<i32> {
        let mut octets = dynamic_span(span, channels)?;
        ask(self.0.as_raw_fd(), DYNAMIC_CREATE, &mut octets)?;
        Ok(number(&octets, 68))
    }

    /// Takes a dynamic span away; none of its channels may be open.
    pub fn destroy_dynamic_span(&self, span: &DynamicSpan) -> io::Result<()> {
        ask(self.0.as_raw_fd(), DYNAMIC_DESTROY, &mut dynamic_span(span, 0)?)
    }
}

fn dynamic_span(span: &DynamicSpan, channels: i32) -> io::Result<[u8; DYNAMIC_SIZE_OCTETS]> {
    let mut octets = [0; DYNAMIC_SIZE_OCTETS];
    set_text(&mut octets[..20], &span.driver)?;
    set_text(&mut octets[20..60], &span.address)?;
    set_number(&mut octets, 60, channels);
    set_number(&mut octets, 64, span.timing);
    Ok(octets)
}
