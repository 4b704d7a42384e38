//! The daemon's configuration and its table: YAML, checked whole before anything changes.

mod table_file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::base::Name;
use serde::Deserialize;
use trunkline_number::CountryProfile;
use trunkline_program::{ConfigurationError, Source};

use crate::enum_server::Zone;
use crate::table::Snapshot;

/// What the daemon is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Addresses of the ENUM server, each for UDP and TCP. A host with several addresses names each:
    /// from 0.0.0.0 an answer could leave with another address than was asked.
    #[serde(default = "default_listen")]
    pub listen: Vec<SocketAddr>,
    /// Address of the HTTP listener (/metrics, /healthz, /lookup); none without it.
    #[serde(default)]
    pub http: Option<SocketAddr>,
    /// Domains below which numbers are answered.
    #[serde(default = "default_apexes")]
    pub apexes: Vec<String>,
    /// How long an answer may be kept, in seconds.
    #[serde(default = "default_ttl_s")]
    pub ttl_s: u32,
    /// How long "unknown number" may be kept, in seconds.
    #[serde(default = "default_negative_ttl_s")]
    pub negative_ttl_s: u32,
    /// Name of this server in SOA and NS records.
    #[serde(default = "default_server_name")]
    pub server_name: String,
    /// Mailbox of the operator in SOA records, as a domain name (RFC 1035 §8).
    #[serde(default = "default_contact")]
    pub contact: String,
    /// The table's file; a relative path starts at the folder of this file.
    pub table: PathBuf,
    /// How numbers are written in the table and in look-ups.
    #[serde(default)]
    pub country: CountryProfile,
    /// UDP threads for each address; one a core without it.
    #[serde(default)]
    pub udp_workers: Option<usize>,
    /// Limit of UDP answers to one network.
    #[serde(default)]
    pub response_rate: ResponseRateSettings,
    /// Limits of TCP.
    #[serde(default)]
    pub tcp: TcpSettings,
}

/// Limit of UDP answers to one network (an IPv4 /24 or IPv6 /56), for each UDP thread: a forged
/// source cannot make this server flood somebody.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseRateSettings {
    /// Answers a second; 0 is no limit.
    pub per_second: u32,
    /// Answers that may come at once after silence.
    pub burst: u32,
}

impl Default for ResponseRateSettings {
    /// Far above what one gateway asks at its busiest.
    fn default() -> Self {
        Self { per_second: 5_000, burst: 10_000 }
    }
}

/// Limits of TCP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpSettings {
    /// Connections at once, over all addresses; more are closed at once.
    pub connections: usize,
    /// A connection that asks nothing for so long is closed, in seconds.
    pub idle_s: u64,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self { connections: 256, idle_s: 10 }
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) use table_file::parse as table;

impl Configuration {
    /// Reads and checks a configuration file; the table is not read yet.
    pub fn read(path: &Path) -> Result<(Self, Source), ConfigurationError> {
        let (configuration, source) = Source::read::<Self>(path)?;
        configuration.check(&source)?;
        Ok((configuration, source))
    }

    /// Checks a text as if it were the configuration file.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(text: &str) -> Result<(Self, Source), ConfigurationError> {
        let (configuration, source) =
            Source::parse::<Self>(Path::new("directory.yaml"), text.to_owned())?;
        configuration.check(&source)?;
        Ok((configuration, source))
    }

    /// The path of the table, for a configuration read from `source`.
    pub fn table_path(&self, source: &Source) -> PathBuf {
        source.path().parent().unwrap_or(Path::new("")).join(&self.table)
    }

    /// Reads and checks the table.
    pub fn read_table(&self, source: &Source) -> Result<Snapshot, ConfigurationError> {
        table_file::read(&self.table_path(source), &self.country)
    }

    /// What the ENUM server says besides the table; `serial` tells editions apart in the SOA.
    pub fn zone(&self, source: &Source, serial: u32) -> Result<Zone, ConfigurationError> {
        let name = |key: &str, text: &str| {
            text.parse::<Name<Vec<u8>>>().map_err(|error| {
                source.error(
                    key,
                    format!("{text:?} is not a domain name: {error}"),
                    "write labels of letters, digits and hyphens with dots between",
                )
            })
        };
        let apexes = self
            .apexes
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let apex = name(&format!("apexes.{index}"), text)?;
                // 15 digits and their dots must fit below it (RFC 1035 §2.3.4).
                if apex.len() > NAME_MAX_OCTETS - 2 * 15 {
                    return Err(source.error(
                        &format!("apexes.{index}"),
                        "is too long for a number of 15 digits below it",
                        "choose a shorter domain",
                    ));
                }
                Ok(apex)
            })
            .collect::<Result<_, ConfigurationError>>()?;
        Ok(Zone {
            apexes,
            ttl_s: self.ttl_s,
            negative_ttl_s: self.negative_ttl_s,
            server_name: name("server_name", &self.server_name)?,
            contact: name("contact", &self.contact)?,
            serial,
        })
    }

    fn check(&self, source: &Source) -> Result<(), ConfigurationError> {
        if self.listen.is_empty() {
            return Err(source.error(
                "listen",
                "names no address, so nobody could ask",
                "write for example listen: [127.0.0.1:5300]",
            ));
        }
        if self.apexes.is_empty() {
            return Err(source.error(
                "apexes",
                "names no domain, so every question would be refused",
                "write for example apexes: [e164.arpa]",
            ));
        }
        for (key, ttl_s) in [("ttl_s", self.ttl_s), ("negative_ttl_s", self.negative_ttl_s)] {
            if ttl_s > TTL_MAX_S {
                return Err(source.error(
                    key,
                    format!("{ttl_s} s is longer than {TTL_MAX_S} s"),
                    "choose at most a week: a changed table is not seen sooner",
                ));
            }
        }
        if self.udp_workers.is_some_and(|workers| !(1..=256).contains(&workers)) {
            return Err(source.error(
                "udp_workers",
                "is not 1 to 256",
                "leave it out for one thread a core",
            ));
        }
        if self.response_rate.per_second > 0 && self.response_rate.burst == 0 {
            return Err(source.error(
                "response_rate.burst",
                "0 answers at once is no answer at all",
                "choose at least 1, or per_second: 0 for no limit",
            ));
        }
        if self.tcp.connections == 0 || self.tcp.idle_s == 0 {
            return Err(source.error(
                "tcp",
                "0 connections or 0 s would answer nobody over TCP",
                "choose at least 1 of each",
            ));
        }
        self.zone(source, 0).map(|_| ())
    }
}

/// Longest domain name on the wire (RFC 1035 §2.3.4).
const NAME_MAX_OCTETS: usize = 255;

/// A week.
const TTL_MAX_S: u32 = 7 * 24 * 3600;

fn default_listen() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, 1], 5300))]
}

fn default_apexes() -> Vec<String> {
    vec!["e164.arpa".to_owned()]
}

fn default_ttl_s() -> u32 {
    60
}

fn default_negative_ttl_s() -> u32 {
    5
}

fn default_server_name() -> String {
    "localhost".to_owned()
}

fn default_contact() -> String {
    "hostmaster.localhost".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Configuration, ConfigurationError> {
        Configuration::parse(text).map(|(configuration, _)| configuration)
    }

    #[test]
    fn table_alone_is_enough() {
        let configuration = read("table: table.yaml\n").unwrap();
        assert_eq!(configuration.listen, [SocketAddr::from(([127, 0, 0, 1], 5300))]);
        assert_eq!(configuration.apexes, ["e164.arpa"]);
    }

    #[test]
    fn unusable_values_are_refused_with_file_line_and_key() {
        for (text, start) in [
            ("table: t\nlisten: []\n", "directory.yaml:2: listen:"),
            ("table: t\napexes: []\n", "directory.yaml:2: apexes:"),
            ("table: t\napexes:\n- a.b\n- 'a..b'\n", "directory.yaml:4: apexes.1:"),
            ("table: t\nttl_s: 99999999\n", "directory.yaml:2: ttl_s:"),
            ("table: t\nudp_workers: 0\n", "directory.yaml:2: udp_workers:"),
            ("table: t\nresponse_rate:\n  burst: 0\n", "directory.yaml:3: response_rate.burst:"),
            ("table: t\ntcp: { idle_s: 0 }\n", "directory.yaml:2: tcp:"),
            ("table: t\nserver_name: 'a b..'\n", "directory.yaml:2: server_name:"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
            assert!(error.contains("remedy: "), "{error}");
        }
        let unknown = read("table: t\nlistne: []\n").unwrap_err();
        assert_eq!(unknown.line, Some(2));
        assert!(unknown.problem.contains("listne"), "{unknown}");
    }
}
