mod line;

use std::time::Duration;

use proptest::prelude::*;
use trunkline_dsp::SampleRate;
use trunkline_dsp::level::level_of;
use trunkline_rtp::codec::OpusParameters;
use trunkline_rtp::telephone_event::EVENT_OCTETS;

use super::*;
use crate::coders::Encoder;
use line::{Ear, Line, Mouth, likeness, tone, vowel};

const NARROW: SampleRate = SampleRate::Hz8000;
const WIDE: SampleRate = SampleRate::Hz16000;

fn codecs() -> [Codec; 4] {
    [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::opus_telephony()]
}

/// The lengths of packets that a codec can have, ms.
fn lengths(codec: Codec) -> &'static [u16] {
    if matches!(codec, Codec::Opus(_)) { &[10, 20, 40, 60] } else { &[10, 20, 30, 40, 50, 60] }
}

/// All ways from one codec to another.
fn ways() -> impl Iterator<Item = (Codec, Codec)> {
    let pairs = codecs().into_iter().flat_map(|from| codecs().map(|to| (from, to)));
    pairs.filter(|(from, to)| !from.same_encoding(to))
}

#[test]
fn a_voice_passes_between_any_two_codecs_in_packets_of_any_two_lengths() {
    let said = vowel(NARROW, 9_600);
    for (from, to) in ways() {
        for &length in lengths(from) {
            for &ptime in lengths(to) {
                let mut line = Line::new(&[from], to, ptime);
                let mut mouth = Mouth::new(from, length, NARROW);
                said.chunks(usize::from(length) * 8).for_each(|piece| line.hear(mouth.say(piece)));
                let name = format!("{from} {length} ms to {to} {ptime} ms");
                assert_eq!(line.sent.len(), 1200 / usize::from(ptime), "{name}");
                line.assert_unbroken(&name);
                let heard = Ear::new(to, NARROW).listen(&line.sent);
                let like = likeness(&said[1_600..], &heard[1_600..], 200);
                let is_opus = |codec| matches!(codec, Codec::Opus(_));
                let least = if is_opus(from) || is_opus(to) { 0.9 } else { 0.99 };
                assert!(like > least, "{name}: {like}");
                let change = level_of(&heard[1_600..]) - level_of(&said[1_600..]);
                assert!(change.abs() < 1.5, "{name}: {change} dB");
                assert_eq!(line.outcome, Outcome::default(), "{name}");
            }
        }
    }
}

#[test]
fn nothing_comes_between_the_two_codecs() {
    let said = vowel(NARROW, 8_000);
    for (from, to) in ways() {
        let mut line = Line::new(&[from], to, 20);
        let mut mouth = Mouth::new(from, 20, NARROW);
        let packets: Vec<_> = said.chunks(160).map(|piece| mouth.say(piece)).collect();
        packets.iter().for_each(|packet| line.hear(packet.clone()));
        let is_narrow = |codec| matches!(Format::of(codec), Format::G711(_));
        let rate = if is_narrow(from) || is_narrow(to) { NARROW } else { WIDE };
        let mut ear = Ear::new(from, rate);
        let mut encoder = Encoder::new(to, rate).unwrap();
        for (packet, sent) in packets.iter().zip(&line.sent) {
            let samples = ear.decode(&packet.octets);
            let mut payload = [0; PAYLOAD_MAX_OCTETS];
            let octets = match (Format::of(to), &mut encoder) {
                (Format::G711(law), _) => law.encode_block(&samples, &mut payload),
                (_, Some(encoder)) => encoder.encode(&samples, &mut payload).unwrap(),
                (_, None) => panic!("{to} has a state"),
            };
            assert_eq!(sent.payload, payload[..octets], "{from} to {to}");
        }
    }
}

#[test]
fn what_is_above_the_telephone_band_passes_between_codecs_that_have_it() {
    let said = tone(WIDE, 5_500.0, 16_000);
    for (from, to) in
        [(Codec::G722, Codec::opus_telephony()), (Codec::opus_telephony(), Codec::G722)]
    {
        let mut line = Line::new(&[from], to, 20);
        let mut mouth = Mouth::new(from, 20, WIDE);
        said.chunks(320).for_each(|piece| line.hear(mouth.say(piece)));
        let heard = Ear::new(to, WIDE).listen(&line.sent);
        let change = level_of(&heard[8_000..]) - level_of(&said);
        assert!(change.abs() < 3.0, "{from} to {to}: {change} dB");
    }
    // Whoever wants no more than telephone quality gets no more.
    let modest = OpusParameters { max_playback_rate_hz: 8_000, ..OpusParameters::default() };
    let mut line = Line::new(&[Codec::G722], Codec::Opus(modest), 20);
    let mut mouth = Mouth::new(Codec::G722, 20, WIDE);
    said.chunks(320).for_each(|piece| line.hear(mouth.say(piece)));
    let heard = Ear::new(Codec::Opus(modest), WIDE).listen(&line.sent);
    assert!(level_of(&heard[8_000..]) - level_of(&said) < -30.0);
}

#[test]
fn a_narrow_voice_joins_a_wide_call() {
    // The sender may change between all it has agreed on, from packet to packet.
    let said = vowel(NARROW, 16_000);
    let heard = [Codec::Pcma, Codec::G722, Codec::Pcmu];
    let mut line = Line::new(&heard, Codec::opus_telephony(), 20);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    for (number, piece) in said.chunks(160).enumerate() {
        if number % 25 == 24 {
            mouth.turn_to(heard[number / 25 % 3]);
        }
        line.hear(mouth.say(piece));
    }
    line.assert_unbroken("changing codecs");
    let heard = Ear::new(Codec::opus_telephony(), NARROW).listen(&line.sent);
    for span in [2_000..7_000, 8_400..11_400, 12_400..15_400] {
        let like = likeness(&said[span.clone()], &heard[span.start..], 320);
        assert!(like > 0.9, "{span:?}: {like}");
    }
}

#[test]
fn what_is_lost_is_concealed_and_the_stream_goes_on_without_a_hole() {
    let said = vowel(NARROW, 32_000);
    for (from, to) in ways() {
        for (length, ptime) in [(20, 20), (20, 40), (40, 20), (20, 10), (10, 20)] {
            let mut line = Line::new(&[from], to, ptime);
            let mut mouth = Mouth::new(from, length, NARROW);
            let mut lost = 0;
            let pieces = usize::from(length) * 8;
            for (number, piece) in said.chunks_exact(pieces).enumerate() {
                let packet = mouth.say(piece);
                // One in ten, and now and then two in a row.
                if number % 10 == 8 || number % 30 == 27 {
                    lost += pieces as u64;
                } else {
                    line.hear(packet);
                }
                line.tick();
            }
            let name = format!("{from} {length} ms to {to} {ptime} ms");
            line.assert_unbroken(&name);
            // All but what was lost at the very end.
            let due = (said.len() / 8 / usize::from(ptime)).saturating_sub(60 / usize::from(ptime));
            assert!(line.sent.len() >= due, "{name}: {} of {due}", line.sent.len());
            assert!(lost - line.outcome.concealed_samples <= 480, "{name}");
            let heard = Ear::new(to, NARROW).listen(&line.sent);
            let like = likeness(&said[1_600..], &heard[1_600..], 200);
            assert!(like > 0.82, "{name}: {like}");
        }
    }
}

#[test]
fn opus_makes_a_lost_packet_good_from_the_copy_in_the_next() {
    // A beep that begins in the lost packet: only the copy knows of it.
    let mut said = vec![0; 3_200];
    said.extend(vowel(NARROW, 800));
    let heard = |lost: Option<usize>| {
        let mut line = Line::new(&[Codec::opus_telephony()], Codec::Pcma, 20);
        let mut mouth = Mouth::new(Codec::opus_telephony(), 20, NARROW);
        for (number, piece) in said.chunks(160).enumerate() {
            let packet = mouth.say(piece);
            if Some(number) != lost {
                line.hear(packet);
            }
            line.tick();
        }
        line.assert_unbroken("FEC");
        Ear::new(Codec::Pcma, NARROW).listen(&line.sent)
    };
    let (whole, repaired) = (heard(None), heard(Some(21)));
    let like = likeness(&whole[3_360..3_520], &repaired[3_360..3_520], 1);
    assert!(like > 0.8, "{like}");
}

#[test]
fn a_long_loss_is_concealed_at_first_and_then_a_pause() {
    let mut line = Line::new(&[Codec::Pcma], Codec::G722, 20);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    let said = vowel(NARROW, 160 * 60);
    for (number, piece) in said.chunks(160).enumerate() {
        let packet = mouth.say(piece);
        if !(20..50).contains(&number) {
            line.hear(packet);
        }
        line.tick();
    }
    assert_eq!(line.sent.len(), 20 + 6 + 10);
    assert_eq!(line.outcome.concealed_samples, 6 * 160);
    for (number, packet) in line.sent.iter().enumerate() {
        let at = if number < 26 { number } else { number + 24 };
        assert_eq!(packet.timestamp.since(line.sent[0].timestamp), at as i32 * 160);
        assert_eq!(packet.marker, number == 0 || number == 26);
    }
}

#[test]
fn packets_in_disorder_are_put_in_order_within_a_tick_and_held_for_one() {
    let said = vowel(NARROW, 160 * 40);
    let mut line = Line::new(&[Codec::Pcma], Codec::Pcmu, 20);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    let mut packets: Vec<_> = said.chunks(160).map(|piece| mouth.say(piece)).collect();
    // Twice exchanged, in the same tick and one tick later; once two ticks later.
    packets.swap(10, 11);
    packets.swap(20, 22);
    for (number, packet) in packets.iter().enumerate() {
        line.arrive(packet);
        if ![10, 20, 21].contains(&number) {
            line.tick();
        }
    }
    assert_eq!(line.outcome, Outcome::default());
    assert_eq!(line.sent.len(), 40);
    line.assert_unbroken("disorder");
    let straight = {
        let mut line = Line::new(&[Codec::Pcma], Codec::Pcmu, 20);
        let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
        said.chunks(160).for_each(|piece| line.hear(mouth.say(piece)));
        line.sent
    };
    assert_eq!(line.sent, straight);

    let mut line = Line::new(&[Codec::Pcma], Codec::Pcmu, 20);
    line.arrive(&packets[0]);
    line.tick();
    line.arrive(&packets[2]);
    line.tick();
    assert_eq!(line.sent.len(), 1, "held for the one before");
    line.arrive(&packets[1]);
    line.tick();
    assert_eq!((line.sent.len(), line.outcome), (3, Outcome::default()));
    line.arrive(&packets[4]);
    line.tick();
    line.tick();
    assert_eq!(line.sent.len(), 5, "not longer than for a tick");
    line.arrive(&packets[3]);
    line.tick();
    assert_eq!(line.sent.len(), 5);
    assert_eq!(line.outcome, Outcome { late: 1, concealed_samples: 160, ..Outcome::default() });
}

#[test]
fn pauses_of_the_sender_stay_pauses_of_the_same_length() {
    for (from, to) in ways() {
        let (ratio, mut line) = ((to.rtp_clock_hz() / 8000) as i32, Line::new(&[from], to, 20));
        let mut mouth = Mouth::new(from, 30.min(*lengths(from).last().unwrap()), NARROW);
        if matches!(from, Codec::Opus(_)) {
            mouth = Mouth::new(from, 20, NARROW);
        }
        let piece = vowel(NARROW, mouth.samples());
        (0..10).for_each(|_| line.hear(mouth.say(&piece)));
        let before = line.sent.len();
        let (first, last) = (line.sent[0].timestamp, line.sent[before - 1].timestamp);
        mouth.pause(4_000);
        line.pass(Duration::from_millis(500));
        (0..10).for_each(|_| line.hear(mouth.say(&piece)));
        let after = &line.sent[before];
        let spoken = 10 * mouth.samples() as i32;
        assert_eq!(after.timestamp.since(first), (spoken + 4_000) * ratio, "{from} to {to}");
        assert!(after.marker && !line.sent[before + 1].marker);
        assert!(after.timestamp.since(last) > 4_000 * ratio);
        assert_eq!(line.outcome, Outcome::default(), "nothing is missing");
    }
}

#[test]
fn opus_says_nothing_in_silence_where_that_is_agreed_on() {
    let parameters = OpusParameters { dtx: true, ..OpusParameters::default() };
    let mut line = Line::new(&[Codec::Pcma], Codec::Opus(parameters), 20);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    (0..100).for_each(|_| line.hear(mouth.say(&[0; 160])));
    let silent = line.sent.len();
    assert!(silent < 60, "{silent} packets of silence");
    let voice = vowel(NARROW, 160);
    (0..10).for_each(|_| line.hear(mouth.say(&voice)));
    let speech = &line.sent[silent..];
    assert_eq!(speech.len(), 10);
    assert!(speech[0].marker);
    assert_eq!(speech[0].timestamp.since(line.sent[0].timestamp), 100 * 960);
}

#[test]
fn another_speaker_and_a_new_numbering_go_on_where_the_one_before_has_ended() {
    let mut line = Line::new(&[Codec::Pcma], Codec::opus_telephony(), 20);
    let piece = vowel(NARROW, 160);
    let mut one = Mouth::new(Codec::Pcma, 20, NARROW);
    (0..5).for_each(|_| line.hear(one.say(&piece)));
    line.pass(Duration::from_millis(65));
    let mut two = Mouth::new(Codec::Pcma, 20, NARROW);
    (two.ssrc, two.sequence, two.timestamp) = (2, 77, 5);
    (0..5).for_each(|_| line.hear(two.say(&piece)));
    // `hear` lets 20 ms pass; 65 ms more without a packet: the next whole packet is the fourth.
    assert_eq!(line.sent[5].timestamp.since(line.sent[4].timestamp), 4 * 960);
    assert!(line.sent[5].marker && !line.sent[6].marker);
    let mut packet = two.say(&piece);
    (packet.header.sequence, packet.header.timestamp) = (SequenceNumber(9), Timestamp(3));
    packet.restarted = true;
    line.hear(packet);
    assert_eq!(line.sent[10].timestamp.since(line.sent[9].timestamp), 960);
    // The sender's time goes back while it numbers on.
    (two.sequence, two.timestamp) = (10, 3 + 160);
    line.hear(two.say(&piece));
    two.timestamp = two.timestamp.wrapping_sub(8_000);
    line.hear(two.say(&piece));
    line.hear(two.say(&piece));
    let last = line.sent.len() - 1;
    assert_eq!(line.sent[last].timestamp.since(line.sent[last - 1].timestamp), 960);
    assert_eq!(line.sent[last - 1].timestamp.since(line.sent[last - 2].timestamp), 960);
    assert_eq!(line.outcome, Outcome::default());
}

#[test]
fn numbers_and_times_go_round_without_a_break() {
    for (from, to) in
        [(Codec::Pcma, Codec::opus_telephony()), (Codec::opus_telephony(), Codec::Pcmu)]
    {
        let mut line = Line::new(&[from], to, 20);
        let mut mouth = Mouth::new(from, 20, NARROW);
        mouth.timestamp = 0_u32.wrapping_sub(5_000_000);
        let packet = mouth.say(&vowel(NARROW, 160));
        for _ in 0..70_000 {
            line.hear(packet.clone().numbered(&mut mouth));
            // Only the newest few matter, and memory is finite.
            if line.sent.len() > 1_000 {
                line.assert_unbroken("going round");
                line.sent.drain(..999);
                line.sent[0].marker = true;
            }
        }
        assert_eq!(line.outcome, Outcome::default());
    }
}

#[test]
fn digits_keep_their_place_and_their_length_in_the_other_clock() {
    let opus = Codec::opus_telephony();
    for (from, to) in [(Codec::Pcma, opus), (opus, Codec::Pcmu), (Codec::G722, Codec::Pcma)] {
        let (heard_hz, sent_hz) = (from.rtp_clock_hz(), to.rtp_clock_hz());
        let mut line = Line::new(&[from], to, 20);
        let mut mouth = Mouth::new(from, 20, NARROW);
        let piece = vowel(NARROW, 160);
        (0..3).for_each(|_| line.hear(mouth.say(&piece)));
        for (duration_ms, end) in [(20, false), (40, false), (60, true), (60, true), (60, true)] {
            let duration = (duration_ms * heard_hz / 1000) as u16;
            let event = TelephoneEvent { event: 7, end, level_minus_dbm0: 9, duration };
            let mut packet = mouth.event(event);
            packet.header.marker = duration_ms == 20;
            line.hear(packet);
        }
        mouth.pause(480);
        (0..3).for_each(|_| line.hear(mouth.say(&piece)));
        assert_eq!(line.sent.len(), 3 + 5 + 3);
        let step = (sent_hz / 50) as i32;
        for (number, sent) in line.sent[3..8].iter().enumerate() {
            assert_eq!(sent.kind, Kind::Event);
            assert_eq!(sent.timestamp.since(line.sent[0].timestamp), 3 * step, "its beginning");
            assert_eq!(sent.marker, number == 0);
            let event = TelephoneEvent::parse(&sent.payload).unwrap();
            let duration_ms = u32::from(event.duration) * 1000 / sent_hz;
            assert_eq!((event.event, event.level_minus_dbm0), (7, 9));
            assert_eq!((duration_ms, event.end), ([20, 40, 60, 60, 60][number], number >= 2));
        }
        let speech = &line.sent[8];
        assert_eq!((speech.kind, speech.marker), (Kind::Speech, true));
        assert_eq!(speech.timestamp.since(line.sent[0].timestamp), 6 * step);
        assert_eq!(line.outcome, Outcome::default(), "{from} to {to}");
    }
}

#[test]
fn a_digit_may_come_first_and_an_unknown_clock_has_no_place() {
    let mut line = Line::new(&[Codec::opus_telephony()], Codec::Pcma, 20);
    let mut mouth = Mouth::new(Codec::opus_telephony(), 20, NARROW);
    let event = TelephoneEvent { event: 1, end: false, level_minus_dbm0: 0, duration: 960 };
    line.hear(mouth.event(event));
    assert_eq!(line.sent[0].payload, TelephoneEvent { duration: 160, ..event }.to_bytes());
    mouth.pause(160);
    line.hear(mouth.say(&[0; 160]));
    assert_eq!(line.sent[1].timestamp.since(line.sent[0].timestamp), 160);
    let mut narrow = mouth.event(event);
    narrow.payload = Some(Payload::TelephoneEvent { clock_hz: 8000 });
    line.hear(narrow);
    assert_eq!((line.sent.len(), line.outcome.untranslated), (2, 1));
    line.hear(mouth.say(&[0; 160]));
    assert_eq!(line.sent[2].timestamp.since(line.sent[1].timestamp), 160);
}

#[test]
fn comfort_noise_keeps_its_place_where_the_codec_has_it() {
    for (to, passes) in [(Codec::G722, true), (Codec::opus_telephony(), false)] {
        let mut line = Line::new(&[Codec::Pcma], to, 20);
        let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
        line.hear(mouth.say(&[500; 160]));
        line.hear(mouth.noise(&[60, 1, 2]));
        mouth.pause(1_600);
        line.hear(mouth.say(&[500; 160]));
        let noise: Vec<_> =
            line.sent.iter().filter(|sent| sent.kind == Kind::ComfortNoise).collect();
        assert_eq!(noise.len(), usize::from(passes));
        assert_eq!(line.outcome.untranslated, u64::from(!passes));
        assert!(noise.iter().all(|noise| noise.payload == [60, 1, 2]
            && noise.timestamp.since(line.sent[0].timestamp) == 160));
        assert!(line.sent.last().unwrap().marker);
    }
}

#[test]
fn what_is_not_to_be_heard_is_not_missing() {
    let mut line = Line::new(&[Codec::Pcma], Codec::G722, 20);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    line.hear(mouth.say(&[500; 160]));
    for _ in 0..10 {
        line.hear(line::Packet { payload: None, ..mouth.say(&[500; 160]) });
    }
    line.hear(mouth.say(&[500; 160]));
    assert_eq!((line.sent.len(), line.outcome), (2, Outcome::default()));
    assert_eq!(line.sent[1].timestamp.since(line.sent[0].timestamp), 11 * 160);
    assert!(line.sent[1].marker);
}

#[test]
fn a_packet_that_makes_no_sense_is_concealed() {
    let mut line = Line::new(&[Codec::opus_telephony()], Codec::Pcma, 20);
    let mut mouth = Mouth::new(Codec::opus_telephony(), 20, NARROW);
    let piece = vowel(NARROW, 160);
    (0..5).for_each(|_| line.hear(mouth.say(&piece)));
    let mut broken = mouth.say(&piece);
    // Two frames of one length, in an odd number of octets (RFC 6716 §3.2.3).
    broken.octets = vec![9, 1, 2, 3, 4, 5];
    broken.octets[0] = 1 << 3 | 1;
    broken.octets.truncate(4);
    line.hear(broken);
    (0..5).for_each(|_| line.hear(mouth.say(&piece)));
    assert_eq!(line.outcome.broken, 1);
}

#[test]
fn a_burst_passes_and_more_than_a_call_can_have_does_not() {
    let mut line = Line::new(&[Codec::Pcma], Codec::Pcmu, 30);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    let packets: Vec<_> = (0..60).map(|_| mouth.say(&[900; 160])).collect();
    let taken = packets.iter().filter(|packet| line.arrive(packet)).count();
    assert!((32..50).contains(&taken), "{taken}");
    line.tick();
    assert_eq!(line.sent.len(), taken * 20 / 30);
    line.assert_unbroken("burst");
    // And goes on after it.
    line.hear(mouth.say(&[900; 160]));
    line.tick();
    assert!(line.outcome.concealed_samples >= 960);
}

#[test]
fn its_successor_goes_on_in_the_speakers_time() {
    let mut line = Line::new(&[Codec::Pcma], Codec::Pcmu, 20);
    let mut mouth = Mouth::new(Codec::Pcma, 20, NARROW);
    (0..5).for_each(|_| line.hear(mouth.say(&[900; 160])));
    let next = Transcoder::new(&[Codec::Pcma], Codec::G722).unwrap();
    let before = std::mem::replace(&mut line.transcoder, next);
    line.transcoder.succeed(before);
    line.pass(Duration::from_millis(7));
    (0..5).for_each(|_| line.hear(mouth.say(&[900; 160])));
    line.sent[0].marker = false;
    line.sent[5].marker = false;
    let steps = line.sent.windows(2).map(|two| two[1].timestamp.since(two[0].timestamp));
    assert!(steps.into_iter().all(|step| step == 160));
    assert_eq!(line.transcoder.timestamp_offset(mouth.ssrc), Some(line.offset(&mouth)));
}

fn arbitrary() -> impl Strategy<Value = (Option<Payload>, u8, u16, u32, bool, Vec<u8>)> {
    let payload = prop::sample::select(vec![
        Some(Payload::Audio(Codec::Pcma)),
        Some(Payload::Audio(Codec::G722)),
        Some(Payload::Audio(Codec::opus_telephony())),
        Some(Payload::TelephoneEvent { clock_hz: 8000 }),
        Some(Payload::TelephoneEvent { clock_hz: 48_000 }),
        Some(Payload::ComfortNoise),
        None,
    ]);
    let sequence = prop_oneof![0..40_u16, 65_500..=65_535_u16, any::<u16>()];
    let timestamp = prop_oneof![(0..40_u32).prop_map(|n| n * 160), any::<u32>()];
    let octets = prop::collection::vec(any::<u8>(), 0..700);
    (payload, 0..3_u8, sequence, timestamp, any::<bool>(), octets)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_comes_leaves_as_whole_packets_or_not_at_all(
        packets in prop::collection::vec(arbitrary(), 1..150),
        to in prop::sample::select(vec![Codec::Pcmu, Codec::G722, Codec::opus_telephony()]),
        ptime in prop::sample::select(vec![10_u16, 20, 40, 60]),
        each in 1..9_usize,
    ) {
        let heard: Vec<_> =
            [Codec::Pcma, Codec::G722, Codec::opus_telephony()].into_iter()
                .filter(|codec| !codec.same_encoding(&to)).collect();
        let mut line = Line::new(&heard, to, ptime);
        let mut units = 0;
        for (number, (payload, ssrc, sequence, timestamp, marker, octets)) in packets.into_iter().enumerate() {
            let payload = payload.filter(|payload| match payload {
                Payload::Audio(codec) => heard.contains(codec),
                Payload::TelephoneEvent { .. } => octets.len() >= EVENT_OCTETS,
                Payload::ComfortNoise => true,
            });
            if let Some(Payload::Audio(codec)) = payload {
                units += u64::from(Format::of(codec).samples(&octets).unwrap_or(0));
            }
            let header = RtpHeader {
                marker, payload_type: 0, sequence: SequenceNumber(sequence),
                timestamp: Timestamp(timestamp), ssrc: ssrc.into(),
            };
            let restarted = ssrc == 2 && marker;
            line.arrive(&line::Packet { header, payload, octets, restarted });
            if number % each == 0 {
                line.tick();
                line.pass(Duration::from_millis(5));
            }
        }
        line.tick();
        line.tick();
        let speech = line.sent.iter().filter(|sent| sent.kind == Kind::Speech);
        let sent = speech.clone().count() as u64 * u64::from(ptime) * 8;
        prop_assert!(sent <= units + line.outcome.concealed_samples, "{sent} of {units}");
        if matches!(to, Codec::Pcmu | Codec::G722) {
            prop_assert!(speech.clone().all(|sent| sent.payload.len() == usize::from(ptime) * 8));
        }
    }
}
