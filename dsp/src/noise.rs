//! White noise that is the same in each run.

/// White noise, evenly distributed, with mean square 1 (a linear congruential generator).
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    state: u32,
}

impl Noise {
    /// Noise that this seed determines.
    pub(crate) fn new(seed: u32) -> Self {
        Self { state: seed }
    }

    /// The next sample, between ±√3.
    #[inline]
    pub(crate) fn next(&mut self) -> f32 {
        const SCALE: f32 = 1.732_050_8 / 2_147_483_648.0;
        // Constants of Numerical Recipes; the upper bits are good enough for noise.
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.state as i32 as f32 * SCALE
    }
}
