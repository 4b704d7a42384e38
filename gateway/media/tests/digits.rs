//! Digits both ways: events from the network as tones on the line, tones from the line as events.

mod common;

use common::{FarEnd, Side, backends, config, own_address};
use trunkline_dsp::dtmf::{Detector, Event, Generator, Levels};
use trunkline_dsp::g711::Law;
use trunkline_media::{MediaEventKind, Payload, PayloadFormat, RtpLegSpec, Sending};
use trunkline_rtp::packet::RtpPacket;
use trunkline_rtp::telephone_event::{Digit, TelephoneEvent};

const EVENTS: u8 = 101;

fn spec(events: bool) -> RtpLegSpec {
    let mut spec = RtpLegSpec::g711(own_address(), None, Law::A);
    spec.detect_digits = true;
    spec.receiving.push(PayloadFormat {
        payload_type: EVENTS,
        payload: Payload::TelephoneEvent { clock_hz: 8000 },
    });
    spec.sending = Sending { telephone_event: events.then_some(EVENTS), ..spec.sending };
    spec
}

fn digit(symbol: char) -> Digit {
    Digit::try_from(symbol).unwrap()
}

/// Digits a receiver of tones finds in what the line has got.
fn found(heard: &[u8]) -> String {
    let mut linear = vec![0; heard.len()];
    Law::A.decode_block(heard, &mut linear);
    let mut found = String::new();
    Detector::new().process(&linear, |event| {
        if let Event::Begin { digit, .. } = event {
            found.push(digit);
        }
    });
    found
}

#[test]
fn events_from_the_network_sound_on_the_line_and_are_reported() {
    for backend in backends() {
        let mut side = Side::new(config(backend), spec(true));
        let mut far = FarEnd::new();
        side.connect(far.address);
        let mut packets = 0;
        for symbol in ['4', '2', '#'] {
            let at = far.timestamp;
            for step in 1..=7_u16 {
                // The last three packets of an event are the same (RFC 4733 §2.5.1.4).
                let event = TelephoneEvent {
                    event: digit(symbol).event(),
                    end: step >= 5,
                    level_minus_dbm0: 10,
                    duration: step.min(5) * 160,
                };
                let mut packet = far.packet(EVENTS, step == 1, &event.to_bytes());
                packet[4..8].copy_from_slice(&at.to_be_bytes());
                far.rtp.send_to(&packet, side.local).unwrap();
                far.skip(160);
                packets += 1;
                side.wait("the event packet", |counters| counters.packets_received == packets);
                side.turn(&[0xD5; 160], 8);
            }
            let duration = side.event("the digit", |kind| match kind {
                MediaEventKind::DigitFromRtp { digit: found, duration_ms }
                    if found == digit(symbol) =>
                {
                    Some(duration_ms)
                }
                _ => None,
            });
            assert_eq!(duration, 100);
            for _ in 0..10 {
                far.speak(side.local, 8, &[0xD5; 160]);
                packets += 1;
                side.wait("speech", |counters| counters.packets_received == packets);
                side.turn(&[0xD5; 160], 8);
            }
        }
        assert_eq!(found(&side.heard), "42#");
        assert_eq!(side.total().digits_from_rtp, 3);
        // A pause for a digit is no loss.
        assert_eq!(side.close().playout.concealed_ms / 100, 0);
    }
}

/// What the far end gets while the line says `samples`: events with their marker, and audio.
fn say(
    side: &mut Side,
    far: &FarEnd,
    samples: &[i16],
) -> (Vec<(TelephoneEvent, bool, u32)>, Vec<u8>) {
    let (mut events, mut audio) = (Vec::new(), Vec::new());
    for piece in samples.chunks(160) {
        let mut octets = [0; 160];
        Law::A.encode_block(piece, &mut octets);
        side.turn(&octets, 80);
        let packet = far.hear();
        let packet = RtpPacket::parse(&packet).unwrap();
        if packet.header.payload_type == EVENTS {
            let event = TelephoneEvent::parse(packet.payload).unwrap();
            events.push((event, packet.header.marker, packet.header.timestamp.0));
        } else {
            audio.extend_from_slice(packet.payload);
        }
    }
    (events, audio)
}

fn dialled(digits: &str) -> Vec<i16> {
    let mut generator = Generator::new(Levels::default());
    for digit in digits.chars() {
        generator.send(digit, 100, 100).unwrap();
    }
    let mut samples = vec![0; (digits.len() * 1600 + 8000).next_multiple_of(160)];
    generator.fill(&mut samples);
    samples
}

#[test]
fn tones_from_the_line_go_out_as_events_and_not_as_sound() {
    for backend in backends() {
        let mut side = Side::new(config(backend), spec(true));
        let far = FarEnd::new();
        side.connect(far.address);
        let (events, audio) = say(&mut side, &far, &dialled("19*"));
        let begun: Vec<u8> = events.iter().filter(|e| e.1).map(|e| e.0.event).collect();
        assert_eq!(begun, [1, 9, 10]);
        for code in begun {
            let of_digit: Vec<_> = events.iter().filter(|e| e.0.event == code).collect();
            assert!(of_digit.iter().all(|e| e.2 == of_digit[0].2), "one timestamp a digit");
            let ends: Vec<_> = of_digit.iter().filter(|e| e.0.end).collect();
            assert_eq!(ends.len(), 3);
            let duration = ends[0].0.duration;
            assert!((560..=1040).contains(&duration), "{duration}");
        }
        assert_eq!(found(&audio), "", "the tone is heard beside the event");
        for symbol in ['1', '9', '*'] {
            side.event("the digit", |kind| match kind {
                MediaEventKind::DigitFromLine { digit: found, duration_ms } => {
                    assert_eq!(found, digit(symbol));
                    assert!((70..=130).contains(&duration_ms), "{duration_ms} ms");
                    Some(())
                }
                _ => None,
            });
        }
    }
}

#[test]
fn tones_pass_as_sound_where_events_were_not_agreed_on() {
    let mut side = Side::new(config(backends()[0]), spec(false));
    let far = FarEnd::new();
    side.connect(far.address);
    let (events, audio) = say(&mut side, &far, &dialled("5"));
    assert!(events.is_empty());
    assert_eq!(found(&audio), "5");
    side.event("the digit", |kind| {
        matches!(kind, MediaEventKind::DigitFromLine { .. }).then_some(())
    });
}

#[test]
fn digits_to_send_become_events_or_else_tones() {
    for events in [true, false] {
        let mut side = Side::new(config(backends()[0]), spec(events));
        let far = FarEnd::new();
        side.connect(far.address);
        side.wait("a tick", |counters| counters.ticks > 3);
        side.media.send_digit(side.leg, digit('7'), 120).unwrap();
        let ticks = side.total().ticks;
        side.wait("the command", |counters| counters.ticks > ticks + 2);
        let (sent, audio) = say(&mut side, &far, &vec![0; 4000]);
        if events {
            let last = sent.last().expect("event packets");
            assert_eq!((last.0.event, last.0.end, last.0.duration), (7, true, 960));
        } else {
            assert!(sent.is_empty());
            assert_eq!(found(&audio), "7");
        }
    }
}
