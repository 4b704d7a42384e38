//! Messages of Q.931 §3 and §4: protocol discriminator, call reference, message type, elements.

use super::element::{Element, id};
use crate::IsdnError;

/// Protocol discriminator of Q.931 call control (§4.2).
const PROTOCOL_DISCRIMINATOR: u8 = 0x08;

/// Elements after which a message is not read any further; no basic call has more.
const ELEMENTS_MAX: usize = 64;

/// Message types (Q.931 table 4-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are the standard's.
pub enum MessageType {
    Alerting,
    CallProceeding,
    Progress,
    Setup,
    Connect,
    SetupAcknowledge,
    ConnectAcknowledge,
    Disconnect,
    Release,
    ReleaseComplete,
    Restart,
    RestartAcknowledge,
    Information,
    Notify,
    StatusEnquiry,
    Status,
    /// One that is not implemented.
    Other(u8),
}

impl MessageType {
    fn from_octet(octet: u8) -> Self {
        match octet {
            0x01 => Self::Alerting,
            0x02 => Self::CallProceeding,
            0x03 => Self::Progress,
            0x05 => Self::Setup,
            0x07 => Self::Connect,
            0x0d => Self::SetupAcknowledge,
            0x0f => Self::ConnectAcknowledge,
            0x45 => Self::Disconnect,
            0x46 => Self::Restart,
            0x4d => Self::Release,
            0x4e => Self::RestartAcknowledge,
            0x5a => Self::ReleaseComplete,
            0x6e => Self::Notify,
            0x75 => Self::StatusEnquiry,
            0x7b => Self::Information,
            0x7d => Self::Status,
            other => Self::Other(other),
        }
    }

    pub(crate) fn octet(self) -> u8 {
        match self {
            Self::Alerting => 0x01,
            Self::CallProceeding => 0x02,
            Self::Progress => 0x03,
            Self::Setup => 0x05,
            Self::Connect => 0x07,
            Self::SetupAcknowledge => 0x0d,
            Self::ConnectAcknowledge => 0x0f,
            Self::Disconnect => 0x45,
            Self::Restart => 0x46,
            Self::Release => 0x4d,
            Self::RestartAcknowledge => 0x4e,
            Self::ReleaseComplete => 0x5a,
            Self::Notify => 0x6e,
            Self::StatusEnquiry => 0x75,
            Self::Information => 0x7b,
            Self::Status => 0x7d,
            Self::Other(octet) => octet,
        }
    }
}

/// A call reference (Q.931 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallReference {
    /// The value; 0 is the global call reference.
    pub value: u16,
    /// The flag: the message goes to the side that chose the value.
    pub to_origin: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The call.
    pub reference: CallReference,
    /// What it says.
    pub message_type: MessageType,
    /// Its elements.
    pub elements: Vec<Element>,
}

impl Message {
    /// Reads a message.
    pub fn decode(octets: &[u8]) -> Result<Self, IsdnError> {
        Self::decode_as(PROTOCOL_DISCRIMINATOR, octets)
    }

    /// Reads a message of a protocol that shares the form of Q.931's.
    pub(crate) fn decode_as(protocol: u8, octets: &[u8]) -> Result<Self, IsdnError> {
        let at = |offset: usize| {
            octets.get(offset).copied().ok_or(IsdnError::MessageTooShort { offset: octets.len() })
        };
        let discriminator = at(0)?;
        if discriminator != protocol {
            return Err(IsdnError::OtherProtocol { discriminator });
        }
        let size = at(1)?;
        let reference = match size {
            1 => {
                let octet = at(2)?;
                CallReference { value: u16::from(octet & 0x7f), to_origin: octet & 0x80 != 0 }
            }
            2 => {
                let (high, low) = (at(2)?, at(3)?);
                CallReference {
                    value: u16::from(high & 0x7f) << 8 | u16::from(low),
                    to_origin: high & 0x80 != 0,
                }
            }
            octets => return Err(IsdnError::CallReference { octets: usize::from(octets) }),
        };
        let mut offset = 2 + usize::from(size);
        let message_type = MessageType::from_octet(at(offset)?);
        offset += 1;
        let mut elements = Vec::new();
        let mut codeset = 0;
        let mut locked_codeset = 0;
        while offset < octets.len() && elements.len() < ELEMENTS_MAX {
            let identifier = octets[offset];
            offset += 1;
            if identifier & 0x80 != 0 {
                // §4.5.1: single octet. §4.5.3, §4.5.4: shift, locking when bit 4 is 0.
                match identifier & 0xf0 {
                    0x90 => {
                        codeset = identifier & 7;
                        if identifier & 8 == 0 {
                            locked_codeset = codeset;
                        }
                        continue;
                    }
                    _ if codeset == 0 && identifier == id::SENDING_COMPLETE => {
                        elements.push(Element::SendingComplete);
                    }
                    _ => elements.push(Element::Other(identifier)),
                }
            } else {
                let contents = octets
                    .get(offset)
                    .and_then(|size| octets.get(offset + 1..offset + 1 + usize::from(*size)));
                let Some(contents) = contents else {
                    // §5.8.6.2, §5.8.7.2: what came before an element that is cut off still
                    // counts; the element itself is invalid.
                    if codeset == 0 {
                        elements.push(Element::Invalid(identifier));
                    }
                    break;
                };
                offset += 1 + contents.len();
                if codeset == 0 {
                    elements.push(Element::decode(identifier, contents));
                }
            }
            codeset = locked_codeset;
        }
        Ok(Self { reference, message_type, elements })
    }

    /// Writes the message with a call reference of `reference_octets` (1 or 2).
    pub fn encode(&self, reference_octets: u8) -> Vec<u8> {
        self.encode_as(PROTOCOL_DISCRIMINATOR, reference_octets)
    }

    pub(crate) fn encode_as(&self, protocol: u8, reference_octets: u8) -> Vec<u8> {
        let flag = u8::from(self.reference.to_origin) << 7;
        let [high, low] = self.reference.value.to_be_bytes();
        let mut octets = vec![protocol];
        if reference_octets == 1 {
            octets.extend([1, flag | low & 0x7f]);
        } else {
            octets.extend([2, flag | high & 0x7f, low]);
        }
        octets.push(self.message_type.octet());
        // §4.5.1: variable length elements in ascending order.
        let mut elements: Vec<&Element> = self.elements.iter().collect();
        elements.sort_by_key(|element| element.identifier());
        for element in elements {
            element.encode(&mut octets);
        }
        octets
    }

    /// The first element that `pick` takes.
    pub fn find<T>(&self, pick: impl FnMut(&Element) -> Option<T>) -> Option<T> {
        self.elements.iter().find_map(pick)
    }

    /// The cause, if it carries one.
    pub fn cause(&self) -> Option<super::element::Cause> {
        self.find(|element| match element {
            Element::Cause(cause) => Some(*cause),
            _ => None,
        })
    }

    /// A progress indicator says that something can be heard.
    pub fn is_in_band(&self) -> bool {
        self.elements.iter().any(|element| match element {
            Element::ProgressIndicator(progress) => progress.is_in_band(),
            _ => false,
        })
    }

    /// Digits that it brings: of a called party number or as keypad facility (§5.1.3).
    pub fn digits(&self) -> Option<String> {
        self.find(|element| match element {
            Element::CalledPartyNumber(number) => Some(number.digits.clone()),
            Element::KeypadFacility(digits) => Some(digits.clone()),
            _ => None,
        })
    }

    /// The first B channel of its channel identification.
    pub fn channel(&self) -> Option<(u8, bool)> {
        use super::element::Channels;
        self.find(|element| match element {
            Element::ChannelIdentification(channel) => match &channel.channels {
                Channels::Listed(listed) => Some((*listed.first()?, channel.exclusive)),
                _ => None,
            },
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::element::{Number, NumberType};
    use super::*;

    #[test]
    fn a_message_reads_as_it_was_written() {
        let message = Message {
            reference: CallReference { value: 0x1234, to_origin: false },
            message_type: MessageType::Setup,
            elements: vec![
                Element::CalledPartyNumber(Number::new(NumberType::Unknown, "0333331234")),
                Element::SendingComplete,
            ],
        };
        let octets = message.encode(2);
        assert_eq!(octets[..5], [0x08, 0x02, 0x12, 0x34, 0x05]);
        assert_eq!(Message::decode(&octets), Ok(message));
    }

    #[test]
    fn elements_of_other_codesets_are_skipped() {
        // Non-locking shift to codeset 6, one element there, then a cause of codeset 0.
        let octets = [8, 1, 1, 0x45, 0x9e, 0x7f, 1, 0, 0x08, 2, 0x80, 0x90];
        let message = Message::decode(&octets).unwrap();
        assert_eq!(message.cause().map(|cause| cause.value), Some(16));
        assert_eq!(message.elements.len(), 1);
    }

    #[test]
    fn an_element_that_is_cut_off_does_not_take_the_message_with_it() {
        let octets = [8, 1, 1, 0x45, 0x08, 2, 0x80, 0x91, 0x28, 9, b'x'];
        let message = Message::decode(&octets).unwrap();
        assert_eq!(message.cause().map(|cause| cause.value), Some(17));
        assert_eq!(message.elements.last(), Some(&Element::Invalid(0x28)));
    }

    #[test]
    fn a_message_without_a_whole_header_is_refused() {
        assert_eq!(Message::decode(&[8, 2, 1]), Err(IsdnError::MessageTooShort { offset: 3 }));
        assert_eq!(
            Message::decode(&[8, 3, 1, 1, 1, 0x45]),
            Err(IsdnError::CallReference { octets: 3 })
        );
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut octets = octets;
            let _ = Message::decode(&octets);
            if octets.len() > 2 {
                octets[0] = 8;
                octets[1] = 2;
                if let Ok(message) = Message::decode(&octets) {
                    prop_assert!(Message::decode(&message.encode(2)).is_ok());
                }
            }
        }
    }
}
