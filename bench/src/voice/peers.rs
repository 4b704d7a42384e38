//! Playouts that others have written, in programs of their own (`bench/voice`, built by
//! `scripts/voice-peers`).

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::VoiceError;
use super::fixed::decoded;
use super::ours::PACKET;
use super::score::samples_of;
use super::trace::Arrival;

/// SpeexDSP's jitter buffer, which knows no speech: with our concealment, from one side.
#[derive(Clone, Debug)]
pub struct SpeexDsp(PathBuf);

/// NetEQ of WebRTC, with concealment and stretching of its own.
#[derive(Clone, Debug)]
pub struct NetEq(PathBuf);

impl SpeexDsp {
    /// The program in this folder, if it has been built.
    pub fn find(folder: &Path) -> Option<Self> {
        Some(folder.join("speexdsp")).filter(|program| program.exists()).map(Self)
    }

    /// What is heard of `alaw`; `files` is a folder of its own for this call.
    ///
    /// # Errors
    /// [`VoiceError`] if the program fails.
    pub fn play(
        &self,
        arrivals: &[Arrival],
        alaw: &[u8],
        files: &Path,
    ) -> Result<Vec<i16>, VoiceError> {
        let packets = (alaw.len() / PACKET).to_string();
        let said = run(&self.0, &[&write_trace(arrivals, files)?, Path::new(&packets)])?;
        let not_begun = said.lines().take_while(|line| *line == ".").count();
        let played = said.lines().skip(not_begun).map(|line| {
            let from = line.parse::<usize>().ok()? * PACKET;
            alaw.get(from..from + PACKET)
        });
        let mut heard = vec![0; not_begun * PACKET];
        heard.extend(decoded(played));
        Ok(heard)
    }
}

impl NetEq {
    /// The program in this folder, if it has been built.
    pub fn find(folder: &Path) -> Option<Self> {
        Some(folder.join("neteq")).filter(|program| program.exists()).map(Self)
    }

    /// What is heard of `alaw`, and the processor time for each 10 ms of it, µs; `files` is a folder of
    /// its own for this call.
    ///
    /// # Errors
    /// [`VoiceError`] if the program fails.
    pub fn play(
        &self,
        arrivals: &[Arrival],
        alaw: &[u8],
        files: &Path,
    ) -> Result<(Vec<i16>, f64), VoiceError> {
        let (sent, heard) = (files.join("sent"), files.join("heard"));
        std::fs::write(&sent, alaw).map_err(VoiceError::file(&sent))?;
        let said = run(&self.0, &[&write_trace(arrivals, files)?, &sent, &heard])?;
        let took_ns: Option<f64> = said.trim().strip_prefix("ns ").and_then(|ns| ns.parse().ok());
        let took_ns = took_ns.ok_or_else(|| VoiceError::Peer { program: self.0.clone(), said })?;
        let octets = std::fs::read(&heard).map_err(VoiceError::file(&heard))?;
        let samples = samples_of(&octets);
        let tens_of_ms = samples.len().max(1) as f64 / 80.0;
        Ok((samples, took_ns / 1e3 / tens_of_ms))
    }
}

fn write_trace(arrivals: &[Arrival], files: &Path) -> Result<PathBuf, VoiceError> {
    let path = files.join("trace");
    let lines = arrivals.iter().map(|a| format!("{} {:.3}\n", a.number, a.at_ms));
    std::fs::write(&path, lines.collect::<String>()).map_err(VoiceError::file(&path))?;
    Ok(path)
}

fn run(program: &Path, arguments: &[&Path]) -> Result<String, VoiceError> {
    let done = Command::new(program).args(arguments).output().map_err(VoiceError::file(program))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(VoiceError::Peer { program: program.into(), said });
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
