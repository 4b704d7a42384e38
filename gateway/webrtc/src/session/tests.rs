//! A session with a browser made of the same libraries, over a network in memory. Chromium itself is in
//! the system tests.

use is::stun::{StunMessage, TransId};
use is::{DefaultSha1HmacProvider, Sha1HmacProvider};

use super::*;

/// A DTLS client with its certificate, behind one address.
struct Browser {
    dtls: Dtls,
    address: SocketAddr,
    keys: Option<(Vec<u8>, SrtpProfile)>,
    /// How the offer writes its certificate.
    fingerprint: Fingerprint,
    own: Credentials,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug)]
enum Version {
    V12,
    V13,
    Auto,
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    DefaultSha1HmacProvider.sha1_hmac(key, parts)
}

impl Browser {
    /// `mtu`: the most octets of a datagram; a small one cuts the ClientHello to pieces.
    fn new(version: Version, mtu: usize, now: Instant) -> Self {
        let certificate = Certificate::generate().unwrap();
        let config = Arc::new(Config::builder().mtu(mtu).build().unwrap());
        let dtls = certificate.dtls.clone();
        let mut dtls = match version {
            Version::V12 => Dtls::new_12(config, dtls, now),
            Version::V13 => Dtls::new_13(config, dtls, now),
            Version::Auto => Dtls::new_auto(config, dtls, now),
        };
        dtls.set_active(true);
        Self {
            dtls,
            address: SocketAddr::from(([192, 0, 2, 7], 40_000)),
            keys: None,
            fingerprint: certificate.fingerprint(),
            own: Credentials::generate(|octets| octets.fill(1)),
        }
    }

    fn offer(&self) -> Offer {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 8\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=setup:actpass\r\n\
             a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:{}\r\n",
            self.own.ufrag, self.own.password, self.fingerprint
        );
        Offer::parse(text.as_bytes()).unwrap()
    }

    /// A check that nominates.
    fn check(&self, gateway: &Credentials) -> Vec<u8> {
        let name = format!("{}:{}", gateway.ufrag, self.own.ufrag);
        let check = StunMessage::binding_request(&name, TransId::new(), true, 1, 1, true);
        let mut octets = vec![0; 500];
        let length = check.to_bytes(Some(gateway.password.as_bytes()), &mut octets, hmac).unwrap();
        octets.truncate(length);
        octets
    }

    /// What it sends now.
    fn sends(&mut self) -> Vec<Vec<u8>> {
        let mut record = vec![0; 4_096];
        let mut sent = Vec::new();
        loop {
            match self.dtls.poll_output(&mut record) {
                Output::Packet(octets) => sent.push(octets.to_vec()),
                Output::KeyingMaterial(material, profile) => {
                    self.keys = Some((material.to_vec(), profile));
                }
                Output::Timeout(_) => return sent,
                _ => {}
            }
        }
    }
}

/// What came out of a session.
#[derive(Default)]
struct Outcome {
    secured: Option<(SocketAddr, SrtpKeys)>,
    moved: Option<SocketAddr>,
    end: Option<End>,
    answers: usize,
}

/// Passes datagrams to and fro until nobody has anything to say.
fn talk(browser: &mut Browser, session: &mut Session, now: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let sent = browser.sends();
        let mut is_quiet = sent.is_empty();
        for datagram in sent {
            session.arrived(now, browser.address, &datagram);
        }
        while let Some(action) = session.poll_action() {
            is_quiet = false;
            match action {
                Action::Send { to, octets } if octets[0] > 3 => {
                    assert_eq!(to, browser.address);
                    browser.dtls.handle_packet(&octets).unwrap();
                }
                Action::Send { .. } => outcome.answers += 1,
                Action::Secured { remote, keys } => outcome.secured = Some((remote, keys)),
                Action::Moved { remote } => outcome.moved = Some(remote),
                Action::Ended(end) => outcome.end = Some(end),
            }
        }
        if is_quiet {
            return outcome;
        }
    }
}

fn begun(version: Version, mtu: usize, now: Instant) -> (Browser, Session, Credentials) {
    let mut browser = Browser::new(version, mtu, now);
    let own = Credentials::generate(|octets| octets.fill(2));
    let certificate = Certificate::generate().unwrap();
    let mut session = Session::new(&browser.offer(), own.clone(), &certificate, now).unwrap();
    session.arrived(now, browser.address, &browser.check(&own));
    browser.dtls.handle_timeout(now).unwrap();
    (browser, session, own)
}

#[test]
fn both_sides_have_the_same_keys_whatever_version_and_however_the_hello_is_cut() {
    for (version, mtu) in [
        (Version::V12, 1_150),
        (Version::V13, 1_150),
        (Version::Auto, 1_150),
        (Version::V12, 150),
        (Version::V13, 150),
    ] {
        let now = Instant::now();
        let (mut browser, mut session, _) = begun(version, mtu, now);
        let outcome = talk(&mut browser, &mut session, now);
        assert_eq!(outcome.end, None, "{version:?} {mtu}");
        let (remote, ours) = outcome.secured.unwrap_or_else(|| panic!("{version:?} {mtu}"));
        assert_eq!(remote, browser.address);
        let (material, profile) = browser.keys.as_ref().unwrap();
        let suite = ours.local.suite();
        let (key, salt) = (suite.cipher_key_octets(), suite.salt_octets());
        assert_eq!(material.len(), 2 * (key + salt), "{profile:?}");
        let theirs = [&material[..key], &material[2 * key..][..salt]].concat();
        assert_eq!(ours.remote, MasterKey::new(suite, &theirs).unwrap());
        assert_ne!(ours.remote, ours.local);
    }
}

#[test]
fn another_certificate_than_the_offers_gets_no_keys() {
    let now = Instant::now();
    let mut browser = Browser::new(Version::Auto, 1_150, now);
    browser.fingerprint = Fingerprint::of(b"somebody else's");
    let own = Credentials::generate(|octets| octets.fill(2));
    let certificate = Certificate::generate().unwrap();
    let mut session = Session::new(&browser.offer(), own.clone(), &certificate, now).unwrap();
    session.arrived(now, browser.address, &browser.check(&own));
    browser.dtls.handle_timeout(now).unwrap();
    let outcome = talk(&mut browser, &mut session, now);
    assert_eq!(outcome.end, Some(End::Impostor));
    assert!(outcome.secured.is_none());
    assert_eq!(session.next_deadline(), None);
}

#[test]
fn a_handshake_from_an_address_without_a_check_is_not_even_looked_at() {
    let now = Instant::now();
    let mut browser = Browser::new(Version::Auto, 1_150, now);
    let own = Credentials::generate(|octets| octets.fill(2));
    let certificate = Certificate::generate().unwrap();
    let mut session = Session::new(&browser.offer(), own, &certificate, now).unwrap();
    browser.dtls.handle_timeout(now).unwrap();
    let outcome = talk(&mut browser, &mut session, now);
    assert_eq!(outcome.answers, 0);
    assert!(outcome.secured.is_none() && outcome.end.is_none());
    // Nor does it keep the port for ever.
    session.timeout(now + SETUP_MAX);
    assert!(matches!(session.poll_action(), Some(Action::Ended(End::Unreached))));
}

#[test]
fn a_page_that_is_gone_is_missed_and_one_that_says_so_is_not_waited_for() {
    let now = Instant::now();
    let (mut browser, mut session, own) = begun(Version::Auto, 1_150, now);
    assert!(talk(&mut browser, &mut session, now).secured.is_some());
    let later = now + Duration::from_secs(10);
    session.arrived(later, browser.address, &browser.check(&own));
    session.timeout(now + CONSENT);
    let lost = |session: &mut Session| loop {
        match session.poll_action() {
            Some(Action::Ended(end)) => return Some(end),
            Some(_) => {}
            None => return None,
        }
    };
    assert_eq!(lost(&mut session), None);
    assert!(session.next_deadline().is_some_and(|due| due <= later + CONSENT));
    session.timeout(later + CONSENT);
    assert_eq!(lost(&mut session), Some(End::Lost));

    let (mut browser, mut session, _) = begun(Version::V13, 1_150, now);
    assert!(talk(&mut browser, &mut session, now).secured.is_some());
    browser.dtls.close().unwrap();
    assert_eq!(talk(&mut browser, &mut session, now).end, Some(End::Closed));
}

#[test]
fn an_ice_restart_moves_the_session_without_new_keys() {
    let now = Instant::now();
    let (mut browser, mut session, _) = begun(Version::Auto, 1_150, now);
    assert!(talk(&mut browser, &mut session, now).secured.is_some());
    browser.own = Credentials::generate(|octets| octets.fill(3));
    let newer = Credentials::generate(|octets| octets.fill(4));
    session.restart(&browser.offer(), newer.clone()).unwrap();
    browser.address = SocketAddr::from(([198, 51, 100, 9], 50_000));
    session.arrived(now, browser.address, &browser.check(&newer));
    let outcome = talk(&mut browser, &mut session, now);
    assert_eq!(outcome.moved, Some(browser.address));
    assert!(outcome.secured.is_none());

    browser.fingerprint = Fingerprint::of(b"another certificate");
    let refused = session.restart(&browser.offer(), newer);
    assert!(matches!(refused, Err(WebRtcError::OtherCertificate)));
}
