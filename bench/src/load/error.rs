//! What can go wrong in a load test.

use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use trunkline_media::MediaError;
use trunkline_rtp::RtpError;

/// Why a load test or a part of it cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A call list, or the report of a run, is not the JSON that is meant.
    #[error("{what}: {error}")]
    Json {
        /// Which document.
        what: String,
        /// Where it is wrong.
        error: serde_json::Error,
    },
    /// There is nothing to do.
    #[error("the call list has no calls")]
    NoCalls,
    /// An argument lies outside what can be.
    #[error("{name}: {value} is not possible; {allowed}")]
    Argument {
        /// Which argument.
        name: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: &'static str,
    },
    /// A system call was refused.
    #[error("{what}: {error}{hint}")]
    System {
        /// What was tried.
        what: String,
        /// What the kernel says.
        error: io::Error,
        /// What to do about it, or nothing.
        hint: &'static str,
    },
    /// Our media plane refused.
    #[error("{error}{}", media_hint(.error))]
    Media {
        /// What it said.
        #[from]
        error: MediaError,
    },
    /// Legs did not come into service.
    #[error("{failed} legs did not open: the kernel took no more sockets, or not in time")]
    Legs {
        /// How many.
        failed: u64,
    },
    /// A call list has keys for some parties only.
    #[error("{0} has no keys of SRTP, and others have")]
    Unprotected(SocketAddrV4),
    /// The library of RTP refuses a key.
    #[error(transparent)]
    Rtp(#[from] RtpError),
    /// rtpengine refused a request, or said what is not an answer.
    #[error("rtpengine, {request} of call {call}: {reason}")]
    Rtpengine {
        /// The ng command.
        request: &'static str,
        /// Which call.
        call: usize,
        /// What it said.
        reason: String,
    },
}

impl LoadError {
    /// An error of the system without advice.
    pub fn system(what: impl Into<String>, error: io::Error) -> Self {
        Self::System { what: what.into(), error, hint: "" }
    }

    /// The error of the last system call of this thread.
    pub(crate) fn last(what: impl Into<String>) -> Self {
        Self::system(what, io::Error::last_os_error())
    }
}

/// What to do about it, or nothing.
fn media_hint(error: &MediaError) -> &'static str {
    match error {
        MediaError::Bind { source, .. } if source.raw_os_error() == Some(libc::EMFILE) => {
            "; four descriptors a call are needed (ulimit -Hn)"
        }
        _ => "",
    }
}
