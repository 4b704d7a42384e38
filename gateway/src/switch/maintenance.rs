//! B channels that an operator blocks and resets, and the audit that finds stuck ones.
//!
//! The audit compares what call control, the lines and the D channels hold. What only one of them
//! knows, and still does at the next look, is given up, and the channel is restarted so that the
//! other end agrees. A channel that fails again and again rests
//! ([`trunkline_call::trunk::Trunks::failed`]) and is restarted when its rest is over: a dead one
//! costs a message in ten minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::Serialize;
use trunkline_call::LegId;
use trunkline_call::control::Release;
use trunkline_call::trunk::{BChannel, SpanIndex};
use trunkline_isdn::{CallId as LineCall, Request, ServiceState};

use super::{Switch, TEMPORARY_FAILURE};

/// How often channels are looked over. A call that only one side knows at one look may be about to
/// end; two looks are longer apart than the retransmissions of RELEASE (T308, Q.931 §9).
pub const AUDIT_EVERY: Duration = Duration::from_secs(10);

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// No new calls; those that are up go on.
    Block,
    /// Takes that back.
    Unblock,
    /// Ends the calls, and takes the channels back to idle at both ends (RESTART, Q.931 §5.5).
    Reset,
}

impl Deed {
    /// Its name in URLs, commands and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Reset => "reset",
        }
    }
}

impl FromStr for Deed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Block, Self::Unblock, Self::Reset];
        let found = all.into_iter().find(|deed| deed.name() == text);
        found.ok_or("write block, unblock or reset")
    }
}

/// An order of an operator.
#[derive(Clone, Debug)]
pub struct Order {
    /// Name of the span.
    pub span: String,
    /// Timeslot; none: all B channels of the span.
    pub timeslot: Option<u8>,
    /// What to do.
    pub deed: Deed,
}

/// What became of an order.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// The B channels.
    pub timeslots: Vec<u8>,
    /// How many of them are in calls still.
    pub busy: usize,
    /// What is yet to come.
    pub note: Option<&'static str>,
}

/// Why an order cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    /// No span has this name.
    #[error("there is no span named {0:?}")]
    NoSuchSpan(String),
    /// The span has no such B channel.
    #[error("timeslot {timeslot} of {span} is no B channel")]
    NoSuchChannel {
        /// The span.
        span: String,
        /// The timeslot.
        timeslot: u8,
    },
}

/// What only one side knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Suspect {
    /// A call on a D channel without a leg.
    Call(SpanIndex, LineCall),
    /// A leg whose call on the D channel is gone.
    Leg(LegId),
}

/// What the audit remembers.
#[derive(Debug)]
pub struct Maintenance {
    /// When it looks next.
    pub audit_at: Instant,
    suspects: BTreeSet<Suspect>,
    counts: BTreeMap<&'static str, u64>,
}

impl Default for Maintenance {
    fn default() -> Self {
        let counts = ["stuck_channels", "stuck_calls", "stuck_legs", "rests", "restarts"];
        Self {
            audit_at: Instant::now() + AUDIT_EVERY,
            suspects: BTreeSet::new(),
            counts: counts.map(|name| (name, 0)).into(),
        }
    }
}

impl Maintenance {
    /// What was found and done since the start.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }
}

impl Switch {
    /// Carries out an order of an operator.
    pub fn maintain(&mut self, order: &Order) -> Result<Done, MaintenanceError> {
        let now = Instant::now();
        let spans = &self.lines.spans;
        let index = spans.iter().position(|span| span.name == order.span);
        let index = index.ok_or_else(|| MaintenanceError::NoSuchSpan(order.span.clone()))?;
        let b_channels = spans[index].variant.b_channels;
        let timeslots = match order.timeslot {
            None => b_channels.to_vec(),
            Some(timeslot) if b_channels.contains(&timeslot) => vec![timeslot],
            Some(timeslot) => {
                let span = order.span.clone();
                return Err(MaintenanceError::NoSuchChannel { span, timeslot });
            }
        };
        let deed = order.deed.name();
        tracing::warn!(span = %order.span, timeslot = order.timeslot, "operator: {deed}");
        for &timeslot in &timeslots {
            let channel = BChannel { span: index, timeslot };
            match order.deed {
                Deed::Block => self.set_blocked(now, channel, true),
                Deed::Unblock => self.set_blocked(now, channel, false),
                Deed::Reset => self.control.trunks.set_restarting(channel, true),
            }
        }
        if order.deed == Deed::Reset {
            self.lines.spans[index].interface.restart(now, order.timeslot);
        }
        self.carry_out(now);
        self.tell_service();
        let is_busy = |timeslot: &&u8| {
            let channel = BChannel { span: index, timeslot: **timeslot };
            self.control.trunks.busy().any(|busy| busy == channel)
        };
        let busy = timeslots.iter().filter(is_busy).count();
        let is_up = self.lines.spans[index].interface.is_up();
        let note = match order.deed {
            Deed::Reset if !is_up => Some("restarted as soon as the data link is up"),
            Deed::Reset => Some("idle when the other end acknowledges; see /status"),
            Deed::Block if busy > 0 => Some("calls that are up go on"),
            Deed::Block | Deed::Unblock => None,
        };
        Ok(Done { timeslots, busy, note })
    }

    fn set_blocked(&mut self, now: Instant, channel: BChannel, is_blocked: bool) {
        self.control.trunks.set_blocked(channel, is_blocked);
        let state = if is_blocked { ServiceState::OutOfService } else { ServiceState::InService };
        // Where the variant has no SERVICE, calls of the other end find out by cause 44.
        let interface = &mut self.lines.spans[channel.span].interface;
        if let Err(error) = interface.announce_service(now, channel.timeslot, state) {
            tracing::debug!(%error, "the other end is not told by SERVICE");
        }
    }

    /// Channels were restarted by either end; all of the span without a list.
    pub(super) fn restarted(&mut self, span: SpanIndex, channels: Option<Vec<u8>>) {
        tracing::info!(span = %self.lines.spans[span].name, ?channels, "restarted");
        for channel in self.channels(span, channels) {
            self.control.trunks.restarted(channel);
        }
    }

    /// A restart was not acknowledged; of the whole span without a channel.
    pub(super) fn restart_failed(&mut self, now: Instant, span: SpanIndex, channel: Option<u8>) {
        let name = &self.lines.spans[span].name;
        tracing::warn!(span = %name, ?channel, "restart not acknowledged");
        for channel in self.channels(span, channel.map(|channel| vec![channel])) {
            if let Some(rest) = self.control.trunks.restart_failed(now, channel) {
                self.rests(channel, rest);
            }
        }
    }

    /// The other end says whether it has a channel in service.
    pub(super) fn service_told(&mut self, span: SpanIndex, timeslot: u8, state: ServiceState) {
        tracing::info!(span = %self.lines.spans[span].name, timeslot, ?state, "service");
        let is_blocked = state != ServiceState::InService;
        self.control.trunks.set_blocked_there(BChannel { span, timeslot }, is_blocked);
    }

    fn channels(&self, span: SpanIndex, timeslots: Option<Vec<u8>>) -> Vec<BChannel> {
        let all = self.lines.spans[span].variant.b_channels;
        let timeslots = timeslots.unwrap_or_else(|| all.to_vec());
        timeslots.into_iter().map(|timeslot| BChannel { span, timeslot }).collect()
    }

    /// A channel is left alone for a while.
    pub(super) fn rests(&mut self, channel: BChannel, rest: Duration) {
        let (span, timeslot) = (&self.lines.spans[channel.span].name, channel.timeslot);
        let rest_s = rest.as_secs();
        tracing::warn!(span = %span, timeslot, rest_s, "channel fails again and again: it rests");
        self.maintenance.count("rests");
    }

    /// Looks for what only one side knows, and for channels that have rested.
    pub(super) fn audit(&mut self, now: Instant) {
        self.maintenance.audit_at = now + AUDIT_EVERY;
        for channel in self.control.stuck_channels(|channel| self.dialling.holds(channel)) {
            let (span, timeslot) = (&self.lines.spans[channel.span].name, channel.timeslot);
            tracing::error!(span = %span, timeslot, "channel held by no call: freed");
            self.maintenance.count("stuck_channels");
            self.control.trunks.release(channel);
            if !self.lines.is_held(channel) {
                self.detach(channel);
            }
            self.restart(now, channel);
        }
        let suspects = self.suspects();
        let known = std::mem::replace(&mut self.maintenance.suspects, suspects.clone());
        for suspect in suspects.intersection(&known) {
            match *suspect {
                Suspect::Call(span, call) => {
                    let line = &mut self.lines.spans[span];
                    tracing::error!(span = %line.name, ?call, "call without a leg: cleared");
                    self.maintenance.count("stuck_calls");
                    let cause = TEMPORARY_FAILURE;
                    let request = Request::Disconnect { cause, in_band: false };
                    if let Err(error) = line.interface.request(now, call, request) {
                        tracing::debug!(%error, "it is being cleared already");
                    }
                }
                Suspect::Leg(leg) => {
                    tracing::error!(?leg, "leg without a call on the line: ended");
                    self.maintenance.count("stuck_legs");
                    self.line_gone(now, leg, Release::by_gateway(TEMPORARY_FAILURE));
                }
            }
        }
        for channel in self.control.trunks.due_for_restart(now) {
            let (span, timeslot) = (&self.lines.spans[channel.span].name, channel.timeslot);
            tracing::info!(span = %span, timeslot, "channel has rested: restarted");
            self.maintenance.count("restarts");
            self.restart(now, channel);
        }
    }

    fn restart(&mut self, now: Instant, channel: BChannel) {
        self.control.trunks.set_restarting(channel, true);
        self.lines.spans[channel.span].interface.restart(now, Some(channel.timeslot));
    }

    fn suspects(&self) -> BTreeSet<Suspect> {
        let spans = self.lines.spans.iter().enumerate();
        let calls =
            spans.flat_map(|(span, line)| line.interface.call_ids().map(move |call| (span, call)));
        let is_ours =
            |span, call| self.lines.leg_of(span, call).is_some() || self.dialling.has(span, call);
        let calls = calls
            .filter(|(span, call)| !is_ours(*span, *call))
            .map(|(span, call)| Suspect::Call(span, call));
        calls.chain(self.lines.without_call().map(Suspect::Leg)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_are_read_by_their_names() {
        for deed in [Deed::Block, Deed::Unblock, Deed::Reset] {
            assert_eq!(deed.name().parse(), Ok(deed));
        }
        assert!("destroy".parse::<Deed>().is_err());
    }
}
