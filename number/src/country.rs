//! How numbers are dialled in one country.

use serde::{Deserialize, Serialize};

use crate::NumberError;

/// The dialling rules of one country. In configuration every key may be left out; what is
/// left out is Japan's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct CountryProfile {
    /// Country code, without +: "81".
    pub country_code: String,
    /// What precedes an area code inside the country: "0"; empty where there is none.
    pub trunk_prefix: String,
    /// What is dialled before a country code: "010", "00".
    pub international_prefixes: Vec<String>,
    /// Carrier selection codes, X for any digit: "0033", "0091XX". One counts only when the
    /// trunk or an international prefix follows, so that "0033 1 42…" stays France by "00".
    pub carrier_codes: Vec<String>,
    /// Prefixes that only show or withhold the caller's number: "184", "186".
    pub caller_id_prefixes: Vec<String>,
    /// Codes that are complete as they are, X for any digit: "1XX". They are matched before
    /// anything else and never become an international number.
    pub short_codes: Vec<String>,
}

impl CountryProfile {
    /// Japan, by the Ministry's numbering rules (電気通信番号計画): trunk prefix 0,
    /// international prefix 010, carrier codes 00XY and 0091XY, service codes 1XY.
    pub fn japan() -> CountryProfile {
        CountryProfile {
            country_code: "81".to_owned(),
            trunk_prefix: "0".to_owned(),
            international_prefixes: owned(&["010", "00"]),
            carrier_codes: owned(&[
                "0091XX", "001", "0033", "0034", "0036", "0038", "0039", "0041", "0046", "0052",
                "0053", "0056", "0057", "0060", "0061", "0063", "0066", "0070", "0073", "0075",
                "0076", "0077", "0078", "0080", "0082", "0083", "0086", "0088",
            ]),
            caller_id_prefixes: owned(&["184", "186"]),
            // 911 and 999 are no codes of Japan, but visitors dial them when it matters.
            short_codes: owned(&["1XX", "911", "999"]),
        }
    }

    /// The octets of `digits` that a carrier code takes, when one leads and counts.
    pub(crate) fn carrier_code_digits(&self, digits: &str) -> Option<usize> {
        if self.trunk_prefix.is_empty() {
            return None;
        }
        self.carrier_codes
            .iter()
            .filter(|code| {
                digits.len() > code.len() && matches_pattern(code, &digits[..code.len()])
            })
            .map(|code| code.len())
            .find(|&length| {
                let rest = &digits[length..];
                rest.starts_with(&self.trunk_prefix)
                    || self.international_prefixes.iter().any(|prefix| rest.starts_with(prefix))
            })
    }

    pub(crate) fn is_short_code(&self, digits: &str) -> bool {
        self.short_codes.iter().any(|code| matches_pattern(code, digits))
    }
}

impl Default for CountryProfile {
    fn default() -> CountryProfile {
        CountryProfile::japan()
    }
}

/// Digits of a text against a pattern of the same length in which X is any digit.
pub(crate) fn matches_pattern(pattern: &str, digits: &str) -> bool {
    pattern.len() == digits.len()
        && pattern
            .bytes()
            .zip(digits.bytes())
            .all(|(wanted, found)| wanted == found || (wanted == b'X' && found.is_ascii_digit()))
}

/// The profile as configuration has it, before its values are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    country_code: Option<String>,
    trunk_prefix: Option<String>,
    international_prefixes: Option<Vec<String>>,
    carrier_codes: Option<Vec<String>>,
    caller_id_prefixes: Option<Vec<String>>,
    short_codes: Option<Vec<String>>,
}

impl TryFrom<Written> for CountryProfile {
    type Error = NumberError;

    fn try_from(written: Written) -> Result<CountryProfile, NumberError> {
        let japan = CountryProfile::japan();
        let profile = CountryProfile {
            country_code: written.country_code.unwrap_or(japan.country_code),
            trunk_prefix: written.trunk_prefix.unwrap_or(japan.trunk_prefix),
            international_prefixes: written
                .international_prefixes
                .unwrap_or(japan.international_prefixes),
            carrier_codes: written.carrier_codes.unwrap_or(japan.carrier_codes),
            caller_id_prefixes: written.caller_id_prefixes.unwrap_or(japan.caller_id_prefixes),
            short_codes: written.short_codes.unwrap_or(japan.short_codes),
        };
        let is_digits = |value: &str| value.bytes().all(|b| b.is_ascii_digit());
        if !(1..=3).contains(&profile.country_code.len())
            || !is_digits(&profile.country_code)
            || profile.country_code.starts_with('0')
        {
            return Err(NumberError::Setting {
                key: "country_code",
                value: profile.country_code,
                remedy: "is not 1 to 3 digits without + and without a leading 0",
            });
        }
        if profile.trunk_prefix.len() > 4 || !is_digits(&profile.trunk_prefix) {
            return Err(NumberError::Setting {
                key: "trunk_prefix",
                value: profile.trunk_prefix,
                remedy: "is not 0 to 4 digits",
            });
        }
        let plain = |key, list: &[String]| match list
            .iter()
            .find(|value| !(1..=8).contains(&value.len()) || !is_digits(value))
        {
            Some(value) => Err(NumberError::Setting {
                key,
                value: value.clone(),
                remedy: "is not 1 to 8 digits",
            }),
            None => Ok(()),
        };
        plain("international_prefixes", &profile.international_prefixes)?;
        plain("caller_id_prefixes", &profile.caller_id_prefixes)?;
        let pattern = |key, list: &[String]| {
            let fits = |value: &String| {
                (1..=8).contains(&value.len())
                    && value.bytes().all(|b| b.is_ascii_digit() || b == b'X')
            };
            match list.iter().find(|value| !fits(value)) {
                Some(value) => Err(NumberError::Setting {
                    key,
                    value: value.clone(),
                    remedy: "is not 1 to 8 digits or X for any digit",
                }),
                None => Ok(()),
            }
        };
        pattern("carrier_codes", &profile.carrier_codes)?;
        pattern("short_codes", &profile.short_codes)?;
        Ok(profile)
    }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_japans() {
        let profile: CountryProfile = serde_json::from_str("{}").unwrap();
        assert_eq!(profile, CountryProfile::japan());
        let profile: CountryProfile =
            serde_json::from_str(r#"{"country_code":"1","trunk_prefix":"1"}"#).unwrap();
        assert_eq!(profile.country_code, "1");
        assert_eq!(profile.caller_id_prefixes, ["184", "186"]);
    }

    #[test]
    fn unusable_values_and_unknown_keys_are_named() {
        for (json, named) in [
            (r#"{"country_code":"+81"}"#, "country_code"),
            (r#"{"country_code":""}"#, "country_code"),
            (r#"{"trunk_prefix":"a"}"#, "trunk_prefix"),
            (r#"{"international_prefixes":[""]}"#, "international_prefixes"),
            (r#"{"carrier_codes":["00é"]}"#, "carrier_codes"),
            (r#"{"short_codes":["1YY"]}"#, "short_codes"),
            (r#"{"area":"3"}"#, "area"),
        ] {
            let error = serde_json::from_str::<CountryProfile>(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
