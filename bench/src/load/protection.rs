//! SRTP of the parties, where the load is protected: what a party sends and what it hears are
//! sealed and opened here, under the keys of the call list (RFC 3711).

use std::collections::HashMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};
use trunkline_rtp::srtp::{MasterKey, SrtpKeys, SrtpReceiver, SrtpSender, Suite};

use super::call_list::CallList;
use super::error::LoadError;
use super::packet::{Fault, HEADER_OCTETS, PAYLOAD_MAX_OCTETS, is_rtcp};
use super::wire::Arrival;

/// What all parties speak: the suite that everybody has, and the dearest one.
pub const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// Octets of a key and its salt in that suite.
pub const KEY_OCTETS: usize = 30;
/// Octets that it adds to a packet.
pub const TAG_OCTETS: usize = 10;

/// Octets of the longest packet.
const PACKET_MAX_OCTETS: usize = HEADER_OCTETS + PAYLOAD_MAX_OCTETS + TAG_OCTETS;

/// The keys between a party and the relay: key then salt, as `a=crypto` carries them (RFC 4568 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegKeys {
    /// Of what the party sends.
    pub to_relay: [u8; KEY_OCTETS],
    /// Of what the relay sends.
    pub from_relay: [u8; KEY_OCTETS],
}

impl LegKeys {
    /// Keys for party `index`, other than those of any other. They guard nothing.
    pub fn of(index: usize) -> Self {
        let key = |direction: u8| {
            let mut state = index as u32 ^ u32::from(direction) << 24;
            std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
        };
        Self { to_relay: key(0x5a), from_relay: key(0xa5) }
    }

    /// The same from the relay's side.
    ///
    /// # Errors
    /// None, as the length is that of the suite.
    pub fn at_relay(&self) -> Result<SrtpKeys, LoadError> {
        Ok(SrtpKeys { local: key(&self.from_relay)?, remote: key(&self.to_relay)? })
    }
}

fn key(octets: &[u8; KEY_OCTETS]) -> Result<MasterKey, LoadError> {
    Ok(MasterKey::new(SUITE, octets)?)
}

/// The SRTP of every party of a call list.
#[derive(Debug)]
pub struct Protection {
    senders: Vec<SrtpSender>,
    receivers: Vec<SrtpReceiver>,
    parties: HashMap<SocketAddrV4, usize>,
    opened: Box<[u8; PACKET_MAX_OCTETS]>,
}

impl Protection {
    /// The parties' ends under the keys of the list; none if the list has no keys.
    ///
    /// # Errors
    /// [`LoadError::Unprotected`] if some legs have keys and some have not.
    pub fn of(list: &CallList) -> Result<Option<Self>, LoadError> {
        let legs = || (0..list.parties()).map(|index| list.leg(index));
        if legs().all(|leg| leg.srtp.is_none()) {
            return Ok(None);
        }
        let keys: Vec<LegKeys> = legs()
            .map(|leg| leg.srtp.ok_or(LoadError::Unprotected(leg.party)))
            .collect::<Result<_, _>>()?;
        let sender = |keys: &LegKeys| Ok::<_, LoadError>(SrtpSender::new(&key(&keys.to_relay)?)?);
        let receiver =
            |keys: &LegKeys| Ok::<_, LoadError>(SrtpReceiver::new(&key(&keys.from_relay)?)?);
        Ok(Some(Self {
            senders: keys.iter().map(sender).collect::<Result<_, _>>()?,
            receivers: keys.iter().map(receiver).collect::<Result<_, _>>()?,
            parties: legs().enumerate().map(|(index, leg)| (leg.party, index)).collect(),
            opened: Box::new([0; PACKET_MAX_OCTETS]),
        }))
    }

    /// Seals what party `sender` sends: all of `packet`, the last [`TAG_OCTETS`] of which are empty.
    pub fn seal(&mut self, sender: usize, packet: &mut [u8]) {
        let octets = packet.len() - TAG_OCTETS;
        // A packet that cannot be sealed goes out as it is, and the relay refuses it.
        let _ = self.senders[sender].protect_rtp(packet, octets);
    }

    /// Opens what came.
    ///
    /// # Errors
    /// [`Fault::Rtcp`], and [`Fault::Payload`] of what is too long, comes to nobody, again, or with
    /// another tag.
    pub fn open(&mut self, arrival: &Arrival<'_>) -> Result<&[u8], Fault> {
        let packet = arrival.packet;
        if is_rtcp(packet) {
            return Err(Fault::Rtcp);
        }
        let party = *self.parties.get(&arrival.to).ok_or(Fault::Payload)?;
        let opened = self.opened.get_mut(..packet.len()).ok_or(Fault::Payload)?;
        opened.copy_from_slice(packet);
        let octets = self.receivers[party].unprotect_rtp(opened).map_err(|_| Fault::Payload)?;
        Ok(&opened[..octets])
    }
}

#[cfg(test)]
mod tests {
    use super::super::call_list::{Call, Leg};
    use super::*;

    fn leg(port: u16, srtp: Option<LegKeys>) -> Leg {
        let at = |last| SocketAddrV4::new([10, 0, 0, last].into(), port);
        Leg { party: at(1), relay: at(2), srtp }
    }

    fn list(keys: [Option<LegKeys>; 2]) -> CallList {
        CallList { calls: vec![Call { a: leg(1, keys[0]), b: leg(3, keys[1]) }] }
    }

    #[test]
    fn a_party_opens_what_the_relay_sealed_for_it_once_and_nothing_else() {
        let keys = [0, 1].map(LegKeys::of);
        let mut parties = Protection::of(&list(keys.map(Some))).unwrap().unwrap();
        let mut relay = SrtpSender::new(&keys[0].at_relay().unwrap().local).unwrap();
        let mut packet = [0_u8; 172 + TAG_OCTETS];
        packet[..2].copy_from_slice(&[0x80, 8]);
        let plain = packet;
        assert_eq!(relay.protect_rtp(&mut packet, 172).unwrap(), 182);
        let to = |port| Arrival {
            packet: &packet,
            from: leg(port, None).relay,
            to: leg(port, None).party,
            at_ns: 0,
            checksum_right: true,
        };
        assert_eq!(parties.open(&to(3)), Err(Fault::Payload), "the keys of another");
        assert_eq!(parties.open(&to(1)), Ok(&plain[..172]));
        assert_eq!(parties.open(&to(1)), Err(Fault::Payload), "again");
        assert_eq!(parties.open(&to(5)), Err(Fault::Payload), "nobody");
    }

    #[test]
    fn a_list_has_keys_for_all_or_for_nobody() {
        assert!(Protection::of(&list([None, None])).unwrap().is_none());
        let error = Protection::of(&list([Some(LegKeys::of(0)), None])).unwrap_err().to_string();
        assert!(error.starts_with("10.0.0.1:3 "), "{error}");
    }
}
