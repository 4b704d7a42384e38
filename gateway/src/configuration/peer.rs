//! Switches on the packet side that routes lead over, and what is agreed on with them.

use std::collections::HashMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use trunkline_program::{ConfigurationError, Source};
use trunkline_rtp::codec::Codec;

use super::{CodecName, File, SrtpPolicy, check_codecs};

/// What may be agreed on with whoever is on a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether its media is SRTP.
    pub srtp: SrtpPolicy,
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
}

/// A switch that a route leads over: a SIP URI, `host:port`, or these with terms of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerEntry {
    /// Its SIP URI.
    pub uri: String,
    /// SRTP in calls to it; as under `srtp` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtp: Option<SrtpPolicy>,
    /// Codecs in calls to it, best first; as under `codecs` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codecs: Option<Vec<CodecName>>,
}

impl PeerEntry {
    fn at(text: &str) -> Self {
        let is_scheme = |scheme: &str| {
            text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let uri = match ["sip:", "sips:", "tel:"].into_iter().any(is_scheme) {
            true => text.to_owned(),
            false => format!("sip:{text}"),
        };
        Self { uri, srtp: None, codecs: None }
    }
}

impl<'de> Deserialize<'de> for PeerEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeerVisitor)
    }
}

/// Reads both forms, so that what is wrong in the long one is told by its key.
struct PeerVisitor;

impl<'de> Visitor<'de> for PeerVisitor {
    type Value = PeerEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("host:port, a SIP URI, or { uri: ..., srtp: ..., codecs: [...] }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PeerEntry, E> {
        Ok(PeerEntry::at(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PeerEntry, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            uri: String,
            #[serde(default)]
            srtp: Option<SrtpPolicy>,
            #[serde(default)]
            codecs: Option<Vec<CodecName>>,
        }
        let Long { uri, srtp, codecs } = Long::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PeerEntry { srtp, codecs, ..PeerEntry::at(&uri) })
    }
}

/// The peers of all routes by their URIs: each with one set of terms, wherever it stands.
pub(super) fn peers(
    file: &File,
    source: &Source,
) -> Result<HashMap<String, PeerEntry>, ConfigurationError> {
    let mut peers: HashMap<String, PeerEntry> = HashMap::new();
    for (place, route) in file.routes.iter().enumerate() {
        for (item, peer) in route.peers.iter().enumerate() {
            let key = format!("routes.{place}.peers.{item}");
            if let Some(codecs) = &peer.codecs {
                check_codecs(&format!("{key}.codecs"), codecs, file.rtp.ptime_ms, source)?;
            }
            let known = peers.entry(peer.uri.clone()).or_insert_with(|| peer.clone());
            if known != peer {
                return Err(source.error(
                    &key,
                    format!("{} is listed with another srtp or other codecs as well", peer.uri),
                    "write the same srtp and codecs for it in every route",
                ));
            }
        }
    }
    Ok(peers)
}
