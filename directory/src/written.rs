//! Routes as people and programs write them: gateways by name.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use trunkline_number::{CountryProfile, E164};

use crate::table::{BadHours, CHOICES_MAX, Choice, Digits, Hours, Portability, Route};

/// A route in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenRoute {
    /// Its gateways.
    #[serde(default)]
    pub gateways: Vec<WrittenChoice>,
    /// Routing number of the network that the number was ported to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rn: Option<String>,
    /// A portability database was asked; without `rn` the number is not ported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub npdi: bool,
}

/// A gateway of a route, in YAML and JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenChoice {
    /// Its name.
    pub name: String,
    /// NAPTR order.
    #[serde(default = "default_order")]
    pub order: u16,
    /// NAPTR preference.
    #[serde(default = "default_order")]
    pub preference: u16,
    /// Share of the calls among equals.
    #[serde(default = "default_weight")]
    pub weight: u16,
    /// Circuits that may be busy before it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<NonZeroU32>,
    /// When it is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
}

/// Order and preference where none is written.
pub(crate) fn default_order() -> u16 {
    10
}

/// Weight where none is written.
pub(crate) fn default_weight() -> u16 {
    1
}

/// Why what is written is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoute {
    /// Neither gateways nor what is known of porting.
    #[error("there is no gateway")]
    Empty,
    /// More gateways than an answer holds.
    #[error("{0} gateways are more than {CHOICES_MAX}")]
    TooMany(usize),
    /// A gateway that is not there.
    #[error("there is no gateway {0:?}")]
    Unknown(String),
    /// The same gateway at the same hours.
    #[error("gateway {0:?} is there twice")]
    Twice(String),
    /// Hours that are none.
    #[error(transparent)]
    Hours(#[from] BadHours),
    /// A routing number that is none.
    #[error("rn: {0}")]
    RoutingNumber(String),
}

impl WrittenRoute {
    /// As an operator reads it; the names by `name`.
    pub fn new<'a>(route: &Route, name: impl Fn(u32) -> Option<&'a str>) -> Self {
        let gateways = route.choices().iter().map(|choice| WrittenChoice {
            name: name(choice.gateway).unwrap_or_default().to_owned(),
            order: choice.order,
            preference: choice.preference,
            weight: choice.weight,
            capacity: choice.capacity,
            hours: choice.hours.map(|hours| hours.to_string()),
        });
        Self {
            gateways: gateways.collect(),
            rn: match route.portability() {
                Some(Portability::Ported(rn)) => Some(format!("+{rn}")),
                _ => None,
            },
            npdi: route.portability().is_some(),
        }
    }

    /// Checks it; the gateways' places by `place`.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(
        &self,
        country: &CountryProfile,
        place: impl Fn(&str) -> Option<u32>,
    ) -> Result<Route, BadRoute> {
        let portability = match &self.rn {
            Some(rn) => {
                let rn = prefix_digits(rn, country)
                    .map_err(|(problem, _)| BadRoute::RoutingNumber(problem))?;
                Some(Portability::Ported(rn))
            }
            None => self.npdi.then_some(Portability::NotPorted),
        };
        if self.gateways.is_empty() && portability.is_none() {
            return Err(BadRoute::Empty);
        }
        if self.gateways.len() > CHOICES_MAX {
            return Err(BadRoute::TooMany(self.gateways.len()));
        }
        let mut choices = Vec::with_capacity(self.gateways.len());
        for written in &self.gateways {
            let gateway =
                place(&written.name).ok_or_else(|| BadRoute::Unknown(written.name.clone()))?;
            let choice = written.read(gateway)?;
            if choices.iter().any(|other| clashes(&choice, other)) {
                return Err(BadRoute::Twice(written.name.clone()));
            }
            choices.push(choice);
        }
        Ok(Route::new(choices).with_portability(portability))
    }
}

impl WrittenChoice {
    /// Checks it; the gateway is at `gateway`.
    ///
    /// # Errors
    /// Its hours are none.
    pub fn read(&self, gateway: u32) -> Result<Choice, BadHours> {
        let hours = self.hours.as_deref().map(str::parse::<Hours>).transpose()?;
        Ok(Choice {
            weight: self.weight,
            capacity: self.capacity,
            hours,
            ..Choice::new(gateway, self.order, self.preference)
        })
    }
}

/// Whether two choices of a route are the same gateway; it may be there once for each of its hours.
pub(crate) fn clashes(one: &Choice, other: &Choice) -> bool {
    one.gateway == other.gateway && (one.hours.is_none() || other.hours.is_none())
}

/// How to write a prefix.
pub(crate) const PREFIX_FORMS: &str =
    "write it from the country code, \"+813\", or as an area code, \"03\"";

/// Digits of `+813`, or of `03` by the country's rules.
///
/// # Errors
/// What is wrong, and how to write it.
pub fn prefix_digits(
    written: &str,
    country: &CountryProfile,
) -> Result<Digits, (String, &'static str)> {
    let text: String = written.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits = match text.strip_prefix('+') {
        Some(digits) => digits.to_owned(),
        None => {
            if let Some(code) =
                country.international_prefixes.iter().find(|code| text.starts_with(code.as_str()))
            {
                return Err((
                    format!("{written} begins with {code}, what is dialled abroad"),
                    PREFIX_FORMS,
                ));
            }
            match text.strip_prefix(country.trunk_prefix.as_str()) {
                Some(national) => format!("{}{national}", country.country_code),
                None => {
                    return Err((format!("{written} begins with neither + nor 0"), PREFIX_FORMS));
                }
            }
        }
    };
    if let Some(found) = digits.chars().find(|c| !c.is_ascii_digit()) {
        return Err((format!("{written} contains {found:?}, which is no digit"), PREFIX_FORMS));
    }
    let double_trunk = format!("{}0", country.country_code);
    if digits.is_empty() || digits == country.country_code && !text.starts_with('+') {
        return Err((format!("{written:?} has no digits to match"), PREFIX_FORMS));
    }
    if digits.starts_with('0') {
        return Err((format!("{written}: no country code begins with 0"), PREFIX_FORMS));
    }
    if country.trunk_prefix == "0" && digits.starts_with(&double_trunk) {
        return Err((
            format!("{written}: the 0 is not dialled after the country code"),
            PREFIX_FORMS,
        ));
    }
    Digits::read(&digits).ok_or_else(|| {
        (format!("{written} has more than {} digits", E164::MAX_DIGITS), PREFIX_FORMS)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_prefix_is_read_or_refused(text in "\\PC{0,20}|[+0-9 -]{0,20}") {
            if let Ok(digits) = prefix_digits(&text, &CountryProfile::japan()) {
                prop_assert!(digits.length() > 0);
            }
        }
    }

    #[test]
    fn route_is_written_as_it_is_read() {
        let text = r#"{"gateways":[{"name":"a","order":10,"preference":10,"weight":3,"capacity":20,"hours":"mo-fr 08:00-18:00"},{"name":"b","order":20,"preference":10,"weight":1}],"rn":"+8139999","npdi":true}"#;
        let written: WrittenRoute = serde_json::from_str(text).unwrap();
        let place = |name: &str| ["a", "b"].iter().position(|own| *own == name).map(|p| p as u32);
        let route = written.read(&CountryProfile::japan(), place).unwrap();
        let again = WrittenRoute::new(&route, |place| ["a", "b"].get(place as usize).copied());
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        let unknown = written.read(&CountryProfile::japan(), |_| None);
        assert_eq!(unknown, Err(BadRoute::Unknown("a".into())));
    }
}
