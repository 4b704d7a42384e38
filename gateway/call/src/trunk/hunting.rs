//! The order in which a trunk group's B channels are tried.

use super::{BChannel, SpanIndex, Trunks};

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
    /// The channel whose last call is over longest: the load is even, and a channel that drops its
    /// calls at once is not the next again.
    LeastRecentlyUsed,
    /// The timeslots of our side upwards ([`Parity`]), then those of the other side downwards. Two
    /// ends that do so meet on their last channels only (Q.764 §2.10.1.3 has the rule for circuits).
    OddEven,
}

/// Which timeslots are a side's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parity {
    /// The odd ones: the user side's.
    #[default]
    Odd,
    /// The even ones: the network side's.
    Even,
}

impl Parity {
    fn has(self, timeslot: u8) -> bool {
        (timeslot % 2 == 1) == (self == Self::Odd)
    }
}

impl Trunks {
    /// The channels of a group's spans that are in service, the first to be tried first.
    pub(super) fn hunting_order(&self, group: usize) -> Vec<BChannel> {
        let (group, last) = &self.groups[group];
        let in_service = |span: &&SpanIndex| self.spans.get(**span).is_some_and(|s| s.in_service);
        let mut order: Vec<BChannel> = group
            .spans
            .iter()
            .filter(in_service)
            .flat_map(|&span| {
                self.spans[span].channels.keys().map(move |&timeslot| BChannel { span, timeslot })
            })
            .collect();
        match group.hunting {
            Hunting::Up => {}
            Hunting::Down => order.reverse(),
            Hunting::RoundRobin => {
                let after_last = last
                    .and_then(|last| order.iter().position(|channel| *channel == last))
                    .map_or(0, |position| (position + 1) % order.len());
                order.rotate_left(after_last);
            }
            Hunting::LeastRecentlyUsed => {
                let used_at =
                    |channel: &BChannel| self.channel(*channel).map(|known| known.used_at);
                order.sort_by_key(used_at);
            }
            Hunting::OddEven => {
                let is_own =
                    |channel: &BChannel| self.spans[channel.span].parity.has(channel.timeslot);
                let (own, other): (Vec<_>, Vec<_>) = order.into_iter().partition(is_own);
                order = own.into_iter().chain(other.into_iter().rev()).collect();
            }
        }
        order
    }
}
