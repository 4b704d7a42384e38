//! Calls from within web pages: where they are taken, whose, and how many.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use trunkline_number::PublicKey;
use trunkline_program::{ConfigurationError, Source};

use super::CodecName;

/// Calls from within web pages (WebRTC).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Browser {
    /// Address of the HTTP server that pages call at.
    pub listen: SocketAddr,
    /// Chain of certificates, PEM. Without it plain HTTP is spoken: behind a proxy that has one.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Origins whose pages may call, as `https://www.example.com`.
    pub origins: Vec<String>,
    /// Public keys of the web servers whose tokens are believed.
    pub trusted_keys: Vec<PublicKey>,
    /// Codecs, best first; G.711 needs no transcoding between page and line.
    #[serde(default = "default_codecs")]
    pub codecs: Vec<CodecName>,
    /// Who shares the gateway with the pages: an address that X-Forwarded-For is believed of.
    #[serde(default)]
    pub proxies: Vec<std::net::IpAddr>,
    /// Calls begun in a minute at most.
    #[serde(default)]
    pub limits: BrowserLimits,
}

/// Calls begun in a minute at most; what is over is answered with 429.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrowserLimits {
    /// From one address (IPv6: one /64).
    pub per_address: u32,
    /// From pages of one origin.
    pub per_origin: u32,
    /// To one number.
    pub per_number: u32,
}

impl Default for BrowserLimits {
    fn default() -> Self {
        Self { per_address: 10, per_origin: 600, per_number: 60 }
    }
}

fn default_codecs() -> Vec<CodecName> {
    vec![CodecName::Pcma, CodecName::Pcmu, CodecName::Opus]
}

impl Browser {
    pub(super) fn check(&self, ptime_ms: u32, source: &Source) -> Result<(), ConfigurationError> {
        if self.certificate.is_some() != self.key.is_some() {
            let (key, other) = match self.certificate {
                Some(_) => ("browser.key", "the certificate's key"),
                None => ("browser.certificate", "the key's certificate"),
            };
            return Err(source.error(key, "is missing", format!("name the file of {other}")));
        }
        if self.origins.is_empty() {
            let remedy = "list the sites whose pages may call, as in https://www.example.com";
            return Err(source.error("browser.origins", "is empty", remedy));
        }
        for (place, origin) in self.origins.iter().enumerate() {
            if !is_origin(origin) {
                return Err(source.error(
                    &format!("browser.origins.{place}"),
                    format!("{origin:?} is no origin"),
                    "write scheme, host and, where it is not the scheme's, port, as in \
                     https://www.example.com, without a slash behind it",
                ));
            }
        }
        if self.trusted_keys.is_empty() {
            return Err(source.error(
                "browser.trusted_keys",
                "is empty",
                "list the web servers' public keys: trunkline-web key public FILE prints one",
            ));
        }
        for (key, limit) in [
            ("per_address", self.limits.per_address),
            ("per_origin", self.limits.per_origin),
            ("per_number", self.limits.per_number),
        ] {
            if limit == 0 {
                return Err(source.error(
                    &format!("browser.limits.{key}"),
                    "is 0: nobody could call",
                    "write how many calls a minute may be begun",
                ));
            }
        }
        super::check_codecs("browser.codecs", &self.codecs, ptime_ms, source)
    }
}

/// Whether it is written as browsers send it in `Origin` (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']'))
    })
}
