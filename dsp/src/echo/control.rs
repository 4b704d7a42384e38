//! What one channel does about its echo: when to trust what was learned, whether the near end
//! talks, how well it goes.
//!
//! Two filters are compared (Ochiai, Araseki and Ogihara, 1977). While the channel has never
//! cancelled well the trusted one takes over whatever is better. After that only what is plausible:
//! a little better, with about as little echo left as ever before; or so much better, for long, that
//! the path must have changed. A talker at the near end brings about neither, however loud: what
//! the learning filter does to cancel that voice leaves far more behind than it ever left of an
//! echo. When it has gone astray it goes back to what is trusted.

use super::narrow::NarrowBand;
use crate::level::level_of_power;

/// Mean squares over a frame of 4 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Powers {
    /// Correlations of what was sent to the line, at lags 0 to 7.
    pub(super) far: [f32; 8],
    /// What came from the line.
    pub(super) near: f32,
    /// What is left by the filter that learns.
    pub(super) learning: f32,
    /// What is left by the filter that is trusted.
    pub(super) trusted: f32,
    /// What the trusted filter took away.
    pub(super) echo: f32,
}

/// What becomes of the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing.
    Stay,
    /// What was learned is trusted from now on.
    Trust,
    /// The filter that learns goes back to what is trusted.
    GoBack,
    /// Both filters do harm: they forget what they know.
    Forget,
}

/// What is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// What the trusted filter leaves.
    Trusted,
    /// What the learning filter leaves.
    Learning,
    /// What comes from the line: both filters do harm.
    Near,
}

/// Steps while the channel converges, and after. Small ones leave less noise of adaptation.
const STEP_CONVERGING: f32 = 0.8;
const STEP_CONVERGED: f32 = 0.4;

/// Less than this on the way to the line, −41 dBm0, tells nothing about an echo.
const FAR_MIN: f32 = 20_000.0;

/// Part of a frame in the short and the long averages, of about 10 and 65 ms.
const SHORT: f32 = 0.4;
const LONG: f32 = 0.06;

/// A channel has converged when so much of the power is left, −27 dB.
const CONVERGED: f32 = 0.002;
/// Or, on a noisy line, when it has had so much time, 2 s, and takes away anything plausible.
const FRAMES_CONVERGING: u32 = 500;
/// No echo is cancelled better than A-law quantises it, −37 dB.
const BEST: f32 = 2e-4;
/// How what was the best so far is forgotten: 1 dB a second.
const FORGETTING: f32 = 1.001;

/// What was learned is better if it leaves less than this part.
const BETTER: f32 = 0.9;
/// It is plausible if it leaves at most so much more than ever before, 3 dB.
const NEAR_BEST: f32 = 2.0;
/// The path must have changed if it leaves less than this part, −10 dB.
const CHANGED: f32 = 0.1;
/// Frames for which either must hold, once converged.
const FRAMES_BETTER: u32 = 6;

/// It has gone astray if it leaves so many times as much, and a little more.
const ASTRAY: f32 = 2.0;
const ASTRAY_LEAST: f32 = 100.0;
const FRAMES_ASTRAY: u32 = 2;

/// A filter does harm if it leaves more than there was, by so much, 1 dB.
const HARM: f32 = 1.26;
/// Frames of harm before it is forgotten, 200 ms.
const FRAMES_HARM: u32 = 50;
/// While it converges a filter is plausible only if it leaves less than this part, −10 dB: more than
/// it ever takes away from a talker by chance.
const PLAUSIBLE: f32 = 0.1;

/// Someone talks at the near end if so many times as much is left as echo would leave, 12 dB.
const TALKS: f32 = 16.0;
/// And so many times as much as the background has, 6 dB.
const TALKS_OVER_NOISE: f32 = 4.0;
/// Before it has converged: if there is more than this part of what was sent, −6 dB, as no hybrid
/// lets through.
const TALKS_OF_FAR: f32 = 0.25;
/// Frames for which a talker is assumed to go on, 60 ms.
const FRAMES_TALKING: u32 = 15;

/// The background before it was heard, −65 dBm0, the least and the most there is, −40 dBm0.
const NOISE_AT_FIRST: f32 = 82.0;
const NOISE_MIN: f32 = 1.0;
const NOISE_MAX: f32 = 26_000.0;
/// Frames in which it is heard for the first time.
const NOISE_FRAMES: u32 = 25;
/// Part of a frame in its average, about 40 ms, and how it rises, 6 dB a second.
const NOISE_PART: f32 = 0.1;
const NOISE_RISE: f32 = 1.005_5;

/// One channel.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    short: Averages,
    long: Averages,
    /// Frames in which there was something to learn from.
    frames: u32,
    /// The least part of the power that was ever left.
    best: f32,
    /// Frames in a row.
    better: u32,
    astray: u32,
    harm: u32,
    narrow: NarrowBand,
    /// What was sent, short average, and held for as long as it echoes.
    far: f32,
    far_held: Held,
    echo_held: Held,
    /// Frames for which the near end still talks.
    talking: u32,
    /// The near end while the far end is silent, and the background in it.
    near: f32,
    noise: f32,
    idle_frames: u32,
    /// Averages over about a second while only the far end talks, for the figures.
    measured: Measured,
    double_talk_frames: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Averages {
    near: f32,
    learning: f32,
    trusted: f32,
}

impl Averages {
    fn add(&mut self, powers: &Powers, part: f32) {
        follow(&mut self.near, powers.near, part);
        follow(&mut self.learning, powers.learning, part);
        follow(&mut self.trusted, powers.trusted, part);
    }

    /// Part of the power that is left by what was learned.
    fn left(&self) -> f32 {
        self.learning / self.near.max(1.0)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    far: f32,
    near: f32,
    trusted: f32,
}

impl Channel {
    /// A channel of which nothing is known, with a tail of so many frames.
    pub(super) fn new(tail_frames: usize) -> Self {
        Self {
            short: Averages::default(),
            long: Averages::default(),
            frames: 0,
            best: 1.0,
            better: 0,
            astray: 0,
            harm: 0,
            narrow: NarrowBand::new(),
            far: 0.0,
            far_held: Held::new(tail_frames),
            echo_held: Held::new(tail_frames),
            talking: 0,
            near: NOISE_AT_FIRST,
            noise: NOISE_AT_FIRST,
            idle_frames: 0,
            measured: Measured::default(),
            double_talk_frames: 0,
        }
    }

    /// Takes the next frame.
    pub(super) fn frame(&mut self, powers: &Powers) -> Decision {
        let far = powers.far[0];
        follow(&mut self.far, far, SHORT);
        self.far_held.add(far);
        self.echo_held.add(powers.echo);
        self.narrow.listen(&powers.far);
        self.find_talker(powers);
        if self.far < FAR_MIN {
            return Decision::Stay;
        }
        self.frames = self.frames.saturating_add(1);
        self.short.add(powers, SHORT);
        self.long.add(powers, LONG.max(1.0 / self.frames as f32));
        if !self.near_talks() {
            self.measured.add(powers);
        }
        if self.narrow.is_narrow() {
            (self.better, self.astray) = (0, 0);
            return Decision::Stay;
        }
        self.judge()
    }

    /// The size of the next steps.
    pub(super) fn step(&self) -> f32 {
        match (self.narrow.is_narrow(), self.is_converging()) {
            (true, _) => 0.0,
            (false, true) => STEP_CONVERGING,
            (false, false) => STEP_CONVERGED,
        }
    }

    /// What to send on.
    pub(super) fn output(&self) -> Output {
        let Averages { near, learning, trusted } = self.short;
        // While the channel converges what was learned is ahead of what is trusted.
        if self.is_converging() && learning < BETTER * trusted && self.is_plausible() {
            Output::Learning
        } else if trusted > HARM * near {
            Output::Near
        } else {
            Output::Trusted
        }
    }

    /// Whether someone talks at the near end.
    pub(super) fn near_talks(&self) -> bool {
        self.talking > 0
    }

    /// Whether both ends talk.
    pub(super) fn is_double_talk(&self) -> bool {
        self.near_talks() && self.far_held.most() > FAR_MIN
    }

    /// Whether all there is from the line is echo, of which something may be left.
    pub(super) fn is_echo_alone(&self) -> bool {
        !self.near_talks() && !self.is_converging() && self.far_held.most() > FAR_MIN
    }

    /// Power of the background at the near end.
    pub(super) fn noise(&self) -> f32 {
        self.noise
    }

    /// Frames in which both ends talked.
    pub(super) fn double_talk_frames(&self) -> u64 {
        self.double_talk_frames
    }

    /// Levels while only the far end talks: sent, come back, left.
    pub(super) fn levels_dbm0(&self) -> (f32, f32, f32) {
        let Measured { far, near, trusted } = self.measured;
        (level_of_power(far), level_of_power(near), level_of_power(trusted))
    }

    /// Whether it has not cancelled well yet.
    pub(super) fn is_converging(&self) -> bool {
        self.best > CONVERGED && (self.best > PLAUSIBLE || self.frames < FRAMES_CONVERGING)
    }

    /// Whether what was learned takes away what a talker at the near end could not hide.
    fn is_plausible(&self) -> bool {
        self.short.left().max(self.long.left()) < PLAUSIBLE
    }

    fn judge(&mut self) -> Decision {
        self.best = (self.best * FORGETTING).min(1.0);
        let (averages, frames) =
            if self.is_converging() { (self.short, 1) } else { (self.long, FRAMES_BETTER) };
        let left = averages.left();
        let is_changed = self.long.learning < CHANGED * self.long.trusted;
        let is_better = averages.learning < BETTER * averages.trusted
            && self.short.learning < self.short.trusted
            && self.is_plausible()
            && left < NEAR_BEST * self.best;
        self.better = if is_better || is_changed { self.better + 1 } else { 0 };
        if self.better >= frames {
            self.better = 0;
            self.short.trusted = self.short.learning;
            self.long.trusted = self.long.learning;
            let left = left.max(self.long.left()).clamp(BEST, 1.0);
            self.best = if is_changed { left.max(self.best) } else { left.min(self.best) };
            return Decision::Trust;
        }
        let is_harm = self.long.trusted > HARM * self.long.near;
        self.harm = if is_harm { self.harm + 1 } else { 0 };
        if self.harm >= FRAMES_HARM {
            (self.harm, self.best, self.frames) = (0, 1.0, 0);
            return Decision::Forget;
        }
        let is_astray = self.short.learning > ASTRAY * self.short.trusted + ASTRAY_LEAST;
        self.astray = if is_astray { self.astray + 1 } else { 0 };
        if self.astray >= FRAMES_ASTRAY {
            self.astray = 0;
            self.short.learning = self.short.trusted;
            self.long.learning = self.long.trusted;
            return Decision::GoBack;
        }
        Decision::Stay
    }

    fn find_talker(&mut self, powers: &Powers) {
        let echo = if self.is_converging() {
            TALKS_OF_FAR * self.far_held.most()
        } else {
            // Where the hybrid lets little through, what adaptation left is above that echo.
            let usual = self.measured.returned() * self.far_held.most();
            TALKS * self.best * self.echo_held.most().max(usual)
        };
        // After a change of the path what is learned already leaves little: it is no talker.
        let left = powers.trusted.min(powers.learning / CHANGED);
        if left > echo + TALKS_OVER_NOISE * self.noise {
            self.talking = FRAMES_TALKING;
        } else {
            self.talking = self.talking.saturating_sub(1);
        }
        if self.far_held.most() < FAR_MIN {
            self.idle_frames = self.idle_frames.saturating_add(1);
            follow(&mut self.near, powers.near, NOISE_PART.max(1.0 / self.idle_frames as f32));
            let rise = if self.idle_frames < NOISE_FRAMES { f32::MAX } else { NOISE_RISE };
            let noise = self.near.min(self.noise * rise);
            self.noise = noise.clamp(NOISE_MIN, NOISE_MAX);
        } else {
            self.near = self.noise;
        }
        self.double_talk_frames += u64::from(self.is_double_talk());
    }
}

/// The most there was within the last tail, or up to two.
#[derive(Clone, Copy, Debug)]
struct Held {
    present: f32,
    past: f32,
    frames: usize,
    tail_frames: usize,
}

impl Held {
    fn new(tail_frames: usize) -> Self {
        Self { present: 0.0, past: 0.0, frames: 0, tail_frames }
    }

    fn add(&mut self, value: f32) {
        self.frames += 1;
        if self.frames == self.tail_frames {
            self.frames = 0;
            self.past = std::mem::take(&mut self.present);
        }
        self.present = self.present.max(value);
    }

    fn most(&self) -> f32 {
        self.present.max(self.past)
    }
}

impl Measured {
    /// The part of the power sent that comes back.
    fn returned(&self) -> f32 {
        (self.near / self.far.max(1.0)).min(1.0)
    }

    fn add(&mut self, powers: &Powers) {
        /// Part of a frame: about a second.
        const PART: f32 = 0.004;
        let part = if self.far == 0.0 { 1.0 } else { PART };
        follow(&mut self.far, powers.far[0], part);
        follow(&mut self.near, powers.near, part);
        follow(&mut self.trusted, powers.trusted, part);
    }
}

fn follow(average: &mut f32, value: f32, part: f32) {
    *average += part * (value - *average);
}
