//! Sixteen channels side by side.
//!
//! # What it does
//! Telephone channels are many and alike, so the banks of this crate ([`dtmf::DetectorBank`] and
//! others) work on sixteen at once. A [`Row`] has one sample of each of the
//! sixteen; a block is a slice of rows. [`interleave`] and [`deinterleave`] turn channels into rows
//! and back.
//!
//! # How it works
//! A row is one register of AVX-512, two of AVX2, or four of whatever the compiler has. An
//! algorithm is written once over the trait `Lanes`, which has the arithmetic of one register, and
//! compiled once for each [`Width`]; a bank chooses the widest when it is made. A value that stands
//! for an instruction set exists only where the processor has it, so that none is ever used where
//! it would be an illegal instruction.
//!
//! # How to use it
//! ```
//! use trunkline_dsp::lanes::{LANES, Row, Width, deinterleave, interleave};
//!
//! let speech = [[100_i16; 8]; LANES];
//! let channels = std::array::from_fn(|lane| speech[lane].as_slice());
//! let mut rows = [Row::ZERO; 8];
//! interleave(&channels, &mut rows);
//! assert_eq!(rows[0].0[3], 100.0);
//!
//! let mut back = [[0_i16; 8]; LANES];
//! deinterleave(&rows, back.each_mut().map(|channel| channel.as_mut_slice()));
//! assert_eq!(back, speech);
//! println!("{} registers a row", Width::best().registers());
//! ```
//!
//! # Cost
//! The arithmetic of one channel for sixteen. Channels of a bank that are not in use cost as much
//! as those that are.
//!
//! [`dtmf::DetectorBank`]: crate::dtmf::DetectorBank

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
use portable::Portable;

/// Channels of a bank.
pub const LANES: usize = 16;

/// One sample, or one value, of each channel of a bank. Samples are in units of 16 bits linear.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub struct Row(pub [f32; LANES]);

impl Row {
    /// Silence on all channels.
    pub const ZERO: Self = Self([0.0; LANES]);

    /// The same value on all channels.
    pub const fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
}

/// Puts the samples of sixteen channels into rows: as many as the shortest channel and the rows
/// both have. Returns how many.
pub fn interleave(channels: &[&[i16]; LANES], rows: &mut [Row]) -> usize {
    let count = channels.iter().map(|channel| channel.len()).fold(rows.len(), usize::min);
    let channels = channels.map(|channel| &channel[..count]);
    for (n, row) in rows[..count].iter_mut().enumerate() {
        for (value, channel) in row.0.iter_mut().zip(channels) {
            *value = f32::from(channel[n]);
        }
    }
    count
}

/// Takes the samples of sixteen channels out of rows, rounded and limited to 16 bits: as many as
/// the shortest channel and the rows both have. Returns how many.
pub fn deinterleave(rows: &[Row], mut channels: [&mut [i16]; LANES]) -> usize {
    let count = channels.iter().map(|channel| channel.len()).fold(rows.len(), usize::min);
    for (lane, channel) in channels.iter_mut().enumerate() {
        for (sample, row) in channel[..count].iter_mut().zip(rows) {
            *sample = row.0[lane].round_ties_even() as i16; // saturates
        }
    }
    count
}

/// The instructions that a bank works with.
#[derive(Clone, Copy, Debug)]
pub struct Width(Choice);

#[derive(Clone, Copy, Debug)]
enum Choice {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Width {
    /// The widest that this processor has.
    pub fn best() -> Self {
        Self::all().next().unwrap_or(Self(Choice::Portable(Portable)))
    }

    /// All that this processor has, the widest first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = [Avx512::found().map(Choice::Avx512), Avx2::found().map(Choice::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let special = [];
        special.into_iter().flatten().chain([Choice::Portable(Portable)]).map(Self)
    }

    /// How many registers a row takes.
    pub fn registers(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512(_) => Avx512::PARTS,
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2(_) => Avx2::PARTS,
            Choice::Portable(_) => Portable::PARTS,
        }
    }

    /// Does work with these instructions.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2(lanes) => lanes.run(work),
            Choice::Portable(lanes) => work.run(lanes),
        }
    }
}

/// What is compiled once for each [`Width`]. `run` must be `#[inline(always)]`: only within the
/// function that has the instructions are they more than calls.
pub(crate) trait Work {
    /// What comes of it.
    type Output;
    /// Does it.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// The arithmetic of one register, which holds `LANES / PARTS` channels.
pub(crate) trait Lanes: Copy {
    /// Registers that a row takes.
    const PARTS: usize;
    /// A register of numbers.
    type Values: Copy;
    /// A yes or no for each of them.
    type Mask: Copy;

    fn splat(self, value: f32) -> Self::Values;
    /// A part of a row, 0 up to `PARTS`.
    fn load(self, row: &Row, part: usize) -> Self::Values;
    fn store(self, row: &mut Row, part: usize, values: Self::Values);
    fn add(self, a: Self::Values, b: Self::Values) -> Self::Values;
    fn sub(self, a: Self::Values, b: Self::Values) -> Self::Values;
    fn mul(self, a: Self::Values, b: Self::Values) -> Self::Values;
    fn div(self, a: Self::Values, b: Self::Values) -> Self::Values;
    fn min(self, a: Self::Values, b: Self::Values) -> Self::Values;
    fn max(self, a: Self::Values, b: Self::Values) -> Self::Values;
    fn abs(self, a: Self::Values) -> Self::Values;
    fn sqrt(self, a: Self::Values) -> Self::Values;
    /// a · b + c
    fn mul_add(self, a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values;
    /// c − a · b
    fn mul_sub_from(self, a: Self::Values, b: Self::Values, c: Self::Values) -> Self::Values;
    /// a > b; false where either is no number.
    fn greater(self, a: Self::Values, b: Self::Values) -> Self::Mask;
    fn both(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `yes` where the mask is set, `no` elsewhere.
    fn select(self, mask: Self::Mask, yes: Self::Values, no: Self::Values) -> Self::Values;
    /// A bit for each channel of the register, its first the lowest.
    fn bits(self, mask: Self::Mask) -> u16;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each operation on two rows.
    struct Every<'a> {
        a: &'a Row,
        b: &'a Row,
    }

    impl Work for Every<'_> {
        type Output = (Vec<Row>, u16);

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let mut rows = vec![Row::ZERO; 12];
            let mut bits = 0;
            for part in 0..L::PARTS {
                let (a, b) = (l.load(self.a, part), l.load(self.b, part));
                let mask = l.both(l.greater(a, b), l.greater(a, l.splat(1.0)));
                let all = [
                    l.add(a, b),
                    l.sub(a, b),
                    l.mul(a, b),
                    l.div(a, b),
                    l.min(a, b),
                    l.max(a, b),
                    l.abs(a),
                    l.sqrt(l.abs(a)),
                    l.mul_add(a, b, l.splat(0.5)),
                    l.mul_sub_from(a, b, l.splat(0.5)),
                    l.select(mask, a, b),
                    l.splat(7.0),
                ];
                for (row, values) in rows.iter_mut().zip(all) {
                    l.store(row, part, values);
                }
                bits |= l.bits(mask) << (part * LANES / L::PARTS);
            }
            (rows, bits)
        }
    }

    #[test]
    fn every_width_computes_what_one_number_after_the_other_gives() {
        let a = Row(std::array::from_fn(|lane| lane as f32 * 0.75 - 4.0));
        let b = Row(std::array::from_fn(|lane| 3.1 - lane as f32 * 0.5));
        for width in Width::all() {
            let (rows, bits) = width.run(Every { a: &a, b: &b });
            for lane in 0..LANES {
                let (a, b) = (a.0[lane], b.0[lane]);
                let mask = a > b && a > 1.0;
                let expected = [
                    a + b,
                    a - b,
                    a * b,
                    a / b,
                    a.min(b),
                    a.max(b),
                    a.abs(),
                    a.abs().sqrt(),
                    a * b + 0.5,
                    0.5 - a * b,
                    if mask { a } else { b },
                    7.0,
                ];
                for (operation, (row, expected)) in rows.iter().zip(expected).enumerate() {
                    let found = row.0[lane];
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "{width:?} {operation} {found} {expected}"
                    );
                }
                assert_eq!(bits >> lane & 1 == 1, mask, "{width:?}");
            }
        }
    }

    #[test]
    fn channels_come_back_from_rows_as_they_were() {
        let samples: Vec<Vec<i16>> = (0..LANES as i16)
            .map(|lane| (0..20).map(|n| lane * 1_000 - n * 777).collect())
            .collect();
        let mut rows = [Row::ZERO; 20];
        let channels = std::array::from_fn(|lane| &samples[lane][..]);
        assert_eq!(interleave(&channels, &mut rows), 20);
        let mut back = vec![vec![0; 20]; LANES];
        let mut channels = back.iter_mut();
        let channels = std::array::from_fn(|_| channels.next().map(Vec::as_mut_slice).unwrap());
        assert_eq!(deinterleave(&rows, channels), 20);
        assert_eq!(back, samples);
    }

    #[test]
    fn the_shortest_channel_limits_a_block_and_overload_clips() {
        let long = [5_i16; 9];
        let mut channels = [&long[..]; LANES];
        channels[7] = &long[..4];
        let mut rows = [Row::splat(1e6); 6];
        assert_eq!(interleave(&channels, &mut rows), 4);
        let mut out = [[0_i16; 6]; LANES];
        let all = out.each_mut().map(|channel| channel.as_mut_slice());
        assert_eq!(deinterleave(&rows, all), 6);
        assert_eq!(out[7], [5, 5, 5, 5, i16::MAX, i16::MAX]);
    }
}
