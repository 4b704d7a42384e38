//! What the owner tells an endpoint: at the start, and for each outgoing call.

use std::net::SocketAddr;
use std::time::Duration;

use crate::event::{Sdp, Transport};
use crate::uri::Uri;

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Local UDP addresses; the first is the one outgoing calls over UDP leave from. Port 0
    /// takes a free port.
    pub udp: Vec<SocketAddr>,
    /// Local TCP addresses; connections of outgoing calls are bound to the IP of the first.
    pub tcp: Vec<SocketAddr>,
    /// Address put into Via and Contact instead of the local one, for a user agent behind a
    /// one-to-one address translation. Its port replaces that of UDP and TCP.
    pub advertised: Option<SocketAddr>,
    /// `User-Agent` and `Server` text.
    pub user_agent: String,
    /// User part of our Contact; empty for a gateway.
    pub contact_user: String,
    /// Session interval we ask for in s (RFC 4028); none starts no session timer ourselves.
    pub session_expires_s: Option<u32>,
    /// Shortest session interval we accept in s; RFC 4028 §5 says 90 and no less.
    pub min_se_s: u32,
    /// Timer T1 (RFC 3261 §17.1.1.1). 64 × T1 is how long an unanswered request is repeated
    /// and how long an ended transaction is remembered.
    pub t1: Duration,
    /// How long a called party may ring (Timer C).
    pub ring_limit: Duration,
    /// Most legs at one time; further calls are answered 503.
    pub max_legs: usize,
    /// Most events that wait for the owner; a new call that finds no room is answered 503.
    pub event_queue: usize,
    /// Most TCP connections at one time.
    pub max_connections: usize,
    /// Users that may register here (their user parts); empty: no registrar, REGISTER is
    /// answered 405.
    pub registrar_users: Vec<String>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            advertised: None,
            user_agent: "Trunkline".to_owned(),
            contact_user: String::new(),
            session_expires_s: Some(1800),
            min_se_s: 90,
            t1: Duration::from_millis(500),
            ring_limit: Duration::from_secs(180),
            max_legs: 10_000,
            event_queue: 1_024,
            max_connections: 1_024,
            registrar_users: Vec::new(),
        }
    }
}

/// User name and password of a digest authentication (RFC 8760).
#[derive(Clone)]
pub struct Credential {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An outgoing call.
#[derive(Debug, Clone)]
pub struct OutgoingInvite {
    /// Whom to call: request URI and destination in one.
    pub target: Uri,
    /// Who calls.
    pub from: Uri,
    /// Display name of who calls.
    pub from_display: Option<String>,
    /// Transport; none: the `transport` parameter of the target, else UDP if we have it.
    pub transport: Option<Transport>,
    /// The offer, `application/sdp`.
    pub sdp: Sdp,
    /// Further header lines as name and value (P-Asserted-Identity, Privacy, Diversion, …).
    pub headers: Vec<(String, String)>,
    /// For a far end that asks who we are.
    pub credential: Option<Credential>,
}

impl OutgoingInvite {
    /// A call with nothing but the necessary.
    pub fn new(target: Uri, from: Uri, sdp: Vec<u8>) -> Self {
        Self {
            target,
            from,
            from_display: None,
            transport: None,
            sdp: Sdp(sdp),
            headers: Vec::new(),
            credential: None,
        }
    }
}

/// How an incoming call is turned down.
#[derive(Debug, Clone, Default)]
pub struct Rejection {
    /// Status 300–699.
    pub status: u16,
    /// Reason phrase; none: the usual one of the status.
    pub phrase: Option<String>,
    /// Q.850 cause for the Reason header (RFC 6432).
    pub cause: Option<u8>,
    /// Retry-After in s.
    pub retry_after_s: Option<u32>,
    /// Further header lines as name and value: the Contacts of a redirection (RFC 3261 §21.3).
    pub headers: Vec<(String, String)>,
}

impl Rejection {
    /// A rejection by status alone.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With a Q.850 cause.
    pub fn with_cause(mut self, cause: u8) -> Self {
        self.cause = Some(cause);
        self
    }
}

/// A registration of ours with a registrar.
#[derive(Debug, Clone)]
pub struct Register {
    /// The registrar, e.g. `sip:127.0.0.10:5060`.
    pub registrar: Uri,
    /// Our user part there.
    pub user: String,
    /// For a registrar that asks who we are.
    pub credential: Option<Credential>,
    /// How long a registration is to last in s; it is renewed at two thirds.
    pub expires_s: u32,
}
