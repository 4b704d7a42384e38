//! A microphone and a loudspeaker of the system: its default ones, or those that are named.
//!
//! The loudspeaker's clock moves the line on, inside its callback. What the microphone's callback
//! takes goes through a ring; the microphone's resampler is trimmed so that the ring neither runs
//! dry nor over, whatever the two clocks do. Callbacks neither allocate nor lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, Stream,
    StreamConfig, SupportedBufferSize, SupportedStreamConfig,
};
use trunkline_dsp::SAMPLE_RATE_HZ;
use trunkline_dsp::drift::DriftResampler;

use super::echo::EchoCanceller;
use super::line::{BLOCK_SAMPLES, Line};
use crate::configuration::Devices as Wanted;

/// Time between two callbacks, in ms; a device holds two of them.
const PERIOD_MS: u32 = 20;
/// Samples that wait between microphone and line, aimed at: 60 ms, for cards with large buffers.
const WAITING_AIM: usize = 480;
/// With more waiting, 300 ms, the oldest are dropped down to the aim.
const WAITING_MAX: usize = 2_400;
/// Room in the ring: a second.
const RING_SAMPLES: usize = 8_000;
/// Frames of the microphone that are taken in at a time.
const TAKE_FRAMES: usize = 480;
/// Trim for each sample that waits too much, ppm.
const TRIM_PPM: f64 = 5.0;
/// More than this is heard.
const TRIM_MAX_PPM: f64 = 1_000.0;
/// Weight of a new length in the smoothed length of the queue.
const SMOOTHING: f64 = 0.02;
/// Longest time for a loudspeaker's callback to give the line back when its stream ends.
const RETURN_MAX: Duration = Duration::from_millis(500);

/// What can be chosen from, and what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Names of the microphones.
    pub microphones: Vec<String>,
    /// Names of the loudspeakers.
    pub loudspeakers: Vec<String>,
    /// The microphone in use; none: the system's default.
    pub microphone: Option<String>,
    /// The loudspeaker in use; none: the system's default.
    pub loudspeaker: Option<String>,
}

impl Choice {
    /// The devices that are there now.
    pub fn look(wanted: &Wanted) -> Self {
        let host = cpal::default_host();
        let names = |devices: Vec<Device>| devices.iter().filter_map(name).collect();
        Self {
            microphones: names(host.input_devices().map(Iterator::collect).unwrap_or_default()),
            loudspeakers: names(host.output_devices().map(Iterator::collect).unwrap_or_default()),
            microphone: wanted.microphone.clone(),
            loudspeaker: wanted.loudspeaker.clone(),
        }
    }
}

fn name(device: &Device) -> Option<String> {
    device.description().ok().map(|description| description.name().to_owned())
}

/// The device of a name, or without one the default device.
fn find(
    wanted: Option<&str>,
    default: impl FnOnce() -> Option<Device>,
    all: impl FnOnce() -> Vec<Device>,
) -> Result<Device, String> {
    match wanted {
        None => default().ok_or_else(|| "this machine has none".to_owned()),
        Some(wanted) => all()
            .into_iter()
            .find(|device| name(device).as_deref() == Some(wanted))
            .ok_or_else(|| format!("there is no {wanted:?}")),
    }
}

/// The device's own configuration with short periods. Without them a sound server takes as much as
/// it has room for, and the voice comes up to two seconds late.
fn prompt(supported: &SupportedStreamConfig) -> StreamConfig {
    let mut config = supported.config();
    if let SupportedBufferSize::Range { min, max } = *supported.buffer_size()
        && min <= max
    {
        let frames = config.sample_rate * PERIOD_MS / 1_000;
        config.buffer_size = BufferSize::Fixed(frames.clamp(min, max));
    }
    config
}

/// Streams that run until they are stopped.
pub struct Devices {
    /// `None` where there is no microphone.
    microphone: Option<Stream>,
    loudspeaker: Stream,
    /// The line comes back when the loudspeaker's callback ends.
    returned: rtrb::Consumer<Line>,
    watch: Watch,
}

/// What the streams' callbacks say about their devices.
#[derive(Clone, Debug, Default)]
struct Watch {
    xruns: Arc<AtomicU64>,
    has_failed: Arc<AtomicBool>,
    /// The loudspeaker's callback is to give the line back.
    lets_go: Arc<AtomicBool>,
}

impl Devices {
    /// Starts the devices. Without a loudspeaker the line comes back, with the reason; without a
    /// microphone silence is said, and `say` is told.
    pub fn start(
        line: Line,
        wanted: &Wanted,
        say: impl Fn(&str),
    ) -> Result<Self, (Box<Line>, String)> {
        let watch = Watch::default();
        let (mic, mic_ring) = rtrb::RingBuffer::new(RING_SAMPLES);
        // The line is handed over when the loudspeaker plays: a stream that cannot be built
        // would take it along.
        let (mut hand_over, handed_over) = rtrb::RingBuffer::new(1);
        let (give_back, returned) = rtrb::RingBuffer::new(1);
        let speaker = |device: &Device| {
            let supported = device.default_output_config()?;
            let (format, config) = (supported.sample_format(), prompt(&supported));
            let echo = wanted.cancel_echo.then(EchoCanceller::new);
            let lets_go = Arc::clone(&watch.lets_go);
            let playing = Playing::new(config, handed_over, (give_back, lets_go), mic_ring, echo);
            let stream = match format {
                SampleFormat::I16 => play::<i16>(device, config, playing, &watch),
                SampleFormat::I32 => play::<i32>(device, config, playing, &watch),
                SampleFormat::F32 => play::<f32>(device, config, playing, &watch),
                _ => Err(ErrorKind::UnsupportedConfig.into()),
            }?;
            stream.play()?;
            Ok(stream)
        };
        let host = cpal::default_host();
        let all = || host.output_devices().map(Iterator::collect).unwrap_or_default();
        let found = find(wanted.loudspeaker.as_deref(), || host.default_output_device(), all);
        let loudspeaker = found.and_then(|device| {
            speaker(&device).map_err(|error: cpal::Error| format!("it cannot be used: {error}"))
        });
        let loudspeaker = match loudspeaker {
            Ok(stream) => stream,
            Err(why) => return Err((Box::new(line), format!("loudspeaker: {why}"))),
        };
        let all = || host.input_devices().map(Iterator::collect).unwrap_or_default();
        let found = find(wanted.microphone.as_deref(), || host.default_input_device(), all);
        let microphone = found
            .and_then(|device| microphone(&device, mic, &watch).map_err(|error| error.to_string()))
            .inspect_err(|why| say(&format!("No microphone ({why}): you hear, but cannot speak.")))
            .ok();
        // The ring has room for one, and this is the one.
        let _ = hand_over.push(line);
        Ok(Self { microphone, loudspeaker, returned, watch })
    }

    /// Whether a device has gone, as when its plug was pulled.
    pub fn has_failed(&self) -> bool {
        self.watch.has_failed.load(Ordering::Relaxed)
    }

    /// Ends the streams. The line comes back, to go on with other devices; `None` when the sound
    /// system does not let go of it.
    pub fn stop(self) -> Option<Line> {
        let Self { microphone, loudspeaker, mut returned, watch } = self;
        watch.lets_go.store(true, Ordering::Relaxed);
        // The callback gives it back at its next period; that of a device that has gone does when
        // its stream ends.
        let line = wait_for(&mut returned, RETURN_MAX);
        // On a thread that nobody waits for: the end of a stream waits for the sound server, which
        // may not answer.
        let ending = std::thread::Builder::new().name("sound-end".to_owned()).spawn(move || {
            drop(microphone);
            drop(loudspeaker);
        });
        if let Err(error) = ending {
            tracing::warn!(%error, "no thread to end the sound on");
        }
        let xruns = watch.xruns.load(Ordering::Relaxed);
        if xruns > 0 {
            tracing::info!(xruns, "the sound card missed its time");
        }
        line.or_else(|| wait_for(&mut returned, RETURN_MAX))
    }
}

fn wait_for(returned: &mut rtrb::Consumer<Line>, max: Duration) -> Option<Line> {
    let deadline = Instant::now() + max;
    loop {
        match returned.pop() {
            Ok(line) => return Some(line),
            Err(_) if Instant::now() > deadline => return None,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn play<T: SizedSample + FromSample<i16>>(
    device: &Device,
    config: StreamConfig,
    mut playing: Playing,
    watch: &Watch,
) -> Result<Stream, cpal::Error> {
    let channels = usize::from(config.channels).max(1);
    device.build_output_stream(
        config,
        move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
            for frame in data.chunks_mut(channels) {
                frame.fill(playing.next().to_sample());
            }
        },
        on_error("loudspeaker", watch),
        None,
    )
}

/// What the loudspeaker's callback works with.
struct Playing {
    handed_over: rtrb::Consumer<Line>,
    give_back: rtrb::Producer<Line>,
    lets_go: Arc<AtomicBool>,
    line: Option<Line>,
    echo: Option<EchoCanceller>,
    mic: rtrb::Consumer<i16>,
    /// Whether enough of the microphone waits; silence is said until it does.
    is_primed: bool,
    resampler: DriftResampler,
    /// A block at the card's rate.
    block: Vec<i16>,
    length: usize,
    played: usize,
}

impl Playing {
    fn new(
        config: StreamConfig,
        handed_over: rtrb::Consumer<Line>,
        (give_back, lets_go): (rtrb::Producer<Line>, Arc<AtomicBool>),
        mic: rtrb::Consumer<i16>,
        echo: Option<EchoCanceller>,
    ) -> Self {
        let resampler = DriftResampler::new(SAMPLE_RATE_HZ, config.sample_rate);
        let block = vec![0; resampler.output_max(BLOCK_SAMPLES)];
        Self {
            handed_over,
            give_back,
            lets_go,
            line: None,
            echo,
            mic,
            is_primed: false,
            resampler,
            block,
            length: 0,
            played: 0,
        }
    }

    /// The next sample of the loudspeaker.
    fn next(&mut self) -> i16 {
        if self.played == self.length {
            self.exchange();
        }
        let sample = self.block.get(self.played).copied().unwrap_or(0);
        self.played += 1;
        sample
    }

    fn exchange(&mut self) {
        if self.lets_go.load(Ordering::Relaxed) {
            self.let_go();
        } else if self.line.is_none() {
            self.line = self.handed_over.pop().ok();
        }
        let (mut mic, mut speaker) = ([0; BLOCK_SAMPLES], [0; BLOCK_SAMPLES]);
        self.take_mic(&mut mic);
        if let Some(echo) = &mut self.echo {
            echo.clean(&mut mic);
        }
        if let Some(line) = &mut self.line {
            line.exchange(&mut mic, &mut speaker);
        }
        if let Some(echo) = &mut self.echo {
            echo.played(&speaker);
        }
        self.length = self.resampler.process(&speaker, &mut self.block).max(1);
        self.played = 0;
    }

    fn let_go(&mut self) {
        if let Some(line) = self.line.take().or_else(|| self.handed_over.pop().ok()) {
            let _ = self.give_back.push(line);
        }
    }

    fn take_mic(&mut self, block: &mut [i16; BLOCK_SAMPLES]) {
        let mut waiting = self.mic.slots();
        if waiting > WAITING_MAX {
            let excess = waiting - WAITING_AIM;
            if let Ok(chunk) = self.mic.read_chunk(excess) {
                chunk.commit_all();
            }
            waiting -= excess;
        }
        self.is_primed = waiting >= if self.is_primed { block.len() } else { WAITING_AIM };
        if self.is_primed {
            for slot in block {
                *slot = self.mic.pop().unwrap_or(0);
            }
        }
    }
}

impl Drop for Playing {
    /// The stream has ended; the line goes on elsewhere.
    fn drop(&mut self) {
        self.let_go();
    }
}

fn microphone(
    device: &Device,
    ring: rtrb::Producer<i16>,
    watch: &Watch,
) -> Result<Stream, cpal::Error> {
    let supported = device.default_input_config()?;
    let (format, config) = (supported.sample_format(), prompt(&supported));
    let taking = Taking::new(config, ring);
    let stream = match format {
        SampleFormat::I16 => take::<i16>(device, config, taking, watch),
        SampleFormat::I32 => take::<i32>(device, config, taking, watch),
        SampleFormat::F32 => take::<f32>(device, config, taking, watch),
        _ => Err(ErrorKind::UnsupportedConfig.into()),
    }?;
    stream.play()?;
    Ok(stream)
}

fn take<T: SizedSample>(
    device: &Device,
    config: StreamConfig,
    mut taking: Taking,
    watch: &Watch,
) -> Result<Stream, cpal::Error>
where
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels).max(1);
    device.build_input_stream(
        config,
        move |data: &[T], _: &cpal::InputCallbackInfo| {
            for frames in data.chunks(TAKE_FRAMES * channels) {
                // The first channel: two of a microphone added up may cancel each other.
                taking.take(frames.iter().step_by(channels).map(|&sample| sample.to_sample()));
            }
        },
        on_error("microphone", watch),
        None,
    )
}

/// What the microphone's callback works with.
struct Taking {
    ring: rtrb::Producer<i16>,
    resampler: DriftResampler,
    frames: Vec<i16>,
    block: Vec<i16>,
    /// Samples that wait, smoothed.
    waiting: f64,
}

impl Taking {
    fn new(config: StreamConfig, ring: rtrb::Producer<i16>) -> Self {
        let resampler = DriftResampler::new(config.sample_rate, SAMPLE_RATE_HZ);
        // Room for the longest trim too.
        let block = vec![0; resampler.output_max(TAKE_FRAMES) + 16];
        let frames = vec![0; TAKE_FRAMES];
        Self { ring, resampler, frames, block, waiting: WAITING_AIM as f64 }
    }

    fn take(&mut self, samples: impl Iterator<Item = i16>) {
        let mut length = 0;
        for (slot, sample) in self.frames.iter_mut().zip(samples) {
            *slot = sample;
            length += 1;
        }
        let written = self.resampler.process(&self.frames[..length], &mut self.block);
        // What finds no room is dropped: nobody takes it.
        let _ = self.ring.push_partial_slice(&self.block[..written]);
        let waiting = RING_SAMPLES - self.ring.slots();
        self.waiting += SMOOTHING * (waiting as f64 - self.waiting);
        let excess = self.waiting - WAITING_AIM as f64;
        self.resampler.adjust((-TRIM_PPM * excess).clamp(-TRIM_MAX_PPM, TRIM_MAX_PPM));
    }
}

fn on_error(what: &'static str, watch: &Watch) -> impl FnMut(cpal::Error) + Send + 'static {
    let watch = watch.clone();
    move |error| match error.kind() {
        ErrorKind::Xrun => {
            watch.xruns.fetch_add(1, Ordering::Relaxed);
        }
        ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
        _ => {
            // Told once: a device that has gone may say so at every period.
            if !watch.has_failed.swap(true, Ordering::Relaxed) {
                tracing::warn!(device = what, %error, "the sound card failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a call between two clocks that differ so much: the fewest and the most samples
    /// that waited after the first half, and how many blocks were silent then.
    fn between_clocks(off_ppm: f64, seconds: u32) -> (usize, usize, usize) {
        let config =
            StreamConfig { channels: 1, sample_rate: 48_000, buffer_size: Default::default() };
        let (_hand_over, handed_over) = rtrb::RingBuffer::new(1);
        let (producer, consumer) = rtrb::RingBuffer::new(RING_SAMPLES);
        let mut taking = Taking::new(config, producer);
        let (give_back, _returned) = rtrb::RingBuffer::new(1);
        let let_go = (give_back, Arc::default());
        let mut playing = Playing::new(config, handed_over, let_go, consumer, None);
        let (mut fewest, mut most, mut silent) = (usize::MAX, 0, 0);
        let mut mic_ms = 0.0;
        let blocks = seconds * 100;
        for block in 0..blocks {
            let now_ms = f64::from(block) * 10.0;
            while mic_ms <= now_ms {
                taking.take(std::iter::repeat_n(1_000, TAKE_FRAMES));
                mic_ms += 10.0 / (1.0 + off_ppm / 1e6);
            }
            let mut heard = [0; BLOCK_SAMPLES];
            playing.take_mic(&mut heard);
            if block > blocks / 2 {
                let waiting = playing.mic.slots();
                (fewest, most) = (fewest.min(waiting), most.max(waiting));
                silent += usize::from(heard.contains(&0));
            }
        }
        (fewest, most, silent)
    }

    #[test]
    fn the_microphone_has_no_gap_although_the_clocks_differ() {
        for off_ppm in [-300.0, -50.0, 0.0, 50.0, 300.0] {
            let (fewest, most, silent) = between_clocks(off_ppm, 240);
            assert_eq!(silent, 0, "{off_ppm} ppm");
            assert!(fewest >= BLOCK_SAMPLES && most <= 2 * WAITING_AIM, "{fewest}..{most} wait");
        }
    }

    #[test]
    fn what_piled_up_before_the_loudspeaker_began_is_not_said_late() {
        let config =
            StreamConfig { channels: 1, sample_rate: 48_000, buffer_size: Default::default() };
        let (_hand_over, handed_over) = rtrb::RingBuffer::new(1);
        let (producer, consumer) = rtrb::RingBuffer::new(RING_SAMPLES);
        let mut taking = Taking::new(config, producer);
        for _ in 0..200 {
            taking.take(std::iter::repeat_n(1_000, TAKE_FRAMES));
        }
        let (give_back, _returned) = rtrb::RingBuffer::new(1);
        let let_go = (give_back, Arc::default());
        let mut playing = Playing::new(config, handed_over, let_go, consumer, None);
        playing.take_mic(&mut [0; BLOCK_SAMPLES]);
        assert!(playing.mic.slots() <= WAITING_AIM);
    }
}
