//! The table as an operator writes it: gateways by name, and which of them serve a prefix.
//!
//! ```yaml
//! gateways:
//!   a: { sip: 127.0.0.10:5060 }
//!   b: { sip: gw-b.example.net, transport: tcp }
//! prefixes:
//!   - prefix: "03"          # or "+813"
//!     gateways: [{ name: a }]
//!   - prefix: "0469"
//!     gateways: [{ name: b, order: 10 }, { name: a, order: 20 }]
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use trunkline_number::{CountryProfile, E164};
use trunkline_program::{ConfigurationError, Source};

use crate::table::{Choice, Digits, Gateway, Route, Snapshot, SnapshotBuilder};

/// Reads a table and checks every entry.
pub(super) fn read(path: &Path, country: &CountryProfile) -> Result<Snapshot, ConfigurationError> {
    let (file, source) = Source::read::<TableFile>(path)?;
    build(file, &source, country)
}

/// Checks a text as if it were a table of Japan.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse(text: &str) -> Result<Snapshot, ConfigurationError> {
    let (file, source) = Source::parse(Path::new("table.yaml"), text.to_owned())?;
    build(file, &source, &CountryProfile::japan())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    gateways: Named<GatewayEntry>,
    prefixes: Vec<PrefixEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayEntry {
    /// Host, or host and port, of its SIP side.
    sip: String,
    #[serde(default)]
    transport: Transport,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    #[default]
    Udp,
    Tcp,
    Tls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixEntry {
    prefix: Quoted,
    gateways: Vec<ChoiceEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceEntry {
    name: String,
    #[serde(default = "default_order")]
    order: u16,
    #[serde(default = "default_order")]
    preference: u16,
}

fn default_order() -> u16 {
    10
}

fn build(
    file: TableFile,
    source: &Source,
    country: &CountryProfile,
) -> Result<Snapshot, ConfigurationError> {
    let mut builder = SnapshotBuilder::default();
    let mut places = HashMap::new();
    for (name, entry) in &file.gateways.0 {
        if let Err((problem, remedy)) = check_authority(&entry.sip) {
            return Err(source.error(&format!("gateways.{name}.sip"), problem, remedy));
        }
        let place = builder.add_gateway(Gateway {
            name: name.clone(),
            authority: entry.sip.clone(),
            parameters: match entry.transport {
                // RFC 3261 §19.1.1: UDP is what a URI without the parameter means.
                Transport::Udp => "",
                Transport::Tcp => ";transport=tcp",
                Transport::Tls => ";transport=tls",
            },
        });
        places.insert(name.as_str(), place);
    }
    let mut first_places = HashMap::new();
    for (index, entry) in file.prefixes.iter().enumerate() {
        let key = |rest: &str| format!("prefixes.{index}.{rest}");
        let prefix = prefix_digits(&entry.prefix.0, country)
            .map_err(|(problem, remedy)| source.error(&key("prefix"), problem, remedy))?;
        if entry.gateways.is_empty() {
            return Err(source.error(
                &key("gateways"),
                format!("prefix {} has no gateway", entry.prefix.0),
                "name at least one, or take the prefix out",
            ));
        }
        let mut choices: Vec<Choice> = Vec::with_capacity(entry.gateways.len());
        for (place, choice) in entry.gateways.iter().enumerate() {
            let Some(&gateway) = places.get(choice.name.as_str()) else {
                let known: Vec<&str> =
                    file.gateways.0.iter().take(8).map(|(name, _)| name.as_str()).collect();
                return Err(source.error(
                    &key(&format!("gateways.{place}.name")),
                    format!("{:?} is not among the gateways", choice.name),
                    format!("define it under gateways, or use one of: {}", known.join(", ")),
                ));
            };
            if choices.iter().any(|other| other.gateway == gateway) {
                return Err(source.error(
                    &key(&format!("gateways.{place}.name")),
                    format!("{:?} serves this prefix twice", choice.name),
                    "name each gateway once",
                ));
            }
            choices.push(Choice { gateway, order: choice.order, preference: choice.preference });
        }
        if choices.len() > CHOICES_MAX {
            return Err(source.error(
                &key("gateways"),
                format!("{} gateways are more than {CHOICES_MAX}", choices.len()),
                "put the others behind a name with SRV records",
            ));
        }
        if !builder.add_prefix(prefix, Route::new(choices)) {
            let first: &usize = &first_places[&prefix];
            let line = source.line_of(&format!("prefixes.{first}.prefix")).unwrap_or_default();
            return Err(source.error(
                &key("prefix"),
                format!("{} (+{prefix}) is there already, in line {line}", entry.prefix.0),
                "keep one entry and list all its gateways there",
            ));
        }
        first_places.insert(prefix, index);
    }
    Ok(builder.build())
}

/// A question over TCP must be answerable whatever the table says, and callers try no more.
const CHOICES_MAX: usize = 32;

/// Digits of `+813`, or of `03` by the country's rules.
fn prefix_digits(
    written: &str,
    country: &CountryProfile,
) -> Result<Digits, (String, &'static str)> {
    const FORMS: &str = "write it from the country code, \"+813\", or as an area code, \"03\"";
    let text: String = written.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits = match text.strip_prefix('+') {
        Some(digits) => digits.to_owned(),
        None => {
            if let Some(code) =
                country.international_prefixes.iter().find(|code| text.starts_with(code.as_str()))
            {
                return Err((
                    format!("{written} begins with {code}, what is dialled abroad"),
                    FORMS,
                ));
            }
            match text.strip_prefix(country.trunk_prefix.as_str()) {
                Some(national) => format!("{}{national}", country.country_code),
                None => return Err((format!("{written} begins with neither + nor 0"), FORMS)),
            }
        }
    };
    if let Some(found) = digits.chars().find(|c| !c.is_ascii_digit()) {
        return Err((format!("{written} contains {found:?}, which is no digit"), FORMS));
    }
    let double_trunk = format!("{}0", country.country_code);
    if digits.is_empty() || digits == country.country_code && !text.starts_with('+') {
        return Err((format!("{written:?} has no digits to match"), FORMS));
    }
    if digits.starts_with('0') {
        return Err((format!("{written}: no country code begins with 0"), FORMS));
    }
    if country.trunk_prefix == "0" && digits.starts_with(&double_trunk) {
        return Err((format!("{written}: the 0 is not dialled after the country code"), FORMS));
    }
    Digits::read(&digits)
        .ok_or_else(|| (format!("{written} has more than {} digits", E164::MAX_DIGITS), FORMS))
}

/// Host and port as they may stand in a SIP URI (RFC 3261 §25.1, hostport).
fn check_authority(text: &str) -> Result<(), (String, &'static str)> {
    const FORMS: &str = "write host or host:port, such as 127.0.0.10:5060 or gw-a.example.net";
    let wrong = |why: &str| Err((format!("{text:?} {why}"), FORMS));
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

const HOST_MAX_OCTETS: usize = 180;

/// A text that YAML would take for a number without quotes, losing zeros.
#[derive(Debug)]
struct Quoted(String);

impl<'de> Deserialize<'de> for Quoted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Quoted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a prefix in quotes, such as \"+813\" or \"03\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quoted, E> {
                Ok(Quoted(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A map in the order of the file, each key once.
#[derive(Debug)]
struct Named<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("gateways by name, such as a: { sip: 127.0.0.10:5060 }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                let mut names = HashSet::new();
                while let Some(name) = map.next_key_seed(NewName(&mut names))? {
                    entries.push((name, map.next_value()?));
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// A gateway's name that is not among those before it. A seed, so that a mistake has the line of
/// the name rather than that of the map.
struct NewName<'a>(&'a mut HashSet<String>);

impl<'de> DeserializeSeed<'de> for NewName<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewName<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a gateway")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|o| o.is_ascii_alphanumeric() || b"-_".contains(&o));
        if !is_name {
            return Err(de::Error::custom(format!(
                "{name:?} is no name of a gateway: use up to 64 letters, digits, - and _"
            )));
        }
        if !self.0.insert(name.to_owned()) {
            return Err(de::Error::custom(format!(
                "gateway {name:?} is defined twice: give each its own name"
            )));
        }
        Ok(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::Found;

    const GATEWAYS: &str = "\
gateways:
  a: { sip: 127.0.0.10:5060 }
  b: { sip: gw-b.example.net, transport: tcp }
prefixes:
";

    #[test]
    fn table_of_the_patent_is_read_with_area_codes() {
        let text = format!(
            "{GATEWAYS}  - prefix: '03'\n    gateways: [{{ name: a }}]\n  \
             - prefix: \"+81-469\"\n    gateways: [{{ name: a, order: 20 }}, {{ name: b }}]\n"
        );
        let snapshot = parse(&text).unwrap();
        assert_eq!(snapshot.entries(), 2);
        let uris = |number: &str| {
            let digits = Digits::read(number).unwrap();
            let Found::Route { prefix, route } = snapshot.find(digits) else {
                panic!("{number} is unknown");
            };
            let uris: Vec<String> = route
                .choices()
                .iter()
                .map(|choice| snapshot.gateway(choice).uri(&digits).to_string())
                .collect();
            (prefix.to_string(), uris)
        };
        assert_eq!(
            uris("81333331234"),
            ("813".into(), vec!["sip:+81333331234@127.0.0.10:5060".into()])
        );
        assert_eq!(
            uris("81469595678"),
            (
                "81469".into(),
                vec![
                    "sip:+81469595678@gw-b.example.net;transport=tcp".into(),
                    "sip:+81469595678@127.0.0.10:5060".into()
                ]
            )
        );
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let a = "gateways: [{ name: a }]";
        for (entries, line, reason) in [
            (format!("- prefix: '03'\n  {a}\n- prefix: '+813'\n  {a}\n"), 7, "in line 5"),
            ("- prefix: '03'\n  gateways:\n  - name: c\n".to_owned(), 7, "\"c\""),
            (format!("- prefix: '0x3'\n  {a}\n"), 5, "'x'"),
            (format!("- prefix: '813'\n  {a}\n"), 5, "neither + nor"),
            (format!("- prefix: '+8103'\n  {a}\n"), 5, "not dialled"),
            (format!("- prefix: '+03'\n  {a}\n"), 5, "no country code"),
            (format!("- prefix: '01081'\n  {a}\n"), 5, "abroad"),
            (format!("- prefix: '+'\n  {a}\n"), 5, "no digits"),
            (format!("- prefix: '0'\n  {a}\n"), 5, "no digits"),
            (format!("- prefix: '+1234567890123456'\n  {a}\n"), 5, "more than 15"),
            ("- prefix: '03'\n  gateways: []\n".to_owned(), 6, "no gateway"),
            ("- prefix: '03'\n  gateways: [{ name: a }, { name: a }]\n".to_owned(), 6, "twice"),
            (format!("- prefix: +813\n  {a}\n"), 5, "in quotes"),
            (format!("- prefix: '03'\n  {a}\n  gatway: x\n"), 7, "gatway"),
            ("- prefix: '03'\n  gateways: [{ name: a, order: 70000 }]\n".to_owned(), 6, "70000"),
        ] {
            let error = parse(&format!("{GATEWAYS}{entries}")).unwrap_err();
            assert_eq!(error.line, Some(line), "{entries}{error}");
            assert!(error.to_string().contains(reason), "{entries}{error}");
        }
    }

    #[test]
    fn gateways_that_calls_could_not_reach_are_refused() {
        for (gateways, line, reason) in [
            ("  a: { sip: 'x!y' }\n", 2, "no host"),
            ("  a: { sip: 'a@b' }\n", 2, "no host"),
            ("  a:\n    sip: ''\n", 3, "no host"),
            ("  a: { sip: 'gw:0' }\n", 2, "no port"),
            ("  a: { sip: 'gw:' }\n", 2, "no port"),
            ("  a: { sip: '[::1' }\n", 2, "IPv6"),
            ("  a: { sip: '[::1]x' }\n", 2, "no port"),
            ("  a: { sip: gw }\n  a: { sip: gw }\n", 3, "twice"),
            ("  'a b': { sip: gw }\n", 2, "no name"),
            ("  a: { sip: gw, transport: sctp }\n", 2, "sctp"),
        ] {
            let error = parse(&format!("gateways:\n{gateways}prefixes: []\n")).unwrap_err();
            assert!(error.to_string().contains(reason), "{gateways}{error}");
            assert_eq!(error.line, Some(line), "{gateways}{error}");
        }
        for sip in ["'[::1]'", "'[2001:db8::1]:5070'", "gw", "10.0.0.1:5060"] {
            parse(&format!("gateways:\n  a: {{ sip: {sip} }}\nprefixes: []\n")).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_prefix_is_read_or_refused(text in "\\PC{0,20}|[+0-9 -]{0,20}") {
            if let Ok(digits) = prefix_digits(&text, &CountryProfile::japan()) {
                prop_assert!(digits.length() > 0);
            }
        }

        #[test]
        fn any_file_is_read_or_refused(text in "(\\PC|\n){0,200}") {
            let _ = parse(&text);
        }
    }
}
