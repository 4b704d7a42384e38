//! What reads text from strangers as `fn(&[u8])` for fuzzers, with what must hold whatever the bytes
//! are. Compiled with `--cfg fuzzing` and in the tests of this crate.
#![allow(clippy::missing_panics_doc)]

use rsipstack::sip::SipMessage;

use crate::reason;
use crate::screen::{Fault, Verdict, screen};
use crate::session::SessionExpires;
use crate::uri::{MAX_URI_OCTETS, Uri};

#[cfg(test)]
#[path = "../../fuzz/corpus.rs"]
mod corpus;

/// The octets that a refusal may add to what it echoes.
const REPLY_MORE_OCTETS: usize = 256;

/// A message from the network: what passes can be read by the stack, and what is refused is answered in
/// good form, if at all, and with little more than came.
pub fn sip_screen(bytes: &[u8]) {
    match screen(bytes) {
        Verdict::Pass => assert!(SipMessage::try_from(bytes).is_ok()),
        Verdict::PassWithLength { at, line } => {
            let mut whole = bytes.to_vec();
            whole.splice(at..at, line.into_bytes());
            assert_eq!(screen(&whole), Verdict::Pass);
        }
        Verdict::Refuse { reply: None, .. } => {}
        Verdict::Refuse { reply: Some(reply), .. } => {
            assert!(reply.len() <= bytes.len() + REPLY_MORE_OCTETS);
            assert!(reply.starts_with(b"SIP/2.0 ") && reply.ends_with(b"\r\n\r\n"));
            if let Verdict::Refuse { fault, .. } = screen(&reply) {
                // It echoes values that may be the fault; all else is ours.
                assert!(
                    matches!(fault, Fault::Value | Fault::Mandatory | Fault::CSeq),
                    "{fault:?} in {}",
                    String::from_utf8_lossy(&reply)
                );
            }
        }
    }
}

/// The value of a header: URIs, causes and intervals are read or refused, and what is written of them is
/// read back the same.
pub fn sip_value(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(uri) = text.parse::<Uri>()
        // Escapes can make three octets of one, and what is read has a limit.
        && let written = uri.to_string()
        && written.len() <= MAX_URI_OCTETS
    {
        assert!(!written.chars().any(char::is_control), "{written:?}");
        let again: Uri = written.parse().expect("what is written can be read");
        assert_eq!(
            (again.scheme, again.user, again.host, again.port),
            (uri.scheme, uri.user, uri.host, uri.port)
        );
    }
    if let Some(cause) = reason::cause(text) {
        assert_eq!(reason::cause(&reason::value(cause)), Some(cause));
    }
    if let Some(session) = SessionExpires::parse(text) {
        assert_eq!(SessionExpires::parse(&session.to_string()), Some(session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("sip_screen", sip_screen);
        corpus::replay("sip_value", sip_value);
    }
}
