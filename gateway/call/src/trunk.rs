//! Trunk groups, spans and B channels.
//!
//! A trunk group is a set of spans that lead to the same place. To seize a B channel is to hunt
//! through the group's channels in the configured order for one that is idle on a span in
//! service. Every channel that is seized is released exactly once; [`Trunks::count`] says at any
//! time how many are in which state.

use std::collections::BTreeMap;

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

/// Order in which a trunk group's B channels are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hunting {
    /// From the lowest timeslot of the first span upwards.
    Up,
    /// From the highest timeslot of the last span downwards. The other end of a PRI commonly
    /// hunts upwards, so this makes glare rare.
    #[default]
    Down,
    /// Onwards from the channel seized last.
    RoundRobin,
}

/// State of a B channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Free for a call.
    Idle,
    /// Seized for a call.
    Busy,
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
}

/// A span as call control sees it.
#[derive(Clone, Debug)]
struct Span {
    in_service: bool,
    channels: BTreeMap<u8, ChannelState>,
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
    /// Every channel of the spans in service is in a call.
    #[error("all channels of the trunk group are busy")]
    AllBusy,
    /// None of the group's spans is in service.
    #[error("no span of the trunk group is in service")]
    OutOfService,
    /// The channel does not exist.
    #[error("no such channel")]
    NoSuchChannel,
    /// The one channel asked for is not idle.
    #[error("the channel is busy")]
    Busy,
}

/// All spans and trunk groups of a gateway.
#[derive(Clone, Debug, Default)]
pub struct Trunks {
    spans: Vec<Span>,
    groups: Vec<(TrunkGroup, Option<BChannel>)>,
}

impl Trunks {
    /// Adds a span whose B channels are `timeslots`; it is out of service until
    /// [`Trunks::set_in_service`]. Gives the span's index.
    pub fn add_span(&mut self, timeslots: impl IntoIterator<Item = u8>) -> SpanIndex {
        self.spans.push(Span {
            in_service: false,
            channels: timeslots
                .into_iter()
                .map(|timeslot| (timeslot, ChannelState::Idle))
                .collect(),
        });
        self.spans.len() - 1
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
        let (group, last) = &self.groups[at];
        let mut order: Vec<BChannel> = group
            .spans
            .iter()
            .filter(|span| self.spans.get(**span).is_some_and(|span| span.in_service))
            .flat_map(|&span| {
                self.spans[span].channels.keys().map(move |&timeslot| BChannel { span, timeslot })
            })
            .collect();
        if order.is_empty() {
            return Err(SeizeError::OutOfService);
        }
        match group.hunting {
            Hunting::Up => {}
            Hunting::Down => order.reverse(),
            Hunting::RoundRobin => {
                let after_last = last
                    .and_then(|last| order.iter().position(|channel| *channel == last))
                    .map_or(0, |position| (position + 1) % order.len());
                order.rotate_left(after_last);
            }
        }
        let chosen = order
            .into_iter()
            .find(|channel| {
                self.state(*channel) == Some(ChannelState::Idle) && !avoid.contains(channel)
            })
            .ok_or(SeizeError::AllBusy)?;
        self.groups[at].1 = Some(chosen);
        self.set(chosen, ChannelState::Busy);
        Ok(chosen)
    }

    /// Seizes the one channel that the other end of the line chose.
    pub fn seize_channel(&mut self, channel: BChannel) -> Result<(), SeizeError> {
        match self.state(channel) {
            None => Err(SeizeError::NoSuchChannel),
            Some(ChannelState::Busy) => Err(SeizeError::Busy),
            Some(ChannelState::Idle) => {
                self.set(channel, ChannelState::Busy);
                Ok(())
            }
        }
    }

    /// Gives a channel back.
    pub fn release(&mut self, channel: BChannel) {
        self.set(channel, ChannelState::Idle);
    }

    /// State of one channel, `None` when there is no such channel.
    pub fn state(&self, channel: BChannel) -> Option<ChannelState> {
        self.spans.get(channel.span)?.channels.get(&channel.timeslot).copied()
    }

    /// How many of a span's channels are in which state.
    pub fn count(&self, span: SpanIndex) -> ChannelCount {
        let mut count = ChannelCount::default();
        let Some(span) = self.spans.get(span) else {
            return count;
        };
        for state in span.channels.values() {
            match state {
                ChannelState::Busy => count.busy += 1,
                ChannelState::Idle if span.in_service => count.idle += 1,
                ChannelState::Idle => count.out_of_service += 1,
            }
        }
        count
    }

    fn set(&mut self, channel: BChannel, state: ChannelState) {
        if let Some(slot) = self
            .spans
            .get_mut(channel.span)
            .and_then(|span| span.channels.get_mut(&channel.timeslot))
        {
            *slot = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_spans(hunting: Hunting) -> Trunks {
        let mut trunks = Trunks::default();
        for _ in 0..2 {
            let span = trunks.add_span([1, 2, 3]);
            trunks.set_in_service(span, true);
        }
        trunks.add_group(TrunkGroup { name: "a".into(), spans: vec![0, 1], hunting });
        trunks
    }

    fn seized(trunks: &mut Trunks) -> (usize, u8) {
        let channel = trunks.seize("a", &[]).unwrap();
        (channel.span, channel.timeslot)
    }

    #[test]
    fn hunting_goes_up_down_or_round() {
        let mut up = two_spans(Hunting::Up);
        assert_eq!([seized(&mut up), seized(&mut up)], [(0, 1), (0, 2)]);
        let mut down = two_spans(Hunting::Down);
        assert_eq!([seized(&mut down), seized(&mut down)], [(1, 3), (1, 2)]);
        let mut round = two_spans(Hunting::RoundRobin);
        let first = seized(&mut round);
        round.release(BChannel { span: first.0, timeslot: first.1 });
        assert_eq!((first, seized(&mut round)), ((0, 1), (0, 2)));
    }

    #[test]
    fn a_full_group_is_told_from_one_out_of_service() {
        let mut trunks = two_spans(Hunting::Up);
        for _ in 0..6 {
            seized(&mut trunks);
        }
        assert_eq!(trunks.seize("a", &[]), Err(SeizeError::AllBusy));
        trunks.set_in_service(0, false);
        trunks.set_in_service(1, false);
        assert_eq!(trunks.seize("a", &[]), Err(SeizeError::OutOfService));
        assert_eq!(trunks.seize("b", &[]), Err(SeizeError::NoSuchGroup));
    }

    #[test]
    fn a_span_out_of_service_is_passed_over_and_counted_so() {
        let mut trunks = two_spans(Hunting::Up);
        trunks.set_in_service(0, false);
        assert_eq!(seized(&mut trunks), (1, 1));
        assert_eq!(trunks.count(0), ChannelCount { idle: 0, busy: 0, out_of_service: 3 });
        assert_eq!(trunks.count(1), ChannelCount { idle: 2, busy: 1, out_of_service: 0 });
    }

    #[test]
    fn channels_that_the_other_end_refused_are_avoided() {
        let mut trunks = two_spans(Hunting::Up);
        let avoid = [BChannel { span: 0, timeslot: 1 }];
        assert_eq!(trunks.seize("a", &avoid), Ok(BChannel { span: 0, timeslot: 2 }));
    }

    #[test]
    fn a_channel_is_seized_once() {
        let mut trunks = two_spans(Hunting::Up);
        let channel = BChannel { span: 1, timeslot: 2 };
        assert_eq!(trunks.seize_channel(channel), Ok(()));
        assert_eq!(trunks.seize_channel(channel), Err(SeizeError::Busy));
        assert_eq!(
            trunks.seize_channel(BChannel { span: 1, timeslot: 16 }),
            Err(SeizeError::NoSuchChannel)
        );
    }
}
