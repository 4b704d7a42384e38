//! URIs as calls need them (RFC 3261 §19.1, RFC 3966).

use std::fmt;
use std::str::FromStr;

use crate::SipError;

/// Longest URI taken in octets.
pub(crate) const MAX_URI_OCTETS: usize = 1_024;

/// Scheme of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
}

/// A `sip:`, `sips:` or `tel:` URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    /// Scheme.
    pub scheme: Scheme,
    /// User part without escapes and without its own parameters; the number of a `tel:` URI.
    /// Empty when there is none.
    pub user: String,
    /// Host; empty for `tel:`. IPv6 addresses stand without brackets.
    pub host: String,
    /// Port, if it is written.
    pub port: Option<u16>,
    /// Parameters in order, those of the user part first (`phone-context`, `user=phone`,
    /// `transport=tcp`, …), names in lower case.
    pub params: Vec<(String, Option<String>)>,
}

impl Uri {
    /// A `sip:` URI of user and host.
    pub fn sip(user: &str, host: &str, port: Option<u16>) -> Self {
        Self {
            scheme: Scheme::Sip,
            user: user.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            params: Vec::new(),
        }
    }

    /// The same with one more parameter.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.push((name.to_ascii_lowercase(), value.map(str::to_owned)));
        self
    }

    /// Value of a parameter; empty text for one without value.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_deref().unwrap_or_default())
    }
}

impl FromStr for Uri {
    type Err = SipError;

    fn from_str(text: &str) -> Result<Self, SipError> {
        parse(text).ok_or_else(|| SipError::Uri(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Uri> {
    if text.len() > MAX_URI_OCTETS || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return None;
    }
    let (scheme, rest) = text.split_once(':')?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "sip" => Scheme::Sip,
        "sips" => Scheme::Sips,
        "tel" => Scheme::Tel,
        _ => return None,
    };
    // Headers after '?' are for web pages (§19.1.1); in a call they have no meaning.
    let rest = rest.split('?').next()?;
    if scheme == Scheme::Tel {
        let (number, params) = split_params(rest);
        let user = unescape(number)?;
        return (!user.is_empty()).then(|| Uri {
            scheme,
            user,
            host: String::new(),
            port: None,
            params,
        });
    }
    let (userinfo, hostpart) = match rest.rfind('@') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => ("", rest),
    };
    // A password in a URI is a bad idea since RFC 3261 §19.1.1, and none of our business.
    let (user, mut params) = split_params(userinfo);
    let user = unescape(user.split(':').next()?)?;
    let (host, own) = split_params(hostpart);
    params.extend(own);
    let (host, port) = host_and_port(host)?;
    Some(Uri { scheme, user, host, port, params })
}

fn split_params(text: &str) -> (&str, Vec<(String, Option<String>)>) {
    let mut parts = text.split(';');
    let head = parts.next().unwrap_or_default();
    let params = parts
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((name, value)) => (name.to_ascii_lowercase(), Some(value.to_owned())),
            None => (part.to_ascii_lowercase(), None),
        })
        .collect();
    (head, params)
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':')?),
            };
            (host, port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None => None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn unescape(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            out.push(octet);
            continue;
        }
        let digit = |octet: Option<u8>| (octet? as char).to_digit(16);
        let value = digit(octets.next())? * 16 + digit(octets.next())?;
        out.push(u8::try_from(value).ok()?);
    }
    // An escaped control character must not come back as a new line in a header or a log.
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Sip => "sip:",
            Scheme::Sips => "sips:",
            Scheme::Tel => "tel:",
        })?;
        // §25.1 user: unreserved and user-unreserved, but ';', '?' and '/', which the stack
        // below would take for the end of the user part.
        for octet in self.user.bytes() {
            match octet {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => write!(f, "{}", char::from(octet))?,
                octet if b"-_.!~*'()&=+$,".contains(&octet) => write!(f, "{}", char::from(octet))?,
                octet => write!(f, "%{octet:02X}")?,
            }
        }
        if self.scheme != Scheme::Tel {
            if !self.user.is_empty() {
                f.write_str("@")?;
            }
            if self.host.contains(':') {
                write!(f, "[{}]", self.host)?;
            } else {
                f.write_str(&self.host)?;
            }
            if let Some(port) = self.port {
                write!(f, ":{port}")?;
            }
        }
        for (name, value) in &self.params {
            let clean = |text: &str| -> String {
                text.chars().filter(|c| c.is_ascii_graphic() && !";?<>\"@".contains(*c)).collect()
            };
            write!(f, ";{}", clean(name))?;
            if let Some(value) = value {
                write!(f, "={}", clean(value))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sip_uri_with_parameters_in_both_places_is_read() {
        let uri: Uri = "sip:+81333331234;npdi@[::1]:5070;user=phone;Transport=TCP".parse().unwrap();
        assert_eq!(
            (uri.user.as_str(), uri.host.as_str(), uri.port),
            ("+81333331234", "::1", Some(5070))
        );
        assert_eq!(uri.param("npdi"), Some(""));
        assert_eq!(uri.param("transport"), Some("TCP"));
    }

    #[test]
    fn tel_uri_is_number_and_parameters() {
        let uri: Uri = "tel:1234;phone-context=+81".parse().unwrap();
        assert_eq!((uri.scheme, uri.user.as_str()), (Scheme::Tel, "1234"));
        assert_eq!(uri.param("phone-context"), Some("+81"));
        assert_eq!(uri.to_string(), "tel:1234;phone-context=+81");
    }

    #[test]
    fn hostile_text_is_no_uri() {
        for text in [
            "",
            "sip:",
            "http://x",
            "sip:a@b:99999",
            "sip:a@b c",
            "sip:%0d%0a@b",
            "sip:%zz@b",
            "sip:a@[::1",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
    }

    #[test]
    fn user_part_is_escaped_on_the_way_out() {
        let uri = Uri::sip("a b;c@d\r\n", "127.0.0.1", None);
        assert_eq!(uri.to_string(), "sip:a%20b%3Bc%40d%0D%0A@127.0.0.1");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = text.parse::<Uri>();
        }

        #[test]
        fn what_is_written_is_read_back(user in "[0-9+*#]{1,16}", port in 1u16..) {
            let uri = Uri::sip(&user, "gateway.example", Some(port)).with_param("user", Some("phone"));
            prop_assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri);
        }
    }
}
