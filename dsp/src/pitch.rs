//! The pitch period of a voice: the lag at which a signal is most like itself.

use std::ops::RangeInclusive;

/// A lag and how like the signal is there: 1 is the same shape, 0 is unrelated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lag {
    pub(crate) samples: usize,
    pub(crate) likeness: f32,
}

/// Finds the lag within `lags` at which the last `window` samples are most like the samples before
/// them, by normalised cross-correlation: first with every second lag and sample, then around the
/// best with all.
///
/// `signal` must hold `window` samples and the largest lag.
pub(crate) fn best_lag(signal: &[f32], window: usize, lags: RangeInclusive<usize>) -> Lag {
    debug_assert!(signal.len() >= window + lags.end());
    let start = signal.len() - window;
    let recent = &signal[start..];
    let at = |lag: usize, step: usize| -> f32 {
        likeness(recent, &signal[start - lag..start - lag + window], step)
    };
    let best_of = |lags: &mut dyn Iterator<Item = usize>, step: usize| {
        lags.map(|lag| Lag { samples: lag, likeness: at(lag, step) })
            .reduce(|best, next| if next.likeness > best.likeness { next } else { best })
    };
    let (first, last) = (*lags.start(), *lags.end());
    let nothing = Lag { samples: first, likeness: 0.0 };
    let coarse = best_of(&mut lags.step_by(2), 2).unwrap_or(nothing).samples;
    let around = coarse.saturating_sub(1).max(first)..=(coarse + 1).min(last);
    best_of(&mut around.into_iter(), 1).unwrap_or(nothing)
}

/// Normalised cross-correlation of two signals, of every `step`-th sample.
pub(crate) fn likeness(a: &[f32], b: &[f32], step: usize) -> f32 {
    /// Keeps digital silence from being divided by: 0.1 squared, for each sample.
    const FLOOR: f32 = 0.01;
    let (mut dot, mut energy_a, mut energy_b) = (0.0, FLOOR, FLOOR);
    for (&x, &y) in a.iter().zip(b).step_by(step) {
        dot += x * y;
        energy_a += x * x;
        energy_b += y * y;
    }
    dot / (energy_a * energy_b).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_of_a_periodic_signal_is_found_exactly() {
        for period in 41..=119 {
            let wave = |n: usize| {
                let turns = std::f32::consts::TAU * n as f32 / period as f32;
                900.0 * turns.sin() + 500.0 * (2.0 * turns + 1.0).sin()
            };
            let signal: Vec<f32> = (0..390).map(wave).collect();
            let lag = best_lag(&signal, 160, 40..=120);
            // Two periods fit as well as one.
            assert_eq!(lag.samples % period, 0, "{lag:?} for {period}");
            assert!(lag.likeness > 0.99);
        }
    }

    #[test]
    fn silence_is_like_nothing() {
        assert_eq!(best_lag(&[0.0; 390], 160, 40..=120).likeness, 0.0);
    }
}
