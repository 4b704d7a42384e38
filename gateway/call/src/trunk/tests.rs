//! Hunting, seizing and maintenance of channels.

use std::time::Duration;

use super::*;

fn two_spans(hunting: Hunting) -> Trunks {
    let mut trunks = Trunks::default();
    for _ in 0..2 {
        let span = trunks.add_span([1, 2, 3]);
        trunks.set_in_service(span, true);
    }
    trunks.add_group(TrunkGroup { name: "a".into(), spans: vec![0, 1], hunting });
    trunks
}

fn seized(trunks: &mut Trunks) -> (usize, u8) {
    let channel = trunks.seize("a", &[]).unwrap();
    (channel.span, channel.timeslot)
}

#[test]
fn hunting_goes_up_down_or_round() {
    let mut up = two_spans(Hunting::Up);
    assert_eq!([seized(&mut up), seized(&mut up)], [(0, 1), (0, 2)]);
    let mut down = two_spans(Hunting::Down);
    assert_eq!([seized(&mut down), seized(&mut down)], [(1, 3), (1, 2)]);
    let mut round = two_spans(Hunting::RoundRobin);
    let first = seized(&mut round);
    round.release(BChannel { span: first.0, timeslot: first.1 });
    assert_eq!((first, seized(&mut round)), ((0, 1), (0, 2)));
}

#[test]
fn a_full_group_is_told_from_one_out_of_service() {
    let mut trunks = two_spans(Hunting::Up);
    for _ in 0..6 {
        seized(&mut trunks);
    }
    assert_eq!(trunks.seize("a", &[]), Err(SeizeError::AllBusy));
    trunks.set_in_service(0, false);
    trunks.set_in_service(1, false);
    assert_eq!(trunks.seize("a", &[]), Err(SeizeError::OutOfService));
    assert_eq!(trunks.seize("b", &[]), Err(SeizeError::NoSuchGroup));
}

#[test]
fn a_span_out_of_service_is_passed_over_and_counted_so() {
    let mut trunks = two_spans(Hunting::Up);
    trunks.set_in_service(0, false);
    assert_eq!(seized(&mut trunks), (1, 1));
    assert_eq!(trunks.count(0), ChannelCount { out_of_service: 3, ..ChannelCount::default() });
    assert_eq!(trunks.count(1), ChannelCount { idle: 2, busy: 1, ..ChannelCount::default() });
}

#[test]
fn channels_that_the_other_end_refused_are_avoided() {
    let mut trunks = two_spans(Hunting::Up);
    let avoid = [BChannel { span: 0, timeslot: 1 }];
    assert_eq!(trunks.seize("a", &avoid), Ok(BChannel { span: 0, timeslot: 2 }));
}

#[test]
fn a_channel_is_seized_once() {
    let mut trunks = two_spans(Hunting::Up);
    let channel = BChannel { span: 1, timeslot: 2 };
    assert_eq!(trunks.seize_channel(channel), Ok(()));
    assert_eq!(trunks.seize_channel(channel), Err(SeizeError::Busy));
    assert_eq!(
        trunks.seize_channel(BChannel { span: 1, timeslot: 16 }),
        Err(SeizeError::NoSuchChannel)
    );
}

#[test]
fn the_channel_that_was_idle_longest_is_taken_first() {
    let mut trunks = two_spans(Hunting::LeastRecentlyUsed);
    let first: Vec<_> = (0..6).map(|_| seized(&mut trunks)).collect();
    assert_eq!(first, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]);
    for (span, timeslot) in [(1, 2), (0, 3), (1, 1)] {
        trunks.release(BChannel { span, timeslot });
    }
    let again: Vec<_> = (0..3).map(|_| seized(&mut trunks)).collect();
    assert_eq!(again, [(1, 2), (0, 3), (1, 1)]);
}

#[test]
fn two_ends_that_hunt_by_side_meet_on_the_last_channels_only() {
    let end = |parity| {
        let mut trunks = Trunks::default();
        let span = trunks.add_span(1..=6);
        trunks.set_in_service(span, true);
        trunks.set_parity(span, parity);
        let hunting = Hunting::OddEven;
        trunks.add_group(TrunkGroup { name: "a".into(), spans: vec![span], hunting });
        (0..6).map(|_| seized(&mut trunks).1).collect::<Vec<u8>>()
    };
    let (user, network) = (end(Parity::Odd), end(Parity::Even));
    assert_eq!(user, [1, 3, 5, 6, 4, 2]);
    assert_eq!(network, [2, 4, 6, 5, 3, 1]);
    // Neither takes one of the other's while the other has one that it would take before.
    assert!(user[..3].iter().all(|timeslot| !network[..3].contains(timeslot)));
}

#[test]
fn a_blocked_channel_has_no_new_calls_from_either_end_and_keeps_its_own() {
    let mut trunks = two_spans(Hunting::Up);
    let (up, blocked) = (BChannel { span: 0, timeslot: 1 }, BChannel { span: 0, timeslot: 2 });
    assert_eq!(trunks.seize("a", &[]), Ok(up));
    trunks.set_blocked(up, true);
    trunks.set_blocked(blocked, true);
    assert_eq!(seized(&mut trunks), (0, 3));
    assert_eq!(trunks.seize_channel(blocked), Err(SeizeError::Blocked));
    assert_eq!(trunks.count(0), ChannelCount { busy: 2, blocked: 1, ..ChannelCount::default() });
    trunks.release(up);
    assert_eq!(trunks.state(up), Some(ChannelState::Blocked));
    trunks.set_blocked(up, false);
    assert_eq!(trunks.state(up), Some(ChannelState::Idle));
}

#[test]
fn a_group_under_maintenance_is_told_from_a_full_one() {
    let mut trunks = two_spans(Hunting::Up);
    for channel in trunks.all().collect::<Vec<_>>() {
        trunks.set_blocked(channel, true);
    }
    assert_eq!(trunks.seize("a", &[]), Err(SeizeError::Maintenance));
    trunks.set_blocked(BChannel { span: 0, timeslot: 1 }, false);
    seized(&mut trunks);
    assert_eq!(trunks.seize("a", &[]), Err(SeizeError::AllBusy), "it will be free again");
}

#[test]
fn a_channel_that_fails_again_and_again_rests_longer_and_longer() {
    let mut trunks = two_spans(Hunting::Up);
    let channel = BChannel { span: 0, timeslot: 1 };
    let t0 = Instant::now();
    assert_eq!(trunks.failed(t0, channel), None, "once may be glare");
    assert_eq!(trunks.state(channel), Some(ChannelState::Idle));
    let mut now = t0;
    let mut rests = Vec::new();
    let mut restarts = 0;
    while now < t0 + Duration::from_secs(3_600) {
        if let Some(rest) = trunks.failed(now, channel) {
            rests.push(rest);
            assert!(trunks.due_for_restart(now).is_empty());
            assert_ne!(trunks.seize("a", &[]), Ok(channel));
            now += rest;
        }
        for due in trunks.due_for_restart(now) {
            trunks.set_restarting(due, true);
            restarts += 1;
        }
        // Nobody acknowledges that, and the next round is a failed restart.
        trunks.set_restarting(channel, false);
    }
    assert!(rests.windows(2).all(|pair| pair[1] >= pair[0]), "{rests:?}");
    assert_eq!(rests.last(), Some(&REST_MAX));
    assert!(restarts < 20, "{restarts} in an hour");
    // It works again.
    trunks.worked(channel);
    assert_eq!(trunks.state(channel), Some(ChannelState::Idle));
    assert_eq!(trunks.failed(now, channel), None);
}

#[test]
fn a_channel_that_was_restarted_is_idle_when_that_is_acknowledged() {
    let mut trunks = two_spans(Hunting::Up);
    let channel = BChannel { span: 0, timeslot: 1 };
    trunks.set_restarting(channel, true);
    assert_eq!(seized(&mut trunks), (0, 2));
    trunks.restarted(channel);
    assert_eq!(trunks.state(channel), Some(ChannelState::Idle));
}
