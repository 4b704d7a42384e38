//! How good the voice of the calls was, by the span they used.

use std::collections::BTreeMap;

use serde::Serialize;

/// Upper bounds of the classes of scores; the last class has none. Below 3.1 nearly all users are
/// dissatisfied, above 4.3 they are very satisfied (ITU-T G.107 Annex B).
pub const MOS_BOUNDS: [f64; 7] = [1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3];

/// Who heard the voice that was rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeardBy {
    /// This gateway: rated by itself.
    Gateway,
    /// The packet side's peer: as its extended reports say (RFC 3611).
    Peer,
}

impl HeardBy {
    /// As it stands in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Peer => "peer",
        }
    }
}

/// Estimated mean opinion scores of conversation (MOS-CQ), one a leg, since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VoiceQuality {
    /// By span and by who heard it.
    pub spans: BTreeMap<String, BTreeMap<HeardBy, Scores>>,
}

/// Scores by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// How many there are in each class of [`MOS_BOUNDS`].
    pub classes: [u64; MOS_BOUNDS.len() + 1],
    /// Their sum.
    pub sum: f64,
}

impl VoiceQuality {
    /// A leg of a call over `span` is over.
    pub fn rated(&mut self, span: &str, heard_by: HeardBy, mos: f64) {
        let legs = self.spans.entry(span.to_owned()).or_default();
        legs.entry(heard_by).or_default().add(mos);
    }
}

impl Scores {
    fn add(&mut self, mos: f64) {
        self.classes[MOS_BOUNDS.partition_point(|bound| *bound < mos)] += 1;
        self.sum += mos;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_at_a_bound_is_within_its_class() {
        let mut quality = VoiceQuality::default();
        for mos in [1.0, 4.3, 4.31, 3.05] {
            quality.rated("e1-1", HeardBy::Gateway, mos);
        }
        let scores = quality.spans["e1-1"][&HeardBy::Gateway];
        assert_eq!(scores.classes, [1, 0, 0, 1, 0, 0, 1, 1]);
        assert!((scores.sum - 12.66).abs() < 1e-9);
    }
}
