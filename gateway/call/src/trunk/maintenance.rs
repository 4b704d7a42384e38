//! Channels that are blocked, restarted, or rest since they fail.
//!
//! A channel that fails once may have met a call of the other end. One that fails again before it
//! has worked is dead at one of the ends, and calls that try it find that out one by one: it rests,
//! each time twice as long. At the end of its rest it is restarted (Q.931 §5.5), and gets calls
//! again when the other end acknowledges that, or calls on it.

use std::time::{Duration, Instant};

use super::{BChannel, Trunks};

/// Failures in succession that a channel may have before it rests.
const FAILURES_MAX: u32 = 2;

/// First rest of a channel.
const REST_FIRST: Duration = Duration::from_secs(15);

/// Longest rest of a channel: a dead one costs one RESTART in this time.
pub const REST_MAX: Duration = Duration::from_secs(600);

impl Trunks {
    /// Blocks a channel or takes that back. A call that is up on it goes on.
    pub fn set_blocked(&mut self, channel: BChannel, is_blocked: bool) {
        if let Some(known) = self.channel_mut(channel) {
            known.is_blocked = is_blocked;
        }
    }

    /// The other end blocks a channel for our calls, or takes that back (SERVICE).
    pub fn set_blocked_there(&mut self, channel: BChannel, is_blocked: bool) {
        if let Some(known) = self.channel_mut(channel) {
            known.is_blocked_there = is_blocked;
        }
    }

    /// The channel is blocked by our operator, in a call or not.
    pub fn is_blocked(&self, channel: BChannel) -> bool {
        self.channel(channel).is_some_and(|known| known.is_blocked)
    }

    /// A channel is being restarted, or that was given up.
    pub fn set_restarting(&mut self, channel: BChannel, is_restarting: bool) {
        if let Some(known) = self.channel_mut(channel) {
            known.is_restarting = is_restarting;
        }
    }

    /// A channel is idle at both ends.
    pub fn restarted(&mut self, channel: BChannel) {
        self.set_restarting(channel, false);
        self.worked(channel);
    }

    /// A call on the channel has come so far that the channel works. True if it was thought to fail.
    pub fn worked(&mut self, channel: BChannel) -> bool {
        let Some(known) = self.channel_mut(channel) else { return false };
        known.failures = 0;
        known.is_restarting = false;
        known.rests_until.take().is_some()
    }

    /// A call or a restart failed on the channel, for a reason of the channel's. Gives how long it
    /// rests from now on, if it does.
    pub fn failed(&mut self, now: Instant, channel: BChannel) -> Option<Duration> {
        let known = self.channel_mut(channel)?;
        known.failures = known.failures.saturating_add(1);
        let doubled = known.failures.checked_sub(FAILURES_MAX)?.min(16);
        let rest = (REST_FIRST * 2_u32.pow(doubled)).min(REST_MAX);
        known.rests_until = Some(now + rest);
        Some(rest)
    }

    /// A restart of the channel was not acknowledged: it is out of order (§5.5.1) and rests at once.
    pub fn restart_failed(&mut self, now: Instant, channel: BChannel) -> Option<Duration> {
        let known = self.channel_mut(channel)?;
        known.is_restarting = false;
        known.failures = known.failures.max(FAILURES_MAX - 1);
        self.failed(now, channel)
    }

    /// The channels whose rest is over, on spans in service: to be restarted.
    pub fn due_for_restart(&self, now: Instant) -> Vec<BChannel> {
        let is_due = |channel: &BChannel| {
            self.spans[channel.span].in_service
                && self.channel(*channel).is_some_and(|known| {
                    let is_over = known.rests_until.is_some_and(|until| until <= now);
                    is_over && !known.is_busy && !known.is_blocked && !known.is_restarting
                })
        };
        self.all().filter(is_due).collect()
    }

    /// The channels of a span, those that are blocked with `true`.
    pub fn channels_of(&self, span: usize) -> impl Iterator<Item = (BChannel, bool)> {
        let channels = self.spans.get(span).into_iter().flat_map(|known| known.channels.iter());
        channels.map(move |(&timeslot, known)| (BChannel { span, timeslot }, known.is_blocked))
    }
}
