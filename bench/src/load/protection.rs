//! SRTP of the parties, where the load is protected: what a party sends and what it hears are
//! sealed and opened here, under the keys of the call list (RFC 3711).

use std::collections::HashMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};
use trunkline_rtp::srtp::{
    MAXIMUM_OVERHEAD_OCTETS, MasterKey, SrtpKeys, SrtpReceiver, SrtpSender, Suite,
};

use super::call_list::CallList;
use super::error::LoadError;
use super::packet::{Fault, HEADER_OCTETS, PAYLOAD_MAX_OCTETS, is_rtcp};
use super::wire::Arrival;

/// Octets of the longest packet.
const PACKET_MAX_OCTETS: usize = HEADER_OCTETS + PAYLOAD_MAX_OCTETS + MAXIMUM_OVERHEAD_OCTETS;

/// The suite of this name (RFC 4568 §6.2, RFC 7714 §14.2), as an argument of a program.
///
/// # Errors
/// The names that there are, if this is none.
pub fn suite(name: &str) -> Result<Suite, String> {
    Suite::from_name(name)
        .ok_or_else(|| format!("a suite is one of {}", Suite::ALL.map(Suite::name).join(", ")))
}

/// The keys between a party and the relay: key then salt, as `a=crypto` carries them (RFC 4568 §6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegKeys {
    /// What both speak.
    #[serde(with = "suite_name")]
    pub suite: Suite,
    /// Of what the party sends.
    pub to_relay: Vec<u8>,
    /// Of what the relay sends.
    pub from_relay: Vec<u8>,
}

/// A suite in a call list, by its name.
mod suite_name {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use trunkline_rtp::srtp::Suite;

    pub fn serialize<S: Serializer>(suite: &Suite, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(suite.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Suite, D::Error> {
        super::suite(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl LegKeys {
    /// Keys for party `index`, other than those of any other. They guard nothing.
    pub fn of(suite: Suite, index: usize) -> Self {
        let key = |direction: u8| {
            let mut state = index as u32 ^ u32::from(direction) << 24;
            let octet = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..suite.key_octets()).map(octet).collect()
        };
        Self { suite, to_relay: key(0x5a), from_relay: key(0xa5) }
    }

    /// The same from the relay's side.
    ///
    /// # Errors
    /// If a key of a call list has not the length of its suite.
    pub fn at_relay(&self) -> Result<SrtpKeys, LoadError> {
        let key = |octets: &[u8]| MasterKey::new(self.suite, octets);
        Ok(SrtpKeys { local: key(&self.from_relay)?, remote: key(&self.to_relay)? })
    }
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
        let keys: Vec<SrtpKeys> = legs()
            .map(|leg| leg.srtp.as_ref().ok_or(LoadError::Unprotected(leg.party))?.at_relay())
            .collect::<Result<_, _>>()?;
        let sender = |keys: &SrtpKeys| Ok::<_, LoadError>(SrtpSender::new(&keys.remote)?);
        let receiver = |keys: &SrtpKeys| Ok::<_, LoadError>(SrtpReceiver::new(&keys.local)?);
        Ok(Some(Self {
            senders: keys.iter().map(sender).collect::<Result<_, _>>()?,
            receivers: keys.iter().map(receiver).collect::<Result<_, _>>()?,
            parties: legs().enumerate().map(|(index, leg)| (leg.party, index)).collect(),
            opened: Box::new([0; PACKET_MAX_OCTETS]),
        }))
    }

    /// Seals what party `sender` sends: all of `packet`, the last octets of which are left empty for
    /// its suite.
    pub fn seal(&mut self, sender: usize, packet: &mut [u8]) {
        let sender = &mut self.senders[sender];
        let octets = packet.len() - sender.suite().rtp_overhead_octets();
        // A packet that cannot be sealed goes out as it is, and the relay refuses it.
        let _ = sender.protect_rtp(packet, octets);
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

    fn list([a, b]: [Option<LegKeys>; 2]) -> CallList {
        CallList { calls: vec![Call { a: leg(1, a), b: leg(3, b) }] }
    }

    #[test]
    fn a_party_opens_what_the_relay_sealed_for_it_once_and_nothing_else() {
        for suite in Suite::ALL {
            let keys = [0, 1].map(|index| LegKeys::of(suite, index));
            let mut relay = SrtpSender::new(&keys[0].at_relay().unwrap().local).unwrap();
            let mut parties = Protection::of(&list(keys.map(Some))).unwrap().unwrap();
            let mut packet = vec![0_u8; 172 + suite.rtp_overhead_octets()];
            packet[..2].copy_from_slice(&[0x80, 8]);
            let plain = packet.clone();
            assert_eq!(relay.protect_rtp(&mut packet, 172).unwrap(), packet.len());
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
    }

    #[test]
    fn a_call_list_says_which_suite_its_keys_are_of() {
        let keys = LegKeys::of(Suite::AeadAes128Gcm, 3);
        let text = serde_json::to_string(&keys).unwrap();
        assert_eq!(serde_json::from_str::<LegKeys>(&text).unwrap(), keys);
        let other = text.replace("AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80");
        let other: LegKeys = serde_json::from_str(&other).unwrap();
        assert!(other.at_relay().is_err(), "28 octets are no key of 30");
        assert!(suite("ROT13").unwrap_err().contains("AES_CM_128_HMAC_SHA1_80"));
    }

    #[test]
    fn a_list_has_keys_for_all_or_for_nobody() {
        assert!(Protection::of(&list([None, None])).unwrap().is_none());
        let error = Protection::of(&list([Some(LegKeys::of(Suite::AesCm128HmacSha1_80, 0)), None]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("10.0.0.1:3 "), "{error}");
    }
}
