#![no_main]

use trunkline_isdn::q931::message::Message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Message::decode(bytes);
});
