//! What countries have made of MFC/R2, as data.

use crate::cause;

/// Meanings of the register signals of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Sent after the last digit of the called number when another is asked for; `None`: silence.
    pub called_end: Option<u8>,
    /// Group A: digits are to be sent once more, from so many before the last; 255: all.
    pub back: &'static [(u8, u8)],
    /// Group A: the number is complete, and speech can begin without group B.
    pub complete: Option<u8>,
    /// Sent after the last digit of the calling number.
    pub calling_end: u8,
    /// Sent where there is no calling number to be had.
    pub calling_refused: u8,
    /// Group B: the subscriber is free, with charge.
    pub free_with_charge: u8,
    /// Group B: the subscriber is free, without charge.
    pub free_without_charge: u8,
    /// Group B: why a call is refused, with the cause of Q.850; the last is for all other causes.
    pub refusals: &'static [(u8, u8)],
}

/// Group A, as far as all variants here have it alike (Q.441 table 7).
pub(super) mod a {
    /// Send the next digit.
    pub const NEXT: u8 = 1;
    /// Number complete, send the category and change to group B.
    pub const TO_GROUP_B: u8 = 3;
    /// Congestion in the national network.
    pub const CONGESTION: u8 = 4;
    /// Send the category of the calling party, then its number.
    pub const CALLING: u8 = 5;
    /// Congestion in an international exchange.
    pub const INTERNATIONAL_CONGESTION: u8 = 15;
}

impl Variant {
    /// As ITU-T has it (Q.441 tables 5 to 8), group B with its national meanings.
    pub const ITU: Self = Self {
        name: "itu",
        called_end: None,
        back: &[(2, 1), (7, 2), (8, 3)],
        complete: Some(6),
        calling_end: 15,
        calling_refused: 12,
        free_with_charge: 6,
        free_without_charge: 7,
        refusals: &[
            (3, cause::BUSY),
            (4, cause::CONGESTION),
            (5, cause::UNALLOCATED),
            (8, cause::OUT_OF_ORDER),
            (2, cause::SPECIAL_TONE),
        ],
    };

    /// As on links between countries: the end of the called number is said by I-15.
    pub const ITU_INTERNATIONAL: Self =
        Self { name: "itu_international", called_end: Some(15), ..Self::ITU };

    /// Brazil.
    pub const BRAZIL: Self = Self {
        name: "brazil",
        back: &[(9, 1), (7, 2), (8, 3), (2, u8::MAX)],
        complete: None,
        free_with_charge: 1,
        free_without_charge: 5,
        refusals: &[
            (2, cause::BUSY),
            (3, cause::NUMBER_CHANGED),
            (4, cause::CONGESTION),
            (7, cause::UNALLOCATED),
            (8, cause::OUT_OF_ORDER),
            (6, cause::SPECIAL_TONE),
        ],
        ..Self::ITU
    };

    /// Argentina: the signals for the end and the want of a calling number are the other way round.
    pub const ARGENTINA: Self =
        Self { name: "argentina", calling_end: 12, calling_refused: 15, ..Self::ITU };

    /// All of them.
    pub const ALL: [Self; 4] = [Self::ITU, Self::ITU_INTERNATIONAL, Self::BRAZIL, Self::ARGENTINA];

    /// The variant of a name, as a configuration gives it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name == name)
    }

    /// The signal of group B that says a cause of Q.850.
    pub(super) fn refusal(&self, wanted: u8) -> u8 {
        let wanted = match wanted {
            cause::INVALID_NUMBER => cause::UNALLOCATED,
            34 | 38 | 41 | 47 => cause::CONGESTION,
            other => other,
        };
        let known = self.refusals.iter().find(|(_, cause)| *cause == wanted);
        known.or(self.refusals.last()).map_or(0, |(signal, _)| *signal)
    }

    /// The cause of Q.850 of a signal of group B that refuses.
    pub(super) fn cause(&self, signal: u8) -> u8 {
        let known = self.refusals.iter().find(|(known, _)| *known == signal);
        known.map_or(cause::UNSPECIFIED, |(_, cause)| *cause)
    }
}
