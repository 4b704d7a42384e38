#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = trunkline_tdm::tdmoe::frame::decode(bytes);
});
