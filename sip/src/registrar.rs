//! A small registrar (RFC 3261 §10.3): one contact a user, in memory, for users the
//! configuration names.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::uri::Uri;

/// Shortest registration taken in s.
const LEAST_S: u32 = 60;
/// Longest registration given in s.
const MOST_S: u32 = 7_200;

/// Where a registered user can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The contact, with the address the registration came from.
    pub contact: Uri,
    /// For how much longer, in s.
    pub expires_s: u32,
}

pub(crate) struct Registrar {
    users: Vec<String>,
    bound: HashMap<String, Bound>,
}

struct Bound {
    contact: Uri,
    until: Instant,
    call_id: String,
    cseq: u32,
}

/// A REGISTER as the registrar needs it.
pub(crate) struct Registration {
    pub user: String,
    pub call_id: String,
    pub cseq: u32,
    /// None asks only. The contact, none for `*`, and for how long in s.
    pub contact: Option<(Option<Uri>, Option<u32>)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not one of our users.
    Unknown,
    /// Older than what we have (§10.3 step 7).
    OutOfOrder,
    /// Shorter than we take.
    TooBrief { least_s: u32 },
    /// What is bound now.
    Listed(Vec<(Uri, u32)>),
    /// Bound, or renewed.
    Bound { contact: Uri, expires_s: u32 },
    /// No longer bound.
    Removed,
}

impl Registrar {
    pub(crate) fn new(users: Vec<String>) -> Self {
        Self { users, bound: HashMap::new() }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.users.is_empty()
    }

    pub(crate) fn register(&mut self, asked: Registration, now: Instant) -> Outcome {
        if !self.users.contains(&asked.user) {
            return Outcome::Unknown;
        }
        self.bound.retain(|_, bound| bound.until > now);
        let Some((contact, expires_s)) = asked.contact else {
            let binding = self.binding(&asked.user, now);
            return Outcome::Listed(
                binding.map(|b| (b.contact, b.expires_s)).into_iter().collect(),
            );
        };
        if let Some(bound) = self.bound.get(&asked.user)
            && bound.call_id == asked.call_id
            && bound.cseq >= asked.cseq
        {
            return Outcome::OutOfOrder;
        }
        let expires_s = expires_s.unwrap_or(3_600).min(MOST_S);
        match contact {
            Some(contact) if expires_s > 0 => {
                if expires_s < LEAST_S {
                    return Outcome::TooBrief { least_s: LEAST_S };
                }
                let bound = Bound {
                    contact: contact.clone(),
                    until: now + Duration::from_secs(expires_s.into()),
                    call_id: asked.call_id,
                    cseq: asked.cseq,
                };
                self.bound.insert(asked.user, bound);
                Outcome::Bound { contact, expires_s }
            }
            _ => {
                self.bound.remove(&asked.user);
                Outcome::Removed
            }
        }
    }

    pub(crate) fn binding(&self, user: &str, now: Instant) -> Option<Binding> {
        let bound = self.bound.get(user).filter(|bound| bound.until > now)?;
        let left = bound.until.duration_since(now).as_secs();
        Some(Binding {
            contact: bound.contact.clone(),
            expires_s: u32::try_from(left).unwrap_or(MOST_S),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(user: &str, cseq: u32, expires_s: u32) -> Registration {
        Registration {
            user: user.to_owned(),
            call_id: "a".to_owned(),
            cseq,
            contact: Some((Some(Uri::sip(user, "127.0.0.1", Some(5070))), Some(expires_s))),
        }
    }

    #[test]
    fn registered_user_is_found_until_it_expires() {
        let now = Instant::now();
        let mut registrar = Registrar::new(vec!["phone".to_owned()]);
        assert!(matches!(
            registrar.register(asked("phone", 1, 120), now),
            Outcome::Bound { expires_s: 120, .. }
        ));
        assert_eq!(registrar.binding("phone", now).unwrap().contact.port, Some(5070));
        assert_eq!(registrar.binding("phone", now + Duration::from_secs(120)), None);
    }

    #[test]
    fn stranger_is_unknown_and_replay_is_refused() {
        let now = Instant::now();
        let mut registrar = Registrar::new(vec!["phone".to_owned()]);
        assert_eq!(registrar.register(asked("thief", 1, 120), now), Outcome::Unknown);
        registrar.register(asked("phone", 2, 120), now);
        assert_eq!(registrar.register(asked("phone", 2, 120), now), Outcome::OutOfOrder);
    }

    #[test]
    fn zero_ends_and_too_brief_is_refused() {
        let now = Instant::now();
        let mut registrar = Registrar::new(vec!["phone".to_owned()]);
        assert_eq!(
            registrar.register(asked("phone", 1, 5), now),
            Outcome::TooBrief { least_s: 60 }
        );
        registrar.register(asked("phone", 2, 60), now);
        assert_eq!(registrar.register(asked("phone", 3, 0), now), Outcome::Removed);
        assert_eq!(registrar.binding("phone", now), None);
    }
}
