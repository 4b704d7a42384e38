//! The calls: two legs each, from offer to record.
//!
//! An offer makes a call with its ingress leg. The call is routed (for calls from the line the
//! directory may be asked in between), an egress leg is dialled, progress and answer climb back
//! to the ingress leg, and the end of one leg ends the other. When the last leg is gone the
//! record is written and nothing of the call is left.
//!
//! ```text
//!  Inquiring ──▶ Dialling ──▶ Alerting ──▶ Answered ──▶ Clearing ──▶ (record)
//!      └────────────┴────────────┴── failure: next way, or clear ──▲
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use trunkline_number::{Dialled, E164};

use crate::congestion::Congestion;
use crate::identity::{Calling, Identity, Redirection};
use crate::interworking::{Location, cause};
use crate::record::{Between, CallRecord, LegEnd, LegMedium, LegRecord, ReleasedBy};
use crate::routing::{CallsFrom, LineNumber, NumberType, PacketTarget, Routing, Via};
use crate::trunk::{BChannel, SeizeError, SpanIndex, Trunks};

mod call;
mod hold;
#[cfg(test)]
mod tests;

use call::{Call, Leg, Parties, Phase, Way};
pub use hold::Wish;

/// A call of this gateway, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// A leg of this gateway, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// A call that comes in from the packet side.
#[derive(Clone, Debug)]
pub struct PacketOffer {
    /// The party, for the record.
    pub peer: String,
    /// Called number as written.
    pub called: String,
    /// Who calls, the number as written.
    pub calling: Option<Identity<String>>,
    /// Who redirected the call.
    pub redirection: Option<Redirection<String>>,
    /// How many more switches the call may pass, ourselves not counted (Max-Forwards of RFC 3261
    /// §20.22), where the caller says so.
    pub hops: Option<u8>,
}

/// A call that comes in from the line.
#[derive(Clone, Debug)]
pub struct LineOffer {
    /// The B channel that the other end chose.
    pub channel: BChannel,
    /// Called number.
    pub called: LineNumber,
    /// Who calls.
    pub calling: Option<Identity<LineNumber>>,
    /// Who redirected the call.
    pub redirection: Option<Redirection<LineNumber>>,
}

/// What the directory said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InquiryReply {
    /// Gateways that serve the number, best first.
    Gateways(Vec<PacketTarget>),
    /// No gateway serves the number.
    UnknownNumber,
    /// The number is known, but none of its gateways takes calls now.
    NoGateway,
    /// No directory answered.
    Unavailable,
}

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Q.850 cause.
    pub cause: u8,
    /// Where it was given, if that is known: kept from line to line.
    pub location: Option<Location>,
    /// SIP status, where one ended the leg.
    pub status: Option<u16>,
    /// Who wants it.
    pub by: ReleasedBy,
}

impl Release {
    /// The leg's party ends it with this cause; nothing else is known.
    pub fn with_cause(cause: u8) -> Self {
        Self { cause, location: None, status: None, by: ReleasedBy::Peer }
    }

    /// Whether the person at the far end gave the cause, and no network.
    pub fn is_from_user(&self) -> bool {
        self.location == Some(Location::USER)
    }

    /// The gateway itself gives the leg up.
    pub fn by_gateway(cause: u8) -> Self {
        Self { by: ReleasedBy::Gateway, ..Self::with_cause(cause) }
    }
}

/// What the owner of call control has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the directory; answer with [`CallControl::inquiry_answered`].
    Inquire {
        /// The call that waits.
        call: CallId,
        /// The number asked for.
        number: E164,
    },
    /// Send SETUP on this B channel.
    DialLine {
        /// The call.
        call: CallId,
        /// The new leg.
        leg: LegId,
        /// The seized channel.
        channel: BChannel,
        /// Called number in the form of the line.
        called: LineNumber,
        /// Calling number.
        calling: Option<Calling>,
        /// Who redirected the call.
        redirection: Option<Redirection<E164>>,
    },
    /// Call this target on the packet side.
    DialPacket {
        /// The call.
        call: CallId,
        /// The new leg.
        leg: LegId,
        /// Where to.
        target: PacketTarget,
        /// Called number.
        called: E164,
        /// Calling number.
        calling: Option<Calling>,
        /// Who redirected the call.
        redirection: Option<Redirection<E164>>,
        /// How many more switches the call may pass behind the target.
        hops: u8,
    },
    /// Connect the media of both legs.
    Join {
        /// The call.
        call: CallId,
        /// The leg that called.
        ingress: LegId,
        /// The leg that was dialled.
        egress: LegId,
    },
    /// The call is under way: CALL PROCEEDING towards a line, nothing more towards packets.
    Proceed {
        /// The ingress leg.
        leg: LegId,
    },
    /// Something can be heard before answer: 183, or PROGRESS with in-band information.
    Progress {
        /// The ingress leg.
        leg: LegId,
    },
    /// The called party is alerted: 180 or ALERTING.
    Alert {
        /// The ingress leg.
        leg: LegId,
        /// The called network sends its own ring-back tone in the voice channel.
        in_band: bool,
    },
    /// The called party answered: 200 or CONNECT.
    Answer {
        /// The ingress leg.
        leg: LegId,
    },
    /// Offer the party on this leg, which is on the packet side, a session in which the other party
    /// wishes this; tell the outcome by [`CallControl::offer_accepted`] or
    /// [`CallControl::offer_refused`].
    Offer {
        /// The leg.
        leg: LegId,
        /// What the other party wishes.
        wish: Wish,
    },
    /// End this leg; [`CallControl::leg_released`] must follow once nothing of it is left.
    Release {
        /// The leg.
        leg: LegId,
        /// Why.
        release: Release,
    },
    /// A B channel fails again and again, and is left alone for so long.
    Rests {
        /// The channel.
        channel: BChannel,
        /// How long.
        rest: Duration,
    },
    /// The call is over.
    Record(Box<CallRecord>),
}

/// Limits of call control.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls at a time; more are refused with cause 42.
    pub calls_max: usize,
    /// Longest time from offer to answer.
    pub setup_max: Duration,
}

impl Default for Limits {
    /// 10,000 calls. 200 s to answer: a little more than T301 gives the line (Q.931 §9.2: 180 s).
    fn default() -> Self {
        Self { calls_max: 10_000, setup_max: Duration::from_secs(200) }
    }
}

/// How many calls are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCount {
    /// Waiting for the directory.
    pub inquiring: usize,
    /// Dialled, nothing heard of the called party yet.
    pub dialling: usize,
    /// The called party is alerted.
    pub alerting: usize,
    /// Talking.
    pub answered: usize,
    /// Waiting for the last leg to go.
    pub clearing: usize,
}

/// All calls of a gateway.
#[derive(Debug)]
pub struct CallControl {
    /// Where numbers go.
    pub routing: Routing,
    /// B channels.
    pub trunks: Trunks,
    limits: Limits,
    draining: bool,
    media: Option<Congestion>,
    calls: BTreeMap<CallId, Call>,
    legs: BTreeMap<LegId, CallId>,
    calls_begun: u64,
    legs_begun: u64,
    actions: VecDeque<Action>,
}

impl CallControl {
    /// Call control without a call.
    pub fn new(routing: Routing, trunks: Trunks, limits: Limits) -> Self {
        Self {
            routing,
            trunks,
            limits,
            draining: false,
            media: None,
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            calls_begun: 0,
            legs_begun: 0,
            actions: VecDeque::new(),
        }
    }

    /// A call came in from the packet side.
    pub fn offered_by_packet(&mut self, now: Instant, offer: PacketOffer) -> (CallId, LegId) {
        let dialled = Dialled::parse(&offer.called, &self.routing.profile);
        let read = |text: &String| self.routing.understood(text);
        let parties = Parties {
            calling: offer.calling.and_then(|calling| calling.understood(read)),
            redirection: offer.redirection.and_then(|by| by.understood(read)),
        };
        let number = match &dialled {
            Ok(Dialled::E164(number)) => Some(*number),
            _ => None,
        };
        let medium = LegMedium::Packet { peer: offer.peer };
        let congestion = self.congestion();
        let (call, leg) = self.begin(now, medium, None, offer.called, number, parties);
        if let Some(congestion) = congestion {
            self.refuse(now, call, congestion);
            return (call, leg);
        }
        let Some(number) = number else {
            // Short codes are the exchange's own and are not reached through a gateway.
            let why = match dialled {
                Ok(_) => cause::UNALLOCATED_NUMBER,
                Err(_) => cause::INVALID_NUMBER_FORMAT,
            };
            self.clear(now, call, Release::with_cause(why));
            return (call, leg);
        };
        let ways = self.ways_to(&number, CallsFrom::Packet, now);
        let goes_on =
            ways.as_ref().is_none_or(|ways| matches!(ways.front(), Some(Way::Packet { .. })));
        match offer.hops.map(|hops| hops.checked_sub(1)) {
            // RFC 3261 §16.3, item 3. Behind a line there is no Max-Forwards to count.
            Some(None) if goes_on => {
                let why = Release::with_cause(cause::EXCHANGE_ROUTING_ERROR);
                self.clear(now, call, Release { status: Some(483), ..why });
            }
            hops => {
                let waiting = self.calls.get_mut(&call).expect("begun above");
                waiting.hops = hops.flatten().unwrap_or(HOPS);
                self.set_out(now, call, number, ways);
            }
        }
        (call, leg)
    }

    /// A call came in from the line. A channel that is already in use is refused with cause 44
    /// (Q.931 §5.2.3.1, §5.7).
    pub fn offered_by_line(&mut self, now: Instant, offer: LineOffer) -> (CallId, LegId) {
        let seized = self.trunks.seize_channel(offer.channel);
        let number = offer.called.to_e164(&self.routing.profile);
        let read = |number: &LineNumber| number.to_e164(&self.routing.profile);
        let parties = Parties {
            calling: offer.calling.and_then(|calling| calling.understood(read)),
            redirection: offer.redirection.and_then(|by| by.understood(read)),
        };
        let medium = LegMedium::Line { channel: offer.channel.into() };
        let own = seized.is_ok().then_some(offer.channel);
        let congestion = self.congestion();
        let (call, leg) =
            self.begin(now, medium, own, offer.called.digits.clone(), number, parties);
        if seized.is_err() {
            let why = Release::with_cause(cause::REQUESTED_CIRCUIT_NOT_AVAILABLE);
            self.clear(now, call, why);
            return (call, leg);
        }
        if let Some(congestion) = congestion {
            self.refuse(now, call, congestion);
            return (call, leg);
        }
        let Some(number) = number else {
            // A short code is the exchange's own. What makes no number is not all of one, as when its
            // caller has stopped dialling (Q.931 §5.2.4).
            let why = match Dialled::parse(&offer.called.digits, &self.routing.profile) {
                Ok(_) => cause::UNALLOCATED_NUMBER,
                Err(_) => cause::INVALID_NUMBER_FORMAT,
            };
            self.clear(now, call, Release::with_cause(why));
            return (call, leg);
        };
        self.actions.push_back(Action::Proceed { leg });
        let ways = self.ways_to(&number, CallsFrom::Line, now);
        self.set_out(now, call, number, ways);
        (call, leg)
    }

    /// The directory answered, or did not. A call that is gone meanwhile is left alone.
    pub fn inquiry_answered(&mut self, now: Instant, call: CallId, reply: InquiryReply) {
        let Some(waiting) = self.calls.get_mut(&call) else {
            return;
        };
        if waiting.phase != Phase::Inquiring {
            return;
        }
        match reply {
            InquiryReply::Gateways(targets) => {
                waiting.ways = targets.into_iter().map(|target| Way::Packet { target }).collect();
                self.dial_next(now, call, Release::with_cause(cause::NO_ROUTE_TO_DESTINATION));
            }
            InquiryReply::UnknownNumber => {
                self.clear(now, call, Release::with_cause(cause::UNALLOCATED_NUMBER));
            }
            InquiryReply::NoGateway => {
                self.clear(now, call, Release::with_cause(cause::NO_CIRCUIT_AVAILABLE));
            }
            InquiryReply::Unavailable => {
                self.clear(now, call, Release::with_cause(cause::NETWORK_OUT_OF_ORDER));
            }
        }
    }

    /// The egress leg's network can be heard before answer (Q.931 progress indicator 1 or 8, SIP
    /// 183 with a session description).
    pub fn leg_progressed(&mut self, leg: LegId) {
        if let Some(call) = self.call_of_egress(leg)
            && call.phase != Phase::Answered
        {
            let leg = call.ingress.id;
            self.actions.push_back(Action::Progress { leg });
        }
    }

    /// The called party is alerted.
    pub fn leg_alerting(&mut self, now: Instant, leg: LegId, in_band: bool) {
        if let Some(call) = self.call_of_egress(leg)
            && call.phase == Phase::Dialling
        {
            call.phase = Phase::Alerting;
            call.alerting_at = Some(now);
            let channel = call.egress.last().and_then(|egress| egress.channel);
            let leg = call.ingress.id;
            self.actions.push_back(Action::Alert { leg, in_band });
            channel.into_iter().for_each(|channel| _ = self.trunks.worked(channel));
        }
    }

    /// The called party answered.
    pub fn leg_answered(&mut self, now: Instant, leg: LegId) {
        if let Some(call) = self.call_of_egress(leg)
            && matches!(call.phase, Phase::Dialling | Phase::Alerting)
        {
            call.phase = Phase::Answered;
            call.answered_at = Some(now);
            call.ways.clear();
            let channel = call.egress.last().and_then(|egress| egress.channel);
            let leg = call.ingress.id;
            self.actions.push_back(Action::Answer { leg });
            channel.into_iter().for_each(|channel| _ = self.trunks.worked(channel));
        }
    }

    /// What the other party of this leg's call wishes: it limits what offers are answered. Those of
    /// the line wish a conversation.
    pub fn wish_to(&mut self, leg: LegId) -> Wish {
        self.pair_of(leg).map_or_else(Wish::default, |(own, _)| own.telling.wished())
    }

    /// The party on this leg has offered a session in which it wishes this, and was answered what
    /// [`CallControl::wish_to`] allows: hold, its end, or other terms for its own leg. The other party
    /// is told if it is on the packet side; the line knows no hold.
    pub fn leg_offered(&mut self, leg: LegId, wish: Wish) {
        let Some((own, other)) = self.pair_of(leg) else { return };
        own.telling.answered();
        let (leg, offer) = (other.id, other.telling.wish(wish));
        self.actions.extend(offer.map(|wish| Action::Offer { leg, wish }));
    }

    /// The party on this leg accepted an [`Action::Offer`].
    pub fn offer_accepted(&mut self, leg: LegId) {
        let Some((own, _)) = self.pair_of(leg) else { return };
        let offer = own.telling.accepted();
        self.actions.extend(offer.map(|wish| Action::Offer { leg, wish }));
    }

    /// The party on this leg refused an [`Action::Offer`], or it could not be made: for good, or since
    /// it met an offer of theirs, and another is made `after` that.
    pub fn offer_refused(&mut self, now: Instant, leg: LegId, after: Option<Duration>) {
        let Some((own, _)) = self.pair_of(leg) else { return };
        let offer = own.telling.refused(now, after);
        self.actions.extend(offer.map(|wish| Action::Offer { leg, wish }));
    }

    /// The party on this leg wants to end the call (DISCONNECT), or its signalling failed; the
    /// leg itself is still to be released.
    pub fn leg_disconnected(&mut self, now: Instant, leg: LegId, release: Release) {
        let Some(&id) = self.legs.get(&leg) else {
            return;
        };
        let call = self.calls.get_mut(&id).expect("a leg has its call");
        let ended = call.leg_mut(leg).expect("a leg is in its call");
        if ended.end.is_none() {
            ended.end = Some(end_of(release));
            ended.releasing = true;
            self.actions.push_back(Action::Release { leg, release });
        }
        self.leg_ended(now, id, leg, release);
    }

    /// Nothing is left of this leg: its party ended it, or an [`Action::Release`] was carried out.
    pub fn leg_released(&mut self, now: Instant, leg: LegId, release: Release) {
        let Some(id) = self.legs.remove(&leg) else {
            return;
        };
        let call = self.calls.get_mut(&id).expect("a leg has its call");
        let ended = call.leg_mut(leg).expect("a leg is in its call");
        ended.end.get_or_insert_with(|| end_of(release));
        ended.gone = true;
        if let Some(channel) = ended.channel.take() {
            self.trunks.release(channel);
        }
        self.leg_ended(now, id, leg, release);
        self.record_if_over(id);
    }

    /// A span went in or out of service. Its calls are not cleared here: the D channel reports
    /// each of them (Q.931 T309), and [`CallControl::clear_span`] does it at once on a line alarm.
    pub fn span_in_service(&mut self, span: SpanIndex, in_service: bool) {
        self.trunks.set_in_service(span, in_service);
    }

    /// Clears every call on a span, for a line that is gone.
    pub fn clear_span(&mut self, now: Instant, span: SpanIndex) {
        let release = Release::by_gateway(cause::DESTINATION_OUT_OF_ORDER);
        let on_span: Vec<LegId> = self
            .calls
            .values()
            .flat_map(Call::legs)
            .filter(|leg| leg.channel.is_some_and(|channel| channel.span == span))
            .map(|leg| leg.id)
            .collect();
        for leg in on_span {
            self.leg_disconnected(now, leg, release);
        }
    }

    /// Channels that are seized although no leg holds them. `is_held` says of a channel whether the
    /// owner holds it for a call that call control does not know yet.
    pub fn stuck_channels(&self, is_held: impl Fn(BChannel) -> bool) -> Vec<BChannel> {
        let legs = self.calls.values().flat_map(Call::legs);
        let held: BTreeSet<BChannel> = legs.filter_map(|leg| leg.channel).collect();
        let is_stuck = |channel: &BChannel| !held.contains(channel) && !is_held(*channel);
        self.trunks.busy().filter(is_stuck).collect()
    }

    /// Whether the media plane has room for another call: without it new ones are refused before
    /// anything is done for them.
    pub fn set_media(&mut self, congestion: Option<Congestion>) {
        self.media = congestion;
    }

    /// Why a call that came now would be refused, if it would.
    pub fn congestion(&self) -> Option<Congestion> {
        if self.draining {
            Some(Congestion::Draining)
        } else if self.calls.len() >= self.limits.calls_max {
            Some(Congestion::Calls)
        } else {
            self.media
        }
    }

    /// Refuses a call for want of room, with cause 42 (Q.850: switching equipment congestion).
    pub fn refuse(&mut self, now: Instant, call: CallId, congestion: Congestion) {
        if let Some(refused) = self.calls.get_mut(&call) {
            refused.refused = Some(congestion);
            let why = Release::by_gateway(cause::SWITCHING_EQUIPMENT_CONGESTION);
            self.clear(now, call, why);
        }
    }

    /// Takes no more calls. Calls that are up go on; [`CallControl::is_idle`] tells when the last
    /// is gone.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Clears every call, for a shutdown that cannot wait.
    pub fn clear_all(&mut self, now: Instant) {
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.clear(now, call, Release::with_cause(cause::NORMAL_CALL_CLEARING));
        }
    }

    /// Gives up every leg that is still there, so that each call gets its record: the end of the
    /// program does not wait for a peer that answers no release.
    pub fn abandon_all(&mut self, now: Instant) {
        let mut left: Vec<LegId> = self.legs.keys().copied().collect();
        left.sort_unstable();
        for leg in left {
            self.leg_released(now, leg, Release::by_gateway(cause::NORMAL_CALL_CLEARING));
        }
    }

    /// This leg is being released: nothing is to be started on it any more.
    pub fn is_releasing(&self, leg: LegId) -> bool {
        let call = self.legs.get(&leg).and_then(|id| self.calls.get(id));
        call.is_none_or(|call| call.legs().any(|known| known.id == leg && known.releasing))
    }

    /// No call is left.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// This leg called, and whoever it is put through to will be on the packet side as well: their
    /// media is one pair, to be opened when that side is dialled.
    pub fn will_be_pair(&self, leg: LegId) -> bool {
        let Some(call) = self.legs.get(&leg).and_then(|id| self.calls.get(id)) else {
            return false;
        };
        let goes_there = match call.egress.last() {
            Some(egress) => egress.is_packet(),
            // The directory names nothing but packet gateways.
            None => call.phase == Phase::Inquiring,
        };
        call.ingress.id == leg && call.ingress.is_packet() && goes_there
    }

    /// The leg that called and the leg that was dialled last, of the call of `leg`, if both are on
    /// the packet side: their media is one pair.
    pub fn packet_pair(&self, leg: LegId) -> Option<(LegId, LegId)> {
        let call = self.calls.get(self.legs.get(&leg)?)?;
        let egress = call.egress.last()?;
        let both = [&call.ingress, egress];
        both.iter().all(|leg| leg.is_packet()).then_some((call.ingress.id, egress.id))
    }

    /// This leg is the line's, and so is whoever is dialled for it: their channels are joined octet for
    /// octet, whatever those mean.
    pub fn is_crossing(&self, leg: LegId) -> bool {
        let call = self.legs.get(&leg).and_then(|id| self.calls.get(id));
        call.is_some_and(|call| {
            let is_line = |leg: &Leg| !leg.is_packet();
            is_line(&call.ingress) && call.egress.last().is_some_and(is_line)
        })
    }

    /// The leg that called, of the call of a leg.
    pub fn ingress_of(&self, leg: LegId) -> Option<LegId> {
        Some(self.calls.get(self.legs.get(&leg)?)?.ingress.id)
    }

    /// The call that a leg belongs to.
    pub fn call_of(&self, leg: LegId) -> Option<CallId> {
        self.legs.get(&leg).copied()
    }

    /// How many calls are in which phase.
    pub fn count(&self) -> CallCount {
        let mut count = CallCount::default();
        for call in self.calls.values() {
            match call.phase {
                Phase::Inquiring => count.inquiring += 1,
                Phase::Dialling => count.dialling += 1,
                Phase::Alerting => count.alerting += 1,
                Phase::Answered => count.answered += 1,
                Phase::Clearing => count.clearing += 1,
            }
        }
        count
    }

    /// How many calls are up between which sides.
    pub fn up_between(&self) -> BTreeMap<Between, usize> {
        let mut up = BTreeMap::new();
        for call in self.calls.values().filter(|call| call.phase == Phase::Answered) {
            if let Some(egress) = call.egress.last() {
                *up.entry(Between::of(&call.ingress.medium, &egress.medium)).or_default() += 1;
            }
        }
        up
    }

    /// When [`CallControl::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let answers = self.calls.values().filter_map(|call| call.deadline(self.limits.setup_max));
        let offers = self.calls.values().filter_map(Call::offer_at);
        answers.chain(offers).min()
    }

    /// Time has passed: calls that nobody answered in time are cleared, offers that met others are
    /// made again.
    pub fn timeout(&mut self, now: Instant) {
        let offers = self.calls.values_mut().filter_map(Call::talking_pair).flatten();
        for (leg, offer) in offers.map(|leg| (leg.id, leg.telling.timeout(now))) {
            self.actions.extend(offer.map(|wish| Action::Offer { leg, wish }));
        }
        let setup_max = self.limits.setup_max;
        let late: Vec<CallId> = self
            .calls
            .values()
            .filter(|call| call.deadline(setup_max).is_some_and(|deadline| deadline <= now))
            .map(|call| call.id)
            .collect();
        for call in late {
            let alerted = self.calls[&call].alerting_at.is_some();
            let why = if alerted { cause::NO_ANSWER } else { cause::RECOVERY_ON_TIMER_EXPIRY };
            self.clear(now, call, Release::with_cause(why));
        }
    }

    /// The next thing to do; drain it after every call of another method.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn begin(
        &mut self,
        now: Instant,
        medium: LegMedium,
        channel: Option<BChannel>,
        called: String,
        number: Option<E164>,
        parties: Parties,
    ) -> (CallId, LegId) {
        self.calls_begun += 1;
        let id = CallId(self.calls_begun);
        let leg = self.new_leg(id);
        let ingress = Leg::new(leg, medium, channel);
        self.calls.insert(id, Call::new(id, now, ingress, called, number, parties));
        (id, leg)
    }

    fn new_leg(&mut self, call: CallId) -> LegId {
        self.legs_begun += 1;
        let leg = LegId(self.legs_begun);
        self.legs.insert(leg, call);
        leg
    }

    /// The ways to a number; `None` where the directory has to be asked for them.
    fn ways_to(&self, number: &E164, from: CallsFrom, now: Instant) -> Option<VecDeque<Way>> {
        if let Some(phone) = self.routing.to_phone(number, now) {
            return Some(VecDeque::from([Way::Packet { target: phone.clone() }]));
        }
        match (self.routing.via(number, from), from) {
            (Some(Via::Directory), _) | (None, CallsFrom::Line) => None,
            (Some(Via::TrunkGroups { groups, number_type }), _) => {
                let number_type = *number_type;
                let way = |group: &String| Way::Line { group: group.clone(), number_type };
                Some(groups.iter().map(way).collect())
            }
            (Some(Via::Peers(peers)), _) => {
                Some(peers.iter().map(|target| Way::Packet { target: target.clone() }).collect())
            }
            (None, _) => Some(VecDeque::new()),
        }
    }

    /// Dials the first way of a call, or asks the directory for its ways.
    fn set_out(&mut self, now: Instant, id: CallId, number: E164, ways: Option<VecDeque<Way>>) {
        match ways {
            Some(ways) => {
                self.calls.get_mut(&id).expect("set out when begun").ways = ways;
                self.dial_next(now, id, Release::with_cause(cause::NO_ROUTE_TO_DESTINATION));
            }
            None => self.actions.push_back(Action::Inquire { call: id, number }),
        }
    }

    /// Dials the next way of a call; when none is left the call is cleared as the last way was.
    fn dial_next(&mut self, now: Instant, id: CallId, mut last: Release) {
        loop {
            let Some(call) = self.calls.get_mut(&id) else {
                return;
            };
            let Some(way) = call.ways.pop_front() else {
                self.clear(now, id, last);
                return;
            };
            match way {
                Way::Packet { target } => {
                    self.dial_packet(id, target);
                    return;
                }
                Way::Line { group, number_type } => {
                    match self.trunks.seize(&group, &call.refused_channels) {
                        Ok(channel) => {
                            // The group stays a way until answer: a channel that the other end
                            // refuses (glare) is not the end of the call.
                            call.ways.push_front(Way::Line { group, number_type });
                            self.dial_line(id, channel, number_type);
                            return;
                        }
                        Err(SeizeError::OutOfService | SeizeError::NoSuchGroup) => {
                            last = Release::with_cause(cause::NETWORK_OUT_OF_ORDER);
                        }
                        Err(SeizeError::Maintenance) => {
                            last = Release::with_cause(cause::TEMPORARY_FAILURE);
                        }
                        Err(_) => last = Release::with_cause(cause::NO_CIRCUIT_AVAILABLE),
                    }
                }
            }
        }
    }

    fn dial_line(&mut self, id: CallId, channel: BChannel, number_type: NumberType) {
        let leg = self.new_leg(id);
        let call = self.calls.get_mut(&id).expect("dialled for a call");
        let number = call.number.expect("only understood numbers are dialled");
        let called = LineNumber::from_e164(&number, number_type, &self.routing.profile);
        let medium = LegMedium::Line { channel: channel.into() };
        call.phase = Phase::Dialling;
        call.egress.push(Leg::new(leg, medium, Some(channel)));
        let (ingress, Parties { calling, redirection }) = (call.ingress.id, call.parties.clone());
        let dial = Action::DialLine { call: id, leg, channel, called, calling, redirection };
        self.actions.push_back(dial);
        self.actions.push_back(Action::Join { call: id, ingress, egress: leg });
    }

    fn dial_packet(&mut self, id: CallId, target: PacketTarget) {
        let leg = self.new_leg(id);
        let call = self.calls.get_mut(&id).expect("dialled for a call");
        let called = call.number.expect("only understood numbers are dialled");
        call.phase = Phase::Dialling;
        call.egress.push(Leg::new(leg, LegMedium::Packet { peer: target.0.clone() }, None));
        let (ingress, hops) = (call.ingress.id, call.hops);
        let Parties { calling, redirection } = call.parties.clone();
        let dial = Action::DialPacket { call: id, leg, target, called, calling, redirection, hops };
        self.actions.push_back(dial);
        self.actions.push_back(Action::Join { call: id, ingress, egress: leg });
    }

    /// What the end of one leg means for its call.
    fn leg_ended(&mut self, now: Instant, id: CallId, leg: LegId, release: Release) {
        let call = self.calls.get_mut(&id).expect("a leg has its call");
        if call.phase == Phase::Clearing {
            return;
        }
        let is_current_egress = call.egress.last().is_some_and(|egress| egress.id == leg);
        let is_ingress = call.ingress.id == leg;
        if !is_ingress && !is_current_egress {
            return; // An earlier way that was given up.
        }
        if is_current_egress && call.phase != Phase::Answered && may_try_another(release.cause) {
            let channel = match &call.egress.last().expect("current").medium {
                LegMedium::Line { channel } => {
                    Some(BChannel { span: channel.span, timeslot: channel.timeslot })
                }
                LegMedium::Packet { .. } => None,
            };
            if release.cause == cause::REQUESTED_CIRCUIT_NOT_AVAILABLE
                && let Some(channel) = channel
                && let Some(rest) = self.trunks.failed(now, channel)
            {
                self.actions.push_back(Action::Rests { channel, rest });
            }
            // Only a refused channel is worth another one of the same group, and not for ever.
            if release.cause == cause::REQUESTED_CIRCUIT_NOT_AVAILABLE
                && call.refused_channels.len() < CHANNELS_REFUSED_MAX
            {
                call.refused_channels.extend(channel);
            } else if channel.is_some() {
                call.ways.pop_front();
            }
            call.phase = Phase::Dialling;
            self.dial_next(now, id, release);
            return;
        }
        self.clear(now, id, release);
    }

    /// Ends a call: every leg that is still there is released.
    fn clear(&mut self, now: Instant, id: CallId, release: Release) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.phase == Phase::Clearing {
            return;
        }
        call.phase = Phase::Clearing;
        call.ended_at = Some(now);
        call.cause = release.cause;
        for leg in call.legs_mut() {
            if !leg.releasing && !leg.gone {
                leg.releasing = true;
                leg.end =
                    Some(LegEnd { cause: release.cause, status: None, by: ReleasedBy::Gateway });
                self.actions.push_back(Action::Release { leg: leg.id, release });
            }
        }
    }

    fn record_if_over(&mut self, id: CallId) {
        if self.calls[&id].legs().all(|leg| leg.gone) {
            let call = self.calls.remove(&id).expect("looked up above");
            self.actions.push_back(Action::Record(Box::new(record_of(call))));
        }
    }

    /// A packet leg of a call that is up, and the one at its other end if that is on the packet side
    /// too.
    fn pair_of(&mut self, leg: LegId) -> Option<(&mut Leg, &mut Leg)> {
        let [ingress, egress] = self.calls.get_mut(self.legs.get(&leg)?)?.talking_pair()?;
        if ingress.id == leg {
            Some((ingress, egress))
        } else {
            (egress.id == leg).then_some((egress, ingress))
        }
    }

    fn call_of_egress(&mut self, leg: LegId) -> Option<&mut Call> {
        let call = self.calls.get_mut(self.legs.get(&leg)?)?;
        let current = call.egress.last()?;
        (current.id == leg && !current.releasing && call.phase != Phase::Clearing).then_some(call)
    }
}

/// How many switches a call may pass that does not say how many (RFC 3261 §8.1.1.6).
const HOPS: u8 = 70;

/// After so many channels that the other end refused for one call, its map of the span and ours
/// differ; the next trunk group is tried.
const CHANNELS_REFUSED_MAX: usize = 3;

/// Whether a failure says nothing about the called party, so that another way may succeed.
fn may_try_another(why: u8) -> bool {
    matches!(
        why,
        cause::DESTINATION_OUT_OF_ORDER
            | cause::NO_CIRCUIT_AVAILABLE
            | cause::NETWORK_OUT_OF_ORDER
            | cause::TEMPORARY_FAILURE
            | cause::SWITCHING_EQUIPMENT_CONGESTION
            | cause::REQUESTED_CIRCUIT_NOT_AVAILABLE
            | 47
            | cause::RECOVERY_ON_TIMER_EXPIRY
    )
}

fn end_of(release: Release) -> LegEnd {
    LegEnd { cause: release.cause, status: release.status, by: release.by }
}

fn record_of(call: Call) -> CallRecord {
    let leg = |leg: Leg| LegRecord {
        leg: leg.id,
        medium: leg.medium,
        end: leg.end.expect("a leg that is gone has ended"),
    };
    CallRecord {
        call: call.id,
        called: call.called,
        number: call.number,
        calling: call.parties.calling.and_then(|by| by.number).map(|number| number.to_string()),
        redirecting: call
            .parties
            .redirection
            .and_then(|by| by.by.number)
            .map(|number| number.to_string()),
        ended_at: call.ended_at.expect("a call that is over has ended"),
        ingress: leg(call.ingress),
        egress: call.egress.into_iter().map(leg).collect(),
        offered_at: call.offered_at,
        alerting_at: call.alerting_at,
        answered_at: call.answered_at,
        cause: call.cause,
        refused: call.refused,
    }
}
