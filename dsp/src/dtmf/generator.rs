//! The generator of DTMF digits.
//!
//! # What it does
//! Plays digits at 8 kHz, either timed ([`Generator::send`]: so long a tone, so long a pause, one
//! after the other) or held ([`Generator::press`] until [`Generator::release`]: for RFC 4733,
//! where the duration is known only when the key goes up).
//!
//! # How it works
//! Two oscillators a digit, each begun at phase zero and kept running through all blocks.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::dtmf::{Generator, Levels};
//!
//! let mut keys = Generator::new(Levels::default());
//! keys.send('5', 100, 60).unwrap();
//! let mut block = [0_i16; 160];
//! assert!(keys.fill(&mut block));
//! ```
//!
//! # Cost
//! Eight multiplications a sample while a digit sounds.

use super::frequencies_hz;
use crate::error::DspError;
use crate::level::peak_of_sine;
use crate::oscillator::Oscillator;
use crate::{SAMPLE_RATE_HZ, samples_in};

/// Levels at which digits are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// Level of the low group.
    pub low_dbm0: f32,
    /// Level of the high group above that of the low group.
    pub twist_db: f32,
}

impl Default for Levels {
    /// −10 dBm0, and 2 dB more in the high group: lines attenuate high frequencies.
    fn default() -> Self {
        Self { low_dbm0: -10.0, twist_db: 2.0 }
    }
}

/// Plays digits.
#[derive(Clone, Debug)]
pub struct Generator {
    low_peak: f32,
    high_peak: f32,
    sounding: Option<Sounding>,
    /// Samples of silence left before the next digit.
    pause: usize,
    /// The keys that wait, as a ring: `waiting` of them from `first` on.
    keys: [Key; MAX_WAITING],
    first: usize,
    waiting: usize,
}

/// Digits that may wait in a generator.
const MAX_WAITING: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Key {
    digit: char,
    tone: usize,
    pause: usize,
}

#[derive(Clone, Debug)]
struct Sounding {
    low: Oscillator,
    high: Oscillator,
    /// Samples left; a held key has no number.
    left: Option<usize>,
    pause: usize,
}

impl Generator {
    /// A silent generator.
    pub fn new(levels: Levels) -> Self {
        Self {
            low_peak: peak_of_sine(levels.low_dbm0),
            high_peak: peak_of_sine(levels.low_dbm0 + levels.twist_db),
            sounding: None,
            pause: 0,
            keys: [Key { digit: '0', tone: 0, pause: 0 }; MAX_WAITING],
            first: 0,
            waiting: 0,
        }
    }

    /// Lets a digit follow those sent before. Q.24 wants 40 ms or more of both tone and pause.
    ///
    /// # Errors
    /// [`DspError::UnknownDigit`], or [`DspError::DigitsWaiting`] when 32 digits wait already.
    pub fn send(&mut self, digit: char, tone_ms: u32, pause_ms: u32) -> Result<(), DspError> {
        if frequencies_hz(digit).is_none() {
            return Err(DspError::UnknownDigit(digit));
        }
        if self.waiting == MAX_WAITING {
            return Err(DspError::DigitsWaiting);
        }
        self.keys[(self.first + self.waiting) % MAX_WAITING] =
            Key { digit, tone: samples_in(tone_ms), pause: samples_in(pause_ms) };
        self.waiting += 1;
        Ok(())
    }

    /// Sounds a digit at once and until [`release`](Self::release); digits that waited are
    /// dropped. Pressing again while it sounds begins it anew.
    ///
    /// # Errors
    /// [`DspError::UnknownDigit`].
    pub fn press(&mut self, digit: char) -> Result<(), DspError> {
        let (low, high) = oscillators(digit).ok_or(DspError::UnknownDigit(digit))?;
        self.release();
        self.sounding = Some(Sounding { low, high, left: None, pause: 0 });
        Ok(())
    }

    /// Ends what sounds and forgets what waits.
    pub fn release(&mut self) {
        self.sounding = None;
        self.pause = 0;
        self.waiting = 0;
    }

    /// Whether neither a digit nor a pause is left.
    pub fn is_idle(&self) -> bool {
        self.sounding.is_none() && self.pause == 0 && self.waiting == 0
    }

    /// Overwrites `out` with the next samples, silence where no digit sounds; true unless the
    /// generator was idle.
    pub fn fill(&mut self, mut out: &mut [i16]) -> bool {
        let busy = !self.is_idle();
        while !out.is_empty() {
            let count = if self.pause > 0 {
                let count = self.pause.min(out.len());
                out[..count].fill(0);
                self.pause -= count;
                count
            } else if let Some(sounding) = &mut self.sounding {
                let count = sounding.left.unwrap_or(usize::MAX).min(out.len());
                for sample in &mut out[..count] {
                    let sum =
                        self.low_peak * sounding.low.next() + self.high_peak * sounding.high.next();
                    *sample = sum.round() as i16; // saturates
                }
                sounding.left = sounding.left.map(|left| left - count);
                if sounding.left == Some(0) {
                    self.pause = sounding.pause;
                    self.sounding = None;
                }
                count
            } else if self.waiting > 0 {
                self.take_next();
                0
            } else {
                out.fill(0);
                out.len()
            };
            out = &mut out[count..];
        }
        busy
    }

    fn take_next(&mut self) {
        let key = self.keys[self.first];
        self.first = (self.first + 1) % MAX_WAITING;
        self.waiting -= 1;
        self.sounding = oscillators(key.digit).map(|(low, high)| Sounding {
            low,
            high,
            left: Some(key.tone),
            pause: key.pause,
        });
    }
}

impl Default for Generator {
    fn default() -> Self {
        Self::new(Levels::default())
    }
}

fn oscillators(digit: char) -> Option<(Oscillator, Oscillator)> {
    let (low_hz, high_hz) = frequencies_hz(digit)?;
    Some((Oscillator::new(low_hz, SAMPLE_RATE_HZ), Oscillator::new(high_hz, SAMPLE_RATE_HZ)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::level_of;

    #[test]
    fn digits_follow_one_another_with_the_pauses_asked_for() {
        let mut generator = Generator::default();
        generator.send('1', 50, 40).unwrap();
        generator.send('d', 60, 0).unwrap();
        let mut samples = [0; 1_600];
        for block in samples.chunks_mut(7) {
            generator.fill(block);
        }
        assert!(level_of(&samples[..400]) > -8.0);
        assert_eq!(samples[400..720], [0; 320]);
        assert!(level_of(&samples[720..1_200]) > -8.0);
        assert_eq!(samples[1_200..], [0; 400]);
        assert!(generator.is_idle());
    }

    #[test]
    fn a_pressed_digit_sounds_until_it_is_released() {
        let mut generator = Generator::default();
        generator.press('#').unwrap();
        let mut samples = [0; 8_000];
        assert!(generator.fill(&mut samples));
        // −10 dBm0 and −8 dBm0 together.
        assert!((level_of(&samples) + 5.88).abs() < 0.05);
        generator.release();
        assert!(!generator.fill(&mut samples));
        assert_eq!(samples, [0; 8_000]);
    }

    #[test]
    fn what_is_no_digit_and_what_is_too_much_are_refused() {
        let mut generator = Generator::default();
        assert!(matches!(generator.press('x'), Err(DspError::UnknownDigit('x'))));
        for _ in 0..MAX_WAITING {
            generator.send('0', 40, 40).unwrap();
        }
        assert!(matches!(generator.send('0', 40, 40), Err(DspError::DigitsWaiting)));
    }
}
