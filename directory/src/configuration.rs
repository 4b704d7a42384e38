//! The daemon's configuration and its table: YAML, checked whole before anything changes.

mod shared_store;
mod table_file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::base::Name;
use serde::Deserialize;
use trunkline_number::CountryProfile;
use trunkline_program::http::Tls;
use trunkline_program::{ConfigurationError, Source};

use crate::enum_server::{BadNetwork, ClientRule, Clients, CookieSecrets, Network, Sees, Zone};
use crate::http::{Scope, Token, Tokens};

pub use shared_store::EtcdEntry;
pub use table_file::Provisioned;

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
    /// Addresses of the SIP redirect server, each for UDP and TCP; none without it.
    #[serde(default)]
    pub sip: Vec<SocketAddr>,
    /// Domains below which numbers are answered.
    #[serde(default = "default_apexes")]
    pub apexes: Vec<String>,
    /// Domain below which gateways have names that answers carry instead of addresses; none for
    /// addresses.
    #[serde(default)]
    pub gateway_domain: Option<String>,
    /// How long an answer may be kept, in seconds.
    #[serde(default = "default_ttl_s")]
    pub ttl_s: u32,
    /// How long "unknown number" may be kept, in seconds.
    #[serde(default = "default_negative_ttl_s")]
    pub negative_ttl_s: u32,
    /// How long an answer may be kept that names gateways which come and go, in seconds.
    #[serde(default = "default_live_ttl_s")]
    pub live_ttl_s: u32,
    /// Name of this server in SOA and NS records.
    #[serde(default = "default_server_name")]
    pub server_name: String,
    /// Mailbox of the operator in SOA records, as a domain name (RFC 1035 §8).
    #[serde(default = "default_contact")]
    pub contact: String,
    /// The table's file; a relative path starts at the folder of this file. Either this or `store`.
    #[serde(default)]
    pub table: Option<PathBuf>,
    /// The folder in which the table is kept that operators change over HTTP.
    #[serde(default)]
    pub store: Option<PathBuf>,
    /// Where nodes share their stores; without it the store is this node's alone.
    #[serde(default)]
    pub etcd: Option<EtcdEntry>,
    /// Certificate and key, with which HTTP is HTTPS.
    #[serde(default)]
    pub http_tls: Option<TlsFiles>,
    /// Who may do what over HTTP.
    #[serde(default)]
    pub tokens: Vec<TokenEntry>,
    /// How numbers are written in the table and in look-ups.
    #[serde(default)]
    pub country: CountryProfile,
    /// Local time's distance from UTC, for hours of the day: `"+09:00"`.
    #[serde(default = "default_utc_offset")]
    pub utc_offset: String,
    /// Who may ask; everybody without it.
    #[serde(default)]
    pub clients: Vec<ClientEntry>,
    /// DNS cookies.
    #[serde(default)]
    pub cookies: CookieSettings,
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

/// Files of HTTPS, PEM; relative paths start at the folder of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, and what it is signed by.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A token (`trunkline-directory token` makes one).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Its name, in the log of changes.
    pub name: String,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
    /// What it permits.
    pub scopes: Vec<Scope>,
    /// The only gateway that may register by it.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// What the clients of a network may ask.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientEntry {
    /// Their network: `192.0.2.0/24`. Of several that hold the smallest counts.
    pub network: String,
    /// They are refused.
    #[serde(default)]
    pub deny: bool,
    /// Domains of `apexes` that they see; all without it.
    #[serde(default)]
    pub apexes: Option<Vec<String>>,
}

/// DNS cookies (RFC 7873).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CookieSettings {
    /// Whether they are given and checked.
    pub enabled: bool,
    /// What signs them, 32 hexadecimal digits: the same on all servers of one address. Without it,
    /// a new one at each start.
    pub secret: Option<String>,
    /// What signed them before, and is still believed.
    pub secret_before: Option<String>,
}

impl Default for CookieSettings {
    /// Given and checked.
    fn default() -> Self {
        Self { enabled: true, secret: None, secret_before: None }
    }
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

    /// Reads and checks the table; nothing is provisioned where it is in a store.
    pub fn read_table(&self, source: &Source) -> Result<Provisioned, ConfigurationError> {
        match &self.table {
            Some(path) => table_file::read(&beside(source, path), &self.country),
            None => Ok(Provisioned::default()),
        }
    }

    /// The folder of the store, for a configuration read from `source`.
    pub fn store_path(&self, source: &Source) -> Option<PathBuf> {
        self.store.as_ref().map(|path| beside(source, path))
    }

    /// The tokens that stand in the configuration.
    pub fn tokens(&self, source: &Source) -> Result<Tokens, ConfigurationError> {
        let mut tokens = Tokens::default();
        for (index, entry) in self.tokens.iter().enumerate() {
            if self.tokens[..index].iter().any(|other| other.name == entry.name) {
                return Err(source.error(
                    &format!("tokens.{index}.name"),
                    format!("{:?} is there twice", entry.name),
                    "give each token its own name",
                ));
            }
            let token = Token {
                name: entry.name.clone(),
                scopes: entry.scopes.clone(),
                gateway: entry.gateway.clone(),
                configured: true,
            };
            if !tokens.add(&entry.sha256, token) {
                return Err(source.error(
                    &format!("tokens.{index}.sha256"),
                    "is no SHA-256 of 64 hexadecimal digits",
                    "make a token and its line with: trunkline-directory token",
                ));
            }
        }
        Ok(tokens)
    }

    /// Certificate and key of HTTPS, where there are some.
    pub(crate) fn tls(&self, source: &Source) -> Result<Option<Tls>, ConfigurationError> {
        let Some(TlsFiles { certificate, key }) = &self.http_tls else {
            return Ok(None);
        };
        let read = Tls::read(&beside(source, certificate), &beside(source, key));
        read.map(Some).map_err(|problem| {
            source.error("http_tls", problem, "name a PEM certificate and its PEM key")
        })
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
            .collect::<Result<Vec<_>, ConfigurationError>>()?;
        let gateway_domain = match &self.gateway_domain {
            Some(text) => {
                let domain = name("gateway_domain", text)?;
                let inside = apexes.iter().any(|apex| domain.ends_with(apex));
                if inside || domain.len() > GATEWAY_DOMAIN_MAX_OCTETS {
                    return Err(source.error(
                        "gateway_domain",
                        "is too long, or at or below a domain of numbers",
                        format!("choose another, of at most {GATEWAY_DOMAIN_MAX_OCTETS} octets"),
                    ));
                }
                Some(domain)
            }
            None => None,
        };
        Ok(Zone {
            clients: self.clients(source, &apexes)?,
            apexes,
            gateway_domain,
            ttl_s: self.ttl_s,
            negative_ttl_s: self.negative_ttl_s,
            live_ttl_s: self.live_ttl_s,
            utc_offset_min: utc_offset_min(&self.utc_offset).ok_or_else(|| {
                source.error(
                    "utc_offset",
                    format!("{:?} is no distance from UTC", self.utc_offset),
                    "write such as \"+09:00\", in quotes",
                )
            })?,
            cookies: self.cookie_secrets(source)?,
            server_name: name("server_name", &self.server_name)?,
            contact: name("contact", &self.contact)?,
            serial,
        })
    }

    fn clients(
        &self,
        source: &Source,
        apexes: &[Name<Vec<u8>>],
    ) -> Result<Clients, ConfigurationError> {
        if self.clients.len() > CLIENTS_MAX {
            return Err(source.error(
                "clients",
                format!("{} networks are more than {CLIENTS_MAX}", self.clients.len()),
                "take neighbours together",
            ));
        }
        let mut rules: Vec<ClientRule> = Vec::with_capacity(self.clients.len());
        for (index, entry) in self.clients.iter().enumerate() {
            let key = |rest: &str| format!("clients.{index}.{rest}");
            let network: Network = entry.network.parse().map_err(|error: BadNetwork| {
                let remedy = "write such as 192.0.2.0/24 or 2001:db8::/32";
                source.error(&key("network"), error.to_string(), remedy)
            })?;
            if rules.iter().any(|rule| rule.network == network) {
                let problem = format!("{network} is there twice");
                return Err(source.error(&key("network"), problem, "keep one of them"));
            }
            let sees = match (&entry.apexes, entry.deny) {
                (_, true) => Sees::Nothing,
                (None, false) => Sees::Everything,
                (Some(names), false) => {
                    let place = |name: &String| {
                        let wanted = name.parse::<Name<Vec<u8>>>().ok();
                        apexes.iter().position(|apex| Some(apex) == wanted.as_ref()).ok_or_else(
                            || {
                                let problem = format!("{name:?} is not among the apexes");
                                source.error(&key("apexes"), problem, "name domains of apexes")
                            },
                        )
                    };
                    Sees::Apexes(names.iter().map(place).collect::<Result<_, _>>()?)
                }
            };
            rules.push(ClientRule { network, sees });
        }
        Ok(Clients::new(rules))
    }

    fn cookie_secrets(&self, source: &Source) -> Result<Option<CookieSecrets>, ConfigurationError> {
        let CookieSettings { enabled, secret, secret_before } = &self.cookies;
        let read = |key: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => read_hex(text).map(Some).ok_or_else(|| {
                source.error(
                    key,
                    "is no secret of 32 hexadecimal digits",
                    "make one with: openssl rand -hex 16",
                )
            }),
        };
        let secret = read("cookies.secret", secret)?;
        let before = read("cookies.secret_before", secret_before)?;
        Ok(enabled.then(|| CookieSecrets { now: secret.unwrap_or_else(own_secret), before }))
    }

    fn check(&self, source: &Source) -> Result<(), ConfigurationError> {
        if self.listen.is_empty() {
            return Err(source.error(
                "listen",
                "names no address, so nobody could ask",
                "write for example listen: [127.0.0.1:5300]",
            ));
        }
        if self.table.is_some() == self.store.is_some() {
            return Err(source.error(
                if self.table.is_some() { "store" } else { "" },
                "the table is either in a file or in a store",
                "write table: table.yaml, or store: and a folder that this program may write",
            ));
        }
        self.tokens(source)?;
        self.replica(source)?;
        if self.apexes.is_empty() {
            return Err(source.error(
                "apexes",
                "names no domain, so every question would be refused",
                "write for example apexes: [e164.arpa]",
            ));
        }
        for (key, ttl_s) in [
            ("ttl_s", self.ttl_s),
            ("negative_ttl_s", self.negative_ttl_s),
            ("live_ttl_s", self.live_ttl_s),
        ] {
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

/// A path that is relative to the folder of the configuration.
fn beside(source: &Source, path: &Path) -> PathBuf {
    source.path().parent().unwrap_or(Path::new("")).join(path)
}

/// The secret of this process, where none is configured: the same after each reload.
fn own_secret() -> [u8; 16] {
    static SECRET: std::sync::OnceLock<[u8; 16]> = std::sync::OnceLock::new();
    *SECRET.get_or_init(rand::random)
}

fn read_hex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    let value = is_hex.then(|| u128::from_str_radix(text, 16).ok())?;
    value.map(u128::to_be_bytes)
}

fn utc_offset_min(text: &str) -> Option<i16> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i16| {
        (text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit()))
            .then(|| text.parse::<i16>().ok())
            .flatten()
            .filter(|number| *number <= most)
    };
    Some(sign * (number(hours, 14)? * 60 + number(minutes, 59)?))
}

/// A network of each query is looked for among these one by one.
const CLIENTS_MAX: usize = 256;

/// With it a gateway's name, the number and the rest of a rule fit into 255 octets.
const GATEWAY_DOMAIN_MAX_OCTETS: usize = 120;

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

fn default_live_ttl_s() -> u32 {
    1
}

fn default_utc_offset() -> String {
    "+09:00".to_owned()
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
            ("table: t\nlive_ttl_s: 99999999\n", "directory.yaml:2: live_ttl_s:"),
            ("table: t\nutc_offset: '9'\n", "directory.yaml:2: utc_offset:"),
            ("table: t\ngateway_domain: gw.e164.arpa\n", "directory.yaml:2: gateway_domain:"),
            ("table: t\ncookies:\n  secret: 'xyz'\n", "directory.yaml:3: cookies.secret:"),
            ("table: t\nclients:\n- network: 10.0.0.1/8\n", "directory.yaml:3: clients.0.network:"),
            (
                "table: t\nclients:\n- network: 10.0.0.0/8\n  apexes: [x.y]\n",
                "directory.yaml:4: clients.0.apexes:",
            ),
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
