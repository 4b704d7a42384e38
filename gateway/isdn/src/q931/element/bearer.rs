//! Bearer capability (Q.931 §4.5.5).

/// Information transfer capability (Q.931 §4.5.5, octet 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferCapability {
    /// Speech.
    #[default]
    Speech,
    /// Unrestricted digital information, 64 kbit/s.
    UnrestrictedDigital,
    /// 3.1 kHz audio.
    Audio31,
    /// Another one, by its value.
    Other(u8),
}

/// Bearer capability (Q.931 §4.5.5): circuit mode, 64 kbit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BearerCapability {
    /// What is carried.
    pub transfer: TransferCapability,
    /// User information layer 1 protocol: 2 G.711 µ-law, 3 G.711 A-law.
    pub user_layer_1: Option<u8>,
}

pub(super) fn decode(contents: &[u8]) -> Option<BearerCapability> {
    let [first, rest @ ..] = contents else { return None };
    let transfer = match first & 0x1f {
        0x00 => TransferCapability::Speech,
        0x08 => TransferCapability::UnrestrictedDigital,
        0x10 => TransferCapability::Audio31,
        other => TransferCapability::Other(other),
    };
    let mode = *rest.first()?;
    // Rate multiplier (octet 4.1) follows only for multirate, value 0x18.
    let behind_rate = if mode & 0x1f == 0x18 { 2 } else { 1 };
    let user_layer_1 =
        rest.get(behind_rate).filter(|octet| *octet & 0x60 == 0x20).map(|octet| octet & 0x1f);
    Some(BearerCapability { transfer, user_layer_1 })
}

pub(super) fn encode(bearer: BearerCapability) -> Vec<u8> {
    let transfer = match bearer.transfer {
        TransferCapability::Speech => 0x00,
        TransferCapability::UnrestrictedDigital => 0x08,
        TransferCapability::Audio31 => 0x10,
        TransferCapability::Other(bits) => bits & 0x1f,
    };
    // Circuit mode, 64 kbit/s.
    let mut contents = vec![0x80 | transfer, 0x90];
    contents.extend(bearer.user_layer_1.map(|protocol| 0xa0 | protocol));
    contents
}
