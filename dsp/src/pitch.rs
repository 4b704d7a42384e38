//! The pitch period of a voice: the lag at which a signal is most like itself.

use std::ops::RangeInclusive;

/// A lag and how like the signal is there: 1 is the same shape, 0 is unrelated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lag {
    pub(crate) samples: usize,
    pub(crate) likeness: f32,
}

/// Longest signal in which a lag is looked for.
pub(crate) const SIGNAL_MAX: usize = 512;

/// Finds the lag within `lags` at which the last `window` samples are most like the samples before
/// them, by normalised cross-correlation: first with every second lag and sample, then around the
/// best with all.
///
/// `signal` must hold `window` samples and the largest lag, but no more than [`SIGNAL_MAX`].
pub(crate) fn best_lag(signal: &[f32], window: usize, lags: RangeInclusive<usize>) -> Lag {
    let (first, last) = (*lags.start(), *lags.end());
    debug_assert!(window + last <= signal.len() && signal.len() <= SIGNAL_MAX);
    let mut halved = [0.0; SIGNAL_MAX / 2];
    let halves = (window + last) / 2;
    let tail = &signal[signal.len() - 2 * halves..];
    for (half, pair) in halved.iter_mut().zip(tail.chunks_exact(2)) {
        *half = pair[0] + pair[1];
    }
    let coarse = 2 * strongest(&halved[..halves], window / 2, first / 2..=last / 2).samples;
    let around = coarse.saturating_sub(1).max(first)..=(coarse + 1).clamp(first, last);
    strongest(signal, window, around)
}

/// The lag at which the last `window` samples are most like those before, of all in `lags`.
fn strongest(signal: &[f32], window: usize, lags: RangeInclusive<usize>) -> Lag {
    let start = signal.len() - window;
    let recent = &signal[start..];
    let energy_recent = dot(recent, recent) + FLOOR;
    let mut best = Lag { samples: *lags.start(), likeness: 0.0 };
    let Some(shifted) = signal.get(start - best.samples..signal.len() - best.samples) else {
        return best;
    };
    let mut energy = dot(shifted, shifted);
    for lag in lags {
        let from = start - lag;
        let likeness = dot(recent, &signal[from..from + window])
            / (energy_recent * (energy.max(0.0) + FLOOR)).sqrt();
        if likeness > best.likeness {
            best = Lag { samples: lag, likeness };
        }
        if from > 0 {
            energy += signal[from - 1].powi(2) - signal[from + window - 1].powi(2);
        }
    }
    best
}

/// Keeps digital silence from being divided by.
const FLOOR: f32 = 1.0;

/// Scalar product, in eight lanes side by side.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
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
