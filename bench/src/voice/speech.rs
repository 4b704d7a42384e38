//! What is said: recordings of several voices, as Debian's Asterisk prompts have them.
//!
//! `asterisk-core-sounds-{en,es,fr,it,ru}-wav`, 8 kHz, CC-BY-SA-3.0. One language is enough; with more
//! there are more voices.

use std::ops::Range;
use std::path::{Path, PathBuf};

use trunkline_dsp::g711::Law;

use super::error::VoiceError;
use super::random::Random;

/// Where Debian puts them.
const FOLDER: &str = "/usr/share/asterisk/sounds";
/// One talker each, in the order they speak.
const VOICES: [&str; 5] =
    ["en_US_f_Allison", "it_IT_m_Carlo", "fr_CA_f_June", "ru_RU_f_IvrvoiceRU", "es_MX_f_Allison"];
/// No voices.
const LEFT_OUT: [&str; 4] = ["beep", "monkey", "tone", "moh"];

const SAMPLES_PER_S: usize = 8_000;
/// Speech of a segment, and silence before and after it and between recordings.
const SEGMENT: usize = 15 * SAMPLES_PER_S / 2;
const SILENCE: usize = SAMPLES_PER_S / 4;
/// Level of what is spoken, without the pauses (P.56 uses the same level).
const LEVEL_DBOV: f64 = -26.0;
/// Shorter recordings are single words.
const RECORDING_MIN: usize = 4 * SAMPLES_PER_S;

/// Speech in segments, and its A-law.
#[derive(Clone, Debug)]
pub struct Speech {
    /// As spoken, 8 kHz.
    pub samples: Vec<i16>,
    /// As sent.
    pub alaw: Vec<u8>,
    /// Where each segment stands; one voice each.
    pub segments: Vec<Range<usize>>,
    /// How many voices there are.
    pub voices: usize,
}

impl Speech {
    /// Speech of so many segments of 8 s, of recordings that the seed chooses.
    ///
    /// # Errors
    /// [`VoiceError`] names the folder in which there are no recordings, or the file that is none.
    pub fn read(segments: usize, seed: u64) -> Result<Self, VoiceError> {
        let mut random = Random::new(seed, 7);
        let mut voices = Vec::new();
        for voice in VOICES {
            let recordings = recordings(&Path::new(FOLDER).join(voice))?;
            if !recordings.is_empty() {
                voices.push(recordings);
            }
        }
        if voices.is_empty() {
            return Err(VoiceError::Speech { folder: Path::new(FOLDER).join(VOICES[0]) });
        }
        let mut speech =
            Self { samples: vec![], alaw: vec![], segments: vec![], voices: voices.len() };
        for segment in 0..segments {
            let begin = speech.samples.len();
            let recordings = &voices[segment % voices.len()];
            speech.samples.extend(spoken(recordings, &mut random)?);
            speech.segments.push(begin..speech.samples.len());
        }
        speech.alaw = vec![0; speech.samples.len()];
        Law::A.encode_block(&speech.samples, &mut speech.alaw);
        Ok(speech)
    }
}

/// Recordings that are long enough, in the order of their names; none if there is no such folder.
fn recordings(folder: &Path) -> Result<Vec<PathBuf>, VoiceError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(vec![]) };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(VoiceError::file(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let octets = entry.metadata().map_err(VoiceError::file(&entry.path()))?.len();
        let is_voice = name.ends_with(".wav") && !LEFT_OUT.iter().any(|word| name.contains(word));
        if is_voice && octets as usize >= 2 * RECORDING_MIN {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A segment: recordings of one voice until it is full, at the level, with silence around it.
fn spoken(recordings: &[PathBuf], random: &mut Random) -> Result<Vec<i16>, VoiceError> {
    let mut samples: Vec<f64> = Vec::new();
    while samples.len() < SEGMENT {
        let path = &recordings[(random.bits() % recordings.len() as u64) as usize];
        samples.extend(read(path)?);
        samples.extend([0.0; SILENCE]);
    }
    samples.truncate(SEGMENT);
    let fade = SAMPLES_PER_S / 50;
    for (n, sample) in samples.iter_mut().rev().take(fade).enumerate() {
        *sample *= n as f64 / fade as f64;
    }
    let factor = 32_768.0 * 10_f64.powf(LEVEL_DBOV / 20.0) / active_rms(&samples);
    let loud = samples.iter().map(|sample| (sample * factor).round() as i16);
    let silence = || [0; SILENCE].into_iter();
    Ok(silence().chain(loud).chain(silence()).collect())
}

fn read(path: &Path) -> Result<Vec<f64>, VoiceError> {
    let failed = |error: hound::Error| VoiceError::file(path)(std::io::Error::other(error));
    let mut file = hound::WavReader::open(path).map_err(failed)?;
    file.samples::<i16>().map(|sample| sample.map(f64::from).map_err(failed)).collect()
}

/// Root mean square of the frames of 20 ms that are not more than 30 dB below the loudest.
fn active_rms(samples: &[f64]) -> f64 {
    let power = |frame: &[f64]| frame.iter().map(|s| s * s).sum::<f64>() / frame.len() as f64;
    let powers: Vec<f64> = samples.chunks_exact(160).map(power).collect();
    let loudest = powers.iter().copied().fold(1.0, f64::max);
    let active: Vec<f64> = powers.into_iter().filter(|power| *power > loudest * 1e-3).collect();
    (active.iter().sum::<f64>() / active.len().max(1) as f64).sqrt().max(1.0)
}
