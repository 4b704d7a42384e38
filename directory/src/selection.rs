//! Which gateways of a matched prefix an answer offers, in which order, and why not the others.

use serde::{Deserialize, Serialize};

use crate::gateways::{Gateways, Standing};
use crate::table::{CHOICES_MAX, Choice, Matched, WeekMinute};

/// The candidates of one number: first those that are offered, in the order to try them, then those
/// that are left out.
#[derive(Debug)]
pub struct Selection {
    candidates: [Candidate; CANDIDATES_MAX],
    count: usize,
    offered: usize,
}

/// A gateway of the matched prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// As the table has it; of one that is offered the preference is what the draw by weight gave.
    pub choice: Choice,
    /// Why it is not offered.
    pub left_out: Option<LeftOut>,
}

/// Why a gateway is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// Its lease ran out.
    Dead,
    /// It takes no new calls.
    Draining,
    /// Its circuits, or those of the trunk group, are in alarm.
    Alarmed,
    /// No circuit of it, or of the trunk group, is free.
    Full,
    /// As many of its circuits are busy as this route may take.
    Capacity,
    /// It is not offered at this hour.
    Hours,
}

impl LeftOut {
    /// In a word, as in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Draining => "draining",
            Self::Alarmed => "alarmed",
            Self::Full => "full",
            Self::Capacity => "capacity taken",
            Self::Hours => "out of hours",
        }
    }
}

/// An operator's route and as many that registered.
const CANDIDATES_MAX: usize = 2 * CHOICES_MAX;

impl Selection {
    /// Looks at all gateways of a prefix. `draw` is any number, new for each answer.
    pub fn new(matched: &Matched<'_>, gateways: &Gateways, at: WeekMinute, draw: u64) -> Self {
        const NONE: Candidate = Candidate {
            choice: Choice {
                gateway: 0,
                trunk_group: None,
                order: 0,
                preference: 0,
                weight: 0,
                capacity: None,
                hours: None,
            },
            left_out: None,
        };
        let mut selection = Self { candidates: [NONE; CANDIDATES_MAX], count: 0, offered: 0 };
        for (place, choice) in selection.candidates.iter_mut().zip(matched.choices()) {
            *place = Candidate { choice: *choice, left_out: left_out(choice, gateways, at) };
            selection.count += 1;
        }
        let candidates = &mut selection.candidates[..selection.count];
        // Few and nearly sorted: this allocates nothing.
        candidates.sort_unstable_by_key(|candidate| {
            let Choice { order, preference, gateway, .. } = candidate.choice;
            (candidate.left_out.is_some(), order, preference, gateway)
        });
        selection.offered = candidates.partition_point(|candidate| candidate.left_out.is_none());
        selection.draw(draw);
        selection
    }

    /// Those that an answer names, the first to be tried first.
    pub fn offered(&self) -> &[Candidate] {
        &self.candidates[..self.offered]
    }

    /// Those that it does not name.
    pub fn left_out(&self) -> &[Candidate] {
        &self.candidates[self.offered..self.count]
    }

    /// All.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates[..self.count]
    }

    /// Puts equals in an order drawn by weight, as RFC 2782 has it for SRV, and says it by ascending
    /// preferences, since NAPTRs have no weight.
    fn draw(&mut self, mut draw: u64) {
        let offered = &mut self.candidates[..self.offered];
        let equal = |a: &Candidate, b: &Candidate| {
            (a.choice.order, a.choice.preference) == (b.choice.order, b.choice.preference)
        };
        for equals in offered.chunk_by_mut(equal) {
            for first in 0..equals.len().saturating_sub(1) {
                let rest = &equals[first..];
                let sum: u64 = rest.iter().map(|other| u64::from(other.choice.weight)).sum();
                draw = scramble(draw);
                // Weight 0 comes only when nothing else is left.
                let mut point = if sum == 0 { 0 } else { draw % sum };
                let drawn = rest.iter().position(|other| {
                    let weight = u64::from(other.choice.weight);
                    let here = point < weight;
                    point = point.saturating_sub(weight);
                    here
                });
                equals.swap(first, first + drawn.unwrap_or(0));
            }
        }
        for place in 1..offered.len() {
            let before = offered[place - 1].choice;
            let here = &mut offered[place].choice;
            if here.order == before.order && here.preference <= before.preference {
                here.preference = before.preference.saturating_add(1);
            }
        }
    }
}

fn left_out(choice: &Choice, gateways: &Gateways, at: WeekMinute) -> Option<LeftOut> {
    let state = gateways.state(choice.gateway);
    let group = choice.trunk_group.and_then(|group| {
        state.trunk_groups.as_ref().and_then(|groups| groups.get(usize::from(group))).copied()
    });
    let whole = state.whole;
    let busy = whole.map_or(0, |circuits| circuits.total.saturating_sub(circuits.free));
    match state.standing {
        Standing::Dead => Some(LeftOut::Dead),
        Standing::Draining => Some(LeftOut::Draining),
        Standing::Alarmed => Some(LeftOut::Alarmed),
        _ if group.is_some_and(|group| group.alarmed) => Some(LeftOut::Alarmed),
        Standing::Full => Some(LeftOut::Full),
        _ if group.is_some_and(|group| group.free == 0) => Some(LeftOut::Full),
        _ if choice.capacity.is_some_and(|capacity| busy >= capacity.get()) => {
            Some(LeftOut::Capacity)
        }
        _ if choice.hours.is_some_and(|hours| !hours.contain(at)) => Some(LeftOut::Hours),
        Standing::InService => None,
    }
}

/// One step of splitmix64.
fn scramble(draw: u64) -> u64 {
    let mut mixed = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use crate::gateways::{Circuits, Gateway, State, Transport};
    use crate::table::{Digits, Route};

    fn gateways(states: Vec<State>) -> Gateways {
        let gateway = |place: usize| {
            Arc::new(Gateway {
                name: format!("g{place}"),
                authority: "127.0.0.1".into(),
                transport: Transport::Udp,
            })
        };
        Gateways::new((0..states.len()).map(gateway).collect()).with_states(states)
    }

    fn standing(standing: Standing) -> State {
        State { standing, ..State::default() }
    }

    fn select(choices: Vec<Choice>, gateways: &Gateways, draw: u64) -> Selection {
        let route = Route::new(choices);
        let matched =
            Matched { prefix: Digits::default(), provisioned: Some(&route), registered: None };
        Selection::new(&matched, gateways, WeekMinute::default(), draw)
    }

    fn places(candidates: &[Candidate]) -> Vec<u32> {
        candidates.iter().map(|candidate| candidate.choice.gateway).collect()
    }

    #[test]
    fn only_gateways_in_service_are_offered_and_the_others_have_their_reason() {
        let circuits = |total, free, alarmed| Circuits { total, free, alarmed };
        let groups: Arc<[Circuits]> =
            [circuits(30, 0, false), circuits(30, 4, false), circuits(30, 30, true)].into();
        let grouped = State {
            whole: Some(circuits(90, 34, false)),
            trunk_groups: Some(groups),
            ..State::default()
        };
        let gateways = gateways(vec![
            standing(Standing::Dead),
            standing(Standing::Draining),
            standing(Standing::Alarmed),
            standing(Standing::Full),
            grouped,
            standing(Standing::InService),
        ]);
        let choice = |gateway| Choice::new(gateway, 10, gateway as u16);
        let of_group =
            |group| Choice { trunk_group: Some(group), ..Choice::new(4, 20, group.into()) };
        let capacity = |most| Choice { capacity: NonZeroU32::new(most), ..Choice::new(4, 30, 1) };
        let hours = Choice { hours: "tu 00:00-24:00".parse().ok(), ..Choice::new(5, 40, 1) };
        let mut choices: Vec<Choice> = (0..4).map(choice).collect();
        choices.extend([of_group(0), of_group(1), of_group(2), capacity(56), capacity(57), hours]);
        let selection = select(choices, &gateways, 1);
        let reasons: Vec<LeftOut> =
            selection.left_out().iter().filter_map(|candidate| candidate.left_out).collect();
        use LeftOut::{Alarmed, Capacity, Dead, Draining, Full, Hours};
        assert_eq!(reasons, [Dead, Draining, Alarmed, Full, Full, Alarmed, Capacity, Hours]);
        assert_eq!(places(selection.offered()), [4, 4]);
    }

    #[test]
    fn calls_among_equals_are_shared_by_weight() {
        let gateways = gateways(vec![State::default(); 4]);
        let choices: Vec<Choice> = [(0, 60), (1, 30), (2, 10), (3, 0)]
            .map(|(gateway, weight)| Choice { weight, ..Choice::new(gateway, 10, 10) })
            .to_vec();
        let mut first = [0; 4];
        for draw in 0..10_000 {
            let selection = select(choices.clone(), &gateways, draw);
            let offered = selection.offered();
            first[offered[0].choice.gateway as usize] += 1;
            assert_eq!(places(&offered[3..]), [3]);
            let preferences: Vec<u16> =
                offered.iter().map(|candidate| candidate.choice.preference).collect();
            assert_eq!(preferences, [10, 11, 12, 13]);
        }
        assert!((5_700..6_300).contains(&first[0]), "{first:?}");
        assert!((2_750..3_250).contains(&first[1]), "{first:?}");
        assert!((850..1_150).contains(&first[2]), "{first:?}");
    }

    #[test]
    fn order_is_stronger_than_any_weight() {
        let gateways = gateways(vec![State::default(); 3]);
        for draw in 0..100 {
            let choices = vec![
                Choice { weight: 1000, ..Choice::new(0, 20, 1) },
                Choice::new(1, 10, 2),
                Choice::new(2, 10, 1),
            ];
            assert_eq!(places(select(choices, &gateways, draw).offered()), [2, 1, 0]);
        }
    }
}
