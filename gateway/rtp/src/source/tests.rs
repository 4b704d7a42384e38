use proptest::prelude::*;

use super::*;
use crate::packet::{RtpHeader, Timestamp};

const PUBLIC: &str = "198.51.100.7:40000";
const PRIVATE: &str = "192.168.1.20:40000";
const TRANSLATED: &str = "203.0.113.9:61234";
const ATTACKER: &str = "203.0.113.66:5555";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Leg {
    rule: SourceRule,
    now: Instant,
}

impl Leg {
    fn new(signalled: &str, latching: Latching) -> Self {
        let now = Instant::now();
        let policy = SourcePolicy { latching, ..SourcePolicy::default() };
        let rule = SourceRule::new(policy, at(signalled), None, expected(), now);
        Self { rule, now }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn hear(&mut self, source: &str, sequence: u16, payload_type: u8, ssrc: u32) -> Verdict {
        let header = RtpHeader {
            marker: false,
            payload_type,
            sequence: SequenceNumber(sequence),
            timestamp: Timestamp(0),
            ssrc,
        };
        let packet = RtpPacket { header, csrc: &[], extension: None, payload: &[0; 160] };
        self.wait(20);
        self.rule.judge(at(source), &packet, self.now)
    }

    /// Packets in a row; the last verdict.
    fn talk(&mut self, source: &str, sequences: std::ops::Range<u16>) -> Verdict {
        sequences.map(|n| self.hear(source, n, 8, 1)).last().unwrap()
    }
}

fn expected() -> PayloadTypes {
    [8, 101].into_iter().collect()
}

#[test]
fn signalled_source_is_believed_from_its_first_packet() {
    let mut leg = Leg::new(PUBLIC, Latching::Translated);
    assert_eq!(leg.hear(PUBLIC, 9, 8, 1), Verdict::Accept);
    assert_eq!(leg.rule.destination(), at(PUBLIC));
}

#[test]
fn source_behind_a_translator_is_latched_after_probation() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    assert_eq!(leg.rule.destination(), at(PRIVATE));
    for n in [65_534, 65_535, 0] {
        assert_eq!(leg.hear(TRANSLATED, n, 8, 1), Verdict::Refuse(Refusal::Probation));
    }
    assert_eq!(leg.hear(TRANSLATED, 1, 8, 1), Verdict::AcceptMoved);
    assert_eq!(leg.hear(TRANSLATED, 2, 101, 1), Verdict::Accept);
    assert_eq!(leg.rule.destination(), at(TRANSLATED));
    assert_eq!(leg.rule.counters().latched, 1);
}

#[test]
fn injection_into_a_running_call_is_refused_and_counted() {
    let mut leg = Leg::new(PUBLIC, Latching::Any);
    leg.talk(PUBLIC, 0..10);
    assert_eq!(leg.talk(ATTACKER, 10..60), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.rule.destination(), at(PUBLIC));
    assert_eq!(leg.rule.counters().stranger, 50);
}

#[test]
fn bleed_from_a_latched_leg_is_refused() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    leg.talk(TRANSLATED, 0..10);
    assert_eq!(leg.talk(ATTACKER, 10..60), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.rule.destination(), at(TRANSLATED));
}

#[test]
fn silence_does_not_open_the_leg_to_a_stranger() {
    let mut leg = Leg::new(PRIVATE, Latching::Any);
    leg.talk(TRANSLATED, 0..10);
    leg.wait(600_000);
    assert_eq!(leg.talk(ATTACKER, 10..60), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.hear(TRANSLATED, 10, 8, 1), Verdict::Accept);
}

#[test]
fn leg_nobody_spoke_on_closes_its_window() {
    let mut leg = Leg::new(PRIVATE, Latching::Any);
    leg.wait(3_000);
    assert_eq!(leg.talk(ATTACKER, 0..50), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.rule.destination(), at(PRIVATE));
    // The signalled source is never too late.
    assert_eq!(leg.hear(PRIVATE, 0, 8, 1), Verdict::Accept);
}

#[test]
fn public_address_is_not_replaced_by_an_unrelated_host() {
    let mut leg = Leg::new(PUBLIC, Latching::Translated);
    assert_eq!(leg.talk(ATTACKER, 0..50), Verdict::Refuse(Refusal::Stranger));
    // Another port of the signalled host may.
    assert_eq!(leg.talk("198.51.100.7:40002", 0..4), Verdict::AcceptMoved);
}

#[test]
fn host_that_signalling_came_from_may_latch() {
    let now = Instant::now();
    let from = Some(at(TRANSLATED).ip());
    let rule = SourceRule::new(SourcePolicy::default(), at(PUBLIC), from, expected(), now);
    let mut leg = Leg { rule, now };
    assert_eq!(leg.talk(TRANSLATED, 0..4), Verdict::AcceptMoved);
    assert_eq!(leg.talk(ATTACKER, 0..4), Verdict::Refuse(Refusal::Stranger));
}

#[test]
fn strict_leg_latches_nobody() {
    let mut leg = Leg::new(PRIVATE, Latching::Never);
    assert_eq!(leg.talk(TRANSLATED, 0..50), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.hear(PRIVATE, 0, 8, 1), Verdict::Accept);
}

#[test]
fn signalled_source_takes_its_place_back_from_a_winner_of_the_race() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    assert_eq!(leg.talk(ATTACKER, 0..4), Verdict::AcceptMoved);
    leg.wait(10_000);
    assert_eq!(leg.hear(PRIVATE, 0, 8, 7), Verdict::AcceptMoved);
    assert_eq!(leg.rule.destination(), at(PRIVATE));
    assert_eq!(leg.talk(ATTACKER, 4..50), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.rule.counters().reclaimed, 1);
}

#[test]
fn guesses_do_not_pass_probation() {
    let mut leg = Leg::new(PRIVATE, Latching::Any);
    for n in 0..20 {
        // Wrong payload type; gaps; the same number again and again; a new stream each time.
        assert_eq!(leg.hear(ATTACKER, n, 0, 1), Verdict::Refuse(Refusal::PayloadType));
        assert_eq!(leg.hear(ATTACKER, n * 2, 8, 2), Verdict::Refuse(Refusal::Probation));
        assert_eq!(leg.hear("203.0.113.67:1", 5, 8, 3), Verdict::Refuse(Refusal::Probation));
        assert_eq!(
            leg.hear("203.0.113.68:1", n, 8, u32::from(n)),
            Verdict::Refuse(Refusal::Probation)
        );
        leg.now -= Duration::from_millis(80);
    }
    assert_eq!(leg.rule.destination(), at(PRIVATE));
}

#[test]
fn flood_of_false_sources_does_not_keep_the_true_one_out_for_ever() {
    let mut leg = Leg::new(PRIVATE, Latching::Any);
    for n in 0..3_u16 {
        leg.hear(TRANSLATED, n, 8, 1);
        for port in 1..=3 {
            leg.hear(&format!("203.0.113.66:{port}"), 0, 8, 1);
        }
    }
    assert_eq!(leg.hear(TRANSLATED, 3, 8, 1), Verdict::AcceptMoved);
}

#[test]
fn unexpected_payload_type_is_refused_from_the_believed_source_too() {
    let mut leg = Leg::new(PUBLIC, Latching::Translated);
    leg.talk(PUBLIC, 0..3);
    assert_eq!(leg.hear(PUBLIC, 3, 96, 1), Verdict::Refuse(Refusal::PayloadType));
    assert_eq!(leg.rule.counters().payload_type, 1);
}

#[test]
fn new_signalled_address_starts_over_and_the_same_one_does_not() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    leg.talk(TRANSLATED, 0..10);
    leg.wait(60_000);
    // A re-INVITE that repeats the address: the latched source stays, a stranger gets no chance.
    leg.rule.signalled(at(PRIVATE), expected(), leg.now);
    assert_eq!(leg.talk(ATTACKER, 0..10), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.hear(TRANSLATED, 10, 8, 1), Verdict::Accept);
    // One that moves the media.
    leg.rule.signalled(at(PUBLIC), expected(), leg.now);
    assert_eq!(leg.rule.destination(), at(PUBLIC));
    assert_eq!(leg.hear(TRANSLATED, 11, 8, 1), Verdict::Refuse(Refusal::Stranger));
    assert_eq!(leg.hear(PUBLIC, 0, 8, 2), Verdict::Accept);
}

#[test]
fn answer_after_long_ringing_opens_the_window_for_a_caller_not_heard_yet() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    leg.wait(30_000);
    leg.rule.signalled(at(PRIVATE), expected(), leg.now);
    assert_eq!(leg.talk(TRANSLATED, 0..4), Verdict::AcceptMoved);
}

#[test]
fn rtcp_follows_the_believed_host() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    let beside = at("192.168.1.20:40001");
    assert_eq!(leg.rule.rtcp_destination(beside), beside);
    leg.talk(TRANSLATED, 0..4);
    assert_eq!(leg.rule.rtcp_destination(beside), at("203.0.113.9:61235"));
    assert_eq!(leg.rule.rtcp_destination(at(PRIVATE)), at(TRANSLATED));
    assert!(leg.rule.accepts_rtcp(at("203.0.113.9:7"), beside));
    assert!(!leg.rule.accepts_rtcp(at(ATTACKER), beside));
}

#[test]
fn private_addresses_are_those_nobody_routes() {
    for private in
        ["10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1"]
    {
        assert!(is_private(private.parse().unwrap()), "{private}");
    }
    for public in ["127.0.0.10", "100.128.0.1", "172.32.0.1", "2001:db8::1", "8.8.8.8"] {
        assert!(!is_private(public.parse().unwrap()), "{public}");
    }
}

proptest! {
    // Whatever arrives from whom and when, a leg whose signalled source has spoken never moves.
    #[test]
    fn nothing_but_signalling_moves_a_leg_that_was_heard(
        packets in proptest::collection::vec((0_u8..6, 0_u16..8, 0_u8..128, 0_u32..2, 0_u64..2_000), 0..200),
    ) {
        let mut leg = Leg::new(PRIVATE, Latching::Any);
        leg.hear(PRIVATE, 0, 8, 1);
        for (host, sequence, payload_type, ssrc, pause_ms) in packets {
            leg.wait(pause_ms);
            let verdict = leg.hear(&format!("203.0.113.{host}:4000"), sequence, payload_type, ssrc);
            prop_assert_eq!(verdict, Verdict::Refuse(Refusal::Stranger));
            prop_assert_eq!(leg.rule.destination(), at(PRIVATE));
        }
    }
}

#[test]
fn only_who_is_neither_believed_nor_may_latch_is_refused_unseen() {
    let mut leg = Leg::new(PRIVATE, Latching::Translated);
    // Within the window somebody else may be the other side behind a translator.
    for source in [PRIVATE, TRANSLATED, ATTACKER] {
        assert!(!leg.rule.is_hopeless(at(source), leg.now), "{source}");
    }
    leg.talk(TRANSLATED, 0..4);
    assert!(!leg.rule.is_hopeless(at(TRANSLATED), leg.now));
    assert!(!leg.rule.is_hopeless(at(PRIVATE), leg.now), "it may take its place back");
    assert!(leg.rule.is_hopeless(at(ATTACKER), leg.now));
    assert_eq!(leg.rule.counters().stranger, 1);

    let mut late = Leg::new(PRIVATE, Latching::Any);
    late.wait(3_000);
    assert!(late.rule.is_hopeless(at(TRANSLATED), late.now), "the window is over");
    let never = Leg::new(PUBLIC, Latching::Never);
    assert!(never.rule.clone().is_hopeless(at(TRANSLATED), never.now));
}

#[test]
fn it_is_settled_who_may_speak_once_somebody_has_or_nobody_may_latch_any_more() {
    let mut leg = Leg::new(PRIVATE, Latching::Any);
    assert_eq!(leg.rule.only(leg.now), None);
    leg.wait(3_000);
    assert_eq!(leg.rule.only(leg.now), Some([at(PRIVATE); 2]));

    let mut latched = Leg::new(PRIVATE, Latching::Any);
    assert_eq!(latched.talk(TRANSLATED, 1..5), Verdict::AcceptMoved);
    latched.wait(3_000);
    let both = [at(TRANSLATED), at(PRIVATE)];
    assert_eq!(latched.rule.only(latched.now), Some(both), "the signalled one may still come");
    latched.hear(PRIVATE, 1, 8, 1);
    assert_eq!(latched.rule.only(latched.now), Some([at(PRIVATE); 2]));
    latched.rule.signalled(at(PUBLIC), expected(), latched.now);
    assert_eq!(latched.rule.only(latched.now), None, "signalling has opened the window again");
}
