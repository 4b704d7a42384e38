//! Calls from within the page: who may, for how long, and at which gateway.
//!
//! The page's script asks for a token when the person clicks; the gateway that it then calls believes
//! our signature. Which gateway that is the directory says, as it does for a telephone program.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use trunkline_directory::client::{EnumResolver, Resolution, ResolverSettings};
use trunkline_number::{CallToken, Dialled, E164, SigningKey};
use trunkline_program::{ConfigurationError, Source};

use crate::Offer;

/// `calls:` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallSettings {
    /// Origins of the pages that may call, this site's own among them.
    pub origins: Vec<String>,
    /// A token is good for so long after the click.
    #[serde(default = "default_token_lifetime_s")]
    pub token_lifetime_s: u64,
    /// Longest duration of a call.
    #[serde(default = "default_longest_s")]
    pub longest_s: u32,
    /// ENUM servers that are asked for a number's gateways, in this order; without them the gateway
    /// that stands with the number is called.
    #[serde(default)]
    pub directory: Vec<SocketAddr>,
    /// Domain below which numbers are looked up.
    #[serde(default = "default_apex")]
    pub apex: String,
    /// Where pages reach the gateways that the directory names.
    pub gateways: Vec<PageGateway>,
}

/// Where pages reach a gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageGateway {
    /// Host and port as the directory names them; the port is 5060 where there is none.
    pub sip: String,
    /// Its address for pages: `https://gw-a.example.net:8443`.
    pub at: String,
}

fn default_token_lifetime_s() -> u64 {
    60
}

fn default_longest_s() -> u32 {
    3_600
}

fn default_apex() -> String {
    "e164.arpa".to_owned()
}

/// A token that lives longer can be collected and used by somebody else.
const TOKEN_LIFETIME_MAX_S: u64 = 600;
/// A day.
const LONGEST_MAX_S: u32 = 86_400;
/// The port of SIP (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// What was checked, ready to issue tokens.
#[derive(Debug)]
pub struct Calls {
    settings: CallSettings,
    resolver: Option<EnumResolver>,
    /// By host and port of SIP.
    gateways: HashMap<(String, u16), String>,
}

/// What the page's script gets.
#[derive(Debug, Serialize)]
pub(crate) struct Permission {
    token: String,
    /// Where to call, the first choice first.
    gateways: Vec<String>,
}

/// Why it gets nothing: status and a word that the script has a sentence for.
pub(crate) type NotPermitted = (StatusCode, &'static str);

impl Calls {
    pub(crate) fn check(
        settings: &CallSettings,
        source: &Source,
    ) -> Result<Self, ConfigurationError> {
        if settings.origins.is_empty() {
            let remedy = "list this site's own origin, as in https://www.example.com";
            return Err(source.error("calls.origins", "is empty", remedy));
        }
        for (place, origin) in settings.origins.iter().enumerate() {
            check_address(origin, &format!("calls.origins.{place}"), source)?;
        }
        if !(1..=TOKEN_LIFETIME_MAX_S).contains(&settings.token_lifetime_s) {
            return Err(source.error(
                "calls.token_lifetime_s",
                format!("{} seconds", settings.token_lifetime_s),
                format!("give 1 to {TOKEN_LIFETIME_MAX_S} seconds"),
            ));
        }
        if !(1..=LONGEST_MAX_S).contains(&settings.longest_s) {
            return Err(source.error(
                "calls.longest_s",
                format!("{} seconds", settings.longest_s),
                format!("give 1 to {LONGEST_MAX_S} seconds"),
            ));
        }
        if settings.gateways.is_empty() {
            let remedy = "say where pages reach each gateway: { sip: …, at: https://… }";
            return Err(source.error("calls.gateways", "is empty", remedy));
        }
        let mut gateways = HashMap::new();
        for (place, gateway) in settings.gateways.iter().enumerate() {
            check_address(&gateway.at, &format!("calls.gateways.{place}.at"), source)?;
            let Some(sip) = host_and_port(&gateway.sip) else {
                return Err(source.error(
                    &format!("calls.gateways.{place}.sip"),
                    format!("{:?} is no address of SIP", gateway.sip),
                    "write host and port as the directory names them: gw-a.example.net:5060",
                ));
            };
            gateways.insert(sip, gateway.at.clone());
        }
        let resolver = (!settings.directory.is_empty()).then(|| {
            EnumResolver::new(ResolverSettings {
                servers: settings.directory.clone(),
                apex: settings.apex.clone(),
                ..ResolverSettings::default()
            })
        });
        let resolver = resolver.transpose().map_err(|error| {
            source.error("calls.apex", error.to_string(), "write a domain, as in e164.arpa")
        })?;
        Ok(Self { settings: settings.clone(), resolver, gateways })
    }

    /// Whether pages of this origin may call.
    pub(crate) fn knows(&self, origin: &str) -> bool {
        self.settings.origins.iter().any(|known| known == origin)
    }

    /// The addresses that the page's script connects to.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.settings.gateways.iter().map(|gateway| gateway.at.as_str())
    }

    /// Permission for a page of `origin` to call what is offered.
    pub(crate) async fn permit(
        &self,
        offer: &Offer,
        origin: &str,
        key: &SigningKey,
        now: SystemTime,
    ) -> Result<Permission, NotPermitted> {
        // Short codes are the exchange's own, and no gateway is asked for them.
        let Dialled::E164(number) = offer.number else {
            return Err((StatusCode::FORBIDDEN, "refused"));
        };
        let gateways = self.gateways_of(number, offer).await?;
        let now_unix_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let token = CallToken {
            number,
            origin: origin.to_owned(),
            expires: now_unix_s + self.settings.token_lifetime_s,
            longest_s: self.settings.longest_s,
            id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>()),
        };
        Ok(Permission { token: token.sign(key), gateways })
    }

    async fn gateways_of(&self, number: E164, offer: &Offer) -> Result<Vec<String>, NotPermitted> {
        let configured = || offer.gateway.as_deref().and_then(host_and_port);
        let sip: Vec<(String, u16)> = match &self.resolver {
            None => configured().into_iter().collect(),
            Some(resolver) => match resolver.resolve(&number).await {
                Resolution::Routes(routes) => {
                    routes.into_iter().map(|route| (route.host, route.port)).collect()
                }
                Resolution::UnknownNumber => return Err((StatusCode::NOT_FOUND, "no_such_number")),
                Resolution::NoGateway => {
                    return Err((StatusCode::SERVICE_UNAVAILABLE, "line_down"));
                }
                Resolution::Unavailable(why) => {
                    tracing::warn!(%number, %why, "directory unavailable");
                    configured().into_iter().collect()
                }
            },
        };
        let known: Vec<String> =
            sip.iter().filter_map(|address| self.gateways.get(address).cloned()).collect();
        if known.is_empty() {
            tracing::warn!(%number, ?sip, "no gateway of this number is among calls.gateways");
            return Err((StatusCode::SERVICE_UNAVAILABLE, "gateway"));
        }
        Ok(known)
    }
}

impl fmt::Display for Calls {
    /// The effective values, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallSettings { origins, token_lifetime_s, longest_s, gateways, .. } = &self.settings;
        let origins = origins.join(" ");
        let count = gateways.len();
        write!(
            f,
            "pages of {origins}, {count} gateways, tokens for {token_lifetime_s} s, calls of up to \
             {longest_s} s"
        )
    }
}

/// Scheme, host and perhaps a port, nothing behind them.
fn check_address(text: &str, key: &str, source: &Source) -> Result<(), ConfigurationError> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']'))
    };
    if host.is_some_and(is_host) {
        return Ok(());
    }
    Err(source.error(
        key,
        format!("{text:?} is no address for browsers"),
        "write scheme, host and, where it is another, port: https://www.example.com",
    ))
}

/// `host`, `host:port` or `[v6]:port`.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => SIP_PORT,
        };
        return Some((host.to_owned(), port));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host.to_owned(), port.parse().ok()?)),
        Some(_) => None,
        None => (!text.is_empty()).then(|| (text.to_owned(), SIP_PORT)),
    }
}
