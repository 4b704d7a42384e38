//! Two adaptive filters a channel that model the echo path: one that learns, one that is trusted.
//!
//! Eight samples at a time. The filter that learns is an improved proportionate NLMS (Benesty and
//! Gay, 2002): a tap's step is half the same for all, half in proportion to what its group of
//! eight taps has learned, so that it converges as if the path were only as long as its echo.
//! A block computes eight outputs with the coefficients as they were, and then corrects each error
//! by what the steps of the samples before it in the block would have changed (fast exact LMS,
//! Benesty and Duhamel, 1992); so each coefficient is loaded once for eight samples, and the result
//! is that of steps sample by sample. The correction needs the input's correlation at lags 0 to 7
//! weighted by the taps' gains: each block of input keeps its own, and as gains belong to groups of
//! eight taps, a sum over these gives the weighted one.

use super::BLOCK;
use crate::lanes::{Lanes, Row, Width, Work};

/// Rows of a block, of a group of taps, and of correlations at so many lags.
pub(super) type Eight = [Row; BLOCK];

const EIGHT_ZEROS: Eight = [Row::ZERO; BLOCK];

/// The part of the gains that is the same for all taps.
const UNIFORM: f32 = 0.5;

/// Root of the summed squares of all groups' taps, below which nothing was learned yet.
const LEARNED_MIN: f32 = 1e-5;

/// Power of the input a tap, below which steps get smaller: −41 dBm0.
const REGULARISATION: f32 = 20_000.0;

/// Less input than this teaches nothing, −50 dBm0: the idle noise of A-law is a constant, of which
/// a filter would learn a gain at 0 Hz.
const POWER_MIN: f32 = 2_600.0;

/// Blocks of input beyond the tail: with more of them the history is moved more rarely.
const SPARE_BLOCKS: usize = 32;

/// One in so many groups has its gain renewed each block.
const RENEWAL: usize = 4;

/// The filters of sixteen channels.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    /// Taps of the filter that learns, by delay, in groups of eight.
    learning: Vec<Eight>,
    /// Taps of the filter that is trusted.
    trusted: Vec<Eight>,
    /// Root of the sum of the squares of a group's taps, and the gain of each of them.
    magnitudes: Vec<Row>,
    gains: Vec<Row>,
    /// Which quarter of the gains is renewed next.
    renewing: usize,
    /// The input, and its correlation at lags 0 to 7 in each block; `last` is the present block.
    input: Vec<Eight>,
    correlations: Vec<Eight>,
    last: usize,
    /// Weighted correlations at the end of the block before.
    weighted: Eight,
}

/// What a block of input made of a block from the line.
pub(super) struct Cancelled<'a> {
    /// The line's samples less the echo, by the filter that learns.
    pub(super) learning: &'a mut Eight,
    /// The same by the filter that is trusted.
    pub(super) trusted: &'a mut Eight,
}

impl Filters {
    /// Filters without an echo of so many groups of eight taps.
    pub(super) fn new(groups: usize) -> Self {
        let blocks = groups + 1 + SPARE_BLOCKS;
        Self {
            learning: vec![EIGHT_ZEROS; groups],
            trusted: vec![EIGHT_ZEROS; groups],
            magnitudes: vec![Row::ZERO; groups],
            gains: vec![Row::splat(1.0 / (groups * BLOCK) as f32); groups],
            renewing: 0,
            input: vec![EIGHT_ZEROS; blocks],
            correlations: vec![EIGHT_ZEROS; blocks],
            last: groups,
            weighted: EIGHT_ZEROS,
        }
    }

    /// Takes the next block sent to the line and the one that came from it, cancels with both
    /// filters, and lets the one learn with steps of this size, 0 to 1.
    #[inline]
    pub(super) fn cancel(
        &mut self,
        width: Width,
        far: &Eight,
        near: &Eight,
        step: &Row,
        cancelled: Cancelled<'_>,
    ) {
        self.advance(far);
        width.run(Cancel { filters: self, near, step, cancelled });
    }

    /// Correlations of the present block of input at lags 0 to 7.
    pub(super) fn correlations(&self) -> &Eight {
        &self.correlations[self.last]
    }

    /// On the channels of `lanes`, a bit each, trusts what was learned.
    pub(super) fn trust(&mut self, lanes: u16) {
        copy(&self.learning, &mut self.trusted, lanes);
    }

    /// On the channels of `lanes`, a bit each, goes back to what is trusted.
    pub(super) fn go_back(&mut self, lanes: u16) {
        copy(&self.trusted, &mut self.learning, lanes);
    }

    /// On the channels of `lanes`, a bit each, forgets what was sent too: a new call.
    pub(super) fn forget(&mut self, lanes: u16) {
        self.forget_echo(lanes);
        let history = self.input.iter_mut().chain(&mut self.correlations).flatten();
        for row in history.chain(&mut self.weighted) {
            each(lanes, |lane| row.0[lane] = 0.0);
        }
    }

    /// On the channels of `lanes`, a bit each, forgets the echo path.
    pub(super) fn forget_echo(&mut self, lanes: u16) {
        let taps = self.learning.iter_mut().chain(&mut self.trusted).flatten();
        for row in taps.chain(&mut self.magnitudes) {
            each(lanes, |lane| row.0[lane] = 0.0);
        }
        let uniform = 1.0 / (self.gains.len() * BLOCK) as f32;
        for row in &mut self.gains {
            each(lanes, |lane| row.0[lane] = uniform);
        }
    }

    /// Puts the next block of input in its place.
    fn advance(&mut self, far: &Eight) {
        self.last += 1;
        if self.last == self.input.len() {
            let groups = self.learning.len();
            let kept = self.last - groups..self.last;
            self.input.copy_within(kept.clone(), 0);
            self.correlations.copy_within(kept, 0);
            self.last = groups;
        }
        self.input[self.last] = *far;
    }
}

fn copy(from: &[Eight], to: &mut [Eight], lanes: u16) {
    for (to, from) in to.iter_mut().flatten().zip(from.iter().flatten()) {
        for (lane, (to, from)) in to.0.iter_mut().zip(from.0).enumerate() {
            *to = if lanes >> lane & 1 == 1 { from } else { *to };
        }
    }
}

/// Does something for each lane whose bit is set.
fn each(lanes: u16, mut act: impl FnMut(usize)) {
    let mut left = lanes;
    while left != 0 {
        act(left.trailing_zeros() as usize);
        left &= left - 1;
    }
}

/// The work of a block.
struct Cancel<'a> {
    filters: &'a mut Filters,
    near: &'a Eight,
    step: &'a Row,
    cancelled: Cancelled<'a>,
}

impl Work for Cancel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { filters, near, step, cancelled } = self;
        let groups = filters.learning.len();
        let blocks = filters.last - groups..=filters.last;
        for part in 0..L::PARTS {
            filters.renew_gains(l, part);
            let input = &filters.input[blocks.clone()];
            correlate(l, part, input, &mut filters.correlations[filters.last]);
            let correlations = &filters.correlations[blocks.clone()];
            let weighted = weigh(l, part, correlations, &filters.gains);

            let (learning, trusted) = convolve(l, part, input, &filters.learning, &filters.trusted);
            let mut steps = [l.splat(0.0); BLOCK];
            let step = l.load(step, part);
            for b in 0..BLOCK {
                // Between the end of the block before and that of this one.
                let share = l.splat((b + 1) as f32 / BLOCK as f32);
                let at = |lag: usize| {
                    let before = l.load(&filters.weighted[lag], part);
                    l.mul_add(share, l.sub(weighted[lag], before), before)
                };
                let sample = l.load(&near[b], part);
                let mut error = l.sub(sample, learning[b]);
                for (j, &step) in steps[..b].iter().enumerate() {
                    error = l.mul_sub_from(step, at(b - j), error);
                }
                let power = at(0);
                let taught = l.greater(power, l.splat(POWER_MIN));
                let size = l.div(l.mul(step, error), l.add(power, l.splat(REGULARISATION)));
                steps[b] = l.select(taught, size, l.splat(0.0));
                l.store(&mut cancelled.learning[b], part, error);
                l.store(&mut cancelled.trusted[b], part, l.sub(sample, trusted[b]));
            }
            for (row, values) in filters.weighted.iter_mut().zip(weighted) {
                l.store(row, part, values);
            }
            learn(l, part, input, &filters.gains, &steps, &mut filters.learning);
        }
        filters.renewing = (filters.renewing + 1) % RENEWAL;
    }
}

impl Filters {
    /// Gains of a quarter of the groups from what they have learned.
    #[inline(always)]
    fn renew_gains<L: Lanes>(&mut self, l: L, part: usize) {
        let groups = self.learning.len();
        let quarter = groups / RENEWAL;
        let range = quarter * self.renewing..quarter * (self.renewing + 1);
        let renewed = self.learning[range.clone()].iter().zip(&mut self.magnitudes[range.clone()]);
        for (group, sum) in renewed {
            let mut magnitude = l.splat(0.0);
            for tap in group {
                let tap = l.load(tap, part);
                magnitude = l.mul_add(tap, tap, magnitude);
            }
            l.store(sum, part, l.sqrt(magnitude));
        }
        let mut total = l.splat(0.0);
        for sum in &self.magnitudes {
            total = l.add(total, l.load(sum, part));
        }
        let uniform = UNIFORM / (groups * BLOCK) as f32;
        // Before anything is learned all are alike.
        let uniform = l.select(
            l.greater(total, l.splat(LEARNED_MIN)),
            l.splat(uniform),
            l.splat(uniform / UNIFORM),
        );
        let factor =
            l.div(l.splat((1.0 - UNIFORM) / BLOCK as f32), l.add(total, l.splat(LEARNED_MIN)));
        for (gain, sum) in self.gains[range.clone()].iter_mut().zip(&self.magnitudes[range]) {
            l.store(gain, part, l.mul_add(factor, l.load(sum, part), uniform));
        }
    }
}

/// Correlation of the last block of input with itself at lags 0 to 7.
#[inline(always)]
fn correlate<L: Lanes>(l: L, part: usize, input: &[Eight], out: &mut Eight) {
    let Some(rows) = input.as_flattened().last_chunk::<{ 2 * BLOCK }>() else { return };
    let mut sums = [l.splat(0.0); BLOCK];
    for b in BLOCK..2 * BLOCK {
        let sample = l.load(&rows[b], part);
        for (lag, sum) in sums.iter_mut().enumerate() {
            *sum = l.mul_add(sample, l.load(&rows[b - lag], part), *sum);
        }
    }
    for (row, sum) in out.iter_mut().zip(sums) {
        l.store(row, part, sum);
    }
}

/// Correlations over the whole tail, weighted by the gains of the taps.
#[inline(always)]
fn weigh<L: Lanes>(l: L, part: usize, correlations: &[Eight], gains: &[Row]) -> [L::Values; BLOCK] {
    let mut sums = [l.splat(0.0); BLOCK];
    for (gain, block) in gains.iter().zip(correlations.iter().rev()) {
        let gain = l.load(gain, part);
        for (sum, correlation) in sums.iter_mut().zip(block) {
            *sum = l.mul_add(gain, l.load(correlation, part), *sum);
        }
    }
    sums
}

/// The echo of a block as both filters have it.
#[inline(always)]
fn convolve<L: Lanes>(
    l: L,
    part: usize,
    input: &[Eight],
    learning: &[Eight],
    trusted: &[Eight],
) -> ([L::Values; BLOCK], [L::Values; BLOCK]) {
    let mut a = [l.splat(0.0); BLOCK];
    let mut b = [l.splat(0.0); BLOCK];
    let groups = learning.iter().zip(trusted);
    for ((learning, trusted), rows) in groups.zip(input.array_windows::<2>().rev()) {
        let rows = rows.as_flattened();
        for tap in 0..BLOCK {
            let (first, second) = (l.load(&learning[tap], part), l.load(&trusted[tap], part));
            for n in 0..BLOCK {
                let sample = l.load(&rows[BLOCK + n - tap], part);
                a[n] = l.mul_add(first, sample, a[n]);
                b[n] = l.mul_add(second, sample, b[n]);
            }
        }
    }
    (a, b)
}

/// Takes eight steps at once.
#[inline(always)]
fn learn<L: Lanes>(
    l: L,
    part: usize,
    input: &[Eight],
    gains: &[Row],
    steps: &[L::Values; BLOCK],
    learning: &mut [Eight],
) {
    let groups = learning.iter_mut().zip(gains);
    for ((taps, gain), rows) in groups.zip(input.array_windows::<2>().rev()) {
        let rows = rows.as_flattened();
        let gain = l.load(gain, part);
        let steps = steps.map(|step| l.mul(step, gain));
        for (tap, row) in taps.iter_mut().enumerate() {
            let mut value = l.load(row, part);
            for (n, &step) in steps.iter().enumerate() {
                value = l.mul_add(step, l.load(&rows[BLOCK + n - tap], part), value);
            }
            l.store(row, part, value);
        }
    }
}
