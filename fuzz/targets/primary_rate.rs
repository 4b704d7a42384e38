#![no_main]

#[path = "../primary_rate.rs"]
mod primary_rate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| primary_rate::drive(bytes));
