//! Frames of Q.921 §3, without flags and FCS.

use crate::{IsdnError, Side};

/// SAPI of call control (Q.921 table 2).
const SAPI: u8 = 0;

/// TEI of a point-to-point data link on a primary rate interface.
const TEI: u8 = 0;

/// Poll/final bit of an unnumbered frame.
const PF_UNNUMBERED: u8 = 0x10;

/// A frame's control field with what belongs to it (Q.921 table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// I: information.
    Information {
        /// Send sequence number.
        ns: u8,
        /// Receive sequence number.
        nr: u8,
        /// The layer 3 message.
        message: &'a [u8],
    },
    /// RR: ready to receive.
    ReceiveReady {
        /// Receive sequence number.
        nr: u8,
    },
    /// RNR: not ready to receive.
    ReceiveNotReady {
        /// Receive sequence number.
        nr: u8,
    },
    /// REJ: reject.
    Reject {
        /// Receive sequence number.
        nr: u8,
    },
    /// SABME: set asynchronous balanced mode extended.
    Sabme,
    /// DM: disconnected mode.
    DisconnectedMode,
    /// UI: unnumbered information.
    UnnumberedInformation,
    /// DISC: disconnect.
    Disconnect,
    /// UA: unnumbered acknowledgement.
    UnnumberedAcknowledgement,
    /// FRMR: frame reject.
    FrameReject,
    /// XID: exchange identification.
    ExchangeIdentification,
}

impl Control<'_> {
    /// Whether it is a command (`true`), a response (`false`) or may be both (Q.921 table 5).
    fn is_only_command(&self) -> Option<bool> {
        match self {
            Self::Information { .. }
            | Self::Sabme
            | Self::UnnumberedInformation
            | Self::Disconnect => Some(true),
            Self::DisconnectedMode | Self::UnnumberedAcknowledgement | Self::FrameReject => {
                Some(false)
            }
            Self::ReceiveReady { .. }
            | Self::ReceiveNotReady { .. }
            | Self::Reject { .. }
            | Self::ExchangeIdentification => None,
        }
    }

    /// Whether octets may follow the control field.
    fn has_information(&self) -> bool {
        matches!(
            self,
            Self::Information { .. }
                | Self::UnnumberedInformation
                | Self::FrameReject
                | Self::ExchangeIdentification
        )
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// A command, else a response.
    pub is_command: bool,
    /// Poll bit of a command, final bit of a response.
    pub poll_final: bool,
    /// The control field.
    pub control: Control<'a>,
}

impl<'a> Frame<'a> {
    /// Reads a frame that `from` sent. `information_max` is N201. A frame in the wrong role, as one's
    /// own frames are that come back from a looped line, is an error.
    pub fn decode(octets: &'a [u8], from: Side, information_max: usize) -> Result<Self, IsdnError> {
        let [first, second, control, rest @ ..] = octets else {
            return Err(IsdnError::FrameTooShort { octets: octets.len() });
        };
        // Q.921 §3.2: EA is 0 in the first octet, 1 in the second.
        let (sapi, tei) = (first >> 2, second >> 1);
        if first & 1 != 0 || second & 1 != 1 || sapi != SAPI || tei != TEI {
            return Err(IsdnError::OtherDataLink { sapi, tei });
        }
        let is_command = (first & 2 != 0) == command_bit(from);
        let frame = if control & 3 == 3 {
            Self { is_command, ..Self::unnumbered(*control, rest.len())? }
        } else {
            Self { is_command, ..Self::numbered(*control, rest, information_max)? }
        };
        if frame.control.is_only_command().is_some_and(|expected| expected != is_command) {
            return Err(IsdnError::WrongRole { control: *control });
        }
        Ok(frame)
    }

    fn unnumbered(octet: u8, information_octets: usize) -> Result<Self, IsdnError> {
        let control = match octet & !PF_UNNUMBERED {
            0x6f => Control::Sabme,
            0x0f => Control::DisconnectedMode,
            0x03 => Control::UnnumberedInformation,
            0x43 => Control::Disconnect,
            0x63 => Control::UnnumberedAcknowledgement,
            0x87 => Control::FrameReject,
            0xaf => Control::ExchangeIdentification,
            _ => return Err(IsdnError::UndefinedControl { control: octet }),
        };
        if information_octets > 0 && !control.has_information() {
            return Err(IsdnError::InformationNotPermitted { octets: information_octets });
        }
        Ok(Self { is_command: true, poll_final: octet & PF_UNNUMBERED != 0, control })
    }

    fn numbered(octet: u8, rest: &'a [u8], information_max: usize) -> Result<Self, IsdnError> {
        let [sequence, message @ ..] = rest else {
            return Err(IsdnError::FrameTooShort { octets: 3 });
        };
        let (nr, poll_final) = (sequence >> 1, sequence & 1 != 0);
        let control = match octet {
            information if information & 1 == 0 => {
                if message.len() > information_max {
                    return Err(IsdnError::InformationTooLong { octets: message.len() });
                }
                Control::Information { ns: information >> 1, nr, message }
            }
            0x01 => Control::ReceiveReady { nr },
            0x05 => Control::ReceiveNotReady { nr },
            0x09 => Control::Reject { nr },
            other => return Err(IsdnError::UndefinedControl { control: other }),
        };
        if !message.is_empty() && !control.has_information() {
            return Err(IsdnError::InformationNotPermitted { octets: message.len() });
        }
        Ok(Self { is_command: true, poll_final, control })
    }

    /// Writes a frame that `from` sends.
    pub fn encode(&self, from: Side) -> Vec<u8> {
        let command_response = u8::from(self.is_command == command_bit(from)) << 1;
        let mut octets = vec![SAPI << 2 | command_response, TEI << 1 | 1];
        let poll_final = u8::from(self.poll_final);
        let unnumbered = |control: u8| control | poll_final << 4;
        match self.control {
            Control::Information { ns, nr, message } => {
                octets.extend([ns << 1, nr << 1 | poll_final]);
                octets.extend_from_slice(message);
            }
            Control::ReceiveReady { nr } => octets.extend([0x01, nr << 1 | poll_final]),
            Control::ReceiveNotReady { nr } => octets.extend([0x05, nr << 1 | poll_final]),
            Control::Reject { nr } => octets.extend([0x09, nr << 1 | poll_final]),
            Control::Sabme => octets.push(unnumbered(0x6f)),
            Control::DisconnectedMode => octets.push(unnumbered(0x0f)),
            Control::UnnumberedInformation => octets.push(unnumbered(0x03)),
            Control::Disconnect => octets.push(unnumbered(0x43)),
            Control::UnnumberedAcknowledgement => octets.push(unnumbered(0x63)),
            Control::FrameReject => octets.push(unnumbered(0x87)),
            Control::ExchangeIdentification => octets.push(unnumbered(0xaf)),
        }
        octets
    }
}

/// C/R bit of a command (Q.921 table 1).
fn command_bit(from: Side) -> bool {
    from == Side::Network
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_on_the_wire_as_in_the_standard() {
        let sabme = Frame { is_command: true, poll_final: true, control: Control::Sabme };
        assert_eq!(sabme.encode(Side::User), [0x00, 0x01, 0x7f]);
        assert_eq!(sabme.encode(Side::Network), [0x02, 0x01, 0x7f]);
        let ua = Frame {
            is_command: false,
            poll_final: true,
            control: Control::UnnumberedAcknowledgement,
        };
        assert_eq!(ua.encode(Side::User), [0x02, 0x01, 0x73]);
        let rr = Frame {
            is_command: false,
            poll_final: false,
            control: Control::ReceiveReady { nr: 5 },
        };
        assert_eq!(rr.encode(Side::Network), [0x00, 0x01, 0x01, 0x0a]);
    }

    #[test]
    fn frames_of_another_data_link_are_refused() {
        assert_eq!(
            Frame::decode(&[0xfc, 0xff, 0x03, 0x0f], Side::User, 260),
            Err(IsdnError::OtherDataLink { sapi: 63, tei: 127 })
        );
    }

    #[test]
    fn our_own_frames_are_refused_when_a_looped_line_brings_them_back() {
        for control in [Control::Sabme, Control::UnnumberedAcknowledgement] {
            let is_command = control == Control::Sabme;
            let octets = Frame { is_command, poll_final: true, control }.encode(Side::User);
            assert!(matches!(
                Frame::decode(&octets, Side::Network, 260),
                Err(IsdnError::WrongRole { .. })
            ));
        }
    }

    #[test]
    fn frames_with_more_octets_than_their_control_field_allows_are_refused() {
        let refused = Err(IsdnError::InformationNotPermitted { octets: 1 });
        assert_eq!(Frame::decode(&[0x02, 0x01, 0x7f, 0], Side::Network, 260), refused);
        assert_eq!(Frame::decode(&[0x02, 0x01, 0x01, 0x00, 0], Side::Network, 260), refused);
    }

    proptest! {
        #[test]
        fn any_octets_are_survived_and_what_is_read_writes_back(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            for side in [Side::User, Side::Network] {
                if let Ok(frame) = Frame::decode(&octets, side, 260) {
                    let written = frame.encode(side);
                    prop_assert_eq!(Frame::decode(&written, side, 260), Ok(frame));
                }
            }
        }
    }
}
