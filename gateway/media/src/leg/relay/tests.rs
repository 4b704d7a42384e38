mod couple;
mod transcoding;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use trunkline_dsp::g711::Law;
use trunkline_rtp::codec::Codec;
use trunkline_rtp::telephone_event::{Digit, TelephoneEvent};

use self::couple::{A, B, Couple, FAR_B, Sent, Speaker, remote};
use super::*;
use crate::event::MediaEventKind;
use crate::leg::Channel;
use crate::leg::tests::{Datagram, FAR, all_formats, datagram};
use crate::spec::{Direction, PayloadFormat, Remote, RtpLegSpec, RtpLegUpdate};

const ON_HOLD: Direction = Direction { send: false, receive: false };

#[test]
fn each_side_hears_one_stream_of_our_own_with_the_payload_untouched() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(0xA, 7);
    let sent: Vec<_> = (0..50).map(|_| couple.speak(&mut speaker).unwrap()).collect();
    assert_eq!(sent[0].header().ssrc, couple.legs[B].outgoing.ssrc());
    assert_ne!(sent[0].header().ssrc, couple.legs[A].outgoing.ssrc());
    assert!(sent[0].header().marker, "the first packet begins a talkspurt");
    for (number, packet) in sent.iter().enumerate() {
        assert_eq!(packet.since(&sent[0]), (number as i16, number as i32 * 160));
        assert_eq!(packet.header().marker, number == 0);
        assert_eq!((packet.payload(), packet.0.len()), (&speaker.payload[..], 172));
    }
    // And the other way, in a numbering of its own.
    let answer = couple.arrive(B, FAR_B, &Speaker::new(0xB, 9).packet()).unwrap();
    assert_eq!(answer.header().ssrc, couple.legs[A].outgoing.ssrc());
    let counters = couple.counters;
    assert_eq!((counters.packets_received, counters.packets_sent), (51, 51));
    assert_eq!((counters.octets_received, counters.octets_sent), (51 * 160, 51 * 160));
    assert_eq!(couple.legs[B].statistics().packets_sent, 50);
    assert_eq!(couple.legs[B].statistics().packets_received, 1);
}

#[test]
fn payload_types_become_those_that_the_other_side_named() {
    let opus = Codec::opus_telephony();
    let spec = |far, receives, sends| {
        let mut spec = RtpLegSpec::g711(Ipv4Addr::LOCALHOST.into(), remote(far), Law::A);
        spec.receiving =
            vec![PayloadFormat { payload_type: receives, payload: Payload::Audio(opus) }];
        spec.sending.codec = opus;
        spec.sending.payload_type = sends;
        spec
    };
    let mut couple = Couple::new(&spec(FAR, 111, 111), &spec(FAR_B, 96, 120));
    // SILK, one frame of 20 ms.
    let mut speaker = Speaker { step: 960, payload: vec![1 << 3, 7, 7], ..Speaker::new(1, 1) };
    speaker.header.payload_type = 111;
    let first = couple.speak(&mut speaker).unwrap();
    assert_eq!(first.header().payload_type, 120);
    assert_eq!(couple.speak(&mut speaker).unwrap().since(&first), (1, 960));
    speaker.header.payload_type = 96;
    assert!(couple.arrive(A, FAR, &speaker.packet()).is_none(), "not agreed on on this side");
    assert_eq!(couple.counters.dropped_payload_type, 1);
    let answer = couple.arrive(B, FAR_B, &speaker.packet()).unwrap();
    assert_eq!(answer.header().payload_type, 111);
}

#[test]
fn another_speaker_goes_on_in_the_same_stream_without_a_gap() {
    let mut couple = Couple::a_law();
    let mut first = Speaker::new(1, 40_000);
    let mut last = couple.speak(&mut first).unwrap();
    for _ in 0..5 {
        last = couple.speak(&mut first).unwrap();
    }
    // `speak` lets 20 ms pass; 65 ms more without a packet: the next whole packet is the fourth.
    couple.pass(Duration::from_millis(65));
    let mut second = Speaker::new(2, 3);
    let joined = couple.speak(&mut second).unwrap();
    assert_eq!(joined.since(&last), (1, 4 * 160));
    assert!(joined.header().marker);
    let next = couple.speak(&mut second).unwrap();
    assert_eq!(next.since(&joined), (1, 160));
    assert!(!next.header().marker);
    // A speaker at once after another is still a packet later.
    let third = couple.arrive(A, FAR, &Speaker::new(3, 9).packet()).unwrap();
    assert_eq!(third.since(&next), (1, 160));
    let fourth = couple.arrive(A, FAR, &Speaker::new(4, 9).packet()).unwrap();
    assert_eq!(fourth.since(&third), (1, 160));
}

#[test]
fn a_speaker_who_numbers_anew_goes_on_without_a_gap() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 40_000);
    couple.speak(&mut speaker).unwrap();
    let last = couple.speak(&mut speaker).unwrap();
    let mut restarted = Speaker::new(1, 100);
    // The first is taken for a stray one until another follows (RFC 3550 A.1).
    assert!(couple.speak(&mut restarted).is_none());
    let joined = couple.speak(&mut restarted).unwrap();
    assert_eq!(joined.since(&last), (1, 2 * 160));
    assert!(joined.header().marker);
    assert_eq!(couple.speak(&mut restarted).unwrap().since(&joined), (1, 160));
    assert_eq!(couple.counters.dropped_jump, 1);
}

#[test]
fn a_restart_in_a_broken_packet_leaves_no_gap_either() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 40_000);
    let last = couple.speak(&mut speaker).unwrap();
    let mut restarted = Speaker::new(1, 100);
    couple.speak(&mut restarted);
    let empty = restarted.other(8, &[], Timestamp(0));
    assert!(couple.arrive(A, FAR, &empty).is_none());
    let joined = couple.speak(&mut restarted).unwrap();
    assert_eq!(joined.since(&last).0, 1);
    assert_eq!(couple.speak(&mut restarted).unwrap().since(&joined), (1, 160));
}

#[test]
fn what_the_network_lost_or_reordered_stays_lost_or_reordered() {
    let mut couple = Couple::a_law();
    let start = Speaker::new(1, 65_530);
    let order = [0, 1, 3, 2, 4, 7, 12, 9, 13, 10];
    let sent: Vec<_> = order
        .iter()
        .map(|&number| {
            let mut speaker = start.clone();
            (0..number).for_each(|_| speaker.skip());
            couple.arrive(A, FAR, &speaker.packet()).unwrap()
        })
        .collect();
    for (packet, number) in sent.iter().zip(order) {
        assert_eq!(packet.since(&sent[0]), (number as i16, number * 160));
        assert_eq!(packet.header().marker, number == 0);
    }
}

#[test]
fn a_packet_from_before_the_first_has_no_number_and_is_counted() {
    let mut couple = Couple::a_law();
    let early = Speaker::new(1, 10).packet();
    couple.speak(&mut Speaker::new(1, 11)).unwrap();
    assert!(couple.arrive(A, FAR, &early).is_none());
    assert_eq!(couple.counters.dropped_late, 1);
}

#[test]
fn a_doubled_packet_goes_out_once() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 10);
    let first = speaker.packet();
    couple.speak(&mut speaker).unwrap();
    couple.speak(&mut speaker).unwrap();
    let newest = speaker.packet();
    assert!(couple.arrive(A, FAR, &newest).is_some());
    assert!(couple.arrive(A, FAR, &newest).is_none());
    assert!(couple.arrive(A, FAR, &first).is_none());
    assert_eq!((couple.counters.dropped_duplicate, couple.counters.packets_sent), (2, 3));
}

#[test]
fn hold_stops_packets_and_its_end_goes_on_where_the_numbers_stopped() {
    // Whichever of the two sides is held.
    for held in [A, B] {
        // Also longer than half and than all the sequence numbers there are: 11 and 22 minutes.
        for packets in [1, 100, 5_000, 40_000, 65_500, 65_530, 65_536, 65_540] {
            let mut couple = Couple::a_law();
            let mut speaker = Speaker::new(1, 65_000);
            (0..10).for_each(|_| assert!(couple.speak(&mut speaker).is_some()));
            let last = couple.speak(&mut speaker).unwrap();
            couple.turn(held, ON_HOLD);
            for _ in 0..packets {
                assert!(couple.speak(&mut speaker).is_none());
            }
            assert_eq!(couple.counters.dropped_on_hold, packets);
            couple.turn(held, Direction::default());
            let resumed = couple.speak(&mut speaker).unwrap();
            let (sequence, timestamp) = resumed.since(&last);
            assert_eq!(sequence, 1, "{packets} on hold at {held}");
            assert_eq!(timestamp, (packets as i32 + 1) * 160, "timestamps are the speaker's");
            assert!(resumed.header().marker);
            let next = couple.speak(&mut speaker).unwrap();
            assert_eq!(next.since(&resumed), (1, 160));
            assert!(!next.header().marker);
        }
    }
}

#[test]
fn a_side_that_may_only_listen_is_not_heard_and_the_other_way_goes_on() {
    let mut couple = Couple::a_law();
    couple.turn(A, Direction { send: true, receive: false });
    assert!(couple.speak(&mut Speaker::new(1, 1)).is_none());
    assert!(couple.arrive(B, FAR_B, &Speaker::new(2, 2).packet()).is_some());
    couple.turn(A, Direction { send: false, receive: true });
    assert!(couple.speak(&mut Speaker::new(1, 2)).is_some());
    assert!(couple.arrive(B, FAR_B, &Speaker::new(2, 3).packet()).is_none());
}

#[test]
fn another_speaker_during_hold_goes_on_without_a_gap_after_it() {
    let mut couple = Couple::a_law();
    let mut first = Speaker::new(1, 100);
    let last = couple.speak(&mut first).unwrap();
    couple.turn(B, ON_HOLD);
    let mut music = Speaker::new(2, 30_000);
    (0..10).for_each(|_| assert!(couple.speak(&mut music).is_none()));
    couple.turn(B, Direction::default());
    // The first one again, who had spoken on unheard.
    (0..10).for_each(|_| first.skip());
    let resumed = couple.speak(&mut first).unwrap();
    assert_eq!(resumed.since(&last), (1, 11 * 160));
    assert_eq!(couple.speak(&mut first).unwrap().since(&resumed), (1, 160));
}

#[test]
fn a_packet_lost_right_after_hold_stays_a_lost_packet() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 100);
    let last = couple.speak(&mut speaker).unwrap();
    couple.turn(B, ON_HOLD);
    (0..10).for_each(|_| assert!(couple.speak(&mut speaker).is_none()));
    couple.turn(B, Direction::default());
    speaker.skip();
    assert_eq!(couple.speak(&mut speaker).unwrap().since(&last), (2, 12 * 160));
}

#[test]
fn numbers_go_round_without_a_break() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 65_000);
    let mut before = couple.speak(&mut speaker).unwrap();
    // Theirs and ours, whatever ours began with.
    for number in 0..70_000 {
        if number % 1000 == 999 {
            speaker.skip();
            before = couple.speak(&mut speaker).unwrap();
            continue;
        }
        let sent = couple.speak(&mut speaker).unwrap();
        assert_eq!(sent.since(&before), (1, 160));
        before = sent;
    }
    assert_eq!(couple.legs[A].statistics().reception.lost, 70);
}

#[test]
fn digits_pass_with_the_time_of_their_beginning_and_are_told() {
    let mut couple = Couple::speaking_all(Some(96), Some(13));
    let mut speaker = Speaker::new(1, 500);
    let before = couple.speak(&mut speaker).unwrap();
    let began = speaker.header.timestamp;
    let mut event = |couple: &mut Couple, duration, end, marker: bool| {
        let payload = TelephoneEvent { event: 5, end, level_minus_dbm0: 10, duration }.to_bytes();
        let mut packet = speaker.other(101, &payload, began);
        packet[1] |= u8::from(marker) << 7;
        let sent = couple.arrive(A, FAR, &packet).unwrap();
        assert_eq!(sent.payload(), payload);
        assert_eq!((sent.header().payload_type, sent.header().marker), (96, marker));
        couple.pass(Duration::from_millis(20));
        sent
    };
    for (number, (duration, end)) in
        [(160, false), (320, false), (480, false), (640, true), (640, true), (640, true)]
            .into_iter()
            .enumerate()
    {
        let sent = event(&mut couple, duration, end, number == 0);
        assert_eq!(sent.since(&before), (number as i16 + 1, 160));
    }
    let after = couple.speak(&mut speaker).unwrap();
    assert_eq!(after.since(&before), (7, 7 * 160));
    let told = couple.reported.try_recv().unwrap();
    let digit = Digit::try_from('5').unwrap();
    assert_eq!(told.leg, couple.legs[A].id);
    assert_eq!(told.kind, MediaEventKind::DigitFromRtp { digit, duration_ms: 80 });
    assert!(couple.reported.try_recv().is_err(), "once");
    assert_eq!(couple.counters.digits_from_rtp, 1);
}

#[test]
fn digits_for_a_side_that_takes_none_are_told_and_leave_no_gap() {
    let mut couple = Couple::speaking_all(None, Some(13));
    let mut speaker = Speaker::new(1, 500);
    let before = couple.speak(&mut speaker).unwrap();
    for end in [false, true] {
        let payload = TelephoneEvent { event: 1, end, level_minus_dbm0: 10, duration: 400 };
        let packet = speaker.other(101, &payload.to_bytes(), Timestamp(5));
        assert!(couple.arrive(A, FAR, &packet).is_none());
    }
    assert_eq!(couple.speak(&mut speaker).unwrap().since(&before), (1, 3 * 160));
    assert_eq!(couple.counters.dropped_untranslated, 2);
    assert!(matches!(
        couple.reported.try_recv().unwrap().kind,
        MediaEventKind::DigitFromRtp { .. }
    ));
}

#[test]
fn comfort_noise_passes_to_a_side_that_takes_it() {
    let mut couple = Couple::speaking_all(Some(101), Some(19));
    let mut speaker = Speaker::new(1, 500);
    let before = couple.speak(&mut speaker).unwrap();
    let now = speaker.header.timestamp;
    let noise = couple.arrive(A, FAR, &speaker.other(13, &[70], now)).unwrap();
    assert_eq!(noise.since(&before), (1, 160));
    assert_eq!((noise.header().payload_type, noise.payload()), (19, &[70][..]));

    let mut deaf = Couple::speaking_all(Some(101), None);
    assert!(deaf.arrive(A, FAR, &speaker.other(13, &[70], now)).is_none());
    assert_eq!(deaf.counters.dropped_untranslated, 1);
}

#[test]
fn when_one_leg_is_gone_the_other_stays_and_counts() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 1);
    assert!(couple.speak(&mut speaker).is_some());
    couple.legs[A].set_mate(None);
    (0..5).for_each(|_| assert!(couple.speak(&mut speaker).is_none()));
    assert_eq!((couple.counters.dropped_nowhere, couple.counters.packets_received), (5, 6));
    assert_eq!(couple.legs[A].statistics().packets_received, 6);
}

#[test]
fn a_side_without_an_address_gets_nothing_until_it_has_one() {
    let spec = |remote| RtpLegSpec::g711(Ipv4Addr::LOCALHOST.into(), remote, Law::A);
    let mut couple = Couple::new(&spec(remote(FAR)), &spec(None));
    let mut speaker = Speaker::new(1, 1);
    assert!(couple.speak(&mut speaker).is_none());
    assert_eq!(couple.counters.dropped_nowhere, 1);
    couple.update(B, RtpLegUpdate { remote: remote(FAR_B), ..RtpLegUpdate::default() });
    assert!(couple.speak(&mut speaker).unwrap().header().marker);
}

#[test]
fn a_strangers_packets_are_not_passed_on() {
    let mut couple = Couple::a_law();
    let mut speaker = Speaker::new(1, 1);
    let before = couple.speak(&mut speaker).unwrap();
    let stranger = SocketAddr::new(Ipv4Addr::new(203, 0, 113, 66).into(), 5004);
    for number in 0..20 {
        let packet = Speaker::new(66, number).packet();
        assert!(couple.arrive(A, stranger, &packet).is_none());
        assert!(couple.arrive(A, FAR_B, &packet).is_none(), "the other side's is a stranger here");
    }
    assert_eq!(couple.counters.dropped_source, 40);
    assert_eq!(couple.speak(&mut speaker).unwrap().since(&before), (1, 160));
}

#[test]
fn reports_speak_of_the_stream_on_their_own_side() {
    let mut couple = Couple::a_law();
    let (mut a, mut b) = (Speaker::new(0xA, 100), Speaker::new(0xB, 30_000));
    // Nine seconds, after which every leg has reported; of A's packets each tenth is lost.
    for number in 0..450 {
        if number % 10 == 9 {
            a.skip();
        } else {
            assert!(couple.arrive(A, FAR, &a.packet()).is_some());
            a.skip();
        }
        assert!(couple.arrive(B, FAR_B, &b.packet()).is_some());
        b.skip();
        couple.pass(Duration::from_millis(20));
    }
    let (ssrc, sent, heard) = couple.report_to(FAR);
    assert_eq!(ssrc, couple.legs[A].outgoing.ssrc());
    let (sent, heard) = (sent.unwrap(), heard.unwrap());
    // What A's side is sent is B's speech, whole; what is heard of it has gaps.
    assert_eq!(sent.octets, sent.packets * 160);
    assert_eq!(heard.ssrc, 0xA);
    assert!((23..=28).contains(&heard.fraction_lost), "{heard:?}");

    let (ssrc, sent, heard) = couple.report_to(FAR_B);
    assert_eq!(ssrc, couple.legs[B].outgoing.ssrc());
    let (sent, heard) = (sent.unwrap(), heard.unwrap());
    assert_eq!(sent.octets, sent.packets * 160);
    assert_eq!((heard.ssrc, heard.fraction_lost, heard.cumulative_lost), (0xB, 0, 0));

    // Between packets a report says the time of a packet that were sent now.
    let last = couple.arrive(A, FAR, &a.packet()).unwrap();
    couple.io.0.clear();
    couple.now += Duration::from_millis(490);
    let Couple { legs, io, counters, events, now, .. } = &mut couple;
    legs[B].send_report(io, &mut Surroundings { now: *now, counters, events }, false);
    let (_, sent, _) = couple.report_to(FAR_B);
    assert_eq!(sent.unwrap().timestamp.since(last.header().timestamp), 490 * 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_comes_to_either_side_never_makes_more_of_it(
        datagrams in prop::collection::vec((any::<bool>(), any::<bool>(), datagram()), 1..120),
    ) {
        // Nothing that would have to be transcoded.
        let mut a = all_formats();
        a.receiving.retain(|format| format.payload_type != 111);
        let b = RtpLegSpec { remote: remote(FAR_B), ..a.clone() };
        let mut couple = Couple::new(&a, &b);
        let (mut sent, mut rtp) = (0, 0);
        for (at, held, datagram) in datagrams {
            let at = usize::from(at);
            rtp += u64::from(matches!(datagram, Datagram::Rtp { .. }));
            let (channel, bytes) = datagram.on_the_wire();
            let far = [FAR, FAR_B][at];
            let from = if channel == Channel::Rtp { far } else { Remote::new(far).rtcp };
            if let Some(packet) = couple.arrive_by(channel, at, from, &bytes) {
                sent += 1;
                prop_assert_eq!(packet.0.len(), bytes.len());
                prop_assert_eq!(packet.header().ssrc, couple.legs[1 - at].outgoing.ssrc());
            }
            couple.turn(at, if held { ON_HOLD } else { Direction::default() });
            couple.pass(Duration::from_millis(7));
        }
        let counters = couple.counters;
        prop_assert_eq!(counters.packets_sent, sent);
        let dropped = counters.dropped_on_hold
            + counters.dropped_untranslated
            + counters.dropped_late
            + counters.dropped_malformed
            + counters.dropped_payload_type
            + counters.dropped_duplicate
            + counters.dropped_jump;
        prop_assert!(sent + dropped >= rtp, "{:?}", counters);
    }
}
