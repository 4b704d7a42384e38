//! The legs of the packet side: SIP legs with their session descriptions.

use std::collections::HashMap;
use std::net::IpAddr;

use trunkline_call::LegId;
use trunkline_call::control::Release;
use trunkline_call::interworking::{CauseMap, Location, status_onward};
use trunkline_call::record::ReleasedBy;
use trunkline_sip::{Endpoint, OutgoingInvite, Rejection, Scheme, Sdp, Uri};

use super::congestion::retry_after_s;

/// A SIP leg and how far it is.
#[derive(Debug)]
pub struct PacketLeg {
    /// The SIP leg.
    pub sip: trunkline_sip::LegId,
    /// Our session description for an incoming call: the answer, or the offer where the INVITE
    /// had none.
    pub description: Option<Sdp>,
    /// We were called by it.
    pub incoming: bool,
    /// The call on it is answered.
    pub answered: bool,
    /// Where an incoming call's signalling came from.
    pub source: Option<IpAddr>,
    /// Their offer, for a call whose media is opened when the other leg is dialled.
    pub offered: Option<Sdp>,
    /// They have our session description already.
    pub described: bool,
    /// Our INVITE, to be sent again with an offer of plain RTP should that of SRTP be refused.
    pub again_plain: Option<Box<OutgoingInvite>>,
}

impl PacketLeg {
    /// A leg on which nothing has been said yet.
    pub fn new(sip: trunkline_sip::LegId, incoming: bool) -> Self {
        Self {
            sip,
            description: None,
            incoming,
            answered: false,
            source: None,
            offered: None,
            described: false,
            again_plain: None,
        }
    }
}

/// Whether a status says that what we offer is not acceptable (RFC 3261 §21.4.26, §21.6.4).
pub fn refuses_the_offer(status: u16) -> bool {
    matches!(status, 488 | 606)
}

/// All SIP legs, by call control's leg and by SIP's.
#[derive(Debug, Default)]
pub struct PacketLegs {
    legs: HashMap<LegId, PacketLeg>,
    by_sip: HashMap<trunkline_sip::LegId, LegId>,
}

impl PacketLegs {
    /// Adds a leg.
    pub fn insert(&mut self, leg: LegId, packet: PacketLeg) {
        self.by_sip.insert(packet.sip, leg);
        self.legs.insert(leg, packet);
    }

    /// The SIP leg of a leg of call control.
    pub fn of(&mut self, leg: LegId) -> Option<&mut PacketLeg> {
        self.legs.get_mut(&leg)
    }

    /// Call control's leg of a SIP leg.
    pub fn leg_of(&self, sip: trunkline_sip::LegId) -> Option<LegId> {
        self.by_sip.get(&sip).copied()
    }

    /// Forgets a leg.
    pub fn remove(&mut self, leg: LegId) -> Option<PacketLeg> {
        let packet = self.legs.remove(&leg)?;
        self.by_sip.remove(&packet.sip);
        Some(packet)
    }
}

/// Whether a request URI names a number at all: `tel:`, or `sip:` with a user part.
pub fn names_a_number(uri: &Uri) -> bool {
    !uri.user.is_empty() && matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel)
}

/// Ends a SIP leg as its state asks for: a final response, a CANCEL or a BYE, with the Q.850 cause
/// in a Reason header (RFC 3326, RFC 6432). Who finds no room is told when to come back.
pub fn release(
    endpoint: &Endpoint,
    causes: &CauseMap,
    leg: LegId,
    packet: &PacketLeg,
    release: Release,
) {
    let outcome = if packet.incoming && !packet.answered {
        // What was said on the packet side is said there, where it means something.
        let status = release.status.and_then(status_onward);
        let status =
            status.unwrap_or_else(|| causes.status_of_cause(release.cause, release.is_from_user()));
        endpoint.reject(
            packet.sip,
            Rejection {
                cause: Some(release.cause),
                retry_after_s: (status == 503).then(|| retry_after_s(leg)),
                ..Rejection::status(status)
            },
        )
    } else {
        endpoint.hangup(packet.sip, Some(release.cause))
    };
    // A leg that ended by itself at the same moment needs no release any more.
    if let Err(error) = outcome {
        tracing::debug!(%error, "SIP leg already gone");
    }
}

/// The release that a failed call attempt means: the peer's own cause where it gave one
/// (RFC 6432), else that of the table.
pub fn release_of_failure(causes: &CauseMap, status: u16, cause: Option<u8>) -> Release {
    Release {
        cause: cause.unwrap_or_else(|| causes.cause_of_status(status)),
        location: matches!(status, 486 | 600 | 603).then_some(Location::USER),
        status: Some(status),
        by: ReleasedBy::Peer,
    }
}
