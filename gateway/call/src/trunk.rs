//! Trunk groups, spans and B channels.
//!
//! A trunk group is a set of spans that lead to the same place. To seize a B channel is to hunt
//! through the group's channels in the configured order for one that is idle on a span in
//! service. Every channel that is seized is released exactly once; [`Trunks::count`] says at any
//! time how many are in which state.
//!
//! | file | subject |
//! |---|---|
//! | `hunting.rs` | the order in which channels are tried |
//! | `maintenance.rs` | channels that are blocked, restarted, or rest since they fail |

use std::collections::BTreeMap;
use std::time::Instant;

mod hunting;
mod maintenance;
#[cfg(test)]
mod tests;

pub use hunting::{Hunting, Parity};
pub use maintenance::REST_MAX;

/// Number of a span in the configuration, from 0.
pub type SpanIndex = usize;

/// A B channel: a timeslot of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BChannel {
    /// The span.
    pub span: SpanIndex,
    /// The timeslot, numbered as on the wire (1 to 31 on an E1).
    pub timeslot: u8,
}

/// State of a B channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Free for a call.
    Idle,
    /// Seized for a call, whatever is wished for it.
    Busy,
    /// Blocked by the operator of this end or of the other.
    Blocked,
    /// Being restarted: it is idle when the other end has acknowledged that.
    Restarting,
    /// It failed several times in succession, and is left alone for a while.
    Resting,
}

/// How many B channels are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCount {
    /// Free on a span in service.
    pub idle: usize,
    /// Seized for a call.
    pub busy: usize,
    /// Free, but on a span that is out of service.
    pub out_of_service: usize,
    /// Free on a span in service, and blocked.
    pub blocked: usize,
    /// Free on a span in service, and being restarted.
    pub restarting: usize,
    /// Free on a span in service, and left alone since they fail.
    pub resting: usize,
}

impl ChannelCount {
    /// All of them.
    pub fn total(&self) -> usize {
        let Self { idle, busy, out_of_service, blocked, restarting, resting } = self;
        idle + busy + out_of_service + blocked + restarting + resting
    }

    fn add(&mut self, other: Self) {
        self.idle += other.idle;
        self.busy += other.busy;
        self.out_of_service += other.out_of_service;
        self.blocked += other.blocked;
        self.restarting += other.restarting;
        self.resting += other.resting;
    }
}

/// A B channel as call control sees it.
#[derive(Clone, Debug, Default)]
struct Channel {
    is_busy: bool,
    is_blocked: bool,
    /// Blocked at the other end.
    is_blocked_there: bool,
    is_restarting: bool,
    /// Failures in succession.
    failures: u32,
    /// It rests, and is restarted behind this.
    rests_until: Option<Instant>,
    /// Counts up with every seizure and release of any channel.
    used_at: u64,
}

impl Channel {
    fn state(&self) -> ChannelState {
        if self.is_busy {
            ChannelState::Busy
        } else if self.is_blocked || self.is_blocked_there {
            ChannelState::Blocked
        } else if self.is_restarting {
            ChannelState::Restarting
        } else if self.rests_until.is_some() {
            ChannelState::Resting
        } else {
            ChannelState::Idle
        }
    }
}

/// A span as call control sees it.
#[derive(Clone, Debug)]
struct Span {
    in_service: bool,
    parity: Parity,
    channels: BTreeMap<u8, Channel>,
}

/// A trunk group as configured.
#[derive(Clone, Debug)]
pub struct TrunkGroup {
    /// Name, as routes call it.
    pub name: String,
    /// Its spans, in hunting order.
    pub spans: Vec<SpanIndex>,
    /// Order of hunting.
    pub hunting: Hunting,
}

/// Why no B channel was seized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeizeError {
    /// There is no such trunk group.
    #[error("no such trunk group")]
    NoSuchGroup,
    /// Every channel that a call may have is in a call.
    #[error("all channels of the trunk group are busy")]
    AllBusy,
    /// Spans are in service, but all their channels are blocked, being restarted, or rest.
    #[error("all channels of the trunk group are under maintenance")]
    Maintenance,
    /// None of the group's spans is in service.
    #[error("no span of the trunk group is in service")]
    OutOfService,
    /// The channel does not exist.
    #[error("no such channel")]
    NoSuchChannel,
    /// The one channel asked for is in a call.
    #[error("the channel is busy")]
    Busy,
    /// The one channel asked for is blocked.
    #[error("the channel is blocked")]
    Blocked,
}

/// All spans and trunk groups of a gateway.
#[derive(Clone, Debug, Default)]
pub struct Trunks {
    spans: Vec<Span>,
    groups: Vec<(TrunkGroup, Option<BChannel>)>,
    uses: u64,
}

impl Trunks {
    /// Adds a span whose B channels are `timeslots`; it is out of service until
    /// [`Trunks::set_in_service`]. Gives the span's index.
    pub fn add_span(&mut self, timeslots: impl IntoIterator<Item = u8>) -> SpanIndex {
        let channels = timeslots.into_iter().map(|timeslot| (timeslot, Channel::default()));
        self.spans.push(Span {
            in_service: false,
            parity: Parity::default(),
            channels: channels.collect(),
        });
        self.spans.len() - 1
    }

    /// The timeslots of a span that are ours first where a group hunts by side.
    pub fn set_parity(&mut self, span: SpanIndex, parity: Parity) {
        if let Some(span) = self.spans.get_mut(span) {
            span.parity = parity;
        }
    }

    /// Adds a trunk group.
    pub fn add_group(&mut self, group: TrunkGroup) {
        self.groups.push((group, None));
    }

    /// Puts a span in or out of service for new calls. Calls that are up are not touched here.
    pub fn set_in_service(&mut self, span: SpanIndex, in_service: bool) {
        if let Some(span) = self.spans.get_mut(span) {
            span.in_service = in_service;
        }
    }

    /// Hunts for an idle B channel of the group and seizes it.
    ///
    /// Channels in `avoid` are passed over: they were tried for the same call and the other end
    /// refused them.
    pub fn seize(&mut self, group: &str, avoid: &[BChannel]) -> Result<BChannel, SeizeError> {
        let at = self
            .groups
            .iter()
            .position(|(known, _)| known.name == group)
            .ok_or(SeizeError::NoSuchGroup)?;
        let order = self.hunting_order(at);
        if order.is_empty() {
            return Err(SeizeError::OutOfService);
        }
        let is_free = |channel: &&BChannel| {
            self.state(**channel) == Some(ChannelState::Idle) && !avoid.contains(channel)
        };
        let Some(chosen) = order.iter().find(is_free).copied() else {
            let comes_free = |channel| self.state(channel) == Some(ChannelState::Busy);
            let is_full = order.into_iter().any(comes_free) || !avoid.is_empty();
            return Err(if is_full { SeizeError::AllBusy } else { SeizeError::Maintenance });
        };
        self.groups[at].1 = Some(chosen);
        self.set_busy(chosen, true);
        Ok(chosen)
    }

    /// Seizes the one channel that the other end of the line chose. One that rested or was being
    /// restarted is alive, as this shows.
    pub fn seize_channel(&mut self, channel: BChannel) -> Result<(), SeizeError> {
        match self.state(channel) {
            None => Err(SeizeError::NoSuchChannel),
            Some(ChannelState::Busy) => Err(SeizeError::Busy),
            Some(_) if self.is_blocked(channel) => Err(SeizeError::Blocked),
            Some(_) => {
                self.worked(channel);
                self.set_busy(channel, true);
                Ok(())
            }
        }
    }

    /// Gives a channel back.
    pub fn release(&mut self, channel: BChannel) {
        self.set_busy(channel, false);
    }

    /// State of one channel, `None` when there is no such channel.
    pub fn state(&self, channel: BChannel) -> Option<ChannelState> {
        self.channel(channel).map(Channel::state)
    }

    /// How many of a span's channels are in which state.
    pub fn count(&self, span: SpanIndex) -> ChannelCount {
        let mut count = ChannelCount::default();
        let Some(span) = self.spans.get(span) else {
            return count;
        };
        for channel in span.channels.values() {
            match channel.state() {
                ChannelState::Busy => count.busy += 1,
                _ if !span.in_service => count.out_of_service += 1,
                ChannelState::Idle => count.idle += 1,
                ChannelState::Blocked => count.blocked += 1,
                ChannelState::Restarting => count.restarting += 1,
                ChannelState::Resting => count.resting += 1,
            }
        }
        count
    }

    /// How many of a group's channels are in which state, by the group's name.
    pub fn count_groups(&self) -> impl Iterator<Item = (&str, ChannelCount)> {
        self.groups.iter().map(|(group, _)| {
            let mut count = ChannelCount::default();
            group.spans.iter().for_each(|span| count.add(self.count(*span)));
            (group.name.as_str(), count)
        })
    }

    /// The channels that are in calls.
    pub fn busy(&self) -> impl Iterator<Item = BChannel> {
        self.all().filter(|channel| self.state(*channel) == Some(ChannelState::Busy))
    }

    /// Every channel.
    fn all(&self) -> impl Iterator<Item = BChannel> {
        self.spans.iter().enumerate().flat_map(|(span, known)| {
            known.channels.keys().map(move |&timeslot| BChannel { span, timeslot })
        })
    }

    fn channel(&self, channel: BChannel) -> Option<&Channel> {
        self.spans.get(channel.span)?.channels.get(&channel.timeslot)
    }

    fn channel_mut(&mut self, channel: BChannel) -> Option<&mut Channel> {
        self.spans.get_mut(channel.span)?.channels.get_mut(&channel.timeslot)
    }

    fn set_busy(&mut self, channel: BChannel, is_busy: bool) {
        self.uses += 1;
        let used_at = self.uses;
        if let Some(known) = self.channel_mut(channel) {
            known.is_busy = is_busy;
            known.used_at = used_at;
        }
    }
}
