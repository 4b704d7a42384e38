//! CED, ANS and ANSam: 2100 Hz, with phase reversals or without, modulated or not (V.25, V.8).

use std::f32::consts::{PI, TAU};

use super::correlator::{Amount, SUMS_PER_S};
use super::{Event, Sound};

/// Part of the power that the tone must have. The modulation of ANSam has 2 % in side bands, noise
/// 5 dB below the tone still leaves this.
const SHARE_MIN: f32 = 0.75;
/// Sums of 5 ms with the tone before it is reported: 300 ms, which speech does not reach.
const SUMS_TO_REPORT: u32 = 60;
/// Sums without it before it is over: T.30 and V.25 have none, lines lose packets.
const SUMS_TO_END: u32 = 12;

/// How far the frequency may be off. V.25 says 15 Hz, G.168 §7 that 21 Hz must do.
const DEVIATION_MAX_HZ: f32 = 30.0;
/// How far a reversal may be from half a turn; V.25 says 10°.
const REVERSAL_WITHIN: f32 = 25.0 / 180.0 * PI;
/// Sums that must be steady before and after a reversal.
const STEADY_SUMS: u32 = 6;

/// ANSam's modulation: 15 Hz, 20 % ± 1 %.
const MODULATION_HZ: f32 = 15.0;
const DEPTH_MIN: f32 = 0.1;
const DEPTH_MAX: f32 = 0.35;
/// Sums over which it is measured: three of its periods.
const MODULATION_SUMS: u32 = 40;

/// Follows 2100 Hz on one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerTone {
    /// Sums with the tone so far; sums without it since.
    sums: u32,
    missing: u32,
    /// What was reported.
    reported: Option<Sound>,
    /// The last good sum's wave, and how much the phase turns from one to the next.
    before: (f32, f32),
    turn: (f32, f32),
    /// Good sums in a row, without a jump of the phase.
    steady: u32,
    /// A jump by half a turn that waits for the phase to be steady after it.
    jumped: bool,
    /// Amplitude against the modulation.
    envelope: f32,
    real: f32,
    imaginary: f32,
    measured: u32,
    depth: f32,
}

impl AnswerTone {
    /// Nothing was heard.
    pub(crate) const fn new() -> Self {
        Self {
            sums: 0,
            missing: 0,
            reported: None,
            before: (0.0, 0.0),
            turn: (0.0, 0.0),
            steady: 0,
            jumped: false,
            envelope: 0.0,
            real: 0.0,
            imaginary: 0.0,
            measured: 0,
            depth: 0.0,
        }
    }

    /// Takes the next 5 ms.
    pub(crate) fn listen(&mut self, tone: Amount, mut report: impl FnMut(Event)) {
        if tone.share < SHARE_MIN {
            if self.sums > 0 {
                self.miss(report);
            }
            return;
        }
        let wave = (tone.real, tone.imaginary);
        let reversed = self.follow(wave);
        self.measure(wave.0.hypot(wave.1));
        self.sums += 1 + self.missing;
        self.missing = 0;
        let frequency_is_right = self.deviation_hz().abs() < DEVIATION_MAX_HZ;
        if reversed && frequency_is_right {
            let modulated = self.is_modulated();
            self.say(Sound::Answer { reversals: true, modulated }, &mut report);
        } else if self.reported.is_none() && self.sums >= SUMS_TO_REPORT && frequency_is_right {
            let modulated = self.is_modulated();
            self.say(Sound::Answer { reversals: false, modulated }, &mut report);
        }
    }

    /// What sounds now, as far as it is known.
    pub(crate) fn sound(&self) -> Option<Sound> {
        self.reported
    }

    fn say(&mut self, sound: Sound, report: &mut impl FnMut(Event)) {
        if self.reported != Some(sound) {
            self.reported = Some(sound);
            report(Event::Heard(sound));
        }
    }

    fn miss(&mut self, mut report: impl FnMut(Event)) {
        self.missing += 1;
        // Before it is reported only a reversal may interrupt it.
        let most = if self.reported.is_some() { SUMS_TO_END } else { 2 };
        if self.missing > most {
            let reported = std::mem::replace(self, Self::new()).reported;
            if let Some(sound) = reported {
                report(Event::Ended(sound));
            }
        }
    }

    /// Follows the phase; true when a reversal is certain.
    fn follow(&mut self, wave: (f32, f32)) -> bool {
        let turn = times_conjugate(wave, std::mem::replace(&mut self.before, wave));
        let spoilt = self.missing;
        if self.steady == 0 || spoilt > 1 {
            (self.steady, self.jumped) = (1, false);
            return false;
        }
        if self.steady >= STEADY_SUMS {
            // What is more than the phase turns anyway.
            let jump = (0..=spoilt).fold(turn, |turn, _| times_conjugate(turn, self.turn));
            let jump = jump.1.atan2(jump.0).abs();
            if jump > REVERSAL_WITHIN {
                // If not half a turn, a packet was lost, or it is another tone.
                self.jumped = PI - jump < REVERSAL_WITHIN;
                self.steady = if self.jumped { 2 } else { 1 };
                return false;
            }
        }
        if spoilt == 0 {
            // The first one, then the mean of about ten.
            let share = if self.steady == 1 { 1.0 } else { 0.1 };
            let turn = unit(turn);
            self.turn.0 += share * (turn.0 - self.turn.0);
            self.turn.1 += share * (turn.1 - self.turn.1);
            self.turn = unit(self.turn);
        }
        self.steady += 1;
        let certain = self.jumped && self.steady >= STEADY_SUMS;
        self.jumped &= !certain;
        certain
    }

    fn deviation_hz(&self) -> f32 {
        self.turn.1.atan2(self.turn.0) * SUMS_PER_S / TAU
    }

    /// Follows the amplitude.
    fn measure(&mut self, amplitude: f32) {
        let angle = TAU * MODULATION_HZ / SUMS_PER_S * self.measured as f32;
        self.envelope += amplitude;
        self.real += amplitude * angle.cos();
        self.imaginary += amplitude * angle.sin();
        self.measured += 1;
        if self.measured == MODULATION_SUMS {
            self.depth = 2.0 * self.real.hypot(self.imaginary) / self.envelope.max(1e-9);
            (self.envelope, self.real, self.imaginary, self.measured) = (0.0, 0.0, 0.0, 0);
        }
    }

    fn is_modulated(&self) -> bool {
        (DEPTH_MIN..DEPTH_MAX).contains(&self.depth)
    }
}

fn times_conjugate(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    (a.0 * b.0 + a.1 * b.1, a.1 * b.0 - a.0 * b.1)
}

fn unit(a: (f32, f32)) -> (f32, f32) {
    let length = a.0.hypot(a.1).max(f32::MIN_POSITIVE);
    (a.0 / length, a.1 / length)
}
