//! Eight channels a register: AVX2.
#![allow(unsafe_code, reason = "instructions of the processor")]

use std::arch::x86_64::*;

use super::{LANES, Lanes, Row, Work};

/// Exists only where the processor has AVX2 and FMA: every `unsafe` here rests on that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

const COUNT: usize = 8;

impl Avx2 {
    /// The instructions, if the processor has them.
    pub(super) fn found() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Does work with them.
    #[inline]
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx2,fma")]
        fn within<W: Work>(lanes: Avx2, work: W) -> W::Output {
            work.run(lanes)
        }
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { within(self, work) }
    }
}

impl Lanes for Avx2 {
    const PARTS: usize = LANES / COUNT;
    type Values = __m256;
    type Mask = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Values {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, row: &Row, part: usize) -> Self::Values {
        let part: &[f32; COUNT] = &row.0.as_chunks().0[part];
        // SAFETY: as in `splat`; the part has eight numbers.
        unsafe { _mm256_loadu_ps(part.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, row: &mut Row, part: usize, values: Self::Values) {
        let part: &mut [f32; COUNT] = &mut row.0.as_chunks_mut().0[part];
        // SAFETY: as in `load`.
        unsafe { _mm256_storeu_ps(part.as_mut_ptr(), values) }
    }

    #[inline(always)]
    fn add(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    fn sqrt(self, a: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_sqrt_ps(a) }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul_sub_from(self, a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn greater(self, a: Self::Values, b: Self::Values) -> Self::Mask {
        // SAFETY: as in `splat`.
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn both(self, a: Self::Mask, b: Self::Mask) -> Self::Mask {
        // SAFETY: as in `splat`.
        unsafe { _mm256_and_ps(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Self::Values, no: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm256_blendv_ps(no, yes, mask) }
    }

    #[inline(always)]
    fn bits(self, mask: Self::Mask) -> u16 {
        // SAFETY: as in `splat`.
        unsafe { _mm256_movemask_ps(mask) as u16 }
    }
}
