//! B channels taken out of service and back by SERVICE, in the networks of North America that have
//! it (TR 41459 §5, SR-3875). It is a protocol of its own beside Q.931, with the same frames.

use std::time::Instant;

use super::{Output, PrimaryRate};
use crate::IsdnError;
use crate::q931::element::{ChannelIdentification, Channels, Element};
use crate::q931::message::{CallReference, Message, MessageType};

/// How a variant codes SERVICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCoding {
    /// Protocol discriminator of maintenance.
    pub discriminator: u8,
    /// Message type of SERVICE.
    pub service: u8,
    /// Message type of SERVICE ACKNOWLEDGE.
    pub acknowledge: u8,
}

/// What SERVICE says of a B channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// In service.
    InService,
    /// Kept for maintenance: no calls but those that are up.
    Maintenance,
    /// Out of service.
    OutOfService,
}

impl ServiceState {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0x07 {
            0 => Some(Self::InService),
            1 => Some(Self::Maintenance),
            2 => Some(Self::OutOfService),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::InService => 0,
            Self::Maintenance => 1,
            Self::OutOfService => 2,
        }
    }
}

impl PrimaryRate {
    /// Tells the other end that a B channel is in service or not; [`Output::Service`] says that it
    /// has taken note.
    pub fn announce_service(
        &mut self,
        now: Instant,
        channel: u8,
        state: ServiceState,
    ) -> Result<(), IsdnError> {
        let coding = self.configuration.variant.service.ok_or(IsdnError::NotInVariant)?;
        if !self.configuration.variant.b_channels.contains(&channel) {
            return Err(IsdnError::NoSuchChannel { channel });
        }
        if !self.link.is_up() {
            return Err(IsdnError::LinkDown);
        }
        self.send_service(now, coding.discriminator, coding.service, channel, state, false);
        self.drain_link(now);
        Ok(())
    }

    /// A message of another protocol than Q.931. False when it is not maintenance either.
    pub(super) fn maintenance(&mut self, now: Instant, octets: &[u8]) -> bool {
        let Some(coding) = self.configuration.variant.service else { return false };
        let Ok(message) = Message::decode_as(coding.discriminator, octets) else { return false };
        let state = message.find(|element| match element {
            Element::ChangeStatus(status) => ServiceState::from_bits(*status),
            _ => None,
        });
        let channel = message
            .channel()
            .map(|(channel, _)| channel)
            .filter(|channel| self.configuration.variant.b_channels.contains(channel));
        let (Some(state), Some(channel)) = (state, channel) else { return false };
        let message_type = message.message_type.octet();
        let acknowledged = message_type == coding.acknowledge;
        if message_type == coding.service {
            let ServiceCoding { discriminator, acknowledge, .. } = coding;
            self.send_service(now, discriminator, acknowledge, channel, state, true);
        } else if !acknowledged {
            return false;
        }
        self.outputs.push_back(Output::Service { channel, state, acknowledged });
        true
    }

    fn send_service(
        &mut self,
        now: Instant,
        discriminator: u8,
        message_type: u8,
        channel: u8,
        state: ServiceState,
        to_origin: bool,
    ) {
        self.counters.messages_sent += 1;
        let channels = Channels::Listed(vec![channel]);
        let message = Message {
            reference: CallReference { value: 0, to_origin },
            message_type: MessageType::Other(message_type),
            elements: vec![
                Element::ChangeStatus(state.bits()),
                Element::ChannelIdentification(ChannelIdentification { exclusive: true, channels }),
            ],
        };
        let reference_octets = self.configuration.variant.call_reference_octets;
        let octets = message.encode_as(discriminator, reference_octets);
        self.link.data(now, octets);
    }
}
