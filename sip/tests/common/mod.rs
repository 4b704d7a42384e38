//! What the tests of the endpoint share.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use trunkline_sip::{
    Endpoint, EndpointConfig, Event, Events, IncomingInvite, LegId, OutgoingInvite, Transport, Uri,
};

pub const OFFER: &[u8] = b"v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
pub const ANSWER: &[u8] = b"v=0\r\no=b 2 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
pub const HOLD: &[u8] = b"v=0\r\no=a 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=sendonly\r\n";

/// T1 in the tests: what waits 32 s in the field waits 1.28 s here.
pub const T1: Duration = Duration::from_millis(20);
/// 64 × T1, and a little.
pub const FORGOTTEN: Duration = Duration::from_millis(1_280 + 400);

pub fn config() -> EndpointConfig {
    EndpointConfig {
        udp: vec!["127.0.0.1:0".parse().unwrap()],
        tcp: vec!["127.0.0.1:0".parse().unwrap()],
        t1: T1,
        ..EndpointConfig::default()
    }
}

pub async fn endpoint() -> (Endpoint, Events) {
    Endpoint::start(config()).await.expect("endpoint starts")
}

pub fn address(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    match transport {
        Transport::Udp => endpoint.udp_addresses()[0],
        Transport::Tcp => endpoint.tcp_addresses()[0],
    }
}

pub fn uri_at(user: &str, address: SocketAddr) -> Uri {
    Uri::sip(user, &address.ip().to_string(), Some(address.port()))
}

pub fn call(from: &Endpoint, to: &Endpoint, transport: Transport) -> LegId {
    call_address(from, address(to, transport), transport)
}

pub fn call_address(from: &Endpoint, to: SocketAddr, transport: Transport) -> LegId {
    let mut invite = OutgoingInvite::new(
        uri_at("+81333331234", to),
        uri_at("+81469595678", address(from, Transport::Udp)),
        OFFER.to_vec(),
    );
    invite.transport = Some(transport);
    from.invite(invite).expect("invite is taken")
}

pub async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .expect("an event within 10 s")
        .expect("the endpoint lives")
}

pub async fn incoming(events: &mut Events) -> IncomingInvite {
    match next(events).await {
        Event::Invite(invite) => *invite,
        other => panic!("expected an incoming call, got {other:?}"),
    }
}

/// A call from a to b, answered and confirmed on both sides.
pub async fn established(
    a: &Endpoint,
    a_events: &mut Events,
    b: &Endpoint,
    b_events: &mut Events,
    transport: Transport,
) -> (LegId, LegId) {
    let a_leg = call(a, b, transport);
    let b_leg = incoming(b_events).await.leg;
    b.answer(b_leg, ANSWER.to_vec()).unwrap();
    let answered = next(a_events).await;
    assert!(matches!(&answered, Event::Answered { leg, .. } if *leg == a_leg), "{answered:?}");
    let acked = next(b_events).await;
    assert!(matches!(&acked, Event::Acked { leg, .. } if *leg == b_leg), "{acked:?}");
    (a_leg, b_leg)
}

/// Waits until an endpoint holds no leg and no dialog.
pub async fn nothing_left(endpoint: &Endpoint) {
    for _ in 0..500 {
        let counters = endpoint.counters();
        if counters.open_legs == 0 && counters.dialogs == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left over: {:?}", endpoint.counters());
}

/// Waits until the stack has forgotten every transaction too.
pub async fn all_forgotten(endpoint: &Endpoint) {
    nothing_left(endpoint).await;
    for _ in 0..1_000 {
        let counters = endpoint.counters();
        if counters.transactions == 0 && counters.ended_transactions == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("remembered: {:?}", endpoint.counters());
}

pub async fn end(endpoints: impl IntoIterator<Item = Endpoint>) {
    for endpoint in endpoints {
        endpoint.shutdown(Duration::from_secs(3)).await;
    }
}

/// A peer that speaks no SIP of its own: it sends and receives what the test says.
pub struct RawPeer {
    pub socket: UdpSocket,
    pub to: SocketAddr,
}

impl RawPeer {
    pub async fn to(endpoint: &Endpoint) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { socket, to: address(endpoint, Transport::Udp) }
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    pub async fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.to).await.unwrap();
    }

    pub async fn receive(&self) -> String {
        self.receive_within(Duration::from_secs(5)).await.expect("a message within 5 s")
    }

    pub async fn receive_within(&self, limit: Duration) -> Option<String> {
        let mut buf = vec![0u8; 65_536];
        let (octets, _) =
            tokio::time::timeout(limit, self.socket.recv_from(&mut buf)).await.ok()?.unwrap();
        Some(String::from_utf8_lossy(&buf[..octets]).into_owned())
    }

    /// The next message whose first line starts so; others are passed over.
    pub async fn receive_start(&self, start: &str) -> String {
        loop {
            let message = self.receive().await;
            if message.starts_with(start) {
                return message;
            }
        }
    }

    /// A request of this peer; `extra` are whole header lines.
    pub fn request(
        &self,
        method: &str,
        branch: &str,
        to_tag: &str,
        extra: &str,
        body: &[u8],
    ) -> String {
        let port = self.port();
        let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let cseq = match method {
            "BYE" | "UPDATE" => 2,
            _ => 1,
        };
        format!(
            "{method} sip:+81333331234@{} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:raw@127.0.0.1:{port}>;tag=rawtag\r\nTo: <sip:+81333331234@127.0.0.1>{to_tag}\r\n\
             Call-ID: raw-{port}@test\r\nCSeq: {cseq} {method}\r\nContact: <sip:raw@127.0.0.1:{port}>\r\n{extra}\
             Content-Length: {}\r\n\r\n{}",
            self.to,
            body.len(),
            String::from_utf8_lossy(body),
        )
    }

    pub fn invite(&self, branch: &str, extra: &str) -> String {
        self.request(
            "INVITE",
            branch,
            "",
            &format!("Content-Type: application/sdp\r\n{extra}"),
            OFFER,
        )
    }
}

/// Value of a header in a message.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// To tag of a message.
pub fn to_tag(message: &str) -> String {
    header(message, "To").and_then(|to| to.split(";tag=").nth(1)).unwrap_or_default().to_owned()
}
