//! The strict screen in front of the SIP stack: bytes in, verdict out.
//!
//! The stack's own parser forgives what RFC 3261 calls malformed (it reads a bad
//! Content-Length as 0 and drops header lines without a colon), and a forgiving parser next to
//! a strict peer is how calls end up half understood. Everything that arrives passes here
//! first; what does not pass is answered where RFC 3261 lets us, dropped where not, and always
//! counted by [`Fault`].

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use rsipstack::sip::SipMessage;
use rsipstack::sip::headers::ToTypedHeader;
use rsipstack::sip::prelude::HeadersExt;

/// Longest datagram taken in octets; what is longer is cut by the receive buffer of the stack.
pub(crate) const MAX_DATAGRAM_OCTETS: usize = 8_191;
/// Most header lines in one message: three times what the longest carrier INVITE seen carries.
const MAX_HEADER_LINES: usize = 128;

/// Why a message was refused before it reached a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The message does not fit the receive buffer or has too many header lines.
    Oversized,
    /// No empty line ends the header, or a line does not end with CR LF (RFC 3261 §7).
    Framing,
    /// The start line and header are not UTF-8 text, or hold control characters (§25.1).
    Text,
    /// The first line is neither a request line nor a status line (§7.1, §7.2).
    StartLine,
    /// A SIP version other than 2.0 (§21.5.6).
    Version,
    /// A method this endpoint has never heard of (§21.5.2).
    Method,
    /// A header line without a colon or with an impossible name (§7.3.1).
    HeaderLine,
    /// Via, From, To, Call-ID or CSeq is missing, or one that may stand once stands twice (§8.1.1).
    Mandatory,
    /// CSeq is no number below 2³¹ or names another method (§8.1.1.5).
    CSeq,
    /// Content-Length is no number, stands twice, or promises more than arrived (§18.3).
    ContentLength,
    /// Max-Forwards is no number from 0 to 255 (§20.22).
    MaxForwards,
    /// Well-formed to the eye, but a value in it cannot be parsed (an address, a Via, a URI).
    Value,
}

impl Fault {
    /// All faults, in the order in which they are counted.
    pub const ALL: [Self; 12] = [
        Self::Oversized,
        Self::Framing,
        Self::Text,
        Self::StartLine,
        Self::Version,
        Self::Method,
        Self::HeaderLine,
        Self::Mandatory,
        Self::CSeq,
        Self::ContentLength,
        Self::MaxForwards,
        Self::Value,
    ];

    /// The fault as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Framing => "framing",
            Self::Text => "text",
            Self::StartLine => "start_line",
            Self::Version => "version",
            Self::Method => "method",
            Self::HeaderLine => "header_line",
            Self::Mandatory => "mandatory_header",
            Self::CSeq => "cseq",
            Self::ContentLength => "content_length",
            Self::MaxForwards => "max_forwards",
            Self::Value => "value",
        }
    }

    /// Status and reason phrase that tell the sender what was wrong.
    fn status(self) -> (u16, &'static str) {
        match self {
            Self::Oversized => (513, "Message Too Large"),
            Self::Framing => (400, "Bad Line Ending"),
            Self::Text => (400, "Header Not UTF-8 Text"),
            Self::StartLine => (400, "Bad Request-Line"),
            Self::Version => (505, "Version Not Supported"),
            Self::Method => (501, "Not Implemented"),
            Self::HeaderLine => (400, "Bad Header Line"),
            Self::Mandatory => (400, "Missing or Repeated Mandatory Header"),
            Self::CSeq => (400, "Bad CSeq"),
            Self::ContentLength => (400, "Bad Content-Length"),
            Self::MaxForwards => (483, "Too Many Hops"),
            Self::Value => (400, "Unreadable Header Value"),
        }
    }
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may pass as it is.
    Pass,
    /// It may pass once this `Content-Length` line stands at this offset: over UDP the header
    /// may be left out and the body then runs to the end of the datagram (RFC 3261 §18.3), but
    /// the stack would read such a body as empty.
    PassWithLength { at: usize, line: String },
    /// It must not pass; `reply` goes back to where it came from, if anything may.
    Refuse { fault: Fault, reply: Option<Vec<u8>> },
}

/// Judges one whole message as it came from the network.
pub(crate) fn screen(message: &[u8]) -> Verdict {
    let (fault, known) = match judge(message) {
        Ok(None) => return Verdict::Pass,
        Ok(Some((at, line))) => return Verdict::PassWithLength { at, line },
        Err(refusal) => *refusal,
    };
    Verdict::Refuse { fault, reply: known.reply(fault) }
}

/// What is known of a message when it is refused: enough of a request to answer it.
#[derive(Default)]
struct Known<'a> {
    answerable: bool,
    vias: Vec<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    call_id: Option<&'a str>,
    cseq: Option<&'a str>,
}

impl Known<'_> {
    /// A stateless answer (RFC 3261 §8.2.7), or nothing when the request cannot be answered:
    /// an ACK, a response, or a request that does not say who sent it.
    fn reply(&self, fault: Fault) -> Option<Vec<u8>> {
        if !self.answerable || self.vias.is_empty() {
            return None;
        }
        let (from, call_id, cseq) = (self.from?, self.call_id?, self.cseq?);
        let (status, phrase) = fault.status();
        let mut reply = format!("SIP/2.0 {status} {phrase}\r\n");
        for via in &self.vias {
            let _ = write!(reply, "Via: {via}\r\n");
        }
        let _ = write!(reply, "From: {from}\r\n");
        if let Some(to) = self.to {
            // RFC 3261 §8.2.6.2: the tag must be the same for the same request, hence a hash.
            let tag = if to.contains(";tag=") {
                String::new()
            } else {
                let mut hasher = DefaultHasher::new();
                (call_id, from).hash(&mut hasher);
                format!(";tag={:016x}", hasher.finish())
            };
            let _ = write!(reply, "To: {to}{tag}\r\n");
        }
        let _ = write!(reply, "Call-ID: {call_id}\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n");
        Some(reply.into_bytes())
    }
}

type Refusal<'a> = Box<(Fault, Known<'a>)>;

fn judge(message: &[u8]) -> Result<Option<(usize, String)>, Refusal<'_>> {
    let mut known = Known::default();
    // A fault found while reading on: the first one counts, but the rest is read so that the
    // sender can be told.
    let mut fault: Option<Fault> = None;
    let mut note = |found: Fault| {
        fault.get_or_insert(found);
    };

    if message.len() > MAX_DATAGRAM_OCTETS.max(crate::transport::MAX_STREAM_MESSAGE_OCTETS) {
        return Err(Box::new((Fault::Oversized, known)));
    }
    let Some(end) = find(message, b"\r\n\r\n") else {
        return Err(Box::new((Fault::Framing, known)));
    };
    let Ok(header) = std::str::from_utf8(&message[..end]) else {
        return Err(Box::new((Fault::Text, known)));
    };
    let body_octets = message.len() - end - 4;

    let mut lines = header.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let method = match start_line(start) {
        Ok(Start::Request(method)) => {
            known.answerable = method != "ACK";
            if !METHODS.contains(&method) {
                note(Fault::Method);
            }
            Some(method)
        }
        Ok(Start::Response) => None,
        Err(found) => {
            // Only something that looks like a request may be answered (§8.1.3.2, §16.7).
            known.answerable = !start.starts_with("SIP/") && !start.starts_with("ACK ");
            note(found);
            None
        }
    };
    if start.bytes().any(|octet| octet.is_ascii_control()) {
        note(Fault::Text);
    }

    let mut content_length: Option<&str> = None;
    let mut max_forwards: Option<&str> = None;
    let mut repeated = false;
    let mut count = 0usize;
    for line in lines {
        count += 1;
        if count > MAX_HEADER_LINES {
            note(Fault::Oversized);
            break;
        }
        // The colon of the body never matters: the header ended at the empty line.
        if line.bytes().any(|octet| octet.is_ascii_control() && octet != b'\t') {
            note(if line.contains(['\r', '\n']) { Fault::Framing } else { Fault::Text });
            continue;
        }
        if line.starts_with([' ', '\t']) {
            // A folded line continues the one before (§7.3.1); the first line has none before.
            if count == 1 {
                note(Fault::HeaderLine);
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            note(Fault::HeaderLine);
            continue;
        };
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(is_token) {
            note(Fault::HeaderLine);
            continue;
        }
        let value = value.trim();
        let once = |slot: &mut Option<&'_ str>| slot.is_some();
        match name.to_ascii_lowercase().as_str() {
            "via" | "v" => known.vias.push(value),
            "from" | "f" => {
                repeated |= once(&mut known.from);
                known.from.get_or_insert(value);
            }
            "to" | "t" => {
                repeated |= once(&mut known.to);
                known.to.get_or_insert(value);
            }
            "call-id" | "i" => {
                repeated |= once(&mut known.call_id);
                known.call_id.get_or_insert(value);
            }
            "cseq" => {
                repeated |= once(&mut known.cseq);
                known.cseq.get_or_insert(value);
            }
            "content-length" | "l" => {
                if content_length.is_some() {
                    note(Fault::ContentLength);
                }
                content_length = Some(value);
            }
            "max-forwards" => max_forwards = Some(value),
            _ => {}
        }
    }

    let mandatory = [known.from, known.to, known.call_id, known.cseq];
    if repeated || known.vias.is_empty() || mandatory.iter().any(|v| v.is_none_or(str::is_empty)) {
        note(Fault::Mandatory);
    }
    if let Some(cseq) = known.cseq
        && !cseq_fits(cseq, method)
    {
        note(Fault::CSeq);
    }
    if let Some(hops) = max_forwards
        && hops.parse::<u8>().is_err()
    {
        note(Fault::MaxForwards);
    }
    let mut length_line = None;
    match content_length
        .map(|text| (text.bytes().all(|b| b.is_ascii_digit()), text.parse::<usize>()))
    {
        Some((true, Ok(octets))) if octets <= body_octets => {}
        Some(_) => note(Fault::ContentLength),
        None if body_octets > 0 => {
            length_line = Some((end + 2, format!("Content-Length: {body_octets}\r\n")));
        }
        None => {}
    }
    if let Some(fault) = fault {
        return Err(Box::new((fault, known)));
    }
    if !stack_can_read(message) {
        return Err(Box::new((Fault::Value, known)));
    }
    Ok(length_line)
}

/// Methods the stack can carry; of these the endpoint decides which it allows.
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
];

enum Start<'a> {
    Request(&'a str),
    Response,
}

fn start_line(line: &str) -> Result<Start<'_>, Fault> {
    let mut parts = line.splitn(3, ' ');
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    let (Some(first), Some(second)) = (first, second) else {
        return Err(Fault::StartLine);
    };
    if first.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("SIP/")) {
        if !first.eq_ignore_ascii_case("SIP/2.0") {
            return Err(Fault::Version);
        }
        let digits = second.len() == 3 && second.bytes().all(|b| b.is_ascii_digit());
        return match second.as_bytes() {
            [b'1'..=b'6', ..] if digits => Ok(Start::Response),
            _ => Err(Fault::StartLine),
        };
    }
    let Some(version) = third else {
        return Err(Fault::StartLine);
    };
    if first.is_empty()
        || !first.bytes().all(is_token)
        || second.is_empty()
        || version.contains(' ')
    {
        return Err(Fault::StartLine);
    }
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        let is_sip = version.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("SIP/"));
        return Err(if is_sip { Fault::Version } else { Fault::StartLine });
    }
    // §19.1.1: a URI has a scheme, and no angle brackets around it here.
    if !second.contains(':') || second.contains(['<', '>', '"']) {
        return Err(Fault::StartLine);
    }
    Ok(Start::Request(first))
}

fn cseq_fits(value: &str, method: Option<&str>) -> bool {
    let mut words = value.split_ascii_whitespace();
    let (Some(number), Some(named), None) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let in_range = number.bytes().all(|b| b.is_ascii_digit())
        && number.parse::<u32>().is_ok_and(|number| number < 1 << 31);
    // Methods are case-sensitive (§7.1).
    in_range && method.is_none_or(|method| method == named)
}

/// `token` of RFC 3261 §25.1.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)
}

/// Whether the stack reads every value on which transactions and dialogs are built: what it
/// would stumble over later must not get in.
fn stack_can_read(message: &[u8]) -> bool {
    let Ok(message) = SipMessage::try_from(message) else {
        return false;
    };
    let names_read = message.via_header().and_then(|via| via.first_value()?.typed()).is_ok()
        && message.cseq_header().and_then(|cseq| cseq.typed()).is_ok()
        && message.typed_contact_headers_or_star();
    let from = message.from_header().and_then(|from| from.typed());
    let to = message.to_header().and_then(|to| to.typed());
    // A From without tag cannot make a dialog (§8.1.1.3).
    names_read
        && from.is_ok_and(|from| from.tag().is_some_and(|tag| !tag.value().is_empty()))
        && to.is_ok()
}

trait ContactOrStar {
    fn typed_contact_headers_or_star(&self) -> bool;
}

impl ContactOrStar for SipMessage {
    /// `Contact: *` is legal in a REGISTER (§10.2.2) and no address.
    fn typed_contact_headers_or_star(&self) -> bool {
        self.contact_headers().iter().all(|contact| contact.value().trim() == "*")
            || self.typed_contact_headers().is_ok()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests;
