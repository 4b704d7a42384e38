//! SRTP with keys in session descriptions (RFC 4568): who gets it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_program::{ConfigurationError, Source};
use trunkline_rtp::srtp::Suite;

/// SRTP with keys in session descriptions (RFC 4568).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Srtp {
    /// What is agreed on with peers that are not listed.
    pub policy: SrtpPolicy,
    /// Suites offered and accepted, best first, as `a=crypto` names them.
    pub suites: Vec<SuiteName>,
    /// Peers with a policy of their own.
    pub peers: Vec<SrtpPeer>,
}

impl Default for Srtp {
    fn default() -> Self {
        let suites = Suite::ALL.into_iter().map(SuiteName).collect();
        Self { policy: SrtpPolicy::default(), suites, peers: Vec::new() }
    }
}

/// What is agreed on with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SrtpPolicy {
    /// Plain RTP; offers of SRTP alone are refused.
    #[default]
    Off,
    /// What the peer offers; plain RTP is offered.
    Accept,
    /// SRTP is offered, and plain RTP if the peer refuses that; what it offers is accepted.
    Prefer,
    /// SRTP only; offers of plain RTP are refused with 488.
    Require,
}

impl SrtpPolicy {
    /// Whether offers of SRTP are accepted.
    pub fn accepts(self) -> bool {
        self != Self::Off
    }

    /// Whether SRTP is offered.
    pub fn offers(self) -> bool {
        matches!(self, Self::Prefer | Self::Require)
    }
}

/// A peer with a policy of its own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SrtpPeer {
    /// The host as it stands in SIP URIs and source addresses.
    pub host: String,
    /// What is agreed on with it.
    pub policy: SrtpPolicy,
}

/// A suite by its name in `a=crypto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteName(pub Suite);

impl Serialize for SuiteName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for SuiteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Suite::from_name(&text).map(Self).ok_or_else(|| {
            let names = Suite::ALL.map(Suite::name).join(", ");
            serde::de::Error::custom(format!("{text:?} is no SRTP suite: write one of {names}"))
        })
    }
}

impl Srtp {
    /// What is agreed on with the peer at `host`.
    pub fn policy_of(&self, host: &str) -> SrtpPolicy {
        let listed = self.peers.iter().find(|peer| peer.host.eq_ignore_ascii_case(host));
        listed.map_or(self.policy, |peer| peer.policy)
    }

    /// The first key that lets SRTP's keys into session descriptions; none if nothing does.
    pub fn key_that_permits(&self) -> Option<String> {
        if self.policy.accepts() {
            return Some("srtp.policy".to_owned());
        }
        let place = self.peers.iter().position(|peer| peer.policy.accepts())?;
        Some(format!("srtp.peers.{place}.policy"))
    }

    pub(super) fn check(&self, source: &Source) -> Result<(), ConfigurationError> {
        if self.suites.is_empty() {
            let remedy = "list suites, or write policy: off";
            return Err(source.error("srtp.suites", "is empty", remedy));
        }
        for (place, suite) in self.suites.iter().enumerate() {
            if self.suites[..place].contains(suite) {
                return Err(source.error(
                    &format!("srtp.suites.{place}"),
                    format!("{} is listed twice", suite.0.name()),
                    "list each suite once, best first",
                ));
            }
        }
        for (place, peer) in self.peers.iter().enumerate() {
            let is_same = |other: &SrtpPeer| other.host.eq_ignore_ascii_case(&peer.host);
            if self.peers[..place].iter().any(is_same) {
                return Err(source.error(
                    &format!("srtp.peers.{place}.host"),
                    format!("{:?} is listed twice", peer.host),
                    "give each peer one policy",
                ));
            }
        }
        Ok(())
    }
}
