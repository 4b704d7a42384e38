//! What the network and strangers do to a leg, and what is left of it.

mod common;

use std::net::UdpSocket;

use common::{FarEnd, Side, backends, config, pair, speech, talk};
use trunkline_dsp::g711::Law;
use trunkline_media::MediaEventKind;

/// A side whose far end is made of plain sockets.
fn with_far_end(backend: trunkline_media::packet_io::Backend) -> (Side, FarEnd) {
    let side = Side::a_law(config(backend));
    let far = FarEnd::new();
    side.connect(far.address);
    (side, far)
}

/// A voice: harmonics of 125 Hz, in A-law.
fn voice(samples: usize) -> Vec<u8> {
    (0..samples)
        .map(|n| {
            let phase = n as f32 * 125.0 / 8000.0 * std::f32::consts::TAU;
            let sum: f32 = (1..8).map(|k| (phase * k as f32).sin() / k as f32).sum();
            Law::A.encode((sum * 6000.0) as i16)
        })
        .collect()
}

fn level(octets: &[u8]) -> f64 {
    let power: f64 = octets.iter().map(|o| f64::from(Law::A.decode(*o)).powi(2)).sum();
    (power / octets.len() as f64).sqrt()
}

#[test]
fn lost_packets_are_concealed_and_counted_and_the_rest_arrives_as_sent() {
    for backend in backends() {
        let (mut side, mut far) = with_far_end(backend);
        let said = voice(100 * 160);
        let mut received = 0;
        for (number, piece) in said.chunks(160).enumerate() {
            if number % 20 == 10 {
                far.skip(160);
            } else {
                far.speak(side.local, 8, piece);
                received += 1;
            }
            side.wait("the packet", |counters| counters.packets_received == received);
            side.turn(&[0xD5; 160], 8);
        }
        side.turn(&[0xD5; 480], 8);
        let start = side
            .heard
            .windows(480)
            .position(|window| window == &said[..480])
            .expect("the beginning is heard as said");
        let heard = side.heard[start..][..100 * 160].to_vec();
        // Bit-exact where nothing was lost, but for the blend after a loss.
        assert_eq!(heard[11 * 160 + 80..30 * 160], said[11 * 160 + 80..30 * 160]);
        // In the gap there is voice, not silence.
        let gap = level(&heard[10 * 160..11 * 160]);
        assert!(gap > 0.7 * level(&said), "level {gap} in the gap");
        let figures = side.close();
        assert_eq!(figures.packets_received, 95);
        assert_eq!(figures.reception.lost, 5);
        assert!(figures.playout.concealed_ms >= 100, "{:?}", figures.playout);
        side.wait("the figures", |counters| counters.concealed_samples >= 800);
    }
}

#[test]
fn a_strangers_packets_are_refused_and_counted_and_never_heard() {
    for backend in backends() {
        let (mut side, mut far) = with_far_end(backend);
        let stranger = UdpSocket::bind((common::own_address(), 0)).unwrap();
        let mut theirs = FarEnd::new();
        theirs.ssrc = far.ssrc;
        for number in 0..50_u64 {
            far.speak(side.local, 8, &[0x11; 160]);
            let injected = theirs.packet(8, true, &[0x77; 160]);
            stranger.send_to(&injected, side.local).unwrap();
            theirs.rtp.send_to(&injected, side.local).unwrap();
            theirs.skip(160);
            side.wait("all three", |counters| {
                counters.packets_received == number + 1
                    && counters.dropped_source == 2 * (number + 1)
            });
            side.turn(&[0xD5; 160], 80);
        }
        assert!(side.heard.contains(&0x11));
        assert!(!side.heard.contains(&0x77), "a stranger was heard");
        // What we say still goes to the far end.
        assert_eq!(far.hear()[12..], [0xD5; 160]);
        let figures = side.close();
        assert_eq!((figures.packets_received, figures.source.stranger), (50, 100));
    }
}

#[test]
fn broken_datagrams_are_counted_and_harmless() {
    for backend in backends() {
        let (mut side, mut far) = with_far_end(backend);
        let send = |bytes: &[u8]| {
            far.rtp.send_to(bytes, side.local).unwrap();
        };
        send(&[]);
        send(&[0x80]);
        send(&[0x40; 40]);
        send(&[0x80, 200, 0, 1]);
        send(&[0xBF; 30]);
        // A payload of length zero; one longer than the jitter buffer takes; a type not agreed on.
        send(&far.packet(8, false, &[]));
        side.wait("six malformed", |counters| counters.dropped_malformed == 6);
        far.skip(160);
        far.speak(side.local, 8, &[0; 500]);
        side.wait("too long", |counters| counters.dropped_too_long == 1);
        far.speak(side.local, 0, &[0; 160]);
        side.wait("wrong type", |counters| counters.dropped_payload_type == 1);
        let twice = far.packet(8, false, &[1; 160]);
        far.rtp.send_to(&twice, side.local).unwrap();
        far.rtp.send_to(&twice, side.local).unwrap();
        side.wait("duplicate", |counters| counters.dropped_duplicate == 1);
        far.rtcp
            .send_to(&[0x81, 201, 0, 9, 1, 2, 3], (side.local.ip(), side.local.port() + 1))
            .unwrap();
        side.wait("malformed RTCP", |counters| counters.dropped_malformed == 7);
        assert_eq!(side.close().malformed, 7);
    }
}

#[test]
fn a_late_packet_is_dropped_and_counted() {
    let (mut side, mut far) = with_far_end(backends()[0]);
    for number in 0..20_u64 {
        far.speak(side.local, 8, &[3; 160]);
        side.wait("the packet", |counters| counters.packets_received == number + 1);
        side.turn(&[0xD5; 160], 160);
    }
    let held_back = far.packet(8, false, &[9; 160]);
    far.skip(160);
    for number in 20..30_u64 {
        far.speak(side.local, 8, &[3; 160]);
        side.wait("the packet", |counters| counters.packets_received == number + 1);
        side.turn(&[0xD5; 160], 160);
    }
    far.rtp.send_to(&held_back, side.local).unwrap();
    side.wait("the late one", |counters| counters.dropped_late == 1);
    let figures = side.close();
    assert_eq!((figures.late, figures.reception.reordered), (1, 1));
    assert!(!side.heard.contains(&9));
}

#[test]
fn silence_from_the_network_is_reported_once_and_so_is_its_end() {
    let mut settings = config(backends()[0]);
    settings.rtp_timeout = std::time::Duration::from_millis(60);
    let mut side = Side::a_law(settings);
    let mut far = FarEnd::new();
    side.connect(far.address);
    side.event("the timeout", |kind| (kind == MediaEventKind::RtpTimeout).then_some(()));
    far.speak(side.local, 8, &[3; 160]);
    side.event("the end of it", |kind| (kind == MediaEventKind::RtpResumed).then_some(()));
}

#[test]
fn a_new_stream_after_a_transfer_plays_on_without_a_gap_of_its_own() {
    let (mut side, mut far) = with_far_end(backends()[0]);
    let mut heard_of = 0;
    for ssrc in [1, 2, 3] {
        // Another sender behind the same address: everything is new.
        far.ssrc = ssrc;
        far.sequence = far.sequence.wrapping_mul(31).wrapping_add(ssrc as u16);
        far.timestamp = far.timestamp.wrapping_mul(77).wrapping_add(ssrc);
        for _ in 0..20 {
            far.speak(side.local, 8, &[ssrc as u8; 160]);
            heard_of += 1;
            side.wait("the packet", |counters| counters.packets_received == heard_of);
            side.turn(&[0xD5; 160], 160);
        }
    }
    let figures = side.close();
    assert_eq!(figures.packets_received, 60);
    assert_eq!(figures.reception.lost, 0);
    assert_eq!(figures.playout.concealed_ms, 0);
    assert!(side.heard.contains(&1) && side.heard.contains(&2) && side.heard.contains(&3));
}

#[test]
fn clocks_that_differ_by_half_a_percent_do_not_pile_up_delay() {
    let (mut a, mut b) = pair(backends()[0]);
    talk(&mut a, &mut b, &speech(50 * 160, 1), &speech(50 * 160, 2), 160);
    // From here on b's line turns by 161 samples whenever a's turns by 160.
    let before = (a.total(), b.total());
    let mut sent_by_b = 0;
    for number in 1..=400_u64 {
        a.turn(&[0x22; 160], 160);
        b.turn(&[0x33; 161], 161);
        sent_by_b += 161;
        b.wait("a's packet", |c| c.packets_received == before.1.packets_received + number);
        let expected = before.0.packets_received + sent_by_b / 160;
        a.wait("b's packet", |c| c.packets_received == expected);
    }
    let delay_a = a.timeslot.playout().delay;
    assert!(delay_a < 400, "a's delay has grown to {delay_a} samples");
    let (figures_a, figures_b) = (a.close(), b.close());
    assert_eq!((figures_a.line_overflow_samples, figures_b.line_overflow_samples), (0, 0));
    assert!(figures_a.overwritten == 0 && figures_b.overwritten == 0);
}

#[test]
fn a_stall_costs_its_own_length_and_leaves_the_delay_as_it_was() {
    let (mut side, mut far) = with_far_end(backends()[0]);
    let said = voice(900 * 160);
    let mut pieces = said.chunks(160);
    let mut received = 0;
    while received < 900 {
        // The network stands still for 200 ms after two seconds.
        let burst = if received == 100 { 10 } else { 1 };
        for _ in 1..burst {
            side.turn(&[0xD5; 160], 80);
        }
        for piece in pieces.by_ref().take(burst) {
            far.speak(side.local, 8, piece);
            received += 1;
        }
        side.wait("the packets", |counters| counters.packets_received == received);
        side.turn(&[0xD5; 160], 80);
    }
    let last = side.timeslot.playout();
    assert!(last.delay < 200, "{last:?}");
    assert!(last.discarded <= 10, "{last:?}");
    assert!(last.concealed + last.waited <= 1600 + 160, "{last:?}");
    assert_eq!((last.lengthened, last.shortened), (0, 0));
}

#[test]
fn announced_silence_sounds_as_announced_and_is_no_loss() {
    let mut spec = trunkline_media::RtpLegSpec::g711(common::own_address(), None, Law::A);
    spec.receiving.push(trunkline_media::PayloadFormat {
        payload_type: 13,
        payload: trunkline_media::Payload::ComfortNoise,
    });
    let mut side = Side::new(config(backends()[0]), spec);
    let mut far = FarEnd::new();
    side.connect(far.address);
    let said = voice(20 * 160);
    for (number, piece) in said.chunks(160).enumerate() {
        far.speak(side.local, 8, piece);
        side.wait("the packet", |counters| counters.packets_received == number as u64 + 1);
        side.turn(&[0xD5; 160], 160);
    }
    // -50 dBov of noise, for two seconds.
    let packet = far.packet(13, false, &[50]);
    far.rtp.send_to(&packet, side.local).unwrap();
    far.skip(16_000);
    side.wait("the description", |counters| counters.packets_received == 21);
    side.turn(&[0xD5; 16_000], 160);
    let noise = level(&side.heard[side.heard.len() - 8000..]);
    assert!((40.0..300.0).contains(&noise), "level {noise}");
    assert_eq!(side.timeslot.playout().concealed, 0);
    far.speak(side.local, 8, &said[..160]);
    side.wait("speech again", |counters| counters.packets_received == 22);
    side.turn(&[0xD5; 480], 160);
    assert_eq!(side.timeslot.playout().talkspurts, 2);
}
