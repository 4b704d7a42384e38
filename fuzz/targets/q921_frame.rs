#![no_main]

use trunkline_isdn::Side;
use trunkline_isdn::q921::frame::Frame;

// What is read is written and read back the same, from either side.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for side in [Side::User, Side::Network] {
        if let Ok(frame) = Frame::decode(bytes, side, 260) {
            let written = frame.encode(side);
            assert_eq!(Frame::decode(&written, side, 260).as_ref(), Ok(&frame));
        }
    }
});
