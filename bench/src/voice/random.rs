//! Random numbers that a seed names.

/// A generator by Steele, Lea and Flood (SplitMix, 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The generator of a seed and of one purpose.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self(seed.wrapping_mul(0x1_0000_01B3) ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Any number.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Evenly from 0 to 1, without 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from `low` to `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    /// Exponential, with this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }

    /// Gamma with shape 2: the sum of two exponentials of this mean.
    pub(super) fn gamma_2(&mut self, mean: f64) -> f64 {
        self.exponential(mean) + self.exponential(mean)
    }

    /// Pareto, from 0 on: many small, few very large.
    pub(super) fn pareto(&mut self, shape: f64) -> f64 {
        (1.0 - self.share()).powf(-1.0 / shape) - 1.0
    }

    /// Laplace: exponential to both sides.
    pub(super) fn laplace(&mut self, scale: f64) -> f64 {
        let size = self.exponential(scale);
        if self.share() < 0.5 { -size } else { size }
    }
}
