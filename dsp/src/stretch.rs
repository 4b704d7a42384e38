//! Stretching: playing a voice a little faster or slower without changing its pitch.
//!
//! # What it does
//! A playout buffer changes its delay, and follows the sender's clock, by leaving out samples or
//! putting some in. In a pause of the speech [`cut`] and [`extend`] do that by any number of samples.
//! Within speech [`shorten`] takes out one pitch period (2.5 to 15 ms).
//!
//! # How it works
//! [`cut`] and [`extend`] cross-fade for 5 ms from the samples before the place to those behind it;
//! background is as it was.
//!
//! [`shorten`] does as WSOLA does: of all periods that fit, the one is taken by which shifted the
//! samples are most like themselves by normalised cross-correlation, and the first two such periods are
//! cross-faded into one. Where even the best period fits badly the change would be heard, and nothing is
//! changed, except in silence below [`SILENCE_DBM0`].
//!
//! First and last sample stay as they were, so the samples may be a part of a longer sequence: nothing
//! clicks at the ends.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::stretch::{LIKENESS_HEARD, cut, extend, shorten};
//!
//! // 100 Hz, in a buffer with room for more.
//! let wave = |n: usize| (8_000.0 * (n as f32 * std::f32::consts::TAU / 80.0).sin()) as i16;
//! let mut buffer: Vec<i16> = (0..480).map(wave).collect();
//!
//! let removed = shorten(&mut buffer[..320], 120, LIKENESS_HEARD);
//! assert_eq!(removed, 80); // 240 samples are left
//! assert_eq!(extend(&mut buffer, 240, 100), 100); // 340
//! assert_eq!(cut(&mut buffer[..340], 20), 20); // 320
//! ```
//! The longest period is half as long as the samples: give 30 ms or more, and a playout that holds
//! less adds what it played last.
//!
//! # Cost
//! About 2 µs for [`shorten`], whether something is changed or not; a copy for the others.

use crate::level::level_of;
use crate::pitch::dot;

/// Shortest change: 2.5 ms.
pub const PERIOD_MIN: usize = 20;
/// Longest change: 15 ms.
pub const PERIOD_MAX: usize = 120;

/// Likeness of two periods above which joining them is heard but does not disturb.
pub const LIKENESS_HEARD: f32 = 0.5;

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

/// Samples over which the ends of a [`cut`] or an [`extend`]ed piece are cross-faded: 5 ms.
const SEAM: usize = 40;

/// Takes `count` samples out of `samples`, or as many as can be, wherever they are: for background
/// without a voice. Returns how many; as many samples at the end of the slice are now without
/// meaning.
pub fn cut(samples: &mut [i16], count: usize) -> usize {
    let count = count.min(samples.len().saturating_sub(SEAM));
    if count == 0 {
        return 0;
    }
    for n in 0..SEAM {
        samples[n] = cross_fade(samples[n], samples[n + count], n, SEAM);
    }
    samples.copy_within(SEAM + count.., SEAM);
    count
}

/// Puts `count` samples into the first `length` samples of `buffer`, or as many as can be, wherever
/// they are: for background without a voice. Returns how many; the samples then are so many more.
pub fn extend(buffer: &mut [i16], length: usize, count: usize) -> usize {
    let length = length.min(buffer.len());
    let room = buffer.len() - length;
    let count = count.min(room).min(length.saturating_sub(SEAM));
    if count == 0 {
        return 0;
    }
    // The last samples are heard again, and where they begin anew there is a seam. Those that lead into
    // it have moved along, by `count`.
    let seam = length - SEAM;
    buffer.copy_within(seam - count..length, seam);
    for n in seam..length {
        buffer[n] = cross_fade(buffer[n + count], buffer[n], n - seam, SEAM);
    }
    count
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
            let removed = shorten(&mut samples[..400], 120, 0.9);
            assert!(removed > 0 && removed.is_multiple_of(pitch), "{removed} of {pitch}");
            let error = (0..400 - removed).map(|n| samples[n].abs_diff(original[n])).max().unwrap();
            assert!(error < 60, "error {error} at a period of {pitch}");
        }
    }

    #[test]
    fn noise_is_shortened_only_if_it_is_faint() {
        let loud = noise(2_000.0, 400);
        let mut samples = loud.clone();
        assert_eq!(shorten(&mut samples, 120, LIKENESS_HEARD), 0);
        assert_eq!(samples, loud);
        assert!(shorten(&mut noise(20.0, 400), 120, LIKENESS_HEARD) > 0);
    }

    #[test]
    fn background_is_cut_and_extended_by_any_length_and_stays_as_loud() {
        for count in [1, 20, 75, 120] {
            let mut samples = noise(100.0, 480);
            let before = level_of(&samples[..320]);
            assert_eq!(extend(&mut samples, 320, count), count);
            assert!((level_of(&samples[..320 + count]) - before).abs() < 1.0);
            assert_eq!(cut(&mut samples[..320 + count], count), count);
            assert!((level_of(&samples[..320]) - before).abs() < 1.0);
        }
    }

    #[test]
    fn a_change_is_never_longer_than_asked_for_or_than_there_is_room() {
        let mut samples = voice(80, 400);
        assert_eq!(shorten(&mut samples, 60, 0.9), 0);
        assert!(shorten(&mut samples, 60, -1.0) <= 60);
        assert_eq!(shorten(&mut samples[..39], 120, -1.0), 0);
        assert_eq!(cut(&mut samples[..SEAM], 10), 0);
        assert_eq!(cut(&mut samples[..160], 1_000), 160 - SEAM);
        assert_eq!(extend(&mut samples, 400, 10), 0);
        assert_eq!(extend(&mut samples, 370, 120), 30);
        assert_eq!(extend(&mut samples, SEAM, 10), 0);
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
            let removed = shorten(&mut samples, most, -1.0);
            if removed > 0 {
                let kept = length - removed;
                prop_assert_eq!(&samples[removed..kept], &original[2 * removed..]);
            }
            let mut samples = original.clone();
            let removed = cut(&mut samples, most);
            if removed > 0 {
                prop_assert_eq!(&samples[SEAM..length - removed], &original[SEAM + removed..]);
            }
            let mut samples = original.clone();
            samples.resize(length + room, 0);
            let inserted = extend(&mut samples, length, most);
            if inserted > 0 {
                prop_assert_eq!(&samples[..length - SEAM], &original[..length - SEAM]);
                prop_assert_eq!(&samples[length..length + inserted], &original[length - inserted..]);
            }
        }
    }
}
