//! What the fuzzer is seeded with and what it has found, once more.

use trunkline_number::{ClickTarget, CountryProfile, Dialled, LinkedData, Policy, Trust};

#[path = "../../fuzz/corpus.rs"]
mod corpus;

#[test]
fn numbers_that_are_understood_read_back_as_themselves() {
    let japan = CountryProfile::japan();
    corpus::replay("number_dialled", |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(dialled) = Dialled::parse(&text, &japan) {
            assert_eq!(Dialled::parse(&dialled.to_string(), &japan), Ok(dialled.clone()));
            let _ = Policy::default().check(&dialled);
        }
    });
}

#[test]
fn clicks_and_linked_data_are_read_or_refused() {
    corpus::replay("click_target", |input| {
        if let Ok(ClickTarget::Number(number)) = ClickTarget::parse(&String::from_utf8_lossy(input))
            && let Ok(dialled) = number.dialled(&CountryProfile::japan())
        {
            let _ = Policy::default().check(&dialled);
        }
    });
    corpus::replay("linked_data", |input| {
        if let Ok(data) = LinkedData::from_bytes(input) {
            assert_eq!(LinkedData::from_bytes(data.to_json().as_bytes()).unwrap(), data);
            assert_ne!(data.verify(&[], 1_700_000_000), Trust::Trusted);
        }
    });
}
