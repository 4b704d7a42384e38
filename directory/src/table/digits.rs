//! Digit strings of up to 15 places, as one integer and a length.

use std::fmt;

use trunkline_number::E164;

/// Up to 15 decimal digits: a number, or the beginning of one. Ordered by length, then value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digits {
    length: u8,
    value: u64,
}

impl Digits {
    /// Reads ASCII digits. None for another character or more than 15.
    pub fn read(text: &str) -> Option<Self> {
        text.bytes().try_fold(Self::default(), |digits, octet| {
            octet.is_ascii_digit().then(|| digits.push(octet - b'0')).flatten()
        })
    }

    /// `length` digits with this value, leading zeros included. None when they do not hold it.
    pub(super) fn from_value(length: u8, value: u64) -> Option<Self> {
        let past = POWERS_OF_TEN.get(usize::from(length))?;
        (value < *past).then_some(Self { length, value })
    }

    /// With one more digit, 0 to 9, at the end. None when there are 15 already.
    pub fn push(self, digit: u8) -> Option<Self> {
        (usize::from(self.length) < E164::MAX_DIGITS && digit < 10)
            .then(|| Self { value: self.value * 10 + u64::from(digit), length: self.length + 1 })
    }

    /// With one more digit, 0 to 9, at the front. None when there are 15 already.
    pub fn push_front(self, digit: u8) -> Option<Self> {
        (usize::from(self.length) < E164::MAX_DIGITS && digit < 10).then(|| Self {
            value: self.value + u64::from(digit) * POWERS_OF_TEN[usize::from(self.length)],
            length: self.length + 1,
        })
    }

    /// Number of digits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The digits as one integer.
    pub(super) fn value(&self) -> u64 {
        self.value
    }

    /// The first `length` digits; all when there are no more.
    pub fn leading(&self, length: u8) -> Self {
        match self.length.checked_sub(length) {
            Some(cut) => Self { value: self.value / POWERS_OF_TEN[usize::from(cut)], length },
            None => *self,
        }
    }

    /// Values of all strings of `length` digits that begin with these. Empty when `length` is less
    /// than these have.
    pub(super) fn values_below(&self, length: u8) -> std::ops::Range<u64> {
        match length.checked_sub(self.length) {
            Some(more) if usize::from(length) <= E164::MAX_DIGITS => {
                let factor = POWERS_OF_TEN[usize::from(more)];
                self.value * factor..(self.value + 1) * factor
            }
            _ => 0..0,
        }
    }
}

impl From<&E164> for Digits {
    fn from(number: &E164) -> Self {
        Self {
            value: number
                .as_digits()
                .bytes()
                .fold(0, |value, octet| value * 10 + u64::from(octet - b'0')),
            length: number.as_digits().len() as u8,
        }
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return Ok(());
        }
        write!(f, "{:0width$}", self.value, width = usize::from(self.length))
    }
}

const POWERS_OF_TEN: [u64; E164::MAX_DIGITS + 1] = {
    let mut powers = [1; E164::MAX_DIGITS + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Digits {
        Digits::read(text).unwrap()
    }

    #[test]
    fn digits_keep_leading_zeros_and_stop_at_fifteen() {
        assert_eq!(digits("0012").to_string(), "0012");
        assert_eq!(digits("").to_string(), "");
        assert_eq!(digits("999999999999999").length(), 15);
        assert_eq!(Digits::read("1234567890123456"), None);
        assert_eq!(Digits::read("12a"), None);
        assert_eq!(Digits::read("１２"), None);
        assert_eq!(Digits::from_value(2, 99), Some(digits("99")));
        assert_eq!(Digits::from_value(2, 100), None);
        assert_eq!(Digits::from_value(16, 1), None);
    }

    #[test]
    fn strings_below_a_prefix_are_one_range_of_values() {
        assert_eq!(digits("813").values_below(5), 81_300..81_400);
        assert_eq!(digits("813").values_below(3), 813..814);
        assert!(digits("813").values_below(2).is_empty());
        assert!(digits("813").values_below(16).is_empty());
    }
}
