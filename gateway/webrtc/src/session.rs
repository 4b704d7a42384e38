//! The path to one browser: checks, handshake, keys, and whether anybody is still there.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, KeyingMaterial, Output, SrtpProfile};
use trunkline_rtp::srtp::{MasterKey, SrtpKeys, Suite};

use crate::ice::{Agent, Checked};
use crate::{Certificate, Credentials, Fingerprint, Offer, WebRtcError};

/// Without a check for so long nobody is there any more. Browsers check every 5 s at least, most every
/// 2.5 s; RFC 7675 §5.1 lets consent run out after 30 s.
const CONSENT: Duration = Duration::from_secs(15);

/// From the offer to the keys: more than a person waits for a telephone to ring.
const SETUP_MAX: Duration = Duration::from_secs(20);

/// DTLS is asked again after so long at the soonest.
const DTLS_AGAIN: Duration = Duration::from_millis(10);

/// Octets of the longest record that DTLS gives us at once.
const RECORD_OCTETS: usize = 2_048;

/// What shall be done.
#[derive(Debug)]
pub enum Action {
    /// Send a datagram from the leg's port.
    Send {
        /// To whom.
        to: SocketAddr,
        /// It.
        octets: Vec<u8>,
    },
    /// There are keys, and there is a way: media may flow.
    Secured {
        /// Where the browser is.
        remote: SocketAddr,
        /// The keys of both directions.
        keys: SrtpKeys,
    },
    /// The browser is somewhere else now.
    Moved {
        /// Where.
        remote: SocketAddr,
    },
    /// The session is over; nothing follows.
    Ended(End),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The page said so (`close_notify`).
    Closed,
    /// No check has come for long: the page is gone, or its network.
    Lost,
    /// No way, or no keys, in time.
    Unreached,
    /// Somebody else's certificate: its fingerprint is not the offer's.
    Impostor,
    /// DTLS gave up.
    Handshake(String),
}

/// A browser's session.
pub struct Session {
    ice: Agent,
    dtls: Dtls,
    peer: Fingerprint,
    is_peer: bool,
    keys: Option<SrtpKeys>,
    /// Where media was told to go.
    told: Option<SocketAddr>,
    dtls_due: Option<Instant>,
    setup_until: Instant,
    actions: VecDeque<Action>,
    is_over: bool,
    record: Vec<u8>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("ice", &self.ice).finish_non_exhaustive()
    }
}

impl Session {
    /// The session that an offer begins, with `own` in our answer.
    ///
    /// # Errors
    /// [`WebRtcError::Certificate`] where DTLS does not take our certificate.
    pub fn new(
        offer: &Offer,
        own: Credentials,
        certificate: &Certificate,
        now: Instant,
    ) -> Result<Self, WebRtcError> {
        let failed = |error: dimpl::Error| WebRtcError::Certificate(error.to_string());
        // ICE has shown that the browser is where it says it is: no cookie is needed for that.
        let config = Config::builder().use_server_cookie(false).build().map_err(failed)?;
        let dtls = Dtls::new_auto(Arc::new(config), certificate.dtls.clone(), now);
        let mut session = Self {
            ice: Agent::new(own, &offer.credentials().ufrag),
            dtls,
            peer: offer.fingerprint(),
            is_peer: false,
            keys: None,
            told: None,
            dtls_due: None,
            setup_until: now + SETUP_MAX,
            actions: VecDeque::new(),
            is_over: false,
            record: vec![0; RECORD_OCTETS],
        };
        session.drive(|dtls| dtls.handle_timeout(now));
        Ok(session)
    }

    /// The browser offers another way for the same session (ICE restart), with `own` in our answer.
    ///
    /// # Errors
    /// [`WebRtcError::OtherCertificate`].
    pub fn restart(&mut self, offer: &Offer, own: Credentials) -> Result<(), WebRtcError> {
        if offer.fingerprint() != self.peer {
            return Err(WebRtcError::OtherCertificate);
        }
        self.ice.restart(own, &offer.credentials().ufrag);
        Ok(())
    }

    /// A datagram that is no RTP has come.
    pub fn arrived(&mut self, now: Instant, from: SocketAddr, octets: &[u8]) {
        if self.is_over {
            return;
        }
        match octets.first() {
            // RFC 7983 §7.
            Some(0..=3) => {
                if let Checked::Answer(answer) = self.ice.message(now, from, octets) {
                    self.actions.push_back(Action::Send { to: from, octets: answer });
                }
                self.tell_way();
            }
            // Only from where a check came: a handshake costs much, and a stranger is to cost nothing.
            Some(20..=63) if self.ice.knows(from) => {
                self.drive(|dtls| {
                    dtls.handle_timeout(now)?;
                    dtls.handle_packet(octets)
                });
            }
            _ => {}
        }
    }

    /// When [`Session::timeout`] is to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let setup = self.keys.is_none().then_some(self.setup_until);
        let consent = self.told.and_then(|_| self.ice.expires(CONSENT));
        [self.dtls_due, setup, consent].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        if self.is_over {
            return;
        }
        if self.dtls_due.is_some_and(|due| due <= now) {
            self.drive(|dtls| dtls.handle_timeout(now));
            // Whatever DTLS says, time goes on.
            self.dtls_due = self.dtls_due.map(|due| due.max(now + DTLS_AGAIN));
        }
        let is_late = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        if self.keys.is_none() && is_late(Some(self.setup_until)) {
            self.end(End::Unreached);
        } else if self.told.is_some() && is_late(self.ice.expires(CONSENT)) {
            self.end(End::Lost);
        }
    }

    /// We end it: the browser is told.
    pub fn close(&mut self) {
        if !self.is_over {
            self.drive(Dtls::close);
            self.is_over = true;
        }
    }

    /// What shall be done next, until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Has DTLS do something, and does what comes of it.
    fn drive(&mut self, mut act: impl FnMut(&mut Dtls) -> Result<(), dimpl::Error>) {
        if let Err(error) = act(&mut self.dtls) {
            self.end(End::Handshake(error.to_string()));
            return;
        }
        let mut record = std::mem::take(&mut self.record);
        while !self.is_over {
            match self.dtls.poll_output(&mut record) {
                Output::Packet(octets) => {
                    if let Some(to) = self.ice.destination() {
                        self.actions.push_back(Action::Send { to, octets: octets.to_vec() });
                    }
                }
                Output::BufferTooSmall { needed } => record.resize(needed, 0),
                Output::PeerCert(certificate) => {
                    self.is_peer = Fingerprint::of(certificate) == self.peer;
                    if !self.is_peer {
                        self.end(End::Impostor);
                    }
                }
                Output::KeyingMaterial(material, profile) => match keys(&material, profile) {
                    // RFC 5763 §5: without the certificate of the offer it is nobody's key.
                    Some(keys) if self.is_peer => {
                        self.keys = Some(keys);
                        self.tell_way();
                    }
                    _ => self.end(End::Impostor),
                },
                Output::CloseNotify => self.end(End::Closed),
                Output::Timeout(due) => {
                    self.dtls_due = Some(due);
                    break;
                }
                // Nothing but keys is wanted of DTLS.
                _ => {}
            }
        }
        self.record = record;
    }

    /// Tells where media goes, if that is news.
    fn tell_way(&mut self) {
        let Some(keys) = &self.keys else { return };
        let way = self.ice.nominated().or(self.ice.destination());
        let Some(remote) = way.filter(|way| self.told != Some(*way)) else { return };
        let action = match self.told {
            None => Action::Secured { remote, keys: keys.clone() },
            Some(_) => Action::Moved { remote },
        };
        self.told = Some(remote);
        self.actions.push_back(action);
    }

    fn end(&mut self, end: End) {
        self.is_over = true;
        self.actions.push_back(Action::Ended(end));
    }
}

/// RFC 5764 §4.2: the client's key, the server's, the client's salt, the server's. We are the server.
fn keys(material: &KeyingMaterial, profile: SrtpProfile) -> Option<SrtpKeys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let (key, salt) = (suite.cipher_key_octets(), suite.salt_octets());
    let (keys, salts) = material.get(..2 * (key + salt))?.split_at(2 * key);
    let master = |side: usize| {
        let key = &keys[side * key..][..key];
        let salt = &salts[side * salt..][..salt];
        MasterKey::new(suite, &[key, salt].concat()).ok()
    };
    Some(SrtpKeys { remote: master(0)?, local: master(1)? })
}

#[cfg(test)]
mod tests;
