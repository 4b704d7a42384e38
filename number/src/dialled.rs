//! From what people write to what is dialled.

use std::fmt;

use crate::{CountryProfile, E164, NumberError};

/// A number as it is to be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dialled {
    /// A complete international number.
    E164(E164),
    /// An emergency or service code such as 110, #7119 or *21: complete as it is, only
    /// meaningful where the caller is, never turned into an international number.
    Short(String),
}

impl Dialled {
    /// The longest text that is read, in characters.
    pub const MAX_CHARACTERS: usize = 64;

    /// Reads a number as people write it: full-width digits and signs, hyphens and dashes,
    /// brackets, spaces and dots, with +, a trunk prefix, an international prefix, a carrier
    /// code or a caller-id prefix of `profile`.
    ///
    /// ```
    /// use trunkline_number::{CountryProfile, Dialled};
    /// let japan = CountryProfile::japan();
    /// assert_eq!(Dialled::parse("184-0033-03-3333-1234", &japan).unwrap().to_string(), "+81333331234");
    /// assert_eq!(Dialled::parse("１１０", &japan).unwrap(), Dialled::Short("110".to_owned()));
    /// ```
    ///
    /// # Errors
    /// The first character that does not belong and its place; too few or too many digits; no
    /// area code; a country code that begins with 0.
    pub fn parse(text: &str, profile: &CountryProfile) -> Result<Dialled, NumberError> {
        let written = Written::scan(text)?;
        match written.lead {
            Lead::Plus => {
                international(&written.digits, written.bracketed_trunk(profile, 0), profile)
            }
            Lead::Sign => {
                if written.digits.len() > E164::MAX_DIGITS {
                    return Err(too_many_digits(written.digits.len()));
                }
                Ok(Dialled::Short(written.digits))
            }
            Lead::Digit => from_digits(&written, profile),
        }
    }
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dialled::E164(number) => number.fmt(f),
            Dialled::Short(code) => f.write_str(code),
        }
    }
}

/// A number that begins with a digit: short code, caller-id prefix, carrier code,
/// international prefix, trunk prefix, in that order.
fn from_digits(written: &Written, profile: &CountryProfile) -> Result<Dialled, NumberError> {
    let all = written.digits.as_str();
    let mut digits = all;
    if profile.is_short_code(digits) {
        return Ok(Dialled::Short(digits.to_owned()));
    }
    if let Some(rest) = strip_any(digits, &profile.caller_id_prefixes) {
        digits = rest;
        // 184-110 is a call to 110 all the same.
        if profile.is_short_code(digits) {
            return Ok(Dialled::Short(digits.to_owned()));
        }
    }
    if let Some(length) = profile.carrier_code_digits(digits) {
        digits = &digits[length..];
    }
    if let Some(rest) = strip_any(digits, &profile.international_prefixes) {
        let before = all.len() - rest.len();
        return international(rest, written.bracketed_trunk(profile, before), profile);
    }
    match digits.strip_prefix(profile.trunk_prefix.as_str()) {
        Some(national) => in_country(national, profile),
        None => Err(NumberError::NoAreaCode {
            digits: digits.to_owned(),
            trunk_prefix: profile.trunk_prefix.clone(),
        }),
    }
}

/// Digits after + or an international prefix. `trunk_at` is where a bracketed trunk prefix
/// stands in them, as in +81 (0)3: nobody dials it.
fn international(
    digits: &str,
    trunk_at: Option<usize>,
    profile: &CountryProfile,
) -> Result<Dialled, NumberError> {
    let mut digits = digits.to_owned();
    if let Some(at) = trunk_at {
        digits.replace_range(at..at + profile.trunk_prefix.len(), "");
    }
    if digits.starts_with('0') {
        return Err(NumberError::CountryCode { digits });
    }
    match digits.strip_prefix(profile.country_code.as_str()) {
        Some(national) => {
            // "+81 03…" is written often and means +81 3…: after our own country code the
            // trunk prefix is never dialled.
            let national = match national.strip_prefix(profile.trunk_prefix.as_str()) {
                Some(rest) if profile.trunk_prefix == "0" => rest,
                _ => national,
            };
            in_country(national, profile)
        }
        None => complete(&digits),
    }
}

/// A national number of the profile's country, without trunk prefix.
fn in_country(national: &str, profile: &CountryProfile) -> Result<Dialled, NumberError> {
    // +81 110 is no number of the plan; whoever wrote it means 110, and the policy must see so.
    if profile.is_short_code(national) {
        return Ok(Dialled::Short(national.to_owned()));
    }
    if profile.trunk_prefix == "0" && national.starts_with('0') {
        return Err(NumberError::NoAreaCode {
            digits: national.to_owned(),
            trunk_prefix: profile.trunk_prefix.clone(),
        });
    }
    complete(&format!("{}{national}", profile.country_code))
}

fn complete(digits: &str) -> Result<Dialled, NumberError> {
    /// Fewer digits are a country code and at most an area code. The plan itself knows no
    /// lower limit, so this only catches what is plainly unfinished.
    const MIN_DIGITS: usize = 5;
    if digits.len() < MIN_DIGITS {
        return Err(NumberError::TooShort { digits: digits.to_owned() });
    }
    E164::from_digits(digits).map(Dialled::E164)
}

fn strip_any<'a>(digits: &'a str, prefixes: &[String]) -> Option<&'a str> {
    prefixes
        .iter()
        .filter_map(|prefix| digits.strip_prefix(prefix.as_str()))
        .min_by_key(|rest| rest.len())
}

fn too_many_digits(found: usize) -> NumberError {
    NumberError::TooLong { found, limit: E164::MAX_DIGITS, unit: "digits" }
}

/// How a written number begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    Digit,
    Plus,
    /// # or *.
    Sign,
}

/// The characters of a written number, separators gone.
pub(crate) struct Written {
    lead: Lead,
    /// ASCII digits; also # and * when one of them leads.
    digits: String,
    /// Index and content length of the first bracketed group.
    bracketed: Option<(usize, usize)>,
}

impl Written {
    /// The grammar of the characters alone, before any country's rules.
    pub(crate) fn scan(text: &str) -> Result<Written, NumberError> {
        let characters = text.chars().take(Dialled::MAX_CHARACTERS + 1).count();
        if characters > Dialled::MAX_CHARACTERS {
            return Err(NumberError::TooLong {
                found: text.chars().count(),
                limit: Dialled::MAX_CHARACTERS,
                unit: "characters",
            });
        }
        let mut digits = String::with_capacity(characters);
        let mut lead = None;
        let mut bracket_at = None;
        let mut bracketed = None;
        for (index, found) in text.chars().enumerate() {
            match Symbol::of(found) {
                Some(Symbol::Digit(digit)) => {
                    lead.get_or_insert(Lead::Digit);
                    digits.push(digit);
                }
                Some(Symbol::Plus) if lead.is_none() => lead = Some(Lead::Plus),
                Some(Symbol::Sign(sign)) if matches!(lead, None | Some(Lead::Sign)) => {
                    lead = Some(Lead::Sign);
                    digits.push(sign);
                }
                Some(Symbol::Open) => bracket_at = Some(digits.len()),
                Some(Symbol::Close) => {
                    if let (Some(at), None) = (bracket_at, bracketed) {
                        bracketed = Some((at, digits.len() - at));
                    }
                }
                Some(Symbol::Separator) => {}
                Some(Symbol::Plus | Symbol::Sign(_)) | None => {
                    return Err(NumberError::Character { found, place: index + 1 });
                }
            }
        }
        match lead {
            Some(lead) if !digits.is_empty() => Ok(Written { lead, digits, bracketed }),
            _ => Err(NumberError::Empty),
        }
    }

    /// Where, counted after the first `skipped` digits, a bracketed group is exactly the trunk
    /// prefix and follows a country code of 1 to 3 digits.
    fn bracketed_trunk(&self, profile: &CountryProfile, skipped: usize) -> Option<usize> {
        let (at, length) = self.bracketed?;
        let content = &self.digits[at..at + length];
        let at = at.checked_sub(skipped)?;
        (!content.is_empty() && content == profile.trunk_prefix && (1..=3).contains(&at))
            .then_some(at)
    }
}

enum Symbol {
    Digit(char),
    Plus,
    Sign(char),
    Open,
    Close,
    Separator,
}

impl Symbol {
    fn of(found: char) -> Option<Symbol> {
        Some(match found {
            '0'..='9' => Symbol::Digit(found),
            '０'..='９' => {
                let value = u32::from(found) - u32::from('０');
                Symbol::Digit(char::from_digit(value, 10)?)
            }
            '+' | '＋' | '﹢' => Symbol::Plus,
            '#' | '＃' | '﹟' | '♯' => Symbol::Sign('#'),
            '*' | '＊' | '﹡' | '∗' => Symbol::Sign('*'),
            '(' | '[' | '（' | '［' | '〔' | '【' | '「' => Symbol::Open,
            ')' | ']' | '）' | '］' | '〕' | '】' | '」' => Symbol::Close,
            '.' | '．' | '。' | '・' | '･' | '·' | '•' => Symbol::Separator,
            // Unicode's dash punctuation, the minus signs, and the long-vowel marks and box
            // lines that Japanese input methods put in their place.
            '-'
            | '\u{ad}'
            | '\u{2010}'..='\u{2015}'
            | '\u{2043}'
            | '\u{207b}'
            | '\u{208b}'
            | '\u{2212}'
            | '\u{2500}'
            | '\u{2501}'
            | '\u{2e3a}'
            | '\u{2e3b}'
            | '\u{301c}'
            | '\u{3030}'
            | '\u{30fc}'
            | '\u{fe31}'
            | '\u{fe32}'
            | '\u{fe58}'
            | '\u{fe63}'
            | '\u{ff0d}'
            | '\u{ff5e}'
            | '\u{ff70}'
            | '\u{ffda}'
            | '~'
            | '\u{2053}' => Symbol::Separator,
            // Spaces of every width, but no line breaks or tabs.
            _ if found.is_whitespace()
                && !found.is_control()
                && !matches!(found, '\u{2028}' | '\u{2029}') =>
            {
                Symbol::Separator
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
