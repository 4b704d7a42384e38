#![no_main]

use trunkline_number::{CountryProfile, Dialled, LinkedData, Policy, PublicKey, Trust};

/// A key whose owner signs nothing here.
const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

// A file as the phone reads it: read, written again the same, verified, dialled, asked of the
// policy. Nothing that a stranger writes is trusted.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(data) = LinkedData::from_bytes(bytes) {
        assert_eq!(LinkedData::from_bytes(data.to_json().as_bytes()).as_ref(), Ok(&data));
        let key: PublicKey = KEY.parse().expect("a public key");
        assert_ne!(data.verify(&[key], 1_700_000_000), Trust::Trusted);
        if let Ok(dialled) = Dialled::parse(data.number(), &CountryProfile::japan()) {
            let _ = Policy::default().check(&dialled);
        }
    }
});
