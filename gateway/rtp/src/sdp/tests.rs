use proptest::prelude::*;

use super::*;
use crate::codec::OpusParameters;
use crate::error::RtpError;
use crate::srtp::Suite;

const CARRIER: &str = "v=0\r\no=- 20518 0 IN IP4 198.51.100.1\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 49170 RTP/AVP 18 0 8 96 101 13\r\na=rtpmap:18 G729/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 maxaveragebitrate=16000; useinbandfec=1;usedtx=1\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:30\r\na=maxptime:40\r\n";

fn parse(text: &str) -> Sdp {
    Sdp::parse(text.as_bytes()).unwrap()
}

fn parse_error(text: &str) -> String {
    Sdp::parse(text.as_bytes()).unwrap_err().to_string()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn local() -> LocalMedia {
    LocalMedia::new(at("192.0.2.10:20000"), 77)
}

fn local_two() -> LocalMedia {
    LocalMedia::new(at("192.0.2.20:30000"), 88)
}

fn all_codecs() -> [Codec; 4] {
    [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::opus_telephony()]
}

/// As the other side sees it: through text.
fn over_the_wire(sdp: &Sdp) -> Sdp {
    parse(&sdp.to_string())
}

#[test]
fn carriers_description_is_read() {
    let sdp = parse(CARRIER);
    assert_eq!((sdp.session_id(), sdp.version()), ("20518", 0));
    let audio = sdp.audio().unwrap();
    assert_eq!(audio.rtp, at("198.51.100.7:49170"));
    assert_eq!(audio.rtcp, at("198.51.100.7:49171"));
    assert_eq!((audio.ptime_ms, audio.maxptime_ms), (Some(30), Some(40)));
    assert_eq!(audio.direction, Direction::SendReceive);
    let opus = OpusParameters {
        max_average_bit_rate_bps: Some(16_000),
        inband_fec: true,
        dtx: true,
        ..OpusParameters::default()
    };
    let expected = [
        (18, Encoding::Other { name: "G729".to_owned() }),
        (0, Encoding::Voice(Codec::Pcmu)),
        (8, Encoding::Voice(Codec::Pcma)),
        (96, Encoding::Voice(Codec::Opus(opus))),
        (101, Encoding::TelephoneEvent { clock_hz: 8_000 }),
        (13, Encoding::ComfortNoise),
    ];
    let read: Vec<_> = audio.formats.iter().map(|f| (f.payload_type, f.encoding.clone())).collect();
    assert_eq!(read, expected);
}

#[test]
fn our_preference_decides_and_the_offerers_numbers_are_used() {
    let mut local = local();
    local.comfort_noise = true;
    let (sdp, agreed) = answer(&parse(CARRIER), &local, &all_codecs()).unwrap();
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::Pcma, 8));
    assert_eq!((agreed.telephone_event, agreed.telephone_event_clock_hz), (Some(101), 8_000));
    assert_eq!(agreed.comfort_noise, Some(13));
    assert_eq!(agreed.remote_rtp, at("198.51.100.7:49170"));
    assert_eq!(agreed.ptime_ms, 30);
    assert!(!agreed.is_held() && !agreed.rtcp_mux);
    let text = sdp.to_string();
    assert!(text.contains("m=audio 20000 RTP/AVP 8 13 101\r\n"), "{text}");
    assert!(text.contains("c=IN IP4 192.0.2.10\r\n"), "{text}");
    assert!(text.contains("a=ptime:30\r\n"), "{text}");

    let (sdp, agreed) = answer(&parse(CARRIER), &local, &[Codec::opus_telephony()]).unwrap();
    assert_eq!(agreed.payload_type, 96);
    // What they ask of our encoder is theirs; what we ask of theirs stands in the answer.
    assert!(matches!(
        agreed.codec,
        Codec::Opus(OpusParameters { max_average_bit_rate_bps: Some(16_000), .. })
    ));
    assert!(
        sdp.to_string().contains("a=fmtp:96 maxplaybackrate=16000;useinbandfec=1\r\n"),
        "{sdp}"
    );
    assert_eq!((agreed.ptime_ms, agreed.comfort_noise), (20, None));
}

#[test]
fn offer_and_answer_of_two_gateways_agree_on_both_sides() {
    let preferences = [Codec::opus_telephony(), Codec::Pcma];
    let offer = make_offer(&local(), &preferences);
    let (sdp, theirs) = answer(&over_the_wire(&offer), &local_two(), &preferences).unwrap();
    let ours = accept_answer(&offer, &over_the_wire(&sdp)).unwrap();
    assert_eq!((ours.payload_type, theirs.payload_type), (111, 111));
    assert_eq!((ours.telephone_event, theirs.telephone_event), (Some(110), Some(110)));
    assert_eq!((ours.telephone_event_clock_hz, theirs.telephone_event_clock_hz), (48_000, 48_000));
    assert_eq!((ours.remote_rtp, theirs.remote_rtp), (local_two().rtp, local().rtp));
    assert_eq!((ours.remote_rtcp, theirs.remote_rtcp), (local_two().rtp, local().rtp));
    assert!(ours.rtcp_mux && theirs.rtcp_mux);
    assert_eq!(ours.receivable, [(111, Codec::opus_telephony())]);
    let expected = ours.expected_payload_types();
    assert!(expected.contains(111) && expected.contains(110) && !expected.contains(8));
}

#[test]
fn every_description_we_write_is_read_back_the_same() {
    let mut sides = vec![local()];
    sides.push(LocalMedia { comfort_noise: true, rtcp_mux: false, ..local() });
    sides.push(LocalMedia {
        rtcp_mux: false,
        rtcp: at("192.0.2.11:9"),
        direction: Direction::SendOnly,
        ..local()
    });
    sides.push(LocalMedia::new(at("[2001:db8::1]:4000"), u64::MAX));
    for side in sides {
        let offer = make_offer(&side, &all_codecs());
        assert_eq!(over_the_wire(&offer), offer);
    }
}

#[test]
fn answer_with_other_numbers_is_sent_to_under_its_own_and_received_under_ours() {
    let offer = make_offer(&local(), &[Codec::opus_telephony(), Codec::Pcma]);
    let answer = parse(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 30000 RTP/AVP 96 8 97\r\n\
         a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/8000\r\n",
    );
    let agreed = accept_answer(&offer, &answer).unwrap();
    assert_eq!(agreed.payload_type, 96);
    let numbers: Vec<u8> = agreed.receivable.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [111, 8]);
    assert_eq!((agreed.telephone_event, agreed.receive_telephone_event), (Some(97), Some(101)));
}

#[test]
fn g722_is_known_by_its_number_and_by_its_name_with_the_clock_that_it_has_in_rtp() {
    for (numbers, map) in [("9 13", ""), ("98 13", "a=rtpmap:98 G722/8000\r\n")] {
        let offer = parse(&format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
             m=audio 30000 RTP/AVP {numbers}\r\n{map}a=ptime:30\r\n",
        ));
        let side = LocalMedia { comfort_noise: true, ..local() };
        let (sdp, agreed) = answer(&offer, &side, &all_codecs()).unwrap();
        assert_eq!((agreed.codec, agreed.ptime_ms), (Codec::G722, 30));
        assert_eq!(agreed.comfort_noise, Some(13));
        assert!(sdp.to_string().contains(" G722/8000\r\n"), "{sdp}");
    }
    let wide = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 98\r\na=rtpmap:98 G722/16000\r\n";
    assert!(answer(&parse(wide), &local(), &all_codecs()).is_err());
}

#[test]
fn other_media_lines_are_refused_in_their_places() {
    let offer = parse(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=video 5004 RTP/AVP 99\r\n\
         m=audio 0 RTP/AVP 0\r\nm=audio 5000 RTP/SAVP 0\r\nm=audio 30000 RTP/AVPF 0\r\nm=audio 30002 RTP/AVP 8\r\n\
         m=image 5008 udptl t38\r\n",
    );
    let (sdp, agreed) = answer(&offer, &local(), &all_codecs()).unwrap();
    assert_eq!(agreed.codec, Codec::Pcmu);
    let lines: Vec<_> =
        sdp.to_string().lines().filter(|l| l.starts_with("m=")).map(str::to_owned).collect();
    let expected = [
        "m=video 0 RTP/AVP 99",
        "m=audio 0 RTP/AVP 0",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 20000 RTP/AVPF 0",
        "m=audio 0 RTP/AVP 8",
        "m=image 0 udptl t38",
    ];
    assert_eq!(lines, expected);
    assert_eq!(accept_answer(&offer, &sdp).unwrap().codec, Codec::Pcmu);
}

#[test]
fn hold_of_every_kind_stops_our_sending() {
    let cases = [
        ("a=sendonly", "198.51.100.7", Direction::ReceiveOnly),
        ("a=inactive", "198.51.100.7", Direction::Inactive),
        ("a=sendrecv", "0.0.0.0", Direction::ReceiveOnly),
        ("a=recvonly", "0.0.0.0", Direction::Inactive),
        ("a=recvonly", "198.51.100.7", Direction::SendOnly),
    ];
    for (attribute, address, expected) in cases {
        let text = CARRIER.replace("c=IN IP4 198.51.100.7", &format!("c=IN IP4 {address}"));
        let (sdp, agreed) =
            answer(&parse(&format!("{text}{attribute}\r\n")), &local(), &all_codecs()).unwrap();
        assert_eq!(agreed.direction, expected, "{attribute} {address}");
        assert_eq!(agreed.is_held(), !expected.sends());
        assert!(sdp.to_string().contains(&format!("a={}\r\n", expected.name())), "{sdp}");
    }
    // At the session level it counts for lines that say nothing themselves.
    let text = CARRIER.replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\n");
    assert_eq!(parse(&text).audio().unwrap().direction, Direction::Inactive);
    let text = format!("{text}a=sendonly\r\n");
    assert_eq!(parse(&text).audio().unwrap().direction, Direction::SendOnly);
}

#[test]
fn we_hold_by_a_revised_offer_that_keeps_lines_and_numbers() {
    let (first, _) = answer(&parse(CARRIER), &local(), &[Codec::opus_telephony()]).unwrap();
    let held = LocalMedia { version: 2, direction: Direction::SendOnly, ..local() };
    let offer = first.revised(&held);
    assert_eq!((offer.session_id(), offer.version()), (first.session_id(), 2));
    let text = offer.to_string();
    assert!(
        text.contains("m=audio 20000 RTP/AVP 96 101\r\n") && text.contains("a=sendonly\r\n"),
        "{text}"
    );
    let (sdp, theirs) = answer(&over_the_wire(&offer), &local_two(), &all_codecs()).unwrap();
    assert!(theirs.is_held());
    let ours = accept_answer(&offer, &sdp).unwrap();
    assert_eq!((ours.direction, ours.payload_type), (Direction::SendOnly, 96));
}

#[test]
fn rtcp_goes_where_the_description_says() {
    let with = |line: &str| parse(&format!("{CARRIER}{line}\r\n"));
    let agreed = |line: &str, local: LocalMedia| {
        answer(&with(line), &local, &all_codecs()).unwrap().1.remote_rtcp
    };
    assert_eq!(agreed("a=rtcp:53020", local()), at("198.51.100.7:53020"));
    assert_eq!(agreed("a=rtcp:53020 IN IP4 203.0.113.1", local()), at("203.0.113.1:53020"));
    assert_eq!(agreed("a=rtcp-mux", local()), at("198.51.100.7:49170"));
    let without = LocalMedia { rtcp_mux: false, ..local() };
    assert_eq!(agreed("a=rtcp-mux", without), at("198.51.100.7:49171"));
    assert!(parse_error(&format!("{CARRIER}a=rtcp:70000\r\n")).contains("70000"));
}

#[test]
fn voip_metrics_go_to_who_asks_for_them_and_are_asked_for() {
    let linphone = "a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics";
    let agreed = |text: &str| answer(&parse(text), &local(), &all_codecs()).unwrap().1.voip_metrics;
    assert!(!agreed(CARRIER));
    assert!(agreed(&format!("{CARRIER}{linphone}\r\n")));
    assert!(!agreed(&format!("{CARRIER}a=rtcp-xr:rcvr-rtt=all\r\n")));
    let of_the_session = CARRIER.replacen("m=audio", &format!("{linphone}\r\nm=audio"), 1);
    assert!(agreed(&of_the_session));
    // An empty attribute of the media line takes the session's back.
    assert!(!agreed(&format!("{of_the_session}a=rtcp-xr\r\n")));

    let offer = make_offer(&local(), &all_codecs());
    assert!(offer.to_string().contains("\r\na=rtcp-xr:voip-metrics\r\n"));
    let (sdp, theirs) = answer(&over_the_wire(&offer), &local_two(), &all_codecs()).unwrap();
    assert!(
        theirs.voip_metrics && accept_answer(&offer, &over_the_wire(&sdp)).unwrap().voip_metrics
    );
}

#[test]
fn ptime_keeps_to_what_both_can() {
    let with = |lines: &str, codec: Codec| {
        let text = CARRIER.replace("a=ptime:30\r\na=maxptime:40\r\n", lines);
        answer(&parse(&text), &local(), &[codec]).unwrap().1.ptime_ms
    };
    assert_eq!(with("", Codec::Pcma), 20);
    assert_eq!(with("a=ptime:20.0\r\n", Codec::Pcma), 20);
    assert_eq!(with("a=ptime:40\r\na=maxptime:30\r\n", Codec::Pcma), 30);
    assert_eq!(with("a=ptime:5\r\n", Codec::Pcma), 10);
    assert_eq!(with("a=ptime:200\r\n", Codec::Pcma), 60);
    assert_eq!(with("a=ptime:50\r\n", Codec::opus_telephony()), 40);
    assert_eq!(with("a=ptime:many\r\na=maxptime:0\r\n", Codec::Pcma), 20);
}

#[test]
fn refusals_name_their_reason() {
    let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n";
    let nothing = parse(text);
    assert_eq!(answer(&nothing, &local(), &all_codecs()).unwrap_err(), RtpError::NoAudio);
    let foreign = parse(&format!("{text}m=audio 4000 RTP/AVP 18 15\r\na=rtpmap:18 G729/8000\r\n"));
    let error = answer(&foreign, &local(), &all_codecs()).unwrap_err().to_string();
    assert!(error.contains("G729"), "{error}");
    let six = LocalMedia::new(at("[2001:db8::1]:4000"), 1);
    let error = answer(&parse(CARRIER), &six, &all_codecs()).unwrap_err();
    assert!(matches!(error, RtpError::AddressFamily { .. }));

    let offer = make_offer(&local(), &all_codecs());
    assert_eq!(
        accept_answer(&offer, &nothing),
        Err(RtpError::AnswerLines { found: 0, expected: 1 })
    );
    let refused = parse(&format!("{text}m=audio 0 RTP/AVP 8\r\n"));
    assert_eq!(accept_answer(&offer, &refused), Err(RtpError::NoAudio));
    assert!(matches!(accept_answer(&offer, &foreign), Err(RtpError::NoCommonCodec { .. })));
}

#[test]
fn malformed_descriptions_are_refused_by_name() {
    let replaced = |from: &str, to: &str| parse_error(&CARRIER.replace(from, to));
    let cases = [
        (parse_error(""), "version"),
        (parse_error("\u{0}\u{1}\u{2}"), "session description"),
        (replaced("v=0", "v=9"), "version"),
        (replaced("c=IN IP4 198.51.100.7\r\n", ""), "connection line"),
        (replaced("198.51.100.7", "gw.example.com"), "gw.example.com"),
        (replaced("198.51.100.7", "239.1.1.1/16"), "239.1.1.1"),
        (replaced("198.51.100.7", "255.255.255.255"), "255.255.255.255"),
        (replaced("49170", "491700"), "line 6"),
        (replaced("RTP/AVP 18", "RTP/AVP 128"), "128"),
        (replaced("RTP/AVP 18", "RTP/AVP x"), "payload type"),
        (parse_error(&"a=x\r\n".repeat(600)), "lines"),
        (parse_error(&"x".repeat(20_000)), "octets"),
        (parse_error(&format!("{CARRIER}{}", "m=audio 1 RTP/AVP 0\r\n".repeat(16))), "media lines"),
        (replaced("RTP/AVP 18", &format!("RTP/AVP {}", "0 ".repeat(70))), "formats"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        assert!(error.len() < 200, "{error}");
    }
}

#[test]
fn attributes_that_cannot_be_read_cost_only_their_format() {
    let text = CARRIER
        .replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMA/8000/2")
        .replace("a=rtpmap:96 opus/48000/2", "a=rtpmap:96 opus")
        .replace("a=fmtp:101 0-15", "a=fmtp:999 \u{fffd}");
    let sdp = parse(&text);
    let names: Vec<_> = sdp.audio().unwrap().codecs().map(|(_, codec)| codec).collect();
    assert_eq!(names, [Codec::Pcmu]);
}

#[test]
fn text_of_the_offer_cannot_add_lines_to_the_answer() {
    let text = CARRIER.replace("m=audio", "m=video 1 RTP/AVP 1\ra=evil\r\nm=audio");
    if let Ok(offer) = Sdp::parse(text.as_bytes()) {
        let (sdp, _) = answer(&offer, &local(), &all_codecs()).unwrap();
        assert!(sdp.to_string().lines().all(|line| !line.starts_with("a=evil")), "{sdp}");
    }
}

/// Pieces of descriptions, so that arbitrary order and nonsense reach deep into the reader.
fn pieces() -> impl Strategy<Value = String> {
    let lines: Vec<String> = CARRIER.split_inclusive("\r\n").map(str::to_owned).collect();
    let line = prop_oneof![
        4 => proptest::sample::select(lines),
        1 => "[a-z]=[ -~]{0,40}\r\n",
        1 => "a=(rtpmap|fmtp|ptime|maxptime|rtcp|rtcp-mux|sendonly|inactive):?[0-9a-z/ ;=.-]{0,30}\r\n",
        1 => "m=(audio|video) [0-9]{1,6} (RTP/AVP|RTP/SAVPF|udptl)( [0-9]{1,3}){0,6}\r\n",
        1 => "c=IN IP[46] [0-9a-f.:/]{1,20}\r\n",
        1 => "m=audio [0-9]{4} RTP/SAVPF?( [08]){1,2}\r\n",
        1 => "a=crypto:[0-9]{1,2} AES_CM_128_HMAC_SHA1_(80|32) inline:[A-Za-z0-9+/]{40}\r\n",
    ];
    proptest::collection::vec(line, 0..30).prop_map(|lines| format!("v=0\r\n{}", lines.concat()))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = Sdp::parse(&bytes);
    }

    #[test]
    fn whatever_is_read_can_be_answered_and_the_answer_be_read(
        text in pieces(),
        has_keys in any::<bool>(),
    ) {
        let mut local = local();
        if has_keys {
            local.crypto = Crypto::generate(&Suite::ALL, |octets| octets.fill(0x5a));
        }
        if let Ok(offer) = Sdp::parse(text.as_bytes())
            && let Ok((sdp, agreed)) = answer(&offer, &local, &all_codecs())
        {
            let read = over_the_wire(&sdp);
            prop_assert_eq!(read.media.len(), offer.media.len());
            prop_assert_eq!(read.audio(), sdp.audio());
            prop_assert!((10..=60).contains(&agreed.ptime_ms));
            prop_assert!(accept_answer(&offer, &read).is_ok());
        }
    }
}
