//! What can be wrong with a number, a link or its data.

use thiserror::Error;

/// Why a text, URI or linked data was not accepted. Places count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NumberError {
    /// Nothing was written, or only separators.
    #[error("the number has no digits")]
    Empty,
    /// A character that has no place in a telephone number, or not at this place.
    #[error("{} at place {place} does not belong in a telephone number", shown(*found))]
    Character {
        /// The character.
        found: char,
        /// Its place, counted in characters from 1.
        place: usize,
    },
    /// More digits or characters than any number has.
    #[error("the number has {found} {unit}; at most {limit} are allowed")]
    TooLong {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
        /// "digits" or "characters".
        unit: &'static str,
    },
    /// Too few digits to be a number in the international plan.
    #[error("the number {digits} is too short to be complete")]
    TooShort {
        /// The digits read.
        digits: String,
    },
    /// The digits begin with neither +, the trunk prefix nor an international prefix.
    #[error(
        "{digits} has no area code: write it with {trunk_prefix} and the area code, or with + and the country code"
    )]
    NoAreaCode {
        /// The digits read.
        digits: String,
        /// The trunk prefix of the country profile.
        trunk_prefix: String,
    },
    /// No country code begins with 0.
    #[error("the country code of {digits} begins with 0; no country's does")]
    CountryCode {
        /// The digits after + or the international prefix.
        digits: String,
    },
    /// A country profile or policy entry that cannot work.
    #[error("{key}: {value:?} {remedy}")]
    Setting {
        /// The key in the configuration.
        key: &'static str,
        /// The value found there.
        value: String,
        /// What it must be.
        remedy: &'static str,
    },
    /// The argument of a click looks like a command-line option.
    #[error("an argument that begins with - is an option, not a link or a file")]
    LooksLikeOption,
    /// The argument of a click is longer than any link.
    #[error("the link or path has {found} octets; at most {limit} are read")]
    LinkTooLong {
        /// Octets found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A control character in a link or path.
    #[error(
        "a control character (U+{code:04X}) at place {place} does not belong in a link or path"
    )]
    ControlCharacter {
        /// The code point.
        code: u32,
        /// Its place, counted in characters from 1.
        place: usize,
    },
    /// A URI of a scheme that does not name a telephone number.
    #[error("links of the kind {scheme}: are not followed; tel:, callto:, vlf: and files are")]
    Scheme {
        /// The scheme, in lower case.
        scheme: String,
    },
    /// A % that is not followed by two hexadecimal digits, or decodes to broken UTF-8.
    #[error("the percent-encoding in the link is broken")]
    PercentEncoding,
    /// A file: URI that names another host or no absolute path.
    #[error("the file link names no file of this machine")]
    FileUri,
    /// A tel URI parameter that cannot be honoured.
    #[error("the parameter {name} of the link {problem}")]
    Parameter {
        /// The parameter's name.
        name: String,
        /// Why it makes the link unusable.
        problem: &'static str,
    },
    /// The linked data is larger than any number needs.
    #[error("the linked data has {found} octets; at most {limit} are read")]
    LinkedDataTooLarge {
        /// Octets found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The linked data is not the JSON object that was agreed.
    #[error("the linked data is not understood: {reason}")]
    LinkedDataSyntax {
        /// What the JSON reader says, with line and column.
        reason: String,
    },
    /// One value of the linked data is unusable.
    #[error("the linked data's {key} {problem}")]
    LinkedDataValue {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: &'static str,
    },
    /// The number in the linked data is unusable.
    #[error("the linked data's number: {0}")]
    LinkedDataNumber(#[source] Box<NumberError>),
    /// A key that is not an Ed25519 key of the expected form.
    #[error("the key {problem}")]
    Key {
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The character itself when it can be seen, its code point always.
fn shown(found: char) -> String {
    let code = u32::from(found);
    if found.is_control() || found.is_whitespace() || ('\u{200b}'..='\u{206f}').contains(&found) {
        format!("the character U+{code:04X}")
    } else {
        format!("the character '{found}' (U+{code:04X})")
    }
}
