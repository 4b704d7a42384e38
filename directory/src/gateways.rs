//! Gateways as answers see them: their addresses, and how they stand at the moment.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A gateway as calls reach it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Its name: up to 63 letters, digits, - and _.
    pub name: String,
    /// Host and port as they stand in a SIP URI: `127.0.0.10:5060`.
    pub authority: String,
    /// How SIP gets there.
    pub transport: Transport,
}

/// Transport of a gateway's SIP side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// Streams.
    Tcp,
    /// Streams, encrypted.
    Tls,
}

impl Transport {
    /// What follows the authority in a URI (RFC 3261 §19.1.1: UDP is what none means).
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
        }
    }
}

impl Gateway {
    /// The SIP URI of a number at this gateway, as RFC 6116 has it in a NAPTR.
    pub fn uri<'a>(&'a self, number: &'a impl fmt::Display) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "sip:+{number}@{}{}", self.authority, self.transport.parameter())
        })
    }

    /// Host, without brackets, and the port if there is one.
    pub fn host_and_port(&self) -> (&str, Option<u16>) {
        let (host, port) = match self.authority.strip_prefix('[') {
            Some(inside) => {
                let (host, behind) = inside.split_once(']').unwrap_or((inside, ""));
                (host, behind.strip_prefix(':'))
            }
            None => match self.authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (self.authority.as_str(), None),
            },
        };
        (host, port.and_then(|port| port.parse().ok()))
    }
}

/// Checks the name of a gateway, which is also a label in DNS.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_name = (1..=63).contains(&name.len())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    if is_name {
        return Ok(());
    }
    Err(format!("{name:?} is no name of a gateway: use up to 63 letters, digits, - and _"))
}

/// Checks host and port as they may stand in a SIP URI (RFC 3261 §25.1, hostport).
///
/// # Errors
/// What is wrong with them.
pub fn check_authority(text: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{text:?} {why}"));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if address.parse::<Ipv6Addr>().is_ok() => {
                ("", rest.strip_prefix(':').or((!rest.is_empty()).then_some("")))
            }
            _ => return wrong("is no IPv6 address in brackets"),
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if !text.starts_with('[') {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        };
        // With it, the number and the rest of the rule must fit into 255 octets.
        if host.len() > HOST_MAX_OCTETS || !host.split('.').all(is_label) {
            return wrong("is no host");
        }
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => wrong("has no port of 1 to 65535 behind the colon"),
    }
}

/// What to write instead of a host and port that are none.
pub const AUTHORITY_FORMS: &str =
    "write host or host:port, such as 127.0.0.10:5060 or gw-a.example.net";

const HOST_MAX_OCTETS: usize = 160;

/// All gateways by their place, and how they stand. Shared: a change copies what is changed.
#[derive(Clone, Debug, Default)]
pub struct Gateways {
    gateways: Arc<Vec<Arc<Gateway>>>,
    /// Names in lower case, as DNS compares them.
    places: Arc<HashMap<String, u32>>,
    states: Arc<Vec<State>>,
}

impl Gateways {
    /// Gateways that are all in service.
    pub fn new(gateways: Vec<Arc<Gateway>>) -> Self {
        let places = gateways
            .iter()
            .zip(0..)
            .map(|(gateway, place)| (gateway.name.to_ascii_lowercase(), place))
            .collect();
        let states = vec![State::default(); gateways.len()];
        Self { gateways: Arc::new(gateways), places: Arc::new(places), states: Arc::new(states) }
    }

    /// The same gateways in other states, by their places.
    pub fn with_states(&self, states: Vec<State>) -> Self {
        Self { states: Arc::new(states), ..self.clone() }
    }

    /// The gateway at a place.
    pub fn gateway(&self, place: u32) -> Option<&Gateway> {
        self.gateways.get(place as usize).map(|gateway| &**gateway)
    }

    /// How the gateway at a place stands; what is not known is dead.
    pub fn state(&self, place: u32) -> &State {
        const UNKNOWN: &State =
            &State { standing: Standing::Dead, leased: false, whole: None, trunk_groups: None };
        self.states.get(place as usize).unwrap_or(UNKNOWN)
    }

    /// Place of a gateway by its name in lower case.
    pub fn place(&self, name: &str) -> Option<u32> {
        self.places.get(name).copied()
    }

    /// Number of gateways, those that are gone included.
    pub fn len(&self) -> usize {
        self.gateways.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }
}

/// How a gateway stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it takes calls at all.
    pub standing: Standing,
    /// It is there only as long as it says so: answers that name it must not be kept.
    pub leased: bool,
    /// All its circuits; none where it has not told.
    pub whole: Option<Circuits>,
    /// Circuits of its trunk groups.
    pub trunk_groups: Option<Arc<[Circuits]>>,
}

/// Whether a gateway takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    #[default]
    InService,
    /// It has no free circuit.
    Full,
    /// All its circuits are in alarm.
    Alarmed,
    /// It takes no new calls, and ends when the last one is over.
    Draining,
    /// It has not been heard of for longer than its lease.
    Dead,
}

impl Standing {
    /// In a word, as in metrics and answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::InService => "in service",
            Self::Full => "full",
            Self::Alarmed => "alarmed",
            Self::Draining => "draining",
            Self::Dead => "dead",
        }
    }

    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::InService, Self::Full, Self::Alarmed, Self::Draining, Self::Dead];
}

/// Circuits of a gateway or of one of its trunk groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circuits {
    /// All.
    pub total: u32,
    /// Free, as last told: in steps, not call by call.
    pub free: u32,
    /// None of them can carry a call.
    pub alarmed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_is_taken_apart_into_host_and_port() {
        let gateway = |authority: &str| Gateway {
            name: "a".into(),
            authority: authority.into(),
            transport: Transport::Tcp,
        };
        for (text, host, port) in [
            ("127.0.0.10:5060", "127.0.0.10", Some(5060)),
            ("gw.example.net", "gw.example.net", None),
            ("[2001:db8::1]:5070", "2001:db8::1", Some(5070)),
            ("[2001:db8::1]", "2001:db8::1", None),
        ] {
            assert_eq!(check_authority(text), Ok(()), "{text}");
            assert_eq!(gateway(text).host_and_port(), (host, port));
        }
        let uri = gateway("gw.example.net").uri(&"81312345678").to_string();
        assert_eq!(uri, "sip:+81312345678@gw.example.net;transport=tcp");
    }

    #[test]
    fn a_gateway_that_nobody_knows_is_dead() {
        assert_eq!(Gateways::default().state(7).standing, Standing::Dead);
    }
}
