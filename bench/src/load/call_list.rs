//! Who sends from where to where.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::LoadError;
use super::protection::LegKeys;

/// The calls of a run, as a relay's driver writes them and the flooder reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallList {
    /// One entry a call.
    pub calls: Vec<Call>,
}

/// One call through the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The party that called.
    pub a: Leg,
    /// The party that was called.
    pub b: Leg,
}

/// One party of a call and what it talks to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leg {
    /// Where the party sends from and receives.
    pub party: SocketAddrV4,
    /// The relay's port for it.
    pub relay: SocketAddrV4,
    /// The keys of SRTP between the two, if they speak that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<LegKeys>,
}

impl Leg {
    /// A leg of plain RTP.
    pub fn plain(party: SocketAddrV4, relay: SocketAddrV4) -> Self {
        Self { party, relay, srtp: None }
    }
}

impl CallList {
    /// Reads a list from a file, or from standard input if it is called `-`.
    ///
    /// # Errors
    /// If it cannot be read, is no call list, or has no calls.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let file = |error| LoadError::File { path: path.to_owned(), error };
        let mut text = String::new();
        if path == Path::new("-") {
            std::io::stdin().read_to_string(&mut text).map_err(file)?;
        } else {
            text = std::fs::read_to_string(path).map_err(file)?;
        }
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a list from JSON; `what` names it in errors.
    ///
    /// # Errors
    /// If it is no call list, or has no calls.
    pub fn parse(text: &str, what: &str) -> Result<Self, LoadError> {
        let list: Self = serde_json::from_str(text)
            .map_err(|error| LoadError::Json { what: what.to_owned(), error })?;
        if list.calls.is_empty() { Err(LoadError::NoCalls) } else { Ok(list) }
    }

    /// The leg of party `index`: A of call 0, B of call 0, A of call 1, …
    pub fn leg(&self, index: usize) -> &Leg {
        let call = &self.calls[index / 2];
        if index.is_multiple_of(2) { &call.a } else { &call.b }
    }

    /// Octets that protection adds to each packet: all legs are of the first one's suite.
    pub fn overhead_octets(&self) -> usize {
        let keys = self.calls.first().and_then(|call| call.a.srtp.as_ref());
        keys.map_or(0, |keys| keys.suite.rtp_overhead_octets())
    }

    /// How many parties there are.
    pub fn parties(&self) -> usize {
        self.calls.len() * 2
    }
}

/// Where the parties of a test sit: each call has its own port pair, spread over a few addresses,
/// A parties on one side and B parties on the other.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Parties {
    /// How many calls.
    #[arg(long)]
    pub calls: usize,
    /// The first address of the A parties.
    #[arg(long, default_value = "127.98.1.1")]
    pub first_a: Ipv4Addr,
    /// The first address of the B parties.
    #[arg(long, default_value = "127.98.2.1")]
    pub first_b: Ipv4Addr,
    /// Over how many addresses the parties of each side are spread.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=250))]
    pub addresses: u32,
    /// The lowest port of a party.
    #[arg(long, default_value_t = 20_000)]
    pub first_port: u16,
}

impl Parties {
    /// Parties A and B of call `index`; none if the ports do not reach that far.
    pub fn of_call(&self, index: usize) -> Option<(SocketAddrV4, SocketAddrV4)> {
        let index = u32::try_from(index).ok()?;
        // Even ports: RTP by custom, the odd one above is for RTCP (RFC 3550 §11).
        let offset = u16::try_from(index / self.addresses).ok()?.checked_mul(2)?;
        let port = self.first_port.checked_add(offset)?;
        let at = |first: Ipv4Addr| {
            let address = u32::from(first).checked_add(index % self.addresses)?;
            Some(SocketAddrV4::new(address.into(), port))
        };
        Some((at(self.first_a)?, at(self.first_b)?))
    }

    /// All parties, by call.
    ///
    /// # Errors
    /// If there are more calls than ports.
    pub fn all(&self) -> Result<Vec<(SocketAddrV4, SocketAddrV4)>, LoadError> {
        (0..self.calls)
            .map(|index| {
                self.of_call(index).ok_or_else(|| LoadError::Argument {
                    name: "--calls",
                    value: self.calls.to_string(),
                    allowed: "there are not so many ports; give more --addresses",
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parties(calls: usize) -> Parties {
        Parties {
            calls,
            first_a: Ipv4Addr::new(10, 98, 1, 1),
            first_b: Ipv4Addr::new(10, 98, 2, 1),
            addresses: 3,
            first_port: 20_000,
        }
    }

    #[test]
    fn every_party_has_an_address_and_port_of_its_own() {
        let all = parties(50).all().unwrap();
        let distinct: std::collections::HashSet<_> =
            all.iter().flat_map(|&(a, b)| [a, b]).collect();
        assert_eq!(distinct.len(), 100);
        assert_eq!(all[4].0, "10.98.1.2:20002".parse().unwrap());
        assert_eq!(all[4].1, "10.98.2.2:20002".parse().unwrap());
    }

    #[test]
    fn more_calls_than_ports_are_refused() {
        assert!(matches!(parties(100_000).all(), Err(LoadError::Argument { name: "--calls", .. })));
    }

    #[test]
    fn a_list_reads_back_as_written_and_parties_alternate() {
        let leg =
            |party: &str, relay: &str| Leg::plain(party.parse().unwrap(), relay.parse().unwrap());
        let list = CallList {
            calls: vec![Call {
                a: leg("10.0.0.1:20000", "10.0.1.1:30000"),
                b: leg("10.0.0.2:20000", "10.0.1.1:30002"),
            }],
        };
        let text = serde_json::to_string(&list).unwrap();
        let read = CallList::parse(&text, "a test").unwrap();
        assert_eq!(read, list);
        assert_eq!(read.parties(), 2);
        assert_eq!(read.leg(1), &list.calls[0].b);
    }

    #[test]
    fn an_empty_or_misspelt_list_is_refused_with_its_name() {
        assert!(matches!(CallList::parse(r#"{"calls":[]}"#, "x"), Err(LoadError::NoCalls)));
        let error = CallList::parse(r#"{"kalls":[]}"#, "list.json").unwrap_err();
        assert!(error.to_string().starts_with("list.json: unknown field `kalls`"), "{error}");
    }
}
