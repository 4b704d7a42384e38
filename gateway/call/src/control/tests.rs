//! Calls as the two sides see them.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use trunkline_number::CountryProfile;

use super::*;
use crate::congestion::Congestion;
use crate::routing::PrefixRoute;
use crate::trunk::{ChannelCount, Hunting, TrunkGroup};

fn gateway(timeslots: &[u8]) -> CallControl {
    let mut trunks = Trunks::default();
    let span = trunks.add_span(timeslots.iter().copied());
    trunks.set_in_service(span, true);
    let group = TrunkGroup { name: "tokyo".into(), spans: vec![span], hunting: Hunting::Up };
    trunks.add_group(group);
    let route = PrefixRoute {
        prefix: "813".into(),
        calls_from: CallsFrom::Both,
        via: Via::TrunkGroups { groups: vec!["tokyo".into()], number_type: NumberType::Unknown },
    };
    let peers = PrefixRoute {
        prefix: "8150".into(),
        calls_from: CallsFrom::Packet,
        via: Via::Peers(vec![PacketTarget("sip:first".into()), PacketTarget("sip:second".into())]),
    };
    let directory =
        PrefixRoute { prefix: "8170".into(), calls_from: CallsFrom::Packet, via: Via::Directory };
    let routing = Routing::new(CountryProfile::japan(), vec![route, peers, directory]);
    CallControl::new(routing, trunks, Limits::default())
}

fn actions(control: &mut CallControl) -> Vec<Action> {
    std::iter::from_fn(|| control.poll_action()).collect()
}

fn packet_offer(called: &str) -> PacketOffer {
    PacketOffer {
        peer: "127.0.0.1:5060".into(),
        called: called.into(),
        calling: Some(Identity::shown("0469-59-5678".into())),
        redirection: None,
        hops: Some(70),
    }
}

fn line_offer(timeslot: u8, called: &str) -> LineOffer {
    LineOffer {
        channel: BChannel { span: 0, timeslot },
        called: LineNumber { number_type: NumberType::Unknown, digits: called.into() },
        calling: None,
        redirection: None,
    }
}

/// The egress leg that was dialled last.
fn dialled(actions: &[Action]) -> LegId {
    actions
        .iter()
        .rev()
        .find_map(|action| match action {
            Action::DialLine { leg, .. } | Action::DialPacket { leg, .. } => Some(*leg),
            _ => None,
        })
        .expect("a leg was dialled")
}

fn release_of(actions: &[Action], leg: LegId) -> Option<u8> {
    actions.iter().find_map(|action| match action {
        Action::Release { leg: released, release } if *released == leg => Some(release.cause),
        _ => None,
    })
}

fn record(actions: &[Action]) -> CallRecord {
    actions
        .iter()
        .find_map(|action| match action {
            Action::Record(record) => Some((**record).clone()),
            _ => None,
        })
        .expect("the call was recorded")
}

#[test]
fn a_call_from_packets_is_answered_by_the_line_and_recorded() {
    let mut control = gateway(&[1, 2]);
    let t0 = Instant::now();
    let at = |seconds| t0 + Duration::from_secs(seconds);
    let (_, ingress) = control.offered_by_packet(t0, packet_offer("03-3333-1234"));
    let begun = actions(&mut control);
    let egress = dialled(&begun);
    assert!(matches!(
        &begun[0],
        Action::DialLine { channel: BChannel { span: 0, timeslot: 1 }, called, .. }
            if called.digits == "0333331234"
    ));
    control.leg_alerting(at(1), egress, true);
    control.leg_answered(at(5), egress);
    assert_eq!(
        actions(&mut control),
        [Action::Alert { leg: ingress, in_band: true }, Action::Answer { leg: ingress }]
    );
    control.leg_released(at(65), ingress, Release::with_cause(16));
    assert_eq!(release_of(&actions(&mut control), egress), Some(16));
    assert_eq!(control.trunks.count(0).busy, 1, "the channel is kept until RELEASE is complete");
    control.leg_released(at(66), egress, Release::with_cause(16));
    let record = record(&actions(&mut control));
    assert_eq!(record.answered_at, Some(at(5)));
    assert_eq!(record.ended_at, at(65));
    assert_eq!(record.ingress.end.by, ReleasedBy::Peer);
    assert_eq!(record.egress[0].end.by, ReleasedBy::Gateway);
    assert_eq!(record.calling.as_deref(), Some("+81469595678"));
    assert!(control.is_idle());
    assert_eq!(control.trunks.count(0), ChannelCount { idle: 2, ..ChannelCount::default() });
}

#[test]
fn busy_on_the_line_ends_the_call_with_the_same_cause() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_packet(now, packet_offer("0333331234"));
    let egress = dialled(&actions(&mut control));
    let busy = Release { location: Some(Location::USER), ..Release::with_cause(17) };
    control.leg_disconnected(now, egress, busy);
    let ended = actions(&mut control);
    assert_eq!(release_of(&ended, egress), Some(17));
    assert_eq!(release_of(&ended, ingress), Some(17));
}

#[test]
fn a_full_trunk_group_is_cause_34_and_one_out_of_service_38() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    control.offered_by_packet(now, packet_offer("0333331234"));
    actions(&mut control);
    let (_, second) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), second), Some(34));
    control.span_in_service(0, false);
    let (_, third) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), third), Some(38));
}

#[test]
fn numbers_without_a_way_are_told_apart() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    for (called, cause) in [("06-1234-5678", 3), ("abc", 28), ("110", 1)] {
        let (_, leg) = control.offered_by_packet(now, packet_offer(called));
        assert_eq!(release_of(&actions(&mut control), leg), Some(cause), "{called}");
    }
    // A telephone that has stopped dialling, and one that wants the exchange's own service.
    for (called, cause) in [("03", 28), ("", 28), ("3333", 28), ("110", 1)] {
        let (_, leg) = control.offered_by_line(now, line_offer(1, called));
        assert_eq!(release_of(&actions(&mut control), leg), Some(cause), "{called}");
        control.leg_released(now, leg, Release::with_cause(cause));
    }
}

#[test]
fn a_channel_refused_by_the_other_end_is_followed_by_another() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    control.offered_by_packet(now, packet_offer("0333331234"));
    let first = dialled(&actions(&mut control));
    control.leg_released(now, first, Release::with_cause(44));
    assert!(actions(&mut control).iter().any(|action| matches!(
        action,
        Action::DialLine { channel: BChannel { span: 0, timeslot: 2 }, .. }
    )));
}

#[test]
fn a_call_from_the_line_asks_the_directory_and_tries_the_next_gateway() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    let (call, ingress) = control.offered_by_line(now, line_offer(1, "0469595678"));
    let asked = actions(&mut control);
    assert_eq!(asked[0], Action::Proceed { leg: ingress });
    assert!(
        matches!(&asked[1], Action::Inquire { number, .. } if number.as_digits() == "81469595678")
    );
    let targets = ["sip:b1", "sip:b2"].map(|uri| PacketTarget(uri.into()));
    control.inquiry_answered(now, call, InquiryReply::Gateways(targets.to_vec()));
    let first = dialled(&actions(&mut control));
    control.leg_released(now, first, Release { status: Some(503), ..Release::with_cause(41) });
    let second = dialled(&actions(&mut control));
    control.leg_answered(now, second);
    assert_eq!(actions(&mut control), [Action::Answer { leg: ingress }]);
    control.leg_released(now, second, Release::with_cause(16));
    control.leg_released(now, ingress, Release::with_cause(16));
    let record = record(&actions(&mut control));
    assert_eq!(record.egress.len(), 2);
    assert_eq!(record.egress[0].end.status, Some(503));
}

#[test]
fn an_unknown_number_gateways_out_of_service_and_a_silent_directory_are_told_apart() {
    let mut control = gateway(&[1, 2, 3]);
    let now = Instant::now();
    for (timeslot, reply, cause) in [
        (1, InquiryReply::UnknownNumber, 1),
        (2, InquiryReply::Unavailable, 38),
        (3, InquiryReply::NoGateway, 34),
    ] {
        let (call, leg) = control.offered_by_line(now, line_offer(timeslot, "0469595678"));
        actions(&mut control);
        control.inquiry_answered(now, call, reply);
        assert_eq!(release_of(&actions(&mut control), leg), Some(cause));
    }
}

#[test]
fn a_registered_phone_is_called_without_the_directory() {
    let mut control = gateway(&[1]);
    let phone = PacketTarget("sip:phone@127.0.0.1:5070".into());
    control.routing.register(
        "81312345678".parse().unwrap(),
        phone.clone(),
        Instant::now() + Duration::from_secs(60),
    );
    control.offered_by_line(Instant::now(), line_offer(1, "0312345678"));
    assert!(
        actions(&mut control)
            .iter()
            .any(|action| matches!(action, Action::DialPacket { target, .. } if *target == phone))
    );
}

#[test]
fn a_registration_that_has_expired_gives_way_to_the_configured_phone() {
    let mut control = gateway(&[1]);
    let number = "81312345678".parse().unwrap();
    let now = Instant::now();
    let desk = PacketTarget("sip:desk@127.0.0.1:5070".into());
    let mobile = PacketTarget("sip:mobile@127.0.0.1:5070".into());
    control.routing.set_phone(number, desk.clone());
    control.routing.register(number, mobile.clone(), now + Duration::from_secs(60));
    let at = |s| now + Duration::from_secs(s);
    assert_eq!(control.routing.to_phone(&number, at(59)), Some(&mobile));
    assert_eq!(control.routing.to_phone(&number, at(60)), Some(&desk), "it lost its power");
    control.routing.unregister(&number);
    assert_eq!(control.routing.to_phone(&number, at(1)), Some(&desk), "that one is not removed");
}

#[test]
fn a_channel_offered_twice_is_refused_with_44_and_the_first_call_keeps_it() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    control.offered_by_line(now, line_offer(1, "0469595678"));
    actions(&mut control);
    let (_, second) = control.offered_by_line(now, line_offer(1, "0469595678"));
    assert_eq!(release_of(&actions(&mut control), second), Some(44));
    control.leg_released(now, second, Release::with_cause(44));
    assert_eq!(control.trunks.count(0).busy, 1);
}

#[test]
fn a_call_nobody_answers_is_cleared_in_time() {
    let mut control = gateway(&[1]);
    let t0 = Instant::now();
    let (_, ingress) = control.offered_by_packet(t0, packet_offer("0333331234"));
    let egress = dialled(&actions(&mut control));
    control.leg_alerting(t0, egress, false);
    let deadline = control.next_deadline().unwrap();
    control.timeout(deadline);
    assert_eq!(release_of(&actions(&mut control), ingress), Some(19));
    assert_eq!(control.next_deadline(), None);
}

#[test]
fn without_room_in_the_media_plane_calls_of_both_sides_are_refused_before_anything_is_done() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    control.offered_by_packet(now, packet_offer("0333331234"));
    let egress = dialled(&actions(&mut control));
    control.set_media(Some(Congestion::MediaLoad));
    let offers = [
        control.offered_by_packet(now, packet_offer("0333331234")).1,
        control.offered_by_line(now, line_offer(2, "0469595678")).1,
    ];
    let done = actions(&mut control);
    assert_eq!(done.len(), 2, "nobody is dialled, no directory is asked: {done:?}");
    for leg in offers {
        assert_eq!(release_of(&done, leg), Some(42));
        assert!(control.is_releasing(leg));
        control.leg_released(now, leg, Release::by_gateway(42));
        let record = record(&actions(&mut control));
        assert_eq!((record.cause, record.refused), (42, Some(Congestion::MediaLoad)));
        assert_eq!(record.ingress.end.by, ReleasedBy::Gateway);
    }
    assert_eq!(control.trunks.count(0).busy, 1, "the refused call's channel is free again");
    control.leg_answered(now, egress);
    assert_eq!(control.count().answered, 1, "who talks goes on");
    control.set_media(None);
    control.offered_by_packet(now, packet_offer("0333331234"));
    dialled(&actions(&mut control));
}

#[test]
fn a_call_that_finds_no_room_when_its_media_is_opened_is_refused_like_the_others() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (call, ingress) = control.offered_by_packet(now, packet_offer("0333331234"));
    control.refuse(now, call, Congestion::MediaPorts);
    let done = actions(&mut control);
    let egress = dialled(&done);
    assert!(control.is_releasing(egress), "no SETUP is to be sent");
    assert_eq!(release_of(&done, ingress), Some(42));
    control.leg_released(now, egress, Release::by_gateway(42));
    control.leg_released(now, ingress, Release::by_gateway(42));
    assert_eq!(record(&actions(&mut control)).refused, Some(Congestion::MediaPorts));
    assert!(control.is_idle());
}

#[test]
fn the_limit_of_calls_is_a_congestion_of_its_own() {
    let mut control = gateway(&[1, 2]);
    control.limits.calls_max = 1;
    let now = Instant::now();
    assert_eq!(control.congestion(), None);
    control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(control.congestion(), Some(Congestion::Calls));
    let (_, late) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), late), Some(42));
    control.drain();
    assert_eq!(control.congestion(), Some(Congestion::Draining));
}

#[test]
fn draining_refuses_new_calls_and_keeps_old_ones() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    control.offered_by_packet(now, packet_offer("0333331234"));
    let egress = dialled(&actions(&mut control));
    control.drain();
    let (_, late) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), late), Some(42));
    control.leg_answered(now, egress);
    assert_eq!(control.count().answered, 1);
}

#[test]
fn a_call_refused_before_it_was_dialled_dials_nobody() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_packet(now, packet_offer("03-3333-1234"));
    control.leg_disconnected(now, ingress, Release::by_gateway(65));
    let first = actions(&mut control);
    let egress = dialled(&first);
    assert!(control.is_releasing(egress), "whoever carries the actions out must not send SETUP");
    control.leg_released(now, egress, Release::by_gateway(65));
    control.leg_released(now, ingress, Release::by_gateway(65));
    let record = record(&actions(&mut control));
    assert_eq!(record.ingress.end.by, ReleasedBy::Gateway);
    assert!(control.is_idle());
}

/// Whom the actions call on the packet side, and over how many more switches.
fn called(actions: &[Action]) -> Vec<(&str, u8)> {
    let called = actions.iter().filter_map(|action| match action {
        Action::DialPacket { target, hops, .. } => Some((target.0.as_str(), *hops)),
        _ => None,
    });
    called.collect()
}

#[test]
fn a_call_between_peers_tries_them_in_order_and_takes_no_channel() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_packet(now, packet_offer("050-3333-1234"));
    let first = actions(&mut control);
    assert_eq!(called(&first), [("sip:first", 69)]);
    let refused = Release { status: Some(503), ..Release::with_cause(41) };
    control.leg_released(now, dialled(&first), refused);
    let second = actions(&mut control);
    assert_eq!(called(&second), [("sip:second", 69)]);
    let egress = dialled(&second);
    assert_eq!(control.packet_pair(ingress), Some((ingress, egress)));
    assert_eq!(control.trunks.count(0).idle, 1);
    control.leg_alerting(now, egress, true);
    control.leg_answered(now, egress);
    let up = actions(&mut control);
    assert!(up.contains(&Action::Alert { leg: ingress, in_band: true }));
    assert!(up.contains(&Action::Answer { leg: ingress }));
    // The caller hangs up.
    control.leg_released(now, ingress, Release::with_cause(16));
    assert_eq!(release_of(&actions(&mut control), egress), Some(16));
    control.leg_released(now, egress, Release::with_cause(16));
    let record = record(&actions(&mut control));
    let is_packet = |leg: &LegRecord| matches!(leg.medium, LegMedium::Packet { .. });
    assert!(is_packet(&record.ingress) && record.egress.iter().all(is_packet));
    assert_eq!((record.egress.len(), record.egress[0].end.status), (2, Some(503)));
    assert!(control.is_idle());
}

#[test]
fn a_call_between_peers_asks_the_directory_where_its_route_says_so() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (call, ingress) = control.offered_by_packet(now, packet_offer("070-3333-1234"));
    let asked = actions(&mut control);
    assert!(matches!(asked[..], [Action::Inquire { .. }]), "{asked:?}");
    assert!(control.will_be_pair(ingress), "no media is opened for the line");
    let gateways = vec![PacketTarget("sip:b".into())];
    control.inquiry_answered(now, call, InquiryReply::Gateways(gateways));
    let dialled_now = actions(&mut control);
    assert_eq!(called(&dialled_now), [("sip:b", 69)], "the caller's hops, less this one");
    assert_eq!(control.packet_pair(ingress), Some((ingress, dialled(&dialled_now))));
    // One that has passed enough switches is not even asked for.
    let spent = PacketOffer { hops: Some(0), ..packet_offer("070-3333-1234") };
    let (_, ingress) = control.offered_by_packet(now, spent);
    let release = Release { status: Some(483), ..Release::with_cause(25) };
    assert_eq!(actions(&mut control), [Action::Release { leg: ingress, release }]);
    // A caller who gives up meanwhile leaves nothing for the answer to find.
    let (call, ingress) = control.offered_by_packet(now, packet_offer("070-3333-1234"));
    control.leg_released(now, ingress, Release::with_cause(16));
    control.inquiry_answered(now, call, InquiryReply::Unavailable);
    let ended = actions(&mut control);
    assert_eq!(called(&ended), []);
    assert!(record(&ended).egress.is_empty());
}

#[test]
fn a_call_from_line_to_line_takes_two_channels_and_gives_both_back() {
    let mut control = gateway(&[1, 2, 3]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_line(now, line_offer(1, "0333331234"));
    let first = actions(&mut control);
    assert!(first.contains(&Action::Proceed { leg: ingress }));
    let egress = dialled(&first);
    let join = Action::Join { call: CallId(1), ingress, egress };
    assert!(first.contains(&join), "the tones of the far exchange are heard from the start");
    assert_eq!(control.trunks.count(0).idle, 1);
    // The other end takes the channel for a call of its own: another one is tried.
    control.leg_released(now, egress, Release::with_cause(44));
    let second = dialled(&actions(&mut control));
    control.leg_alerting(now, second, true);
    control.leg_answered(now, second);
    actions(&mut control);
    assert!(control.is_crossing(ingress) && control.ingress_of(second) == Some(ingress));
    let far_network = Release { location: Some(Location(4)), ..Release::with_cause(31) };
    control.leg_disconnected(now, second, far_network);
    let passed_on = Action::Release { leg: ingress, release: far_network };
    assert!(actions(&mut control).contains(&passed_on), "the cause keeps its location");
    control.leg_released(now, ingress, Release::with_cause(16));
    control.leg_released(now, second, Release::with_cause(16));
    assert_eq!(control.trunks.count(0).idle, 3);
    assert!(control.is_idle());
    // A number without such a route is the directory's.
    control.offered_by_line(now, line_offer(1, "05033331234"));
    assert!(actions(&mut control).iter().any(|action| matches!(action, Action::Inquire { .. })));
}

const HOLD: Wish = Wish { speaks: true, listens: false };

/// A call between two peers that is up; its legs.
fn talking(control: &mut CallControl, now: Instant) -> (LegId, LegId) {
    let (_, ingress) = control.offered_by_packet(now, packet_offer("050-3333-1234"));
    let egress = dialled(&actions(control));
    control.leg_answered(now, egress);
    actions(control);
    (ingress, egress)
}

#[test]
fn hold_of_either_party_is_told_to_the_other_and_outlasts_its_own_offers() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (ingress, egress) = talking(&mut control, now);
    for (holds, held) in [(ingress, egress), (egress, ingress)] {
        control.leg_offered(holds, HOLD);
        assert_eq!(actions(&mut control), [Action::Offer { leg: held, wish: HOLD }]);
        control.offer_accepted(held);
        // The held one offers another address: the answer keeps it held, and nobody is told.
        assert_eq!(control.wish_to(held), HOLD);
        control.leg_offered(held, Wish::default());
        assert_eq!(actions(&mut control), []);
        control.leg_offered(holds, Wish::default());
        let over = Action::Offer { leg: held, wish: Wish::default() };
        assert_eq!(actions(&mut control), [over]);
        control.offer_accepted(held);
    }
}

#[test]
fn an_offer_onward_that_met_one_of_theirs_is_made_again_while_the_call_is_up() {
    let mut control = gateway(&[1]);
    let t0 = Instant::now();
    let after = Duration::from_secs(3);
    let (ingress, egress) = talking(&mut control, t0);
    control.leg_offered(ingress, HOLD);
    actions(&mut control);
    control.offer_refused(t0, egress, Some(after));
    assert_eq!(control.next_deadline(), Some(t0 + after));
    control.timeout(t0 + after);
    assert_eq!(actions(&mut control), [Action::Offer { leg: egress, wish: HOLD }]);
    control.offer_refused(t0 + after, egress, Some(after));
    control.leg_released(t0 + after, ingress, Release::with_cause(16));
    assert_eq!(release_of(&actions(&mut control), egress), Some(16));
    assert_eq!(control.next_deadline(), None, "what is being released is offered nothing");
    control.timeout(t0 + 2 * after);
    assert_eq!(actions(&mut control), []);
}

#[test]
fn a_hold_is_told_to_nobody_before_the_answer_nor_to_the_line() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_packet(now, packet_offer("050-3333-1234"));
    actions(&mut control);
    control.leg_offered(ingress, HOLD);
    assert_eq!(actions(&mut control), []);
    let (_, ingress) = control.offered_by_packet(now, packet_offer("03-3333-1234"));
    let egress = dialled(&actions(&mut control));
    control.leg_answered(now, egress);
    actions(&mut control);
    control.leg_offered(ingress, HOLD);
    assert_eq!(actions(&mut control), []);
    assert_eq!(control.wish_to(ingress), Wish::default());
}

#[test]
fn both_parties_that_hang_up_at_once_leave_one_record() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (ingress, egress) = talking(&mut control, now);
    // Each BYE was on its way when the other came.
    control.leg_released(now, egress, Release::with_cause(31));
    control.leg_released(now, ingress, Release::with_cause(16));
    let ended = actions(&mut control);
    assert_eq!(release_of(&ended, ingress), Some(31));
    assert_eq!(record(&ended).cause, 31, "the first one ended the call");
    assert!(control.is_idle());
    // What the releases come back with finds nothing.
    control.leg_released(now, ingress, Release::with_cause(31));
    control.leg_disconnected(now, egress, Release::with_cause(16));
    assert_eq!(actions(&mut control), []);
}

#[test]
fn calls_that_are_up_are_counted_by_their_sides() {
    let mut control = gateway(&[1, 2, 3, 4]);
    let now = Instant::now();
    talking(&mut control, now);
    talking(&mut control, now);
    control.offered_by_line(now, line_offer(1, "0333331234"));
    let egress = dialled(&actions(&mut control));
    assert!(!control.up_between().contains_key(&Between::LineToLine), "it is not answered");
    control.leg_answered(now, egress);
    let up = BTreeMap::from([(Between::PacketToPacket, 2), (Between::LineToLine, 1)]);
    assert_eq!(control.up_between(), up);
}

/// How far a call is when something ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Moment {
    Offered,
    Dialled,
    Progressed,
    Alerting,
    Answered,
    Holding,
}

/// Brings a call that far; its legs.
fn call_at(
    control: &mut CallControl,
    now: Instant,
    from: CallsFrom,
    to: &str,
    moment: Moment,
) -> Vec<LegId> {
    let (call, ingress) = match from {
        CallsFrom::Line => control.offered_by_line(now, line_offer(1, to)),
        _ => control.offered_by_packet(now, packet_offer(to)),
    };
    let mut begun = actions(control);
    if moment >= Moment::Dialled
        && begun.iter().any(|action| matches!(action, Action::Inquire { .. }))
    {
        let gateways = vec![PacketTarget("sip:b".into())];
        control.inquiry_answered(now, call, InquiryReply::Gateways(gateways));
        begun = actions(control);
    }
    let has_leg =
        |action: &Action| matches!(action, Action::DialLine { .. } | Action::DialPacket { .. });
    if !begun.iter().any(has_leg) {
        return vec![ingress];
    }
    let egress = dialled(&begun);
    if moment >= Moment::Progressed {
        control.leg_progressed(egress);
    }
    if moment >= Moment::Alerting {
        control.leg_alerting(now, egress, true);
    }
    if moment >= Moment::Answered {
        control.leg_answered(now, egress);
    }
    if moment >= Moment::Holding {
        control.leg_offered(egress, HOLD);
    }
    actions(control);
    vec![ingress, egress]
}

#[test]
fn whichever_leg_ends_at_whichever_moment_nothing_is_left() {
    let kinds = [
        (CallsFrom::Packet, "05033331234"),
        (CallsFrom::Packet, "07033331234"),
        (CallsFrom::Packet, "0333331234"),
        (CallsFrom::Line, "0333331234"),
        (CallsFrom::Line, "0469595678"),
    ];
    let moments = [
        Moment::Offered,
        Moment::Dialled,
        Moment::Progressed,
        Moment::Alerting,
        Moment::Answered,
        Moment::Holding,
    ];
    // Normal clearing, busy, and such that another way may be tried.
    for cause in [16, 17, 38, 41, 44] {
        for (from, to) in kinds {
            for moment in moments {
                for (place, asks) in [(0, true), (0, false), (1, true), (1, false)] {
                    let what = format!("{to} from {from:?}, {moment:?}, leg {place}, {cause}");
                    let mut control = gateway(&[1, 2, 3, 4]);
                    let now = Instant::now();
                    let legs = call_at(&mut control, now, from, to, moment);
                    let Some(leg) = legs.get(place).copied() else { continue };
                    let release = Release::with_cause(cause);
                    if asks {
                        control.leg_disconnected(now, leg, release);
                    } else {
                        control.leg_released(now, leg, release);
                    }
                    // Whoever is called instead does not answer, and the caller gives up.
                    let mut seen = actions(&mut control);
                    control.leg_released(now, legs[0], release);
                    seen.extend(actions(&mut control));
                    while let Some(at) =
                        seen.iter().position(|action| matches!(action, Action::Release { .. }))
                    {
                        let Action::Release { leg, release } = seen.swap_remove(at) else {
                            continue;
                        };
                        control.leg_released(now, leg, release);
                        seen.extend(actions(&mut control));
                    }
                    assert!(control.is_idle(), "{what}");
                    assert_eq!(control.trunks.count(0).idle, 4, "{what}");
                    assert_eq!(control.next_deadline(), None, "{what}");
                    let records = seen.iter().filter(|seen| matches!(seen, Action::Record(_)));
                    assert_eq!(records.count(), 1, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_peers_refusal_reaches_the_caller_in_its_own_words() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_packet(now, packet_offer("050-3333-1234"));
    let egress = dialled(&actions(&mut control));
    let busy =
        Release { status: Some(486), location: Some(Location::USER), ..Release::with_cause(17) };
    control.leg_released(now, egress, busy);
    let released = actions(&mut control);
    assert_eq!(called(&released), [], "a busy person is not looked for elsewhere");
    assert!(released.contains(&Action::Release { leg: ingress, release: busy }));
}

#[test]
fn a_call_that_has_passed_enough_switches_goes_to_no_peer_but_to_the_line() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let spent = |called| PacketOffer { hops: Some(0), ..packet_offer(called) };
    let (_, ingress) = control.offered_by_packet(now, spent("050-3333-1234"));
    let refused = actions(&mut control);
    assert_eq!(called(&refused), []);
    let release = Release { status: Some(483), ..Release::with_cause(25) };
    assert!(refused.contains(&Action::Release { leg: ingress, release }));
    control.offered_by_packet(now, spent("03-3333-1234"));
    assert!(actions(&mut control).iter().any(|action| matches!(action, Action::DialLine { .. })));
}

#[test]
fn a_phone_that_is_here_is_called_by_peers_as_well() {
    let mut control = gateway(&[1]);
    let now = Instant::now();
    let number = "81333331234".parse().unwrap();
    control.routing.set_phone(number, PacketTarget("sip:desk".into()));
    control.offered_by_packet(now, packet_offer("03-3333-1234"));
    assert_eq!(called(&actions(&mut control)), [("sip:desk", 69)]);
}

#[test]
fn calls_that_cannot_be_cleared_still_get_their_records() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    for _ in 0..2 {
        control.offered_by_packet(now, packet_offer("03-3333-1234"));
        let egress = dialled(&actions(&mut control));
        control.leg_answered(now, egress);
    }
    control.clear_all(now);
    actions(&mut control);
    // No leg ever says that it is gone.
    control.abandon_all(now);
    let records = actions(&mut control)
        .iter()
        .filter(|action| matches!(action, Action::Record(record) if record.answered_at.is_some()))
        .count();
    assert_eq!(records, 2);
    assert!(control.is_idle());
}

#[test]
fn a_lost_span_clears_its_calls_with_27() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    let (_, ingress) = control.offered_by_packet(now, packet_offer("0333331234"));
    let egress = dialled(&actions(&mut control));
    control.leg_answered(now, egress);
    control.span_in_service(0, false);
    control.clear_span(now, 0);
    let ended = actions(&mut control);
    assert_eq!(release_of(&ended, ingress), Some(27));
    assert_eq!(release_of(&ended, egress), Some(27));
}

proptest! {
    /// Whatever happens in whatever order: each call is recorded once, and when every leg that
    /// was asked to go has gone, no leg, call or channel is left.
    #[test]
    fn nothing_is_left_over(events in proptest::collection::vec((0..14_u8, any::<u16>()), 0..300)) {
        let mut control = gateway(&[1, 2, 3, 4]);
        let mut now = Instant::now();
        let mut legs: Vec<LegId> = Vec::new();
        let mut to_release: Vec<LegId> = Vec::new();
        let mut waiting: Vec<CallId> = Vec::new();
        let mut begun = 0_usize;
        let mut recorded: Vec<CallId> = Vec::new();
        let mut drain = |control: &mut CallControl,
                         legs: &mut Vec<LegId>,
                         to_release: &mut Vec<LegId>,
                         waiting: &mut Vec<CallId>| {
            while let Some(action) = control.poll_action() {
                match action {
                    Action::DialLine { leg, .. } | Action::DialPacket { leg, .. } => legs.push(leg),
                    Action::Release { leg, .. } => to_release.push(leg),
                    Action::Inquire { call, .. } => waiting.push(call),
                    Action::Record(record) => recorded.push(record.call),
                    _ => {}
                }
            }
        };
        for (event, pick) in events {
            now += Duration::from_millis(u64::from(pick));
            let leg = legs.get(usize::from(pick) % legs.len().max(1)).copied();
            match (event, leg) {
                (0, _) => {
                    begun += 1;
                    let called = ["05033331234", "0333331234", "07033331234"][usize::from(pick % 3)];
                    legs.push(control.offered_by_packet(now, packet_offer(called)).1);
                }
                (1, _) => {
                    begun += 1;
                    let timeslot = (pick % 5) as u8 + 1;
                    let called = if pick % 2 == 0 { "0469595678" } else { "0333331234" };
                    legs.push(control.offered_by_line(now, line_offer(timeslot, called)).1);
                }
                (2, Some(leg)) => control.leg_alerting(now, leg, pick % 2 == 0),
                (3, Some(leg)) => control.leg_answered(now, leg),
                (4, Some(leg)) => control.leg_progressed(leg),
                (5, Some(leg)) => control.leg_disconnected(now, leg, Release::with_cause((pick % 128) as u8)),
                (6, Some(leg)) => control.leg_released(now, leg, Release::with_cause((pick % 128) as u8)),
                (7, _) => control.timeout(now),
                (8, _) => {
                    if let Some(call) = waiting.pop() {
                        let reply = match pick % 3 {
                            0 => InquiryReply::UnknownNumber,
                            1 => InquiryReply::Unavailable,
                            _ => InquiryReply::Gateways(vec![PacketTarget("sip:b".into()); 2]),
                        };
                        control.inquiry_answered(now, call, reply);
                    }
                }
                (9, _) => {
                    if let Some(leg) = to_release.pop() {
                        control.leg_released(now, leg, Release::with_cause(16));
                    }
                }
                (10, _) => control.clear_span(now, 0),
                (11, Some(leg)) => {
                    let wish = Wish { speaks: pick % 3 != 0, listens: pick % 2 == 0 };
                    control.leg_offered(leg, wish);
                }
                (12, Some(leg)) => control.offer_accepted(leg),
                (13, Some(leg)) => {
                    let after = Duration::from_millis(u64::from(pick));
                    control.offer_refused(now, leg, (pick % 2 == 0).then_some(after));
                }
                _ => {}
            }
            drain(&mut control, &mut legs, &mut to_release, &mut waiting);
        }
        control.clear_all(now);
        drain(&mut control, &mut legs, &mut to_release, &mut waiting);
        while let Some(leg) = to_release.pop() {
            control.leg_released(now, leg, Release::with_cause(16));
            drain(&mut control, &mut legs, &mut to_release, &mut waiting);
        }
        prop_assert!(control.is_idle());
        prop_assert_eq!(control.next_deadline(), None);
        prop_assert_eq!(control.trunks.count(0).idle, 4);
        prop_assert_eq!(recorded.len(), begun);
        let calls = recorded.len();
        recorded.sort_unstable();
        recorded.dedup();
        prop_assert_eq!(recorded.len(), calls);
    }
}

#[test]
fn calls_of_a_lost_span_that_were_not_answered_go_over_another_and_those_up_end_with_27() {
    let mut trunks = Trunks::default();
    for _ in 0..2 {
        let span = trunks.add_span([1]);
        trunks.set_in_service(span, true);
    }
    for (name, span) in [("first", 0), ("second", 1)] {
        trunks.add_group(TrunkGroup { name: name.into(), spans: vec![span], hunting: Hunting::Up });
    }
    let groups = vec!["first".into(), "second".into()];
    let via = Via::TrunkGroups { groups, number_type: NumberType::Unknown };
    let route = PrefixRoute { prefix: "813".into(), calls_from: CallsFrom::Both, via };
    let routing = Routing::new(CountryProfile::japan(), vec![route]);
    let mut control = CallControl::new(routing, trunks, Limits::default());
    let now = Instant::now();
    control.offered_by_packet(now, packet_offer("0333331234"));
    let first = dialled(&actions(&mut control));
    control.span_in_service(0, false);
    control.clear_span(now, 0);
    let rerouted = actions(&mut control);
    let second = dialled(&rerouted);
    assert!(rerouted.iter().any(|action| matches!(
        action,
        Action::DialLine { channel: BChannel { span: 1, timeslot: 1 }, .. }
    )));
    assert_eq!(release_of(&rerouted, first), Some(27));
    control.leg_released(now, first, Release::by_gateway(27));
    control.leg_answered(now, second);
    actions(&mut control);
    // No other way: a new call finds the one span full, and the other out of order.
    let (_, third) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), third), Some(34));
    control.span_in_service(1, false);
    control.clear_span(now, 1);
    assert_eq!(release_of(&actions(&mut control), second), Some(27));
    assert_eq!(control.trunks.count(0).out_of_service, 1);
    let (_, fourth) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), fourth), Some(38));
    control.span_in_service(0, true);
    control.offered_by_packet(now, packet_offer("0333331234"));
    dialled(&actions(&mut control));
}

#[test]
fn a_group_that_is_blocked_refuses_with_41_and_a_channel_refused_again_and_again_rests() {
    let mut control = gateway(&[1, 2]);
    let now = Instant::now();
    for _ in 0..2 {
        control.offered_by_packet(now, packet_offer("0333331234"));
        let leg = dialled(&actions(&mut control));
        control.leg_disconnected(now, leg, Release::with_cause(44));
        let other = dialled(&actions(&mut control));
        control.leg_released(now, leg, Release::with_cause(44));
        control.leg_disconnected(now, other, Release::with_cause(17));
        control.leg_released(now, other, Release::with_cause(17));
        actions(&mut control);
    }
    let resting = BChannel { span: 0, timeslot: 1 };
    assert_eq!(control.trunks.state(resting), Some(crate::trunk::ChannelState::Resting));
    control.trunks.set_blocked(BChannel { span: 0, timeslot: 2 }, true);
    let (_, refused) = control.offered_by_packet(now, packet_offer("0333331234"));
    assert_eq!(release_of(&actions(&mut control), refused), Some(41));
}

#[test]
fn a_channel_that_no_leg_holds_is_found() {
    let mut control = gateway(&[1, 2, 3]);
    let now = Instant::now();
    control.offered_by_packet(now, packet_offer("0333331234"));
    actions(&mut control);
    let [lost, dialling] = [2, 3].map(|timeslot| BChannel { span: 0, timeslot });
    control.trunks.seize_channel(lost).expect("idle");
    control.trunks.seize_channel(dialling).expect("idle");
    assert_eq!(control.stuck_channels(|channel| channel == dialling), [lost]);
}
