//! Progress indicator (Q.931 §4.5.23).

use super::Location;

/// What a progress indicator says, and who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Progress description of table 4-20: 1 not end-to-end ISDN, 2 and 3 not ISDN at the
    /// destination or origin, 4 returned to the ISDN, 8 in-band information is available.
    pub description: u8,
    /// Where the interworking is.
    pub location: Location,
}

impl Progress {
    /// In-band information or an appropriate pattern is now available.
    pub const IN_BAND: u8 = 8;

    /// Tones or announcements can be heard: said so, or to be expected as the call has left the
    /// ISDN.
    pub fn is_in_band(self) -> bool {
        matches!(self.description, 1 | Self::IN_BAND)
    }
}

pub(super) fn decode(contents: &[u8]) -> Option<Progress> {
    let [location, description, ..] = contents else { return None };
    Some(Progress { description: description & 0x7f, location: Location::from_bits(*location) })
}

pub(super) fn encode(progress: Progress) -> Vec<u8> {
    vec![0x80 | progress.location.bits(), 0x80 | progress.description]
}
