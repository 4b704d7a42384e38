use proptest::prelude::*;

use super::*;

/// SABME as the network sends it on a PRI: SAPI 0, TEI 0, P set (Q.921 §3.6.2).
const SABME: [u8; 3] = [0x02, 0x01, 0x7f];

fn encode(frames: &[&[u8]], blocks: usize) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut waiting: std::collections::VecDeque<Vec<u8>> =
        frames.iter().map(|frame| frame.to_vec()).collect();
    let mut line = vec![0; blocks * 8];
    for block in line.chunks_mut(8) {
        encoder.fill(block, || waiting.pop_front());
    }
    assert_eq!(encoder.frames(), frames.len() as u64, "all frames fit into the blocks");
    line
}

fn decode(line: &[u8]) -> (Vec<Vec<u8>>, DecoderCounters) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    decoder.feed(line, |frame| frames.push(frame.to_vec()));
    (frames, decoder.counters())
}

/// Octets of the line from a text of bits in the order of the line, filled up with ones.
fn line(bits: &str) -> Vec<u8> {
    let mut bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    while !bits.len().is_multiple_of(8) {
        bits.push(1);
    }
    bits.chunks(8).map(|octet| octet.iter().fold(0, |value, bit| value << 1 | bit)).collect()
}

#[test]
fn fcs_has_the_check_value_of_x25() {
    assert_eq!(fcs(b"123456789"), 0x906e);
}

#[test]
fn an_idle_encoder_sends_flags() {
    assert_eq!(encode(&[], 2), [FLAG; 16]);
}

#[test]
fn a_frame_goes_lsb_first_with_a_zero_after_five_ones() {
    // FCS of 02 01 7f by hand-checked CRC-16/X.25, low octet first.
    let check = fcs(&SABME).to_le_bytes();
    let mut bits = String::from("01111110");
    let mut ones = 0;
    for octet in SABME.iter().chain(&check) {
        for bit in 0..8 {
            let one = (octet >> bit) & 1 == 1;
            bits.push(if one { '1' } else { '0' });
            ones = if one { ones + 1 } else { 0 };
            if ones == 5 {
                bits.push('0');
                ones = 0;
            }
        }
    }
    assert!(bits.starts_with("01111110 01000000 10000000 11111011 0".replace(' ', "").as_str()));
    bits.push_str("01111110");
    let whole_octets = bits.len() / 8;
    let sent = encode(&[&SABME], 2);
    assert_eq!(sent[..whole_octets], line(&bits)[..whole_octets]);
    assert_eq!(decode(&sent).0, [SABME]);
}

#[test]
fn frames_with_one_flag_between_are_both_received() {
    let (frames, counters) = decode(&encode(&[&SABME, &[0xff; 40], &SABME], 16));
    assert_eq!(frames, [SABME.to_vec(), vec![0xff; 40], SABME.to_vec()]);
    assert_eq!(counters.frames, 3);
    assert_eq!(counters.bad_fcs + counters.aborts + counters.not_aligned, 0);
}

#[test]
fn flags_that_share_a_zero_are_no_frame() {
    let (frames, counters) = decode(&line("0111111 0111111 0111111 01111110"));
    assert!(frames.is_empty());
    assert_eq!(counters, DecoderCounters::default());
}

#[test]
fn a_changed_bit_is_counted_as_bad_fcs_and_the_next_frame_is_received() {
    let mut sent = encode(&[&[2, 1, 0, 0, 8, 1], &SABME], 8);
    sent[3] ^= 0x10;
    let (frames, counters) = decode(&sent);
    assert_eq!(frames, [SABME]);
    assert_eq!(counters.bad_fcs, 1);
}

#[test]
fn seven_ones_abort_a_frame() {
    let mut sent = encode(&[&[2, 1, 0, 0, 8, 1, 2, 3]], 4);
    sent[5] = 0xff;
    sent[6] = 0xff;
    let (frames, counters) = decode(&sent);
    assert!(frames.is_empty());
    assert_eq!(counters.aborts, 1);
}

#[test]
fn a_line_of_ones_is_idle_and_counts_nothing() {
    assert_eq!(decode(&[0xff; 64]).1, DecoderCounters::default());
    assert_eq!(decode(&[[FLAG; 8], [0xff; 8], [FLAG; 8]].concat()).1, DecoderCounters::default());
}

#[test]
fn a_frame_without_end_is_counted_once_and_reception_recovers() {
    let mut sent = vec![FLAG];
    sent.extend([0x55; 4 * FRAME_SIZE_OCTETS_MAX]);
    sent.extend(encode(&[&SABME], 4));
    let (frames, counters) = decode(&sent);
    assert_eq!(frames, [SABME]);
    assert_eq!(counters.too_long, 1);
}

#[test]
fn short_and_ragged_frames_are_counted() {
    let (frames, counters) = decode(&line("01111110 10101010 01111110 10101010 1010 01111110"));
    assert!(frames.is_empty());
    assert_eq!((counters.too_short, counters.not_aligned), (1, 1));
}

proptest! {
    #[test]
    fn what_is_sent_is_received(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 2..300), 1..6),
        shift in 0_usize..8,
    ) {
        let refs: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let sent = [vec![FLAG], encode(&refs, 300)].concat();
        // The far end's octets begin anywhere in ours.
        let shifted: Vec<u8> = sent
            .windows(2)
            .map(|pair| ((u16::from_be_bytes([pair[0], pair[1]]) << shift) >> 8) as u8)
            .collect();
        let (received, counters) = decode(&shifted);
        prop_assert_eq!(received, frames);
        prop_assert_eq!(counters.bad_fcs + counters.aborts + counters.not_aligned, 0);
    }

    #[test]
    fn arbitrary_octets_are_survived_and_block_length_does_not_matter(
        octets in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(FLAG), Just(0xff), Just(0x00)], 0..3000),
        block in 1_usize..161,
    ) {
        let (whole, counters) = decode(&octets);
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for part in octets.chunks(block) {
            decoder.feed(part, |frame| frames.push(frame.to_vec()));
        }
        prop_assert_eq!(whole, frames);
        prop_assert_eq!(counters, decoder.counters());
    }

    #[test]
    fn table_and_bits_agree(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut by_bits = Decoder::default();
        let mut by_table = Decoder::default();
        let mut bits_frames = Vec::new();
        let mut table_frames = Vec::new();
        let stream = [&[FLAG][..], &octets, &[FLAG, FLAG]].concat();
        for octet in &stream {
            for bit in (0..8).rev() {
                by_bits.feed_bit((octet >> bit) & 1 == 1, &mut |f: &[u8]| bits_frames.push(f.to_vec()));
            }
        }
        by_table.feed(&stream, |frame| table_frames.push(frame.to_vec()));
        prop_assert_eq!(bits_frames, table_frames);
        prop_assert_eq!(by_bits.counters(), by_table.counters());
    }
}
