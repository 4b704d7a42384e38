//! Calls between two media planes over the loopback, on a line clock turned by the test.

mod common;

use common::{Side, backends, config, own_address, pair, speech, starts_at, talk};
use trunkline_dsp::g711::Law;
use trunkline_media::{MediaError, Remote, RtpLegSpec};

#[test]
fn a_law_arrives_bit_exact_both_ways_with_blocks_of_any_length() {
    for backend in backends() {
        for block in [8, 37, 160] {
            let (mut a, mut b) = pair(backend);
            let (said_a, said_b) = (speech(60 * 160, 1), speech(60 * 160, 2));
            talk(&mut a, &mut b, &said_a, &said_b, block);
            for (heard, said) in [(&b.heard, &said_a), (&a.heard, &said_b)] {
                let start = starts_at(heard, said);
                // A packet, the start margin, and the block that was under way.
                let latest = 160 + 80 + 160;
                assert!(
                    start.is_some_and(|start| start <= latest),
                    "{backend}, block {block}: not what was said, or from {start:?}"
                );
            }
            let figures = b.close();
            assert_eq!(figures.packets_received, 60);
            assert_eq!(figures.reception.lost, 0);
            assert_eq!(figures.playout.concealed_ms, 0);
            assert_eq!(
                (figures.playout.lengthened_samples, figures.playout.shortened_samples),
                (0, 0)
            );
            assert_eq!(figures.octets_received, 60 * 160);
        }
    }
}

#[test]
fn mu_law_line_and_a_law_packets_are_converted() {
    let backend = backends()[0];
    let mut a = Side::a_law(config(backend));
    // The same codec, a µ-law line.
    let spec = RtpLegSpec { line_law: Law::Mu, ..RtpLegSpec::g711(own_address(), None, Law::A) };
    let mut b = Side::new(config(backend), spec);
    a.connect(b.local);
    b.connect(a.local);
    let said = speech(40 * 160, 3);
    talk(&mut a, &mut b, &said, &speech(40 * 160, 4), 8);
    let mut converted = said.clone();
    Law::A.convert_block(&mut converted, Law::Mu);
    assert!(starts_at(&b.heard, &converted).is_some());
}

#[test]
fn ipv6_carries_a_call_as_well() {
    for backend in backends() {
        let here = "::1".parse().unwrap();
        let mut a = Side::new(config(backend), RtpLegSpec::g711(here, None, Law::A));
        let spec = RtpLegSpec::g711(here, Some(Remote::new(a.local)), Law::A);
        let mut b = Side::new(config(backend), spec);
        a.connect(b.local);
        let (said_a, said_b) = (speech(20 * 160, 5), speech(20 * 160, 6));
        talk(&mut a, &mut b, &said_a, &said_b, 160);
        assert!(starts_at(&b.heard, &said_a).is_some());
        assert!(starts_at(&a.heard, &said_b).is_some());
    }
}

#[test]
fn port_exhaustion_is_a_clear_error_and_closing_makes_room() {
    for backend in backends() {
        let mut settings = config(backend);
        settings.rtp_ports = 20_000..=20_003;
        let mut side = Side::a_law(settings);
        let ip = side.local.ip();
        let spec = || RtpLegSpec::g711(ip, None, Law::A);
        let second = side.media.open(spec()).unwrap();
        let refused = side.media.open(spec()).unwrap_err();
        assert!(matches!(refused, MediaError::PortsExhausted { pairs: 2, .. }), "{refused}");
        assert_eq!(side.media.legs(), 2);
        side.close();
        common::wait("a free pair", || side.media.open(spec()).is_ok());
        drop(second);
    }
}

#[test]
fn coded_speech_passes_both_ways_between_linear_and_octet_ends() {
    use trunkline_media::{Payload, PayloadFormat, Sending};
    use trunkline_rtp::codec::Codec;

    let codecs = [(Codec::opus_telephony(), 111), (Codec::G722, 9)];
    let calls = codecs.into_iter().flat_map(|codec| {
        backends().into_iter().zip([20, 60]).map(move |(backend, ptime)| (backend, ptime, codec))
    });
    for (backend, ptime_ms, (codec, payload_type)) in calls {
        let spec = || RtpLegSpec {
            sending: Sending { codec, payload_type, telephone_event: None, ptime_ms },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            ..RtpLegSpec::g711(own_address(), None, Law::A)
        };
        let (mut a, mut b) =
            (Side::new(config(backend), spec()), Side::new(config(backend), spec()));
        a.connect(b.local);
        b.connect(a.local);
        let tone = |n: usize, hz: f32| {
            (8000.0 * (n as f32 * hz / 8000.0 * std::f32::consts::TAU).sin()) as i16
        };
        let packet = usize::from(ptime_ms) * 8;
        let mut heard = Vec::new();
        for number in 0..1 + 24_000 / packet {
            let at = number * packet;
            let mic: Vec<i16> = (at..at + packet).map(|n| tone(n, 400.0)).collect();
            let line: Vec<u8> = (at..at + packet).map(|n| Law::A.encode(tone(n, 900.0))).collect();
            let mut speaker = vec![0; packet];
            a.timeslot.exchange_linear(&mic, &mut speaker);
            heard.extend_from_slice(&speaker);
            b.turn(&line, 80);
            let number = number as u64 + 1;
            a.wait("b's packet", |counters| counters.packets_received == number);
            b.wait("a's packet", |counters| counters.packets_received == number);
        }
        let mut on_line = vec![0; b.heard.len()];
        Law::A.decode_block(&b.heard, &mut on_line);
        assert!(share(&heard[8000..], 900.0) > 0.9);
        assert!(share(&on_line[8000..], 400.0) > 0.9);
        assert_eq!(b.close().playout.concealed_ms, 0);
    }
}

/// How much of the power is at this frequency.
fn share(samples: &[i16], hz: f32) -> f64 {
    let step = f64::from(hz) / 8000.0 * std::f64::consts::TAU;
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sample, phase) = (f64::from(*sample), n as f64 * step);
        re += sample * phase.cos();
        im += sample * phase.sin();
        power += sample * sample;
    }
    2.0 * (re * re + im * im) / (samples.len() as f64 * power)
}

#[test]
fn packets_of_every_length_arrive_bit_exact() {
    for ptime_ms in [10, 30, 40, 60] {
        let spec = || {
            let mut spec = RtpLegSpec::g711(own_address(), None, Law::A);
            spec.sending.ptime_ms = ptime_ms;
            spec
        };
        let backend = backends()[0];
        let (mut a, mut b) =
            (Side::new(config(backend), spec()), Side::new(config(backend), spec()));
        a.connect(b.local);
        b.connect(a.local);
        let packet = usize::from(ptime_ms) * 8;
        let said = speech(30 * packet, 9);
        for (number, piece) in said.chunks(packet).enumerate() {
            a.turn(piece, 8);
            b.turn(&vec![0xD5; packet], 8);
            b.wait("the packet", |counters| counters.packets_received == number as u64 + 1);
        }
        assert!(starts_at(&b.heard, &said).is_some_and(|at| at <= packet + 160), "{ptime_ms} ms");
    }
}

#[test]
fn hold_stops_packets_and_sound_and_its_end_brings_both_back() {
    use trunkline_media::{Direction, RtpLegUpdate};

    let (mut a, mut b) = pair(backends()[0]);
    talk(&mut a, &mut b, &speech(20 * 160, 1), &speech(20 * 160, 2), 160);
    let hold = |on: bool| RtpLegUpdate {
        direction: Some(Direction { send: !on, receive: !on }),
        ..RtpLegUpdate::default()
    };
    a.media.update(a.leg, hold(true)).unwrap();
    let ticks = a.total().ticks;
    a.wait("the command", |counters| counters.ticks > ticks + 2);
    let before = (a.total().packets_sent, a.heard.len());
    for number in 1..=20 {
        a.turn(&[0x22; 160], 160);
        b.turn(&[0x33; 160], 160);
        a.wait("b's packet", |counters| counters.dropped_on_hold == number);
    }
    assert_eq!(a.total().packets_sent, before.0);
    assert!(!a.heard[before.1 + 480..].contains(&0x33));
    assert_eq!(a.timeslot.playout().concealed, 0);
    a.media.update(a.leg, hold(false)).unwrap();
    let ticks = a.total().ticks;
    a.wait("the command", |counters| counters.ticks > ticks + 2);
    talk(&mut a, &mut b, &[0x44; 20 * 160], &[0x55; 20 * 160], 160);
    assert!(a.heard.contains(&0x55) && b.heard.contains(&0x44));
}

#[test]
fn codec_change_in_the_call_is_heard_on_both_sides() {
    use trunkline_media::{Payload, PayloadFormat, RtpLegUpdate, Sending};
    use trunkline_rtp::codec::Codec;

    let (mut a, mut b) = pair(backends()[0]);
    talk(&mut a, &mut b, &speech(20 * 160, 1), &speech(20 * 160, 2), 160);
    let both = [(8, Codec::Pcma), (0, Codec::Pcmu)].map(|(payload_type, codec)| PayloadFormat {
        payload_type,
        payload: Payload::Audio(codec),
    });
    let update = RtpLegUpdate { receiving: Some(both.to_vec()), ..RtpLegUpdate::default() };
    b.media.update(b.leg, update).unwrap();
    let sending =
        Sending { codec: Codec::Pcmu, payload_type: 0, telephone_event: None, ptime_ms: 20 };
    let update = RtpLegUpdate { sending: Some(sending), ..RtpLegUpdate::default() };
    a.media.update(a.leg, update).unwrap();
    for side in [&a, &b] {
        let ticks = side.total().ticks;
        side.wait("the command", |counters| counters.ticks > ticks + 2);
    }
    let said = [0x44; 20 * 160];
    talk(&mut a, &mut b, &said, &said, 160);
    let there_and_back = Law::Mu.convert(Law::A.convert(0x44, Law::Mu), Law::A);
    assert_eq!(b.heard[b.heard.len() - 1000..], [there_and_back; 1000]);
    assert_eq!(b.close().playout.concealed_ms, 0);
}
