//! What the fuzzer is seeded with and what it has found, once more.

use trunkline_isdn::Side;
use trunkline_isdn::q921::frame::Frame;
use trunkline_isdn::q931::element::Element;
use trunkline_isdn::q931::message::Message;

#[path = "../../../fuzz/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/primary_rate.rs"]
mod primary_rate;

#[test]
fn frames_that_are_read_write_back() {
    corpus::replay("q921_frame", |input| {
        for side in [Side::User, Side::Network] {
            if let Ok(frame) = Frame::decode(input, side, 260) {
                assert_eq!(Frame::decode(&frame.encode(side), side, 260), Ok(frame));
            }
        }
    });
}

#[test]
fn messages_that_are_read_write_back_to_something_readable() {
    corpus::replay("q931_message", |input| {
        if let Ok(message) = Message::decode(input) {
            assert!(Message::decode(&message.encode(2)).is_ok());
        }
    });
}

#[test]
fn elements_that_are_read_write_back() {
    corpus::replay("q931_element", |input| {
        let [identifier, contents @ ..] = input else { return };
        let element = Element::decode(identifier & 0x7f, &contents[..contents.len().min(255)]);
        let mut written = Vec::new();
        element.encode(&mut written);
        if let [identifier, _, contents @ ..] = &written[..] {
            assert_eq!(Element::decode(*identifier, contents), element);
        }
    });
}

#[test]
fn an_interface_survives_whatever_the_other_end_says() {
    corpus::replay("primary_rate", primary_rate::drive);
}
