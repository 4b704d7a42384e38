//! Tones of the network: dial tone, ring-back, busy and what else a country has.
//!
//! # What it does
//! A tone is data: [`ToneSpec`] lists steps, each with a duration and the components that sound
//! in it, and says where to go on after the last. [`ToneGenerator`] plays it.
//!
//! # How it works
//! Each component is an oscillator, optionally modulated in amplitude by a second. Its level is
//! the mean power of the component, modulation included. Oscillators keep their phase through
//! silence, and steps are counted in samples, so a cadence never drifts.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::tone::{ToneGenerator, japan};
//!
//! let mut ring_back = ToneGenerator::new(&japan::ring_back());
//! let mut block = [0_i16; 160];
//! ring_back.fill(&mut block);
//! assert!(block.iter().any(|&sample| sample != 0));
//! ```
//! [`Country`] has the tones of countries; a configuration may change level or cadence of any.
//!
//! # Cost
//! Eight multiplications a component and sample; nothing in silence. `new` allocates, `fill` does
//! not.

mod country;

pub use country::{Country, Meaning, Pattern};

use crate::SAMPLE_RATE_HZ;
use crate::level;
use crate::oscillator::Oscillator;

/// A tone with its cadence.
#[derive(Clone, Debug, PartialEq)]
pub struct ToneSpec {
    /// What sounds one after the other.
    pub steps: Vec<Step>,
    /// The step that follows the last; with `None` the tone ends there.
    pub repeat_from: Option<usize>,
}

/// A part of a cadence.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How long it lasts; `None` is for ever.
    pub duration_ms: Option<u32>,
    /// What sounds together; none is silence.
    pub components: Vec<Component>,
}

/// A sine of a tone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Its frequency.
    pub frequency_hz: f32,
    /// Its mean power.
    pub level_dbm0: f32,
    /// How its amplitude moves, if it does.
    pub modulation: Option<Modulation>,
}

/// Amplitude modulation by a sine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modulation {
    /// Frequency of the modulation.
    pub frequency_hz: f32,
    /// Depth: 0 is none, 1 reaches down to silence.
    pub depth: f32,
}

impl ToneSpec {
    /// One component without end.
    pub fn continuous(component: Component) -> Self {
        let steps = vec![Step { duration_ms: None, components: vec![component] }];
        Self { steps, repeat_from: None }
    }

    /// One component interrupted for ever.
    pub fn interrupted(component: Component, on_ms: u32, off_ms: u32) -> Self {
        let steps = vec![
            Step { duration_ms: Some(on_ms), components: vec![component] },
            Step { duration_ms: Some(off_ms), components: Vec::new() },
        ];
        Self { steps, repeat_from: Some(0) }
    }
}

/// The tones of Japan, for those who need no other country's.
pub mod japan {
    use super::{Country, Meaning, ToneSpec};

    fn tone(meaning: Meaning) -> ToneSpec {
        country().pattern(meaning).spec()
    }

    fn country() -> &'static Country {
        Country::of("JP").unwrap_or(&Country::all()[0])
    }

    /// 400 Hz: dial.
    pub fn dial() -> ToneSpec {
        tone(Meaning::Dial)
    }

    /// 400 Hz modulated by 16 Hz, 1 s of 3 s: the called telephone rings.
    pub fn ring_back() -> ToneSpec {
        tone(Meaning::RingBack)
    }

    /// 400 Hz, 0.5 s of 1 s: the called party is engaged.
    pub fn busy() -> ToneSpec {
        tone(Meaning::Busy)
    }

    /// The same sound as [`busy`]: no path through the network.
    pub fn congestion() -> ToneSpec {
        tone(Meaning::Congestion)
    }
}

/// Plays a tone at 8 kHz.
#[derive(Clone, Debug)]
pub struct ToneGenerator {
    steps: Vec<Playing>,
    repeat_from: Option<usize>,
    current: usize,
    /// Samples left of the current step.
    left: u64,
}

impl ToneGenerator {
    /// A generator at the beginning of the tone.
    pub fn new(spec: &ToneSpec) -> Self {
        let steps: Vec<_> = spec.steps.iter().map(Playing::new).collect();
        // A cycle without duration would be searched for ever: it is silence.
        let cycle = spec.repeat_from.and_then(|from| steps.get(from..)).unwrap_or_default();
        let repeat_from = spec.repeat_from.filter(|_| cycle.iter().any(|step| step.samples > 0));
        let left = steps.first().map_or(0, |step| step.samples);
        Self { steps, repeat_from, current: 0, left }
    }

    /// Overwrites `out` with the next samples; silence after the end.
    pub fn fill(&mut self, mut out: &mut [i16]) {
        while !out.is_empty() {
            if self.left == 0 && !self.advance() {
                out.fill(0);
                return;
            }
            let count = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let (now, later) = out.split_at_mut(count);
            self.steps[self.current].fill(now);
            self.left -= count as u64;
            out = later;
        }
    }

    /// Whether the tone has ended; an endless tone never has.
    pub fn is_over(&self) -> bool {
        self.left == 0 && self.current + 1 >= self.steps.len() && self.repeat_from.is_none()
    }

    /// Goes to the next step that lasts; false at the end.
    fn advance(&mut self) -> bool {
        loop {
            if self.current + 1 < self.steps.len() {
                self.current += 1;
            } else if let Some(from) = self.repeat_from {
                self.current = from;
            } else {
                return false;
            }
            self.left = self.steps[self.current].samples;
            if self.left > 0 {
                return true;
            }
        }
    }
}

/// A step in the making.
#[derive(Clone, Debug)]
struct Playing {
    samples: u64,
    voices: Vec<Voice>,
}

impl Playing {
    fn new(step: &Step) -> Self {
        let samples = step
            .duration_ms
            .map_or(u64::MAX, |ms| u64::from(ms) * u64::from(SAMPLE_RATE_HZ) / 1_000);
        Self { samples, voices: step.components.iter().map(Voice::new).collect() }
    }

    fn fill(&mut self, out: &mut [i16]) {
        if self.voices.is_empty() {
            out.fill(0);
            return;
        }
        for sample in out {
            let sum: f32 = self.voices.iter_mut().map(Voice::next).sum();
            *sample = sum.round() as i16; // `as` saturates: an overload clips as on the line
        }
    }
}

/// A component in the making.
#[derive(Clone, Debug)]
struct Voice {
    carrier: Oscillator,
    peak: f32,
    modulation: Option<(Oscillator, f32)>,
}

impl Voice {
    fn new(component: &Component) -> Self {
        let depth = component.modulation.map_or(0.0, |modulation| modulation.depth);
        Self {
            carrier: Oscillator::new(component.frequency_hz, SAMPLE_RATE_HZ),
            // Modulation by a sine adds half the square of its depth to the power.
            peak: level::peak_of_sine(component.level_dbm0) / (1.0 + depth * depth / 2.0).sqrt(),
            modulation: component.modulation.map(|modulation| {
                (Oscillator::new(modulation.frequency_hz, SAMPLE_RATE_HZ), modulation.depth)
            }),
        }
    }

    fn next(&mut self) -> f32 {
        let sample = self.peak * self.carrier.next();
        match &mut self.modulation {
            Some((oscillator, depth)) => sample * (1.0 + *depth * oscillator.next()),
            None => sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(spec: &ToneSpec, seconds: usize) -> Vec<i16> {
        let mut samples = vec![0; seconds * 8_000];
        let mut generator = ToneGenerator::new(spec);
        // Odd blocks: the cadence must not depend on them.
        samples.chunks_mut(37).for_each(|block| generator.fill(block));
        samples
    }

    fn rising_zero_crossings(samples: &[i16]) -> usize {
        samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count()
    }

    #[test]
    fn dial_tone_of_japan_is_400_hz_at_minus_10_dbm0() {
        let samples = played(&japan::dial(), 10);
        assert!(rising_zero_crossings(&samples).abs_diff(4_000) <= 1);
        assert!((level::level_of(&samples) + 10.0).abs() < 0.01);
    }

    #[test]
    fn ring_back_of_japan_sounds_one_second_in_three_and_trembles_at_16_hz() {
        let samples = played(&japan::ring_back(), 6);
        for cycle in samples.chunks(24_000) {
            assert!((level::level_of(&cycle[..8_000]) + 10.0).abs() < 0.1);
            assert!(cycle[8_000..].iter().all(|&sample| sample == 0));
        }
        // Fullest after a quarter of the 62.5 ms, faintest after three quarters.
        let (full, faint) =
            (level::level_of(&samples[85..165]), level::level_of(&samples[335..415]));
        assert!(full - faint > 15.0, "{full} against {faint} dBm0");
    }

    #[test]
    fn busy_tone_of_japan_alternates_each_half_second() {
        let samples = played(&japan::busy(), 3);
        for (half, block) in samples.chunks(4_000).enumerate() {
            assert_eq!(block.iter().any(|&sample| sample != 0), half % 2 == 0);
        }
        assert_eq!(japan::congestion(), japan::busy());
    }

    #[test]
    fn a_tone_that_does_not_repeat_ends_in_silence() {
        let component = Component { frequency_hz: 950.0, level_dbm0: -10.0, modulation: None };
        let step = Step { duration_ms: Some(330), components: vec![component] };
        let spec = ToneSpec { steps: vec![step], repeat_from: None };
        let mut generator = ToneGenerator::new(&spec);
        let mut block = [0; 2_640];
        generator.fill(&mut block);
        assert!(generator.is_over());
        generator.fill(&mut block);
        assert_eq!(block, [0; 2_640]);
    }

    #[test]
    fn a_cadence_without_duration_is_silence_and_not_a_loop() {
        let step = Step { duration_ms: Some(0), components: Vec::new() };
        for repeat_from in [None, Some(0), Some(7)] {
            let spec = ToneSpec { steps: vec![step.clone(); 2], repeat_from };
            let mut block = [1; 16];
            ToneGenerator::new(&spec).fill(&mut block);
            assert_eq!(block, [0; 16]);
        }
        let nothing = ToneSpec { steps: Vec::new(), repeat_from: Some(0) };
        assert!(ToneGenerator::new(&nothing).is_over());
    }
}
