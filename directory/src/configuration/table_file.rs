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
//!     gateways:
//!       - { name: b, order: 10, hours: "mo-fr 08:00-18:00", capacity: 20 }
//!       - { name: a, order: 20, weight: 3 }
//!   - prefix: "+81-3-3333-1234"
//!     gateways: [{ name: a }]
//!     rn: "+81-3-9999-0000" # ported to the network of this routing number
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use trunkline_number::CountryProfile;
use trunkline_program::{ConfigurationError, Source};

use crate::gateways::{AUTHORITY_FORMS, Gateway, Transport, check_authority, check_name};
use crate::table::{CHOICES_MAX, Choice, Portability, Route, Snapshot, SnapshotBuilder};
use crate::written::{WrittenChoice, clashes, prefix_digits};

/// A table with its gateways. The routes name gateways by their places here.
#[derive(Debug, Default)]
pub struct Provisioned {
    /// The gateways.
    pub gateways: Vec<Gateway>,
    /// The prefixes.
    pub prefixes: Snapshot,
}

/// Reads a table and checks every entry.
pub(super) fn read(
    path: &Path,
    country: &CountryProfile,
) -> Result<Provisioned, ConfigurationError> {
    let (file, source) = Source::read::<TableFile>(path)?;
    build(file, &source, country)
}

/// Checks a text as if it were a table of Japan.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse(text: &str) -> Result<Provisioned, ConfigurationError> {
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixEntry {
    prefix: Quoted,
    #[serde(default)]
    gateways: Vec<WrittenChoice>,
    /// Routing number of the network that the number was ported to.
    #[serde(default)]
    rn: Option<Quoted>,
    /// A portability database was asked; without `rn` the number is not ported.
    #[serde(default)]
    npdi: bool,
}

fn build(
    file: TableFile,
    source: &Source,
    country: &CountryProfile,
) -> Result<Provisioned, ConfigurationError> {
    let mut builder = SnapshotBuilder::default();
    let mut gateways = Vec::with_capacity(file.gateways.0.len());
    let mut places = HashMap::new();
    for (place, (name, entry)) in (0..).zip(&file.gateways.0) {
        if let Err(problem) = check_authority(&entry.sip) {
            return Err(source.error(&format!("gateways.{name}.sip"), problem, AUTHORITY_FORMS));
        }
        gateways.push(Gateway {
            name: name.clone(),
            authority: entry.sip.clone(),
            transport: entry.transport,
        });
        places.insert(name.as_str(), place);
    }
    let mut first_places = HashMap::new();
    for (index, entry) in file.prefixes.iter().enumerate() {
        let key = |rest: &str| format!("prefixes.{index}.{rest}");
        let prefix = prefix_digits(&entry.prefix.0, country)
            .map_err(|(problem, remedy)| source.error(&key("prefix"), problem, remedy))?;
        let portability = match &entry.rn {
            Some(rn) => {
                let rn = prefix_digits(&rn.0, country)
                    .map_err(|(problem, remedy)| source.error(&key("rn"), problem, remedy))?;
                Some(Portability::Ported(rn))
            }
            None => entry.npdi.then_some(Portability::NotPorted),
        };
        if entry.gateways.is_empty() && portability.is_none() {
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
            let choice_read = choice.read(gateway).map_err(|error| {
                let key = key(&format!("gateways.{place}.hours"));
                source.error(&key, error.to_string(), HOURS_FORMS)
            })?;
            if choices.iter().any(|other| clashes(&choice_read, other)) {
                return Err(source.error(
                    &key(&format!("gateways.{place}.name")),
                    format!("{:?} serves this prefix twice", choice.name),
                    "name each gateway once, or once for each of its hours",
                ));
            }
            choices.push(choice_read);
        }
        if choices.len() > CHOICES_MAX {
            return Err(source.error(
                &key("gateways"),
                format!("{} gateways are more than {CHOICES_MAX}", choices.len()),
                "put the others behind a name with SRV records",
            ));
        }
        if let Some(first) = first_places.insert(prefix, index) {
            let line = source.line_of(&format!("prefixes.{first}.prefix")).unwrap_or_default();
            return Err(source.error(
                &key("prefix"),
                format!("{} (+{prefix}) is there already, in line {line}", entry.prefix.0),
                "keep one entry and list all its gateways there",
            ));
        }
        let route = builder.route(Route::new(choices).with_portability(portability));
        builder.add(prefix, route);
    }
    let whole = |error| source.error("prefixes", format!("{error}"), "");
    Ok(Provisioned { gateways, prefixes: builder.build().map_err(whole)? })
}

const HOURS_FORMS: &str = "write such as \"mo-fr 08:00-18:00\" or \"22:00-06:00\"";

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
        check_name(name).map_err(de::Error::custom)?;
        if !self.0.insert(name.to_ascii_lowercase()) {
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
    use crate::table::Digits;

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
        let table = parse(&text).unwrap();
        assert_eq!(table.prefixes.entries(), 2);
        let uris = |number: &str| {
            let digits = Digits::read(number).unwrap();
            let (prefix, route) = (1..=15)
                .rev()
                .find_map(|length| {
                    let prefix = digits.leading(length);
                    Some((prefix, table.prefixes.entry(prefix)?))
                })
                .unwrap();
            let uris: Vec<String> = route
                .choices()
                .iter()
                .map(|choice| table.gateways[choice.gateway as usize].uri(&digits).to_string())
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
    fn route_has_weight_capacity_hours_and_porting() {
        let text = format!(
            "{GATEWAYS}  - prefix: '03'\n    rn: '+81-3-9999'\n    gateways:\n      \
             - {{ name: a, weight: 7, capacity: 20, hours: 'mo-fr 08:00-18:00' }}\n      \
             - {{ name: a, hours: '18:00-20:00' }}\n  \
             - prefix: '0469'\n    npdi: true\n"
        );
        let table = parse(&text).unwrap();
        let entry = |text| table.prefixes.entry(Digits::read(text).unwrap()).unwrap();
        let route = entry("813");
        assert_eq!(route.portability(), Digits::read("8139999").map(Portability::Ported));
        let first = route.choices()[0];
        assert_eq!((first.weight, first.capacity), (7, std::num::NonZeroU32::new(20)));
        assert_eq!(first.hours.unwrap().to_string(), "mo-fr 08:00-18:00");
        assert_eq!(route.choices()[1].gateway, 0);
        assert_eq!(entry("81469").portability(), Some(Portability::NotPorted));
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
            (format!("- prefix: '03'\n  {a}\n  rn: '9999'\n"), 7, "neither + nor"),
            (
                "- prefix: '03'\n  gateways: [{ name: a, hours: 'x' }]\n".to_owned(),
                6,
                "no hours of the week",
            ),
            (
                "- prefix: '03'\n  gateways: [{ name: a, hours: '08:00-09:00' }, { name: a }]\n"
                    .to_owned(),
                6,
                "twice",
            ),
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
            ("  a: { sip: gw }\n  A: { sip: gw }\n", 3, "twice"),
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
        fn any_file_is_read_or_refused(text in "(\\PC|\n){0,200}") {
            let _ = parse(&text);
        }
    }
}
