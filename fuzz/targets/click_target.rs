#![no_main]

use trunkline_number::{ClickTarget, CountryProfile, Dialled, Policy};

// A link as the phone follows it: read, dialled, and asked of the policy. No text is an emergency
// call.
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(ClickTarget::Number(number)) = ClickTarget::parse(text)
        && let Ok(dialled) = number.dialled(&CountryProfile::japan())
        && Policy::default().check(&dialled).is_ok()
    {
        assert!(!matches!(&dialled, Dialled::Short(code) if code == "110" || code == "119"));
    }
});
