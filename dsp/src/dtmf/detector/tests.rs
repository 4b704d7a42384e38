//! The limits of Q.24, through A-law.

use super::*;
use crate::dtmf::frequencies_hz;
use crate::g711::Law;
use crate::level::peak_of_sine;
use crate::noise::Noise;

const DIGITS: &str = "0123456789*#ABCD";

/// A digit as a bad telephone sends it.
#[derive(Clone, Copy)]
struct Sent {
    digit: char,
    low_dbm0: f32,
    high_dbm0: f32,
    /// Factor on the nominal frequencies.
    low_deviation: f32,
    high_deviation: f32,
    samples: usize,
    /// Silence before it: moves the digit against the windows.
    offset: usize,
    noise_dbm0: Option<f32>,
}

impl Sent {
    fn new(digit: char) -> Self {
        Self {
            digit,
            low_dbm0: -10.0,
            high_dbm0: -10.0,
            low_deviation: 1.0,
            high_deviation: 1.0,
            samples: 320,
            offset: 100,
            noise_dbm0: None,
        }
    }

    fn samples(&self) -> Vec<i16> {
        let (low_hz, high_hz) = frequencies_hz(self.digit).unwrap();
        let mut noise = Noise::new(self.offset as u32 + 1);
        let noise_rms = self.noise_dbm0.map_or(0.0, rms);
        let tone = |n: usize, hz: f32, level_dbm0: f32| {
            let angle = f64::from(hz) * n as f64 / 8_000.0;
            peak_of_sine(level_dbm0) * (angle.fract() * std::f64::consts::TAU).sin() as f32
        };
        (0..self.offset + self.samples + 800)
            .map(|n| {
                let hiss = noise_rms * noise.next();
                let Some(n) = n.checked_sub(self.offset).filter(|&n| n < self.samples) else {
                    return hiss;
                };
                tone(n, low_hz * self.low_deviation, self.low_dbm0)
                    + tone(n, high_hz * self.high_deviation, self.high_dbm0)
                    + hiss
            })
            .map(|sample| Law::A.decode(Law::A.encode(sample.round() as i16)))
            .collect()
    }

    fn heard(&self) -> String {
        heard(&self.samples())
    }
}

fn events(samples: &[i16]) -> Vec<Event> {
    let mut detector = Detector::new();
    let mut events = Vec::new();
    samples.chunks(8).for_each(|block| detector.process(block, |event| events.push(event)));
    events
}

fn heard(samples: &[i16]) -> String {
    let begun = |event| match event {
        Event::Begin { digit, .. } => Some(digit),
        Event::End { .. } => None,
    };
    events(samples).into_iter().filter_map(begun).collect()
}

/// Each digit at four positions against the windows, as `change` makes it.
fn each(change: impl Fn(&mut Sent)) -> Vec<(char, String)> {
    let mut all = Vec::new();
    for digit in DIGITS.chars() {
        for offset in [90, 100, 109, 117] {
            let mut sent = Sent { offset, ..Sent::new(digit) };
            change(&mut sent);
            all.push((digit, sent.heard()));
        }
    }
    all
}

#[track_caller]
fn all_heard(change: impl Fn(&mut Sent)) {
    for (digit, heard) in each(change) {
        assert_eq!(heard, digit.to_string());
    }
}

#[track_caller]
fn none_heard(change: impl Fn(&mut Sent)) {
    for (digit, heard) in each(change) {
        assert_eq!(heard, "", "{digit} was sent");
    }
}

#[test]
fn forty_milliseconds_are_enough_at_every_level() {
    for level_dbm0 in [0.0, -3.0, -10.0, -20.0, -30.0, -36.0] {
        all_heard(|sent| (sent.low_dbm0, sent.high_dbm0) = (level_dbm0, level_dbm0));
    }
    none_heard(|sent| (sent.low_dbm0, sent.high_dbm0) = (-45.0, -45.0));
}

#[test]
fn tones_under_24_milliseconds_are_no_digits() {
    for samples in [80, 120, 160, 184, 191] {
        none_heard(|sent| sent.samples = samples);
    }
}

#[test]
fn frequencies_may_deviate_by_one_and_a_half_percent_and_two_hertz() {
    for low in [-1.0, 1.0] {
        for high in [-1.0, 1.0] {
            all_heard(|sent| {
                let (low_hz, high_hz) = frequencies_hz(sent.digit).unwrap();
                sent.low_deviation = 1.0 + low * (0.015 + 2.0 / low_hz);
                sent.high_deviation = 1.0 + high * (0.015 + 2.0 / high_hz);
            });
        }
    }
}

#[test]
fn frequencies_off_by_three_and_a_half_percent_are_no_digits() {
    for deviation in [0.965, 1.035] {
        none_heard(|sent| (sent.low_deviation, sent.samples) = (deviation, 800));
        none_heard(|sent| (sent.high_deviation, sent.samples) = (deviation, 800));
    }
}

#[test]
fn either_group_may_be_stronger_within_limits() {
    all_heard(|sent| sent.low_dbm0 = sent.high_dbm0 - 4.0);
    all_heard(|sent| sent.high_dbm0 = sent.low_dbm0 - 8.0);
    none_heard(|sent| sent.low_dbm0 = sent.high_dbm0 - 8.0);
    none_heard(|sent| sent.high_dbm0 = sent.low_dbm0 - 12.0);
}

#[test]
fn noise_nine_decibels_below_the_digit_loses_less_than_one_in_a_hundred() {
    let mut lost = 0;
    for round in 0..20 {
        for digit in DIGITS.chars() {
            // Both tones together are at −7 dBm0; Q.24 gives no duration: 50 ms as sent at least.
            let sent = Sent {
                offset: 97 + 13 * round,
                samples: 400,
                noise_dbm0: Some(-16.0),
                ..Sent::new(digit)
            };
            lost += usize::from(sent.heard() != digit.to_string());
        }
    }
    assert!(lost <= 3, "{lost} of 320 lost");
}

#[test]
fn one_tone_alone_is_no_digit() {
    none_heard(|sent| (sent.low_dbm0, sent.samples) = (-90.0, 1_600));
    none_heard(|sent| (sent.high_dbm0, sent.samples) = (-90.0, 1_600));
}

#[test]
fn a_pause_divides_digits_and_a_short_interruption_does_not() {
    let tone = Sent { samples: 400, ..Sent::new('5') }.samples();
    let tone = &tone[100..500];
    let with_gap = |gap: usize| [tone, &vec![8; gap], tone, &[8; 800]].concat();
    assert_eq!(heard(&with_gap(160)), "55");
    assert_eq!(heard(&with_gap(80)), "5");
}

#[test]
fn another_digit_may_follow_without_a_pause() {
    let (one, two) = (Sent::new('1').samples(), Sent::new('9').samples());
    let joined = [&one[..420], &two[100..]].concat();
    assert_eq!(heard(&joined), "19");
}

#[test]
fn begin_and_end_tell_position_level_and_duration() {
    for (samples, offset) in [(320, 1_000), (800, 1_011), (4_000, 1_023)] {
        let sent = Sent { samples, offset, ..Sent::new('8') };
        let [
            Event::Begin { digit: '8', level_dbm0, position },
            Event::End { digit: '8', duration_ms },
        ] = events(&sent.samples())[..]
        else {
            panic!("not one begin and one end");
        };
        assert!((level_dbm0 + 7.0).abs() < 0.5, "{level_dbm0} dBm0");
        assert!(position.abs_diff(offset as u64) < 32, "at {position} instead of {offset}");
        assert!(duration_ms.abs_diff(samples as u32 / 8) <= 6, "{duration_ms} ms");
    }
}

#[test]
fn noise_is_no_digit() {
    let mut noise = Noise::new(7);
    let samples: Vec<i16> = (0..8_000 * 60).map(|_| (4_000.0 * noise.next()) as i16).collect();
    assert_eq!(heard(&samples), "");
}

/// Vowels of a gliding voice: pulses at the pitch, 6 dB less an octave, through two formants.
#[test]
fn speech_like_sound_is_no_digit() {
    let mut noise = Noise::new(11);
    let mut samples = Vec::new();
    let mut state = [[0.0_f32; 2]; 2];
    let (mut phase, mut source) = (0.0, 0.0);
    for _syllable in 0..600 {
        let pitch_hz = 140.0 + 50.0 * noise.next();
        let formants_hz = [650.0 + 250.0 * noise.next(), 1_400.0 + 400.0 * noise.next()];
        // A voice is never as steady as a machine: up to a third of an octave in 200 ms.
        let glide = 1.0 + 0.000_1 * noise.next();
        let mut pitch = pitch_hz.max(70.0);
        for _ in 0..1_600 {
            pitch *= glide;
            phase += pitch / 8_000.0;
            source = 0.9 * source + if phase >= 1.0 { 2_000.0 } else { 10.0 * noise.next() };
            phase = phase.fract();
            let mut sum = 0.0;
            for (state, formant_hz) in state.iter_mut().zip(formants_hz) {
                let radius = 0.97_f32;
                let turn = (TAU * formant_hz / 8_000.0).cos();
                let out = source + 2.0 * radius * turn * state[0] - radius * radius * state[1];
                *state = [out, state[0]];
                sum += out;
            }
            samples.push((sum * 0.3) as i16);
        }
    }
    assert_eq!(heard(&samples), "");
}
