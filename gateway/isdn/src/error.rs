//! What is wrong with frames, messages and requests.

/// Why a frame or message was refused, or a request cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsdnError {
    /// The frame ends inside its header.
    #[error("frame of {octets} octets is too short")]
    FrameTooShort {
        /// Its length.
        octets: usize,
    },
    /// The address is not that of the interface's one data link.
    #[error("SAPI {sapi}, TEI {tei} is not this data link")]
    OtherDataLink {
        /// Service access point.
        sapi: u8,
        /// Terminal endpoint.
        tei: u8,
    },
    /// The control field means nothing.
    #[error("control field {control:#04x} is not defined")]
    UndefinedControl {
        /// Its first octet.
        control: u8,
    },
    /// A command came as a response, or a response as a command: the line is looped, or the other
    /// end takes itself for the same side.
    #[error("control field {control:#04x} in the wrong role: is the line looped?")]
    WrongRole {
        /// Its first octet.
        control: u8,
    },
    /// The frame has an information field where there can be none.
    #[error("information field of {octets} octets in a frame that has none")]
    InformationNotPermitted {
        /// Its length.
        octets: usize,
    },
    /// The information field is longer than N201.
    #[error("information field of {octets} octets is too long")]
    InformationTooLong {
        /// Its length.
        octets: usize,
    },
    /// The message is of another protocol than Q.931 call control.
    #[error("protocol discriminator {discriminator:#04x} is not Q.931")]
    OtherProtocol {
        /// Protocol discriminator.
        discriminator: u8,
    },
    /// The message ends inside its header.
    #[error("message ends at octet {offset}, inside its header")]
    MessageTooShort {
        /// Where.
        offset: usize,
    },
    /// The call reference has a length that is not used.
    #[error("call reference of {octets} octets")]
    CallReference {
        /// Its length.
        octets: usize,
    },
    /// The data link is down.
    #[error("the data link is down")]
    LinkDown,
    /// There is no such call.
    #[error("no such call")]
    NoSuchCall,
    /// Every call reference is in use.
    #[error("all call references are in use")]
    NoCallReference,
    /// The interface has no such B channel.
    #[error("timeslot {channel} is no B channel")]
    NoSuchChannel {
        /// Its timeslot.
        channel: u8,
    },
    /// A call is on the channel.
    #[error("timeslot {channel} is busy")]
    ChannelBusy {
        /// Its timeslot.
        channel: u8,
    },
    /// The variant has no such procedure.
    #[error("the variant has no such procedure")]
    NotInVariant,
    /// The call is in no state for this request.
    #[error("the request does not fit the call's state U/N{state}")]
    WrongState {
        /// State number of Q.931 §2.
        state: u8,
    },
}
