//! A line that is a span of the DAHDI driver: a card in this host, or one of its dynamic spans.
//!
//! The first B channel is the clock: when it has a block, the others have theirs or get it within
//! the same block, since the driver runs all channels of a span together but fills their buffers
//! from when each was opened. So what is read of them is up to one block older than what is read of
//! the first, and no more. From line to span it is one to two blocks, from span to line
//! [`BLOCKS_AHEAD`], of [`DahdiConfig::block_samples`] each.

pub mod device;

use std::io;
use std::time::{Duration, Instant};

use crate::error::TdmError;
use crate::line::{
    BLOCK_SAMPLES_MAX, Block, DChannel, Line, LineCounters, Shape, TIMESLOT_MAX, Tick,
};
use device::{Channel, Control, EVENT_WAITS};

/// Blocks that the driver has to play, so that a late thread leaves no hole.
pub const BLOCKS_AHEAD: usize = 2;
/// Buffers each way; more than are ever used unless the thread is late.
const BUFFERS: i32 = 8;
/// D-channel frames: their buffers, and their size with FCS.
const FRAME_BUFFERS: i32 = 32;
const FRAME_BUFFER_SIZE_OCTETS: i32 = 1024;
/// The driver puts the FCS in their place.
const FCS_SIZE_OCTETS: usize = 2;
/// The owner looks after commands and alarms at least so often.
const QUIET_MAX: Duration = Duration::from_millis(10);
/// How often the driver is asked for alarms.
const STATUS_EVERY: Duration = Duration::from_millis(20);

/// How a span of the driver is used. It must be configured and started, by `dahdi_cfg` or by
/// [`Control`].
#[derive(Clone, Copy, Debug)]
pub struct DahdiConfig {
    /// Number of the span, from 1.
    pub span: i32,
    /// Timeslot of the D channel, configured for HDLC with FCS.
    pub d_channel: Option<u8>,
    /// Samples of a timeslot in a block: 16 to 160. The driver works through 8 at a time.
    pub block_samples: usize,
    /// Octet that stands for what did not come.
    pub idle: u8,
}

/// A span of the driver.
#[derive(Debug)]
pub struct DahdiLine {
    config: DahdiConfig,
    control: Control,
    timeslots: u8,
    bearers: Vec<(u8, Channel)>,
    d_channel: Option<Channel>,
    alarms: i32,
    asked: Option<Instant>,
    previous: Option<Instant>,
    /// The others' first blocks are left in the driver while the first channel begins.
    begun: bool,
    counters: LineCounters,
}

impl DahdiLine {
    /// Opens all channels of the span.
    pub fn open(config: DahdiConfig) -> Result<Self, TdmError> {
        let failed = |what: String| move |source| TdmError::Dahdi { what, source };
        if !(16..=BLOCK_SAMPLES_MAX).contains(&config.block_samples) {
            return Err(TdmError::BlockSize { samples: config.block_samples });
        }
        let control = Control::open().map_err(failed("/dev/dahdi/ctl".to_owned()))?;
        let places = control.channels(config.span);
        let timeslots = match u8::try_from(places.len()) {
            Ok(timeslots @ 1..=TIMESLOT_MAX) => timeslots,
            _ => return Err(TdmError::NoDahdiSpan(config.span)),
        };
        let mut bearers = Vec::new();
        let mut d_channel = None;
        for place in places {
            let what = format!("channel {} of span {}", place.channel, config.span);
            let channel = Channel::open(place.channel).map_err(failed(what.clone()))?;
            if config.d_channel == Some(place.timeslot) {
                channel
                    .set_buffers(FRAME_BUFFERS, FRAME_BUFFER_SIZE_OCTETS)
                    .map_err(failed(what))?;
                d_channel = Some(channel);
            } else {
                channel
                    .set_audio_mode(true)
                    .and_then(|()| channel.set_buffers(BUFFERS, config.block_samples as i32))
                    .and_then(|()| channel.flush())
                    .map_err(failed(what))?;
                bearers.push((place.timeslot, channel));
            }
        }
        if bearers.is_empty() || d_channel.is_none() && config.d_channel.is_some() {
            return Err(TdmError::NoDahdiSpan(config.span));
        }
        let line = Self {
            config,
            control,
            timeslots,
            bearers,
            d_channel,
            alarms: 0,
            asked: None,
            previous: None,
            begun: false,
            counters: LineCounters::default(),
        };
        let idle = [config.idle; BLOCK_SAMPLES_MAX];
        for _ in 0..BLOCKS_AHEAD {
            for (_, channel) in &line.bearers {
                drained(channel, || channel.write(&idle[..config.block_samples]))?;
            }
        }
        Ok(line)
    }

    /// The driver's word on the span: alarms and error counters.
    pub fn status(&self) -> io::Result<device::SpanStatus> {
        self.control.span_status(self.config.span)
    }

    fn report_alarms(&mut self, now: Instant, block: &mut Block) -> Result<(), TdmError> {
        // Red, loss of signal, of frame and of multiframe alignment.
        const RED: i32 = 0x8 | 0x100 | 0x200 | 0x400;
        const YELLOW: i32 = 0x4;
        const BLUE: i32 = 0x10;
        if self.asked.is_none_or(|asked| now - asked >= STATUS_EVERY) {
            self.alarms = self.status()?.alarms;
            self.asked = Some(now);
        }
        block.red = self.alarms & RED != 0;
        block.yellow = self.alarms & YELLOW != 0;
        block.blue = self.alarms & BLUE != 0;
        Ok(())
    }
}

/// Reads or writes, after the events that stand in the way; `None` if the driver has nothing, or no
/// room.
fn drained(
    channel: &Channel,
    mut transfer: impl FnMut() -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    loop {
        match transfer() {
            Ok(size_octets) => return Ok(Some(size_octets)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Alarms are asked for by themselves; overruns and bad frames cost what they cost.
            Err(error) if error.raw_os_error() == Some(EVENT_WAITS) => {
                while channel.event()?.is_some() {}
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits until the channel has a block or an event, or the time is over.
fn wait(channel: &Channel, timeout: Duration) -> io::Result<()> {
    let mut waited =
        libc::pollfd { fd: channel.fd(), events: libc::POLLIN | libc::POLLPRI, revents: 0 };
    // SAFETY: one pollfd, which lives through the call.
    let result = unsafe { libc::poll(&raw mut waited, 1, timeout.as_millis() as libc::c_int) };
    match io::Error::last_os_error() {
        error if result < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

impl Line for DahdiLine {
    fn shape(&self) -> Shape {
        Shape { timeslots: self.timeslots, d_channel: DChannel::Frames }
    }

    fn receive(&mut self, block: &mut Block) -> Result<Tick, TdmError> {
        let samples = self.config.block_samples;
        block.set_missing(samples, self.config.idle);
        let (timeslot, first) = &self.bearers[0];
        let mut read = drained(first, || first.read(block.timeslot_mut(*timeslot)))?;
        if read.is_none() {
            wait(first, QUIET_MAX)?;
            read = drained(first, || first.read(block.timeslot_mut(*timeslot)))?;
        }
        if read.is_none() {
            return Ok(Tick::Quiet);
        }
        if std::mem::replace(&mut self.begun, true) {
            for (timeslot, channel) in &self.bearers[1..] {
                if drained(channel, || channel.read(block.timeslot_mut(*timeslot)))?.is_none() {
                    self.counters.slips += 1;
                }
            }
        }
        let now = Instant::now();
        self.report_alarms(now, block)?;
        let since = self.previous.replace(now).map(|previous| now - previous);
        let block_time = Duration::from_micros(samples as u64 * 125);
        let late = since.unwrap_or_default().saturating_sub(block_time);
        Ok(Tick::Block { late_us: late.as_micros() as u64 })
    }

    fn transmit(&mut self, block: &Block) -> Result<(), TdmError> {
        for (timeslot, channel) in &self.bearers {
            if drained(channel, || channel.write(block.timeslot(*timeslot)))?.is_none() {
                self.counters.not_sent += 1;
            }
        }
        Ok(())
    }

    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<Option<usize>, TdmError> {
        let Some(channel) = &self.d_channel else { return Ok(None) };
        let mut octets = [0; FRAME_BUFFER_SIZE_OCTETS as usize];
        while let Some(size_octets) = drained(channel, || channel.read(&mut octets))? {
            let size_octets = size_octets.saturating_sub(FCS_SIZE_OCTETS);
            if size_octets == 0 || size_octets > frame.len() {
                self.counters.malformed += 1;
                continue;
            }
            frame[..size_octets].copy_from_slice(&octets[..size_octets]);
            return Ok(Some(size_octets));
        }
        Ok(None)
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<bool, TdmError> {
        let Some(channel) = &self.d_channel else { return Ok(false) };
        let mut octets = [0; FRAME_BUFFER_SIZE_OCTETS as usize];
        let size_octets = frame.len() + FCS_SIZE_OCTETS;
        if size_octets > octets.len() {
            return Err(TdmError::FrameSize { size_octets: frame.len() });
        }
        octets[..frame.len()].copy_from_slice(frame);
        Ok(drained(channel, || channel.write(&octets[..size_octets]))?.is_some())
    }

    fn counters(&self) -> LineCounters {
        self.counters
    }
}
