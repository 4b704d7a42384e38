//! What the fuzzer is seeded with and what it has found, once more.

use std::path::Path;

use trunkline_number::{ClickTarget, CountryProfile, Dialled, LinkedData, Policy};

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(folder).expect("the target has a corpus");
    let inputs: Vec<Vec<u8>> = entries
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an input"))
        .collect();
    assert!(!inputs.is_empty(), "{target}");
    inputs
}

#[test]
fn numbers_that_are_understood_read_back_as_themselves() {
    let japan = CountryProfile::japan();
    for input in inputs("number_dialled") {
        let text = String::from_utf8_lossy(&input);
        if let Ok(dialled) = Dialled::parse(&text, &japan) {
            assert_eq!(Dialled::parse(&dialled.to_string(), &japan), Ok(dialled.clone()));
            let _ = Policy::default().check(&dialled);
        }
    }
}

#[test]
fn clicks_and_linked_data_are_read_or_refused() {
    for input in inputs("click_target") {
        let _ = ClickTarget::parse(&String::from_utf8_lossy(&input));
    }
    for input in inputs("linked_data") {
        if let Ok(data) = LinkedData::from_bytes(&input) {
            assert_eq!(LinkedData::from_bytes(data.to_json().as_bytes()).unwrap(), data);
        }
    }
}
