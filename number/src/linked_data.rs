//! The data linked to a number on a page (the patent's Fig. 2): what the web server sends when
//! the number is clicked and the telephone program reads.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::dialled::Written;
use crate::{NumberError, PublicKey, SigningKey};

/// More than any linked data needs, in octets.
pub const MAX_LINKED_DATA_OCTETS: usize = 4096;

/// A small JSON object: `{"application": "…", "number": "03-3333-1234", "gateway": "…",
/// "expires": 1800000000, "signature": "…"}`; the last three may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkedData {
    application: String,
    number: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl LinkedData {
    /// Linked data without signature. `number` is as the page shows it, `gateway` a host or
    /// address with an optional port, `expires_unix_s` in seconds since 1970.
    ///
    /// # Errors
    /// A value that [`LinkedData::from_bytes`] would not read.
    pub fn new(
        application: &str,
        number: &str,
        gateway: Option<&str>,
        expires_unix_s: Option<u64>,
    ) -> Result<LinkedData, NumberError> {
        let data = LinkedData {
            application: application.to_owned(),
            number: number.to_owned(),
            gateway: gateway.map(str::to_owned),
            expires: expires_unix_s,
            signature: None,
        };
        data.check_values()?;
        Ok(data)
    }

    /// Reads what a web server sent. Strict: UTF-8 JSON, one object, known keys only, each
    /// once, nothing after it, at most [`MAX_LINKED_DATA_OCTETS`]. The signature is read, not
    /// verified: see [`LinkedData::verify`].
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn from_bytes(bytes: &[u8]) -> Result<LinkedData, NumberError> {
        if bytes.len() > MAX_LINKED_DATA_OCTETS {
            return Err(NumberError::LinkedDataTooLarge {
                found: bytes.len(),
                limit: MAX_LINKED_DATA_OCTETS,
            });
        }
        let syntax = |reason: String| NumberError::LinkedDataSyntax { reason };
        let text = str::from_utf8(bytes)
            .map_err(|error| syntax(format!("octet {} is not UTF-8", error.valid_up_to() + 1)))?;
        // serde reads a struct from an array too; the format is an object.
        if !text.trim_start().starts_with('{') {
            return Err(syntax("it is not a JSON object".to_owned()));
        }
        let data: LinkedData =
            serde_json::from_str(text).map_err(|error| syntax(error.to_string()))?;
        data.check_values()?;
        Ok(data)
    }

    /// The JSON object, one key a line, ending with a line break.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("text and numbers always serialise");
        json.push('\n');
        json
    }

    /// The name of the telephone program this is meant for.
    pub fn application(&self) -> &str {
        &self.application
    }

    /// The number as the page shows it; [`crate::Dialled::parse`] reads it.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The gateway to call, host or address with an optional port; without it the directory
    /// is asked.
    pub fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    /// When the data loses its validity, in seconds since 1970.
    pub fn expires_unix_s(&self) -> Option<u64> {
        self.expires
    }

    /// The same data with a signature over everything else in it.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> LinkedData {
        self.signature = Some(STANDARD.encode(key.sign(&self.signed_octets())));
        self
    }

    /// How far the data may be trusted at `now_unix_s`, seconds since 1970. Data past its
    /// expiry is refused, signed or not.
    pub fn verify(&self, trusted: &[PublicKey], now_unix_s: u64) -> Trust {
        if self.expires.is_some_and(|expires| now_unix_s >= expires) {
            return Trust::Refused(DistrustReason::Expired);
        }
        let Some(signature) = &self.signature else {
            return Trust::Unsigned;
        };
        let Ok(signature) = STANDARD.decode(signature) else {
            return Trust::Refused(DistrustReason::BadSignature);
        };
        let message = self.signed_octets();
        if trusted.iter().any(|key| key.verifies(&message, &signature)) {
            Trust::Trusted
        } else if trusted.is_empty() {
            Trust::Refused(DistrustReason::NoTrustedKeys)
        } else {
            Trust::Refused(DistrustReason::BadSignature)
        }
    }

    /// What the signature covers, the same octets however the JSON was laid out: a label, then
    /// each value as presence (one octet), length (four, big-endian) and octets; the expiry as
    /// eight octets, big-endian.
    fn signed_octets(&self) -> Vec<u8> {
        let mut octets = b"trunkline linked data 1\0".to_vec();
        let mut put = |value: Option<&[u8]>| {
            octets.push(u8::from(value.is_some()));
            let value = value.unwrap_or_default();
            // Values are far below 4 GiB: check_values has limited them.
            octets.extend_from_slice(&(value.len() as u32).to_be_bytes());
            octets.extend_from_slice(value);
        };
        put(Some(self.application.as_bytes()));
        put(Some(self.number.as_bytes()));
        put(self.gateway.as_deref().map(str::as_bytes));
        put(self.expires.map(u64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
        octets
    }

    fn check_values(&self) -> Result<(), NumberError> {
        let wrong = |key, problem| Err(NumberError::LinkedDataValue { key, problem });
        if !(1..=64).contains(&self.application.chars().count())
            || self
                .application
                .chars()
                .any(|c| !(c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-')))
            || self.application.starts_with(['-', '.', ' '])
        {
            return wrong(
                "application",
                "is not a name of 1 to 64 letters, digits, spaces, dots, - and _ that begins with a letter or digit",
            );
        }
        Written::scan(&self.number)
            .map_err(|error| NumberError::LinkedDataNumber(Box::new(error)))?;
        if self.gateway.as_deref().is_some_and(|gateway| !is_host(gateway)) {
            return wrong("gateway", "is not a host name or address with an optional port");
        }
        if let Some(signature) = &self.signature
            && STANDARD.decode(signature).map(|octets| octets.len()) != Ok(64)
        {
            return wrong("signature", "is not the base64 of 64 octets");
        }
        Ok(())
    }
}

/// How far linked data may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Signed by one of the trusted keys and not expired.
    Trusted,
    /// No signature: anybody may have written it, so its gateway is not to be followed.
    Unsigned,
    /// Not to be used.
    Refused(DistrustReason),
}

/// Why linked data is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistrustReason {
    /// Its time is over.
    Expired,
    /// The signature is by none of the trusted keys, or the data was changed.
    BadSignature,
    /// It is signed, but no key is trusted here.
    NoTrustedKeys,
}

impl fmt::Display for DistrustReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DistrustReason::Expired => "the linked data has expired: click the number on the page again",
            DistrustReason::BadSignature => {
                "the linked data was changed on its way or signed by nobody who is trusted here"
            }
            DistrustReason::NoTrustedKeys => {
                "the linked data is signed, but no signer's key is trusted here: add the site's public key"
            }
        })
    }
}

/// host, host:port, address, address:port, [v6] or [v6]:port.
fn is_host(text: &str) -> bool {
    if text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok() {
        return !text.contains('%');
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let host = match text.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) => return false,
        None => text,
    };
    // RFC 1123 §2.1: labels of letters, digits and inner hyphens. A last label of digits alone
    // would be a mistyped address.
    (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
        && host.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests;
