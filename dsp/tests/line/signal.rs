//! What is sent over lines: a composite source signal, speech, tones, noise.

use std::path::PathBuf;

use trunkline_dsp::g711::Law;
use trunkline_dsp::level::{amplitude_ratio, level_of_power};

use crate::path;

/// Samples a second.
pub const SECOND: usize = 8_000;

/// White noise with mean square 1, the same in each run.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> f32 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as i32;
        bits as f32 * (1.732_050_8 / 2_147_483_648.0)
    }
}

/// Level of samples.
pub fn level_dbm0(samples: &[f32]) -> f32 {
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    level_of_power((energy / samples.len().max(1) as f64) as f32)
}

/// The same at another level.
pub fn at_level(samples: Vec<f32>, wanted_dbm0: f32) -> Vec<f32> {
    let factor = amplitude_ratio(wanted_dbm0 - level_dbm0(&samples));
    samples.into_iter().map(|sample| sample * factor).collect()
}

/// A sample that went through A-law.
pub fn through_a_law(sample: f32) -> f32 {
    f32::from(Law::A.decode(Law::A.encode(sample.round() as i16)))
}

/// Composite source signal after G.168 Annex C: 48.62 ms voiced, 200 ms noise, 101.38 ms pause,
/// then the same with the sign changed.
pub fn css(samples: usize, seed: u64) -> Vec<f32> {
    const PERIOD: usize = 2_800;
    const VOICED: usize = 389;
    const NOISE_END: usize = 1_989;
    let voiced = path::css_voiced().unwrap_or_else(|_| {
        // A pitch of 215 Hz with overtones that fall by 6 dB an octave.
        let tone = |n: usize, k: usize| (n as f32 * k as f32 * 0.169).sin() / k as f32;
        (0..VOICED).map(|n| (1..=14).map(|k| tone(n, k)).sum::<f32>() * 2_000.0).collect()
    });
    let mut noise = Noise::new(seed);
    (0..samples)
        .map(|n| {
            let sample = match n % PERIOD {
                at @ 0..VOICED => voiced[at % voiced.len()],
                VOICED..NOISE_END => noise.next() * 5_200.0,
                _ => 0.0,
            };
            if n / PERIOD % 2 == 1 { -sample } else { sample }
        })
        .collect()
}

/// Speech of one voice: Debian's Asterisk prompts, one after the other from the `from`th on.
pub fn speech(voice: &str, from: usize, samples: usize) -> Result<Vec<f32>, String> {
    let folder = PathBuf::from("/usr/share/asterisk/sounds").join(voice);
    let failed = |error| format!("{} (asterisk-core-sounds): {error}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(failed)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wav"))
        .filter(|path| path.metadata().is_ok_and(|data| data.len() > 60_000))
        .filter(|path| {
            !["beep", "monkey", "tone"].iter().any(|no| path.to_string_lossy().contains(no))
        })
        .collect();
    files.sort();
    let mut speech = Vec::with_capacity(samples);
    for path in files.iter().cycle().skip(from).take(1_000) {
        let octets = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // 44 octets of header, then samples.
        let (pairs, _) = octets.get(44..).unwrap_or_default().as_chunks();
        speech.extend(pairs.iter().map(|&pair| f32::from(i16::from_le_bytes(pair))));
        if speech.len() >= samples {
            speech.truncate(samples);
            return Ok(speech);
        }
    }
    Err(format!("{} has too little speech", folder.display()))
}

/// Speech, or where there is none installed vowels of a gliding voice.
pub fn speech_or_vowels(voice: &str, from: usize, samples: usize) -> Vec<f32> {
    speech(voice, from, samples).unwrap_or_else(|why| {
        println!("vowels instead of speech: {why}");
        vowels(from as u64, samples)
    })
}

/// Syllables of a voice: pulses at a gliding pitch through two formants, with pauses.
fn vowels(seed: u64, samples: usize) -> Vec<f32> {
    const SYLLABLE: usize = 1_700;
    let mut noise = Noise::new(seed + 1);
    let mut state = [[0.0_f32; 2]; 2];
    let (mut phase, mut source, mut pitch_hz, mut glide) = (0.0, 0.0, 120.0, 1.0);
    let (mut formants_hz, mut speaks) = ([500.0, 1_500.0], true);
    (0..samples)
        .map(|n| {
            if n % SYLLABLE == 0 {
                pitch_hz = 110.0 + seed as f32 * 17.0 % 90.0 + 20.0 * noise.next();
                glide = 1.0 + 0.000_05 * noise.next();
                formants_hz = [550.0 + 200.0 * noise.next(), 1_500.0 + 400.0 * noise.next()];
                speaks = noise.next() > -1.0;
            }
            pitch_hz *= glide;
            phase += pitch_hz / SECOND as f32;
            let pulse = if phase >= 1.0 && speaks { 2_000.0 } else { 15.0 * noise.next() };
            phase = phase.fract();
            source = 0.9 * source + pulse;
            let mut sum = 0.0;
            for (state, hz) in state.iter_mut().zip(formants_hz) {
                const RADIUS: f32 = 0.96;
                let turn = 2.0 * RADIUS * (std::f32::consts::TAU * hz / SECOND as f32).cos();
                let out = source + turn * state[0] - RADIUS * RADIUS * state[1];
                *state = [out, state[0]];
                sum += out;
            }
            sum
        })
        .collect()
}

/// Sum of sines.
pub fn tones(hz: &[f32], level_dbm0: f32, samples: usize) -> Vec<f32> {
    let sum = |n: usize| {
        hz.iter().map(move |hz| {
            let turns = f64::from(*hz) * n as f64 / SECOND as f64;
            (turns.fract() * std::f64::consts::TAU).sin() as f32
        })
    };
    at_level((0..samples).map(|n| sum(n).sum::<f32>() * 1_000.0).collect(), level_dbm0)
}
