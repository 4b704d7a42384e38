//! Session timers (RFC 4028): who refreshes, when, and when a silent call is over.

use std::time::{Duration, Instant};

/// The party that refreshes, as the `refresher` parameter says it: relative to the transaction
/// in which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresher {
    Uac,
    Uas,
}

/// A `Session-Expires` value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionExpires {
    pub interval_s: u32,
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a header value; `None` when it is no interval (§4).
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';');
        let interval_s = parts.next()?.trim().parse().ok()?;
        let refresher = parts
            .filter_map(|part| part.trim().split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"))
            .and_then(|(_, who)| match who.trim().to_ascii_lowercase().as_str() {
                "uac" => Some(Refresher::Uac),
                "uas" => Some(Refresher::Uas),
                _ => None,
            });
        Some(Self { interval_s, refresher })
    }
}

impl std::fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.interval_s)?;
        match self.refresher {
            Some(Refresher::Uac) => write!(f, ";refresher=uac"),
            Some(Refresher::Uas) => write!(f, ";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// What we want of sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Interval we ask for in s; none means we start no session timer ourselves.
    pub interval_s: Option<u32>,
    /// Shortest interval we accept in s.
    pub min_se_s: u32,
}

/// How a request that opens or refreshes a session is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No session timer.
    Untimed,
    /// Put this into the 2xx.
    Timed(SessionExpires),
    /// 422 with this Min-SE (§6).
    TooSmall { min_se_s: u32 },
}

/// The answerer's decision (§9).
pub(crate) fn answer(
    asked: Option<SessionExpires>,
    peer_supports_timer: bool,
    wish: Wish,
) -> Answer {
    match asked {
        Some(asked) if asked.interval_s < wish.min_se_s && peer_supports_timer => {
            Answer::TooSmall { min_se_s: wish.min_se_s }
        }
        Some(asked) => {
            // §9: the refresher named stands; else the caller if it can refresh, else we do.
            let refresher = match asked.refresher {
                Some(refresher) if peer_supports_timer => refresher,
                None if peer_supports_timer => Refresher::Uac,
                _ => Refresher::Uas,
            };
            Answer::Timed(SessionExpires {
                // A caller that cannot be told "too small" gets our least instead (§9).
                interval_s: asked.interval_s.max(wish.min_se_s),
                refresher: Some(refresher),
            })
        }
        None => match wish.interval_s {
            Some(interval_s) => Answer::Timed(SessionExpires {
                interval_s,
                refresher: Some(if peer_supports_timer { Refresher::Uac } else { Refresher::Uas }),
            }),
            None => Answer::Untimed,
        },
    }
}

/// A running session timer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub interval_s: u32,
    /// We refresh; else the far end does.
    pub ours: bool,
    since: Instant,
    refresh_sent: bool,
}

impl Session {
    pub(crate) fn start(interval_s: u32, ours: bool, now: Instant) -> Self {
        Self { interval_s, ours, since: now, refresh_sent: false }
    }

    /// The refresh is under way: do not ask for another before it is answered.
    pub(crate) fn refreshing(&mut self) {
        self.refresh_sent = true;
    }

    /// When we send a refresh: at half the interval (§10).
    pub(crate) fn refresh_at(&self) -> Option<Instant> {
        (self.ours && !self.refresh_sent)
            .then(|| self.since + Duration::from_secs(self.interval_s.into()) / 2)
    }

    /// When the session is over: shortly before the interval ends (§10), so that our BYE comes
    /// before the far end forgets the call.
    pub(crate) fn expires_at(&self) -> Instant {
        let interval = Duration::from_secs(self.interval_s.into());
        self.since + interval - (interval / 3).min(Duration::from_secs(32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish = Wish { interval_s: Some(1800), min_se_s: 90 };

    fn asked(interval_s: u32, refresher: Option<Refresher>) -> Option<SessionExpires> {
        Some(SessionExpires { interval_s, refresher })
    }

    #[test]
    fn header_value_is_read_and_written() {
        let read = SessionExpires::parse("1800 ; Refresher=UAS;x=1").unwrap();
        assert_eq!(read, SessionExpires { interval_s: 1800, refresher: Some(Refresher::Uas) });
        assert_eq!(read.to_string(), "1800;refresher=uas");
        assert_eq!(SessionExpires::parse("soon"), None);
    }

    #[test]
    fn interval_below_our_least_is_refused_with_min_se() {
        assert_eq!(answer(asked(30, None), true, WISH), Answer::TooSmall { min_se_s: 90 });
    }

    #[test]
    fn caller_without_timer_support_is_refreshed_by_us() {
        let Answer::Timed(ours) = answer(asked(30, Some(Refresher::Uac)), false, WISH) else {
            panic!("must be timed");
        };
        assert_eq!(ours, SessionExpires { interval_s: 90, refresher: Some(Refresher::Uas) });
        let Answer::Timed(ours) = answer(None, false, WISH) else { panic!("must be timed") };
        assert_eq!(ours.refresher, Some(Refresher::Uas));
    }

    #[test]
    fn caller_refreshes_when_it_can_and_names_nobody() {
        let Answer::Timed(theirs) = answer(asked(600, None), true, WISH) else {
            panic!("must be timed");
        };
        assert_eq!(theirs, SessionExpires { interval_s: 600, refresher: Some(Refresher::Uac) });
    }

    #[test]
    fn refresh_comes_at_half_and_expiry_before_the_end() {
        let now = Instant::now();
        let mut session = Session::start(1800, true, now);
        assert_eq!(session.refresh_at(), Some(now + Duration::from_secs(900)));
        assert_eq!(session.expires_at(), now + Duration::from_secs(1768));
        session.refreshing();
        assert_eq!(session.refresh_at(), None);
        assert_eq!(Session::start(90, false, now).refresh_at(), None);
        assert_eq!(Session::start(90, false, now).expires_at(), now + Duration::from_secs(60));
    }
}
