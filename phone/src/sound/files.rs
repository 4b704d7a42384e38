//! WAV files in the place of microphone and loudspeaker: 8 kHz, 16 bit, one channel.
//!
//! Speech begins with the answer. Everything heard is written from the start, ring-back tone
//! included.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavIntoSamples, WavReader, WavSpec, WavWriter};
use trunkline_dsp::SAMPLE_RATE_HZ;

use super::SoundError;
use super::line::{BLOCK_SAMPLES, Line};
use super::paced::{Paced, Work};

const FORMAT: WavSpec = WavSpec {
    channels: 1,
    sample_rate: SAMPLE_RATE_HZ,
    bits_per_sample: 16,
    sample_format: SampleFormat::Int,
};

/// Starts the files: says `speak`, writes `record`.
///
/// # Errors
/// A file that cannot be opened, or that has another format.
pub fn start(line: Line, speak: Option<&Path>, record: Option<&Path>) -> Result<Paced, SoundError> {
    let speech = speak.map(read).transpose()?;
    let recording = record.map(Recording::create).transpose()?;
    Paced::start(Files { line, speech, recording })
}

/// The samples of a file, checked for its format.
fn read(path: &Path) -> Result<WavIntoSamples<BufReader<File>, i16>, SoundError> {
    let failed = |error| SoundError::File { path: path.to_owned(), error };
    let reader = WavReader::open(path).map_err(failed)?;
    let spec = reader.spec();
    if spec != FORMAT {
        return Err(SoundError::Format {
            path: path.to_owned(),
            rate_hz: spec.sample_rate,
            bits: spec.bits_per_sample,
            channels: spec.channels,
        });
    }
    Ok(reader.into_samples())
}

struct Recording {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
    failed: Option<hound::Error>,
}

impl Recording {
    fn create(path: &Path) -> Result<Self, SoundError> {
        let writer = WavWriter::create(path, FORMAT)
            .map_err(|error| SoundError::File { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), writer, failed: None })
    }

    /// After a failure (the disk is full) no more is written; the call goes on.
    fn write(&mut self, heard: &[i16]) {
        for &sample in heard {
            if self.failed.is_none() {
                self.failed = self.writer.write_sample(sample).err();
            }
        }
    }

    fn finish(self) -> Result<(), SoundError> {
        let finished = self.writer.finalize();
        match self.failed.map_or(finished, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(SoundError::File { path: self.path, error }),
        }
    }
}

struct Files {
    line: Line,
    /// `None` after its end.
    speech: Option<WavIntoSamples<BufReader<File>, i16>>,
    recording: Option<Recording>,
}

impl Work for Files {
    fn block(&mut self) {
        let (mut mic, mut speaker) = ([0; BLOCK_SAMPLES], [0; BLOCK_SAMPLES]);
        if self.line.controls().is_talking()
            && let Some(speech) = &mut self.speech
        {
            for slot in &mut mic {
                // A file that is cut off ends like one that is complete.
                match speech.next() {
                    Some(Ok(sample)) => *slot = sample,
                    Some(Err(_)) | None => {
                        self.speech = None;
                        break;
                    }
                }
            }
        }
        self.line.exchange(&mut mic, &mut speaker);
        if let Some(recording) = &mut self.recording {
            recording.write(&speaker);
        }
    }

    fn finish(self) -> (Line, Result<(), SoundError>) {
        (self.line, self.recording.map_or(Ok(()), Recording::finish))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_format_is_refused_with_what_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.wav");
        let spec = WavSpec { sample_rate: 48_000, channels: 2, ..FORMAT };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        writer.write_sample(1_i16).unwrap();
        writer.write_sample(2_i16).unwrap();
        writer.finalize().unwrap();
        let error = read(&path).err().unwrap().to_string();
        assert!(error.contains("48000 Hz") && error.contains("2 channels"), "{error}");
        assert!(error.contains("must have 8000 Hz"), "{error}");
        assert!(error.contains("wide.wav"), "{error}");
    }

    #[test]
    fn a_file_that_is_none_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.wav");
        std::fs::write(&path, "no sound at all").unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("text.wav"));
        assert!(read(&folder.path().join("absent.wav")).is_err());
    }
}
