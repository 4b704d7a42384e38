#![no_main]

use trunkline_number::{ClickTarget, CountryProfile};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(ClickTarget::Number(number)) = ClickTarget::parse(text) {
        let _ = number.dialled(&CountryProfile::japan());
    }
});
