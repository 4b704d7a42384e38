//! Timers of Q.931 §9.

use std::time::{Duration, Instant};

use crate::Side;

/// A timer, by its name in the standard. Those of broadcast SETUP (T312), segments (T314),
/// suspended calls (T307, T318, T319), packets (T320) and a second D channel (T321) belong to
/// procedures that a point-to-point primary rate interface does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// T301: the called party is alerted.
    T301,
    /// T302: more digits are awaited (overlap receiving).
    T302,
    /// T303: SETUP was sent.
    T303,
    /// T304: digits are sent (overlap sending).
    T304,
    /// T305: DISCONNECT was sent.
    T305,
    /// T306: DISCONNECT was sent by the network and a tone is given with it.
    T306,
    /// T308: RELEASE was sent.
    T308,
    /// T309: the data link is down under a call.
    T309,
    /// T310: CALL PROCEEDING was received.
    T310,
    /// T313: CONNECT was sent by the user.
    T313,
    /// T316: RESTART was sent.
    T316,
    /// T322: STATUS ENQUIRY was sent.
    T322,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::T301,
        Self::T302,
        Self::T303,
        Self::T304,
        Self::T305,
        Self::T306,
        Self::T308,
        Self::T309,
        Self::T310,
        Self::T313,
        Self::T316,
        Self::T322,
    ];

    /// The timer of a name, as a configuration gives it: `t303`.
    pub fn by_name(name: &str) -> Option<Self> {
        let number = name.strip_prefix('t')?.parse().ok()?;
        Self::ALL.into_iter().find(|timer| timer.number() == number)
    }

    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Self::T301 => 301,
            Self::T302 => 302,
            Self::T303 => 303,
            Self::T304 => 304,
            Self::T305 => 305,
            Self::T306 => 306,
            Self::T308 => 308,
            Self::T309 => 309,
            Self::T310 => 310,
            Self::T313 => 313,
            Self::T316 => 316,
            Self::T322 => 322,
        }
    }
}

/// How long the timers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the standard's.
pub struct Timers {
    pub t301: Duration,
    pub t302: Duration,
    pub t303: Duration,
    pub t304: Duration,
    pub t305: Duration,
    pub t306: Duration,
    pub t308: Duration,
    pub t309: Duration,
    pub t310: Duration,
    pub t313: Duration,
    pub t316: Duration,
    pub t322: Duration,
}

impl Timers {
    /// The defaults of Q.931 tables 9-1 (network) and 9-2 (user); where a range is given, the value
    /// that most networks use.
    pub fn new(side: Side) -> Self {
        Self {
            t301: Duration::from_secs(180),
            t302: Duration::from_secs(15),
            t303: Duration::from_secs(4),
            t304: match side {
                Side::Network => Duration::from_secs(20),
                Side::User => Duration::from_secs(30),
            },
            t305: Duration::from_secs(30),
            t306: Duration::from_secs(30),
            t308: Duration::from_secs(4),
            t309: Duration::from_secs(90),
            // 10 s in table 9-1, 30 s to 120 s in table 9-2: what a private exchange needs that
            // forwards calls is within both sides' reach.
            t310: Duration::from_secs(40),
            t313: Duration::from_secs(4),
            t316: Duration::from_secs(120),
            t322: Duration::from_secs(4),
        }
    }

    /// Lets a timer run as long as this.
    pub fn set(&mut self, timer: Timer, duration: Duration) {
        *match timer {
            Timer::T301 => &mut self.t301,
            Timer::T302 => &mut self.t302,
            Timer::T303 => &mut self.t303,
            Timer::T304 => &mut self.t304,
            Timer::T305 => &mut self.t305,
            Timer::T306 => &mut self.t306,
            Timer::T308 => &mut self.t308,
            Timer::T309 => &mut self.t309,
            Timer::T310 => &mut self.t310,
            Timer::T313 => &mut self.t313,
            Timer::T316 => &mut self.t316,
            Timer::T322 => &mut self.t322,
        } = duration;
    }

    /// How long a timer runs.
    pub fn duration(&self, timer: Timer) -> Duration {
        match timer {
            Timer::T301 => self.t301,
            Timer::T302 => self.t302,
            Timer::T303 => self.t303,
            Timer::T304 => self.t304,
            Timer::T305 => self.t305,
            Timer::T306 => self.t306,
            Timer::T308 => self.t308,
            Timer::T309 => self.t309,
            Timer::T310 => self.t310,
            Timer::T313 => self.t313,
            Timer::T316 => self.t316,
            Timer::T322 => self.t322,
        }
    }
}

/// The timers that run for one call: the one of its state, and T309 and T322 beside it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    state: Option<(Timer, Instant)>,
    link: Option<Instant>,
    enquiry: Option<Instant>,
}

impl Running {
    pub(crate) fn start(&mut self, now: Instant, timer: Timer, timers: &Timers) {
        let at = now + timers.duration(timer);
        match timer {
            // §5.8.9: one that runs is not started anew.
            Timer::T309 => self.link = Some(self.link.unwrap_or(at)),
            Timer::T322 => self.enquiry = Some(at),
            _ => self.state = Some((timer, at)),
        }
    }

    /// Stops the timer of the state.
    pub(crate) fn stop(&mut self) {
        self.state = None;
    }

    pub(crate) fn stop_t309(&mut self) {
        self.link = None;
    }

    pub(crate) fn stop_t322(&mut self) {
        self.enquiry = None;
    }

    /// T309 runs: there is no data link.
    pub(crate) fn is_without_link(&self) -> bool {
        self.link.is_some()
    }

    pub(crate) fn is_enquiring(&self) -> bool {
        self.enquiry.is_some()
    }

    /// The timer of the state.
    #[cfg(test)]
    pub(crate) fn of_state(&self) -> Option<Timer> {
        self.state.map(|(timer, _)| timer)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.state.map(|(_, at)| at).into_iter().chain(self.link).chain(self.enquiry).min()
    }

    /// Takes a timer that has run out.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        if self.link.is_some_and(|at| at <= now) {
            self.link = None;
            return Some(Timer::T309);
        }
        if self.enquiry.is_some_and(|at| at <= now) {
            self.enquiry = None;
            return Some(Timer::T322);
        }
        let (timer, at) = self.state?;
        if at > now {
            return None;
        }
        self.state = None;
        Some(timer)
    }
}
