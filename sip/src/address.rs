//! Values of headers that name somebody: `"Name" <uri?headers>;params` (RFC 3261 §20.10).

use crate::uri::Uri;

/// One value of such a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Display name without its quotes.
    pub display: Option<String>,
    /// The address, with its own parameters.
    pub uri: Uri,
    /// Headers that stand in the address behind `?`, without escapes; names as written.
    pub headers: Vec<(String, String)>,
    /// Parameters of the header value, names in lower case, values without their quotes.
    pub params: Vec<(String, Option<String>)>,
}

impl Address {
    /// Reads one value; `None` for what is none.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let (display, rest) = match value.strip_prefix('"') {
            Some(quoted) => {
                let mut name = String::new();
                let mut letters = quoted.char_indices();
                let rest = loop {
                    match letters.next()? {
                        (_, '\\') => name.push(letters.next()?.1),
                        (at, '"') => break &quoted[at + 1..],
                        (_, letter) => name.push(letter),
                    }
                };
                (name, rest)
            }
            None => match value.find('<') {
                Some(at) => (value[..at].trim().to_owned(), &value[at..]),
                None => (String::new(), value),
            },
        };
        let rest = rest.trim_start();
        let (uri, params) = match rest.strip_prefix('<') {
            Some(inner) => inner.split_once('>')?,
            // Without brackets the parameters belong to the header (§20).
            None => rest.split_at(rest.find(';').unwrap_or(rest.len())),
        };
        let headers = uri.split_once('?').map_or("", |(_, headers)| headers);
        Some(Self {
            display: (!display.is_empty()).then_some(display),
            // An anonymous caller may come without any address worth the name (RFC 3323 §4.1.1.3).
            uri: uri.trim().parse().ok()?,
            headers: headers
                .split('&')
                .filter_map(|header| header.split_once('='))
                .map(|(name, value)| (name.to_owned(), unescaped(value)))
                .collect(),
            params: params
                .split(';')
                .map(str::trim)
                .filter(|param| !param.is_empty())
                .map(|param| match param.split_once('=') {
                    Some((name, value)) => (
                        name.trim().to_ascii_lowercase(),
                        Some(value.trim().trim_matches('"').to_owned()),
                    ),
                    None => (param.to_ascii_lowercase(), None),
                })
                .collect(),
        })
    }

    /// Every value of header lines that may each hold several, parted by commas; what is no
    /// address is passed over.
    pub fn all<'a>(lines: impl IntoIterator<Item = &'a String>) -> Vec<Self> {
        lines.into_iter().flat_map(|line| values(line)).filter_map(Self::parse).collect()
    }

    /// Value of a parameter of the header value; empty text for one without value.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// Value of a header within the address.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Parts a header line at the commas that stand in neither quotes nor brackets.
fn values(line: &str) -> Vec<&str> {
    let mut values = Vec::new();
    let (mut from, mut in_quotes, mut in_brackets, mut escaped) = (0, false, false, false);
    for (at, octet) in line.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' if !in_brackets => in_quotes = !in_quotes,
            b'<' if !in_quotes => in_brackets = true,
            b'>' if !in_quotes => in_brackets = false,
            b',' if !in_quotes && !in_brackets => {
                values.push(&line[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    values.push(&line[from..]);
    values
}

/// `%3B` is `;`; what is no escape, or no text, stays as it is.
fn unescaped(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let escape = match (first, more) {
            (b'%', [high, low, ..]) => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        octets.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &more[2..] } else { more };
    }
    String::from_utf8(octets).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parted_at_commas_outside_of_quotes_and_brackets() {
        let line = r#""Doe, J\"" <sip:+8133@a;x=1>;reason=user-busy;privacy="full", <sip:1,2@b>"#;
        let all = Address::all([&line.to_owned()]);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].display.as_deref(), Some("Doe, J\""));
        assert_eq!(
            (all[0].param("reason"), all[0].param("privacy")),
            (Some("user-busy"), Some("full"))
        );
        assert_eq!(all[0].uri.param("x"), Some("1"));
        assert_eq!(all[1].uri.user, "1,2");
    }

    #[test]
    fn headers_within_an_address_are_read_without_their_escapes() {
        let value = "<sip:bob@b;cause=486?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1.1;mp=1";
        let address = Address::parse(value).expect("an address");
        assert_eq!(address.header("reason"), Some("SIP;cause=486"));
        assert_eq!(address.header("Privacy"), Some("history"));
        assert_eq!(
            (address.uri.param("cause"), address.param("index")),
            (Some("486"), Some("1.1"))
        );
    }

    #[test]
    fn without_brackets_the_parameters_are_the_headers() {
        let address = Address::parse("sip:a@b;tag=x").expect("an address");
        assert_eq!((address.uri.params.len(), address.param("tag")), (0, Some("x")));
        assert_eq!(Address::parse("\"open <sip:a@b>"), None);
        assert_eq!(Address::parse("<sip:a@b"), None);
    }
}
