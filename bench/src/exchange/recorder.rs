//! What telephones heard, into WAV files, and the digits found in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hound::{SampleFormat, WavSpec, WavWriter};
use trunkline_dsp::dtmf;
use trunkline_dsp::g711::Law;

use super::voice::Heard;

/// How often the recorder looks for something new: far less than a ring holds.
const ROUND: Duration = Duration::from_millis(100);

/// One recording; writing ends when it is dropped.
#[derive(Debug)]
pub struct Recording {
    thread: Option<JoinHandle<()>>,
    over: Arc<std::sync::atomic::AtomicBool>,
    digits: Arc<Mutex<String>>,
    path: PathBuf,
}

impl Recording {
    /// Begins a recording.
    pub fn begin(path: &Path, mut heard: Heard) -> Result<Self, hound::Error> {
        let format = WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(path, format)?;
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let digits = Arc::new(Mutex::new(String::new()));
        let thread = std::thread::Builder::new().name("recorder".into()).spawn({
            let (over, digits) = (Arc::clone(&over), Arc::clone(&digits));
            move || {
                let mut detector = dtmf::Detector::new();
                loop {
                    // Looked at before the ring is emptied, so that nothing is missed.
                    let last = over.load(std::sync::atomic::Ordering::Acquire);
                    let samples: Vec<i16> = std::iter::from_fn(|| heard.octets.pop().ok())
                        .map(|octet| Law::A.decode(octet))
                        .collect();
                    for &sample in &samples {
                        if let Err(error) = writer.write_sample(sample) {
                            tracing::error!(%error, "a recording could not be written");
                            return;
                        }
                    }
                    found_digits(&mut detector, &samples, &digits);
                    if last {
                        break;
                    }
                    std::thread::sleep(ROUND);
                }
                if let Err(error) = writer.finalize() {
                    tracing::error!(%error, "a recording could not be finished");
                }
            }
        });
        let thread = thread.map_err(hound::Error::IoError)?;
        Ok(Self { thread: Some(thread), over, digits, path: path.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Digits heard so far.
    pub fn digits(&self) -> String {
        self.digits.lock().map(|digits| digits.clone()).unwrap_or_default()
    }
}

impl Recording {
    /// Ends the recording and gives all digits that were heard.
    pub fn finish(mut self) -> String {
        self.stop();
        self.digits()
    }

    fn stop(&mut self) {
        self.over.store(true, std::sync::atomic::Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop();
    }
}

fn found_digits(detector: &mut dtmf::Detector, samples: &[i16], digits: &Mutex<String>) {
    detector.process(samples, |event| {
        if let dtmf::Event::Begin { digit, .. } = event
            && let Ok(mut digits) = digits.lock()
        {
            digits.push(digit);
        }
    });
}
