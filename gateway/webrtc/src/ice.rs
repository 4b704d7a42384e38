//! ICE-lite (RFC 8445 §2.5): we answer the browser's connectivity checks and send to the address that it
//! nominates; it does the rest.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, TransId};
use is::{DefaultSha1HmacProvider, Sha1HmacProvider};

/// Addresses that have passed a check and are kept in mind.
const ADDRESSES: usize = 8;

/// The longest answer to a check, octets.
const ANSWER_OCTETS: usize = 256;

/// One side's name and password for checks (RFC 8445 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub password: String,
}

impl Credentials {
    /// Credentials of ours from octets that `fill_random` puts: 48 bits of name, 192 of password, where
    /// RFC 8445 §5.3 asks for 24 and 128.
    pub fn generate(mut fill_random: impl FnMut(&mut [u8])) -> Self {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
        let (mut ufrag, mut password) = ([0; 6], [0; 24]);
        fill_random(&mut ufrag);
        fill_random(&mut password);
        Self { ufrag: engine.encode(ufrag), password: engine.encode(password) }
    }

    /// Whether they are as RFC 8839 §5.4 has them: `ice-char`s, 4 to 256 and 22 to 256 of them.
    pub(crate) fn are_usable(&self) -> bool {
        let are_ice = |text: &str| {
            text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
        };
        (4..=256).contains(&self.ufrag.len())
            && (22..=256).contains(&self.password.len())
            && are_ice(&self.ufrag)
            && are_ice(&self.password)
    }
}

/// What a check has led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It is not for us, or not authentic: nothing is answered.
    Ignored,
    /// The answer; it goes to where the check came from.
    Answer(Vec<u8>),
}

/// Names of both sides for one generation of ICE: a restart begins another.
#[derive(Debug)]
struct Generation {
    own: Credentials,
    remote_ufrag: String,
}

/// An address that the browser has checked.
#[derive(Debug, Clone, Copy)]
struct Address {
    at: SocketAddr,
    heard: Instant,
}

/// Our side of ICE.
#[derive(Debug)]
pub(crate) struct Agent {
    present: Generation,
    /// Before the last restart: the way in use keeps working until the new one does (RFC 8445 §9).
    before: Option<Generation>,
    valid: Vec<Address>,
    nominated: Option<SocketAddr>,
}

impl Agent {
    pub(crate) fn new(own: Credentials, remote_ufrag: &str) -> Self {
        let present = Generation { own, remote_ufrag: remote_ufrag.to_owned() };
        Self { present, before: None, valid: Vec::with_capacity(ADDRESSES), nominated: None }
    }

    /// The browser's network has changed: new names, and the old ones until a new way is nominated.
    pub(crate) fn restart(&mut self, own: Credentials, remote_ufrag: &str) {
        let present = Generation { own, remote_ufrag: remote_ufrag.to_owned() };
        self.before = Some(std::mem::replace(&mut self.present, present));
    }

    /// Where to send: the nominated address, or the one checked last while there is none.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.nominated.or_else(|| {
            self.valid.iter().max_by_key(|address| address.heard).map(|address| address.at)
        })
    }

    /// The address that the browser has nominated.
    pub(crate) fn nominated(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// Whether an address has passed a check.
    pub(crate) fn knows(&self, address: SocketAddr) -> bool {
        self.valid.iter().any(|known| known.at == address)
    }

    /// When the browser was last heard to want the call: its checks are the consent (RFC 7675).
    pub(crate) fn consented_at(&self) -> Option<Instant> {
        self.valid.iter().map(|address| address.heard).max()
    }

    /// A STUN message has come.
    pub(crate) fn message(&mut self, now: Instant, from: SocketAddr, octets: &[u8]) -> Checked {
        let Ok(message) = StunMessage::parse(octets) else { return Checked::Ignored };
        if !message.is_binding_request() {
            return Checked::Ignored;
        }
        let hmac = |key: &[u8], parts: &[&[u8]]| DefaultSha1HmacProvider.sha1_hmac(key, parts);
        let Some((own, remote)) = message.split_username() else { return Checked::Ignored };
        let generations = [Some(&self.present), self.before.as_ref()];
        let of = |generation: &&Generation| {
            own == generation.own.ufrag && remote == generation.remote_ufrag
        };
        let Some(generation) = generations.into_iter().flatten().find(of) else {
            return Checked::Ignored;
        };
        let password = generation.own.password.as_bytes();
        if !message.verify(password, hmac) {
            return Checked::Ignored;
        }
        let is_present = generation.own == self.present.own;
        let is_conflict = message.ice_controlled().is_some();
        let id: TransId = message.trans_id();
        let answer = match is_conflict {
            // RFC 8445 §7.3.1.1: a lite side is never the controlling one.
            true => StunMessage::binding_role_conflict_reply(id),
            false => StunMessage::binding_reply(id, from),
        };
        let mut octets = vec![0; ANSWER_OCTETS];
        let Ok(length) = answer.to_bytes(Some(password), &mut octets, hmac) else {
            return Checked::Ignored;
        };
        octets.truncate(length);
        if !is_conflict {
            self.heard(now, from);
            // An old name must not take the call back from the new way.
            if message.use_candidate() && (is_present || self.nominated.is_none()) {
                self.nominated = Some(from);
                if is_present {
                    self.before = None;
                }
            }
        }
        Checked::Answer(octets)
    }

    fn heard(&mut self, now: Instant, from: SocketAddr) {
        if let Some(known) = self.valid.iter_mut().find(|known| known.at == from) {
            known.heard = now;
            return;
        }
        if self.valid.len() == ADDRESSES {
            let nominated = self.nominated;
            let others = self.valid.iter().enumerate();
            let oldest = others
                .filter(|(_, address)| Some(address.at) != nominated)
                .min_by_key(|(_, address)| address.heard);
            if let Some((place, _)) = oldest {
                self.valid.swap_remove(place);
            }
        }
        self.valid.push(Address { at: from, heard: now });
    }

    /// When the consent runs out, if nothing more is heard.
    pub(crate) fn expires(&self, consent: Duration) -> Option<Instant> {
        Some(self.consented_at()? + consent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
        DefaultSha1HmacProvider.sha1_hmac(key, parts)
    }

    fn credentials(name: &str) -> Credentials {
        Credentials { ufrag: name.to_owned(), password: format!("{name}-a-password-of-22+") }
    }

    fn check(to: &Credentials, from: &str, nominates: bool) -> Vec<u8> {
        let name = format!("{}:{from}", to.ufrag);
        let request = StunMessage::binding_request(&name, TransId::new(), true, 1, 100, nominates);
        let mut octets = vec![0; 500];
        let length = request.to_bytes(Some(to.password.as_bytes()), &mut octets, hmac).unwrap();
        octets.truncate(length);
        octets
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_check_is_answered_with_the_address_that_it_came_from() {
        let own = credentials("ours");
        let mut agent = Agent::new(own.clone(), "them");
        let now = Instant::now();
        let checked = agent.message(now, address(1), &check(&own, "them", false));
        let Checked::Answer(octets) = checked else { panic!("no answer") };
        let answer = StunMessage::parse(&octets).unwrap();
        assert!(answer.is_successful_binding_response());
        assert!(answer.verify(own.password.as_bytes(), hmac));
        assert_eq!(answer.mapped_address(), Some(address(1)));
        assert_eq!((agent.nominated(), agent.destination()), (None, Some(address(1))));
    }

    #[test]
    fn the_nominated_address_is_where_packets_go_until_another_is_nominated() {
        let own = credentials("ours");
        let mut agent = Agent::new(own.clone(), "them");
        let now = Instant::now();
        agent.message(now, address(1), &check(&own, "them", true));
        agent.message(now, address(2), &check(&own, "them", false));
        assert_eq!(agent.destination(), Some(address(1)));
        agent.message(now, address(2), &check(&own, "them", true));
        assert_eq!(agent.destination(), Some(address(2)));
    }

    #[test]
    fn who_does_not_know_the_password_is_not_answered_and_changes_nothing() {
        let own = credentials("ours");
        let mut agent = Agent::new(own.clone(), "them");
        let other = Credentials { password: "another-password-of-22ch".to_owned(), ..own.clone() };
        let now = Instant::now();
        for octets in [check(&other, "them", true), check(&own, "stranger", true), vec![0; 20]] {
            assert_eq!(agent.message(now, address(1), &octets), Checked::Ignored);
        }
        assert_eq!(agent.destination(), None);
        assert_eq!(agent.consented_at(), None);
    }

    #[test]
    fn after_a_restart_the_old_way_works_until_the_new_one_is_nominated() {
        let (own, newer) = (credentials("ours"), credentials("newer"));
        let mut agent = Agent::new(own.clone(), "them");
        let now = Instant::now();
        agent.message(now, address(1), &check(&own, "them", true));
        agent.restart(newer.clone(), "they");
        let checked = agent.message(now, address(1), &check(&own, "them", true));
        assert!(matches!(checked, Checked::Answer(_)));
        agent.message(now, address(2), &check(&newer, "they", true));
        assert_eq!(agent.destination(), Some(address(2)));
        assert_eq!(agent.message(now, address(1), &check(&own, "them", true)), Checked::Ignored);
        assert_eq!(agent.destination(), Some(address(2)));
    }

    #[test]
    fn many_addresses_take_no_more_room_and_the_nominated_one_stays() {
        let own = credentials("ours");
        let mut agent = Agent::new(own.clone(), "them");
        let now = Instant::now();
        agent.message(now, address(1), &check(&own, "them", true));
        for port in 2..100 {
            let later = now + Duration::from_millis(port.into());
            agent.message(later, address(port), &check(&own, "them", false));
        }
        assert!(agent.valid.len() <= ADDRESSES);
        assert!(agent.knows(address(1)) && agent.knows(address(99)));
    }
}
