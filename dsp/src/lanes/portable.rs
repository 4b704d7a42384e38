//! Four channels a register, in plain Rust: what every processor has.

use super::{LANES, Lanes, Row};

/// Needs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

const COUNT: usize = 4;
type Four = [f32; COUNT];

#[inline(always)]
fn each(a: Four, b: Four, operation: impl Fn(f32, f32) -> f32) -> Four {
    [operation(a[0], b[0]), operation(a[1], b[1]), operation(a[2], b[2]), operation(a[3], b[3])]
}

impl Lanes for Portable {
    const PARTS: usize = LANES / COUNT;
    type Values = Four;
    type Mask = [bool; COUNT];

    #[inline(always)]
    fn splat(self, value: f32) -> Four {
        [value; COUNT]
    }

    #[inline(always)]
    fn load(self, row: &Row, part: usize) -> Four {
        row.0.as_chunks().0[part]
    }

    #[inline(always)]
    fn store(self, row: &mut Row, part: usize, values: Four) {
        row.0.as_chunks_mut().0[part] = values;
    }

    #[inline(always)]
    fn add(self, a: Four, b: Four) -> Four {
        each(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Four, b: Four) -> Four {
        each(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Four, b: Four) -> Four {
        each(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Four, b: Four) -> Four {
        each(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn min(self, a: Four, b: Four) -> Four {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: Four, b: Four) -> Four {
        each(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, a: Four) -> Four {
        a.map(f32::abs)
    }

    #[inline(always)]
    fn sqrt(self, a: Four) -> Four {
        a.map(f32::sqrt)
    }

    // Rounded twice: without the instruction a fused form would be a call.
    #[inline(always)]
    fn mul_add(self, a: Four, b: Four, c: Four) -> Four {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn mul_sub_from(self, a: Four, b: Four, c: Four) -> Four {
        self.sub(c, self.mul(a, b))
    }

    #[inline(always)]
    fn greater(self, a: Four, b: Four) -> Self::Mask {
        std::array::from_fn(|n| a[n] > b[n])
    }

    #[inline(always)]
    fn both(self, a: Self::Mask, b: Self::Mask) -> Self::Mask {
        std::array::from_fn(|n| a[n] && b[n])
    }

    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Four, no: Four) -> Four {
        std::array::from_fn(|n| if mask[n] { yes[n] } else { no[n] })
    }

    #[inline(always)]
    fn bits(self, mask: Self::Mask) -> u16 {
        mask.iter().rev().fold(0, |bits, &bit| bits << 1 | u16::from(bit))
    }
}
