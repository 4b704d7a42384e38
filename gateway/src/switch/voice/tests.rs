//! What a peer is answered and offered, by policy, and whose keys those are.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_media::MediaConfig;
use trunkline_media::packet_io::Backend;

use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn voice() -> Voice {
    let media = Media::start(MediaConfig {
        cores: vec![0],
        backend: Some(Backend::Mio),
        rtp_ports: 23_000..=23_199,
        realtime_priority: None,
        legs_per_worker_max: 16,
        ..MediaConfig::default()
    });
    let settings = VoiceSettings {
        address: Ipv4Addr::new(127, 88, std::process::id() as u8, 1).into(),
        ptime_ms: 20,
        suites: Suite::ALL.to_vec(),
        cname: "gateway".to_owned(),
        line_laws: vec![Law::A, Law::Mu],
    };
    Voice::new(media.expect("the media plane starts"), settings)
}

fn terms(srtp: SrtpPolicy) -> Terms {
    Terms { srtp, codecs: vec![Codec::Pcma] }
}

fn offer(version: u32, transport: &str, crypto: &str) -> Vec<u8> {
    format!(
        "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 5000 {transport} 8\r\n{crypto}"
    )
    .into_bytes()
}

fn plain() -> Vec<u8> {
    offer(1, "RTP/AVP", "")
}

fn secure(version: u32) -> Vec<u8> {
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    offer(version, "RTP/SAVP", &crypto)
}

fn text(description: Result<Vec<u8>, VoiceError>) -> String {
    String::from_utf8(description.expect("a description")).expect("text")
}

/// The lines of a description with keys.
fn keys(description: &str) -> Vec<&str> {
    description.lines().filter(|line| line.starts_with("a=crypto:")).collect()
}

#[test]
fn offers_of_a_peer_are_taken_as_the_policy_says() {
    let mut voice = voice();
    let mut leg = 0;
    let mut answered = |description: &[u8], policy| {
        leg += 1;
        let answer = voice.accept(LegId(leg), description, PEER, &terms(policy));
        answer.map(|answer| String::from_utf8(answer).expect("text"))
    };
    for policy in [SrtpPolicy::Accept, SrtpPolicy::Prefer, SrtpPolicy::Require] {
        let answer = answered(&secure(1), policy).expect("SRTP is taken");
        assert!(answer.contains(" RTP/SAVP 8") && keys(&answer).len() == 1, "{answer}");
    }
    for policy in [SrtpPolicy::Off, SrtpPolicy::Accept, SrtpPolicy::Prefer] {
        let answer = answered(&plain(), policy).expect("RTP is taken");
        assert!(answer.contains(" RTP/AVP 8") && keys(&answer).is_empty(), "{answer}");
    }
    for (description, policy) in [(secure(1), SrtpPolicy::Off), (plain(), SrtpPolicy::Require)] {
        let refused = answered(&description, policy);
        assert!(matches!(refused, Err(VoiceError::Description(_))), "{policy:?}: {refused:?}");
    }
    assert_eq!(voice.legs.len(), 6, "what is refused leaves no leg");
}

#[test]
fn srtp_is_offered_with_all_suites_and_taken_back_where_it_is_refused() {
    let mut voice = voice();
    let first = text(voice.offer(LegId(1), &terms(SrtpPolicy::Prefer), true));
    assert!(first.contains(" RTP/SAVP ") && keys(&first).len() == Suite::ALL.len(), "{first}");
    let again = text(voice.offer_anew(LegId(1), false));
    assert!(again.contains(" RTP/AVP ") && keys(&again).is_empty(), "{again}");
    assert!(voice.answered(LegId(1), &plain(), None).is_ok());
    // Plain RTP is no answer to an offer of SRTP.
    voice.offer(LegId(2), &terms(SrtpPolicy::Require), true).expect("an offer");
    let refused = voice.answered(LegId(2), &plain(), None);
    assert!(matches!(refused, Err(VoiceError::Description(_))), "{refused:?}");
}

#[test]
fn keys_are_new_for_each_leg_and_stay_over_its_descriptions() {
    let mut voice = voice();
    let first = text(voice.accept(LegId(1), &secure(1), PEER, &terms(SrtpPolicy::Accept)));
    let other = text(voice.accept(LegId(2), &secure(1), PEER, &terms(SrtpPolicy::Accept)));
    assert_ne!(keys(&first), keys(&other));
    let held = text(
        voice
            .offered_again(LegId(1), &secure(2), Some(PEER), Wish::default())
            .map(|(said, _)| said),
    );
    assert_eq!(keys(&first), keys(&held));
    let shown = format!("{voice:?}");
    let key = |description| keys(description)[0].rsplit(':').next().expect("a key").to_owned();
    for secret in [key(&first), key(&other), KEY.to_owned()] {
        assert!(!shown.contains(&secret), "{shown}");
    }
}

/// A description of a peer that wants this.
fn with_direction(version: u32, direction: &str) -> Vec<u8> {
    offer(version, "RTP/AVP", &format!("a={direction}\r\n"))
}

#[test]
fn a_party_that_is_held_is_offered_what_the_other_wishes_and_keeps_its_lines() {
    let mut voice = voice();
    let (caller, called) = (LegId(1), LegId(2));
    let terms = terms(SrtpPolicy::Off);
    let description = plain();
    let from = Caller { leg: caller, offer: Some(&description), from: PEER, terms: &terms };
    let (_, offered) = voice.open_pair(&from, called, &terms, false).expect("a pair");
    voice.answered(called, &plain(), None).expect("an answer");

    // The caller holds: it is answered, and the called side hears of it.
    let wish = Wish::default();
    let hold = voice.offered_again(caller, &with_direction(2, "sendonly"), Some(PEER), wish);
    let (answer, held) = hold.expect("an answer");
    assert!(text(Ok(answer)).contains("a=recvonly"));
    assert_eq!(held, Wish { speaks: true, listens: false });
    let onward = text(voice.offer_onward(called, held));
    let media = |text: &str| text.lines().find(|line| line.starts_with("m=")).map(str::to_owned);
    assert!(onward.contains("a=sendonly"), "{onward}");
    assert_eq!(media(&onward), media(&text(Ok(offered))), "the same port and payload types");
    voice.answered_onward(called, &with_direction(2, "recvonly"), None).expect("an answer");

    // The called side offers another address meanwhile: it stays held.
    let moved = voice.offered_again(called, &plain(), None, held).expect("an answer");
    assert!(text(Ok(moved.0)).contains("a=sendonly"));
    assert_eq!(moved.1, Wish::default(), "it has not asked to be held");

    // The hold ends.
    let over = voice.offered_again(caller, &with_direction(3, "sendrecv"), Some(PEER), moved.1);
    let (answer, wish) = over.expect("an answer");
    assert!(!text(Ok(answer)).contains("only"));
    let onward = text(voice.offer_onward(called, wish));
    assert!(!onward.contains("only"), "{onward}");
}

#[test]
fn keys_stay_over_what_a_held_party_is_offered() {
    let mut voice = voice();
    let (caller, called) = (LegId(1), LegId(2));
    let (plain_terms, secure_terms) = (terms(SrtpPolicy::Off), terms(SrtpPolicy::Accept));
    let description = secure(1);
    let from = Caller { leg: caller, offer: Some(&description), from: PEER, terms: &secure_terms };
    let (told, _) = voice.open_pair(&from, called, &plain_terms, false).expect("a pair");
    voice.answered(called, &plain(), None).expect("an answer");
    let held = Wish { speaks: false, listens: false };
    let told = text(Ok(told.expect("an answer for the caller")));
    let onward = text(voice.offer_onward(caller, held));
    assert!(onward.contains("a=inactive") && onward.contains(" RTP/SAVP "), "{onward}");
    assert_eq!(keys(&told), keys(&onward));
    voice.answered_onward(caller, &secure(2), Some(PEER)).expect("an answer");
}

/// Waits until the media plane has dropped so many packets on hold.
fn wait_until_dropped(voice: &Voice, packets: u64) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while voice.media().counters().total().dropped_on_hold < packets {
        assert!(Instant::now() < deadline, "not {packets} were dropped");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn who_refuses_after_early_media_is_not_spoken_to_while_the_next_is_called() {
    let mut voice = voice();
    let (caller, called) = (LegId(1), LegId(2));
    let socket = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let port = socket.local_addr().expect("an address").port();
        let description = String::from_utf8(plain()).expect("text");
        (socket, description.replace("5000", &port.to_string()).into_bytes())
    };
    let ((speaks, offered), (hears, answered)) = (socket(), socket());
    let terms = terms(SrtpPolicy::Off);
    let from = Caller { leg: caller, offer: Some(&offered), from: PEER, terms: &terms };
    voice.open_pair(&from, called, &terms, false).expect("a pair");
    voice.answered(called, &answered, None).expect("early media");

    let to = voice.legs[&caller].local.rtp;
    let mut packet = [0xd5_u8; 172];
    packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    let mut sequence = 0_u16;
    let mut speak = || {
        sequence += 1;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        speaks.send_to(&packet, to).expect("it is sent");
    };
    speak();
    let mut heard = [0; 256];
    assert_eq!(hears.recv(&mut heard).expect("early media"), 172);

    voice.give_up(called);
    // What is on its way still arrives.
    let deadline = Instant::now() + Duration::from_secs(2);
    while voice.media().counters().total().dropped_on_hold == 0 {
        speak();
        std::thread::sleep(Duration::from_millis(5));
        assert!(Instant::now() < deadline, "the caller is still heard");
    }
    hears.set_nonblocking(true).expect("a socket");
    while hears.recv(&mut heard).is_ok() {}
    let dropped = voice.media().counters().total().dropped_on_hold;
    speak();
    wait_until_dropped(&voice, dropped + 1);
    assert!(hears.recv(&mut heard).is_err(), "it hears what is said to somebody else");

    // The next one answers on the same leg.
    let (next, answered) = socket();
    voice.open_pair(&from, LegId(3), &terms, false).expect("the pair is there");
    voice.answered(LegId(3), &answered, None).expect("an answer");
    speak();
    assert_eq!(next.recv(&mut heard).expect("speech"), 172);
}

#[test]
fn a_timeslot_of_another_law_than_the_others_is_spoken_to_in_its_own() {
    let mut voice = voice();
    let leg = LegId(1);
    voice.accept(leg, &plain(), PEER, &terms(SrtpPolicy::Off)).expect("an answer");
    // Span 0 is A-law, span 1 µ-law: the leg cannot know on which it will be.
    let (_, mut bearer) = voice.join(leg, BChannel { span: 1, timeslot: 1 }).remove(0);
    let mut to_line = [0; 8];
    bearer.exchange(&[Law::Mu.idle(); 8], &mut to_line);
    assert!(to_line.iter().all(|&octet| Law::Mu.decode(octet).abs() <= 8), "{to_line:02x?}");
    // On the other span nothing is turned.
    assert!(voice.came_back(bearer).is_none());
    let (_, mut bearer) = voice.join(leg, BChannel { span: 0, timeslot: 1 }).remove(0);
    bearer.exchange(&[Law::A.idle(); 8], &mut to_line);
    assert!(to_line.iter().all(|&octet| Law::A.decode(octet).abs() <= 8), "{to_line:02x?}");
}

#[test]
fn data_from_line_to_line_keeps_its_octets_between_the_laws() {
    let mut voice = voice();
    let channels = [BChannel { span: 0, timeslot: 1 }, BChannel { span: 1, timeslot: 1 }];
    let octets: Vec<u8> = (0..160).collect();
    for is_data in [true, false] {
        let leg = LegId(u64::from(is_data));
        let mut ends = voice.cross(leg, channels[0], channels[1], is_data);
        let [(_, calling), (_, called)] = &mut ends[..] else { panic!("two ends") };
        let mut heard = Vec::new();
        for _ in 0..20 {
            let mut to_line = [0; 160];
            calling.exchange(&octets, &mut [0; 160]);
            called.exchange(&octets, &mut to_line);
            heard.extend_from_slice(&to_line);
        }
        let came = heard.windows(octets.len()).any(|window| window == octets);
        assert_eq!(came, is_data, "data: {is_data}");
    }
}
