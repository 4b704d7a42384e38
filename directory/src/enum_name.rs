//! Numbers as domain names: digits reversed, one a label, under an apex (RFC 6116 §3.4).

use std::fmt::Write as _;

use domain::base::name::{Label, ToName};

use crate::table::Digits;

/// Where a name stands to an apex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not at or below it.
    Outside,
    /// The apex itself.
    Apex,
    /// Digits below it.
    Digits(Digits),
    /// Below it, but with a label that is no digit or with more than 15.
    NotNumber,
}

/// Takes a name apart; upper and lower case of the apex are the same (RFC 4343).
pub fn place<N: ToName + ?Sized>(name: &N, apex: &(impl ToName + ?Sized)) -> Place {
    let count = name.iter_labels().count();
    let Some(below) = count.checked_sub(apex.iter_labels().count()) else {
        return Place::Outside;
    };
    // Once through from the front: the last digit comes first, and names in messages are slow to
    // read from their end.
    let mut labels = name.iter_labels();
    let mut value = Some(Digits::default());
    for label in labels.by_ref().take(below) {
        value = value.zip(digit(label)).and_then(|(digits, digit)| digits.push_front(digit));
    }
    if !labels.eq(apex.iter_labels()) {
        return Place::Outside;
    }
    match value {
        Some(digits) if digits.length() == 0 => Place::Apex,
        Some(digits) => Place::Digits(digits),
        None => Place::NotNumber,
    }
}

/// The name of a number, with a final dot: `4.3.2.1.….1.8.e164.arpa.`.
pub fn name(digits: Digits, apex: &str) -> String {
    let text = digits.to_string();
    let mut name = String::with_capacity(text.len() * 2 + apex.len() + 1);
    for digit in text.chars().rev() {
        let _ = write!(name, "{digit}.");
    }
    name.push_str(apex.trim_end_matches('.'));
    name.push('.');
    name
}

fn digit(label: &Label) -> Option<u8> {
    match label.as_slice() {
        [octet @ b'0'..=b'9'] => Some(octet - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::base::Name;
    use proptest::prelude::*;

    use super::*;

    fn placed(name: &str, apex: &str) -> Place {
        place(&name.parse::<Name<Vec<u8>>>().unwrap(), &apex.parse::<Name<Vec<u8>>>().unwrap())
    }

    #[test]
    fn number_of_the_patent_is_reversed_under_the_apex() {
        let digits = Digits::read("81333331234").unwrap();
        let written = name(digits, "e164.arpa");
        assert_eq!(written, "4.3.2.1.3.3.3.3.3.1.8.e164.arpa.");
        assert_eq!(placed(&written, "e164.arpa"), Place::Digits(digits));
        assert_eq!(placed(&written, "E164.Arpa"), Place::Digits(digits));
    }

    #[test]
    fn names_that_are_no_numbers_are_told_apart() {
        assert_eq!(placed("e164.arpa", "e164.arpa"), Place::Apex);
        assert_eq!(placed("arpa", "e164.arpa"), Place::Outside);
        assert_eq!(placed("1.xe164.arpa", "e164.arpa"), Place::Outside);
        assert_eq!(placed("www.e164.arpa", "e164.arpa"), Place::NotNumber);
        assert_eq!(placed("*.1.8.e164.arpa", "e164.arpa"), Place::NotNumber);
        assert_eq!(placed("13.1.8.e164.arpa", "e164.arpa"), Place::NotNumber);
        let sixteen = "1.".repeat(16) + "e164.arpa";
        assert_eq!(placed(&sixteen, "e164.arpa"), Place::NotNumber);
    }

    proptest! {
        #[test]
        fn name_and_number_are_inverse(text in "[0-9]{1,15}", apex in "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}") {
            let digits = Digits::read(&text).unwrap();
            prop_assert_eq!(placed(&name(digits, &apex), &apex), Place::Digits(digits));
        }
    }
}
