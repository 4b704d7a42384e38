//! What an endpoint reports.

use std::fmt;
use std::net::SocketAddr;

use crate::uri::Uri;

/// One call leg of an endpoint; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub(crate) u64);

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP leg {}", self.0)
    }
}

/// How SIP messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// A session description as it stands in a message. It may hold keys (RFC 4568): `Debug` shows its
/// length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Sdp(pub Vec<u8>);

impl std::ops::Deref for Sdp {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sdp({} octets)", self.0.len())
    }
}

/// A party in a From, To or Contact header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Display name without its quotes.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
}

/// A call that comes in.
#[derive(Debug, Clone)]
pub struct IncomingInvite {
    /// The new leg. It has been answered 100 Trying.
    pub leg: LegId,
    /// Call-ID.
    pub call_id: String,
    /// Who calls, as the From header claims.
    pub from: Party,
    /// Who is meant, as the To header says.
    pub to: Party,
    /// Whom this endpoint is asked to reach.
    pub request_uri: Uri,
    /// Where the INVITE really came from.
    pub source: SocketAddr,
    /// What it came over.
    pub transport: Transport,
    /// The offer, if the INVITE carries one.
    pub sdp: Option<Sdp>,
    /// `P-Asserted-Identity` values (RFC 3325), as they stand.
    pub asserted_identity: Vec<String>,
    /// `Privacy` value (RFC 3323), as it stands.
    pub privacy: Option<String>,
    /// `Diversion` values (RFC 5806), newest first, as they stand.
    pub diversion: Vec<String>,
    /// `History-Info` values (RFC 7044), as they stand.
    pub history_info: Vec<String>,
    /// `User-Agent` of the caller.
    pub user_agent: Option<String>,
    /// `Max-Forwards`: how many more switches the call may pass (RFC 3261 §20.22).
    pub max_forwards: Option<u8>,
}

/// Something happened on a leg.
///
/// After [`Event::Failed`], [`Event::Cancelled`], [`Event::Bye`], [`Event::AckTimeout`] and
/// [`Event::SessionExpired`] the leg is gone; after [`hangup`](crate::Endpoint::hangup) and
/// [`reject`](crate::Endpoint::reject) it is gone for the owner, and no event follows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A call comes in.
    Invite(Box<IncomingInvite>),
    /// The far end works on our call (1xx but 100); with early media when there is an answer.
    Provisional {
        /// The leg.
        leg: LegId,
        /// Status 101–199.
        status: u16,
        /// Early answer.
        sdp: Option<Sdp>,
    },
    /// The far end answered our call. The ACK is on its way.
    Answered {
        /// The leg.
        leg: LegId,
        /// The answer.
        sdp: Option<Sdp>,
    },
    /// Our call did not come about.
    Failed {
        /// The leg.
        leg: LegId,
        /// Status 300–699; 408 when nothing came back, 503 when nothing could be sent.
        status: u16,
        /// Q.850 cause of the Reason header.
        cause: Option<u8>,
        /// Retry-After in s.
        retry_after_s: Option<u32>,
    },
    /// The caller gave up before we answered.
    Cancelled {
        /// The leg.
        leg: LegId,
        /// Q.850 cause of the Reason header.
        cause: Option<u8>,
    },
    /// The caller has confirmed our answer.
    Acked {
        /// The leg.
        leg: LegId,
        /// The caller's answer, when the offer was ours (an INVITE without one).
        sdp: Option<Sdp>,
    },
    /// Our answer was never confirmed; a BYE was sent (RFC 3261 §13.3.1.4).
    AckTimeout {
        /// The leg.
        leg: LegId,
    },
    /// The far end ended the call.
    Bye {
        /// The leg.
        leg: LegId,
        /// Q.850 cause of the Reason header.
        cause: Option<u8>,
    },
    /// The far end offers other media (hold, retrieve, a new address): to be answered by
    /// [`answer_reinvite`](crate::Endpoint::answer_reinvite) or
    /// [`reject_reinvite`](crate::Endpoint::reject_reinvite).
    ReInvite {
        /// The leg.
        leg: LegId,
        /// The new offer.
        sdp: Sdp,
    },
    /// The far end answered our re-INVITE.
    ReInviteAnswered {
        /// The leg.
        leg: LegId,
        /// The answer.
        sdp: Option<Sdp>,
    },
    /// The far end refused our re-INVITE; the session stays as it was (RFC 3261 §14.1).
    ReInviteRefused {
        /// The leg.
        leg: LegId,
        /// Status 300–699.
        status: u16,
    },
    /// A digit by INFO (`application/dtmf-relay` or `application/dtmf`).
    Digit {
        /// The leg.
        leg: LegId,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long it is to sound, in ms.
        duration_ms: u32,
    },
    /// Nobody refreshed the session in time; a BYE was sent (RFC 4028 §10).
    SessionExpired {
        /// The leg.
        leg: LegId,
    },
    /// A user registered with us, or renewed.
    Registered {
        /// User part of the address of record.
        user: String,
        /// Where the user can be reached.
        contact: Uri,
        /// For how long, in s.
        expires_s: u32,
    },
    /// A user is no longer registered with us.
    Unregistered {
        /// User part of the address of record.
        user: String,
    },
    /// We are registered.
    Registration {
        /// For how long, in s.
        expires_s: u32,
    },
    /// We are not registered; it is tried again.
    RegistrationFailed {
        /// What the registrar said; 408 when it said nothing.
        status: u16,
    },
}
