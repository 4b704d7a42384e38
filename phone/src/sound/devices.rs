//! Microphone and loudspeaker through cpal: PulseAudio, PipeWire or ALSA, whichever is there.
//!
//! The loudspeaker's clock moves the line on. The microphone's samples wait in a ring, which is
//! held near its aim by trimming the rate of the microphone: the two cards (or the two halves of
//! one) need not run at exactly the same rate.

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{Device, FromSample, SampleFormat, SizedSample, Stream, SupportedStreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};
use trunkline_dsp::SAMPLE_RATE_HZ;
use trunkline_dsp::drift::DriftResampler;

use super::line::{BLOCK_SAMPLES, Line};

/// Samples of the microphone that may wait, at 8 kHz: 200 ms.
const WAITING_MAX: usize = 1_600;

/// Samples of the microphone that shall wait: 40 ms, two periods of a common sound server.
const WAITING_AIM: usize = 320;

/// Trim of the microphone's rate for each sample that too many or too few wait.
const TRIM_PPM_PER_SAMPLE: f64 = 2.0;

/// Longest block of a card that is handled in one go: 100 ms at 48 kHz.
const CARD_BLOCK_MAX: usize = 4_800;

/// The streams; sound ends when they are dropped.
pub struct Devices {
    _microphone: Option<Stream>,
    _loudspeaker: Stream,
}

impl Devices {
    /// Starts the default devices. Without a loudspeaker nothing moves the line on: it is given
    /// back with the reason. Without a microphone the call is listened to.
    pub fn start(line: Line, say: impl Fn(&str)) -> Result<Self, (Box<Line>, String)> {
        let host = cpal::default_host();
        let Some(speaker) = host.default_output_device() else {
            return Err((Box::new(line), "there is no loudspeaker".to_owned()));
        };
        let config = match speaker.default_output_config() {
            Ok(config) => config,
            Err(error) => return Err((Box::new(line), error.to_string())),
        };
        let (producer, consumer) = RingBuffer::new(WAITING_MAX);
        let microphone = match open_microphone(&host, producer) {
            Ok(stream) => Some(stream),
            Err(why) => {
                say(&format!("No microphone: {why}. You can only listen."));
                None
            }
        };
        // The line moves into the stream's callback, so it cannot be given back from here on.
        match open_loudspeaker(&speaker, &config, Loudspeaker::new(line, consumer, &config)) {
            Ok(stream) => Ok(Self { _microphone: microphone, _loudspeaker: stream }),
            Err((line, why)) => Err((line, why)),
        }
    }

    /// Ends the sound.
    pub fn stop(self) {}
}

fn open_microphone(host: &cpal::Host, samples: Producer<i16>) -> Result<Stream, String> {
    let device = host.default_input_device().ok_or("there is none")?;
    let config = device.default_input_config().map_err(|error| error.to_string())?;
    let microphone = Microphone::new(samples, &config);
    let stream = match config.sample_format() {
        SampleFormat::F32 => record::<f32>(&device, &config, microphone),
        SampleFormat::I32 => record::<i32>(&device, &config, microphone),
        SampleFormat::I16 => record::<i16>(&device, &config, microphone),
        SampleFormat::U8 => record::<u8>(&device, &config, microphone),
        other => return Err(format!("its sample format {other} is not known")),
    }?;
    stream.play().map_err(|error| error.to_string())?;
    Ok(stream)
}

fn record<T>(
    device: &Device,
    config: &SupportedStreamConfig,
    mut microphone: Microphone,
) -> Result<Stream, String>
where
    T: SizedSample + Send + 'static,
    i16: FromSample<T>,
{
    device
        .build_input_stream(
            config.clone().into(),
            move |data: &[T], _: &_| microphone.take(data),
            |error| tracing::warn!(%error, "microphone"),
            None,
        )
        .map_err(|error| error.to_string())
}

fn open_loudspeaker(
    device: &Device,
    config: &SupportedStreamConfig,
    loudspeaker: Loudspeaker,
) -> Result<Stream, (Box<Line>, String)> {
    // The callback takes the loudspeaker when it first runs; a stream that cannot be built gives
    // the line back.
    let (mut hand_over, handed) = RingBuffer::new(1);
    let stream = match config.sample_format() {
        SampleFormat::F32 => play::<f32>(device, config, handed),
        SampleFormat::I32 => play::<i32>(device, config, handed),
        SampleFormat::I16 => play::<i16>(device, config, handed),
        SampleFormat::U8 => play::<u8>(device, config, handed),
        other => Err(format!("its sample format {other} is not known")),
    };
    let stream =
        stream.and_then(|stream| stream.play().map(|()| stream).map_err(|error| error.to_string()));
    match stream {
        Ok(stream) => {
            // The ring was made with room for it.
            let _ = hand_over.push(loudspeaker);
            Ok(stream)
        }
        Err(why) => Err((Box::new(loudspeaker.line), why)),
    }
}

fn play<T>(
    device: &Device,
    config: &SupportedStreamConfig,
    mut handed: Consumer<Loudspeaker>,
) -> Result<Stream, String>
where
    T: SizedSample + FromSample<i16> + Send + 'static,
{
    let mut loudspeaker = None;
    device
        .build_output_stream(
            config.clone().into(),
            move |data: &mut [T], _: &_| {
                if loudspeaker.is_none() {
                    loudspeaker = handed.pop().ok();
                }
                match &mut loudspeaker {
                    Some(loudspeaker) => Loudspeaker::give(loudspeaker, data),
                    None => data.fill(T::EQUILIBRIUM),
                }
            },
            |error| tracing::warn!(%error, "loudspeaker"),
            None,
        )
        .map_err(|error| error.to_string())
}

/// From the card's frames to waiting samples at 8 kHz.
struct Microphone {
    channels: usize,
    resampler: DriftResampler,
    card: Vec<i16>,
    telephone: Vec<i16>,
    samples: Producer<i16>,
}

impl Microphone {
    fn new(samples: Producer<i16>, config: &SupportedStreamConfig) -> Self {
        let resampler = DriftResampler::new(config.sample_rate(), SAMPLE_RATE_HZ);
        let telephone = vec![0; resampler.output_max(CARD_BLOCK_MAX)];
        Self {
            channels: usize::from(config.channels()).max(1),
            resampler,
            card: vec![0; CARD_BLOCK_MAX],
            telephone,
            samples,
        }
    }

    fn take<T: Copy>(&mut self, data: &[T])
    where
        i16: FromSample<T>,
    {
        for block in data.chunks(CARD_BLOCK_MAX * self.channels) {
            let frames = block.len() / self.channels;
            for (sample, frame) in self.card.iter_mut().zip(block.chunks(self.channels)) {
                // One ear, one mouth: the first channel.
                *sample = i16::from_sample_(frame[0]);
            }
            let waiting = WAITING_MAX - self.samples.slots();
            let too_few = WAITING_AIM as f64 - waiting as f64;
            self.resampler.adjust(too_few * TRIM_PPM_PER_SAMPLE);
            let written = self.resampler.process(&self.card[..frames], &mut self.telephone);
            for &sample in &self.telephone[..written] {
                // A loudspeaker that stands still loses the oldest of nothing: what is new is lost.
                let _ = self.samples.push(sample);
            }
        }
    }
}

/// From the line to the card's frames.
struct Loudspeaker {
    line: Line,
    channels: usize,
    microphone: Consumer<i16>,
    resampler: DriftResampler,
    /// Samples at the card's rate that are not played yet, and how many of them were.
    card: Vec<i16>,
    filled: usize,
    played: usize,
}

impl Loudspeaker {
    fn new(line: Line, microphone: Consumer<i16>, config: &SupportedStreamConfig) -> Self {
        let resampler = DriftResampler::new(SAMPLE_RATE_HZ, config.sample_rate());
        let card = vec![0; resampler.output_max(BLOCK_SAMPLES)];
        Self {
            line,
            channels: usize::from(config.channels()).max(1),
            microphone,
            resampler,
            card,
            filled: 0,
            played: 0,
        }
    }

    fn give<T: FromSample<i16> + Copy>(&mut self, data: &mut [T]) {
        for frame in data.chunks_mut(self.channels) {
            if self.played == self.filled {
                self.next_block();
            }
            let sample = self.card.get(self.played).copied().unwrap_or(0);
            self.played += 1;
            frame.fill(T::from_sample_(sample));
        }
    }

    fn next_block(&mut self) {
        let (mut mic, mut speaker) = ([0; BLOCK_SAMPLES], [0; BLOCK_SAMPLES]);
        if self.microphone.slots() >= BLOCK_SAMPLES {
            for sample in &mut mic {
                *sample = self.microphone.pop().unwrap_or(0);
            }
        }
        self.line.exchange(&mut mic, &mut speaker);
        self.filled = self.resampler.process(&speaker, &mut self.card);
        self.played = 0;
        if self.filled == 0 {
            // A resampler that begins may give nothing for its first block.
            self.card[0] = 0;
            self.filled = 1;
        }
    }
}
