//! Keys as other sides write them, and what two sides agree on.

use proptest::prelude::*;

use super::super::{Direction, LocalMedia, Negotiated, Sdp, accept_answer, answer, make_offer};
use super::*;
use crate::codec::Codec;

/// The line of RFC 4568 §9.1's kind, 30 octets in 40 characters.
const KEY_30: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const HEAD: &str =
    "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n";

fn parsed(value: &str) -> Crypto {
    Crypto::parse(value).unwrap()
}

fn refusal(value: &str) -> String {
    Crypto::parse(value).unwrap_err().to_string()
}

fn local(suites: &[Suite], first_octet: u8) -> LocalMedia {
    let mut octet = first_octet;
    let mut local = LocalMedia::new("192.0.2.10:20000".parse().unwrap(), 77);
    local.crypto = Crypto::generate(suites, |octets| {
        octets.fill_with(|| {
            octet = octet.wrapping_add(37);
            octet
        })
    });
    local
}

fn offer(media: &str) -> Sdp {
    Sdp::parse(format!("{HEAD}{media}").as_bytes()).unwrap()
}

fn answered(media: &str, suites: &[Suite]) -> Result<(Sdp, Negotiated), RtpError> {
    answer(&offer(media), &local(suites, 1), &[Codec::Pcma])
}

fn over_the_wire(sdp: &Sdp) -> Sdp {
    Sdp::parse(sdp.to_string().as_bytes()).unwrap()
}

#[test]
fn lines_of_telephones_and_gateways_are_read() {
    let line = parsed(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}"));
    assert_eq!((line.tag, line.key.suite()), (1, Suite::AesCm128HmacSha1_80));
    assert_eq!(line.key.octets()[..3], *b"wDf");
    for value in [
        format!("999999999 AES_CM_128_HMAC_SHA1_32 inline:{KEY_30}|2^31"),
        format!("0 AES_CM_128_HMAC_SHA1_32  inline:{KEY_30}|2^48 WSH=128"),
        format!("3 AES_CM_128_HMAC_SHA1_80\tinline:{KEY_30}|1048576 -NEW=1"),
    ] {
        assert_eq!(parsed(&value).key.octets(), line.key.octets(), "{value}");
    }
    // 28 and 44 octets end in padding, which some leave out.
    let (short, long) = ("A".repeat(37), "A".repeat(58));
    for value in [
        format!("1 AEAD_AES_128_GCM inline:{short}A=="),
        format!("1 AEAD_AES_128_GCM inline:{short}A"),
        format!("1 AEAD_AES_256_GCM inline:{long}A="),
    ] {
        assert!(parsed(&value).key.octets().iter().all(|octet| *octet == 0), "{value}");
    }
}

#[test]
fn lines_that_cannot_be_used_are_refused_by_name_and_without_the_key() {
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let gcm = "AEAD_AES_256_GCM";
    let cases = [
        (String::new(), "tag"),
        (format!("x {suite} inline:{KEY_30}"), "tag \"x\""),
        (format!("-1 {suite} inline:{KEY_30}"), "tag \"-1\""),
        (format!("+1 {suite} inline:{KEY_30}"), "tag \"+1\""),
        (format!("01 {suite} inline:{KEY_30}"), "tag \"01\""),
        (format!("1234567890 {suite} inline:{KEY_30}"), "tag \"1234567890\""),
        ("1".to_owned(), "suite"),
        (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY_30}"), "suite \"F8_128_HMAC_SHA1_80\""),
        (format!("1 aes_cm_128_hmac_sha1_80 inline:{KEY_30}"), "suite"),
        (format!("1 {suite}"), "key method"),
        (format!("1 {suite} uri:{KEY_30}"), "key method \"uri\""),
        (format!("1 {suite} inline:{KEY_30}|2^20|1:4"), "MKI \"1:4\""),
        (format!("1 {suite} inline:{KEY_30}|1:4"), "MKI \"1:4\""),
        (format!("1 {suite} inline:{KEY_30};inline:{KEY_30}"), "several keys"),
        (format!("1 {suite} inline:{KEY_30}|2^49"), "lifetime \"2^49\""),
        (format!("1 {suite} inline:{KEY_30}|0"), "lifetime"),
        (format!("1 {suite} inline:{KEY_30}|+5"), "lifetime"),
        (format!("1 {suite} inline:{KEY_30}|2^20|2^20"), "lifetime"),
        (format!("1 {suite} inline:"), "30 octets, 0 are there"),
        (format!("1 {gcm} inline:{KEY_30}"), "44 octets, 30 are there"),
        (format!("1 {suite} inline:{}", &KEY_30[..39]), "30 octets, 29 are there"),
        (format!("1 {suite} inline:{}", &KEY_30[..37]), "base64"),
        (format!("1 {suite} inline:{}", &KEY_30[..36]), "30 octets, 27 are there"),
        (format!("1 {suite} inline:{KEY_30}AAAA"), "30 octets, 33 are there"),
        (format!("1 {suite} inline:{}", KEY_30.repeat(100)), "base64"),
        (format!("1 {suite} inline:{}", KEY_30.replace('c', "-")), "base64"),
        (format!("1 {suite} inline:{KEY_30} UNENCRYPTED_SRTP"), "UNENCRYPTED_SRTP"),
        (format!("1 {suite} inline:{KEY_30} UNAUTHENTICATED_SRTP"), "UNAUTHENTICATED_SRTP"),
        (format!("1 {suite} inline:{KEY_30} KDR=1"), "KDR"),
        (format!("1 {suite} inline:{KEY_30} WSH=32"), "WSH"),
        (format!("1 {suite} inline:{KEY_30} FEC_KEY=inline:{KEY_30}"), "FEC_KEY"),
        (format!("1 {suite} inline:{KEY_30} WSH=128 NEW"), "NEW"),
    ];
    for (value, expected) in cases {
        let error = refusal(&value);
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        assert!(!error.contains("d0Rm") && error.len() < 160, "{error}");
    }
}

#[test]
fn first_supported_line_of_an_offer_is_answered_with_our_key_under_its_tag() {
    let media = format!(
        "m=audio 5000 RTP/SAVP 8\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEY_30}\r\n\
         a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:{KEY_30}\r\n\
         a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|2^31\r\n"
    );
    let (sdp, agreed) = answered(&media, &Suite::ALL).unwrap();
    let keys = agreed.srtp.unwrap();
    assert_eq!(keys.remote.suite(), Suite::AesCm128HmacSha1_32);
    assert_eq!(keys.remote.octets()[..3], *b"wDf");
    assert!(local(&Suite::ALL, 1).crypto.iter().any(|line| line.key == keys.local));
    let text = sdp.to_string();
    assert!(text.contains("m=audio 20000 RTP/SAVP 8\r\n"), "{text}");
    assert_eq!(text.matches("a=crypto:").count(), 1, "{text}");
    assert!(text.contains("a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"), "{text}");
    assert!(!text.contains(KEY_30), "{text}");
    // A side that does not have the shorter tag takes the next.
    let (_, agreed) = answered(&media, &[Suite::AesCm128HmacSha1_80]).unwrap();
    assert_eq!(agreed.srtp.unwrap().local.suite(), Suite::AesCm128HmacSha1_80);
    // With feedback, the answer names the same.
    let (sdp, _) = answered(&media.replace("RTP/SAVP", "RTP/SAVPF"), &Suite::ALL).unwrap();
    assert!(sdp.to_string().contains("m=audio 20000 RTP/SAVPF 8\r\n"), "{sdp}");
}

#[test]
fn two_gateways_agree_on_each_others_keys() {
    let (ours, theirs) = (local(&Suite::ALL, 1), local(&Suite::ALL, 100));
    let offer = make_offer(&ours, &[Codec::Pcma]);
    assert_eq!(over_the_wire(&offer), offer);
    let (sdp, at_theirs) = answer(&over_the_wire(&offer), &theirs, &[Codec::Pcma]).unwrap();
    let at_ours = accept_answer(&offer, &over_the_wire(&sdp)).unwrap();
    let (at_ours, at_theirs) = (at_ours.srtp.unwrap(), at_theirs.srtp.unwrap());
    assert_eq!(at_ours.local, at_theirs.remote);
    assert_eq!(at_ours.remote, at_theirs.local);
    assert_ne!(at_ours.local, at_ours.remote);
    assert_eq!(at_ours.local.suite(), Suite::ALL[0]);
}

#[test]
fn hold_keeps_the_keys() {
    let (ours, theirs) = (local(&Suite::ALL, 1), local(&Suite::ALL, 100));
    let (first, agreed) =
        answer(&make_offer(&theirs, &[Codec::Pcma]), &ours, &[Codec::Pcma]).unwrap();
    let held = LocalMedia { version: 2, direction: Direction::SendOnly, ..ours };
    let again = first.revised(&held);
    let (sdp, _) = answer(&over_the_wire(&again), &theirs, &[Codec::Pcma]).unwrap();
    assert_eq!(accept_answer(&again, &over_the_wire(&sdp)).unwrap().srtp, agreed.srtp);
}

#[test]
fn secure_offer_without_usable_key_is_refused_with_the_reason() {
    let secure = "m=audio 5000 RTP/SAVP 8\r\n";
    let with_mki = format!("{secure}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}|1:4\r\n");
    let other = format!("{secure}a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY_30}\r\n");
    let suites = [Suite::AesCm128HmacSha1_80];
    for (media, expected) in
        [(secure, "there is none"), (&with_mki, "MKI \"1:4\""), (&other, "HMAC_SHA1_32")]
    {
        let error = answered(media, &suites).unwrap_err();
        assert!(matches!(error, RtpError::NoUsableCrypto { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        // Without keys of ours nothing has changed: there is no audio line to take.
        assert_eq!(answered(media, &[]).unwrap_err(), RtpError::NoAudio);
    }
}

#[test]
fn plain_offer_stays_plain_and_a_mixed_one_is_taken_where_it_can_be() {
    let key = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\r\n");
    let (sdp, agreed) = answered(&format!("m=audio 5000 RTP/AVP 8\r\n{key}"), &Suite::ALL).unwrap();
    assert_eq!(agreed.srtp, None);
    assert!(!sdp.to_string().contains("crypto"), "{sdp}");

    let mixed = format!("m=audio 5000 RTP/SAVP 8\r\n{key}m=audio 5002 RTP/AVP 8\r\n");
    let (sdp, agreed) = answered(&mixed, &Suite::ALL).unwrap();
    assert!(agreed.srtp.is_some() && agreed.remote_rtp.port() == 5000);
    assert!(sdp.to_string().contains("m=audio 0 RTP/AVP 8\r\n"), "{sdp}");
    let (sdp, agreed) = answered(&mixed, &[]).unwrap();
    assert!(agreed.srtp.is_none() && agreed.remote_rtp.port() == 5002);
    assert!(sdp.to_string().contains("m=audio 0 RTP/SAVP 8\r\n"), "{sdp}");
    // The other way round SRTP is taken as well.
    let mixed = format!("m=audio 5002 RTP/AVP 8\r\nm=audio 5000 RTP/SAVP 8\r\n{key}");
    let (_, agreed) = answered(&mixed, &Suite::ALL).unwrap();
    assert!(agreed.srtp.is_some() && agreed.remote_rtp.port() == 5000);
}

#[test]
fn side_that_takes_srtp_only_refuses_plain_rtp() {
    let local = LocalMedia { srtp_only: true, ..local(&[Suite::AeadAes128Gcm], 1) };
    let answered = |media: &str| answer(&offer(media), &local, &[Codec::Pcma]);
    let plain = "m=audio 5000 RTP/AVP 8\r\n";
    assert_eq!(answered(plain).unwrap_err(), RtpError::PlainAudio);
    let other = format!(
        "{plain}m=audio 5002 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\r\n"
    );
    let error = answered(&other).unwrap_err();
    assert!(matches!(error, RtpError::NoUsableCrypto { .. }), "{error}");
}

#[test]
fn answer_must_take_one_line_of_our_offer_and_its_transport() {
    let offer = make_offer(&local(&Suite::ALL, 1), &[Codec::Pcma]);
    let accept = |media: &str| {
        accept_answer(&offer, &Sdp::parse(format!("{HEAD}{media}").as_bytes()).unwrap())
    };
    let line = |tag: u32| format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\r\n");
    let secure = "m=audio 5000 RTP/SAVP 8\r\n";
    assert!(accept(&format!("{secure}{}", line(3))).unwrap().srtp.is_some());
    for lines in [String::new(), line(1), line(9), line(3) + &line(4)] {
        let error = accept(&format!("{secure}{lines}")).unwrap_err();
        assert!(matches!(error, RtpError::NoUsableCrypto { .. }), "{error}");
    }
    assert_eq!(accept("m=audio 5000 RTP/AVP 8\r\n"), Err(RtpError::NoAudio));
    let plain = make_offer(&local(&[], 1), &[Codec::Pcma]);
    let answer = self::offer(&format!("{secure}{}", line(3)));
    assert_eq!(accept_answer(&plain, &answer), Err(RtpError::NoAudio));
}

#[test]
fn lines_with_one_tag_count_once() {
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\r\n");
    let sdp = offer(&format!("m=audio 5000 RTP/SAVP 8\r\n{line}{line}"));
    assert_eq!(sdp.audio().unwrap().crypto.len(), 1);
    assert!(sdp.audio().unwrap().refused_crypto.as_ref().unwrap().contains("repeated tag"));
}

#[test]
fn debug_of_descriptions_shows_no_key() {
    let (sdp, agreed) = answered(
        &format!(
            "m=audio 5000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_30}\r\n"
        ),
        &Suite::ALL,
    )
    .unwrap();
    let ours = agreed.srtp.as_ref().unwrap().local.octets();
    let text = format!("{sdp:?} {agreed:?} {:?}", local(&Suite::ALL, 1));
    assert!(text.contains("AesCm128HmacSha1_80"));
    assert!(!text.contains(KEY_30) && !text.contains(&format!("{}, {}", ours[0], ours[1])));
}

proptest! {
    #[test]
    fn arbitrary_text_is_read_or_refused_and_what_is_read_is_written_the_same(
        value in "[0-9]{0,3} (AES_CM_128_HMAC_SHA1_80|AEAD_AES_(128|256)_GCM|x) inline:[A-Za-z0-9+/]{36,60}={0,2}[|:^0-9 =A-Z-]{0,12}",
    ) {
        if let Ok(line) = Crypto::parse(&value) {
            let written = line.attribute().value.unwrap();
            prop_assert_eq!(Crypto::parse(&written), Ok(line));
        }
    }

    #[test]
    fn arbitrary_characters_never_panic(value in "\\PC{0,200}") {
        let _ = Crypto::parse(&value);
    }
}
