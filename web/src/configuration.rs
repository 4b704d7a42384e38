//! What a site is told: YAML, checked whole before a socket opens.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trunkline_number::{
    CountryProfile, Dialled, E164, LinkedData, NumberError, Policy, SigningKey,
};
use trunkline_program::{ConfigurationError, Source};

use crate::calls::{CallSettings, Calls};
use crate::catalogue::{Catalogue, Offer, file_stem};
use crate::key::read_key;
use crate::language::{Bilingual, Language};

/// The configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Address and port of the pages.
    pub listen: SocketAddr,
    /// Name of the telephone program in the linked data.
    #[serde(default = "default_application")]
    pub application: String,
    /// Ed25519 key (PKCS#8) that signs linked data; relative to the configuration file. Without
    /// it, linked data is not signed.
    #[serde(default)]
    pub signing_key: Option<PathBuf>,
    /// How long linked data is valid after the click.
    #[serde(default = "default_link_lifetime_s")]
    pub link_lifetime_s: u64,
    /// The company on the page.
    pub site: Company,
    /// The numbers on the page, in its order.
    pub numbers: Vec<ListedNumber>,
    /// Further numbers that links may be made for, by prefix.
    #[serde(default)]
    pub prefixes: Vec<OfferedPrefix>,
    /// How numbers are written in the site's country.
    #[serde(default)]
    pub country: CountryProfile,
    /// Numbers that are never linked to.
    #[serde(default)]
    pub policy: Policy,
    /// Calls from within the page; without it numbers are links for telephone programs only.
    #[serde(default)]
    pub calls: Option<CallSettings>,
}

/// The company on the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    /// Its name.
    pub name: Bilingual,
    /// One sentence below the name.
    #[serde(default)]
    pub lead: Option<Bilingual>,
    /// Its postal address.
    #[serde(default)]
    pub address: Option<Bilingual>,
    /// The language for readers who ask for neither.
    #[serde(default)]
    pub default_language: Language,
}

/// A number on the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedNumber {
    /// The number as the page shows it.
    pub number: String,
    /// What answers there.
    pub label: Bilingual,
    /// A line below the label, such as the hours.
    #[serde(default)]
    pub note: Option<Bilingual>,
    /// The gateway that serves it: host or address, with an optional port.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// Numbers under one prefix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferedPrefix {
    /// International prefix, "+813".
    pub prefix: String,
    /// The gateway that serves it: host or address, with an optional port.
    #[serde(default)]
    pub gateway: Option<String>,
}

fn default_application() -> String {
    "trunkline-phone".to_owned()
}

fn default_link_lifetime_s() -> u64 {
    300
}

/// A configuration that was found good, with what it refers to.
#[derive(Debug)]
pub struct Site {
    /// Address and port of the pages.
    pub listen: SocketAddr,
    /// Name of the telephone program in the linked data.
    pub application: String,
    /// The key that signs linked data.
    pub signing_key: Option<SigningKey>,
    /// How long linked data is valid after the click.
    pub link_lifetime_s: u64,
    /// The company on the page.
    pub company: Company,
    /// The numbers.
    pub catalogue: Catalogue,
    /// Calls from within the page.
    pub calls: Option<Calls>,
}

/// A link that lives longer than a day is a standing permission.
const LINK_LIFETIME_MAX_S: u64 = 86_400;
/// What a page can show and a person can read.
const LISTED_MAX: usize = 500;

impl Site {
    /// Reads a configuration file and checks it whole.
    ///
    /// # Errors
    /// The first thing wrong: file, line, key, and what to do.
    pub fn read(path: &Path) -> Result<Site, ConfigurationError> {
        let (configuration, source) = Source::read::<Configuration>(path)?;
        Site::check(configuration, &source)
    }

    fn check(configuration: Configuration, source: &Source) -> Result<Site, ConfigurationError> {
        let Configuration { country, policy, .. } = &configuration;
        if !(1..=LINK_LIFETIME_MAX_S).contains(&configuration.link_lifetime_s) {
            return Err(source.error(
                "link_lifetime_s",
                format!("{} seconds", configuration.link_lifetime_s),
                format!("give 1 to {LINK_LIFETIME_MAX_S} seconds"),
            ));
        }
        LinkedData::new(&configuration.application, "0", None, None).map_err(|error| {
            source.error("application", error.to_string(), "give the telephone program's name")
        })?;
        if configuration.numbers.is_empty() || configuration.numbers.len() > LISTED_MAX {
            return Err(source.error(
                "numbers",
                format!("has {} numbers", configuration.numbers.len()),
                format!("list 1 to {LISTED_MAX} numbers; a larger plan goes to prefixes"),
            ));
        }
        let mut first_place = HashMap::new();
        let mut listed = Vec::with_capacity(configuration.numbers.len());
        for (place, number) in configuration.numbers.iter().enumerate() {
            let key = format!("numbers.{place}.number");
            let dialled = Dialled::parse(&number.number, country).map_err(|error| {
                source.error(&key, error.to_string(), "write it as the page is to show it")
            })?;
            policy.check(&dialled).map_err(|refusal| {
                source.error(&key, refusal.to_string(), "take it out, or change the policy")
            })?;
            if let Some(first) = first_place.insert(dialled.clone(), place) {
                return Err(source.error(
                    &key,
                    format!("is the same number as numbers.{first}.number"),
                    "list each number once",
                ));
            }
            check_gateway(number.gateway.as_deref(), &format!("numbers.{place}"), source)?;
            listed.push(Offer {
                file_stem: file_stem(&number.number, &dialled),
                number: dialled,
                written: number.number.clone(),
                label: Some(number.label.clone()),
                note: number.note.clone(),
                gateway: number.gateway.clone(),
            });
        }
        let mut prefixes = Vec::with_capacity(configuration.prefixes.len());
        for (place, prefix) in configuration.prefixes.iter().enumerate() {
            let key = format!("prefixes.{place}.prefix");
            let digits: E164 = prefix.prefix.parse().map_err(|error: NumberError| {
                source.error(&key, error.to_string(), "write an international prefix: \"+813\"")
            })?;
            check_gateway(prefix.gateway.as_deref(), &format!("prefixes.{place}"), source)?;
            prefixes.push((digits, prefix.gateway.clone()));
        }
        let signing_key = match &configuration.signing_key {
            Some(file) => {
                let file = source.path().parent().unwrap_or(Path::new("")).join(file);
                Some(read_key(&file).map_err(|error| {
                    source.error(
                        "signing_key",
                        error.to_string(),
                        format!("make one: trunkline-web key generate {}", file.display()),
                    )
                })?)
            }
            None => None,
        };
        let calls = configuration.calls.as_ref();
        let calls = calls.map(|calls| Calls::check(calls, source)).transpose()?;
        if calls.is_some() && signing_key.is_none() {
            return Err(source.error(
                "calls",
                "needs a signing_key: gateways believe signed tokens only",
                "make one: trunkline-web key generate FILE",
            ));
        }
        Ok(Site {
            calls,
            listen: configuration.listen,
            application: configuration.application,
            signing_key,
            link_lifetime_s: configuration.link_lifetime_s,
            company: configuration.site,
            catalogue: Catalogue::new(
                configuration.country,
                configuration.policy,
                listed,
                prefixes,
            ),
        })
    }
}

fn check_gateway(
    gateway: Option<&str>,
    entry: &str,
    source: &Source,
) -> Result<(), ConfigurationError> {
    LinkedData::new("a", "0", gateway, None).map(|_| ()).map_err(|error| {
        source.error(
            &format!("{entry}.gateway"),
            error.to_string(),
            "write a host name or address, with a port if it is not 5060: 127.0.0.10:5060",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
listen: 127.0.0.1:8080
site:
  name: { ja: 会社, en: Company }
numbers:
  - number: 03-3333-1234
    label: { ja: 本社, en: Head office }
    gateway: 127.0.0.10:5060
  - number: 0469-59-5678
    label: { ja: 工場, en: Works }
";

    fn check(text: &str) -> Result<Site, ConfigurationError> {
        let (configuration, source) =
            Source::parse::<Configuration>(Path::new("web.yaml"), text.to_owned())?;
        Site::check(configuration, &source)
    }

    /// Replaces one piece of the good text and tells the line and words of the refusal.
    fn refused(from: &str, to: &str) -> (Option<usize>, String) {
        assert!(GOOD.contains(from), "{from}");
        let error = check(&GOOD.replace(from, to)).expect_err(to);
        (error.line, error.to_string())
    }

    #[test]
    fn a_small_configuration_is_complete() {
        let site = check(GOOD).unwrap();
        assert_eq!(site.application, "trunkline-phone");
        assert_eq!(site.catalogue.listed()[0].number.to_string(), "+81333331234");
        assert_eq!(site.catalogue.listed()[0].file_stem, "03-3333-1234");
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_remedy() {
        for (from, to, line, words) in [
            ("listen", "lisen", 1, "lisen"),
            ("127.0.0.1:8080", "localhost", 1, "listen"),
            ("    gateway", "    gatway", 7, "gatway"),
            ("03-3333-1234", "03-3333-12a4", 5, "'a'"),
            ("03-3333-1234", "'110'", 5, "emergency"),
            ("0469-59-5678", "0990-59-5678", 8, "premium"),
            ("0469-59-5678", "+81 3 3333 1234", 8, "numbers.0.number"),
            ("127.0.0.10:5060", "gw;lr", 7, "gateway"),
        ] {
            let (found, text) = refused(from, to);
            assert_eq!(found, Some(line), "{to}: {text}");
            assert!(text.contains(words), "{to}: {text}");
        }
        for (added, words) in [
            ("link_lifetime_s: 0\n", "link_lifetime_s"),
            ("application: --help\n", "application"),
            ("signing_key: /nowhere/at/all.key\n", "trunkline-web key generate"),
            ("prefixes: [{ prefix: '03' }]\n", "prefixes.0.prefix"),
            ("policy: { premium: ['0990'] }\n", "premium"),
            ("country: { country_code: '0' }\n", "country_code"),
        ] {
            let error = check(&format!("{GOOD}{added}")).expect_err(added);
            assert!(error.to_string().contains(words), "{added}: {error}");
            assert!(error.line.is_some(), "{added}: {error}");
        }
    }
}
