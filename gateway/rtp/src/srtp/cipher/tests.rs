//! The vectors of RFC 3711 appendix B.2 and of RFC 7714 §16 and §17, which start from session keys.

use super::*;

const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
    696e2070 61727465 73207472 6573";
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef \
    deadbeef deadbeef deadbeef deadbeef";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn gcm(suite: Suite, stream: StreamKind) -> Cipher {
    let octets = suite.key_octets() - 12;
    let key: Vec<u8> = (0..octets as u8).collect();
    let keys = SessionKeys::for_tests(&key, b"Quid pro quo", &[0; 20]);
    Cipher::from_session_keys(suite, stream, &keys).unwrap()
}

#[test]
fn counter_mode_gives_the_key_stream_of_rfc_3711_appendix_b_2() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let keys = SessionKeys::for_tests(&key, &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), &[0; 20]);
    let suite = Suite::AesCm128HmacSha1_80;
    let Cipher::CounterMode(mode) =
        Cipher::from_session_keys(suite, StreamKind::Rtp, &keys).unwrap()
    else {
        panic!("the suite is one of counter mode");
    };
    let mut stream = vec![0; 1_044_512];
    mode.apply(&mut stream, 0, 0);
    for (block, expected) in [
        (0x0000, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (0x0001, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (0x0002, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ] {
        // The appendix counts its blocks from the counter's start; the stream ends with block 0xff01.
        assert_eq!(stream[block * 16..][..16], hex(expected), "block {block:#x}");
    }
}

#[test]
fn gcm_protects_rtp_as_in_rfc_7714_section_16() {
    for (suite, expected) in [
        (
            Suite::AeadAes128Gcm,
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b\
             36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Suite::AeadAes256Gcm,
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f\
             1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let cipher = gcm(suite, StreamKind::Rtp);
        let mut packet = hex(RTP);
        let octets = packet.len();
        packet.resize(octets + 16, 0);
        let sealed = cipher.seal_rtp(&mut packet, 12, octets, 0x5501_a0b2, 0xf17b);
        assert_eq!((sealed, &packet), (Some(octets + 16), &hex(expected)));
        assert_eq!(cipher.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b), Some(octets));
        assert_eq!(packet[..octets], hex(RTP));
    }
}

#[test]
fn gcm_protects_rtcp_as_in_rfc_7714_section_17() {
    for (suite, expected) in [
        (
            Suite::AeadAes128Gcm,
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46\
             86303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            Suite::AeadAes256Gcm,
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658\
             c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ] {
        let cipher = gcm(suite, StreamKind::Rtcp);
        let mut packet = hex(RTCP);
        let octets = packet.len();
        packet.resize(octets + 20, 0);
        let sealed = cipher.seal_rtcp(&mut packet, octets, 0x4d61_7273, 0x5d4);
        assert_eq!((sealed, &packet), (Some(octets + 20), &hex(expected)));
        assert_eq!(cipher.rtcp_index(&packet), 0x5d4);
        assert_eq!(cipher.open_rtcp(&mut packet, 0x4d61_7273), Some(octets));
        assert_eq!(packet[..octets], hex(RTCP));
    }
}

#[test]
fn rtcp_that_is_only_authenticated_is_taken_as_in_rfc_7714_section_17_3() {
    let cipher = gcm(Suite::AeadAes128Gcm, StreamKind::Rtcp);
    let mut packet = hex(RTCP);
    let octets = packet.len();
    packet.extend(hex("841dd9683dd78ec92ae58790125f62b3 000005d4"));
    let mut changed = packet.clone();
    changed[20] ^= 1;
    assert_eq!(cipher.open_rtcp(&mut packet, 0x4d61_7273), Some(octets));
    assert_eq!(packet[..octets], hex(RTCP));
    assert_eq!(cipher.open_rtcp(&mut changed, 0x4d61_7273), None);
}
