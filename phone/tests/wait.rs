//! A telephone on the line calls the phone: it registers, rings, is answered or not.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Gateway, own_address};
use trunkline_sip::{Endpoint, EndpointConfig, Event, OutgoingInvite, Uri};

/// A gateway at which one user may register.
async fn gateway(user: &str) -> Gateway {
    let (endpoint, events) = Endpoint::start(EndpointConfig {
        udp: vec![(own_address(), 0).into()],
        registrar_users: vec![user.to_owned()],
        ..EndpointConfig::default()
    })
    .await
    .unwrap();
    let address = endpoint.udp_addresses()[0];
    Gateway { endpoint, events, address }
}

/// A phone that waits for calls in a terminal, whose keys are written to its input.
struct Waiting {
    phone: Child,
    _folder: tempfile::TempDir,
}

impl Waiting {
    fn start(gateway: &Gateway, user: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phone.yaml");
        let text = format!(
            "directory: []\naddress: {}\nsound: {{ use: nothing }}\n\
             account: {{ registrar: '{}', user: '{user}', password: secret }}\n",
            own_address(),
            gateway.address,
        );
        std::fs::write(&path, text).unwrap();
        let phone = Command::new(env!("CARGO_BIN_EXE_trunkline-phone"))
            .arg("--config")
            .arg(&path)
            .arg("wait")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { phone, _folder: folder }
    }

    fn press(&mut self, keys: &str) {
        use std::io::Write;
        writeln!(self.phone.stdin.as_mut().unwrap(), "{keys}").unwrap();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.phone.kill();
        let _ = self.phone.wait();
    }
}

/// The next event that is not of a registration.
async fn next(gateway: &mut Gateway) -> Event {
    loop {
        match gateway.next().await {
            Event::Registered { .. } | Event::Unregistered { .. } => {}
            other => return other,
        }
    }
}

async fn registered(gateway: &mut Gateway, user: &str) -> Uri {
    loop {
        if let Event::Registered { user: who, contact, .. } = gateway.next().await {
            assert_eq!(who, user);
            return contact;
        }
    }
}

fn ring(gateway: &Gateway, contact: &Uri) -> trunkline_sip::LegId {
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=audio 40000 RTP/AVP 8\r\n";
    let from = Uri::sip("+81312345678", &gateway.address.ip().to_string(), None);
    gateway.endpoint.invite(OutgoingInvite::new(contact.clone(), from, sdp.into())).unwrap()
}

async fn rings(gateway: &mut Gateway) {
    loop {
        match next(gateway).await {
            Event::Provisional { status: 180, .. } => return,
            Event::Provisional { .. } => {}
            other => panic!("expected ringing, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_calls_the_phone_which_answers_or_declines() {
    let user = "+81333331234";
    let mut gateway = gateway(user).await;
    let mut phone = Waiting::start(&gateway, user);

    let contact = registered(&mut gateway, user).await;
    ring(&gateway, &contact);
    rings(&mut gateway).await;
    phone.press("n");
    match next(&mut gateway).await {
        Event::Failed { status, .. } => assert_eq!(status, 603),
        other => panic!("expected a refusal, got {other:?}"),
    }

    // It goes on waiting, and this time the person answers.
    let contact = registered(&mut gateway, user).await;
    let leg = ring(&gateway, &contact);
    rings(&mut gateway).await;
    phone.press("y");
    match next(&mut gateway).await {
        Event::Answered { sdp: Some(sdp), .. } => {
            assert!(String::from_utf8_lossy(&sdp).contains("RTP/AVP 8"));
        }
        other => panic!("expected an answer, got {other:?}"),
    }
    // A second caller finds it busy.
    let second = ring(&gateway, &contact);
    assert_ne!(second, leg);
    match next(&mut gateway).await {
        Event::Failed { status, .. } => assert_eq!(status, 486),
        other => panic!("expected busy, got {other:?}"),
    }
    phone.press("h");
    assert!(matches!(next(&mut gateway).await, Event::Bye { .. }));
    registered(&mut gateway, user).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_gateway_rings_the_phone() {
    let user = "+81333331234";
    let mut home = gateway(user).await;
    let _phone = Waiting::start(&home, user);
    let contact = registered(&mut home, user).await;
    let mut scanner = Gateway::start().await;
    ring(&scanner, &contact);
    match next(&mut scanner).await {
        Event::Failed { status, .. } => assert_eq!(status, 403),
        other => panic!("expected a refusal, got {other:?}"),
    }
    let calm = tokio::time::timeout(Duration::from_millis(200), home.events.next()).await;
    assert!(calm.is_err(), "{calm:?}");
    scanner.stop().await;
    home.stop().await;
}
