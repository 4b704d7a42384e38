//! Tones on the way to the line: nothing to learn from.
//!
//! A tone excites a filter at one frequency only; what it learns there says nothing about others,
//! and what noise does to the rest of it goes unseen. Two or three tones can be predicted from the
//! six samples before them, speech and noise cannot: the part of the power that the best such
//! predictor leaves (by the recursion of Levinson and Durbin) tells them apart.

/// Samples of the past that the predictor sees: enough for three tones.
const ORDER: usize = 6;
/// Part of the power that is left of tones through A-law at most, −23 dB. Of vowels more is left.
const LEFT_MAX: f32 = 0.005;
/// Part of a frame in the averages, about 16 ms.
const PART: f32 = 0.25;
/// Frames between looks: the recursion costs more than the rest of the control.
const FRAMES_BETWEEN: u32 = 4;
/// Looks at tones in a row before it is one: 32 ms.
const LOOKS: u32 = 2;

/// Follows one channel.
#[derive(Clone, Debug)]
pub(super) struct NarrowBand {
    correlations: [f32; 8],
    frames: u32,
    looks: u32,
}

impl NarrowBand {
    /// Nothing was sent.
    pub(super) fn new() -> Self {
        Self { correlations: [0.0; 8], frames: 0, looks: 0 }
    }

    /// Takes a frame's correlations at lags 0 to 7.
    pub(super) fn listen(&mut self, correlations: &[f32; 8]) {
        for (average, &value) in self.correlations.iter_mut().zip(correlations) {
            *average += PART * (value - *average);
        }
        self.frames += 1;
        if self.frames == FRAMES_BETWEEN {
            self.frames = 0;
            let is_tone = left(&self.correlations) < LEFT_MAX;
            self.looks = if is_tone { (self.looks + 1).min(LOOKS) } else { 0 };
        }
    }

    /// Whether there is nothing but tones.
    pub(super) fn is_narrow(&self) -> bool {
        self.looks == LOOKS
    }
}

/// Part of the power that the best predictor leaves; 1 for silence.
fn left(correlations: &[f32; 8]) -> f32 {
    let power = correlations[0];
    if power < 1.0 {
        return 1.0;
    }
    let mut predictor = [0.0_f32; ORDER];
    // A little noise keeps the recursion sound.
    let mut error = power * 1.000_01;
    for order in 0..ORDER {
        let known: f32 = (0..order).map(|n| predictor[n] * correlations[order - n]).sum();
        let reflection = ((correlations[order + 1] - known) / error).clamp(-0.999_9, 0.999_9);
        let before = predictor;
        for n in 0..order {
            predictor[n] -= reflection * before[order - 1 - n];
        }
        predictor[order] = reflection;
        error *= 1.0 - reflection * reflection;
    }
    error / power
}
