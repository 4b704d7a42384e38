//! A line that is a span of the DAHDI driver: a card in this host, or one of its dynamic spans.
//!
//! The first B channel is the clock: when it has a block, the others have theirs or get it within
//! the same block, since the driver runs all channels of a span together but fills their buffers
//! from when each was opened. So what is read of them is up to one block older than what is read of
//! the first, and no more. From line to span it is one to two blocks, from span to line
//! [`DahdiBuffers::ahead`], of [`DahdiConfig::block_samples`] each. A thread that was late leaves
//! more or fewer under way; the driver says so, and all channels begin anew with as many as before.

pub mod device;
mod echo;
mod events;
mod set_up;

use std::io;
use std::time::{Duration, Instant};

use trunkline_dsp::g711::Law;

use crate::error::TdmError;
use crate::line::{
    BLOCK_SAMPLES_MAX, Block, DChannel, Line, LineCounters, Load, Shape, TIMESLOT_MAX, Tick,
};
use device::{Buffers, Channel, ChannelLaw, Control, Policy};
use echo::{EchoCancellers, Switch, Way};
use events::{Seen, drained};
pub use set_up::SetUp;

/// D-channel frames: their buffers, and their size with FCS.
const FRAME_BUFFERS: Buffers =
    Buffers { count: 32, size_octets: FRAME_BUFFER_SIZE_OCTETS as i32, policy: Policy::Immediate };
const FRAME_BUFFER_SIZE_OCTETS: usize = 1024;
/// The driver puts the FCS in their place.
const FCS_SIZE_OCTETS: usize = 2;
/// The owner looks after commands and alarms at least so often.
const QUIET_MAX: Duration = Duration::from_millis(10);
/// If nothing comes for so long, what was to be under way is played.
const BEGIN_MAX: Duration = Duration::from_millis(500);
/// How often the driver is asked for alarms and errors.
const STATUS_EVERY: Duration = Duration::from_millis(20);

/// How a span of the driver is used.
#[derive(Clone, Debug)]
pub struct DahdiConfig {
    /// Number of the span, from 1.
    pub span: i32,
    /// Timeslot of the D channel, configured for HDLC with FCS.
    pub d_channel: Option<u8>,
    /// Samples of a timeslot in a block: 16 to 160. The driver works through 8 at a time.
    pub block_samples: usize,
    /// Law of the speech, whatever the channels were configured for.
    pub law: Law,
    /// What is done to the span first; none: it is as `dahdi_cfg` has left it, started.
    pub set_up: Option<SetUp>,
    /// Buffers of each B channel.
    pub buffers: DahdiBuffers,
    /// Gains of each B channel.
    pub gains: Gains,
    /// The driver's echo canceller, for calls with speech.
    pub echo_canceller: Option<EchoCanceller>,
}

impl DahdiConfig {
    /// A span with a primary rate interface, as `dahdi_cfg` has left it.
    pub fn new(span: i32, d_channel: u8, law: Law) -> Self {
        Self {
            span,
            d_channel: Some(d_channel),
            block_samples: 80,
            law,
            set_up: None,
            buffers: DahdiBuffers::default(),
            gains: Gains::default(),
            echo_canceller: None,
        }
    }
}

/// Buffers of a B channel, each of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DahdiBuffers {
    /// How many each way, 4 to 32: more than are ever used unless the thread is late.
    pub count: u8,
    /// Blocks that the driver has to play, so that a late thread leaves no hole: 1 to half of
    /// `count`.
    pub ahead: u8,
    /// The driver plays nothing before half of the buffers are full, after a hole too; `ahead` is
    /// half of `count` then.
    pub half_full: bool,
}

impl Default for DahdiBuffers {
    fn default() -> Self {
        Self { count: 8, ahead: 2, half_full: false }
    }
}

impl DahdiBuffers {
    /// Blocks that are under way to the line.
    pub fn blocks_ahead(self) -> u8 {
        if self.half_full { self.count / 2 } else { self.ahead }
    }
}

/// Gains of the B channels, in dB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gains {
    /// From the line.
    pub receive_db: f32,
    /// To the line.
    pub transmit_db: f32,
}

/// An echo canceller of the driver or of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoCanceller {
    /// Its name, as in `mg2` or `hwec`; none: the one that `dahdi_cfg` has attached.
    pub name: Option<String>,
    /// Samples of its tail: 32, 64, 128, 256, 512 or 1024.
    pub taps: u16,
}

/// A span of the driver.
#[derive(Debug)]
pub struct DahdiLine {
    config: DahdiConfig,
    control: Control,
    timeslots: u8,
    bearers: Vec<(u8, Channel)>,
    d_channel: Option<Channel>,
    echo: Option<EchoCancellers>,
    alarms: i32,
    asked: Option<Instant>,
    previous: Option<Instant>,
    /// When the buffers were filled, and whether a block came since. The others' first blocks are
    /// left in the driver while the first channel begins.
    filled: Instant,
    begun: bool,
    seen: Seen,
    counters: LineCounters,
}

impl DahdiLine {
    /// Sets the span up if it shall be, and opens all its channels.
    pub fn open(config: DahdiConfig) -> Result<Self, TdmError> {
        let failed = |what: String| move |source| TdmError::Dahdi { what, source };
        if !(16..=BLOCK_SAMPLES_MAX).contains(&config.block_samples) {
            return Err(TdmError::BlockSize { samples: config.block_samples });
        }
        let control = Control::open().map_err(failed("/dev/dahdi/ctl".to_owned()))?;
        let law = channel_law(config.law);
        if let Some(set_up) = &config.set_up {
            set_up.apply(&control, config.span, config.d_channel, law)?;
        }
        let places = control.channels(config.span);
        let timeslots = match u8::try_from(places.len()) {
            Ok(timeslots @ 1..=TIMESLOT_MAX) => timeslots,
            _ => return Err(TdmError::NoDahdiSpan(config.span)),
        };
        let gains = config.gains.tables(config.law);
        let mut bearers = Vec::new();
        let mut d_channel = None;
        for place in places {
            let what = format!("channel {} of span {}", place.channel, config.span);
            if config.d_channel == Some(place.timeslot) {
                let channel = Channel::open(place.channel).map_err(failed(what.clone()))?;
                channel.set_buffers(FRAME_BUFFERS).map_err(failed(what))?;
                d_channel = Some(channel);
                continue;
            }
            if let Some(name) = config.echo_canceller.as_ref().and_then(|echo| echo.name.as_deref())
            {
                let what = format!("echo canceller {name} (is dahdi_echocan_{name} loaded?)");
                let attached = control.attach_echo_canceller(place.channel, Some(name));
                attached.map_err(failed(what))?;
            }
            let channel = Channel::open(place.channel).map_err(failed(what.clone()))?;
            channel
                .set_audio_mode(true)
                .and_then(|()| channel.set_law(law))
                .and_then(|()| channel.set_gains(&gains[0], &gains[1]))
                .and_then(|()| channel.set_buffers(config.driver_buffers()))
                .map_err(failed(what))?;
            bearers.push((place.timeslot, channel));
        }
        if bearers.is_empty() || d_channel.is_none() && config.d_channel.is_some() {
            return Err(TdmError::NoDahdiSpan(config.span));
        }
        let mut line = Self {
            echo: config.echo_canceller.as_ref().map(|_| EchoCancellers::new(config.law)),
            config,
            control,
            timeslots,
            bearers,
            d_channel,
            alarms: 0,
            asked: None,
            previous: None,
            filled: Instant::now(),
            begun: false,
            seen: Seen::default(),
            counters: LineCounters::default(),
        };
        line.begin()?;
        Ok(line)
    }

    /// The driver's word on the span: alarms and error counters.
    pub fn status(&self) -> io::Result<device::SpanStatus> {
        self.control.span_status(self.config.span)
    }

    /// Empties all buffers and puts into them what is to be under way.
    fn begin(&mut self) -> io::Result<()> {
        let Self { config, bearers, counters, seen, .. } = self;
        let idle = [config.law.idle(); BLOCK_SAMPLES_MAX];
        for (_, channel) in bearers {
            // That a buffer is empty meanwhile is no news.
            channel.report_buffer_events(false)?;
            channel.flush()?;
            for _ in 0..config.buffers.blocks_ahead() {
                drained(channel, counters, seen, || channel.write(&idle[..config.block_samples]))?;
            }
            channel.report_buffer_events(true)?;
        }
        self.seen = Seen::default();
        self.filled = Instant::now();
        self.begun = false;
        Ok(())
    }

    fn read_first(&mut self, block: &mut Block) -> io::Result<Option<usize>> {
        let Self { bearers, counters, seen, .. } = self;
        let (timeslot, first) = &bearers[0];
        drained(first, counters, seen, || first.read(block.timeslot_mut(*timeslot)))
    }

    fn report_alarms(&mut self, now: Instant, block: &mut Block) -> Result<(), TdmError> {
        // Red, loss of signal, of frame and of multiframe alignment.
        const RED: i32 = 0x8 | 0x100 | 0x200 | 0x400;
        const YELLOW: i32 = 0x4;
        const BLUE: i32 = 0x10;
        if self.asked.is_none_or(|asked| now - asked >= STATUS_EVERY) {
            let status = self.status()?;
            self.alarms = status.alarms;
            self.asked = Some(now);
            let errors = status.errors;
            let count = |number: i32| number.max(0) as u64;
            self.counters.bipolar_violations = count(errors.bpv);
            self.counters.crc4_errors = count(errors.crc4);
            self.counters.e_bits = count(errors.e_bit);
            self.counters.frame_alignment_errors = count(errors.fas);
            self.counters.errored_s = count(errors.errored_s);
            self.counters.interrupts_missed = count(errors.irq_misses);
        }
        block.red = self.alarms & RED != 0;
        block.yellow = self.alarms & YELLOW != 0;
        block.blue = self.alarms & BLUE != 0;
        Ok(())
    }

    /// Data passes as it is, whatever the gains.
    fn set_gains(&self, timeslot: u8, load: Option<Load>) {
        let is_data = load == Some(Load::Data);
        let gains = if is_data { Gains::default() } else { self.config.gains };
        let [receive, transmit] = gains.tables(self.config.law);
        let channel = self.bearers.iter().find(|(known, _)| *known == timeslot);
        let Some((_, channel)) = channel else { return };
        if let Err(error) = channel.set_gains(&receive, &transmit) {
            tracing::warn!(timeslot, %error, is_data, "gains not set");
        }
    }

    fn listen(&mut self, way: Way, block: &Block) {
        let Some(echo) = &mut self.echo else { return };
        let (bearers, counters) = (&self.bearers, &mut self.counters);
        echo.listen(way, block, |timeslot, switch| {
            counters.echo_cancellers_off_by_tone += 1;
            switch_echo(bearers, counters, 0, timeslot, switch);
        });
    }
}

impl DahdiConfig {
    fn driver_buffers(&self) -> Buffers {
        Buffers {
            count: self.buffers.count.into(),
            size_octets: self.block_samples as i32,
            policy: if self.buffers.half_full { Policy::HalfFull } else { Policy::Immediate },
        }
    }
}

impl Gains {
    /// What stands for each octet received and sent.
    fn tables(self, law: Law) -> [[u8; 256]; 2] {
        [self.receive_db, self.transmit_db].map(|gain_db| {
            let factor = 10_f32.powf(gain_db / 20.0);
            std::array::from_fn(|octet| {
                let octet = octet as u8;
                // Also where A-law or µ-law has two octets for a value.
                if gain_db == 0.0 {
                    return octet;
                }
                law.encode((f32::from(law.decode(octet)) * factor) as i16)
            })
        })
    }
}

fn channel_law(law: Law) -> ChannelLaw {
    match law {
        Law::A => ChannelLaw::A,
        Law::Mu => ChannelLaw::Mu,
    }
}

/// Has the driver switch the canceller of a timeslot.
fn switch_echo(
    bearers: &[(u8, Channel)],
    counters: &mut LineCounters,
    taps: u16,
    timeslot: u8,
    switch: Switch,
) {
    let Some((_, channel)) = bearers.iter().find(|(known, _)| *known == timeslot) else { return };
    let outcome = match switch {
        Switch::Off => channel.set_echo_canceller(0),
        Switch::On => channel.set_echo_canceller(taps),
        Switch::Fax => channel.set_fax_mode(true),
    };
    match outcome {
        Ok(()) if switch == Switch::On => counters.echo_cancellers_on += 1,
        Ok(()) => {}
        Err(error) => {
            counters.echo_cancellers_refused += 1;
            tracing::warn!(timeslot, %error, ?switch, "echo canceller not switched");
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
        block.set_missing(samples, self.config.law.idle());
        let mut read = self.read_first(block)?;
        if read.is_none() {
            if std::mem::take(&mut self.seen.buffers_out_of_step) && self.begun {
                // What came meanwhile is read; from here on it is as at the start.
                self.counters.slips += 1;
                self.begin()?;
            }
            wait(&self.bearers[0].1, QUIET_MAX)?;
            read = self.read_first(block)?;
        }
        if read.is_none() {
            return Ok(Tick::Quiet);
        }
        let block_time = Duration::from_micros(samples as u64 * 125);
        if !self.begun && self.filled.elapsed() > BEGIN_MAX {
            // A dynamic span without its other end plays, but nothing comes. What waits is behind
            // this block, so that it cannot happen twice.
            self.begin()?;
        }
        if std::mem::replace(&mut self.begun, true) {
            let Self { bearers, counters, seen, .. } = self;
            for (timeslot, channel) in &bearers[1..] {
                let octets = block.timeslot_mut(*timeslot);
                if drained(channel, counters, seen, || channel.read(octets))?.is_none() {
                    counters.slips += 1;
                }
            }
        }
        self.listen(Way::FromLine, block);
        let now = Instant::now();
        self.report_alarms(now, block)?;
        let since = self.previous.replace(now).map(|previous| now - previous);
        let late = since.unwrap_or_default().saturating_sub(block_time);
        Ok(Tick::Block { late_us: late.as_micros() as u64 })
    }

    fn transmit(&mut self, block: &Block) -> Result<(), TdmError> {
        self.listen(Way::ToLine, block);
        let Self { bearers, counters, seen, .. } = self;
        for (timeslot, channel) in bearers {
            let octets = block.timeslot(*timeslot);
            if drained(channel, counters, seen, || channel.write(octets))?.is_none() {
                counters.not_sent += 1;
            }
        }
        Ok(())
    }

    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<Option<usize>, TdmError> {
        let Self { d_channel, counters, seen, .. } = self;
        let Some(channel) = d_channel else { return Ok(None) };
        let mut octets = [0; FRAME_BUFFER_SIZE_OCTETS];
        while let Some(size_octets) =
            drained(channel, counters, seen, || channel.read(&mut octets))?
        {
            let size_octets = size_octets.saturating_sub(FCS_SIZE_OCTETS);
            if size_octets == 0 || size_octets > frame.len() {
                counters.malformed += 1;
                continue;
            }
            frame[..size_octets].copy_from_slice(&octets[..size_octets]);
            return Ok(Some(size_octets));
        }
        Ok(None)
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<bool, TdmError> {
        let Self { d_channel, counters, seen, .. } = self;
        let Some(channel) = d_channel else { return Ok(false) };
        let mut octets = [0; FRAME_BUFFER_SIZE_OCTETS];
        let size_octets = frame.len() + FCS_SIZE_OCTETS;
        if size_octets > octets.len() {
            return Err(TdmError::FrameSize { size_octets: frame.len() });
        }
        octets[..frame.len()].copy_from_slice(frame);
        let sent = drained(channel, counters, seen, || channel.write(&octets[..size_octets]))?;
        Ok(sent.is_some())
    }

    fn carries(&mut self, timeslot: u8, load: Option<Load>) {
        if self.config.gains != Gains::default() {
            self.set_gains(timeslot, load);
        }
        let Some(echo) = &mut self.echo else { return };
        let taps = self.config.echo_canceller.as_ref().map_or(0, |echo| echo.taps);
        if let Some(switch) = echo.carries(timeslot, load) {
            switch_echo(&self.bearers, &mut self.counters, taps, timeslot, switch);
        }
    }

    fn counters(&self) -> LineCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_is_a_table_of_octets_and_none_changes_nothing() {
        let gains = Gains { receive_db: 0.0, transmit_db: -6.02 };
        for law in [Law::A, Law::Mu] {
            let [receive, transmit] = gains.tables(law);
            assert!((0..=255).all(|octet: u8| receive[usize::from(octet)] == octet));
            for sample in [-30_000_i16, -4_000, -100, 0, 700, 16_000] {
                let octet = law.encode(sample);
                let halved = f32::from(law.decode(transmit[usize::from(octet)]));
                let expected = f32::from(law.decode(octet)) / 2.0;
                assert!((halved - expected).abs() <= expected.abs() / 16.0 + 16.0, "{sample}");
            }
        }
        let loud = Gains { receive_db: 20.0, transmit_db: 0.0 }.tables(Law::A)[0];
        assert_eq!(loud[usize::from(Law::A.encode(30_000))], Law::A.encode(i16::MAX));
    }
}
