//! Percentiles of times.

use serde::{Deserialize, Serialize};

/// Times of single packets, kept whole: percentiles are exact.
#[derive(Debug)]
pub struct Times {
    /// Nanoseconds; longer than 4.29 s counts as 4.29 s.
    samples_ns: Vec<u32>,
}

/// Percentiles of times, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of all are at most this.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of a hundred.
    pub p99_us: f64,
    /// 999 of a thousand.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Times {
    /// An empty set with room for `count`, so that none is made while packets flow.
    pub fn with_capacity(count: usize) -> Self {
        Self { samples_ns: Vec::with_capacity(count) }
    }

    /// Takes one time.
    pub fn push(&mut self, time_ns: u64) {
        self.samples_ns.push(u32::try_from(time_ns).unwrap_or(u32::MAX));
    }

    /// The percentiles by nearest rank; none of no times.
    pub fn percentiles(mut self) -> Option<Percentiles> {
        self.samples_ns.sort_unstable();
        let count = self.samples_ns.len();
        let last = *self.samples_ns.last()?;
        let at = |per_mille: usize| {
            let rank = (count * per_mille).div_ceil(1000).max(1);
            f64::from(self.samples_ns[rank - 1]) / 1000.0
        };
        Some(Percentiles {
            p50_us: at(500),
            p90_us: at(900),
            p99_us: at(990),
            p999_us: at(999),
            max_us: f64::from(last) / 1000.0,
        })
    }
}

/// The median of some figures, the mean of the middle two of an even number; none of none.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut times = Times::with_capacity(1000);
        for us in (1..=1000).rev() {
            times.push(us * 1000);
        }
        let figures = times.percentiles().unwrap();
        assert_eq!(
            figures,
            Percentiles {
                p50_us: 500.0,
                p90_us: 900.0,
                p99_us: 990.0,
                p999_us: 999.0,
                max_us: 1000.0
            }
        );
    }

    #[test]
    fn one_time_is_every_percentile_and_none_has_no_percentiles() {
        let mut times = Times::with_capacity(1);
        times.push(7_000);
        let figures = times.percentiles().unwrap();
        assert_eq!((figures.p50_us, figures.p999_us), (7.0, 7.0));
        assert_eq!(Times::with_capacity(0).percentiles(), None);
    }

    #[test]
    fn a_time_too_long_to_keep_counts_as_the_longest() {
        let mut times = Times::with_capacity(1);
        times.push(u64::MAX);
        assert_eq!(times.percentiles().unwrap().max_us, f64::from(u32::MAX) / 1000.0);
    }

    #[test]
    fn medians_of_odd_even_and_no_figures() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
