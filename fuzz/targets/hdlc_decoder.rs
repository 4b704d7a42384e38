#![no_main]

use trunkline_tdm::hdlc::{Decoder, FRAME_SIZE_OCTETS_MAX};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Decoder::default().feed(bytes, |frame| assert!(frame.len() <= FRAME_SIZE_OCTETS_MAX));
});
