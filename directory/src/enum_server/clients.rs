//! Who may ask: the networks of clients, and the domains that each may see.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Rules by network; of several that hold the smallest network counts. Without rules everybody may
/// ask for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Smaller networks first.
    rules: Vec<ClientRule>,
}

/// What the clients of a network may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// Their network.
    pub network: Network,
    /// The domains, by their place in the zone.
    pub sees: Sees,
}

/// Domains that a client may ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sees {
    /// None: it is refused.
    Nothing,
    /// All.
    Everything,
    /// Those at these places of the zone's apexes.
    Apexes(Vec<usize>),
}

impl Clients {
    /// Rules in any order.
    pub fn new(mut rules: Vec<ClientRule>) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.network.bits));
        Self { rules }
    }

    /// What a client sees.
    pub fn sees(&self, source: IpAddr) -> &Sees {
        if self.rules.is_empty() {
            return &Sees::Everything;
        }
        let source = source.to_canonical();
        let rule = self.rules.iter().find(|rule| rule.network.contains(source));
        rule.map_or(&Sees::Nothing, |rule| &rule.sees)
    }
}

impl Sees {
    /// Whether the apex at a place is among them.
    pub fn apex(&self, place: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Apexes(places) => places.contains(&place),
        }
    }
}

/// A network of clients: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// A network that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no network")]
pub struct BadNetwork {
    /// What was given.
    pub text: String,
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let read = || {
            let (address, bits) = match text.split_once('/') {
                Some((address, bits)) => (address, Some(bits)),
                None => (text, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
            let network = Self { address, bits };
            // Bits behind the network's would be a slip of the pen.
            let zero = match address {
                IpAddr::V4(address) => {
                    address.to_bits().checked_shl(u32::from(bits)).unwrap_or(0) == 0
                }
                IpAddr::V6(address) => {
                    address.to_bits().checked_shl(u32::from(bits)).unwrap_or(0) == 0
                }
            };
            (bits <= most && zero).then_some(network)
        };
        read().ok_or_else(|| BadNetwork { text: text.to_owned() })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn smallest_network_decides() {
        let rule = |text, sees| ClientRule { network: network(text), sees };
        let clients = Clients::new(vec![
            rule("10.0.0.0/8", Sees::Everything),
            rule("10.6.0.0/16", Sees::Nothing),
            rule("10.6.6.6", Sees::Apexes(vec![1])),
            rule("2001:db8::/32", Sees::Everything),
        ]);
        for (source, first, second) in [
            ("10.1.2.3", true, true),
            ("10.6.1.1", false, false),
            ("10.6.6.6", false, true),
            ("::ffff:10.1.2.3", true, true),
            ("192.0.2.1", false, false),
            ("2001:db8:1::1", true, true),
            ("2001:db9::1", false, false),
        ] {
            let sees = clients.sees(address(source));
            assert_eq!((sees.apex(0), sees.apex(1)), (first, second), "{source}");
        }
        assert!(Clients::default().sees(address("192.0.2.1")).apex(0));
    }

    #[test]
    fn every_network_is_whole() {
        assert!(network("0.0.0.0/0").contains(address("255.1.2.3")));
        assert!(network("::/0").contains(address("ffff::1")));
        assert!(!network("::/0").contains(address("1.2.3.4")));
        for text in
            ["10.0.0.1/8", "10.0.0.0/33", "::1/127", "x", "10.0.0.0/", "10.0.0.0/-1", "::/129"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
