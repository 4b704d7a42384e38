//! What differs between national networks, as data.

/// A variant of Q.931 on a primary rate interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Octets of the call reference value.
    pub call_reference_octets: u8,
    /// Coding of G.711 in the bearer capability: layer 1 protocol 3 is A-law, 2 is µ-law
    /// (Q.931 table 4-6).
    pub user_layer_1: u8,
    /// B channels by timeslot, the D channel's left out.
    pub b_channels: &'static [u8],
    /// Timeslot of the D channel.
    pub d_channel: u8,
    /// A SETUP with all digits says so (sending complete).
    pub sending_complete: bool,
}

/// Timeslots 1 to 15 and 17 to 31.
const E1_B_CHANNELS: &[u8] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
    28, 29, 30, 31,
];

impl Variant {
    /// EuroISDN on an E1: ETS 300 102-1 / EN 300 403-1.
    pub const EURO_ISDN: Self = Self {
        name: "euro_isdn",
        call_reference_octets: 2,
        user_layer_1: 3,
        b_channels: E1_B_CHANNELS,
        d_channel: 16,
        sending_complete: true,
    };
}
