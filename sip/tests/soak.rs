//! Several hundred calls, after which nothing may be left.

mod common;

use std::time::Duration;

use common::*;
use trunkline_sip::{Endpoint, EndpointConfig, Event, Events, Rejection, Transport};

const CALLS: usize = 400;
/// How many run at one time.
const AT_ONCE: usize = 20;

/// Answers three calls of four and turns the fourth down.
async fn callee(endpoint: Endpoint, mut events: Events) {
    let mut count = 0usize;
    while let Some(event) = events.next().await {
        match event {
            Event::Invite(invite) => {
                count += 1;
                if count.is_multiple_of(4) {
                    let _ = endpoint.reject(invite.leg, Rejection::status(486).with_cause(17));
                } else {
                    let _ = endpoint.provisional(invite.leg, 180, None);
                    let _ = endpoint.answer(invite.leg, ANSWER.to_vec());
                }
            }
            // Every other confirmed call is ended from here.
            Event::Acked { leg, .. } if count.is_multiple_of(2) => {
                let _ = endpoint.hangup(leg, Some(16));
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_hundred_calls_leave_nothing() {
    let (a, mut a_events) = endpoint().await;
    let (b, b_events) = Endpoint::start(EndpointConfig { ..config() }).await.unwrap();
    let answering = tokio::spawn(callee(b.clone(), b_events));
    let (mut started, mut ended, mut answered) = (0usize, 0usize, 0usize);
    let mut held = Vec::new();
    while ended < CALLS {
        while started < CALLS && started - ended < AT_ONCE {
            let transport = if started.is_multiple_of(2) { Transport::Udp } else { Transport::Tcp };
            call(&a, &b, transport);
            started += 1;
        }
        let event = match tokio::time::timeout(Duration::from_millis(100), a_events.next()).await {
            Ok(Some(event)) => event,
            Ok(None) => panic!("the endpoint ended"),
            Err(_) => {
                // The callee keeps these up: it is on the caller to end them.
                for leg in held.drain(..) {
                    if a.hangup(leg, Some(16)).is_ok() {
                        ended += 1;
                    }
                }
                continue;
            }
        };
        match event {
            Event::Answered { leg, .. } => {
                answered += 1;
                held.push(leg);
            }
            Event::Bye { leg, .. } => {
                held.retain(|held| *held != leg);
                ended += 1;
            }
            Event::Failed { status, .. } => {
                assert_eq!(status, 486);
                ended += 1;
            }
            _ => {}
        }
    }
    assert!(answered >= CALLS / 2, "{answered}");
    all_forgotten(&a).await;
    all_forgotten(&b).await;
    assert_eq!(a.counters().invites_sent, CALLS as u64);
    // All calls over TCP share one connection.
    assert_eq!(b.counters().connections, 1);
    end([a, b]).await;
    tokio::time::timeout(Duration::from_secs(5), answering)
        .await
        .expect("the callee hears of the end")
        .unwrap();
}
