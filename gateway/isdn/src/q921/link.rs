//! The data link: states, windows and timers of Q.921 §5 and Annex B.

mod vocabulary;

use std::collections::VecDeque;
use std::time::Instant;

use super::frame::{Control, Frame};
use crate::IsdnError;
pub use vocabulary::{LinkConfiguration, LinkCounters, LinkOutput, LinkState};

/// Numbers are counted modulo 128.
const MODULUS: u8 = 128;

/// Messages that wait for the window; a layer 3 that floods is cut off here.
const QUEUE_MAX: usize = 1_024;

/// A data link.
#[derive(Debug)]
pub struct DataLink {
    configuration: LinkConfiguration,
    state: LinkState,
    /// The owner wants the link up.
    wanted: bool,
    /// The owner was told last that it is up.
    told_established: bool,
    /// The owner was told that the link is down, or cannot be brought up.
    told_down: bool,
    /// V(S), V(A), V(R) of Q.921 §3.5.2.
    vs: u8,
    va: u8,
    vr: u8,
    /// Messages to send.
    queue: VecDeque<Vec<u8>>,
    /// Messages sent and not acknowledged, that of V(A) first.
    outstanding: VecDeque<Vec<u8>>,
    peer_busy: bool,
    reject_exception: bool,
    acknowledge_pending: bool,
    retransmissions: u32,
    t200: Option<Instant>,
    t203: Option<Instant>,
    retry_at: Option<Instant>,
    counters: LinkCounters,
    outputs: VecDeque<LinkOutput>,
}

impl DataLink {
    /// A link that is down.
    pub fn new(configuration: LinkConfiguration) -> Self {
        Self {
            configuration,
            state: LinkState::TeiAssigned4,
            wanted: false,
            told_established: false,
            told_down: false,
            vs: 0,
            va: 0,
            vr: 0,
            queue: VecDeque::new(),
            outstanding: VecDeque::new(),
            peer_busy: false,
            reject_exception: false,
            acknowledge_pending: false,
            retransmissions: 0,
            t200: None,
            t203: None,
            retry_at: None,
            counters: LinkCounters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The state.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// Messages can be sent.
    pub fn is_up(&self) -> bool {
        matches!(self.state, LinkState::MultipleFrameEstablished7 | LinkState::TimerRecovery8)
    }

    /// What was counted.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Brings the link up and keeps it up.
    pub fn establish(&mut self, now: Instant) {
        self.wanted = true;
        if self.state == LinkState::TeiAssigned4 {
            self.begin_establishment(now);
        }
    }

    /// Takes the link down in order (DISC).
    pub fn release(&mut self, now: Instant) {
        self.wanted = false;
        self.retry_at = None;
        self.discard();
        match self.state {
            LinkState::TeiAssigned4 | LinkState::AwaitingRelease6 => {}
            _ => {
                self.retransmissions = 0;
                self.state = LinkState::AwaitingRelease6;
                self.t203 = None;
                self.send_command(true, Control::Disconnect);
                self.start_t200(now);
            }
        }
    }

    /// The line is gone: the link is down at once, without a word to the peer.
    pub fn line_lost(&mut self) {
        self.wanted = false;
        self.go_down();
        self.told_down = false;
    }

    /// Sends a message. Without a link it is lost, as a call's messages then are.
    pub fn data(&mut self, now: Instant, message: Vec<u8>) {
        if message.len() > self.configuration.n201_octets {
            // The other end would establish the link anew for it (§5.8.5).
            self.counters.messages_too_long += 1;
            return;
        }
        let may_wait = self.is_up() || self.state == LinkState::AwaitingEstablishment5;
        if !may_wait || self.queue.len() >= QUEUE_MAX {
            self.counters.messages_lost += 1;
            return;
        }
        self.queue.push_back(message);
        self.send_queued(now);
    }

    /// A frame came from the line.
    pub fn frame(&mut self, now: Instant, octets: &[u8]) {
        self.counters.frames_received += 1;
        let from = self.configuration.side.other();
        match Frame::decode(octets, from, self.configuration.n201_octets) {
            Ok(frame) => self.received(now, frame),
            Err(error) => self.refused(now, error),
        }
        self.send_queued(now);
        if std::mem::take(&mut self.acknowledge_pending) && self.is_up() {
            self.send_response(false, Control::ReceiveReady { nr: self.vr });
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        if self.t200.is_some_and(|at| at <= now) {
            self.t200 = None;
            self.counters.t200_expired += 1;
            self.t200_expired(now);
        }
        if self.t203.is_some_and(|at| at <= now) {
            self.t203 = None;
            // Q.921 §5.8.4 d): silence; ask the peer.
            self.retransmissions = 0;
            self.enter_timer_recovery(now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if self.wanted && self.state == LinkState::TeiAssigned4 {
                self.begin_establishment(now);
            }
        }
    }

    /// When [`DataLink::timeout`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.t200, self.t203, self.retry_at].into_iter().flatten().min()
    }

    /// The next output.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    /// A frame that cannot be read.
    fn refused(&mut self, now: Instant, error: IsdnError) {
        self.counters.frames_refused += 1;
        match error {
            // §5.8.5: the condition is cleared by establishing anew. (A message over N201 would
            // never be acknowledged, and all behind it would wait for it.)
            IsdnError::UndefinedControl { .. }
            | IsdnError::WrongRole { .. }
            | IsdnError::InformationNotPermitted { .. }
            | IsdnError::InformationTooLong { .. } => {
                self.counters.frames_undefined += 1;
                if self.is_up() {
                    self.counters.errors += 1;
                    self.begin_establishment(now);
                }
            }
            // §2.9: not a frame of this link.
            _ => {}
        }
    }

    fn received(&mut self, now: Instant, frame: Frame<'_>) {
        use LinkState::{
            AwaitingEstablishment5, AwaitingRelease6, MultipleFrameEstablished7, TeiAssigned4,
            TimerRecovery8,
        };
        let poll = frame.poll_final;
        match (self.state, frame.control) {
            // §5.5.1.2: establishment by the peer; also anew, §5.7.
            (TeiAssigned4, Control::Sabme) => {
                self.send_response(poll, Control::UnnumberedAcknowledgement);
                self.come_up(now);
            }
            (AwaitingEstablishment5, Control::Sabme) => {
                // §5.5.5.1: both ends want the same.
                self.send_response(poll, Control::UnnumberedAcknowledgement);
            }
            (MultipleFrameEstablished7 | TimerRecovery8, Control::Sabme) => {
                self.send_response(poll, Control::UnnumberedAcknowledgement);
                self.counters.errors += 1;
                self.discard();
                self.come_up(now);
            }
            (AwaitingRelease6, Control::Sabme) => {
                // §5.5.5.2: contradicting commands.
                self.send_response(poll, Control::DisconnectedMode);
            }
            (TeiAssigned4 | AwaitingEstablishment5, Control::Disconnect) => {
                self.send_response(poll, Control::DisconnectedMode);
            }
            (AwaitingRelease6, Control::Disconnect) => {
                self.send_response(poll, Control::UnnumberedAcknowledgement);
            }
            (MultipleFrameEstablished7 | TimerRecovery8, Control::Disconnect) => {
                self.send_response(poll, Control::UnnumberedAcknowledgement);
                self.go_down();
                self.retry_later(now);
            }
            (AwaitingEstablishment5, Control::UnnumberedAcknowledgement) if poll => {
                self.come_up(now);
            }
            (AwaitingRelease6, Control::UnnumberedAcknowledgement | Control::DisconnectedMode)
                if poll =>
            {
                self.go_down();
                // The owner may have asked for the link anew while DISC was on its way.
                self.retry_later(now);
            }
            (AwaitingEstablishment5, Control::DisconnectedMode) if poll => {
                // §5.5.1.3: the peer refuses.
                self.not_established(now, true);
            }
            (TeiAssigned4, Control::DisconnectedMode) if !poll && self.wanted => {
                // §5.5.1.1: the peer asks to be established.
                self.begin_establishment(now);
            }
            (MultipleFrameEstablished7, Control::DisconnectedMode) if !poll => {
                self.counters.errors += 1;
                self.begin_establishment(now);
            }
            (TimerRecovery8, Control::DisconnectedMode) => {
                self.counters.errors += 1;
                self.begin_establishment(now);
            }
            (MultipleFrameEstablished7 | TimerRecovery8, Control::FrameReject) => {
                self.counters.errors += 1;
                self.begin_establishment(now);
            }
            (
                MultipleFrameEstablished7 | TimerRecovery8,
                Control::Information { ns, nr, message },
            ) => self.information(now, ns, nr, poll, message),
            (
                MultipleFrameEstablished7 | TimerRecovery8,
                Control::ReceiveReady { nr }
                | Control::ReceiveNotReady { nr }
                | Control::Reject { nr },
            ) => self.supervisory(now, frame, nr),
            // Connectionless messages and parameters (annex IV): nobody here wants them.
            (_, Control::UnnumberedInformation | Control::ExchangeIdentification) => {}
            _ => {
                // Unsolicited answers and frames without a link: Q.921 table II.1, ignored.
                self.counters.errors += 1;
            }
        }
    }

    fn information(&mut self, now: Instant, ns: u8, nr: u8, poll: bool, message: &[u8]) {
        if ns == self.vr {
            self.vr = next(self.vr);
            self.reject_exception = false;
            self.outputs.push_back(LinkOutput::Data(message.to_vec()));
            if poll {
                self.acknowledge_pending = false;
                self.send_response(true, Control::ReceiveReady { nr: self.vr });
            } else {
                self.acknowledge_pending = true;
            }
        } else if self.reject_exception {
            // §5.8.1: one REJ for a gap; a poll is still answered.
            if poll {
                self.send_response(true, Control::ReceiveReady { nr: self.vr });
            }
        } else {
            self.reject_exception = true;
            self.counters.rejects += 1;
            self.send_response(poll, Control::Reject { nr: self.vr });
        }
        if !self.is_valid(nr) {
            self.sequence_error(now);
        } else if self.state == LinkState::TimerRecovery8 {
            self.acknowledge(nr);
        } else {
            self.acknowledge_in_order(now, nr);
        }
    }

    fn supervisory(&mut self, now: Instant, frame: Frame<'_>, nr: u8) {
        self.peer_busy = matches!(frame.control, Control::ReceiveNotReady { .. });
        if frame.is_command && frame.poll_final {
            // §5.6.2: enquiry response.
            self.acknowledge_pending = false;
            self.send_response(true, Control::ReceiveReady { nr: self.vr });
        }
        if !self.is_valid(nr) {
            self.sequence_error(now);
            return;
        }
        let answers_our_poll = !frame.is_command && frame.poll_final;
        match self.state {
            LinkState::TimerRecovery8 if answers_our_poll => {
                // §5.6.7: the peer says where it stands; go on from there.
                self.acknowledge(nr);
                self.t200 = None;
                self.t203 = Some(now + self.configuration.t203);
                self.retransmit(nr);
                self.state = LinkState::MultipleFrameEstablished7;
                if self.peer_busy {
                    self.start_t200(now);
                }
            }
            LinkState::TimerRecovery8 => self.acknowledge(nr),
            _ if matches!(frame.control, Control::Reject { .. }) => {
                self.counters.rejects += 1;
                self.acknowledge(nr);
                self.t200 = None;
                self.t203 = Some(now + self.configuration.t203);
                self.retransmit(nr);
            }
            _ => {
                self.acknowledge_in_order(now, nr);
                if self.peer_busy && self.t200.is_none() {
                    self.t203 = None;
                    self.start_t200(now);
                }
            }
        }
    }

    /// §5.6.3.2: acknowledgement in state 7 with its timers.
    fn acknowledge_in_order(&mut self, now: Instant, nr: u8) {
        let is_news = nr != self.va;
        self.acknowledge(nr);
        if nr == self.vs {
            self.t200 = None;
            self.t203 = Some(now + self.configuration.t203);
        } else if is_news {
            self.start_t200(now);
        }
    }

    fn acknowledge(&mut self, nr: u8) {
        while self.va != nr {
            self.outstanding.pop_front();
            self.va = next(self.va);
        }
    }

    /// Puts what is outstanding from `nr` on back to the front of the queue.
    fn retransmit(&mut self, nr: u8) {
        self.counters.frames_repeated += self.outstanding.len() as u64;
        while let Some(message) = self.outstanding.pop_back() {
            self.queue.push_front(message);
        }
        self.vs = nr;
    }

    /// N(R) lies between V(A) and V(S).
    fn is_valid(&self, nr: u8) -> bool {
        let distance = |from: u8, to: u8| (to + MODULUS - from) % MODULUS;
        distance(self.va, nr) <= distance(self.va, self.vs)
    }

    /// §5.8.5: the peer acknowledges what was never sent.
    fn sequence_error(&mut self, now: Instant) {
        self.counters.sequence_errors += 1;
        self.counters.errors += 1;
        self.begin_establishment(now);
    }

    fn send_queued(&mut self, now: Instant) {
        if self.state != LinkState::MultipleFrameEstablished7 || self.peer_busy {
            return;
        }
        while self.outstanding.len() < usize::from(self.configuration.k) {
            let Some(message) = self.queue.pop_front() else { return };
            let control = Control::Information { ns: self.vs, nr: self.vr, message: &message };
            let frame = Frame { is_command: true, poll_final: false, control };
            let octets = frame.encode(self.configuration.side);
            self.put(octets);
            self.outstanding.push_back(message);
            self.vs = next(self.vs);
            self.acknowledge_pending = false;
            if self.t200.is_none() {
                self.t203 = None;
                self.start_t200(now);
            }
        }
    }

    fn t200_expired(&mut self, now: Instant) {
        match self.state {
            LinkState::AwaitingEstablishment5 | LinkState::AwaitingRelease6 => {
                if self.retransmissions >= self.configuration.n200 {
                    self.counters.errors += 1;
                    if self.state == LinkState::AwaitingEstablishment5 {
                        self.not_established(now, false);
                    } else {
                        self.go_down();
                        self.retry_later(now);
                    }
                    return;
                }
                self.retransmissions += 1;
                self.counters.frames_repeated += 1;
                let command = match self.state {
                    LinkState::AwaitingEstablishment5 => Control::Sabme,
                    _ => Control::Disconnect,
                };
                self.send_command(true, command);
                self.start_t200(now);
            }
            LinkState::MultipleFrameEstablished7 => {
                self.retransmissions = 0;
                self.enter_timer_recovery(now);
            }
            LinkState::TimerRecovery8 => {
                if self.retransmissions >= self.configuration.n200 {
                    // §5.6.7: the peer does not answer any more.
                    self.counters.errors += 1;
                    self.begin_establishment(now);
                } else {
                    self.retransmissions += 1;
                    self.enquire(now);
                }
            }
            LinkState::TeiAssigned4 => {}
        }
    }

    fn enter_timer_recovery(&mut self, now: Instant) {
        self.counters.recoveries += 1;
        self.state = LinkState::TimerRecovery8;
        self.t203 = None;
        self.enquire(now);
    }

    fn enquire(&mut self, now: Instant) {
        self.acknowledge_pending = false;
        self.send_command(true, Control::ReceiveReady { nr: self.vr });
        self.start_t200(now);
    }

    /// §5.5.1.1: SABME. What waits is kept; what was under way is lost.
    fn begin_establishment(&mut self, now: Instant) {
        self.peer_busy = false;
        self.reject_exception = false;
        self.acknowledge_pending = false;
        self.outstanding.clear();
        self.retransmissions = 0;
        self.state = LinkState::AwaitingEstablishment5;
        self.t203 = None;
        self.send_command(true, Control::Sabme);
        self.start_t200(now);
    }

    fn come_up(&mut self, now: Instant) {
        self.vs = 0;
        self.va = 0;
        self.vr = 0;
        self.outstanding.clear();
        self.peer_busy = false;
        self.reject_exception = false;
        self.acknowledge_pending = false;
        self.retry_at = None;
        self.t200 = None;
        self.t203 = Some(now + self.configuration.t203);
        self.state = LinkState::MultipleFrameEstablished7;
        self.counters.established += 1;
        self.told_established = true;
        self.told_down = false;
        self.outputs.push_back(LinkOutput::Established);
    }

    fn go_down(&mut self) {
        self.discard();
        self.t200 = None;
        self.t203 = None;
        self.retry_at = None;
        self.state = LinkState::TeiAssigned4;
        // An attempt that failed is no second release: layer 3 would start T309 anew each time.
        if std::mem::take(&mut self.told_established) {
            self.told_down = true;
            self.outputs.push_back(LinkOutput::Released);
        }
    }

    fn not_established(&mut self, now: Instant, refused: bool) {
        self.counters.establishments_failed += 1;
        self.go_down();
        if !std::mem::replace(&mut self.told_down, true) {
            self.outputs.push_back(LinkOutput::NotEstablished { refused });
        }
        self.retry_later(now);
    }

    fn retry_later(&mut self, now: Instant) {
        if self.wanted {
            self.retry_at = Some(now + self.configuration.retry);
        }
    }

    fn discard(&mut self) {
        self.queue.clear();
        self.outstanding.clear();
    }

    fn start_t200(&mut self, now: Instant) {
        self.t200 = Some(now + self.configuration.t200);
    }

    fn send_command(&mut self, poll_final: bool, control: Control<'_>) {
        let frame = Frame { is_command: true, poll_final, control };
        self.put(frame.encode(self.configuration.side));
    }

    fn send_response(&mut self, poll_final: bool, control: Control<'_>) {
        let frame = Frame { is_command: false, poll_final, control };
        self.put(frame.encode(self.configuration.side));
    }

    fn put(&mut self, octets: Vec<u8>) {
        self.counters.frames_sent += 1;
        self.outputs.push_back(LinkOutput::Frame(octets));
    }
}

fn next(number: u8) -> u8 {
    (number + 1) % MODULUS
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
