#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_directory::fuzz::directory_body(bytes));
