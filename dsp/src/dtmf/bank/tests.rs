//! The bank hears what sixteen detectors of one channel hear.

use super::*;
use crate::dtmf::{Detector, Generator, Levels};
use crate::noise::Noise;

/// Half a minute of digits, good and bad, over noise and vowels: another mixture a channel.
fn channel(lane: usize) -> Vec<i16> {
    let mut noise = Noise::new(lane as u32 + 1);
    let low_dbm0 = -6.0 - 2.5 * lane as f32;
    let mut keys = Generator::new(Levels { low_dbm0, twist_db: lane as f32 - 9.0 });
    let mut samples = vec![0; 30 * 8_000];
    for (turn, second) in samples.chunks_mut(8_000).enumerate() {
        let digit = char::from(b"0123456789*#ABCD"[(turn * 5 + lane) % 16]);
        keys.send(digit, 20 + 7 * (turn as u32 % 8), 100).unwrap();
        keys.fill(second);
        let (hiss, pitch) = (rms(-60.0 + 4.0 * (turn % 12) as f32), 90.0 + 11.0 * turn as f32);
        for (n, sample) in second.iter_mut().enumerate() {
            let vowel: f32 = (1..=14).map(|k| (angle(pitch) * (k * n) as f32).sin()).sum();
            let vowel = if turn % 3 == 1 { 300.0 * vowel } else { 0.0 };
            *sample = (f32::from(*sample) + hiss * noise.next() + vowel) as i16;
        }
    }
    samples
}

fn heard(width: Width, samples: &[Vec<i16>; LANES], block: usize) -> Vec<(usize, Event)> {
    let mut rows = vec![Row::ZERO; samples[0].len()];
    crate::lanes::interleave(&samples.each_ref().map(Vec::as_slice), &mut rows);
    let mut bank = DetectorBank::with(width);
    let mut events = Vec::new();
    rows.chunks(block).for_each(|rows| {
        bank.process(rows, |lane, event| events.push((lane, event)));
    });
    events
}

#[test]
fn a_bank_hears_what_sixteen_detectors_hear() {
    let samples = std::array::from_fn(channel);
    let mut expected = [const { Vec::new() }; LANES];
    for (samples, events) in samples.iter().zip(&mut expected) {
        Detector::new().process(samples, |event| events.push(event));
    }
    assert!(expected.iter().map(Vec::len).sum::<usize>() > 300, "something is to be heard");
    for width in Width::all() {
        let mut found = [const { Vec::new() }; LANES];
        for (lane, event) in heard(width, &samples, 61) {
            found[lane].push(event);
        }
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected.len(), found.len(), "{width:?}");
            for pair in expected.iter().zip(found) {
                match pair {
                    (
                        Event::Begin { digit, level_dbm0, position },
                        Event::Begin { digit: other, level_dbm0: level, position: at },
                    ) => {
                        assert_eq!((digit, position), (other, at));
                        assert!((level_dbm0 - level).abs() < 0.01);
                    }
                    (expected, found) => assert_eq!(expected, found),
                }
            }
        }
    }
}

#[test]
fn a_new_call_on_a_channel_knows_nothing_of_the_one_before() {
    let mut keys = Generator::default();
    keys.press('6').unwrap();
    let mut tone = [0; 800];
    keys.fill(&mut tone);
    let mut rows = [Row::ZERO; 800];
    crate::lanes::interleave(&[&tone[..]; LANES], &mut rows);
    let mut bank = DetectorBank::new();
    bank.process(&rows, |_, _| ());
    bank.reset(3);
    let mut after = Vec::new();
    bank.process(&rows, |lane, event| after.push((lane, event)));
    let [(3, Event::Begin { digit: '6', position, .. })] = after[..] else {
        panic!("{after:?} is not one digit on channel 3");
    };
    assert!(position < 50, "at {position}");
    assert!((0..LANES).all(|lane| bank.digit(lane) == Some('6')));
}
