//! The tones of machines, through A-law, and what is none.

use std::f32::consts::TAU;

use super::*;
use crate::g711::Law;
use crate::level::{peak_of_sine, rms};
use crate::noise::Noise;

const SECOND: usize = 8_000;

const PLAIN: Sound = Sound::Answer { reversals: false, modulated: false };
const REVERSED: Sound = Sound::Answer { reversals: true, modulated: false };
const ANSAM: Sound = Sound::Answer { reversals: false, modulated: true };
const ANSAM_REVERSED: Sound = Sound::Answer { reversals: true, modulated: true };

/// A tone of 2100 Hz as modems and faxes send it.
#[derive(Clone, Copy)]
struct Sent {
    hz: f32,
    level_dbm0: f32,
    /// Seconds between reversals of the phase.
    reversal_s: Option<f32>,
    modulation: f32,
    noise_dbm0: f32,
}

impl Default for Sent {
    fn default() -> Self {
        let (level_dbm0, noise_dbm0) = (-13.0, -65.0);
        Self { hz: 2_100.0, level_dbm0, reversal_s: None, modulation: 0.0, noise_dbm0 }
    }
}

impl Sent {
    fn samples(self, count: usize) -> Vec<i16> {
        let mut noise = Noise::new(3);
        let sample = |n: usize| {
            let time = n as f32 / SECOND as f32;
            let turned = self.reversal_s.map_or(0.0, |every| (time / every).floor() * 0.5);
            let phase = (f64::from(self.hz) * n as f64 / SECOND as f64).fract() as f32 + turned;
            let envelope = 1.0 + self.modulation * (TAU * 15.0 * time).sin();
            let tone = peak_of_sine(self.level_dbm0) * envelope * (TAU * phase).sin();
            (tone + rms(self.noise_dbm0) * noise.next()) as i16
        };
        let silence = vec![0; 500];
        [silence.clone(), (0..count).map(sample).collect(), silence, vec![0; 4_000]].concat()
    }
}

/// What is heard on each channel, if each hears the same 7 samples later than the one before.
fn heard(samples: &[i16]) -> Vec<Event> {
    let mut bank = FaxBank::new();
    let mut events = [const { Vec::new() }; LANES];
    let line = |n: usize| Law::A.decode(Law::A.encode(samples.get(n).copied().unwrap_or(0)));
    let rows: Vec<Row> = (0..samples.len() + 7 * LANES)
        .map(|n| {
            Row(std::array::from_fn(|lane| {
                n.checked_sub(7 * lane).map_or(0.0, |n| f32::from(line(n)))
            }))
        })
        .collect();
    for rows in rows.chunks(13) {
        bank.process(rows, |lane, event| events[lane].push(event));
    }
    let [first, others @ ..] = events;
    for other in others {
        assert_eq!(first, other, "it must not matter when a tone begins");
    }
    first
}

/// Calling tone, or anything that is interrupted in this way.
fn bursts(hz: f32, on_ms: usize, off_ms: usize, times: usize) -> Vec<i16> {
    let tone = Sent { hz, ..Sent::default() }.samples(on_ms * 8);
    let burst = [&tone[500..500 + on_ms * 8], &vec![0; off_ms * 8]].concat();
    burst.repeat(times)
}

/// Frequency shift keying of V.21, channel 2.
fn keyed(bits: impl Iterator<Item = bool>) -> Vec<i16> {
    let (mut phase, mut owed) = (0.0_f32, 0.0);
    let mut samples = Vec::new();
    for bit in bits {
        owed += SECOND as f32 / 300.0;
        while owed >= 1.0 {
            owed -= 1.0;
            phase = (phase + if bit { 1_650.0 } else { 1_850.0 } / SECOND as f32).fract();
            samples.push((peak_of_sine(-15.0) * (TAU * phase).sin()) as i16);
        }
    }
    samples
}

fn flags(count: usize) -> impl Iterator<Item = bool> {
    (0..8 * count).map(|n| !matches!(n % 8, 0 | 7))
}

#[test]
fn an_answering_fax_is_heard_at_every_level_and_frequency_that_v25_allows() {
    for hz in [2_085.0, 2_100.0, 2_115.0] {
        for level_dbm0 in [-6.0, -15.0, -30.0, -41.0] {
            let sent = Sent { hz, level_dbm0, ..Sent::default() };
            let events = heard(&sent.samples(3 * SECOND));
            assert_eq!(events, [Event::Heard(PLAIN), Event::Ended(PLAIN)], "{hz} {level_dbm0}");
        }
    }
}

#[test]
fn phase_reversals_are_heard_at_the_first_one() {
    for (modulation, first, then) in [(0.0, PLAIN, REVERSED), (0.2, ANSAM, ANSAM_REVERSED)] {
        for reversal_s in [0.425, 0.45, 0.475] {
            for hz in [2_085.0, 2_115.0] {
                let reversal_s = Some(reversal_s);
                let sent = Sent { hz, reversal_s, modulation, ..Sent::default() };
                let events = heard(&sent.samples(2 * SECOND));
                let all = [Event::Heard(first), Event::Heard(then), Event::Ended(then)];
                assert_eq!(events, all, "{hz} {reversal_s:?}");
            }
        }
    }
}

#[test]
fn a_modulated_tone_is_a_modem_with_v8() {
    let sent = Sent { modulation: 0.2, noise_dbm0: -35.0, ..Sent::default() };
    let events = heard(&sent.samples(SECOND));
    assert_eq!(events, [Event::Heard(ANSAM), Event::Ended(ANSAM)]);
}

#[test]
fn a_calling_fax_is_heard_once_a_burst_and_other_lengths_are_not() {
    for hz in [1_062.0, 1_100.0, 1_138.0] {
        for on_ms in [430, 500, 570] {
            let events = heard(&bursts(hz, on_ms, 3_000, 2));
            assert_eq!(events, [Event::Heard(Sound::Calling); 2], "{hz} Hz for {on_ms} ms");
        }
    }
    for on_ms in [200, 380, 650, 2_000] {
        assert_eq!(heard(&bursts(1_100.0, on_ms, 1_000, 2)), [], "{on_ms} ms");
    }
    assert_eq!(heard(&bursts(1_000.0, 500, 1_000, 2)), []);
}

#[test]
fn a_preamble_is_heard_after_a_few_flags_and_ends_with_them() {
    let sent = [keyed(flags(37)), vec![0; 3_000]].concat();
    let expected = [Event::Heard(Sound::Preamble), Event::Ended(Sound::Preamble)];
    assert_eq!(heard(&sent), expected);
    // Flags that share a zero.
    let shared = keyed((0..7 * 40).map(|n| n % 7 != 0));
    assert_eq!(heard(&[shared, vec![0; 3_000]].concat()), expected);
}

#[test]
fn what_is_like_a_machine_is_none() {
    // Dial tone, other tones, data of V.21 without flags, noise.
    for hz in [400.0, 1_000.0, 1_004.0, 1_650.0, 1_900.0, 2_000.0, 2_250.0, 2_400.0] {
        assert_eq!(heard(&Sent { hz, ..Sent::default() }.samples(SECOND)), [], "{hz} Hz");
    }
    let mut noise = Noise::new(9);
    assert_eq!(heard(&keyed((0..600).map(|_| noise.next() > 0.0))), []);
    let hiss: Vec<i16> = (0..20 * SECOND).map(|_| (3_000.0 * noise.next()) as i16).collect();
    assert_eq!(heard(&hiss), []);
}

#[test]
fn a_new_call_knows_nothing_of_the_one_before() {
    let mut bank = FaxBank::new();
    let samples = Sent::default().samples(SECOND);
    let rows: Vec<Row> = samples.iter().map(|&sample| Row::splat(f32::from(sample))).collect();
    bank.process(&rows[..6_000], |_, _| ());
    bank.reset(4);
    let mut again = Vec::new();
    bank.process(&rows[6_000..8_400], |lane, event| again.push((lane, event)));
    assert_eq!(again, [(4, Event::Heard(PLAIN))]);
}
