//! What differs between national networks, as data.

use crate::Side;
use crate::primary_rate::ServiceCoding;
use crate::q931::element::Location;
use crate::q931::timer::Timers;

/// A variant of Q.931 on a primary rate interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Numbers may come digit by digit (overlap sending and receiving, Q.931 §5.1.3, §5.2.4).
    pub overlap: bool,
    /// PROGRESS exists. Without it, in-band information before the answer is told of by ALERTING.
    pub progress: bool,
    /// Display may be sent.
    pub display: bool,
    /// Both ends follow the same rules, as between private exchanges: both wait for CONNECT
    /// ACKNOWLEDGE, and both may send display.
    pub is_symmetric: bool,
    /// How SERVICE is coded, where there is one.
    pub service: Option<ServiceCoding>,
    /// Location of the causes that the network's side gives.
    pub network_location: Location,
    /// Location of the causes that the user's side gives.
    pub user_location: Location,
}

/// Timeslots 1 to 15 and 17 to 31.
const E1_B_CHANNELS: &[u8] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
    28, 29, 30, 31,
];

/// Timeslots 1 to 23.
const T1_B_CHANNELS: &[u8] =
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

/// SERVICE as AT&T has it (TR 41459).
const AT_AND_T_SERVICE: Option<ServiceCoding> =
    Some(ServiceCoding { discriminator: 0x03, service: 0x0f, acknowledge: 0x07 });

impl Variant {
    /// EuroISDN on an E1: ETS 300 102-1 / EN 300 403-1.
    pub const EURO_ISDN: Self = Self {
        name: "euro_isdn",
        call_reference_octets: 2,
        user_layer_1: 3,
        b_channels: E1_B_CHANNELS,
        d_channel: 16,
        sending_complete: true,
        overlap: true,
        progress: true,
        display: true,
        is_symmetric: false,
        service: None,
        network_location: Location::PublicLocal,
        user_location: Location::User,
    };

    /// INS1500 of Japan (JT-Q931) on 1.5 Mbit/s, 23B+D: numbers come whole, there is no PROGRESS
    /// and no display.
    pub const INS_1500: Self = Self {
        name: "ins_1500",
        user_layer_1: 2,
        b_channels: T1_B_CHANNELS,
        d_channel: 24,
        sending_complete: false,
        overlap: false,
        progress: false,
        display: false,
        ..Self::EURO_ISDN
    };

    /// National ISDN-2 of North America (SR-3875) on a T1: numbers come whole.
    pub const NI_2: Self = Self {
        name: "ni_2",
        user_layer_1: 2,
        b_channels: T1_B_CHANNELS,
        d_channel: 24,
        sending_complete: false,
        overlap: false,
        service: Some(ServiceCoding { discriminator: 0x43, service: 0x07, acknowledge: 0x0f }),
        ..Self::EURO_ISDN
    };

    /// Nortel DMS-100 on a T1 (NIS-A211-1).
    pub const DMS_100: Self = Self { name: "dms_100", service: AT_AND_T_SERVICE, ..Self::NI_2 };

    /// AT&T 4ESS on a T1 (TR 41459).
    pub const ESS_4: Self = Self { name: "4ess", service: AT_AND_T_SERVICE, ..Self::NI_2 };

    /// Lucent 5ESS on a T1 (235-900-342).
    pub const ESS_5: Self = Self { name: "5ess", service: AT_AND_T_SERVICE, ..Self::NI_2 };

    /// Basic call of QSIG between private exchanges (ECMA-143, ISO/IEC 11572) on an E1. Names do not
    /// go by display there (ECMA-164).
    pub const QSIG: Self = Self {
        name: "qsig",
        display: false,
        is_symmetric: true,
        network_location: Location::PrivateLocal,
        user_location: Location::PrivateLocal,
        ..Self::EURO_ISDN
    };

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EURO_ISDN,
        Self::INS_1500,
        Self::NI_2,
        Self::DMS_100,
        Self::ESS_4,
        Self::ESS_5,
        Self::QSIG,
    ];

    /// The variant of a name, as a configuration gives it.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name == name)
    }

    /// The same on an E1: 30 B channels, the D channel on timeslot 16.
    pub const fn on_e1(self) -> Self {
        Self { b_channels: E1_B_CHANNELS, d_channel: 16, ..self }
    }

    /// The same on a T1 or J1: 23 B channels, the D channel on timeslot 24.
    pub const fn on_t1(self) -> Self {
        Self { b_channels: T1_B_CHANNELS, d_channel: 24, ..self }
    }

    /// Speech on its B channels is µ-law, else A-law.
    pub fn is_mu_law(&self) -> bool {
        self.user_layer_1 == 2
    }

    /// How long its timers run on this side.
    pub fn timers(&self, side: Side) -> Timers {
        Timers::new(side)
    }

    /// Where causes of this side are given (Q.850 §2.2.3).
    pub fn location(&self, side: Side) -> Location {
        match side {
            Side::User => self.user_location,
            Side::Network => self.network_location,
        }
    }
}
