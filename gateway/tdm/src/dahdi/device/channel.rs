//! An open channel of the driver.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{ChannelLaw, ask, number, set_number};

const SET_BUFINFO: libc::c_ulong = 0x4018_da1b;
const GET_BUFINFO: libc::c_ulong = 0x8018_da1b;
const FLUSH: libc::c_ulong = 0x4004_da03;
const GETEVENT: libc::c_ulong = 0x8004_da08;
const GETGAINS: libc::c_ulong = 0xc204_da10;
const SETGAINS: libc::c_ulong = 0x4204_da10;
const AUDIOMODE: libc::c_ulong = 0x4004_da20;
const ECHOCANCEL: libc::c_ulong = 0x4004_da21;
const SPECIFY: libc::c_ulong = 0x4004_da26;
const SETLAW: libc::c_ulong = 0x4004_da27;
const ECHOCANCEL_FAX_MODE: libc::c_ulong = 0x4004_da66;
const BUFFER_EVENTS: libc::c_ulong = 0x4004_da69;

const BUFFERS_SIZE_OCTETS: usize = 24;
const GAINS_SIZE_OCTETS: usize = 516;

/// When the driver begins to play what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Policy {
    /// At once.
    #[default]
    Immediate = 0,
    /// When all buffers are full.
    WhenFull = 1,
    /// When half of them are.
    HalfFull = 2,
}

/// Buffers of a channel, each way. What is read is handed on as soon as a buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// How many: 2 to 32.
    pub count: i32,
    /// Octets of each: 16 to 8192, and no more than 32768 all together.
    pub size_octets: i32,
    /// When what is written is played.
    pub policy: Policy,
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

    fn set(&self, request: libc::c_ulong, value: i32) -> io::Result<()> {
        ask(self.0.as_raw_fd(), request, &mut value.to_ne_bytes())
    }

    /// Makes a clear channel one of speech: law, gains and echo canceller apply.
    pub fn set_audio_mode(&self, on: bool) -> io::Result<()> {
        self.set(AUDIOMODE, on.into())
    }

    /// Sets the law of a channel in audio mode, whatever it was configured for.
    pub fn set_law(&self, law: ChannelLaw) -> io::Result<()> {
        self.set(SETLAW, law as i32)
    }

    /// Sets the octets that stand for those received and sent, of a channel in audio mode.
    pub fn set_gains(&self, receive: &[u8; 256], transmit: &[u8; 256]) -> io::Result<()> {
        let mut octets = [0; GAINS_SIZE_OCTETS];
        octets[4..260].copy_from_slice(receive);
        octets[260..].copy_from_slice(transmit);
        ask(self.0.as_raw_fd(), SETGAINS, &mut octets)
    }

    /// What [`set_gains`](Self::set_gains) has set.
    pub fn gains(&self) -> io::Result<([u8; 256], [u8; 256])> {
        let mut octets = [0; GAINS_SIZE_OCTETS];
        ask(self.0.as_raw_fd(), GETGAINS, &mut octets)?;
        let table = |at: usize| std::array::from_fn(|octet| octets[at + octet]);
        Ok((table(4), table(260)))
    }

    /// Switches the echo canceller on, anew, with a tail of so many samples (32, 64, …, 1024), or
    /// off by 0. Without one attached nothing happens.
    pub fn set_echo_canceller(&self, taps: u16) -> io::Result<()> {
        self.set(ECHOCANCEL, taps.into())
    }

    /// Takes the non-linear part out of the canceller that is on, or all of it where it has no
    /// switch for that: for a fax. `false` undoes it.
    pub fn set_fax_mode(&self, on: bool) -> io::Result<()> {
        self.set(ECHOCANCEL_FAX_MODE, on.into())
    }

    /// Sets the buffers each way; what was in them is lost.
    pub fn set_buffers(&self, buffers: Buffers) -> io::Result<()> {
        let mut octets = [0; BUFFERS_SIZE_OCTETS];
        set_number(&mut octets, 0, buffers.policy as i32);
        set_number(&mut octets, 8, buffers.count);
        set_number(&mut octets, 12, buffers.size_octets);
        ask(self.0.as_raw_fd(), SET_BUFINFO, &mut octets)
    }

    /// The buffers each way.
    pub fn buffers(&self) -> io::Result<Buffers> {
        let mut octets = [0; BUFFERS_SIZE_OCTETS];
        ask(self.0.as_raw_fd(), GET_BUFINFO, &mut octets)?;
        let policy = match number(&octets, 0) {
            1 => Policy::WhenFull,
            2 => Policy::HalfFull,
            _ => Policy::Immediate,
        };
        Ok(Buffers { count: number(&octets, 8), size_octets: number(&octets, 12), policy })
    }

    /// Asks for an event whenever what comes finds no buffer, or what is to be played is not there.
    pub fn report_buffer_events(&self, on: bool) -> io::Result<()> {
        self.set(BUFFER_EVENTS, on.into())
    }

    /// Forgets all that waits, each way, and all events.
    pub fn flush(&self) -> io::Result<()> {
        self.set(FLUSH, 7)
    }

    /// Forgets what waits to be played.
    pub fn flush_written(&self) -> io::Result<()> {
        self.set(FLUSH, 2)
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

    pub(in crate::dahdi) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
