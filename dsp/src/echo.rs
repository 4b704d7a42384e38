//! The line echo canceller, for sixteen channels: hybrids of the telephone network send a part of
//! what they get back.
//!
//! # What it does
//! Takes what was sent to a line (far) and what comes from it (near), and takes the echo of the one
//! out of the other: tails of 32, 64 or 128 ms, measured from the moment a sample is given here as
//! sent. What the line's talker says stays. What little is left of the echo is replaced by noise
//! like the line's while the talker is silent. Modems turn it off by their answer tone (V.25).
//! Procedures and terms are those of G.168.
//!
//! # How it works
//! Two filters a channel, one that learns all the time and one that is trusted (`filter.rs`), and a
//! judge that decides when to trust what was learned, so that a talker at the near end spoils nothing
//! (`control.rs`). Tones teach nothing (`narrow.rs`). The suppressor of what is left is the
//! non-linear processor of G.168 (`suppressor.rs`), the tone disabler is `disabler.rs`.
//!
//! # How to use it
//! A block is eight rows, a millisecond of sixteen channels. Any number of blocks a call will do;
//! `far` and `near` of a call belong together.
//! ```
//! use trunkline_dsp::echo::{BLOCK, EchoBank, Tail};
//! use trunkline_dsp::lanes::Row;
//!
//! let mut bank = EchoBank::new(Tail::Ms64);
//! let mut far = [[Row::ZERO; BLOCK]; 20];
//! let mut near = [[Row::ZERO; BLOCK]; 20];
//! far[0][0].0[3] = 1_000.0;
//! near[4][2].0[3] = 250.0;
//! bank.process(&far, &mut near);
//! println!("{:.0} dB of echo cancelled", bank.measurement(3).erle_db);
//! ```
//!
//! # Cost
//! Three multiplications a sample and tap (512 at 64 ms) and a few more. A channel has 8 KiB of
//! filters, history and correlations at 64 ms.

mod control;
mod disabler;
mod filter;
mod narrow;
mod suppressor;

use control::{Channel, Decision, Output, Powers};
use disabler::{Allowed, Disabler};
use filter::{Cancelled, Eight, Filters};
use suppressor::Suppressor;

use crate::lanes::{LANES, Lanes, Row, Width, Work};

/// Rows of a block: a millisecond.
pub const BLOCK: usize = 8;

/// Blocks of a frame, on which decisions rest.
const FRAME_BLOCKS: usize = 4;

/// How late an echo may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// 32 ms: lines of one exchange.
    Ms32,
    /// 64 ms: lines of a country.
    Ms64,
    /// 128 ms: lines of a continent, with other packet networks on the way.
    Ms128,
}

impl Tail {
    /// Taps of a filter.
    const fn taps(self) -> usize {
        match self {
            Self::Ms32 => 256,
            Self::Ms64 => 512,
            Self::Ms128 => 1_024,
        }
    }
}

/// What to do on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Cancel echo. If not, what comes from the line passes unchanged.
    pub cancel: bool,
    /// Replace what is left of it by noise, while nobody talks at the near end.
    pub suppress: bool,
}

impl Default for Switches {
    /// Both.
    fn default() -> Self {
        Self { cancel: true, suppress: true }
    }
}

/// How it goes on a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Echo return loss: what was sent over what comes back, while only the far end talks.
    pub erl_db: f32,
    /// Echo return loss enhancement: what comes back over what the filter leaves.
    pub erle_db: f32,
    /// Background at the near end.
    pub noise_dbm0: f32,
    /// Whether both ends talk.
    pub double_talk: bool,
    /// How long both ends have talked since the call began.
    pub double_talk_ms: u64,
    /// Whether the echo was ever cancelled well.
    pub converged: bool,
    /// Whether an answer tone has turned the canceller off (V.25 §3).
    pub disabled_by_tone: bool,
}

/// Cancels the echo of sixteen channels at 8 kHz.
#[derive(Clone, Debug)]
pub struct EchoBank {
    width: Width,
    tail: Tail,
    filters: Filters,
    channels: [Channel; LANES],
    disabler: Disabler,
    suppressor: Suppressor,
    switches: [Switches; LANES],
    plan: Plan,
    sums: Sums,
    /// Blocks of the frame so far.
    blocks: usize,
}

/// What the present frame does, on each channel.
#[derive(Clone, Debug)]
struct Plan {
    /// Size of the steps.
    step: Row,
    /// What goes out, as a number: [`TRUSTED`], [`LEARNING`] or [`NEAR`].
    output: Row,
    /// 1 where what comes from the line passes unchanged.
    passes: Row,
}

/// Numbers of outputs.
const TRUSTED: f32 = 0.0;
const LEARNING: f32 = 1.0;
const NEAR: f32 = 2.0;

/// Energies over the frame so far.
#[derive(Clone, Debug, Default)]
struct Sums {
    far: Eight,
    near: Row,
    learning: Row,
    trusted: Row,
    echo: Row,
}

impl EchoBank {
    /// A bank that knows nothing, with the best instructions there are. All channels cancel.
    pub fn new(tail: Tail) -> Self {
        Self::with(Width::best(), tail)
    }

    /// A bank that knows nothing.
    pub fn with(width: Width, tail: Tail) -> Self {
        let channel = Channel::new(tail.taps() / (BLOCK * FRAME_BLOCKS));
        let step = Row::splat(channel.step());
        Self {
            width,
            tail,
            filters: Filters::new(tail.taps() / BLOCK),
            channels: std::array::from_fn(|_| channel.clone()),
            disabler: Disabler::new(),
            suppressor: Suppressor::new(),
            switches: [Switches::default(); LANES],
            plan: Plan { step, output: Row::ZERO, passes: Row::ZERO },
            sums: Sums::default(),
            blocks: 0,
        }
    }

    /// Takes what was sent to the lines and what came from them at the same time, as many blocks
    /// as both have, and takes the echo out of the latter.
    pub fn process(&mut self, far: &[[Row; BLOCK]], near: &mut [[Row; BLOCK]]) {
        for (far, near) in far.iter().zip(near) {
            self.cancel(far, near);
        }
    }

    /// What to do on a channel from now on. A filter that is turned on goes on from what it knew.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn switch(&mut self, lane: usize, switches: Switches) {
        self.switches[lane] = switches;
        self.plan(lane);
    }

    /// Forgets what a channel has learned: a new call. Its switches stay.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn reset(&mut self, lane: usize) {
        self.channels[lane] = Channel::new(self.tail.taps() / (BLOCK * FRAME_BLOCKS));
        self.filters.forget(1 << lane);
        self.disabler.forget(lane);
        self.suppressor.forget(lane);
        self.plan(lane);
    }

    /// How it goes on a channel.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn measurement(&self, lane: usize) -> Measurement {
        const FRAME_MS: u64 = FRAME_BLOCKS as u64;
        let channel = &self.channels[lane];
        let (far_dbm0, near_dbm0, left_dbm0) = channel.levels_dbm0();
        Measurement {
            erl_db: far_dbm0 - near_dbm0,
            erle_db: near_dbm0 - left_dbm0,
            noise_dbm0: crate::level::level_of_power(channel.noise()),
            double_talk: channel.is_double_talk(),
            double_talk_ms: channel.double_talk_frames() * FRAME_MS,
            converged: !channel.is_converging(),
            disabled_by_tone: self.disabler.allowed(lane) == Allowed::Nothing,
        }
    }

    fn cancel(&mut self, far: &Eight, near: &mut Eight) {
        let (mut learning, mut trusted) = ([Row::ZERO; BLOCK], [Row::ZERO; BLOCK]);
        let cancelled = Cancelled { learning: &mut learning, trusted: &mut trusted };
        self.filters.cancel(self.width, far, near, &self.plan.step, cancelled);
        self.width.run(Send {
            plan: &self.plan,
            sums: &mut self.sums,
            disabler: &mut self.disabler,
            suppressor: &mut self.suppressor,
            correlations: self.filters.correlations(),
            far,
            near,
            learning: &learning,
            trusted: &trusted,
        });
        self.disabler.decide();
        self.blocks += 1;
        if self.blocks == FRAME_BLOCKS {
            self.blocks = 0;
            self.decide();
        }
    }

    /// At the end of a frame.
    fn decide(&mut self) {
        let sums = std::mem::take(&mut self.sums);
        let (mut trust, mut go_back, mut forget) = (0, 0, 0);
        for lane in 0..LANES {
            if self.is_passing(lane) {
                self.plan(lane);
                continue;
            }
            match self.channels[lane].frame(&sums.powers(lane)) {
                Decision::Trust => trust |= 1 << lane,
                Decision::GoBack => go_back |= 1 << lane,
                Decision::Forget => forget |= 1 << lane,
                Decision::Stay => {}
            }
            self.plan(lane);
        }
        if trust != 0 {
            self.filters.trust(trust);
        }
        if go_back != 0 {
            self.filters.go_back(go_back);
        }
        if forget != 0 {
            self.filters.forget_echo(forget);
        }
    }

    fn is_passing(&self, lane: usize) -> bool {
        !self.switches[lane].cancel || self.disabler.allowed(lane) == Allowed::Nothing
    }

    /// What the next frame does on a channel.
    fn plan(&mut self, lane: usize) {
        let one = |condition: bool| f32::from(u8::from(condition));
        let (channel, passes) = (&self.channels[lane], self.is_passing(lane));
        self.plan.passes.0[lane] = one(passes);
        self.plan.step.0[lane] = if passes { 0.0 } else { channel.step() };
        self.plan.output.0[lane] = match channel.output() {
            Output::Trusted => TRUSTED,
            Output::Learning => LEARNING,
            Output::Near => NEAR,
        };
        let suppress = self.switches[lane].suppress
            && self.disabler.allowed(lane) == Allowed::Everything
            && channel.is_echo_alone();
        self.suppressor.suppress(lane, suppress, channel.noise());
    }
}

impl Sums {
    /// Mean squares of a channel.
    fn powers(&self, lane: usize) -> Powers {
        let mean = |sum: &Row| sum.0[lane] / (FRAME_BLOCKS * BLOCK) as f32;
        Powers {
            far: self.far.each_ref().map(mean),
            near: mean(&self.near),
            learning: mean(&self.learning),
            trusted: mean(&self.trusted),
            echo: mean(&self.echo),
        }
    }
}

/// Makes the output of a block and adds up what it tells.
struct Send<'a> {
    plan: &'a Plan,
    sums: &'a mut Sums,
    disabler: &'a mut Disabler,
    suppressor: &'a mut Suppressor,
    correlations: &'a Eight,
    far: &'a Eight,
    near: &'a mut Eight,
    learning: &'a Eight,
    trusted: &'a Eight,
}

impl Work for Send<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { plan, sums, near, .. } = self;
        self.disabler.add(l, self.far, near);
        let mut out = [Row::ZERO; BLOCK];
        for part in 0..L::PARTS {
            for (sum, row) in sums.far.iter_mut().zip(self.correlations) {
                l.store(sum, part, l.add(l.load(sum, part), l.load(row, part)));
            }
            let mut sum = [&sums.near, &sums.learning, &sums.trusted, &sums.echo]
                .map(|sum| l.load(sum, part));
            let output = l.load(&plan.output, part);
            let is_more = l.greater(output, l.splat(TRUSTED));
            let is_near = l.greater(output, l.splat(LEARNING));
            for b in 0..BLOCK {
                let near = l.load(&near[b], part);
                let learning = l.load(&self.learning[b], part);
                let trusted = l.load(&self.trusted[b], part);
                let echo = l.sub(near, trusted);
                let squared = [near, learning, trusted, echo];
                for (sum, value) in sum.iter_mut().zip(squared) {
                    *sum = l.mul_add(value, value, *sum);
                }
                let cancelled = l.select(is_more, learning, trusted);
                l.store(&mut out[b], part, l.select(is_near, near, cancelled));
            }
            let rows = [&mut sums.near, &mut sums.learning, &mut sums.trusted, &mut sums.echo];
            for (row, sum) in rows.into_iter().zip(sum) {
                l.store(row, part, sum);
            }
        }
        self.suppressor.process(l, &mut out);
        for part in 0..L::PARTS {
            let passes = l.greater(l.load(&plan.passes, part), l.splat(0.5));
            for (near, out) in near.iter_mut().zip(&out) {
                let kept = l.select(passes, l.load(near, part), l.load(out, part));
                l.store(near, part, kept);
            }
        }
    }
}
