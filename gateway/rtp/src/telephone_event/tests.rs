use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::packet::Timestamp;

fn digit(symbol: char) -> Digit {
    Digit::try_from(symbol).unwrap()
}

/// Everything a sender puts out for what was queued, with its packet times of 20 ms.
fn sent(sender: &mut DigitSender, first: u32) -> Vec<EventPacket> {
    let mut packets = Vec::new();
    let mut timestamp = Timestamp(first);
    while sender.is_sending() {
        packets.extend(sender.next_packet(timestamp, 160));
        timestamp = timestamp.plus(160);
    }
    packets
}

fn event(packet: &EventPacket) -> TelephoneEvent {
    TelephoneEvent::parse(&packet.payload).unwrap()
}

/// What a receiver makes of packets that come 20 ms apart; it is told the time until one second later.
fn received(
    packets: impl IntoIterator<Item = (u32, [u8; 4])>,
) -> (Vec<DigitEvent>, DigitReceiverCounters) {
    let mut receiver = DigitReceiver::new(8_000);
    let mut now = Instant::now();
    let mut events = Vec::new();
    for (timestamp, payload) in packets {
        receiver.packet_arrived(Timestamp(timestamp), &payload, now);
        events.extend(std::iter::from_fn(|| receiver.poll_output()));
        now += Duration::from_millis(20);
    }
    receiver.timeout(now + Duration::from_secs(1));
    events.extend(std::iter::from_fn(|| receiver.poll_output()));
    (events, receiver.counters())
}

fn payload(symbol: char, duration: u16, end: bool) -> [u8; 4] {
    TelephoneEvent { event: digit(symbol).event(), end, level_minus_dbm0: 10, duration }.to_bytes()
}

fn pressed(symbol: char, duration_ms: u32) -> [DigitEvent; 2] {
    let digit = digit(symbol);
    [DigitEvent::Started { digit }, DigitEvent::Ended { digit, duration_ms }]
}

#[test]
fn all_sixteen_digits_have_the_codes_of_the_standard() {
    for (code, symbol) in "0123456789*#ABCD".chars().enumerate() {
        assert_eq!(usize::from(digit(symbol).event()), code);
        assert_eq!(Digit::from_event(code as u8).unwrap().to_string(), symbol.to_string());
    }
    assert_eq!(digit('d'), digit('D'));
    assert_eq!(Digit::from_event(16), None);
    assert!(matches!(Digit::try_from('E'), Err(RtpError::Digit { found: 'E' })));
}

#[test]
fn payload_of_the_standards_example_is_written() {
    // RFC 4733 §5, the digit 9 of its example: end, -7 dBm0, 1600 steps.
    let event = TelephoneEvent { event: 9, end: true, level_minus_dbm0: 7, duration: 1600 };
    assert_eq!(event.to_bytes(), [9, 0x87, 0x06, 0x40]);
    assert_eq!(TelephoneEvent::parse(&[9, 0xc7, 0x06, 0x40]), Ok(event));
    assert!(TelephoneEvent::parse(&[9, 0x87, 0x06]).is_err());
}

#[test]
fn digit_starts_with_the_marker_grows_and_ends_three_times() {
    let mut sender = DigitSender::new(8_000);
    sender.send(digit('5'), 90).unwrap();
    let packets = sent(&mut sender, u32::MAX - 200);
    let durations: Vec<_> = packets.iter().map(|p| event(p).duration).collect();
    assert_eq!(durations, [160, 320, 480, 640, 720, 720, 720]);
    let ends: Vec<_> = packets.iter().map(|p| event(p).end).collect();
    assert_eq!(ends, [false, false, false, false, true, true, true]);
    let markers: Vec<_> = packets.iter().map(|p| p.marker).collect();
    assert_eq!(markers, [true, false, false, false, false, false, false]);
    assert!(packets.iter().all(|p| p.timestamp == Timestamp(u32::MAX - 200)));
}

#[test]
fn digits_wait_for_each_other_with_a_pause_and_the_queue_is_bounded() {
    let mut sender = DigitSender::new(8_000);
    sender.send(digit('1'), 0).unwrap();
    sender.send(digit('2'), 40).unwrap();
    let packets = sent(&mut sender, 0);
    let starts: Vec<_> = packets.iter().filter(|p| p.marker).map(|p| p.timestamp.0).collect();
    // 40 ms of digit in two packets, two more end packets, 60 ms of pause.
    assert_eq!(starts, [0, 4 * 160 + 480]);
    for _ in 0..32 {
        sender.send(digit('1'), 40).unwrap();
    }
    assert!(matches!(sender.send(digit('1'), 40), Err(RtpError::DigitsWaiting { limit: 32 })));
}

#[test]
fn event_longer_than_the_field_is_sent_in_segments() {
    let mut sender = DigitSender::new(8_000);
    sender.send(digit('#'), 10_000).unwrap();
    let packets = sent(&mut sender, 1_000);
    let mut segments: Vec<_> = packets.iter().map(|p| p.timestamp.0).collect();
    segments.dedup();
    assert_eq!(segments, [1_000, 1_000 + 65_535]);
    let full = packets.iter().filter(|p| event(p).duration == u16::MAX);
    assert_eq!(full.clone().count(), 3);
    assert!(full.clone().all(|p| !event(p).end));
    assert_eq!(packets.iter().filter(|p| p.marker).count(), 1);
    assert_eq!(event(packets.last().unwrap()).duration, (80_000_u32 - 65_535) as u16);
    assert_eq!(packets.iter().filter(|p| event(p).end).count(), 3);

    let (events, counters) = received(packets.iter().map(|p| (p.timestamp.0, p.payload)));
    assert_eq!(events, pressed('#', 10_000));
    assert_eq!(counters.lost_ends, 0);
}

#[test]
fn many_packets_make_one_digit() {
    let start = (7, payload('8', 160, false));
    let (events, counters) = received([
        start,
        start,
        (7, payload('8', 320, false)),
        (7, payload('8', 400, true)),
        (7, payload('8', 400, true)),
        (7, payload('8', 400, true)),
    ]);
    assert_eq!(events, pressed('8', 50));
    assert_eq!(counters.repeated, 2);
}

#[test]
fn digit_whose_start_was_lost_still_counts() {
    let (events, _) = received([(7, payload('8', 400, true)), (7, payload('8', 400, true))]);
    assert_eq!(events, pressed('8', 50));
}

#[test]
fn digit_whose_end_was_lost_ends_by_time_or_by_the_next_digit() {
    let (events, counters) =
        received([(7, payload('1', 160, false)), (1_000, payload('1', 320, true))]);
    assert_eq!(events, [pressed('1', 20), pressed('1', 40)].concat());
    assert_eq!(counters.lost_ends, 1);
    let (events, counters) = received([(7, payload('2', 800, false))]);
    assert_eq!(events, pressed('2', 100));
    assert_eq!(counters.lost_ends, 1);
}

#[test]
fn digit_ends_a_quarter_second_after_its_last_packet_not_before() {
    let mut receiver = DigitReceiver::new(8_000);
    let now = Instant::now();
    receiver.packet_arrived(Timestamp(0), &payload('3', 160, false), now);
    assert!(receiver.poll_output().is_some());
    receiver.timeout(now + Duration::from_millis(249));
    assert_eq!(receiver.poll_output(), None);
    assert_eq!(receiver.next_deadline(), Some(now + Duration::from_millis(250)));
    receiver.timeout(now + Duration::from_millis(250));
    assert!(receiver.poll_output().is_some());
    assert_eq!(receiver.next_deadline(), None);
    // What comes of it afterwards is no second press.
    receiver.packet_arrived(
        Timestamp(0),
        &payload('3', 4_000, true),
        now + Duration::from_millis(400),
    );
    assert_eq!(receiver.poll_output(), None);
}

#[test]
fn late_packets_of_an_older_digit_are_dropped_and_counted() {
    let (events, counters) = received([
        (7, payload('1', 160, true)),
        (2_000, payload('2', 160, true)),
        (7, payload('1', 160, true)),
    ]);
    assert_eq!(events, [pressed('1', 20), pressed('2', 20)].concat());
    assert_eq!(counters.late, 1);
}

#[test]
fn sender_with_a_new_time_base_is_heard() {
    let far = 100_000_000;
    let (events, _) = received([(far, payload('1', 160, true)), (50, payload('2', 160, true))]);
    assert_eq!(events, [pressed('1', 20), pressed('2', 20)].concat());
    let mut receiver = DigitReceiver::new(8_000);
    let now = Instant::now();
    receiver.packet_arrived(Timestamp(9_000), &payload('1', 160, true), now);
    receiver.source_changed();
    receiver.packet_arrived(Timestamp(8_000), &payload('2', 160, true), now);
    assert_eq!(std::iter::from_fn(|| receiver.poll_output()).count(), 4);
}

#[test]
fn foreign_events_and_short_payloads_are_counted_only() {
    let mut receiver = DigitReceiver::new(8_000);
    let now = Instant::now();
    receiver.packet_arrived(Timestamp(0), &[1, 0], now);
    receiver.packet_arrived(Timestamp(0), &[32, 0x0a, 0, 160], now);
    assert_eq!(receiver.poll_output(), None);
    let counters = receiver.counters();
    assert_eq!((counters.malformed, counters.other_events), (1, 1));
}

#[test]
fn events_with_the_opus_clock_have_true_durations() {
    let mut sender = DigitSender::new(48_000);
    sender.send(digit('4'), 100).unwrap();
    let mut receiver = DigitReceiver::new(48_000);
    let mut timestamp = Timestamp(0);
    let now = Instant::now();
    while sender.is_sending() {
        let packet = sender.next_packet(timestamp, 960).unwrap();
        receiver.packet_arrived(packet.timestamp, &packet.payload, now);
        timestamp = timestamp.plus(960);
    }
    assert_eq!(
        std::iter::from_fn(|| receiver.poll_output()).collect::<Vec<_>>(),
        pressed('4', 100)
    );
}

proptest! {
    // Whatever two of three packets are lost, no digit comes twice, none is invented, and every digit
    // one packet of which arrived is there.
    #[test]
    fn losses_never_double_or_invent_a_digit(
        digits in proptest::collection::vec((0_u8..16, 40_u32..300), 1..8),
        fates in proptest::collection::vec(0_u8..3, 200), first: u32,
    ) {
        let mut sender = DigitSender::new(8_000);
        for (code, duration_ms) in &digits {
            sender.send(Digit::from_event(*code).unwrap(), *duration_ms).unwrap();
        }
        let packets = sent(&mut sender, first);
        let kept: Vec<_> = packets.iter().zip(&fates).filter(|(_, fate)| **fate == 0).map(|(p, _)| p).collect();
        let mut expected: Vec<_> = kept.iter().map(|p| (p.timestamp.0, event(p).event)).collect();
        expected.dedup();
        let (events, _) = received(kept.iter().map(|p| (p.timestamp.0, p.payload)));
        let started: Vec<_> = events.iter().filter_map(|e| match e {
            DigitEvent::Started { digit } => Some(digit.event()),
            DigitEvent::Ended { .. } => None,
        }).collect();
        prop_assert_eq!(started, expected.iter().map(|(_, code)| *code).collect::<Vec<_>>());
        prop_assert_eq!(events.len(), expected.len() * 2);
    }

    #[test]
    fn arbitrary_packets_never_panic_and_starts_and_ends_alternate(
        packets in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..8)), 0..200),
    ) {
        let mut receiver = DigitReceiver::new(8_000);
        let mut now = Instant::now();
        let mut pressed = false;
        for (timestamp, payload) in packets {
            receiver.packet_arrived(Timestamp(timestamp), &payload, now);
            now += Duration::from_millis(20);
            while let Some(event) = receiver.poll_output() {
                prop_assert_eq!(matches!(event, DigitEvent::Ended { .. }), pressed);
                pressed = !pressed;
            }
        }
    }
}
