//! Which numbers a link on a page may ring.

use std::fmt;

use serde::Deserialize;

use crate::country::matches_pattern;
use crate::{Dialled, E164, NumberError};

/// What is never dialled from a page, what is dialled, and what wins.
///
/// Emergency codes are refused whatever the other lists say: a call from a page carries no
/// place that a rescuer could go to. For complete numbers the longest prefix in `allow`,
/// `deny` and `premium` decides; of equal ones, refusal. In configuration a key that is left
/// out has the default; a list that is given replaces the default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Policy {
    /// Emergency codes, X for any digit.
    pub emergency: Vec<String>,
    /// International prefixes (digits, no +) at which the caller pays for more than the call.
    pub premium: Vec<String>,
    /// Further international prefixes that are refused.
    pub deny: Vec<String>,
    /// International prefixes that are allowed even inside a refused one.
    pub allow: Vec<String>,
    /// Refuse every complete number that no entry of `allow` covers.
    pub allow_only: bool,
    /// Service codes that may be dialled, X for any digit, # and * as they are. None by
    /// default: *21 and its like change how somebody's telephone works.
    pub short_codes: Vec<String>,
}

impl Policy {
    /// Whether the number may be dialled.
    ///
    /// # Errors
    /// The reason, in words for the caller.
    pub fn check(&self, number: &Dialled) -> Result<(), Refusal> {
        match number {
            Dialled::Short(code) if self.is_emergency(code) => {
                Err(Refusal::Emergency { code: code.clone() })
            }
            Dialled::Short(code) if self.short_codes.iter().any(|c| matches_pattern(c, code)) => {
                Ok(())
            }
            Dialled::Short(code) => Err(Refusal::ShortCode { code: code.clone() }),
            Dialled::E164(number) => self.check_complete(number),
        }
    }

    fn check_complete(&self, number: &E164) -> Result<(), Refusal> {
        let digits = number.as_digits();
        // +1 911 and +81 110 are no numbers of the plan, but some line may still make an
        // emergency call of them.
        for country_digits in 1..=3 {
            if let Some(rest) = digits.get(country_digits..)
                && self.is_emergency(rest)
            {
                return Err(Refusal::Emergency { code: rest.to_owned() });
            }
        }
        let longest = |list: &[String]| {
            list.iter().filter(|p| digits.starts_with(p.as_str())).max_by_key(|p| p.len()).cloned()
        };
        let (allow, deny, premium) =
            (longest(&self.allow), longest(&self.deny), longest(&self.premium));
        let length = |prefix: &Option<String>| prefix.as_ref().map(String::len);
        match (deny, premium) {
            (Some(prefix), premium)
                if Some(prefix.len()) >= length(&allow).max(length(&premium)) =>
            {
                Err(Refusal::Denied { number: *number, prefix })
            }
            (_, Some(prefix)) if Some(prefix.len()) >= length(&allow) => {
                Err(Refusal::Premium { number: *number, prefix })
            }
            _ if self.allow_only && allow.is_none() => Err(Refusal::NotAllowed { number: *number }),
            _ => Ok(()),
        }
    }

    fn is_emergency(&self, code: &str) -> bool {
        self.emergency.iter().any(|pattern| matches_pattern(pattern, code))
    }
}

impl Default for Policy {
    /// Japan's emergency codes and those visitors know; premium-rate services of Japan and of
    /// the countries whose ranges are most misused.
    fn default() -> Policy {
        Policy {
            emergency: owned(&["110", "118", "119", "112", "911", "999", "000"]),
            premium: PREMIUM.iter().map(|&(prefix, _)| prefix.to_owned()).collect(),
            deny: Vec::new(),
            allow: Vec::new(),
            allow_only: false,
            short_codes: Vec::new(),
        }
    }
}

/// Premium-rate prefixes and what they are.
const PREMIUM: [(&str, &str); 18] = [
    ("81990", "Japan 0990, information charges"),
    ("81180", "Japan 0180, mass calling"),
    ("8120", "Japan 020, paging"),
    ("979", "ITU international premium rate service"),
    ("870", "satellite, Inmarsat"),
    ("881", "satellite, global mobile systems"),
    ("1900", "North America 900"),
    ("1976", "North America 976"),
    ("449", "United Kingdom 09"),
    ("3389", "France 089"),
    ("49900", "Germany 0900"),
    ("3989", "Italy 89"),
    ("34803", "Spain 803"),
    ("34806", "Spain 806"),
    ("34807", "Spain 807"),
    ("4190", "Switzerland 090"),
    ("31900", "Netherlands 0900"),
    ("61190", "Australia 190"),
];

/// Why a number is not dialled; its `Display` is a sentence for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An emergency code.
    Emergency {
        /// The code.
        code: String,
    },
    /// A number at which the caller pays for more than the call.
    Premium {
        /// The number.
        number: E164,
        /// The prefix on the list, digits without +.
        prefix: String,
    },
    /// A number under a refused prefix.
    Denied {
        /// The number.
        number: E164,
        /// The prefix on the list, digits without +.
        prefix: String,
    },
    /// A number that no allowed prefix covers, where only those are allowed.
    NotAllowed {
        /// The number.
        number: E164,
    },
    /// A service code that is not on the list of allowed ones.
    ShortCode {
        /// The code.
        code: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Emergency { code } => write!(
                f,
                "{code} is an emergency number and is not called from here, because the call would carry no place: use a telephone"
            ),
            Refusal::Premium { number, prefix } => write!(
                f,
                "{number} is a premium-rate number (prefix +{prefix}): the caller would pay more than for the call"
            ),
            Refusal::Denied { number, prefix } => {
                write!(f, "{number} is not called from here: numbers under +{prefix} are refused")
            }
            Refusal::NotAllowed { number } => {
                write!(
                    f,
                    "{number} is not called from here: it is under none of the allowed prefixes"
                )
            }
            Refusal::ShortCode { code } => {
                write!(
                    f,
                    "{code} is a service code, not a subscriber's number, and is not on the allowed list"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The policy as configuration has it, before its values are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    emergency: Option<Vec<String>>,
    premium: Option<Vec<String>>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    allow_only: bool,
    #[serde(default)]
    short_codes: Vec<String>,
}

impl TryFrom<Written> for Policy {
    type Error = NumberError;

    fn try_from(written: Written) -> Result<Policy, NumberError> {
        let default = Policy::default();
        Ok(Policy {
            emergency: codes("emergency", written.emergency.unwrap_or(default.emergency))?,
            premium: prefixes("premium", written.premium.unwrap_or(default.premium))?,
            deny: prefixes("deny", written.deny)?,
            allow: prefixes("allow", written.allow)?,
            allow_only: written.allow_only,
            short_codes: codes("short_codes", written.short_codes)?,
        })
    }
}

fn codes(key: &'static str, list: Vec<String>) -> Result<Vec<String>, NumberError> {
    let fits = |code: &String| {
        (1..=15).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'X' | b'#' | b'*'))
    };
    match list.iter().find(|code| !fits(code)) {
        Some(code) => Err(NumberError::Setting {
            key,
            value: code.clone(),
            remedy: "is not 1 to 15 of digits, # and *, or X for any digit",
        }),
        None => Ok(list),
    }
}

/// Accepts "+81990" and "81990".
fn prefixes(key: &'static str, list: Vec<String>) -> Result<Vec<String>, NumberError> {
    list.into_iter()
        .map(|value| match value.parse::<E164>() {
            Ok(prefix) => Ok(prefix.as_digits().to_owned()),
            Err(_) => Err(NumberError::Setting {
                key,
                value,
                remedy: "is not an international prefix such as +81990 (write the country code, not the trunk 0)",
            }),
        })
        .collect()
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CountryProfile;

    fn dialled(text: &str) -> Dialled {
        Dialled::parse(text, &CountryProfile::japan()).unwrap()
    }

    #[test]
    fn ordinary_numbers_pass() {
        for text in
            ["03-3333-1234", "0469-59-5678", "090-1234-5678", "0120-123-456", "+1 650 253 0000"]
        {
            assert_eq!(Policy::default().check(&dialled(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn emergency_codes_are_refused_however_written() {
        for text in [
            "110",
            "１１９",
            "118",
            "112",
            "911",
            "184-110",
            "+81110",
            "0119",
            "+81 (0)110",
            "+1911",
            "+44999",
        ] {
            let refusal = match Dialled::parse(text, &CountryProfile::japan()) {
                Ok(number) => Policy::default().check(&number).unwrap_err(),
                // Too short to be dialled at all is as good.
                Err(NumberError::TooShort { .. }) => continue,
                Err(error) => panic!("{text}: {error}"),
            };
            assert!(matches!(refusal, Refusal::Emergency { .. }), "{text}: {refusal}");
        }
        let e164 = Dialled::E164("+1911".parse().unwrap());
        assert!(matches!(Policy::default().check(&e164), Err(Refusal::Emergency { .. })));
    }

    #[test]
    fn allowing_everything_does_not_allow_emergency() {
        let policy: Policy = serde_json::from_str(
            r#"{"allow":["1","2","3","4","5","6","7","8","9"],"short_codes":["XXX"],"premium":[]}"#,
        )
        .unwrap();
        assert!(matches!(policy.check(&dialled("110")), Err(Refusal::Emergency { .. })));
        assert_eq!(policy.check(&dialled("117")), Ok(()));
        assert_eq!(policy.check(&dialled("0990-123-456")), Ok(()));
    }

    #[test]
    fn premium_numbers_are_refused_with_the_reason() {
        for text in ["0990-123-456", "+979 123 456 789", "010-1-900-555-0000", "+44 909 879 0000"] {
            let refusal = Policy::default().check(&dialled(text)).unwrap_err();
            assert!(refusal.to_string().contains("premium-rate"), "{text}: {refusal}");
        }
    }

    #[test]
    fn the_longest_prefix_decides_and_refusal_wins_a_tie() {
        let policy: Policy = serde_json::from_str(
            r#"{"allow":["+81","+819901","+8133"],"deny":["+8133","+8133331"],"allow_only":true}"#,
        )
        .unwrap();
        assert_eq!(policy.check(&dialled("0469-59-5678")), Ok(()));
        assert_eq!(policy.check(&dialled("0990-123-456")), Ok(()));
        assert!(matches!(policy.check(&dialled("0990-223-456")), Err(Refusal::Premium { .. })));
        assert!(matches!(policy.check(&dialled("03-3344-1234")), Err(Refusal::Denied { .. })));
        assert!(matches!(policy.check(&dialled("03-3331-1234")), Err(Refusal::Denied { .. })));
        assert!(matches!(policy.check(&dialled("+16502530000")), Err(Refusal::NotAllowed { .. })));
    }

    #[test]
    fn service_codes_need_a_place_on_the_list() {
        assert!(matches!(Policy::default().check(&dialled("117")), Err(Refusal::ShortCode { .. })));
        assert!(matches!(
            Policy::default().check(&dialled("*21#")),
            Err(Refusal::ShortCode { .. })
        ));
        let policy: Policy = serde_json::from_str(r##"{"short_codes":["117","#7XXX"]}"##).unwrap();
        assert_eq!(policy.check(&dialled("117")), Ok(()));
        assert_eq!(policy.check(&dialled("#7119")), Ok(()));
        assert!(matches!(policy.check(&dialled("104")), Err(Refusal::ShortCode { .. })));
    }

    #[test]
    fn a_national_prefix_in_the_list_is_named() {
        let error =
            serde_json::from_str::<Policy>(r#"{"premium":["0990"]}"#).unwrap_err().to_string();
        assert!(error.contains("premium") && error.contains("0990"), "{error}");
        assert!(serde_json::from_str::<Policy>(r#"{"premiun":[]}"#).is_err());
    }
}
