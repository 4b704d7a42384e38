//! Orders of an operator over HTTP: who may give them, and the command that sends them.
//!
//! With `control.token_file` an order needs the token, wherever it comes from. Without, orders are
//! taken from this host only. A browser's are never: a page of somebody else's must not be able to
//! block a trunk of whoever looks at it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::configuration::Configuration;
use crate::switch::maintenance::Deed;

/// How long the gateway may take to answer an order.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Who may give orders.
#[derive(Clone, Debug)]
pub struct Access {
    token: Option<String>,
    own: IpAddr,
}

impl Access {
    /// Whoever has this token; without one whoever is on this host, whose address the HTTP server
    /// has is `own`.
    pub fn with(token: Option<String>, own: IpAddr) -> Self {
        Self { token, own }
    }

    /// Refuses whoever may not give orders: 401 without the token, 403 from elsewhere.
    pub fn check(&self, from: IpAddr, headers: &HeaderMap) -> Result<(), StatusCode> {
        // RFC 6454 §7: browsers send it with every request of a page that may change something.
        if headers.contains_key(header::ORIGIN) {
            return Err(StatusCode::FORBIDDEN);
        }
        let Some(token) = &self.token else {
            let from = from.to_canonical();
            // A connection from our own address to it does not leave the host.
            let is_here = from.is_loopback() || from == self.own;
            return if is_here { Ok(()) } else { Err(StatusCode::FORBIDDEN) };
        };
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
        if is_same(given, token.as_bytes()) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
    }
}

/// Takes as long for a wrong token as for the right one.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}

/// Gives an order to the gateway that runs with a configuration; what it answers, or why it does
/// not.
pub fn send(
    configuration: &Configuration,
    deed: Deed,
    span: &str,
    timeslot: Option<u8>,
) -> Result<String, String> {
    let mut address: SocketAddr = configuration.file.http;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let url = format!("http://{address}/spans/{span}/{}", deed.name());
    let mut request = ureq::post(&url)
        .config()
        .timeout_global(Some(ANSWER_MAX))
        .http_status_as_error(false)
        .build();
    if let Some(timeslot) = timeslot {
        request = request.query("timeslot", timeslot.to_string());
    }
    if let Some(token) = &configuration.control_token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.send_empty().map_err(|error| format!("{url}: {error}"))?;
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    match response.status().as_u16() {
        200 => Ok(said(&text)),
        status => Err(format!("{url}: {status} {text}")),
    }
}

/// What was done, in a line.
fn said(text: &str) -> String {
    let done: Value = serde_json::from_str(text).unwrap_or_default();
    let timeslots = done["timeslots"].as_array().map_or(0, Vec::len);
    let note = done["note"].as_str().map(|note| format!("; {note}")).unwrap_or_default();
    format!("channels: {timeslots}, in calls: {}{note}", done["busy"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("text"))).collect()
    }

    #[test]
    fn without_a_token_only_this_host_gives_orders() {
        let access = Access::with(None, "192.0.2.10".parse().expect("an address"));
        let nothing = HeaderMap::new();
        for here in ["127.0.0.1", "127.3.4.5", "::1", "::ffff:127.0.0.1", "192.0.2.10"] {
            assert_eq!(access.check(here.parse().expect("an address"), &nothing), Ok(()));
        }
        let there = "192.0.2.1".parse().expect("an address");
        assert_eq!(access.check(there, &nothing), Err(StatusCode::FORBIDDEN));
        // A page of somebody else's in a browser of this host.
        let page = headers(&[(header::ORIGIN, "https://example.net")]);
        let here = "127.0.0.1".parse().expect("an address");
        assert_eq!(access.check(here, &page), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn with_a_token_whoever_has_it_gives_orders() {
        let own = "192.0.2.10".parse().expect("an address");
        let access = Access::with(Some("secret".to_owned()), own);
        for from in ["127.0.0.1", "192.0.2.1"] {
            let from = from.parse().expect("an address");
            let with = |value| headers(&[(header::AUTHORIZATION, value)]);
            assert_eq!(access.check(from, &with("Bearer secret")), Ok(()));
            for wrong in ["Bearer secre", "Bearer secret2", "Bearer ", "secret", "Basic secret"] {
                assert_eq!(access.check(from, &with(wrong)), Err(StatusCode::UNAUTHORIZED));
            }
            assert_eq!(access.check(from, &HeaderMap::new()), Err(StatusCode::UNAUTHORIZED));
        }
    }
}
