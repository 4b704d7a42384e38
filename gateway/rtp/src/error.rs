//! What can be wrong with bytes or descriptions from outside.
#![forbid(unsafe_code)]

/// Why a packet, a report or a session description was refused.
///
/// The variants of the packet path hold only copies of small values: making one allocates nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// The bytes end before what their own length fields promise.
    #[error("{what} needs {needed_octets} octets, {present_octets} are there")]
    Truncated {
        /// The part that is cut off.
        what: &'static str,
        /// Octets that part needs.
        needed_octets: usize,
        /// Octets that are there.
        present_octets: usize,
    },
    /// The version field is not 2.
    #[error("{what} has version {found}, expected 2")]
    Version {
        /// RTP or RTCP packet.
        what: &'static str,
        /// The version found.
        found: u8,
    },
    /// The padding count is zero, longer than the packet, or set where it must not be.
    #[error("{what} has impossible padding of {octets} octets")]
    Padding {
        /// RTP or RTCP packet.
        what: &'static str,
        /// The count in the last octet.
        octets: u8,
    },
    /// A compound RTCP packet starts with something else than SR or RR.
    #[error("a compound RTCP packet starts with packet type {found}, expected 200 or 201")]
    CompoundStart {
        /// The packet type found first.
        found: u8,
    },
    /// A field holds a value its standard forbids.
    #[error("{what} holds the forbidden value {found}")]
    Value {
        /// The field.
        what: &'static str,
        /// The value found.
        found: u32,
    },
    /// The caller's buffer is too small for what is to be written.
    #[error("the buffer for {what} has {present_octets} octets, {needed_octets} are needed")]
    BufferTooSmall {
        /// What was to be written.
        what: &'static str,
        /// Octets needed.
        needed_octets: usize,
        /// Octets given.
        present_octets: usize,
    },
    /// A text or list is longer than its field can hold.
    #[error("{what} has length {length}, at most {limit} are allowed")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length: octets, lines or entries, as `what` says.
        length: usize,
        /// The limit in the same unit.
        limit: usize,
    },
    /// The character is not one of `0-9 * # A-D`.
    #[error("{found:?} is not a DTMF digit (0-9, *, #, A-D)")]
    Digit {
        /// The character found.
        found: char,
    },
    /// Too many digits wait to be sent already.
    #[error("{limit} digits wait to be sent already")]
    DigitsWaiting {
        /// How many may wait.
        limit: usize,
    },
    /// The session description does not follow RFC 8866.
    #[error("session description: {0}")]
    SdpSyntax(sdp_types::ParserError),
    /// A field of the session description cannot be used.
    #[error("session description: {what} {found:?} cannot be used")]
    SdpField {
        /// The field.
        what: &'static str,
        /// Its content, cut to a readable length.
        found: String,
    },
    /// There is no audio line over RTP, or over SRTP where this side has keys, with a port.
    #[error(
        "session description: no usable audio line (RTP/AVP or RTP/SAVP with a port other than 0)"
    )]
    NoAudio,
    /// Audio comes over plain RTP only, and this side takes SRTP only.
    #[error("session description: audio over plain RTP, SRTP is required")]
    PlainAudio,
    /// A field of an `a=crypto` line cannot be used (RFC 4568). Never holds a key.
    #[error("a=crypto: {what} {found:?} cannot be used")]
    CryptoField {
        /// The field.
        what: &'static str,
        /// Its content, cut to a readable length.
        found: String,
    },
    /// Audio over RTP/SAVP brings no `a=crypto` line this side can take.
    #[error("session description: no usable a=crypto line: {reason}")]
    NoUsableCrypto {
        /// Why the first of them is not, or what they name.
        reason: String,
    },
    /// Both sides' codecs have nothing in common.
    #[error("no codec in common with the other side, which names {offered:?}")]
    NoCommonCodec {
        /// What the other side named.
        offered: String,
    },
    /// An answer must have exactly the media lines of its offer (RFC 3264 §6).
    #[error("the answer has {found} media lines, the offer {expected}")]
    AnswerLines {
        /// Lines of the answer.
        found: usize,
        /// Lines of the offer.
        expected: usize,
    },
    /// The other side speaks another IP version than this leg.
    #[error("the other side's address {remote} is of another IP version than ours, {local}")]
    AddressFamily {
        /// The other side's address.
        remote: std::net::IpAddr,
        /// Ours.
        local: std::net::IpAddr,
    },
    /// The name is not one of the codecs.
    #[error("unknown codec {found:?} (PCMU, PCMA, opus)")]
    CodecName {
        /// The name found.
        found: String,
    },
    /// An SRTP master key with its salt has another length than its suite asks for.
    #[error("the key and salt of {suite} have {needed_octets} octets, {present_octets} are there")]
    SrtpKeyLength {
        /// The suite's name.
        suite: &'static str,
        /// Octets the suite needs.
        needed_octets: usize,
        /// Octets that are there.
        present_octets: usize,
    },
    /// The tag of an SRTP or SRTCP packet is wrong.
    #[error("the SRTP packet of index {index} has a wrong authentication tag")]
    SrtpTag {
        /// Its index as it says itself or was estimated.
        index: u64,
    },
    /// An SRTP or SRTCP packet of that index was there before, or is older than the replay window.
    #[error("the SRTP packet of index {index} is repeated or too old")]
    SrtpReplay {
        /// Its index as it says itself or was estimated.
        index: u64,
    },
    /// A leg had as many SSRCs under one SRTP key as are kept.
    #[error("more than {limit} SSRCs under one SRTP key")]
    SrtpStreams {
        /// How many are kept.
        limit: usize,
    },
    /// An SRTP key has protected as many packets as it may (RFC 3711 §9.2).
    #[error("the SRTP key has protected as many packets as it may")]
    SrtpKeyUsedUp,
}
