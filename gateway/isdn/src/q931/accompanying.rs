//! What a message carries along that does not change the state of its call.

use super::element::{Element, Number, Progress, Redirecting, id};
use super::message::Message;
use crate::{Side, Variant};

/// Numbers, texts and indicators that come with a message or are sent with one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accompanying {
    /// Connected number (Q.931 §4.6.3), in CONNECT.
    pub connected: Option<Number>,
    /// Redirecting number (§4.6.7), in SETUP.
    pub redirecting: Option<Redirecting>,
    /// Display (§4.5.16). Only a network sends it, and only in variants that know it.
    pub display: Option<String>,
    /// User-user (§4.5.30), protocol discriminator first.
    pub user_user: Option<Vec<u8>>,
    /// Progress indicators (§4.5.23).
    pub progress: Vec<Progress>,
}

impl Accompanying {
    pub(crate) fn of(message: &Message) -> Self {
        let mut accompanying = Self::default();
        for element in &message.elements {
            // §5.8.5.2: of an element that may not be repeated, the first counts.
            match element {
                Element::ConnectedNumber(number) => {
                    accompanying.connected.get_or_insert_with(|| number.clone());
                }
                Element::RedirectingNumber(redirecting) => {
                    accompanying.redirecting.get_or_insert_with(|| redirecting.clone());
                }
                Element::Display(text) => {
                    accompanying.display.get_or_insert_with(|| text.clone());
                }
                Element::UserUser(contents) => {
                    accompanying.user_user.get_or_insert_with(|| contents.clone());
                }
                Element::ProgressIndicator(progress) => accompanying.progress.push(*progress),
                _ => {}
            }
        }
        accompanying
    }

    /// It says more than that something can be heard.
    pub(crate) fn is_worth_telling(&self) -> bool {
        self.connected.is_some()
            || self.redirecting.is_some()
            || self.display.is_some()
            || self.user_user.is_some()
            || self.progress.iter().any(|progress| progress.description != Progress::IN_BAND)
    }

    /// The elements to send, as far as the variant lets this side send them.
    pub(crate) fn elements(&self, side: Side, variant: &Variant) -> Vec<Element> {
        let mut elements: Vec<Element> =
            self.progress.iter().copied().map(Element::ProgressIndicator).collect();
        elements.extend(self.connected.clone().map(Element::ConnectedNumber));
        elements.extend(self.redirecting.clone().map(Element::RedirectingNumber));
        if variant.display && (side == Side::Network || variant.is_symmetric) {
            elements.extend(self.display.clone().map(Element::Display));
        }
        elements.extend(self.user_user.clone().map(Element::UserUser));
        elements
    }
}

/// Elements that a message may lose when it would be longer than N201, the first first.
pub(crate) const DISPENSABLE: [u8; 3] = [id::USER_USER, id::DISPLAY, id::REDIRECTING_NUMBER];
