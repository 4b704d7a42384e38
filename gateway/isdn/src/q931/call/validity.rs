//! Messages that lack an element or have one that makes no sense (Q.931 §5.8.6, §5.8.7).

use super::super::element::{Element, id};
use super::super::message::{Message, MessageType};
use crate::Side;

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// 96: a mandatory element is missing; 100: its contents make no sense.
    pub cause: u8,
    /// The elements, as the cause's diagnostic names them.
    pub identifiers: Vec<u8>,
}

/// The first fault for which a message is not carried out as it stands. `side` is the one that has
/// received it.
pub(crate) fn fault_in(message: &Message, side: Side) -> Option<Fault> {
    let is_there = |wanted: u8| {
        message.elements.iter().any(|element| {
            element.identifier() == wanted
                && !matches!(element, Element::Invalid(_) | Element::Other(_))
        })
    };
    let is_invalid = |wanted: u8| message.elements.contains(&Element::Invalid(wanted));
    for wanted in mandatory(message.message_type, side).iter().copied() {
        if !is_there(wanted) {
            let cause = if is_invalid(wanted) { 100 } else { 96 };
            return Some(Fault { cause, identifiers: vec![wanted] });
        }
    }
    // §5.8.7.1: an element that is not known and whose identifier begins with four zeros has to be
    // understood; it is as if a mandatory one were missing. Others are passed over.
    let unknown = message.elements.iter().find_map(|element| match element {
        Element::Other(identifier @ 0..0x10) => Some(*identifier),
        // Known in SERVICE only.
        Element::ChangeStatus(_) => Some(id::CHANGE_STATUS),
        _ => None,
    })?;
    Some(Fault { cause: 96, identifiers: vec![unknown] })
}

/// Elements that a message must have (Q.931 tables 3-1 to 3-21).
fn mandatory(message_type: MessageType, side: Side) -> &'static [u8] {
    match message_type {
        // §5.1.2: a user that names no channel takes any.
        MessageType::Setup if side == Side::Network => &[id::BEARER_CAPABILITY],
        MessageType::Setup => &[id::BEARER_CAPABILITY, id::CHANNEL_IDENTIFICATION],
        MessageType::Disconnect => &[id::CAUSE],
        MessageType::Progress => &[id::PROGRESS_INDICATOR],
        MessageType::Notify => &[id::NOTIFICATION_INDICATOR],
        MessageType::Status => &[id::CAUSE, id::CALL_STATE],
        MessageType::Restart | MessageType::RestartAcknowledge => &[id::RESTART_INDICATOR],
        _ => &[],
    }
}
