//! Pairs whose sides do not speak the same codec.

use super::*;
use crate::leg::tests::datagram;
use crate::spec::Sending;
use trunkline_rtp::codec::OpusParameters;

/// A leg that speaks one codec both ways, and digits on its clock.
fn speaking(far: SocketAddr, codec: Codec, payload_type: u8, ptime_ms: u16) -> RtpLegSpec {
    let mut spec = RtpLegSpec::g711(Ipv4Addr::LOCALHOST.into(), remote(far), Law::A);
    let events = Payload::TelephoneEvent { clock_hz: codec.rtp_clock_hz() };
    spec.sending = Sending { codec, payload_type, telephone_event: Some(101), ptime_ms };
    spec.receiving = vec![
        PayloadFormat { payload_type, payload: Payload::Audio(codec) },
        PayloadFormat { payload_type: 101, payload: events },
    ];
    spec
}

fn a_law() -> RtpLegSpec {
    speaking(FAR, Codec::Pcma, 8, 20)
}

/// An update to what another description says.
fn agreed(spec: &RtpLegSpec) -> RtpLegUpdate {
    RtpLegUpdate {
        sending: Some(spec.sending),
        receiving: Some(spec.receiving.clone()),
        ..RtpLegUpdate::default()
    }
}

/// The speaker says the next packet; what goes out, at once or in the tick.
fn said(couple: &mut Couple, speaker: &mut Speaker) -> Vec<Sent> {
    let at_once = couple.speak(speaker);
    at_once.into_iter().chain(couple.transcoded(FAR_B)).collect()
}

#[test]
fn g711_changes_its_law_where_it_lies_and_is_relayed_as_ever() {
    let mut couple = Couple::new(&a_law(), &speaking(FAR_B, Codec::Pcmu, 0, 20));
    let mut speaker = Speaker::new(0xA, 7);
    let expected: Vec<u8> =
        speaker.payload.iter().map(|octet| Law::A.convert(*octet, Law::Mu)).collect();
    let first = couple.speak(&mut speaker).unwrap();
    assert_eq!((first.header().payload_type, first.header().marker), (0, true));
    for number in 1..10 {
        let sent = couple.speak(&mut speaker).unwrap();
        assert_eq!(sent.since(&first), (number, i32::from(number) * 160));
        assert_eq!((sent.payload(), sent.0.len()), (&expected[..], 172));
    }
    let digit = TelephoneEvent { event: 5, end: false, level_minus_dbm0: 9, duration: 320 };
    let now = speaker.header.timestamp;
    let sent = couple.arrive(A, FAR, &speaker.other(101, &digit.to_bytes(), now)).unwrap();
    assert_eq!((sent.since(&first), sent.payload()), ((10, 1600), &digit.to_bytes()[..]));
    // And back.
    let mut other = Speaker::new(0xB, 9);
    other.header.payload_type = 0;
    let answer = couple.arrive(B, FAR_B, &other.packet()).unwrap();
    let expected: Vec<u8> =
        other.payload.iter().map(|octet| Law::Mu.convert(*octet, Law::A)).collect();
    assert_eq!((answer.header().payload_type, answer.payload()), (8, &expected[..]));
    assert!(!couple.legs[A].translates() && !couple.legs[B].translates());
}

#[test]
fn only_the_payload_changes_in_a_packet_with_more_than_that() {
    let mut couple = Couple::new(&a_law(), &speaking(FAR_B, Codec::Pcmu, 0, 20));
    let mut packet = Speaker::new(0xA, 7).packet();
    // A contributing source, an extension of one word, four octets of padding.
    packet[0] = 0x80 | 0x20 | 0x10 | 1;
    let more = [1, 2, 3, 4, 0xBE, 0xDE, 0, 1, 5, 6, 7, 8];
    packet.splice(12..12, more);
    packet.extend_from_slice(&[9, 9, 9, 4]);
    let sent = couple.arrive(A, FAR, &packet).unwrap();
    assert_eq!((sent.0[0], &sent.0[12..24]), (packet[0], &more[..]));
    assert_eq!(sent.0[184..], [9, 9, 9, 4]);
    assert_eq!(sent.payload()[3], Law::A.convert(3, Law::Mu));
}

#[test]
fn a_stream_in_another_law_is_never_given_away() {
    for (law, is_given) in [(Codec::Pcma, true), (Codec::Pcmu, false)] {
        let payload_type = law.static_payload_type().unwrap();
        let mut couple = Couple::new(&all_formats(), &speaking(FAR_B, law, payload_type, 20));
        let mut speaker = Speaker::new(0xA, 7);
        (0..60).for_each(|_| assert!(couple.speak(&mut speaker).is_some()));
        let [a, b] = &mut couple.legs;
        assert!(a.is_steady());
        assert_eq!(a.stream_to(b).is_some(), is_given, "{law}");
    }
}

#[test]
fn unlike_lengths_of_g711_are_cut_anew_and_one_law_is_not() {
    let mut couple = Couple::new(&a_law(), &speaking(FAR_B, Codec::Pcmu, 0, 30));
    let mut speaker =
        Speaker { payload: vec![Law::A.encode(4_000); 160], ..Speaker::new(1, 65_530) };
    let sent: Vec<_> = (0..9).flat_map(|_| said(&mut couple, &mut speaker)).collect();
    assert_eq!(sent.len(), 6);
    for (number, packet) in sent.iter().enumerate() {
        assert_eq!(packet.since(&sent[0]), (number as i16, number as i32 * 240));
        assert_eq!(packet.payload(), [Law::Mu.encode(Law::A.decode(Law::A.encode(4_000))); 240]);
        assert_eq!(packet.header().marker, number == 0);
    }
    assert_eq!(couple.legs[B].statistics().packets_sent, 6);
    let mut alike = Couple::new(&a_law(), &speaking(FAR_B, Codec::Pcma, 8, 30));
    assert_eq!(alike.speak(&mut Speaker::new(1, 1)).unwrap().payload().len(), 160);
}

#[test]
fn a_transcoded_stream_is_one_stream_of_our_own() {
    let mut couple = Couple::new(&a_law(), &speaking(FAR_B, Codec::G722, 9, 20));
    let mut speaker = Speaker::new(0xA, 7);
    let sent: Vec<_> = (0..50).flat_map(|_| said(&mut couple, &mut speaker)).collect();
    assert_eq!(sent.len(), 50);
    for (number, packet) in sent.iter().enumerate() {
        let header = packet.header();
        assert_eq!(header.ssrc, couple.legs[B].outgoing.ssrc());
        assert_eq!(packet.since(&sent[0]), (number as i16, number as i32 * 160));
        assert_eq!((header.payload_type, header.marker), (9, number == 0));
        assert_eq!(packet.payload().len(), 160);
    }
    let counters = couple.counters;
    assert_eq!((counters.packets_received, counters.packets_sent), (50, 50));
    assert_eq!((counters.octets_received, counters.octets_sent), (8_000, 8_000));
    // What a report would say of the time, 490 ms after the last packet.
    couple.now += Duration::from_millis(490);
    let Joint::Pair(pair) = &couple.legs[B].joint else { panic!("a pair") };
    let timestamp = pair.timestamp_at(&couple.legs[B].outgoing, couple.now);
    assert_eq!(timestamp.since(sent[49].header().timestamp), 490 * 8);
}

#[test]
fn hold_stops_a_transcoded_stream_and_its_end_goes_on_without_a_gap() {
    for held in [A, B] {
        let mut couple = Couple::new(&a_law(), &speaking(FAR_B, Codec::G722, 9, 20));
        let mut speaker = Speaker::new(1, 65_000);
        let before: Vec<_> = (0..10).flat_map(|_| said(&mut couple, &mut speaker)).collect();
        couple.turn(held, ON_HOLD);
        for _ in 0..5_000 {
            assert!(said(&mut couple, &mut speaker).is_empty());
        }
        couple.turn(held, Direction::default());
        let after: Vec<_> = (0..3).flat_map(|_| said(&mut couple, &mut speaker)).collect();
        assert_eq!(couple.counters.dropped_on_hold, 5_000);
        assert_eq!(after[0].since(&before[9]), (1, 5_001 * 160), "held at {held}");
        assert!(after[0].header().marker && !after[1].header().marker);
        assert_eq!(after[2].since(&after[0]), (2, 320));
        assert_eq!(couple.counters.concealed_samples, 0);
    }
}

#[test]
fn digits_cross_into_the_other_clock_and_are_told_by_their_length() {
    let opus = Codec::opus_telephony();
    let mut couple = Couple::new(&a_law(), &speaking(FAR_B, opus, 111, 20));
    let mut speaker = Speaker { payload: vec![0xD5; 160], ..Speaker::new(1, 500) };
    let before = said(&mut couple, &mut speaker).remove(0);
    let began = speaker.header.timestamp;
    for (number, (duration, end)) in [(160, false), (320, true)].into_iter().enumerate() {
        let event = TelephoneEvent { event: 3, end, level_minus_dbm0: 10, duration };
        let packet = speaker.other(101, &event.to_bytes(), began);
        assert!(couple.arrive(A, FAR, &packet).is_none());
        couple.pass(Duration::from_millis(20));
        let sent = couple.transcoded(FAR_B).remove(0);
        assert_eq!(sent.since(&before), (number as i16 + 1, 960));
        let event = TelephoneEvent { duration: duration * 6, ..event };
        assert_eq!(sent.payload(), event.to_bytes());
        assert_eq!(sent.header().payload_type, 101);
    }
    let told = couple.reported.try_recv().unwrap().kind;
    let digit = Digit::try_from('3').unwrap();
    assert_eq!(told, MediaEventKind::DigitFromRtp { digit, duration_ms: 40 });
    // A side that takes no digits hears no gap instead.
    let mut deaf = speaking(FAR_B, opus, 111, 20);
    deaf.sending.telephone_event = None;
    couple.update(B, agreed(&deaf));
    let event = TelephoneEvent { event: 4, end: true, level_minus_dbm0: 10, duration: 160 };
    let packet = speaker.other(101, &event.to_bytes(), speaker.header.timestamp);
    couple.arrive(A, FAR, &packet);
    let speech = said(&mut couple, &mut speaker);
    assert_eq!((speech.len(), speech[0].since(&before).0), (1, 3));
    assert_eq!(couple.counters.dropped_untranslated, 1);
}

#[test]
fn a_codec_that_changes_on_the_way_goes_from_relay_to_transcoding_and_back() {
    let opus = Codec::opus_telephony();
    let steps = [
        (Codec::G722, 9, 160),
        (Codec::Pcma, 8, 160),
        (Codec::Pcmu, 0, 160),
        (opus, 111, 960),
        (Codec::G722, 9, 160),
        (opus, 111, 960),
        (Codec::Pcma, 8, 160),
    ];
    let mut couple = Couple::a_law();
    let mut speaker = Speaker { payload: vec![0xD5; 160], ..Speaker::new(1, 65_000) };
    let mut last = said(&mut couple, &mut speaker).remove(0);
    let mut was_160 = true;
    for (codec, payload_type, step) in steps {
        couple.update(B, agreed(&speaking(FAR_B, codec, payload_type, 20)));
        // Opus has no packet for what it still looks ahead to.
        let sent: Vec<_> = (0..20).flat_map(|_| said(&mut couple, &mut speaker)).collect();
        assert_eq!(sent.len(), 20, "{codec}");
        for (number, packet) in sent.iter().enumerate() {
            assert_eq!(packet.header().payload_type, payload_type);
            let (sequence, timestamp) = packet.since(&last);
            assert_eq!(sequence, 1, "{codec}, packet {number}");
            if number > 0 || (was_160 && step == 160) {
                assert_eq!(timestamp, step, "{codec}, packet {number}");
            }
            assert_eq!(packet.header().marker, number == 0, "{codec}, packet {number}");
            last = Sent(packet.0.clone());
        }
        was_160 = step == 160;
    }
    assert_eq!(couple.counters.dropped_untranslated, 0);
    assert!(!couple.legs[B].translates());
}

#[test]
fn what_is_agreed_on_again_leaves_the_coders_as_they_are() {
    let (a, b) = (a_law(), speaking(FAR_B, Codec::G722, 9, 20));
    let (mut kept, mut straight) = (Couple::new(&a, &b), Couple::new(&a, &b));
    let voice = |n: usize| Law::A.encode((6_000.0 * (n as f32 * 0.3).sin()) as i16);
    let mut speaker = Speaker::new(1, 1);
    let mut other = speaker.clone();
    for number in 0..10 {
        speaker.payload = (0..160).map(|n| voice(number * 160 + n)).collect();
        other.payload.clone_from(&speaker.payload);
        let heard = said(&mut kept, &mut speaker).remove(0);
        assert_eq!(heard.payload(), said(&mut straight, &mut other).remove(0).payload());
        kept.update(A, agreed(&a));
        kept.update(B, agreed(&b));
    }
}

#[test]
fn a_sender_may_change_between_what_passes_and_what_is_transcoded() {
    let both = {
        let mut spec = a_law();
        spec.receiving
            .push(PayloadFormat { payload_type: 9, payload: Payload::Audio(Codec::G722) });
        spec
    };
    let mut couple = Couple::new(&both, &speaking(FAR_B, Codec::Pcma, 8, 20));
    let mut speaker = Speaker::new(1, 65_500);
    let first = said(&mut couple, &mut speaker).remove(0);
    for number in 1..100 {
        speaker.header.payload_type = if number / 7 % 2 == 0 { 8 } else { 9 };
        let sent = said(&mut couple, &mut speaker);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].since(&first), (number, i32::from(number) * 160));
        assert_eq!(sent[0].header().payload_type, 8);
    }
    assert_eq!(couple.counters.concealed_samples, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_comes_to_either_side_leaves_in_one_stream_whose_numbers_never_jump(
        datagrams in prop::collection::vec((any::<bool>(), 0..8_u8, datagram()), 1..150),
    ) {
        let dtx = OpusParameters { dtx: true, ..OpusParameters::default() };
        let opus = RtpLegSpec {
            receiving: all_formats().receiving,
            ..speaking(FAR_B, Codec::Opus(dtx), 111, 40)
        };
        let mut couple = Couple::new(&all_formats(), &opus);
        let mut newest: [Option<SequenceNumber>; 2] = [None, None];
        for (at, turn, datagram) in datagrams {
            let at = usize::from(at);
            let (channel, bytes) = datagram.on_the_wire();
            let far = [FAR, FAR_B][at];
            let from = if channel == Channel::Rtp { far } else { Remote::new(far).rtcp };
            let relayed = couple.arrive_by(channel, at, from, &bytes);
            couple.pass(Duration::from_millis(7));
            let to = [FAR, FAR_B][1 - at];
            for sent in relayed.into_iter().chain(couple.transcoded(to)) {
                let header = sent.header();
                prop_assert_eq!(header.ssrc, couple.legs[1 - at].outgoing.ssrc());
                if let Some(newest) = newest[1 - at] {
                    // Relayed packets keep what the network has done to them, within its limits.
                    let ahead = i32::from(header.sequence.since(newest));
                    prop_assert!((-128..3000).contains(&ahead), "{ahead}");
                }
                newest[1 - at] = Some(header.sequence);
            }
            match turn {
                0 => couple.turn(at, ON_HOLD),
                1 => couple.turn(at, Direction::default()),
                2 => couple.update(1, agreed(&speaking(FAR_B, Codec::G722, 9, 30))),
                3 => couple.update(1, agreed(&opus)),
                _ => {}
            }
        }
        prop_assert_eq!(couple.counters.events_lost, 0);
    }
}
