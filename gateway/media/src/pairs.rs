//! What the sides of each pair have agreed on, as far as it decides what is transcoded: kept where
//! legs are opened and changed, so that coders are made there and only when they are needed.

use std::collections::HashMap;

use trunkline_rtp::codec::Codec;

use crate::coders::audio;
use crate::error::MediaError;
use crate::event::LegId;
use crate::format::Format;
use crate::leg::Translation;
use crate::spec::{PayloadFormat, RtpLegSpec, RtpLegUpdate, Sending};
use crate::transcode::Transcoder;

/// What one side has agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    sending: Sending,
    receiving: Vec<PayloadFormat>,
}

/// The terms of every leg of a pair, by the leg's serial number.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    legs: HashMap<u64, Paired>,
}

#[derive(Debug)]
struct Paired {
    mate: u64,
    terms: Terms,
}

/// What an update of one leg of a pair means to the transcoders of both.
#[derive(Debug, Default)]
pub(crate) struct Consequences {
    /// Of what the leg itself sends.
    pub(crate) own: Translation,
    /// Of what the other one sends.
    pub(crate) mates: Translation,
    /// The leg's terms from then on.
    pub(crate) terms: Option<Terms>,
}

impl Pairs {
    /// Two legs have become a pair.
    pub(crate) fn joined(&mut self, (a, of_a): (LegId, Terms), (b, of_b): (LegId, Terms)) {
        self.legs.insert(a.serial, Paired { mate: b.serial, terms: of_a });
        self.legs.insert(b.serial, Paired { mate: a.serial, terms: of_b });
    }

    /// A leg is gone.
    pub(crate) fn parted(&mut self, leg: LegId) {
        self.legs.remove(&leg.serial);
    }

    /// What an update will lead to; nothing, as long as what is transcoded stays the same: coders go
    /// on with what they know of the voice.
    pub(crate) fn consequences(
        &self,
        leg: LegId,
        update: &RtpLegUpdate,
    ) -> Result<Consequences, MediaError> {
        let Some(Paired { mate, terms: before }) = self.legs.get(&leg.serial) else {
            return Ok(Consequences::default());
        };
        let after = Terms {
            sending: update.sending.unwrap_or(before.sending),
            receiving: update.receiving.clone().unwrap_or_else(|| before.receiving.clone()),
        };
        let mut consequences = Consequences::default();
        if let Some(Paired { terms: mates, .. }) = self.legs.get(mate) {
            consequences.own =
                translation(before.transcoded_from(mates), after.transcoded_from(mates))?;
            consequences.mates =
                translation(mates.transcoded_from(before), mates.transcoded_from(&after))?;
        }
        consequences.terms = Some(after);
        Ok(consequences)
    }

    /// The update is on its way.
    pub(crate) fn updated(&mut self, leg: LegId, terms: Option<Terms>) {
        if let (Some(leg), Some(terms)) = (self.legs.get_mut(&leg.serial), terms) {
            leg.terms = terms;
        }
    }
}

impl Terms {
    pub(crate) fn of(spec: &RtpLegSpec) -> Self {
        Self { sending: spec.sending, receiving: spec.receiving.clone() }
    }

    /// The transcoder for what comes from the other side, if anything needs one.
    pub(crate) fn transcoder_from(
        &self,
        other: &Self,
    ) -> Result<Option<Box<Transcoder>>, MediaError> {
        made(&self.transcoded_from(other))
    }

    /// The codecs of the other side that have to be transcoded, and into which.
    ///
    /// Not what is the same codec: packets of any length are taken by whoever takes the codec, `ptime`
    /// being a wish (RFC 8866 §6.4). Nor G.711 in the other law, unless the sides have agreed on packets
    /// of different length and the octets have to be read anyway.
    fn transcoded_from(&self, other: &Self) -> (Vec<Codec>, Codec) {
        let sent = self.sending.codec;
        let is_same_length = self.sending.ptime_ms == other.sending.ptime_ms;
        let passes = |codec: &Codec| {
            let is_g711 = |codec| matches!(Format::of(codec), Format::G711(_));
            codec.same_encoding(&sent) || (is_same_length && is_g711(*codec) && is_g711(sent))
        };
        (audio(&other.receiving).filter(|codec| !passes(codec)).collect(), sent)
    }
}

/// A change from one need to another.
fn translation(
    before: (Vec<Codec>, Codec),
    after: (Vec<Codec>, Codec),
) -> Result<Translation, MediaError> {
    let is_same = before == after || (before.0.is_empty() && after.0.is_empty());
    Ok(if is_same { Translation::Same } else { Translation::Other(made(&after)?) })
}

fn made((heard, sent): &(Vec<Codec>, Codec)) -> Result<Option<Box<Transcoder>>, MediaError> {
    if heard.is_empty() {
        return Ok(None);
    }
    Ok(Some(Box::new(Transcoder::new(heard, *sent)?)))
}
