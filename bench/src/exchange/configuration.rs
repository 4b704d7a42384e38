//! The exchange's configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trunkline_isdn::Variant;
use trunkline_number::{CountryProfile, Dialled, E164};
use trunkline_program::{ConfigurationError, Source};

/// The file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Address of the HTTP control interface.
    pub http: SocketAddr,
    /// Folder for the recordings of what telephones hear.
    pub recordings: PathBuf,
    /// The telephone networks.
    pub networks: Vec<Network>,
    /// The telephones.
    pub telephones: Vec<TelephoneEntry>,
}

/// A telephone network and the E1 lines that lead from it to a gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub spans: Vec<SpanEntry>,
}

/// An E1 line as TDM over Ethernet frames in UDP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanEntry {
    /// Name in logs.
    pub name: String,
    /// Our UDP address.
    pub local: SocketAddr,
    /// The gateway's UDP address.
    pub remote: SocketAddr,
    /// National variant, by its name; EuroISDN without it.
    #[serde(default)]
    pub variant: Option<String>,
    /// Every called number is taken as the first of its digits, and more are asked for (overlap
    /// receiving) until it is said that there are none.
    #[serde(default)]
    pub asks_for_digits: bool,
}

impl SpanEntry {
    /// What is spoken on the D channel.
    pub fn variant(&self) -> Variant {
        let named = self.variant.as_deref().and_then(Variant::by_name);
        named.unwrap_or(Variant::EURO_ISDN)
    }
}

/// A telephone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelephoneEntry {
    /// Its number, as people write it.
    pub number: String,
    /// Name of its network.
    pub network: String,
    /// What it does when it is called.
    #[serde(default, with = "serde_yaml::with::singleton_map")]
    pub when_called: WhenCalled,
    /// What is said into it once a call is answered: a WAV file, 8 kHz, 16 bit, one channel.
    #[serde(default)]
    pub speak: Option<PathBuf>,
    /// What it hears is recorded.
    #[serde(default = "yes")]
    pub record: bool,
    /// Hang up so long after the answer, in ms; never without it.
    #[serde(default)]
    pub hang_up_after_ms: Option<u64>,
    /// Digits keyed after the answer.
    #[serde(default)]
    pub keys: Option<Keys>,
}

fn yes() -> bool {
    true
}

/// Digits keyed into a telephone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// When after the answer, in ms.
    pub after_ms: u64,
    /// The digits.
    pub digits: String,
}

/// What a telephone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WhenCalled {
    /// Rings, and is answered so many ms later.
    AnswerAfterMs(u64),
    /// Rings for ever.
    RingOnly,
    /// Is off hook already.
    Busy,
    /// Is refused by the network with this Q.850 cause.
    RefuseWithCause(u8),
}

impl Default for WhenCalled {
    fn default() -> Self {
        Self::AnswerAfterMs(1_500)
    }
}

/// A telephone with its number understood.
#[derive(Clone, Debug)]
pub struct Telephone {
    /// The number.
    pub number: E164,
    /// Index of its network.
    pub network: usize,
    /// What was configured for it.
    pub entry: TelephoneEntry,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file.
    pub file: File,
    /// The telephones.
    pub telephones: Vec<Telephone>,
}

impl Configuration {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let (file, source) = Source::read::<File>(path)?;
        let profile = CountryProfile::japan();
        for (place, network) in file.networks.iter().enumerate() {
            for (item, span) in network.spans.iter().enumerate() {
                if let Some(name) =
                    span.variant.as_deref().filter(|name| Variant::by_name(name).is_none())
                {
                    return Err(source.error(
                        &format!("networks.{place}.spans.{item}.variant"),
                        format!("{name:?} is no variant"),
                        format!("write one of {}", Variant::ALL.map(|known| known.name).join(", ")),
                    ));
                }
            }
        }
        let mut telephones: Vec<Telephone> = Vec::new();
        for (place, entry) in file.telephones.iter().enumerate() {
            let key = format!("telephones.{place}.number");
            let number = match Dialled::parse(&entry.number, &profile) {
                Ok(Dialled::E164(number)) => number,
                Ok(_) => {
                    return Err(source.error(&key, "is a short code", "write a whole number"));
                }
                Err(error) => {
                    return Err(source.error(&key, error.to_string(), "write a whole number"));
                }
            };
            if telephones.iter().any(|known| known.number == number) {
                return Err(source.error(&key, "is used twice", "give each telephone its number"));
            }
            let network =
                file.networks.iter().position(|network| network.name == entry.network).ok_or_else(
                    || {
                        source.error(
                            &format!("telephones.{place}.network"),
                            format!("there is no network {:?}", entry.network),
                            "name one of the networks above",
                        )
                    },
                )?;
            telephones.push(Telephone { number, network, entry: entry.clone() });
        }
        Ok(Self { file, telephones })
    }
}
