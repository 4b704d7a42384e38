#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_rtp::fuzz::session_description(bytes));
