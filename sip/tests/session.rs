//! Session timers and the registrar, with intervals a test can wait for.

mod common;

use std::time::{Duration, Instant};

use common::*;
use trunkline_sip::{Endpoint, EndpointConfig, Event, Register, Transport, Uri};

fn short(session_expires_s: u32) -> EndpointConfig {
    EndpointConfig { session_expires_s: Some(session_expires_s), min_se_s: 2, ..config() }
}

#[tokio::test]
async fn refreshed_session_outlives_its_interval() {
    let (a, mut a_events) = Endpoint::start(short(3)).await.unwrap();
    let (b, mut b_events) = Endpoint::start(short(3)).await.unwrap();
    established(&a, &mut a_events, &b, &mut b_events, Transport::Udp).await;
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!((a.open_legs(), b.open_legs()), (1, 1));
    end([a, b]).await;
}

#[tokio::test]
async fn silent_far_end_is_noticed_before_the_interval_is_over() {
    let (b, mut events) = Endpoint::start(short(3)).await.unwrap();
    let peer = RawPeer::to(&b).await;
    let timer = "Supported: timer\r\nSession-Expires: 3;refresher=uac\r\n";
    peer.send(&peer.invite("timer", timer)).await;
    let leg = incoming(&mut events).await.leg;
    b.answer(leg, ANSWER.to_vec()).unwrap();
    let ok = peer.receive_start("SIP/2.0 200").await;
    assert_eq!(header(&ok, "Session-Expires"), Some("3;refresher=uac"));
    assert_eq!(header(&ok, "Require"), Some("timer"));
    peer.send(&peer.request("ACK", "timerack", &to_tag(&ok), "", b"")).await;
    assert!(matches!(next(&mut events).await, Event::Acked { .. }));
    let start = Instant::now();
    assert!(
        matches!(next(&mut events).await, Event::SessionExpired { leg: expired } if expired == leg)
    );
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let bye = peer.receive_start("BYE ").await;
    assert_eq!(header(&bye, "Reason"), Some("Q.850;cause=102"));
    nothing_left(&b).await;
    end([b]).await;
}

#[tokio::test]
async fn callee_refreshes_for_a_caller_without_timers_by_repeating_its_offer() {
    let (b, mut events) = Endpoint::start(short(3)).await.unwrap();
    let peer = RawPeer::to(&b).await;
    peer.send(&peer.invite("plain", "")).await;
    let leg = incoming(&mut events).await.leg;
    b.answer(leg, ANSWER.to_vec()).unwrap();
    let ok = peer.receive_start("SIP/2.0 200").await;
    assert_eq!(header(&ok, "Session-Expires"), Some("3;refresher=uas"));
    peer.send(&peer.request("ACK", "plainack", &to_tag(&ok), "", b"")).await;
    // The caller's Allow does not name UPDATE.
    let refresh = peer.receive_start("INVITE ").await;
    assert!(refresh.ends_with(std::str::from_utf8(ANSWER).unwrap()), "{refresh}");
    end([b]).await;
}

#[tokio::test]
async fn too_small_interval_is_asked_again_with_the_least_the_far_end_takes() {
    let (a, mut a_events) = Endpoint::start(short(5)).await.unwrap();
    let (b, mut b_events) = endpoint().await;
    let a_leg = call(&a, &b, Transport::Udp);
    let invite = incoming(&mut b_events).await;
    b.answer(invite.leg, ANSWER.to_vec()).unwrap();
    assert!(matches!(next(&mut a_events).await, Event::Answered { leg, .. } if leg == a_leg));
    assert_eq!(b.counters().invites_received, 2);
    a.hangup(a_leg, None).unwrap();
    nothing_left(&a).await;
    nothing_left(&b).await;
    end([a, b]).await;
}

#[tokio::test]
async fn registered_phone_is_found_and_a_stranger_is_not() {
    let registrar = EndpointConfig { registrar_users: vec!["phone".into()], ..config() };
    let (b, mut b_events) = Endpoint::start(registrar).await.unwrap();
    for transport in [Transport::Udp, Transport::Tcp] {
        let phone = EndpointConfig { contact_user: "phone".into(), ..config() };
        let (a, mut a_events) = Endpoint::start(phone).await.unwrap();
        let registrar: Uri = match transport {
            Transport::Udp => uri_at("", address(&b, transport)),
            Transport::Tcp => {
                uri_at("", address(&b, transport)).with_param("transport", Some("tcp"))
            }
        };
        let register = |user: &str| Register {
            registrar: registrar.clone(),
            user: user.to_owned(),
            credential: None,
            expires_s: 120,
        };
        a.register(register("phone")).unwrap();
        let registered = next(&mut a_events).await;
        assert!(matches!(registered, Event::Registration { expires_s: 120 }), "{registered:?}");
        let event = next(&mut b_events).await;
        assert!(matches!(&event, Event::Registered { user, .. } if user == "phone"), "{event:?}");
        let binding = b.binding("phone").expect("bound");
        assert_eq!(binding.contact.host, "127.0.0.1");

        // And called there.
        let leg = call_address(
            &b,
            format!("127.0.0.1:{}", binding.contact.port.unwrap()).parse().unwrap(),
            transport,
        );
        let at_phone = incoming(&mut a_events).await.leg;
        a.answer(at_phone, ANSWER.to_vec()).unwrap();
        assert!(
            matches!(next(&mut b_events).await, Event::Answered { leg: answered, .. } if answered == leg)
        );
        b.hangup(leg, None).unwrap();
        nothing_left(&b).await;

        a.register(register("thief")).unwrap();
        loop {
            match next(&mut a_events).await {
                Event::RegistrationFailed { status } => break assert_eq!(status, 404),
                Event::Acked { .. } | Event::Bye { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        end([a]).await;
    }
    end([b]).await;
}
