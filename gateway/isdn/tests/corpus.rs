//! What the fuzzer is seeded with and what it has found, once more.

use std::path::Path;

use trunkline_isdn::Side;
use trunkline_isdn::q921::frame::Frame;
use trunkline_isdn::q931::message::Message;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(folder).expect("the target has a corpus");
    let inputs: Vec<Vec<u8>> = entries
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("an input"))
        .collect();
    assert!(!inputs.is_empty(), "{target}");
    inputs
}

#[test]
fn frames_that_are_read_write_back() {
    for input in inputs("q921_frame") {
        for side in [Side::User, Side::Network] {
            if let Ok(frame) = Frame::decode(&input, side, 260) {
                assert_eq!(Frame::decode(&frame.encode(side), side, 260), Ok(frame));
            }
        }
    }
}

#[test]
fn messages_that_are_read_write_back_to_something_readable() {
    for input in inputs("q931_message") {
        if let Ok(message) = Message::decode(&input) {
            assert!(Message::decode(&message.encode(2)).is_ok());
        }
    }
}
