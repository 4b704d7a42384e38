//! The Reason header (RFC 3326) as far as it carries a Q.850 cause.

use rsipstack::sip::Headers;

/// The cause in the Reason headers of a message: each protocol may have a line of its own
/// (RFC 3326 §2).
pub(crate) fn of(headers: &Headers) -> Option<u8> {
    let lines = headers.iter().filter(|header| header.name().eq_ignore_ascii_case("Reason"));
    lines.map(|header| header.value()).find_map(cause)
}

/// The cause in a `Reason` header value, e.g. `Q.850;cause=16;text="Terminated"`; other
/// protocols in the list are passed over.
pub(crate) fn cause(value: &str) -> Option<u8> {
    value.split(',').find_map(|reason| {
        let mut parts = reason.split(';');
        if !parts.next()?.trim().eq_ignore_ascii_case("Q.850") {
            return None;
        }
        parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("cause"))
            // Q.850 causes are seven bits.
            .and_then(|(_, cause)| cause.trim().parse().ok().filter(|cause| *cause < 128))
    })
}

/// The header value for a cause (RFC 6432: it may stand in responses too).
pub(crate) fn value(cause: u8) -> String {
    format!("Q.850;cause={cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_is_found_among_other_protocols() {
        assert_eq!(cause("SIP;cause=200;text=\"x\", Q.850 ;cause=17;text=\"Busy\""), Some(17));
        assert_eq!(cause(&value(31)), Some(31));
    }

    #[test]
    fn nonsense_is_no_cause() {
        for text in
            ["", "Q.850", "Q.850;cause=", "Q.850;cause=300", "Q.850;cause=128", "SIP;cause=16"]
        {
            assert_eq!(cause(text), None, "{text}");
        }
    }
}
