//! Stretching: playing a voice a little faster or slower without changing its pitch.
//!
//! # What it does
//! [`shorten`] takes one pitch period (2.5 to 15 ms) out of samples at 8 kHz, [`lengthen`] puts one
//! in. A playout buffer uses them to change its delay, and to follow the sender's clock.
//!
//! # How it works
//! As WSOLA does: of all periods that fit, the one is taken by which shifted the samples are most
//! like themselves by normalised cross-correlation, and the first two such periods are cross-faded
//! into one (or with a copy in between, into three). First and last sample stay as they were, so the samples
//! may be a part of a longer sequence: nothing clicks at the ends.
//!
//! Where even the best period fits badly the change would be heard, and nothing is changed, except
//! in silence below [`SILENCE_DBM0`].
//!
//! # How to use it
//! ```
//! use trunkline_dsp::stretch::{LIKENESS_UNHEARD, lengthen, shorten};
//!
//! // 100 Hz, in a buffer with room for more.
//! let wave = |n: usize| (8_000.0 * (n as f32 * std::f32::consts::TAU / 80.0).sin()) as i16;
//! let mut buffer: Vec<i16> = (0..480).map(wave).collect();
//!
//! let removed = shorten(&mut buffer[..320], 120, LIKENESS_UNHEARD);
//! assert_eq!(removed, 80); // 240 samples are left
//! let inserted = lengthen(&mut buffer, 240, 120, LIKENESS_UNHEARD);
//! assert_eq!(inserted, 80); // and now there are 320 again
//! ```
//! The longest period is half as long as the samples: give 30 ms or more, and a playout that holds
//! less adds what it played last.
//!
//! # Cost
//! About 2 µs a call, whether something is changed or not.

use crate::level::level_of;
use crate::pitch::dot;

/// Shortest change: 2.5 ms.
pub const PERIOD_MIN: usize = 20;
/// Longest change: 15 ms.
pub const PERIOD_MAX: usize = 120;

/// Likeness of two periods above which joining them is not heard: for changes at leisure.
pub const LIKENESS_UNHEARD: f32 = 0.9;
/// Likeness above which it is heard but does not disturb: for changes in a hurry.
pub const LIKENESS_HEARD: f32 = 0.5;
/// Any likeness will do.
pub const LIKENESS_ANY: f32 = -1.0;

/// Samples compared at least, where there are so many: 10 ms.
const COMPARED_MIN: usize = 80;

/// Samples below this level may be changed anywhere.
pub const SILENCE_DBM0: f32 = -48.0;

/// Takes a period of up to `most` samples out of `samples`, if two periods alike by `likeness_min`
/// or more are found; returns its length, 0 if nothing was changed. As many samples at the end of
/// the slice are now without meaning.
pub fn shorten(samples: &mut [i16], most: usize, likeness_min: f32) -> usize {
    let Some(period) = period(samples, most, likeness_min) else {
        return 0;
    };
    for n in 0..period {
        samples[n] = cross_fade(samples[n], samples[n + period], n, period);
    }
    samples.copy_within(2 * period.., period);
    period
}

/// Puts a period of up to `most` samples into the first `length` samples of `buffer`, if two periods
/// alike by `likeness_min` or more and room for it are found; returns its length, 0 if nothing was
/// changed. The samples then are so many more.
pub fn lengthen(buffer: &mut [i16], length: usize, most: usize, likeness_min: f32) -> usize {
    let length = length.min(buffer.len());
    let most = most.min(buffer.len() - length);
    let Some(period) = period(&buffer[..length], most, likeness_min) else {
        return 0;
    };
    buffer.copy_within(period..length, 2 * period);
    // From the second period, which now stands in the third place, back to the first.
    for n in 0..period {
        buffer[period + n] = cross_fade(buffer[2 * period + n], buffer[n], n, period);
    }
    period
}

/// The period at which the first two periods of the samples are most alike.
fn period(samples: &[i16], most: usize, likeness_min: f32) -> Option<usize> {
    let longest = most.min(PERIOD_MAX).min(samples.len() / 2);
    if longest < PERIOD_MIN {
        return None;
    }
    let samples = &samples[..samples.len().min(2 * PERIOD_MAX)];
    let mut signal = [0.0; 2 * PERIOD_MAX];
    let mut energy_up_to = [0.0; 2 * PERIOD_MAX + 1];
    for (n, &sample) in samples.iter().enumerate() {
        signal[n] = f32::from(sample);
        energy_up_to[n + 1] = energy_up_to[n] + f64::from(sample) * f64::from(sample);
    }
    let likeness = |period: usize| {
        // Over less than 10 ms, any piece of a slow wave is like the next.
        let compared = period.max(COMPARED_MIN.min(samples.len() - period));
        let first = energy_up_to[compared] + 1.0;
        let second = energy_up_to[period + compared] - energy_up_to[period] + 1.0;
        let product = dot(&signal[..compared], &signal[period..period + compared]);
        product / (first * second).sqrt() as f32
    };
    let (best, likeness) = (PERIOD_MIN..=longest)
        .map(|period| (period, likeness(period)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    (likeness >= likeness_min || level_of(samples) < SILENCE_DBM0).then_some(best)
}

/// From one sample to another at the `n`-th of `length` places.
fn cross_fade(from: i16, to: i16, n: usize, length: usize) -> i16 {
    let (from, to, n, length) = (i32::from(from), i32::from(to), n as i32, length as i32);
    (from + (to - from) * (n + 1) / (length + 1)) as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::noise::Noise;

    fn voice(period: usize, samples: usize) -> Vec<i16> {
        let sample = |n: usize| {
            let turns = std::f32::consts::TAU * (n % period) as f32 / period as f32;
            5_000.0 * turns.sin() + 2_500.0 * (3.0 * turns + 0.4).sin()
        };
        (0..samples).map(|n| sample(n) as i16).collect()
    }

    fn noise(rms: f32, samples: usize) -> Vec<i16> {
        let mut noise = Noise::new(3);
        (0..samples).map(|_| (rms * noise.next()) as i16).collect()
    }

    #[test]
    fn a_period_less_of_a_voice_is_the_same_voice() {
        for pitch in [40, 57, 80, 111] {
            let original = voice(pitch, 600);
            let mut samples = original.clone();
            let removed = shorten(&mut samples[..400], 120, LIKENESS_UNHEARD);
            assert!(removed > 0 && removed.is_multiple_of(pitch), "{removed} of {pitch}");
            let error = (0..400 - removed).map(|n| samples[n].abs_diff(original[n])).max().unwrap();
            assert!(error < 60, "error {error} at a period of {pitch}");
        }
    }

    #[test]
    fn a_period_more_of_a_voice_is_the_same_voice() {
        for pitch in [40, 57, 80, 111] {
            let original = voice(pitch, 600);
            let mut samples = original.clone();
            let inserted = lengthen(&mut samples, 400, 120, LIKENESS_UNHEARD);
            assert!(inserted > 0 && inserted.is_multiple_of(pitch), "{inserted} of {pitch}");
            let error =
                (0..400 + inserted).map(|n| samples[n].abs_diff(original[n])).max().unwrap();
            assert!(error < 60, "error {error} at a period of {pitch}");
        }
    }

    #[test]
    fn noise_is_changed_only_if_it_is_faint_or_it_must_be() {
        let loud = noise(2_000.0, 400);
        let mut samples = loud.clone();
        assert_eq!(shorten(&mut samples, 120, LIKENESS_HEARD), 0);
        assert_eq!(samples, loud);
        assert!(shorten(&mut samples, 120, LIKENESS_ANY) > 0);
        assert!(shorten(&mut noise(20.0, 400), 120, LIKENESS_UNHEARD) > 0);
    }

    #[test]
    fn a_change_is_never_longer_than_asked_for_or_than_there_is_room() {
        let mut samples = voice(80, 400);
        assert_eq!(shorten(&mut samples, 60, LIKENESS_UNHEARD), 0);
        assert!(shorten(&mut samples, 60, LIKENESS_ANY) <= 60);
        assert_eq!(shorten(&mut samples[..39], 120, LIKENESS_ANY), 0);
        assert_eq!(lengthen(&mut samples, 400, 120, LIKENESS_ANY), 0);
        assert!(lengthen(&mut samples, 370, 120, LIKENESS_ANY) <= 30);
    }

    proptest! {
        #[test]
        fn the_ends_stay_as_they_were(
            mut samples in proptest::collection::vec(any::<i16>(), 0..500),
            most in 0..200_usize,
            room in 0..200_usize,
        ) {
            let original = samples.clone();
            let length = samples.len();
            let removed = shorten(&mut samples, most, LIKENESS_ANY);
            if removed > 0 {
                let kept = length - removed;
                prop_assert_eq!(&samples[removed..kept], &original[2 * removed..]);
            }
            let mut samples = original.clone();
            samples.resize(length + room, 0);
            let inserted = lengthen(&mut samples, length, most, LIKENESS_ANY);
            if inserted > 0 {
                prop_assert_eq!(&samples[..inserted], &original[..inserted]);
                let tail = &samples[2 * inserted..length + inserted];
                prop_assert_eq!(tail, &original[inserted..]);
            }
        }
    }
}
