//! A complete number of the international plan.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::NumberError;

/// An international number: country code and national number, 1 to 15 digits, the first of
/// them not 0 (ITU-T E.164 §6.1, §6.2). Written with a leading +.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164 {
    /// ASCII digits, then zero octets: so the derived order is the order of the digits.
    digits: [u8; E164::MAX_DIGITS],
    length: u8,
}

impl E164 {
    /// The longest number of the plan, in digits (ITU-T E.164 §6.2.1).
    pub const MAX_DIGITS: usize = 15;

    /// Takes digits without +.
    ///
    /// # Errors
    /// No digits, too many, another character, or a leading 0.
    pub fn from_digits(digits: &str) -> Result<E164, NumberError> {
        if let Some((index, found)) = digits.chars().enumerate().find(|(_, c)| !c.is_ascii_digit())
        {
            return Err(NumberError::Character { found, place: index + 1 });
        }
        if digits.is_empty() {
            return Err(NumberError::Empty);
        }
        if digits.len() > E164::MAX_DIGITS {
            return Err(NumberError::TooLong {
                found: digits.len(),
                limit: E164::MAX_DIGITS,
                unit: "digits",
            });
        }
        if digits.starts_with('0') {
            return Err(NumberError::CountryCode { digits: digits.to_owned() });
        }
        let mut number = E164 { digits: [0; E164::MAX_DIGITS], length: digits.len() as u8 };
        number.digits[..digits.len()].copy_from_slice(digits.as_bytes());
        Ok(number)
    }

    /// The digits without +.
    pub fn as_digits(&self) -> &str {
        str::from_utf8(&self.digits[..usize::from(self.length)])
            .expect("only ASCII digits are stored")
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.as_digits())
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164(+{})", self.as_digits())
    }
}

impl FromStr for E164 {
    type Err = NumberError;

    /// Takes "+81333331234" or "81333331234".
    fn from_str(text: &str) -> Result<E164, NumberError> {
        match text.strip_prefix('+') {
            Some(digits) => E164::from_digits(digits).map_err(|error| match error {
                NumberError::Character { found, place } => {
                    NumberError::Character { found, place: place + 1 }
                }
                other => other,
            }),
            None => E164::from_digits(text),
        }
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<E164, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_with_and_without_plus_and_writes_with_plus() {
        let number: E164 = "+81333331234".parse().unwrap();
        assert_eq!(number, "81333331234".parse().unwrap());
        assert_eq!(number.as_digits(), "81333331234");
        assert_eq!(number.to_string(), "+81333331234");
    }

    #[test]
    fn fifteen_digits_are_the_most() {
        assert!("+123456789012345".parse::<E164>().is_ok());
        assert!(matches!(
            "+1234567890123456".parse::<E164>(),
            Err(NumberError::TooLong { found: 16, limit: 15, .. })
        ));
    }

    #[test]
    fn nothing_leading_zero_and_letters_are_refused() {
        assert_eq!("".parse::<E164>(), Err(NumberError::Empty));
        assert_eq!("+".parse::<E164>(), Err(NumberError::Empty));
        assert!(matches!("+0333331234".parse::<E164>(), Err(NumberError::CountryCode { .. })));
        assert_eq!("+81x".parse::<E164>(), Err(NumberError::Character { found: 'x', place: 4 }));
    }

    #[test]
    fn sorts_as_its_digits_do() {
        let mut numbers: Vec<E164> =
            ["819", "81", "1", "8133"].iter().map(|d| d.parse().unwrap()).collect();
        numbers.sort();
        let digits: Vec<&str> = numbers.iter().map(E164::as_digits).collect();
        assert_eq!(digits, ["1", "81", "8133", "819"]);
    }
}
