//! Scores: PESQ and delay of what was heard, by `bench/voice/score.py`, and what both make of a
//! conversation.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use super::error::VoiceError;
use super::speech::Speech;

/// The program that scores.
const PROGRAM: &str = include_str!("../../voice/score.py");

/// From the mouth to the ear without packet and playout, ms.
pub const NETWORK_MS: f64 = 100.0;

/// What a listener thinks of it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Score {
    /// Listening quality, MOS-LQO of ITU-T P.862.1, mean over the segments.
    pub pesq: f64,
    /// From the first sample of a packet being spoken to its playout, mean, ms.
    pub delay_ms: f64,
}

impl Score {
    /// Conversational quality: the R that P.862.1's score stands for, less what the delay takes.
    pub fn mos_cq(self) -> f64 {
        let mouth_to_ear_ms = self.delay_ms + NETWORK_MS;
        // Cole and Rosenbluth 2001, of G.107.
        let delay = 0.024 * mouth_to_ear_ms + 0.11 * (mouth_to_ear_ms - 177.3).max(0.0);
        mos(r_of(self.pesq) - delay)
    }
}

/// The mean opinion score of an R factor (G.107 Annex B).
fn mos(r: f64) -> f64 {
    let r = r.clamp(0.0, 100.0);
    1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6
}

/// The R factor of a mean opinion score, on the part of the scale where it rises.
fn r_of(score: f64) -> f64 {
    let (mut low, mut high) = (6.5, 100.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if mos(middle) < score { low = middle } else { high = middle }
    }
    low
}

/// A running program that scores what was heard of one speech.
#[derive(Debug)]
pub struct Scorer {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    files: PathBuf,
}

impl Scorer {
    /// Starts it with this Python; `files` is a folder of its own.
    ///
    /// # Errors
    /// [`VoiceError`] if Python cannot be started or a file not be written.
    pub fn start(python: &Path, speech: &Speech, files: &Path) -> Result<Self, VoiceError> {
        let program = files.join("score.py");
        std::fs::write(&program, PROGRAM).map_err(VoiceError::file(&program))?;
        write_samples(&files.join("said"), &speech.samples)?;
        let lines = speech.segments.iter().map(|s| format!("{} {}\n", s.start, s.len()));
        let segments = files.join("segments");
        std::fs::write(&segments, lines.collect::<String>())
            .map_err(VoiceError::file(&segments))?;
        let failed = |source| VoiceError::Scorer { program: python.into(), source };
        let mut child = Command::new(python)
            .arg(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, questions, answers: BufReader::new(answers), files: files.into() })
    }

    /// Scores what was heard.
    ///
    /// # Errors
    /// [`VoiceError`] if the program says something else, or nothing.
    pub fn score(&mut self, heard: &[i16]) -> Result<Score, VoiceError> {
        let path = self.files.join("scored");
        write_samples(&path, heard)?;
        let mut answer = String::new();
        let asked = self.questions.as_mut().map(|questions| {
            let [said, segments] = ["said", "segments"].map(|name| self.files.join(name));
            writeln!(questions, "{} {} {}", said.display(), segments.display(), path.display())
        });
        if let Some(Ok(())) = asked {
            self.answers.read_line(&mut answer).map_err(VoiceError::file(&path))?;
        }
        serde_json::from_str(&answer).map_err(|_| VoiceError::Score(answer))
    }
}

impl Drop for Scorer {
    fn drop(&mut self) {
        // Nothing more is asked: it ends.
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}

fn write_samples(path: &Path, samples: &[i16]) -> Result<(), VoiceError> {
    let octets: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(path, octets).map_err(VoiceError::file(path))
}

/// Samples of 16 bits, little endian.
pub(super) fn samples_of(octets: &[u8]) -> Vec<i16> {
    octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_costs_little_up_to_177_ms_and_much_beyond() {
        let cq = |pesq, delay_ms| Score { pesq, delay_ms }.mos_cq();
        assert!((cq(4.257, 24.0) - 4.165).abs() < 0.01, "{}", cq(4.257, 24.0));
        assert!((cq(3.6, 77.0) - 3.395).abs() < 0.01, "{}", cq(3.6, 77.0));
        assert!(cq(4.0, 20.0) - cq(4.0, 70.0) < 0.06);
        assert!(cq(4.0, 100.0) - cq(4.0, 150.0) > 0.2);
    }

    #[test]
    fn r_and_mos_are_each_other_s_inverse() {
        for r in [10.0, 40.0, 70.0, 93.2] {
            assert!((r_of(mos(r)) - r).abs() < 1e-6);
        }
    }
}
