//! Calls of the phone through a gateway: voice both ways, and how calls end.

mod common;

use std::time::{Duration, Instant};

use common::{
    Gateway, NUMBER, Voice, call, callee, configuration, exact_percent, read_wav, sequence,
    write_wav,
};
use trunkline_media::MediaEventKind;
use trunkline_phone::configuration::Sound;
use trunkline_phone::engine::{CallError, Wishes};
use trunkline_rtp::sdp::{Direction, Sdp};
use trunkline_sip::{Event, Rejection};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_carries_files_both_ways_bit_exact_in_pcma() {
    let mut gateway = Gateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (speak, record) = (folder.path().join("said.wav"), folder.path().join("heard.wav"));
    let (said, answered) = (sequence(1, 16_000), sequence(2, 16_000));
    write_wav(&speak, &said);
    let mut phone = configuration();
    phone.sound = Sound::Files { speak: Some(speak), record: Some(record.clone()) };
    let wishes = Wishes { hang_up_after: Some(Duration::from_secs(3)), digits: None };
    let calling = call(phone, callee(Some(gateway.address)), wishes);

    let invite = gateway.incoming().await;
    assert_eq!(invite.request_uri.user, NUMBER);
    gateway.endpoint.provisional(invite.leg, 180, None).unwrap();
    let voice = Voice::answering(&invite.sdp.unwrap(), gateway.address.ip(), answered.clone());
    gateway.endpoint.answer(invite.leg, voice.answer.clone()).unwrap();
    assert!(matches!(gateway.next().await, Event::Acked { .. }));
    let talking = Instant::now();
    match gateway.next().await {
        Event::Bye { cause, .. } => assert_eq!(cause, Some(16)),
        other => panic!("expected the phone to hang up, got {other:?}"),
    }
    let talked = talking.elapsed();
    assert!((2_500..4_500).contains(&talked.as_millis()), "hung up after {talked:?}");
    calling.outcome().await.unwrap();

    // Some blocks fall to the machine when it stalls; none of the others may differ.
    let heard_by_gateway = exact_percent(&said, &voice.stop());
    let heard_by_phone = exact_percent(&answered, &read_wav(&record));
    assert!(heard_by_gateway >= 90, "{heard_by_gateway} % of the phone's blocks are exact");
    assert!(heard_by_phone >= 90, "{heard_by_phone} % of the gateway's blocks are exact");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_are_sent_after_the_answer_and_the_media_says_goodbye() {
    let mut gateway = Gateway::start().await;
    let wishes =
        Wishes { hang_up_after: Some(Duration::from_secs(2)), digits: Some("12#".to_owned()) };
    let calling = call(configuration(), callee(Some(gateway.address)), wishes);
    let invite = gateway.incoming().await;
    let voice = Voice::answering(&invite.sdp.unwrap(), gateway.address.ip(), sequence(3, 8_000));
    let mut events = voice.media.events().unwrap();
    gateway.endpoint.answer(invite.leg, voice.answer.clone()).unwrap();
    let (mut digits, mut goodbye) = (String::new(), false);
    while !goodbye {
        let event = tokio::time::timeout(Duration::from_secs(8), events.recv()).await;
        match event.expect("an event in time").expect("the media live").kind {
            MediaEventKind::DigitFromRtp { digit, .. } => digits.push(digit.symbol()),
            MediaEventKind::ByeReceived => goodbye = true,
            _ => {}
        }
    }
    assert_eq!(digits, "12#");
    calling.outcome().await.unwrap();
    voice.stop();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_is_answered_and_the_other_side_may_hang_up() {
    let mut gateway = Gateway::start().await;
    let calling = call(configuration(), callee(Some(gateway.address)), Wishes::default());
    let invite = gateway.incoming().await;
    let mut voice =
        Voice::answering(&invite.sdp.unwrap(), gateway.address.ip(), sequence(4, 8_000));
    gateway.endpoint.answer(invite.leg, voice.answer.clone()).unwrap();
    assert!(matches!(gateway.next().await, Event::Acked { .. }));
    for (offered, expected) in [
        (Direction::SendOnly, Direction::ReceiveOnly),
        (Direction::SendReceive, Direction::SendReceive),
    ] {
        gateway.endpoint.reinvite(invite.leg, voice.offer(offered)).unwrap();
        match gateway.next().await {
            Event::ReInviteAnswered { sdp: Some(sdp), .. } => {
                let sdp = Sdp::parse(&sdp).unwrap();
                assert_eq!(sdp.audio().unwrap().direction, expected);
            }
            other => panic!("expected an answer, got {other:?}"),
        }
    }
    gateway.endpoint.hangup(invite.leg, Some(16)).unwrap();
    calling.outcome().await.unwrap();
    voice.stop();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_turned_down_says_why_in_words() {
    let cases = [
        (486, Some(17), "busy"),
        (480, Some(19), "no answer"),
        (404, Some(1), "unknown number"),
        (503, Some(34), "gateway full"),
        (403, None, "refused"),
    ];
    let mut gateway = Gateway::start().await;
    for (status, cause, words) in cases {
        let calling = call(configuration(), callee(Some(gateway.address)), Wishes::default());
        let invite = gateway.incoming().await;
        let rejection = Rejection { status, cause, ..Rejection::default() };
        gateway.endpoint.reject(invite.leg, rejection).unwrap();
        let error = calling.outcome().await.unwrap_err().to_string();
        assert!(error.starts_with(words), "{status}: {error}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_common_codec_ends_the_call_with_bye() {
    let mut gateway = Gateway::start().await;
    let calling = call(configuration(), callee(Some(gateway.address)), Wishes::default());
    let invite = gateway.incoming().await;
    let g729 = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                m=audio 4000 RTP/AVP 18\r\n";
    gateway.endpoint.answer(invite.leg, g729.into()).unwrap();
    assert!(matches!(gateway.next().await, Event::Acked { .. }));
    assert!(matches!(gateway.next().await, Event::Bye { .. }));
    assert!(matches!(calling.outcome().await, Err(CallError::Description(_))));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_or_digit_is_told_before_anybody_is_rung() {
    let mut gateway = Gateway::start().await;
    let mut phone = configuration();
    phone.sound = Sound::Files { speak: Some("/nonexistent/said.wav".into()), record: None };
    let outcome = call(phone, callee(Some(gateway.address)), Wishes::default()).outcome().await;
    assert!(outcome.unwrap_err().to_string().contains("/nonexistent/said.wav"));
    let wishes = Wishes { hang_up_after: None, digits: Some("1x".to_owned()) };
    let outcome = call(configuration(), callee(Some(gateway.address)), wishes).outcome().await;
    assert!(matches!(outcome, Err(CallError::Digit('x'))));
    let rung = tokio::time::timeout(Duration::from_millis(100), gateway.events.next()).await;
    assert!(rung.is_err(), "{rung:?}");
    gateway.stop().await;
}
