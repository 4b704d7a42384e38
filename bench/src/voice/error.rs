//! What may go wrong with the comparison of playouts.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the comparison cannot be made.
#[derive(Debug, Error)]
pub enum VoiceError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are too few recordings of a voice.
    #[error(
        "{folder}: no recordings of a second or more: install Debian's asterisk-core-sounds-en-wav"
    )]
    Speech {
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// The program that scores cannot be run.
    #[error("{program} (PESQ_PYTHON; make bench-voice sets it): {source}")]
    Scorer {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program that scores has said something else than a score.
    #[error("no score but {0:?}: is the Python package pesq installed?")]
    Score(String),
    /// A foreign playout has failed.
    #[error("{program} failed: {said}")]
    Peer {
        /// Which.
        program: PathBuf,
        /// What it said.
        said: String,
    },
}

impl VoiceError {
    /// For `map_err` on what is done with a file.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { path: path.into(), source }
    }
}
