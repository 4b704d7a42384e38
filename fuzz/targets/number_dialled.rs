#![no_main]

use trunkline_number::{CountryProfile, Dialled};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = Dialled::parse(text, &CountryProfile::japan());
});
