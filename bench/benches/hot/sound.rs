//! Samples: codecs, digits, what fills gaps, resampling.

use std::hint::black_box;

use trunkline_dsp::SampleRate;
use trunkline_dsp::comfort_noise::ComfortNoise;
use trunkline_dsp::concealment::Concealment;
use trunkline_dsp::dtmf::{Detector, Generator, Levels};
use trunkline_dsp::g711::Law;
use trunkline_dsp::resample::Resampler;

use super::{BLOCK, Work};

/// Something voiced: a pitch of 125 Hz that glides, with overtones, over a little noise.
pub fn speech() -> Vec<i16> {
    let mut noise: u32 = 1;
    let mut phase = 0.0_f32;
    (0..50 * BLOCK)
        .map(|n| {
            phase += std::f32::consts::TAU * (125.0 + 20.0 * (n as f32 / 3_000.0).sin()) / 8_000.0;
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let voice: f32 = (1..=12).map(|k| (phase * k as f32).sin() * 2_400.0 / k as f32).sum();
            (voice + (noise >> 24) as f32 - 128.0) as i16
        })
        .collect()
}

/// Blocks of speech, over and over.
struct Blocks {
    samples: Vec<i16>,
    at: usize,
}

impl Blocks {
    fn of(samples: Vec<i16>) -> Self {
        Self { samples, at: 0 }
    }

    fn next(&mut self) -> &[i16] {
        self.at = (self.at + BLOCK) % (self.samples.len() - BLOCK);
        &self.samples[self.at..self.at + BLOCK]
    }
}

pub fn g711_encode() -> Box<dyn Work> {
    let mut blocks = Blocks::of(speech());
    let mut octets = [0; BLOCK];
    Box::new(move || {
        black_box(Law::A.encode_block(black_box(blocks.next()), &mut octets));
    })
}

pub fn g711_decode() -> Box<dyn Work> {
    let mut octets = [0; BLOCK];
    Law::A.encode_block(&speech()[..BLOCK], &mut octets);
    let mut samples = [0; BLOCK];
    Box::new(move || {
        black_box(Law::A.decode_block(black_box(&octets), &mut samples));
    })
}

pub fn g711_convert() -> Box<dyn Work> {
    let mut octets = [0; BLOCK];
    Law::Mu.encode_block(&speech()[..BLOCK], &mut octets);
    Box::new(move || Law::Mu.convert_block(black_box(&mut octets), Law::A))
}

pub fn dtmf_hears_speech() -> Box<dyn Work> {
    let mut blocks = Blocks::of(speech());
    let mut detector = Detector::new();
    Box::new(move || {
        detector.process(black_box(blocks.next()), |event| {
            black_box(event);
        });
    })
}

pub fn dtmf_hears_digit() -> Box<dyn Work> {
    let mut generator = Generator::new(Levels::default());
    generator.press('5').expect("a digit");
    let mut samples = vec![0; 50 * BLOCK];
    generator.fill(&mut samples);
    let mut blocks = Blocks::of(samples);
    let mut detector = Detector::new();
    Box::new(move || {
        detector.process(black_box(blocks.next()), |event| {
            black_box(event);
        });
    })
}

/// A lost packet and the one after it.
pub fn concealment() -> Box<dyn Work> {
    let mut blocks = Blocks::of(speech());
    let mut concealment = Concealment::new();
    let mut samples = [0; BLOCK];
    Box::new(move || {
        samples.copy_from_slice(blocks.next());
        concealment.good(black_box(&mut samples));
        concealment.conceal(black_box(&mut samples));
    })
}

pub fn comfort_noise() -> Box<dyn Work> {
    let mut noise = ComfortNoise::new();
    noise.update(&[60, 120, 140]);
    let mut samples = [0; BLOCK];
    Box::new(move || noise.fill(black_box(&mut samples)))
}

pub fn resample() -> Box<dyn Work> {
    let mut blocks = Blocks::of(speech());
    let mut resampler = Resampler::new(SampleRate::Hz8000, SampleRate::Hz16000);
    let mut samples = vec![0; resampler.output_max(BLOCK)];
    Box::new(move || {
        black_box(resampler.process(black_box(blocks.next()), &mut samples));
    })
}
