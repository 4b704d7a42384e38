//! Arbitrary input never panics, and what is read once is read the same again.

use proptest::prelude::*;
use trunkline_number::{ClickTarget, CountryProfile, Dialled, E164, LinkedData, Policy};

/// Text made mostly of what numbers are made of, so that the deep branches are reached.
fn number_like() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[0-9０-９+＋#*() ().\\-－ー%;=a-z]{0,40}").unwrap()
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let japan = CountryProfile::japan();
        if let Ok(number) = Dialled::parse(&text, &japan) {
            let _ = Policy::default().check(&number);
        }
        if let Ok(ClickTarget::Number(number)) = ClickTarget::parse(&text) {
            let _ = number.dialled(&japan);
        }
        let _ = text.parse::<E164>();
    }

    #[test]
    fn number_like_text_is_read_or_refused(text in number_like()) {
        let japan = CountryProfile::japan();
        for scheme in ["tel:", "callto://", "vlf:", "file:", ""] {
            if let Ok(ClickTarget::Number(number)) = ClickTarget::parse(&format!("{scheme}{text}")) {
                let _ = number.dialled(&japan);
            }
        }
        // Normalising is idempotent: what comes out, written down, is read as itself.
        if let Ok(number) = Dialled::parse(&text, &japan) {
            prop_assert_eq!(Dialled::parse(&number.to_string(), &japan), Ok(number));
        }
    }

    #[test]
    fn every_number_of_the_plan_reads_as_itself(digits in "[1-9][0-9]{7,14}") {
        let number: E164 = digits.parse().unwrap();
        prop_assert_eq!(number.to_string(), format!("+{digits}"));
        // Japan's national numbers never begin with 0: there +81 0… is a trunk prefix.
        prop_assume!(!digits.starts_with("810"));
        let read = Dialled::parse(&number.to_string(), &CountryProfile::japan());
        prop_assert_eq!(read, Ok(Dialled::E164(number)));
    }

    #[test]
    fn any_octets_are_linked_data_or_refused(octets in prop::collection::vec(any::<u8>(), 0..5000)) {
        let _ = LinkedData::from_bytes(&octets);
    }

    #[test]
    fn damaged_linked_data_is_read_or_refused(at in 0usize..80, with in any::<u8>()) {
        let data = LinkedData::new("trunkline-phone", "03-3333-1234", Some("gw.example:5060"), Some(1)).unwrap();
        let mut octets = data.to_json().into_bytes();
        let at = at % octets.len();
        octets[at] = with;
        if let Ok(read) = LinkedData::from_bytes(&octets) {
            prop_assert_eq!(LinkedData::from_bytes(read.to_json().as_bytes()), Ok(read));
        }
    }
}
