//! Datagrams that share a leg's RTP port and are no RTP: the STUN and DTLS of a browser (RFC 7983).
//!
//! They decide where packets go and under which keys, so that whoever controls the leg sees them, by a
//! ring, and answers by [`crate::Media::send_beside`]; here they are only told from RTP.

use std::net::SocketAddr;

use rtrb::{Consumer, Producer, RingBuffer};

use super::{Leg, Surroundings};
use crate::event::MediaEventKind;
use crate::packet_io::DATAGRAM_MAX_OCTETS;

/// Datagrams that can wait: a handshake's flight and the checks of some addresses. Who loses one sends
/// it again (RFC 8489 §6.2.1, RFC 9147 §5.8).
const WAITING: usize = 16;

/// A datagram beside RTP.
#[derive(Clone, Debug)]
pub struct BesideRtp {
    /// Who sent it.
    pub from: SocketAddr,
    octets: [u8; DATAGRAM_MAX_OCTETS],
    length: usize,
}

impl BesideRtp {
    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// Where the datagrams beside RTP of one leg come out.
#[derive(Debug)]
pub struct BesideReceiver(Consumer<BesideRtp>);

impl BesideReceiver {
    /// The next one, if one waits.
    pub fn take(&mut self) -> Option<BesideRtp> {
        self.0.pop().ok()
    }
}

/// The leg's end.
#[derive(Debug)]
pub(crate) struct BesideSender(Producer<BesideRtp>);

/// Both ends for one leg.
pub(crate) fn ring() -> (BesideSender, BesideReceiver) {
    let (sender, receiver) = RingBuffer::new(WAITING);
    (BesideSender(sender), BesideReceiver(receiver))
}

/// Whether it is no RTP or RTCP of version 2: their first octet is 128 to 191 (RFC 7983 §7).
pub(super) fn is_beside_rtp(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 64)
}

impl Leg {
    /// STUN or DTLS has come, or something of that look.
    #[cold]
    pub(super) fn beside_arrived(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        let Some(BesideSender(ring)) = &mut self.beside else {
            self.malformed += 1;
            around.counters.dropped_malformed += 1;
            return;
        };
        let length = datagram.len();
        let mut octets = [0; DATAGRAM_MAX_OCTETS];
        let Some(room) = octets.get_mut(..length) else { return };
        room.copy_from_slice(datagram);
        if ring.push(BesideRtp { from, octets, length }).is_err() {
            around.counters.dropped_rate += 1;
            return;
        }
        around.events.push(self.id, MediaEventKind::BesideRtp, around.counters);
    }
}
