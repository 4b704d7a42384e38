//! How many calls pages may begin: by address, by origin and by number, each token once.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trunkline_number::E164;

use crate::configuration::BrowserLimits;

/// The time that limits are counted in.
const MINUTE: Duration = Duration::from_secs(60);

/// Entries of each kind that are remembered; with more the ones that do not count any more go first.
const REMEMBERED: usize = 100_000;

/// Who wants to call whom.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The page's address.
    pub address: IpAddr,
    /// Its origin.
    pub origin: &'a str,
    /// The number.
    pub number: E164,
    /// The token's identity.
    pub token: &'a str,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token has begun a call already.
    Used,
    /// Too many calls in a minute.
    TooMany {
        /// Seconds until the next may be begun.
        again_s: u64,
    },
}

/// Remembers calls of the last minute and tokens until they expire.
#[derive(Debug)]
pub struct Admission {
    by_address: Buckets<IpAddr>,
    by_origin: Buckets<String>,
    by_number: Buckets<E164>,
    /// Tokens that were used, with the time (Unix, s) from which they are no good anyway.
    used: HashMap<String, u64>,
}

impl Admission {
    /// Nobody has called yet.
    pub fn new(limits: BrowserLimits) -> Self {
        Self {
            by_address: Buckets::new(limits.per_address),
            by_origin: Buckets::new(limits.per_origin),
            by_number: Buckets::new(limits.per_number),
            used: HashMap::new(),
        }
    }

    /// Whether a call may begin; if so, it counts.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(
        &mut self,
        now: Instant,
        caller: &Caller<'_>,
        token_expires_unix_s: u64,
    ) -> Result<(), Refusal> {
        if self.used.contains_key(caller.token) {
            return Err(Refusal::Used);
        }
        let address = network_of(caller.address);
        let waits = [
            self.by_address.wait(now, &address),
            self.by_origin.wait(now, &caller.origin.to_owned()),
            self.by_number.wait(now, &caller.number),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(Refusal::TooMany { again_s: wait.as_secs() + 1 });
        }
        self.by_address.spend(now, address);
        self.by_origin.spend(now, caller.origin.to_owned());
        self.by_number.spend(now, caller.number);
        if self.used.len() >= REMEMBERED {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.used.retain(|_, expires| *expires > since.as_secs());
        }
        self.used.insert(caller.token.to_owned(), token_expires_unix_s);
        Ok(())
    }
}

/// Token buckets, each kept as the time until which what was spent uses it up.
#[derive(Debug)]
struct Buckets<K> {
    each: Duration,
    paid_until: HashMap<K, Instant>,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(per_minute: u32) -> Self {
        Self { each: MINUTE / per_minute.max(1), paid_until: HashMap::new() }
    }

    /// How long until one more may be spent; none: at once.
    fn wait(&self, now: Instant, key: &K) -> Option<Duration> {
        let paid_until = self.paid_until.get(key)?;
        let allowed = now + MINUTE;
        let next = *paid_until + self.each;
        (next > allowed).then(|| next - allowed)
    }

    fn spend(&mut self, now: Instant, key: K) {
        if self.paid_until.len() >= REMEMBERED {
            self.paid_until.retain(|_, paid_until| *paid_until > now);
        }
        let paid_until = self.paid_until.entry(key).or_insert(now);
        *paid_until = (*paid_until).max(now) + self.each;
    }
}

/// One household or one person has a whole /64 of IPv6 (RFC 6177).
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BrowserLimits = BrowserLimits { per_address: 3, per_origin: 5, per_number: 4 };

    struct Page {
        admission: Admission,
        calls: u32,
    }

    impl Page {
        fn call(&mut self, now: Instant, address: &str, number: &str) -> Result<(), Refusal> {
            self.calls += 1;
            let caller = Caller {
                address: address.parse().unwrap(),
                origin: "https://www.example.com",
                number: number.parse().unwrap(),
                token: &self.calls.to_string(),
            };
            self.admission.admit(now, &caller, 0)
        }
    }

    fn page() -> Page {
        Page { admission: Admission::new(LIMITS), calls: 0 }
    }

    #[test]
    fn an_address_begins_so_many_calls_a_minute_and_then_waits_for_its_turn() {
        let (mut page, now) = (page(), Instant::now());
        for _ in 0..3 {
            page.call(now, "192.0.2.1", "+81333331234").unwrap();
        }
        let refused = page.call(now, "192.0.2.1", "+81333331234").unwrap_err();
        assert_eq!(refused, Refusal::TooMany { again_s: 21 });
        page.call(now, "192.0.2.2", "+81333331234").unwrap();
        page.call(now + Duration::from_secs(21), "192.0.2.1", "+81469595678").unwrap();
    }

    #[test]
    fn a_number_and_an_origin_are_called_so_often_from_everywhere() {
        let (mut page, now) = (page(), Instant::now());
        for host in 1..=4 {
            page.call(now, &format!("192.0.2.{host}"), "+81333331234").unwrap();
        }
        assert!(page.call(now, "192.0.2.5", "+81333331234").is_err());
        page.call(now, "192.0.2.6", "+81469595678").unwrap();
        assert!(page.call(now, "192.0.2.7", "+81669595678").is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let (mut page, now) = (page(), Instant::now());
        for host in 1..=3 {
            page.call(now, &format!("2001:db8:1:2::{host}"), "+81333331234").unwrap();
        }
        assert!(page.call(now, "2001:db8:1:2:ffff::9", "+81333331234").is_err());
        page.call(now, "2001:db8:1:3::1", "+81333331234").unwrap();
    }

    #[test]
    fn a_token_begins_one_call() {
        let (mut admission, now) = (Admission::new(LIMITS), Instant::now());
        let caller = Caller {
            address: "192.0.2.1".parse().unwrap(),
            origin: "https://www.example.com",
            number: "+81333331234".parse().unwrap(),
            token: "once",
        };
        admission.admit(now, &caller, u64::MAX).unwrap();
        assert_eq!(admission.admit(now, &caller, u64::MAX), Err(Refusal::Used));
    }
}
