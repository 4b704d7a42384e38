//! When each packet plays: the playout policy, apart from the buffer that holds the packets.
//!
//! [`Playout`] sits on the playout side. It hears of every arrival ([`Playout::arrived`], late ones
//! too), looks at the packet that waits first, and says what the next samples shall be
//! ([`Playout::decide`]). It touches no buffer and no sound: whoever owns them does what the
//! [`Decision`] says.
//!
//! All times are samples at 8 kHz. *Media time* is where a sample stands in what was sent (the sender's
//! clock, made continuous by [`Timeline`]); *playout time* counts the samples produced for the line.
//! The **offset** is the difference of the two: a packet with media time `m` plays at `m + offset`.
//! A packet that arrives at playout time `a` needs an offset of at least `a - m`. So the clock of
//! the line is the only clock there is: skew between sender and line appears as a slow drift of
//! what packets need, and is followed like any other change of delay.
//!
//! The offset changes only
//! - where nothing is heard of it: at the start of a talkspurt and inside a concealed gap;
//! - when a packet did not come in time: concealment fills until it comes, the delay has grown;
//! - when the target has moved: packets are lengthened or shortened by a few milliseconds.
//!
//! On a clean path none of this happens after the start, and what plays is bit for bit what was sent.

mod target;
mod timeline;

pub use timeline::{Placed, Timeline};

use crate::jitter::{Arrival, Waiting};
use target::TargetOffset;

/// What the policy may be told. The defaults suit telephone speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutConfig {
    /// Held back at the very start, when nothing is known of the path yet, in samples.
    pub start_margin: u32,
    /// How far the delay may stand above the target before packets are shortened, in samples.
    pub tolerance: u32,
    /// Above the target by more than this, packets are shortened at once and often, in samples.
    pub quick_return: u32,
    /// A packet that would have to wait longer than this above the least delay seen is discarded,
    /// in samples.
    pub delay_max: u32,
    /// After this long without any packet the talkspurt is over and silence plays, in samples.
    pub pause_after: u32,
    /// What one late packet in a hundred is worth in delay, in samples.
    pub late_cost: u32,
}

impl Default for PlayoutConfig {
    fn default() -> Self {
        Self {
            start_margin: 80,
            tolerance: 80,
            quick_return: 480,
            delay_max: 4000,
            pause_after: 960,
            late_cost: 160,
        }
    }
}

/// What the next samples shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Take this packet and play it as it is.
    Play {
        /// Extended sequence number.
        sequence: u64,
    },
    /// Take this packet and make it longer, by about `samples`; then tell
    /// [`Playout::adjusted`] how many were added.
    Lengthen {
        /// Extended sequence number.
        sequence: u64,
        /// How far the delay is below the target, in samples.
        samples: u32,
    },
    /// Take this packet and make it shorter, by at most `samples`; then tell
    /// [`Playout::adjusted`] how many were removed.
    Shorten {
        /// Extended sequence number.
        sequence: u64,
        /// How far the delay is above the target, in samples.
        samples: u32,
    },
    /// Drop this packet and everything before it, then ask again.
    Discard {
        /// Extended sequence number.
        sequence: u64,
    },
    /// Speech is missing: continue from what was heard.
    Conceal {
        /// How many samples.
        samples: u32,
    },
    /// There is no speech: silence or comfort noise.
    Wait {
        /// How many samples.
        samples: u32,
    },
}

/// What the policy has done so far, and where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlayoutStatistics {
    /// Delay the policy aims at, from the arrival of the fastest packets to their playout, in samples.
    pub target: u32,
    /// Delay as it is: how long packets waited before they played (moving mean), in samples.
    pub delay: u32,
    /// Packets played.
    pub played: u64,
    /// Packets dropped because their time had passed, or to come down from a delay beyond the limit.
    pub discarded: u64,
    /// Samples of concealment.
    pub concealed: u64,
    /// Samples of silence before, between and after talkspurts.
    pub waited: u64,
    /// Samples added to raise the delay.
    pub lengthened: u64,
    /// Samples removed to lower the delay.
    pub shortened: u64,
    /// Talkspurts begun.
    pub talkspurts: u64,
}

/// The playout policy of one stream.
#[derive(Debug)]
pub struct Playout {
    config: PlayoutConfig,
    target: TargetOffset,
    /// Playout time: samples produced.
    produced: i64,
    spurt: Option<Talkspurt>,
    /// Playout time of the last adjustment.
    adjusted_at: i64,
    /// Playout time since when the offset stands above target and tolerance.
    above_since: Option<i64>,
    /// Mean wait in 1/16 samples.
    wait_16: i64,
    /// Playout time of the last arrival, and media time of the first one at that time.
    last_arrival: Option<(i64, i64)>,
    statistics: PlayoutStatistics,
}

/// Speech is being played.
#[derive(Debug, Clone, Copy)]
struct Talkspurt {
    offset: i64,
    /// Media time of the sample after the last one played.
    position: i64,
}

/// At most one adjustment in this many samples, unless the way back is long.
const ADJUSTMENT_SPACING: i64 = 800;

/// The delay must have been too long for this many samples before it is shortened.
const ABOVE_FOR: i64 = 8000;

/// Speech of this length that arrives at one moment of the line's clock means that the clock stood
/// still, in samples.
const ASLEEP: i64 = 4000;

/// An offset below the target by less than this is left alone, in samples.
const SHORTFALL_MIN: i64 = 24;

impl Playout {
    /// A policy that has seen nothing yet.
    pub fn new(config: PlayoutConfig) -> Self {
        Self {
            config,
            target: TargetOffset::new(config.late_cost),
            produced: 0,
            spurt: None,
            adjusted_at: 0,
            above_since: None,
            wait_16: 0,
            last_arrival: None,
            statistics: PlayoutStatistics::default(),
        }
    }

    /// A packet has arrived, in time or late.
    pub fn arrived(&mut self, arrival: Arrival) {
        let produced = self.produced;
        // 32 bits of samples are six days: unwrapped beside the present.
        let clock = produced + i64::from((arrival.clock).wrapping_sub(produced as u32) as i32);
        let reference = self.spurt.map_or(clock, |spurt| spurt.position);
        let media_time =
            reference + i64::from(arrival.media_time.wrapping_sub(reference as u32) as i32);
        let (_, first) = *self.last_arrival.insert(match self.last_arrival {
            Some((before, first)) if before == clock => (before, first),
            _ => (clock, media_time),
        });
        if media_time - first > ASLEEP {
            // The line has not turned: what it would have needed then tells nothing of the path,
            // and what waits is stale.
            self.target.forget();
            self.pause();
        }
        self.target.observe(clock - media_time);
    }

    /// What the next samples shall be; `next` is the packet that waits first, `wanted` (1 or more)
    /// how many samples the line asks for at least.
    ///
    /// Of `Conceal` and `Wait` never more than `wanted` are asked for, so that a packet that comes
    /// meanwhile plays without delay.
    pub fn decide(&mut self, next: Option<Waiting>, wanted: u32) -> Decision {
        let decision = match (self.spurt, next) {
            (None, None) => Decision::Wait { samples: wanted },
            (None, Some(next)) => self.begin(next, wanted),
            (Some(spurt), None) => self.underrun(spurt, wanted),
            (Some(spurt), Some(next)) => self.proceed(spurt, next, wanted),
        };
        self.account(decision, next);
        decision
    }

    /// A packet was lengthened by this many samples (below zero: shortened).
    pub fn adjusted(&mut self, samples: i32) {
        let samples = i64::from(samples);
        if let Some(spurt) = &mut self.spurt {
            spurt.offset += samples;
        }
        self.produced += samples;
        self.adjusted_at = self.produced;
        match u64::try_from(samples) {
            Ok(added) => self.statistics.lengthened += added,
            Err(_) => self.statistics.shortened += samples.unsigned_abs(),
        }
    }

    /// Speech pauses by agreement (a tone plays, the sender is on hold): what is missing now is
    /// not concealed, and the next packet begins a talkspurt.
    pub fn pause(&mut self) {
        self.spurt = None;
        self.above_since = None;
    }

    /// Where it stands.
    pub fn statistics(&self) -> PlayoutStatistics {
        PlayoutStatistics {
            target: self.target.above_least(),
            delay: (self.wait_16 / 16).max(0) as u32,
            ..self.statistics
        }
    }

    /// The first packet of a talkspurt waits until its delay is the target.
    fn begin(&mut self, next: Waiting, wanted: u32) -> Decision {
        let arrived = self.arrival_of(next);
        let needs = arrived - next.media_time;
        let (offset, is_guess) = match (self.target.settled(), self.target.least()) {
            (Some(target), _) => (target.max(needs), false),
            (None, least) => {
                (least.unwrap_or(needs).min(needs) + i64::from(self.config.start_margin), true)
            }
        };
        let due = next.media_time + offset;
        if self.produced < due {
            return Decision::Wait { samples: clip(due - self.produced, wanted) };
        }
        // What was waiting before the line began to turn is left out, so that no delay is begun with.
        let stale = is_guess && self.produced >= due + i64::from(next.samples);
        if stale || self.too_old(next) {
            return Decision::Discard { sequence: next.sequence };
        }
        self.spurt = Some(Talkspurt { offset, position: next.media_time });
        self.statistics.talkspurts += 1;
        self.play(next)
    }

    /// Nothing waits: late or lost, nobody knows yet.
    fn underrun(&mut self, spurt: Talkspurt, wanted: u32) -> Decision {
        let missing = self.produced - (spurt.position + spurt.offset);
        if missing >= i64::from(self.config.pause_after) {
            self.pause();
            return Decision::Wait { samples: wanted };
        }
        Decision::Conceal { samples: wanted }
    }

    fn proceed(&mut self, spurt: Talkspurt, next: Waiting, wanted: u32) -> Decision {
        let end = next.media_time + i64::from(next.samples);
        if end <= spurt.position || self.too_old(next) {
            return Decision::Discard { sequence: next.sequence };
        }
        let target = self.target.settled().unwrap_or(spurt.offset);
        let gap = next.media_time - spurt.position;
        if gap <= 0 {
            let late = self.produced - (next.media_time + spurt.offset);
            if late <= 0 {
                return self.adjust(spurt, next, target);
            }
            // It came after its turn: play it whole, the delay has grown by what was concealed.
            self.move_offset(next);
            return self.play(next);
        }
        // Packets are missing before this one: the gap takes up what the offset should change by.
        let offset = if target > spurt.offset + i64::from(self.config.tolerance) {
            spurt.offset + (target - spurt.offset).min(gap)
        } else if target + i64::from(self.config.tolerance) < spurt.offset {
            spurt.offset - (spurt.offset - target).min(gap)
        } else {
            spurt.offset
        };
        let due = next.media_time + offset;
        if self.produced >= due {
            self.move_offset(next);
            return self.play(next);
        }
        if due - self.produced > i64::from(self.config.pause_after) || next.marker {
            // The sender was silent (DTX): a new talkspurt, at the target delay.
            self.pause();
            return Decision::Wait { samples: clip(due - self.produced, wanted) };
        }
        Decision::Conceal { samples: clip(due - self.produced, wanted) }
    }

    /// In time and in order: as it is, unless the delay should change.
    fn adjust(&mut self, spurt: Talkspurt, next: Waiting, target: i64) -> Decision {
        let above = spurt.offset - target;
        if above > i64::from(self.config.tolerance) {
            let since = *self.above_since.get_or_insert(self.produced);
            let far = above > i64::from(self.config.quick_return);
            let rested = self.produced - self.adjusted_at >= ADJUSTMENT_SPACING;
            if far || (rested && self.produced - since >= ABOVE_FOR) {
                self.advance_over(next);
                return Decision::Shorten { sequence: next.sequence, samples: above as u32 };
            }
        } else {
            self.above_since = None;
            let rested = self.produced - self.adjusted_at >= ADJUSTMENT_SPACING / 4;
            if -above >= SHORTFALL_MIN && rested {
                self.advance_over(next);
                return Decision::Lengthen { sequence: next.sequence, samples: -above as u32 };
            }
        }
        self.play(next)
    }

    fn play(&mut self, next: Waiting) -> Decision {
        self.advance_over(next);
        Decision::Play { sequence: next.sequence }
    }

    fn advance_over(&mut self, next: Waiting) {
        if let Some(spurt) = &mut self.spurt {
            spurt.position = next.media_time + i64::from(next.samples);
        }
    }

    /// The packet plays now, whatever the offset was.
    fn move_offset(&mut self, next: Waiting) {
        if let Some(spurt) = &mut self.spurt {
            spurt.offset = self.produced - next.media_time;
        }
    }

    fn too_old(&self, next: Waiting) -> bool {
        self.target.least().is_some_and(|least| {
            self.produced - next.media_time - least > i64::from(self.config.delay_max)
        })
    }

    fn arrival_of(&self, next: Waiting) -> i64 {
        self.produced + i64::from(next.arrived.wrapping_sub(self.produced as u32) as i32)
    }

    fn account(&mut self, decision: Decision, next: Option<Waiting>) {
        match decision {
            Decision::Conceal { samples } => {
                self.produced += i64::from(samples);
                self.statistics.concealed += u64::from(samples);
            }
            Decision::Wait { samples } => {
                self.produced += i64::from(samples);
                self.statistics.waited += u64::from(samples);
            }
            Decision::Discard { .. } => self.statistics.discarded += 1,
            Decision::Play { .. } | Decision::Lengthen { .. } | Decision::Shorten { .. } => {
                let Some(next) = next else { return };
                let wait = self.produced - self.arrival_of(next);
                self.wait_16 += match self.statistics.played {
                    0 => wait * 16,
                    _ => wait - self.wait_16 / 16,
                };
                self.produced += i64::from(next.samples);
                self.statistics.played += 1;
            }
        }
    }
}

/// At least one sample, at most as many as were asked for.
fn clip(samples: i64, wanted: u32) -> u32 {
    samples.clamp(1, i64::from(wanted.max(1))) as u32
}

#[cfg(all(test, not(loom)))]
mod tests;
