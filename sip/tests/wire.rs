//! The endpoint against peers that say exactly what the test wants.

mod common;

use std::time::{Duration, Instant};

use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_sip::{
    Credential, Endpoint, EndpointConfig, Event, OutgoingInvite, Rejection, Transport,
};

fn refused(endpoint: &Endpoint, label: &str) -> u64 {
    endpoint
        .counters()
        .refused
        .iter()
        .find(|(known, _)| *known == label)
        .map_or(0, |(_, count)| *count)
}

#[tokio::test]
async fn trying_comes_at_once_and_all_responses_share_one_tag() {
    let (b, mut events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    let start = Instant::now();
    peer.send(&peer.invite("one", "")).await;
    let trying = peer.receive().await;
    assert!(trying.starts_with("SIP/2.0 100"), "{trying}");
    assert!(start.elapsed() < Duration::from_millis(200));
    assert!(
        header(&trying, "Via").unwrap().contains(&format!("rport={}", peer.port())),
        "{trying}"
    );
    let leg = incoming(&mut events).await.leg;
    b.provisional(leg, 180, None).unwrap();
    let ringing = peer.receive_start("SIP/2.0 180").await;
    let contact = header(&ringing, "Contact").unwrap();
    assert_eq!(contact, format!("<sip:{}>", address(&b, Transport::Udp)));

    peer.send(&peer.request("CANCEL", "one", "", "Reason: Q.850;cause=16\r\n", b"")).await;
    let terminated = peer.receive_start("SIP/2.0 487").await;
    assert_eq!(to_tag(&terminated), to_tag(&ringing));
    peer.send(&peer.request("ACK", "one", &to_tag(&terminated), "", b"")).await;
    assert!(matches!(next(&mut events).await, Event::Cancelled { cause: Some(16), .. }));
    all_forgotten(&b).await;
    end([b]).await;
}

#[tokio::test]
async fn retransmitted_invite_is_one_call_and_gets_the_last_response_again() {
    let (b, mut events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    let invite = peer.invite("again", "");
    peer.send(&invite).await;
    let leg = incoming(&mut events).await.leg;
    b.provisional(leg, 180, None).unwrap();
    let first = peer.receive_start("SIP/2.0 180").await;
    for _ in 0..3 {
        peer.send(&invite).await;
        assert_eq!(peer.receive_start("SIP/2.0 180").await, first);
    }
    assert_eq!(b.open_legs(), 1);
    // The same call by another way (RFC 3261 §8.2.2.2).
    peer.send(&peer.invite("fork", "")).await;
    peer.receive_start("SIP/2.0 482").await;
    b.reject(leg, Rejection::status(480)).unwrap();
    let refused = peer.receive_start("SIP/2.0 480").await;
    peer.send(&peer.request("ACK", "again", &to_tag(&refused), "", b"")).await;
    all_forgotten(&b).await;
    end([b]).await;
}

#[tokio::test]
async fn answer_never_confirmed_ends_in_a_bye_and_an_event() {
    let (b, mut events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    peer.send(&peer.invite("noack", "")).await;
    let leg = incoming(&mut events).await.leg;
    b.answer(leg, ANSWER.to_vec()).unwrap();
    let ok = peer.receive_start("SIP/2.0 200").await;
    // RFC 3261 §13.3.1.4: the 2xx is sent again until the ACK comes.
    assert_eq!(to_tag(&peer.receive_start("SIP/2.0 200").await), to_tag(&ok));
    let bye = peer.receive_start("BYE ").await;
    peer.send(&reply(&bye, "200 OK")).await;
    assert!(matches!(next(&mut events).await, Event::AckTimeout { leg: ended } if ended == leg));
    all_forgotten(&b).await;
    end([b]).await;
}

/// A response of the raw peer to a request it got.
fn reply(request: &str, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        text += &format!("{name}: {}\r\n", header(request, name).unwrap());
    }
    text + "Content-Length: 0\r\n\r\n"
}

#[tokio::test]
async fn answered_call_with_lost_first_ack_lives() {
    let (b, mut events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    peer.send(&peer.invite("late", "")).await;
    let leg = incoming(&mut events).await.leg;
    b.answer(leg, ANSWER.to_vec()).unwrap();
    let ok = peer.receive_start("SIP/2.0 200").await;
    peer.receive_start("SIP/2.0 200").await;
    peer.send(&peer.request("ACK", "lateack", &to_tag(&ok), "", b"")).await;
    assert!(matches!(next(&mut events).await, Event::Acked { .. }));
    peer.send(&peer.request(
        "BYE",
        "bye",
        &to_tag(&ok),
        "Reason: SIP;cause=200, Q.850;cause=16\r\n",
        b"",
    ))
    .await;
    peer.receive_start("SIP/2.0 200 OK\r\n").await;
    assert!(matches!(next(&mut events).await, Event::Bye { cause: Some(16), .. }));
    all_forgotten(&b).await;
    end([b]).await;
}

#[tokio::test]
async fn options_tell_what_we_take_and_503_out_of_service() {
    let (b, _events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    peer.send(&peer.request("OPTIONS", "o1", "", "", b"")).await;
    let ok = peer.receive().await;
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    assert!(header(&ok, "Allow").unwrap().contains("INVITE"));
    assert_eq!(header(&ok, "Accept"), Some("application/sdp"));
    b.set_in_service(false);
    peer.send(&peer.request("OPTIONS", "o2", "", "", b"")).await;
    assert!(peer.receive().await.starts_with("SIP/2.0 503"));
    end([b]).await;
}

#[tokio::test]
async fn requests_that_fit_nothing_are_refused_by_name() {
    let (b, _events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    let cases = [
        ("SUBSCRIBE", "", "", "405"),
        ("MESSAGE", "", "", "405"),
        ("REGISTER", "", "", "405"),
        ("BYE", "", "", "481"),
        ("UPDATE", "nobody", "", "481"),
        ("INVITE", "nobody", "", "481"),
        ("INVITE", "", "Require: 100rel\r\n", "420"),
        ("INVITE", "", "Supported: timer\r\nSession-Expires: 20\r\n", "422"),
    ];
    for (number, (method, tag, extra, status)) in cases.into_iter().enumerate() {
        let branch = format!("case{number}");
        peer.send(&peer.request(method, &branch, tag, extra, b"")).await;
        let answer = peer.receive_start(&format!("SIP/2.0 {status}")).await;
        match status {
            "405" => assert!(header(&answer, "Allow").is_some(), "{answer}"),
            "420" => assert_eq!(header(&answer, "Unsupported"), Some("100rel")),
            "422" => assert_eq!(header(&answer, "Min-SE"), Some("90")),
            _ => {}
        }
        if method == "INVITE" {
            peer.send(&peer.request("ACK", &branch, &to_tag(&answer), "", b"")).await;
        }
    }
    all_forgotten(&b).await;
    end([b]).await;
}

#[tokio::test]
async fn garbage_is_counted_by_reason_and_calls_go_on() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    let invite = peer.invite("bad", "");
    peer.send("nonsense").await;
    peer.send(&invite.replace("Max-Forwards: 70", "Max-Forwards 70")).await;
    assert!(peer.receive().await.starts_with("SIP/2.0 400 Bad Header Line"));
    peer.send(&invite.replace("CSeq: 1 INVITE", "CSeq: 1 BYE")).await;
    assert!(peer.receive().await.starts_with("SIP/2.0 400 Bad CSeq"));
    peer.send(&invite.replace("Max-Forwards: 70", "Max-Forwards: 999")).await;
    assert!(peer.receive().await.starts_with("SIP/2.0 483"));
    peer.send(&invite.replace("INVITE", "EXPLODE")).await;
    assert!(peer.receive().await.starts_with("SIP/2.0 501"));
    peer.socket.send_to(&[0xff; 300], peer.to).await.unwrap();
    peer.socket.send_to(&vec![b'x'; 20_000], peer.to).await.unwrap();
    for octet in 0..=255u8 {
        let mut damaged = invite.clone().into_bytes();
        let at = usize::from(octet) * damaged.len() / 256;
        damaged[at] = octet;
        peer.socket.send_to(&damaged[..at.max(1)], peer.to).await.unwrap();
    }
    established(&a, &mut a_events, &b, &mut b_events, Transport::Udp).await;
    for (label, least) in [
        ("framing", 2),
        ("header_line", 1),
        ("cseq", 1),
        ("max_forwards", 1),
        ("method", 1),
        ("oversized", 1),
    ] {
        assert!(refused(&b, label) >= least, "{label}: {:?}", b.counters());
    }
    assert_eq!(b.counters().open_legs, 1);
    end([a, b]).await;
}

#[tokio::test]
async fn malformed_request_over_tcp_is_answered_and_the_connection_stays() {
    let (b, _events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    let mut stream = tokio::net::TcpStream::connect(address(&b, Transport::Tcp)).await.unwrap();
    let bad = peer
        .request("OPTIONS", "t1", "", "", b"")
        .replace("CSeq: 1 OPTIONS", "CSeq: 1 BYE")
        .replace("/UDP", "/TCP");
    let good = peer.request("OPTIONS", "t2", "", "", b"").replace("/UDP", "/TCP");
    stream.write_all(bad.as_bytes()).await.unwrap();
    // In pieces: a stream knows no messages.
    for piece in good.as_bytes().chunks(100) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut text = String::new();
    while text.matches("\r\n\r\n").count() < 2 {
        let mut buf = [0u8; 4_096];
        let octets = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buf))
            .await
            .unwrap()
            .unwrap();
        assert!(octets > 0, "closed after {text}");
        text += std::str::from_utf8(&buf[..octets]).unwrap();
    }
    assert!(text.starts_with("SIP/2.0 400 Bad CSeq"), "{text}");
    assert!(text.contains("SIP/2.0 200 OK"), "{text}");
    assert_eq!(refused(&b, "cseq"), 1);
    end([b]).await;
}

#[tokio::test]
async fn full_event_queue_refuses_new_calls_with_503() {
    let config = EndpointConfig { event_queue: 1, ..config() };
    let (b, mut events) = Endpoint::start(config).await.unwrap();
    let first = RawPeer::to(&b).await;
    first.send(&first.invite("q1", "")).await;
    first.receive_start("SIP/2.0 100").await;
    let second = RawPeer::to(&b).await;
    second.send(&second.invite("q2", "")).await;
    let refused = second.receive_start("SIP/2.0 503").await;
    assert_eq!(header(&refused, "Retry-After"), Some("5"));
    assert_eq!(header(&refused, "Reason"), Some("Q.850;cause=42"));
    second.send(&second.request("ACK", "q2", &to_tag(&refused), "", b"")).await;
    assert_eq!(b.counters().overload_refused, 1);
    let leg = incoming(&mut events).await.leg;
    b.hangup(leg, None).unwrap();
    first.receive_start("SIP/2.0 480").await;
    end([b]).await;
}

#[tokio::test]
async fn digit_by_info_is_reported() {
    let (b, mut events) = endpoint().await;
    let peer = RawPeer::to(&b).await;
    peer.send(&peer.invite("dtmf", "")).await;
    let leg = incoming(&mut events).await.leg;
    b.answer(leg, ANSWER.to_vec()).unwrap();
    let tag = to_tag(&peer.receive_start("SIP/2.0 200").await);
    peer.send(&peer.request("ACK", "dtmfack", &tag, "", b"")).await;
    assert!(matches!(next(&mut events).await, Event::Acked { .. }));
    let info = peer
        .request(
            "INFO",
            "info",
            &tag,
            "Content-Type: application/dtmf-relay\r\n",
            b"Signal=7\r\nDuration=200\r\n",
        )
        .replace("CSeq: 1 INFO", "CSeq: 2 INFO");
    peer.send(&info).await;
    peer.receive_start("SIP/2.0 200").await;
    assert!(matches!(next(&mut events).await, Event::Digit { digit: '7', duration_ms: 200, .. }));
    peer.send(&peer.request("BYE", "dtmfbye", &tag, "", b"").replace("CSeq: 2", "CSeq: 3")).await;
    assert!(matches!(next(&mut events).await, Event::Bye { .. }));
    all_forgotten(&b).await;
    end([b]).await;
}

#[tokio::test]
async fn shutdown_tells_the_far_ends_and_frees_the_addresses() {
    let (a, mut a_events) = endpoint().await;
    let (b, mut b_events) = endpoint().await;
    established(&a, &mut a_events, &b, &mut b_events, Transport::Udp).await;
    let (udp, tcp) = (address(&b, Transport::Udp), address(&b, Transport::Tcp));
    b.shutdown(Duration::from_secs(3)).await;
    assert!(matches!(next(&mut a_events).await, Event::Bye { .. }));
    assert!(b_events.next().await.is_none());
    let mut freed = false;
    for _ in 0..100 {
        freed = std::net::UdpSocket::bind(udp).is_ok() && std::net::TcpListener::bind(tcp).is_ok();
        if freed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(freed, "addresses still in use");
    end([a]).await;
}

#[tokio::test]
async fn address_in_use_is_an_error_at_start() {
    let (b, _events) = endpoint().await;
    let again = EndpointConfig { udp: vec![address(&b, Transport::Udp)], tcp: vec![], ..config() };
    let error = Endpoint::start(again).await.err().expect("must fail");
    assert!(error.to_string().contains(&address(&b, Transport::Udp).to_string()), "{error}");
    end([b]).await;
}

#[tokio::test]
async fn call_challenged_for_credentials_is_made_again_with_them() {
    let (a, mut events) = endpoint().await;
    let peer = RawPeer::to(&a).await;
    let to = peer.socket.local_addr().unwrap();
    let own = uri_at("phone", address(&a, Transport::Udp));
    let mut invite = OutgoingInvite::new(uri_at("+81333331234", to), own, OFFER.to_vec());
    invite.credential =
        Some(Credential { user: "phone".to_owned(), password: "secret".to_owned() });
    let leg = a.invite(invite).unwrap();
    let first = peer.receive_start("INVITE ").await;
    assert_eq!(header(&first, "Proxy-Authorization"), None);
    let challenge = reply(&first, "407 Proxy Authentication Required").replace(
        "Content-Length",
        "Proxy-Authenticate: Digest realm=\"trunk\",nonce=\"n1\",algorithm=MD5,qop=\"auth\"\r\nContent-Length",
    );
    peer.send(&challenge).await;
    let again = loop {
        let message = peer.receive_start("INVITE ").await;
        if header(&message, "CSeq") != header(&first, "CSeq") {
            break message;
        }
    };
    let proof = header(&again, "Proxy-Authorization").expect("credentials");
    assert!(proof.contains("username=\"phone\"") && proof.contains("realm=\"trunk\""), "{proof}");
    assert!(!again.contains("secret"), "{again}");
    peer.send(&reply(&again, "486 Busy Here")).await;
    let busy = next(&mut events).await;
    assert!(
        matches!(busy, Event::Failed { leg: failed, status: 486, .. } if failed == leg),
        "{busy:?}"
    );
    all_forgotten(&a).await;
    end([a]).await;
}
