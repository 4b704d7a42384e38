//! Sixteen channels a register: AVX-512.
#![allow(unsafe_code, reason = "instructions of the processor")]

use std::arch::x86_64::*;

use super::{LANES, Lanes, Row, Work};

/// Exists only where the processor has AVX-512 (F, BW, VL, DQ): every `unsafe` here rests on that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

const COUNT: usize = 16;

impl Avx512 {
    /// The instructions, if the processor has them.
    pub(super) fn found() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Self(()))
    }

    /// Does work with them.
    #[inline]
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
        fn within<W: Work>(lanes: Avx512, work: W) -> W::Output {
            work.run(lanes)
        }
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { within(self, work) }
    }
}

impl Lanes for Avx512 {
    const PARTS: usize = LANES / COUNT;
    type Values = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Values {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, row: &Row, part: usize) -> Self::Values {
        assert!(part == 0);
        // SAFETY: as in `splat`; a row has sixteen numbers and is aligned to as many.
        unsafe { _mm512_load_ps(row.0.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, row: &mut Row, part: usize, values: Self::Values) {
        assert!(part == 0);
        // SAFETY: as in `load`.
        unsafe { _mm512_store_ps(row.0.as_mut_ptr(), values) }
    }

    #[inline(always)]
    fn add(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: Self::Values, b: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn sqrt(self, a: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_sqrt_ps(a) }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul_sub_from(self, a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn greater(self, a: Self::Values, b: Self::Values) -> Self::Mask {
        // SAFETY: as in `splat`.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }

    #[inline(always)]
    fn both(self, a: Self::Mask, b: Self::Mask) -> Self::Mask {
        a & b
    }

    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Self::Values, no: Self::Values) -> Self::Values {
        // SAFETY: as in `splat`.
        unsafe { _mm512_mask_blend_ps(mask, no, yes) }
    }

    #[inline(always)]
    fn bits(self, mask: Self::Mask) -> u16 {
        mask
    }
}
