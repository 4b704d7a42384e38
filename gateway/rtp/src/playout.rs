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
//! A change of the offset within a word is heard more than a packet that is missed, and in a pause it
//! is not heard at all. So it changes only
//! - where there is no voice: at the start of a talkspurt, and in pauses, by a little more or less of
//!   the background;
//! - when many packets of the last half second were late: at the next one that is;
//! - when it has been far too long for seconds and no pause came.
//!
//! A packet that comes late plays from where its time has come, or not at all: a spike of the delay
//! costs its own length of speech and leaves the delay as it was.
//!
//! The target is the offset that would have been the best for the last ten seconds by the E-model. Where
//! packets are lost it is higher by a packet, so that most gaps can be filled from both sides.
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
    /// A delay that is off the target by less than this is left alone, in samples.
    pub tolerance: u32,
    /// Above the target by more than this, the delay does not wait for a pause of the speech, in
    /// samples.
    pub quick_return: u32,
    /// A packet that would have to wait longer than this above the least delay seen is discarded,
    /// in samples.
    pub delay_max: u32,
    /// After this long without any packet the talkspurt is over and silence plays, in samples.
    pub pause_after: u32,
    /// From the speaker's mouth to the jitter buffer and from the line to the ear, as far as is known:
    /// the more of it there is, the less may be added. In samples.
    pub path_delay: u32,
}

impl Default for PlayoutConfig {
    fn default() -> Self {
        Self {
            start_margin: 80,
            tolerance: 16,
            quick_return: 240,
            delay_max: 8000,
            pause_after: 960,
            path_delay: 960,
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
        /// Samples at its beginning whose time has passed: they are left out.
        skip: u32,
    },
    /// Take this packet and make it longer, by at most `samples`; then tell
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
        /// Not only where there is no voice.
        in_speech: bool,
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
        /// After how many samples the packet that waits will play; none: nothing waits.
        next_in: Option<u32>,
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
    /// Playout time since when the offset stands far above the target.
    above_since: Option<i64>,
    /// What the last packet needed.
    newest_needed: i64,
    newest_is_late: bool,
    /// One bit a packet, the last one lowest: it came too late, and not only because the one before it
    /// was held up.
    late: u64,
    /// Packets that were missing when their time had come and the next one was there: one lost in the last
    /// ten seconds is about [`LOSS`].
    losses: u32,
    /// Length of the last packet, in samples.
    packet: u16,
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

/// The delay must have been far too long for this many samples before speech is shortened.
const ABOVE_FOR: i64 = 24_000;

/// Speech of this length that arrives at one moment of the line's clock means that the clock stood
/// still, in samples.
const ASLEEP: i64 = 4000;

/// The rest of a late packet is played if it is this long, in samples.
const REST_MIN: i64 = 20;

/// What a lost packet adds to the losses; they fall to a third in so many packets.
const LOSS: u32 = 1 << 16;
const LOSSES_MEMORY: u32 = 500;
const LOSSES_MAX: u32 = 64 * LOSS;
/// Above this, a packet of delay is worth its price.
const LOSSES_MANY: u32 = LOSS * 3 / 2;

/// So many late packets of the last [`LATE_OF`] cannot wait for a pause.
const LATE_MANY: u32 = 3;
const LATE_OF: u32 = 32;

impl Playout {
    /// A policy that has seen nothing yet.
    pub fn new(config: PlayoutConfig) -> Self {
        Self {
            config,
            target: TargetOffset::new(config.path_delay),
            produced: 0,
            spurt: None,
            above_since: None,
            newest_needed: 0,
            newest_is_late: false,
            late: 0,
            losses: 0,
            packet: 0,
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
        let is_together = self.last_arrival.is_some_and(|(before, _)| before == clock);
        let (_, first) = *self.last_arrival.insert(match self.last_arrival {
            Some(last) if is_together => last,
            _ => (clock, media_time),
        });
        if media_time - first > ASLEEP {
            // The line has not turned: what it would have needed then tells nothing of the path,
            // and what waits is stale.
            self.target.forget();
            self.pause();
        }
        let needed = clock - media_time;
        let offset = self.spurt.map(|spurt| spurt.offset).or(self.aim());
        let is_late = offset.is_some_and(|offset| needed > offset);
        let is_held_up = self.newest_is_late && needed < self.newest_needed;
        self.late = self.late << 1 | u64::from(is_late && !is_held_up);
        (self.newest_needed, self.newest_is_late) = (needed, is_late);
        self.target.observe(needed, is_together);
    }

    /// What the next samples shall be; `next` is the packet that waits first, `wanted` (1 or more)
    /// how many samples the line asks for at least. `pausing` is whether there was no voice in what was
    /// played last: there a change of the delay is not heard.
    ///
    /// Of `Conceal` and `Wait` never more than `wanted` are asked for, so that a packet that comes
    /// meanwhile plays without delay.
    pub fn decide(&mut self, next: Option<Waiting>, wanted: u32, pausing: bool) -> Decision {
        let decision = match (self.spurt, next) {
            (None, None) => Decision::Wait { samples: wanted },
            (None, Some(next)) => self.begin(next, wanted),
            (Some(spurt), None) => self.underrun(spurt, wanted),
            (Some(spurt), Some(next)) => self.proceed(spurt, next, wanted, pausing),
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
            target: self.aim().map_or(0, |aim| self.target.above_least(aim)),
            delay: (self.wait_16 / 16).max(0) as u32,
            ..self.statistics
        }
    }

    /// The first packet of a talkspurt waits until its delay is the target.
    fn begin(&mut self, next: Waiting, wanted: u32) -> Decision {
        let needs = self.arrival_of(next) - next.media_time;
        let (offset, is_guess) = match (self.aim(), self.target.least()) {
            // What was held up by itself is left out: packets behind it tell.
            (Some(target), _) => (target.max(needs.min(self.newest_needed)), false),
            (None, least) => {
                (least.unwrap_or(needs).min(needs) + i64::from(self.config.start_margin), true)
            }
        };
        let late = self.produced - (next.media_time + offset);
        if late < 0 {
            return Decision::Wait { samples: clip(-late, wanted) };
        }
        // What was waiting before the line began to turn is left out, so that no delay is begun with.
        if late > i64::from(next.samples) - REST_MIN || self.too_old(next) {
            return Decision::Discard { sequence: next.sequence };
        }
        let offset = if is_guess { offset + late } else { offset };
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
        Decision::Conceal { samples: wanted, next_in: None }
    }

    fn proceed(&mut self, spurt: Talkspurt, next: Waiting, wanted: u32, pausing: bool) -> Decision {
        let end = next.media_time + i64::from(next.samples);
        if end <= spurt.position || self.too_old(next) {
            return Decision::Discard { sequence: next.sequence };
        }
        let target = self.aim().unwrap_or(spurt.offset);
        let gap = next.media_time - spurt.position;
        let late = self.produced - (next.media_time + spurt.offset);
        if gap <= 0 && late == 0 {
            return self.in_time(spurt, next, target, pausing);
        }
        // Something is missing: the gap takes up what the offset should change by, if there is no
        // voice or if many packets are missed.
        let (off, tolerance) = (target - spurt.offset, i64::from(self.config.tolerance));
        let offset = if self.misses_many() || (pausing && off > tolerance) {
            spurt.offset.max(target)
        } else if pausing && -off > tolerance {
            spurt.offset - (-off).min(gap.max(0))
        } else {
            spurt.offset
        };
        let late = self.produced - (next.media_time + offset);
        if -late > i64::from(self.config.pause_after) || (late < 0 && next.marker) {
            // The sender was silent (DTX): a new talkspurt, at the target delay.
            self.pause();
            return Decision::Wait { samples: clip(-late, wanted) };
        }
        if let Some(spurt) = &mut self.spurt {
            // In the gap there is nothing that the new offset could tear apart.
            spurt.offset = offset;
        }
        if late < 0 {
            let next_in = u32::try_from(-late).ok();
            return Decision::Conceal { samples: clip(-late, wanted), next_in };
        }
        if late > i64::from(next.samples) - REST_MIN {
            return Decision::Discard { sequence: next.sequence };
        }
        self.play(next)
    }

    /// In time and in order: as it is, unless the delay should change and there is no voice, or it is
    /// far too long.
    fn in_time(&mut self, spurt: Talkspurt, next: Waiting, target: i64, pausing: bool) -> Decision {
        let (sequence, above) = (next.sequence, spurt.offset - target);
        let is_far = above > i64::from(self.config.quick_return);
        let since = match is_far {
            true => *self.above_since.get_or_insert(self.produced),
            false => {
                self.above_since = None;
                self.produced
            }
        };
        let in_speech = self.produced - since > ABOVE_FOR;
        if above.abs() <= i64::from(self.config.tolerance) || !(pausing || in_speech) {
            return self.play(next);
        }
        self.advance_over(next);
        let samples = above.unsigned_abs().min(i32::MAX as u64) as u32;
        match above > 0 {
            true => Decision::Shorten { sequence, samples, in_speech },
            false => Decision::Lengthen { sequence, samples },
        }
    }

    /// The packet from where its time has come.
    fn play(&mut self, next: Waiting) -> Decision {
        let skip = self.spurt.map_or(0, |spurt| self.produced - (next.media_time + spurt.offset));
        self.advance_over(next);
        Decision::Play {
            sequence: next.sequence,
            skip: skip.clamp(0, i64::from(next.samples)) as u32,
        }
    }

    fn advance_over(&mut self, next: Waiting) {
        self.packet = next.samples;
        self.losses -= self.losses / LOSSES_MEMORY;
        if let Some(spurt) = &mut self.spurt {
            if next.media_time > spurt.position {
                self.losses = (self.losses + LOSS).min(LOSSES_MAX);
            }
            spurt.position = next.media_time + i64::from(next.samples);
        }
    }

    /// The target, and the time of a packet more where packets are lost: then most often the one behind
    /// a gap has come before the gap is over, and can be led to.
    fn aim(&self) -> Option<i64> {
        let target = self.target.settled()?;
        let ahead = match self.losses > LOSSES_MANY {
            true => self.target.most_need() + i64::from(self.packet),
            false => target,
        };
        Some(target.max(ahead))
    }

    fn misses_many(&self) -> bool {
        (self.late & ((1 << LATE_OF) - 1)).count_ones() >= LATE_MANY
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
            Decision::Conceal { samples, .. } => {
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
                let skip = match decision {
                    Decision::Play { skip, .. } => skip,
                    _ => 0,
                };
                self.produced += i64::from(next.samples) - i64::from(skip);
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
