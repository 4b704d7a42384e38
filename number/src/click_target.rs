//! What a click hands to the telephone program.

use std::path::PathBuf;

use crate::dialled::Written;
use crate::{CountryProfile, Dialled, NumberError};

/// The one argument a browser or desktop passes when a number was clicked. It comes from a
/// web page, so it is read as hostile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClickTarget {
    /// A file of linked data, for [`crate::LinkedData::from_bytes`].
    File(PathBuf),
    /// The number of a `tel:`, `callto:` or `vlf:` link.
    Number(TelNumber),
}

/// The number of a link, its characters checked but not yet read by a country's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelNumber {
    written: String,
    context: Option<String>,
}

impl TelNumber {
    /// The number as the page wrote it.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// The number as it is to be dialled.
    ///
    /// # Errors
    /// As [`Dialled::parse`]; also when the link says by phone-context that the number belongs
    /// to another country or to a private plan.
    pub fn dialled(&self, profile: &CountryProfile) -> Result<Dialled, NumberError> {
        // RFC 3966 §5.1.5: a context tells where a local number is valid; it is no prefix to
        // put in front. It is honoured where it names our own country.
        match self.context.as_deref() {
            Some(context) if context.strip_prefix('+') != Some(profile.country_code.as_str()) => {
                Err(NumberError::Parameter {
                    name: "phone-context".to_owned(),
                    problem: "places the number in another country's or a private plan",
                })
            }
            _ => Dialled::parse(&self.written, profile),
        }
    }
}

/// Longer than any link to a number and than any path of Linux.
const MAX_OCTETS: usize = 4096;

impl ClickTarget {
    /// Reads `argument`: a path, a `file:` URI, or a `tel:`, `callto:` or `vlf:` URI in the
    /// grammar of RFC 3966 §3, percent-encoding allowed.
    ///
    /// # Errors
    /// Options (a leading `-`), control characters, other schemes, queries, broken
    /// percent-encoding, characters that are in no number, parameters that change whom the
    /// number reaches, anything over 4096 octets.
    pub fn parse(argument: &str) -> Result<ClickTarget, NumberError> {
        if argument.len() > MAX_OCTETS {
            return Err(NumberError::LinkTooLong { found: argument.len(), limit: MAX_OCTETS });
        }
        refuse_control_characters(argument)?;
        if argument.is_empty() {
            return Err(NumberError::Empty);
        }
        if argument.starts_with('-') {
            return Err(NumberError::LooksLikeOption);
        }
        match split_scheme(argument) {
            None => Ok(ClickTarget::File(PathBuf::from(argument))),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "tel" => tel(rest).map(ClickTarget::Number),
                // callto and vlf have no standard; pages write them with and without //.
                "callto" | "vlf" => {
                    let rest = rest.strip_prefix("//").unwrap_or(rest);
                    tel(rest.strip_suffix('/').unwrap_or(rest)).map(ClickTarget::Number)
                }
                "file" => file(rest).map(ClickTarget::File),
                other => Err(NumberError::Scheme { scheme: other.to_owned() }),
            },
        }
    }
}

/// RFC 3986 §3.1: a letter, then letters, digits, "+", "-", "."; then ":".
fn split_scheme(argument: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = argument.split_once(':')?;
    let mut bytes = scheme.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    valid.then_some((scheme, rest))
}

/// The part after the scheme: subscriber *(";" parameter).
fn tel(rest: &str) -> Result<TelNumber, NumberError> {
    let mut parts = rest.split(';');
    let written = percent_decode(parts.next().unwrap_or_default())?;
    Written::scan(&written)?;
    let mut context = None;
    let mut seen: Vec<String> = Vec::new();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.to_ascii_lowercase();
        let refuse = |problem| Err(NumberError::Parameter { name: shorten(&name), problem });
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return refuse("is not written as RFC 3966 has it");
        }
        // RFC 3966 §3: no parameter may appear more than once.
        if seen.contains(&name) {
            return refuse("appears twice");
        }
        let value = percent_decode(value)?;
        match name.as_str() {
            "phone-context" if !is_context(&value) => {
                return refuse("is neither a + number nor a domain");
            }
            // RFC 3966 §3: a global number carries no context.
            "phone-context" if is_global(&written) => return refuse("does not go with a + number"),
            "phone-context" => context = Some(plain_context(&value)),
            // Left out, these would reach somebody else than the page says.
            "ext" | "isub" => {
                return refuse("asks for an extension behind the number, which is not dialled");
            }
            // RFC 3966 §7: a parameter that must be understood begins with "m-".
            _ if name.starts_with("m-") => return refuse("must be understood (m-…) but is not"),
            // RFC 3966 §7: other unknown parameters are ignored.
            _ => {}
        }
        seen.push(name);
    }
    Ok(TelNumber { written, context })
}

fn is_global(written: &str) -> bool {
    written.trim_start().starts_with(['+', '＋'])
}

/// RFC 3966 §3: domainname / global-number-digits.
fn is_context(value: &str) -> bool {
    match value.strip_prefix('+') {
        Some(digits) => {
            digits.bytes().any(|b| b.is_ascii_digit())
                && digits.bytes().all(|b| b.is_ascii_digit() || is_visual_separator(b))
        }
        None => {
            !value.is_empty()
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        }
    }
}

fn plain_context(value: &str) -> String {
    match value.strip_prefix('+') {
        Some(digits) => format!("+{}", digits.replace(|c: char| !c.is_ascii_digit(), "")),
        None => value.to_owned(),
    }
}

fn is_visual_separator(b: u8) -> bool {
    matches!(b, b'-' | b'.' | b'(' | b')')
}

/// file:///path or file://localhost/path (RFC 8089 §2).
fn file(rest: &str) -> Result<PathBuf, NumberError> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(NumberError::FileUri);
    }
    percent_decode(path).map(PathBuf::from)
}

/// RFC 3986 §2.1, once; the result must be UTF-8 without control characters.
fn percent_decode(text: &str) -> Result<String, NumberError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let octet = match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(NumberError::PercentEncoding),
                }
            }
            other => other,
        };
        octets.push(octet);
    }
    let decoded = String::from_utf8(octets).map_err(|_| NumberError::PercentEncoding)?;
    refuse_control_characters(&decoded)?;
    Ok(decoded)
}

fn refuse_control_characters(text: &str) -> Result<(), NumberError> {
    match text.chars().enumerate().find(|(_, c)| c.is_control()) {
        Some((index, found)) => {
            Err(NumberError::ControlCharacter { code: u32::from(found), place: index + 1 })
        }
        None => Ok(()),
    }
}

/// Enough of a hostile name to recognise it.
fn shorten(name: &str) -> String {
    name.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(argument: &str) -> Result<String, NumberError> {
        match ClickTarget::parse(argument)? {
            ClickTarget::Number(number) => {
                number.dialled(&CountryProfile::japan()).map(|dialled| dialled.to_string())
            }
            ClickTarget::File(path) => panic!("{argument} was read as the file {path:?}"),
        }
    }

    #[test]
    fn links_to_numbers() {
        for argument in [
            "tel:+81333331234",
            "tel:+81-3-3333-1234",
            "TEL:+81(3)3333.1234",
            "tel:03-3333-1234",
            "tel:03-3333-1234;phone-context=+81",
            "tel:03-3333-1234;phone-context=+8-1",
            "tel:+81333331234;tsp=example.com;cic=+12",
            "tel:%2B81333331234",
            "tel:%EF%BC%90%EF%BC%93-3333-1234",
            "callto:03-3333-1234",
            "callto://+81333331234",
            "vlf:0333331234",
            "vlf://0333331234/",
        ] {
            assert_eq!(number(argument).as_deref(), Ok("+81333331234"), "{argument}");
        }
        assert_eq!(number("tel:110").as_deref(), Ok("110"));
    }

    #[test]
    fn files() {
        let file = |path: &str| Ok(ClickTarget::File(PathBuf::from(path)));
        assert_eq!(ClickTarget::parse("/tmp/0333331234 (1).vlf"), file("/tmp/0333331234 (1).vlf"));
        assert_eq!(ClickTarget::parse("file:///tmp/a%20b.vlf"), file("/tmp/a b.vlf"));
        assert_eq!(ClickTarget::parse("file://localhost/tmp/a.vlf"), file("/tmp/a.vlf"));
        assert_eq!(ClickTarget::parse("file://far.example/tmp/a.vlf"), Err(NumberError::FileUri));
        assert_eq!(ClickTarget::parse("file:a.vlf"), Err(NumberError::FileUri));
    }

    #[test]
    fn hostile_arguments_are_refused_and_say_why() {
        assert_eq!(number("-rf"), Err(NumberError::LooksLikeOption));
        assert_eq!(number("--config=/etc/passwd"), Err(NumberError::LooksLikeOption));
        assert_eq!(number(""), Err(NumberError::Empty));
        assert_eq!(number("tel:"), Err(NumberError::Empty));
        assert_eq!(number("tel:-"), Err(NumberError::Empty));
        assert!(matches!(
            number("tel:03$(reboot)"),
            Err(NumberError::Character { found: '$', place: 3 })
        ));
        assert!(matches!(number("tel:03`id`"), Err(NumberError::Character { found: '`', .. })));
        assert!(matches!(number("tel:03|sh"), Err(NumberError::Character { found: '|', .. })));
        assert!(matches!(number("tel:03%26%26sh"), Err(NumberError::Character { found: '&', .. })));
        assert!(matches!(
            number("callto:0333331234?call"),
            Err(NumberError::Character { found: '?', .. })
        ));
        assert!(matches!(
            number("tel:03\n1"),
            Err(NumberError::ControlCharacter { code: 10, place: 7 })
        ));
        assert!(matches!(
            number("tel:03%0a1"),
            Err(NumberError::ControlCharacter { code: 10, place: 3 })
        ));
        assert!(matches!(number("tel:03%00"), Err(NumberError::ControlCharacter { code: 0, .. })));
        assert_eq!(number("tel:03%2"), Err(NumberError::PercentEncoding));
        assert_eq!(number("tel:03%ff"), Err(NumberError::PercentEncoding));
        assert!(matches!(number("javascript:alert(1)"), Err(NumberError::Scheme { .. })));
        assert!(matches!(number("sip:0333331234@far.example"), Err(NumberError::Scheme { .. })));
        assert!(matches!(
            number(&format!("tel:{}", "0".repeat(5000))),
            Err(NumberError::LinkTooLong { found: 5004, .. })
        ));
        assert!(matches!(
            number(&format!("tel:{}", "0".repeat(500))),
            Err(NumberError::TooLong { .. })
        ));
    }

    #[test]
    fn parameters_that_change_the_callee_are_refused() {
        for (argument, named) in [
            ("tel:0333331234;ext=12", "ext"),
            ("tel:0333331234;isub=12", "isub"),
            ("tel:0333331234;m-route=x", "m-route"),
            ("tel:0333331234;phone-context=+1", "phone-context"),
            ("tel:0333331234;phone-context=pbx.example.com", "phone-context"),
            ("tel:0333331234;phone-context=$x", "phone-context"),
            ("tel:0333331234;phone-context=", "phone-context"),
            ("tel:+81333331234;phone-context=+81", "phone-context"),
            ("tel:0333331234;a=1;A=2", "a"),
        ] {
            match number(argument) {
                Err(NumberError::Parameter { name, .. }) => assert_eq!(name, named, "{argument}"),
                other => panic!("{argument}: {other:?}"),
            }
        }
        assert!(matches!(number("tel:0333331234;"), Err(NumberError::Parameter { .. })));
        assert!(matches!(number("tel:0333331234;--x y"), Err(NumberError::Parameter { .. })));
    }
}
