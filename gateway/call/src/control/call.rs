//! One call and its legs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkline_number::E164;

use super::hold::Telling;
use super::{CallId, LegId};
use crate::congestion::Congestion;
use crate::identity::{Calling, Redirection};
use crate::record::{LegEnd, LegMedium};
use crate::routing::{NumberType, PacketTarget};
use crate::trunk::BChannel;

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Being routed; the directory may have been asked.
    Inquiring,
    /// The egress leg is dialled.
    Dialling,
    /// The called party is alerted.
    Alerting,
    /// The called party answered.
    Answered,
    /// Legs are being released.
    Clearing,
}

/// A way to reach the called party that was not tried yet.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// A free B channel of a trunk group.
    Line { group: String, number_type: NumberType },
    /// A target on the packet side.
    Packet { target: PacketTarget },
}

#[derive(Debug)]
pub(super) struct Leg {
    pub id: LegId,
    pub medium: LegMedium,
    /// The B channel that this leg holds, until it is given back.
    pub channel: Option<BChannel>,
    pub end: Option<LegEnd>,
    /// `Action::Release` was given.
    pub releasing: bool,
    /// Nothing is left of it.
    pub gone: bool,
    /// What its party was told of the other's wish.
    pub telling: Telling,
}

impl Leg {
    pub fn new(id: LegId, medium: LegMedium, channel: Option<BChannel>) -> Self {
        Self {
            id,
            medium,
            channel,
            end: None,
            releasing: false,
            gone: false,
            telling: Telling::default(),
        }
    }

    /// It is on the packet side.
    pub fn is_packet(&self) -> bool {
        matches!(self.medium, LegMedium::Packet { .. })
    }
}

/// Whose numbers come with a call besides the called one.
#[derive(Clone, Debug, Default)]
pub(super) struct Parties {
    pub calling: Option<Calling>,
    pub redirection: Option<Redirection<E164>>,
}

#[derive(Debug)]
pub(super) struct Call {
    pub id: CallId,
    pub phase: Phase,
    pub called: String,
    pub number: Option<E164>,
    pub parties: Parties,
    pub ingress: Leg,
    /// The legs dialled, the current one last.
    pub egress: Vec<Leg>,
    pub ways: VecDeque<Way>,
    /// How many more switches it may pass behind the next.
    pub hops: u8,
    /// B channels that the other end refused for this call.
    pub refused_channels: Vec<BChannel>,
    pub offered_at: Instant,
    pub alerting_at: Option<Instant>,
    pub answered_at: Option<Instant>,
    pub ended_at: Option<Instant>,
    pub cause: u8,
    /// There was no room for it.
    pub refused: Option<Congestion>,
}

impl Call {
    pub fn new(
        id: CallId,
        now: Instant,
        ingress: Leg,
        called: String,
        number: Option<E164>,
        parties: Parties,
    ) -> Self {
        Self {
            id,
            phase: Phase::Inquiring,
            called,
            number,
            parties,
            ingress,
            egress: Vec::new(),
            ways: VecDeque::new(),
            hops: super::HOPS,
            refused_channels: Vec::new(),
            offered_at: now,
            alerting_at: None,
            answered_at: None,
            ended_at: None,
            cause: 0,
            refused: None,
        }
    }

    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        std::iter::once(&self.ingress).chain(&self.egress)
    }

    pub fn legs_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        std::iter::once(&mut self.ingress).chain(&mut self.egress)
    }

    pub fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs_mut().find(|known| known.id == leg)
    }

    /// The legs that talk with one another, where both are on the packet side: the one that called
    /// and the one that answered.
    pub fn talking_pair(&mut self) -> Option<[&mut Leg; 2]> {
        let legs = [&mut self.ingress, self.egress.last_mut()?];
        let are_up = self.phase == Phase::Answered
            && legs.iter().all(|leg| leg.is_packet() && !leg.releasing && !leg.gone);
        are_up.then_some(legs)
    }

    /// When an offer is made again that met one of theirs.
    pub fn offer_at(&self) -> Option<Instant> {
        let is_up = self.phase == Phase::Answered;
        self.legs().filter(|_| is_up).filter_map(|leg| leg.telling.deadline()).min()
    }

    /// When this call must have been answered.
    pub fn deadline(&self, setup_max: Duration) -> Option<Instant> {
        matches!(self.phase, Phase::Inquiring | Phase::Dialling | Phase::Alerting)
            .then(|| self.offered_at + setup_max)
    }
}
