//! Recorded human speech for the demonstration: the prompts of Debian's
//! asterisk-core-sounds-en-wav (CC-BY-SA-3.0), 8 kHz, 16 bit, one channel.

use std::path::{Path, PathBuf};

/// Where the package puts the recordings.
const FOLDER: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// What the person at the page says. One pass through A-law scores PESQ 4.26 on it, as on the
/// others here; there are prompts that score below 4.0 by themselves.
pub const CALLER: &str = "demo-congrats.wav";

/// What the person at telephone A says.
pub const TELEPHONE_A: &str = "dir-intro-fn.wav";

/// What the person at telephone B says.
pub const TELEPHONE_B: &str = "vm-options.wav";

/// Why there is no speech.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// The recording is not there.
    #[error("{0} is missing: install the Debian package asterisk-core-sounds-en-wav")]
    Missing(PathBuf),
    /// The file is no WAV file that can be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: hound::Error,
    },
    /// The file has another format.
    #[error("{0} must be 8 kHz, 16 bit, one channel")]
    WrongFormat(PathBuf),
}

/// The samples of one of the package's recordings, cut to `seconds_max`.
pub fn recording(name: &str, seconds_max: usize) -> Result<Vec<i16>, SpeechError> {
    let path = Path::new(FOLDER).join(name);
    if !path.exists() {
        return Err(SpeechError::Missing(path));
    }
    let mut samples = read(&path)?;
    samples.truncate(seconds_max * 8_000);
    Ok(samples)
}

/// The samples of a WAV file of the one format used here.
pub fn read(path: &Path) -> Result<Vec<i16>, SpeechError> {
    let unreadable = |error| SpeechError::Unreadable { path: path.to_owned(), error };
    let mut reader = hound::WavReader::open(path).map_err(unreadable)?;
    let format = reader.spec();
    if (format.sample_rate, format.bits_per_sample, format.channels) != (8_000, 16, 1) {
        return Err(SpeechError::WrongFormat(path.to_owned()));
    }
    reader.samples().collect::<Result<_, _>>().map_err(unreadable)
}

/// Writes samples as a WAV file of the one format used here.
pub fn write(path: &Path, samples: &[i16]) -> Result<(), SpeechError> {
    let unwritable = |error| SpeechError::Unreadable { path: path.to_owned(), error };
    let format = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, format).map_err(unwritable)?;
    for &sample in samples {
        writer.write_sample(sample).map_err(unwritable)?;
    }
    writer.finalize().map_err(unwritable)
}
