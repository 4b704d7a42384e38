//! The phone's configuration: YAML in `$XDG_CONFIG_HOME/trunkline/phone.yaml`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use trunkline_number::{CountryProfile, Policy};

use crate::words::Language;

/// What the phone is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// ENUM servers of the gateway address server, asked in this order.
    pub directory: Vec<SocketAddr>,
    /// Domain below which numbers are looked up.
    #[serde(default = "default_apex")]
    pub apex: String,
    /// Our own address; without it the one from which the gateway is reached.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Our own number or name, shown to the called person.
    #[serde(default = "default_identity")]
    pub identity: String,
    /// How numbers are dialled here.
    #[serde(default)]
    pub country: CountryProfile,
    /// Numbers that a page may not ring.
    #[serde(default)]
    pub policy: Policy,
    /// Ask before dialling.
    #[serde(default = "yes")]
    pub ask: bool,
    /// Gateways that linked data may name without a signature.
    #[serde(default)]
    pub trusted_gateways: Vec<String>,
    /// Public keys (base64) of web servers whose signed linked data may name a gateway.
    #[serde(default)]
    pub trusted_keys: Vec<String>,
    /// Transport to the gateway.
    #[serde(default)]
    pub transport: Transport,
    /// Codecs offered, best first.
    #[serde(default = "default_codecs")]
    pub codecs: Vec<CodecName>,
    /// Microphone and loudspeaker.
    #[serde(default)]
    pub sound: Sound,
    /// Delete linked data after reading it: browsers pile it up in the downloads folder.
    #[serde(default = "yes")]
    pub delete_linked_data: bool,
    /// Where the phone registers, so that it can be called.
    #[serde(default)]
    pub account: Option<Account>,
    /// Language of window and terminal, `en` or `ja`; that of the locale without it.
    #[serde(default)]
    pub language: Option<Language>,
    /// Colours of the window.
    #[serde(default)]
    pub theme: Theme,
    /// Log file; a helper application has no terminal. Standard error without it.
    #[serde(default)]
    pub log: Option<PathBuf>,
}

impl Default for Configuration {
    /// A phone that was never configured: it asks a directory on this host.
    fn default() -> Self {
        Self {
            directory: vec![SocketAddr::from(([127, 0, 0, 1], 5300))],
            apex: default_apex(),
            address: None,
            identity: default_identity(),
            country: CountryProfile::default(),
            policy: Policy::default(),
            ask: true,
            trusted_gateways: Vec::new(),
            trusted_keys: Vec::new(),
            transport: Transport::default(),
            codecs: default_codecs(),
            sound: Sound::default(),
            delete_linked_data: true,
            account: None,
            language: None,
            theme: Theme::default(),
            log: None,
        }
    }
}

/// Transport of SIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
}

/// A codec by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecName {
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
    /// Opus, narrow band.
    Opus,
}

/// Microphone and loudspeaker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "use")]
pub enum Sound {
    /// Devices of the system; nothing where there are none.
    Devices(Devices),
    /// WAV files, 8 kHz, 16 bit, one channel.
    Files {
        /// What is said; silence without it, and after its end.
        #[serde(default)]
        speak: Option<PathBuf>,
        /// Where to write what is heard.
        #[serde(default)]
        record: Option<PathBuf>,
    },
    /// Silence.
    Nothing,
}

impl Default for Sound {
    fn default() -> Self {
        Self::Devices(Devices::default())
    }
}

/// Devices by the names that the window shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// The microphone; the system's default without it.
    #[serde(default)]
    pub microphone: Option<String>,
    /// The loudspeaker; the system's default without it.
    #[serde(default)]
    pub loudspeaker: Option<String>,
    /// Take the loudspeaker's echo out of what the microphone hears. Headphones need it not.
    #[serde(default = "yes")]
    pub cancel_echo: bool,
}

impl Default for Devices {
    fn default() -> Self {
        Self { microphone: None, loudspeaker: None, cancel_echo: true }
    }
}

/// An account at a gateway. Its password goes to this gateway alone: calls, and gateways that a page
/// names, never see it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The gateway, `host` or `host:port`.
    pub registrar: String,
    /// The user part there: the number as the gateway has it.
    pub user: String,
    /// The password, for a gateway that asks (digest, RFC 8760).
    #[serde(default)]
    pub password: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("registrar", &self.registrar)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the desktop has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

fn default_apex() -> String {
    "e164.arpa".to_owned()
}

fn default_identity() -> String {
    "anonymous".to_owned()
}

fn default_codecs() -> Vec<CodecName> {
    vec![CodecName::Pcma, CodecName::Pcmu, CodecName::Opus]
}

fn yes() -> bool {
    true
}
