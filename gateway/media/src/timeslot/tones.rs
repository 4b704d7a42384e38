//! Digits of the RTP side as tones for the line.

use std::collections::VecDeque;

use trunkline_dsp::dtmf::{Generator, Levels};
use trunkline_rtp::telephone_event::Digit;

/// Digits that can wait for the one that sounds.
const WAITING: usize = 32;

/// A tone lasts at least this long: Q.24 lets receivers ignore what is shorter. In samples.
const TONE_MIN: u32 = 50 * 8;

/// Silence after a tone, so that two of the same digit stay two. In samples.
const PAUSE: u32 = 50 * 8;

/// Plays digits over what the line would hear.
#[derive(Debug)]
pub(super) struct DigitTones {
    generator: Generator,
    sounding: Option<Sounding>,
    pause: u32,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    digit: Digit,
    /// Known when the digit has ended, in samples.
    length: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Sounding {
    played: u32,
    length: Option<u32>,
}

impl DigitTones {
    pub(super) fn new() -> Self {
        Self {
            generator: Generator::new(Levels::default()),
            sounding: None,
            pause: 0,
            waiting: VecDeque::with_capacity(WAITING),
        }
    }

    /// A digit begins at the RTP side.
    pub(super) fn started(&mut self, digit: Digit) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(Waiting { digit, length: None });
        }
    }

    /// The digit that began last has ended.
    pub(super) fn ended(&mut self, duration_ms: u32) {
        let length = Some(duration_ms.saturating_mul(8).max(TONE_MIN));
        match (self.waiting.back_mut(), &mut self.sounding) {
            (Some(waiting), _) => waiting.length = length,
            (None, Some(sounding)) => sounding.length = length,
            (None, None) => {}
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.sounding.is_some() || self.pause > 0 || !self.waiting.is_empty()
    }

    /// Overwrites the beginning of `out`; how many samples, less than all when it is over.
    pub(super) fn fill(&mut self, out: &mut [i16]) -> usize {
        let mut done = 0;
        while done < out.len() {
            let rest = &mut out[done..];
            let Some(sounding) = &mut self.sounding else {
                if self.pause > 0 {
                    let samples = rest.len().min(self.pause as usize);
                    rest[..samples].fill(0);
                    self.pause -= samples as u32;
                    done += samples;
                    continue;
                }
                let Some(next) = self.waiting.pop_front() else { break };
                // All sixteen events are digits the generator knows.
                if self.generator.press(next.digit.symbol()).is_ok() {
                    self.sounding = Some(Sounding { played: 0, length: next.length });
                }
                continue;
            };
            let left = sounding.length.map_or(u32::MAX, |l| l.saturating_sub(sounding.played));
            let samples = rest.len().min(left as usize);
            self.generator.fill(&mut rest[..samples]);
            sounding.played = sounding.played.saturating_add(samples as u32);
            done += samples;
            if sounding.length.is_some_and(|length| sounding.played >= length) {
                self.generator.release();
                self.sounding = None;
                self.pause = PAUSE;
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(symbol: char) -> Digit {
        Digit::try_from(symbol).unwrap()
    }

    fn lengths(tones: &mut DigitTones, blocks: usize) -> Vec<usize> {
        // Runs of tone, in samples.
        let mut runs = vec![0];
        for _ in 0..blocks {
            let mut block = [0; 8];
            let filled = tones.fill(&mut block);
            let sounds = filled > 0 && block.iter().any(|sample| sample.abs() > 10);
            match (sounds, runs.last_mut()) {
                (true, Some(last)) => *last += filled,
                (false, Some(last)) if *last > 0 => runs.push(0),
                _ => {}
            }
        }
        runs.retain(|run| *run > 0);
        runs
    }

    #[test]
    fn tone_lasts_as_long_as_the_key_was_pressed() {
        let mut tones = DigitTones::new();
        tones.started(digit('5'));
        assert_eq!(lengths(&mut tones, 50), [400]);
        tones.ended(100);
        assert_eq!(lengths(&mut tones, 200), [400]);
        assert!(!tones.is_active());
    }

    #[test]
    fn digits_that_come_at_once_sound_one_after_the_other() {
        let mut tones = DigitTones::new();
        for _ in 0..3 {
            tones.started(digit('1'));
            tones.ended(10);
        }
        assert_eq!(lengths(&mut tones, 500), [400, 400, 400]);
        assert!(!tones.is_active());
    }
}
