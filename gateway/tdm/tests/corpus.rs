//! What the fuzzer is seeded with and what it has found, once more.

use trunkline_tdm::Block;
use trunkline_tdm::hdlc::{Decoder, FRAME_SIZE_OCTETS_MAX};
use trunkline_tdm::tdmoe::frame;

#[path = "../../../fuzz/corpus.rs"]
mod corpus;

#[test]
fn no_frame_of_hdlc_is_longer_than_it_may_be_however_it_is_cut() {
    corpus::replay("hdlc_decoder", |input| {
        let mut whole = Vec::new();
        Decoder::default().feed(input, |frame| {
            assert!(frame.len() <= FRAME_SIZE_OCTETS_MAX);
            whole.push(frame.to_vec());
        });
        let (mut decoder, mut pieces) = (Decoder::default(), Vec::new());
        for piece in input.chunks(3) {
            decoder.feed(piece, |frame| pieces.push(frame.to_vec()));
        }
        assert_eq!(whole, pieces);
    });
}

#[test]
fn frames_of_tdm_over_ethernet_that_are_read_fill_a_block() {
    corpus::replay("tdmoe_frame", |input| {
        if let Ok(frame) = frame::decode(input) {
            frame.read_into(&mut Block::new(frame::SAMPLES));
        }
    });
}
