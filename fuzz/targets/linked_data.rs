#![no_main]

use trunkline_number::LinkedData;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = LinkedData::from_bytes(bytes);
});
