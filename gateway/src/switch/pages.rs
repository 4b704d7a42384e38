//! The legs of calls from within web pages: their sessions, and what their pages are told.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use trunkline_call::LegId;
use trunkline_media::BesideReceiver;
use trunkline_webrtc::Session;

use crate::browser::{Accepted, CallRefused, PageEvent};

/// A page that asks late still learns how its call ended.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Events that can wait for a page: there are four kinds, each once.
const EVENTS: usize = 8;

/// How the POST of an offer is answered.
pub type Reply = oneshot::Sender<Result<Accepted, CallRefused>>;

/// A page's leg.
#[derive(Debug)]
pub struct PageLeg {
    /// Its secret name.
    pub id: String,
    /// How far it is.
    pub state: PageEvent,
    /// Who waits for the first answer, and what it is; none after that, or where there is no media.
    pub first: Option<(Reply, Option<Vec<u8>>)>,
    /// The path to the browser; none where there is no media.
    pub path: Option<(Session, BesideReceiver)>,
    /// Longest duration from the answer on.
    pub longest: Duration,
    /// When the call is ended for its length.
    pub ends_at: Option<Instant>,
    events: Option<mpsc::Sender<PageEvent>>,
    due: Option<Instant>,
}

impl PageLeg {
    /// A leg whose POST waits for its answer.
    pub fn new(reply: Reply, longest: Duration) -> Self {
        Self {
            // A generator for cryptography, seeded by the kernel: who knows the name has the call.
            id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 18]>()),
            state: PageEvent::Connecting,
            first: Some((reply, None)),
            path: None,
            longest,
            ends_at: None,
            events: None,
            due: None,
        }
    }

    /// Tells the page, if that is news.
    pub fn tell(&mut self, state: PageEvent) {
        if self.state != state {
            self.state = state;
            if let Some(events) = &self.events {
                // Whoever does not listen any more will be missed by other signs.
                let _ = events.try_send(state);
            }
        }
    }
}

/// How many calls pages have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageStatus {
    /// Legs in browsers that live now.
    pub open_legs: usize,
    /// Calls from pages since the start.
    pub offered: u64,
    /// Of those, calls that have reached the page by DTLS.
    pub secured: u64,
    /// Pages that went away without a word.
    pub lost: u64,
    /// Pages that could not be reached, or were not who their offer said.
    pub unreached: u64,
}

/// All legs of pages.
#[derive(Debug, Default)]
pub struct Pages {
    legs: HashMap<LegId, PageLeg>,
    by_id: HashMap<String, LegId>,
    deadlines: BTreeSet<(Instant, LegId)>,
    over: VecDeque<(Instant, String, PageEvent)>,
    /// Counters; `open_legs` is filled in when asked.
    pub counters: PageStatus,
}

impl Pages {
    /// Adds a leg.
    pub fn insert(&mut self, leg: LegId, page: PageLeg) {
        self.by_id.insert(page.id.clone(), leg);
        self.legs.insert(leg, page);
    }

    /// A leg, if it is a page's.
    pub fn of(&mut self, leg: LegId) -> Option<&mut PageLeg> {
        self.legs.get_mut(&leg)
    }

    /// The leg with this secret name.
    pub fn leg_of(&self, id: &str) -> Option<LegId> {
        self.by_id.get(id).copied()
    }

    /// Forgets a leg, but for how it ended.
    pub fn remove(&mut self, now: Instant, leg: LegId, ended: PageEvent) -> Option<PageLeg> {
        let mut page = self.legs.remove(&leg)?;
        self.by_id.remove(&page.id);
        self.deadlines.retain(|(_, other)| *other != leg);
        page.tell(ended);
        while self.over.front().is_some_and(|(until, ..)| *until <= now) {
            self.over.pop_front();
        }
        self.over.push_back((now + REMEMBERED, page.id.clone(), ended));
        Some(page)
    }

    /// The events of a call from its present state on; of one that is over, its end.
    pub fn listen(&mut self, id: &str) -> Option<mpsc::Receiver<PageEvent>> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        if let Some(page) = self.by_id.get(id).and_then(|leg| self.legs.get_mut(leg)) {
            let _ = sender.try_send(page.state);
            page.events = Some(sender);
            return Some(receiver);
        }
        let (_, _, ended) = self.over.iter().find(|(_, over, _)| over == id)?;
        let _ = sender.try_send(*ended);
        Some(receiver)
    }

    /// Notes when a leg wants to be looked at next.
    pub fn note_deadline(&mut self, leg: LegId) {
        let Some(page) = self.legs.get_mut(&leg) else { return };
        let of_session = page.path.as_ref().and_then(|(session, _)| session.next_deadline());
        let due = [of_session, page.ends_at].into_iter().flatten().min();
        if due != page.due {
            page.due.into_iter().for_each(|before| _ = self.deadlines.remove(&(before, leg)));
            due.into_iter().for_each(|due| _ = self.deadlines.insert((due, leg)));
            page.due = due;
        }
    }

    /// When the first leg wants to be looked at.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// The legs whose time has come.
    pub fn due(&self, now: Instant) -> Vec<LegId> {
        self.deadlines.iter().take_while(|(due, _)| *due <= now).map(|(_, leg)| *leg).collect()
    }

    /// The figures.
    pub fn status(&self) -> PageStatus {
        PageStatus { open_legs: self.legs.len(), ..self.counters }
    }
}
