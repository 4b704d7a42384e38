//! Calls between two endpoints over loopback.

mod common;

use std::time::Duration;

use common::*;
use trunkline_sip::{Event, Rejection, Transport};

#[tokio::test]
async fn call_is_answered_and_ended_by_either_side_over_udp_and_tcp() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        for caller_ends in [true, false] {
            let a_leg = call(&a, &b, transport);
            let invite = incoming(&mut b_events).await;
            assert_eq!(invite.transport, transport);
            assert_eq!(invite.request_uri.user, "+81333331234");
            assert_eq!(invite.from.uri.user, "+81469595678");
            assert_eq!(invite.sdp.as_deref(), Some(OFFER));
            b.provisional(invite.leg, 180, None).unwrap();
            let ringing = next(&mut a_events).await;
            assert!(
                matches!(ringing, Event::Provisional { leg, status: 180, sdp: None } if leg == a_leg),
                "{ringing:?}"
            );
            b.answer(invite.leg, ANSWER.to_vec()).unwrap();
            let answered = next(&mut a_events).await;
            assert!(
                matches!(&answered, Event::Answered { leg, sdp: Some(sdp) } if *leg == a_leg && **sdp == *ANSWER),
                "{answered:?}"
            );
            let acked = next(&mut b_events).await;
            assert!(matches!(acked, Event::Acked { leg, .. } if leg == invite.leg), "{acked:?}");
            if caller_ends {
                a.hangup(a_leg, Some(16)).unwrap();
                let bye = next(&mut b_events).await;
                assert!(
                    matches!(bye, Event::Bye { leg, cause: Some(16) } if leg == invite.leg),
                    "{bye:?}"
                );
            } else {
                b.hangup(invite.leg, Some(31)).unwrap();
                let bye = next(&mut a_events).await;
                assert!(
                    matches!(bye, Event::Bye { leg, cause: Some(31) } if leg == a_leg),
                    "{bye:?}"
                );
            }
            nothing_left(&a).await;
            nothing_left(&b).await;
        }
    }
    end([a, b]).await;
}

#[tokio::test]
async fn early_media_comes_with_180_and_183_and_is_the_answer_later() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    let a_leg = call(&a, &b, Transport::Udp);
    let b_leg = incoming(&mut b_events).await.leg;
    for expected in [183, 180] {
        b.provisional(b_leg, expected, Some(ANSWER.to_vec())).unwrap();
        let early = next(&mut a_events).await;
        assert!(
            matches!(&early, Event::Provisional { status, sdp: Some(sdp), .. } if *status == expected && **sdp == *ANSWER),
            "{early:?}"
        );
    }
    b.answer(b_leg, ANSWER.to_vec()).unwrap();
    assert!(
        matches!(next(&mut a_events).await, Event::Answered { sdp: Some(sdp), .. } if *sdp == *ANSWER)
    );
    a.hangup(a_leg, None).unwrap();
    nothing_left(&a).await;
    end([a, b]).await;
}

#[tokio::test]
async fn refusal_carries_status_cause_and_retry_after() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    call(&a, &b, Transport::Udp);
    let leg = incoming(&mut b_events).await.leg;
    b.reject(leg, Rejection::status(486).with_cause(17)).unwrap();
    let busy = next(&mut a_events).await;
    assert!(
        matches!(busy, Event::Failed { status: 486, cause: Some(17), retry_after_s: None, .. }),
        "{busy:?}"
    );

    call(&a, &b, Transport::Tcp);
    let leg = incoming(&mut b_events).await.leg;
    b.reject(
        leg,
        Rejection {
            retry_after_s: Some(7),
            phrase: Some("No circuit".into()),
            ..Rejection::status(503).with_cause(34)
        },
    )
    .unwrap();
    let full = next(&mut a_events).await;
    assert!(
        matches!(full, Event::Failed { status: 503, cause: Some(34), retry_after_s: Some(7), .. }),
        "{full:?}"
    );
    nothing_left(&a).await;
    nothing_left(&b).await;
    end([a, b]).await;
}

#[tokio::test]
async fn caller_that_gives_up_cancels_with_its_cause() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let a_leg = call(&a, &b, transport);
        let b_leg = incoming(&mut b_events).await.leg;
        b.provisional(b_leg, 180, None).unwrap();
        next(&mut a_events).await;
        a.hangup(a_leg, Some(16)).unwrap();
        let cancelled = next(&mut b_events).await;
        assert!(
            matches!(cancelled, Event::Cancelled { leg, cause: Some(16) } if leg == b_leg),
            "{cancelled:?}"
        );
        nothing_left(&a).await;
        nothing_left(&b).await;
    }
    end([a, b]).await;
}

#[tokio::test]
async fn cancel_at_once_waits_for_the_first_provisional() {
    let (a, _a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    let a_leg = call(&a, &b, Transport::Udp);
    a.hangup(a_leg, None).unwrap();
    let b_leg = incoming(&mut b_events).await.leg;
    let cancelled = next(&mut b_events).await;
    assert!(matches!(cancelled, Event::Cancelled { leg, .. } if leg == b_leg), "{cancelled:?}");
    nothing_left(&a).await;
    nothing_left(&b).await;
    end([a, b]).await;
}

#[tokio::test]
async fn answer_that_crosses_the_cancel_ends_in_a_bye_or_a_487() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    for _ in 0..20 {
        let a_leg = call(&a, &b, Transport::Udp);
        let b_leg = incoming(&mut b_events).await.leg;
        b.provisional(b_leg, 180, None).unwrap();
        next(&mut a_events).await;
        b.answer(b_leg, ANSWER.to_vec()).unwrap();
        a.hangup(a_leg, Some(16)).unwrap();
        // Whichever was first: the callee hears of the end, and nothing stays.
        loop {
            match next(&mut b_events).await {
                Event::Acked { .. } => {}
                Event::Bye { leg, .. } | Event::Cancelled { leg, .. } if leg == b_leg => break,
                other => panic!("{other:?}"),
            }
        }
        nothing_left(&a).await;
        nothing_left(&b).await;
        while let Ok(Some(event)) =
            tokio::time::timeout(Duration::from_millis(1), a_events.next()).await
        {
            assert!(matches!(event, Event::Answered { .. }), "{event:?}");
        }
    }
    end([a, b]).await;
}

#[tokio::test]
async fn reinvite_is_surfaced_and_answered_both_ways() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let (a_leg, b_leg) = established(&a, &mut a_events, &b, &mut b_events, transport).await;
        a.reinvite(a_leg, HOLD.to_vec()).unwrap();
        let hold = next(&mut b_events).await;
        assert!(
            matches!(&hold, Event::ReInvite { leg, sdp } if *leg == b_leg && **sdp == *HOLD),
            "{hold:?}"
        );
        b.answer_reinvite(b_leg, ANSWER.to_vec()).unwrap();
        let held = next(&mut a_events).await;
        assert!(
            matches!(&held, Event::ReInviteAnswered { leg, sdp: Some(_) } if *leg == a_leg),
            "{held:?}"
        );

        b.reinvite(b_leg, HOLD.to_vec()).unwrap();
        let offer = next(&mut a_events).await;
        assert!(matches!(&offer, Event::ReInvite { leg, .. } if *leg == a_leg), "{offer:?}");
        a.reject_reinvite(a_leg, 488).unwrap();
        let refused = next(&mut b_events).await;
        assert!(
            matches!(refused, Event::ReInviteRefused { leg, status: 488 } if leg == b_leg),
            "{refused:?}"
        );

        a.hangup(a_leg, None).unwrap();
        assert!(matches!(next(&mut b_events).await, Event::Bye { .. }));
        nothing_left(&a).await;
        nothing_left(&b).await;
    }
    end([a, b]).await;
}

#[tokio::test]
async fn call_to_nobody_fails_at_once_over_tcp_and_after_timer_b_over_udp() {
    let (a, mut a_events) = endpoint().await;
    let nobody = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        taken.local_addr().unwrap()
    };
    let start = std::time::Instant::now();
    call_address(&a, nobody, Transport::Tcp);
    assert!(matches!(next(&mut a_events).await, Event::Failed { status: 503, .. }));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    call_address(&a, nobody, Transport::Udp);
    assert!(matches!(next(&mut a_events).await, Event::Failed { status: 408, .. }));
    all_forgotten(&a).await;
    end([a]).await;
}
