//! What can be wrong with a browser's offer, or with what it does after it.

/// Why there is no session with a browser.
#[derive(Debug, thiserror::Error)]
pub enum WebRtcError {
    /// The description is longer than any offer of a call.
    #[error("the offer has {found} octets; at most {limit} are read")]
    TooLong {
        /// Its octets.
        found: usize,
        /// Most octets that are read.
        limit: usize,
    },
    /// It is no session description (RFC 8866).
    #[error("the offer cannot be read: {0}")]
    Syntax(String),
    /// No media line has audio over DTLS-SRTP.
    #[error("the offer has no audio over UDP/TLS/RTP/SAVPF")]
    NoAudio,
    /// The audio line lacks an attribute, or it cannot be used.
    #[error("the offer's a={name} is missing or cannot be used")]
    Attribute {
        /// The attribute.
        name: &'static str,
    },
    /// An ICE restart names another certificate: that would be another session (RFC 8842 §4).
    #[error("the offer names another certificate than the session has")]
    OtherCertificate,
    /// No certificate could be made.
    #[error("no certificate can be made: {0}")]
    Certificate(String),
}
