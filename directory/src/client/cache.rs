//! Answers that may still be used.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::SipTarget;
use crate::table::Digits;

/// Routes by number until their TTL ends.
#[derive(Debug, Default)]
pub struct Cache(HashMap<Digits, Entry>);

#[derive(Debug)]
struct Entry {
    routes: Vec<SipTarget>,
    ends_at: Instant,
}

impl Cache {
    /// The routes of a number, if they are still good.
    pub fn routes(&self, number: Digits, now: Instant) -> Option<Vec<SipTarget>> {
        self.0.get(&number).filter(|entry| now < entry.ends_at).map(|entry| entry.routes.clone())
    }

    /// Keeps routes for as long as the directory allows, at most an hour.
    pub fn keep(
        &mut self,
        number: Digits,
        routes: Vec<SipTarget>,
        lifetime: Duration,
        now: Instant,
    ) {
        if lifetime.is_zero() {
            self.0.remove(&number);
            return;
        }
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&number) {
            self.0.retain(|_, entry| now < entry.ends_at);
            if self.0.len() >= ENTRIES_MAX {
                // All are good: begin again rather than search for the least useful one.
                self.0.clear();
            }
        }
        let ends_at = now + lifetime.min(LIFETIME_MAX);
        self.0.insert(number, Entry { routes, ends_at });
    }
}

const ENTRIES_MAX: usize = 4096;
const LIFETIME_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(value: usize) -> Digits {
        Digits::read(&value.to_string()).unwrap()
    }

    fn routes() -> Vec<SipTarget> {
        vec![SipTarget::read("sip:a@h").unwrap()]
    }

    #[test]
    fn routes_are_used_until_their_ttl_ends() {
        let mut cache = Cache::default();
        let start = Instant::now();
        cache.keep(digits(1), routes(), Duration::from_secs(60), start);
        assert_eq!(cache.routes(digits(1), start + Duration::from_secs(59)), Some(routes()));
        assert_eq!(cache.routes(digits(1), start + Duration::from_secs(60)), None);
        assert_eq!(cache.routes(digits(2), start), None);
        cache.keep(digits(2), routes(), Duration::ZERO, start);
        assert_eq!(cache.routes(digits(2), start), None);
    }

    #[test]
    fn size_is_bounded_and_old_answers_go_first() {
        let mut cache = Cache::default();
        let start = Instant::now();
        for value in 0..ENTRIES_MAX {
            let lifetime = Duration::from_secs(if value == 7 { 100 } else { 1 });
            cache.keep(digits(value), routes(), lifetime, start);
        }
        let later = start + Duration::from_secs(2);
        cache.keep(digits(ENTRIES_MAX), routes(), Duration::from_secs(1), later);
        assert_eq!(cache.0.len(), 2);
        assert!(cache.routes(digits(7), later).is_some());
        for value in 0..3 * ENTRIES_MAX {
            cache.keep(digits(value), routes(), Duration::from_secs(100), later);
            assert!(cache.0.len() <= ENTRIES_MAX);
        }
    }
}
