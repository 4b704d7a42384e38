//! New calls that are refused for want of room: what is looked at, what the operator is told, and
//! when a caller may try again.
//!
//! The media plane is asked before a call is offered to call control, and once a second besides, so
//! that the answers to OPTIONS and the log are right without calls. Call control refuses
//! (`CallControl::refuse`), for SIP and the line alike.

use std::time::{Duration, Instant};

use trunkline_call::LegId;
use trunkline_call::congestion::Congestion;
use trunkline_media::MediaError;

/// How often the media plane is asked when no calls come.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// New calls must have found room for so long before the log says that it is over: at a limit of
/// calls each call that ends makes room for one.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// What of the media plane there is no room in, if that is what it says.
pub fn of_media(error: &MediaError) -> Option<Congestion> {
    match error {
        // A worker that has not done what it was told a thousand commands ago has no time either.
        MediaError::Overloaded { .. } | MediaError::Busy { .. } => Some(Congestion::MediaLoad),
        MediaError::LegsExhausted { .. } => Some(Congestion::MediaLegs),
        MediaError::PortsExhausted { .. } => Some(Congestion::MediaPorts),
        _ => None,
    }
}

/// After so many seconds the caller of this leg may try again (RFC 3261 §20.33): 5 to 15.
///
/// Not longer: who is told so has to send us nothing at all in that time (§21.5.4), and calls end all
/// the time. Not the same for all: they would come back together.
pub fn retry_after_s(leg: LegId) -> u32 {
    5 + (leg.0 % 11) as u32
}

/// Remembers whether new calls are refused, and tells when that changes: not call by call.
#[derive(Debug, Default)]
pub struct CongestionWatch {
    now: Option<Spell>,
}

/// A time in which calls are refused.
#[derive(Debug)]
struct Spell {
    began: Instant,
    last_seen: Instant,
    refused: u64,
}

/// What the operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From now on new calls are refused.
    Begun,
    /// They are not any more.
    Over {
        /// How long they were.
        lasted: Duration,
        /// How many.
        refused: u64,
    },
}

impl CongestionWatch {
    /// How it stands now; what has changed by that.
    pub fn look(&mut self, now: Instant, is_congested: bool) -> Option<Change> {
        match &mut self.now {
            None if is_congested => {
                self.now = Some(Spell { began: now, last_seen: now, refused: 0 });
                Some(Change::Begun)
            }
            Some(spell) if is_congested => {
                spell.last_seen = now;
                None
            }
            Some(spell) if now.saturating_duration_since(spell.last_seen) >= OVER_AFTER => {
                let lasted = spell.last_seen.saturating_duration_since(spell.began);
                let refused = spell.refused;
                self.now = None;
                Some(Change::Over { lasted, refused })
            }
            _ => None,
        }
    }

    /// A call was refused.
    pub fn refused(&mut self) {
        if let Some(spell) = &mut self.now {
            spell.refused += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_is_told_when_it_begins_and_when_it_has_been_over_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = CongestionWatch::default();
        assert_eq!(watch.look(at(0), false), None);
        assert_eq!(watch.look(at(1), true), Some(Change::Begun));
        // A call in, a call out, for a minute: one spell.
        for second in 2..60 {
            assert_eq!(watch.look(at(second), second % 3 == 0), None);
            watch.refused();
        }
        assert_eq!(watch.look(at(66), false), None);
        let over = Change::Over { lasted: Duration::from_secs(56), refused: 58 };
        assert_eq!(watch.look(at(67), false), Some(over));
        assert_eq!(watch.look(at(68), false), None);
        assert_eq!(watch.look(at(69), true), Some(Change::Begun));
    }

    #[test]
    fn callers_are_sent_away_for_some_seconds_and_not_all_for_the_same() {
        let waits: Vec<u32> = (1..=22).map(|leg| retry_after_s(LegId(leg))).collect();
        assert!(waits.iter().all(|wait| (5..=15).contains(wait)));
        for wait in 5..=15 {
            assert_eq!(waits.iter().filter(|other| **other == wait).count(), 2);
        }
    }

    #[test]
    fn only_want_of_room_is_congestion() {
        let full = MediaError::LegsExhausted { limit: 1, workers: 1 };
        assert_eq!(of_media(&full), Some(Congestion::MediaLegs));
        let busy = MediaError::Overloaded { load_percent: 81, limit_percent: 80, workers: 2 };
        assert_eq!(of_media(&busy), Some(Congestion::MediaLoad));
        assert_eq!(of_media(&MediaError::Spec("wrong")), None);
    }
}
