#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline_rtp::fuzz::srtp_packet(bytes));
