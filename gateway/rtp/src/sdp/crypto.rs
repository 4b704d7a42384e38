//! Keys in session descriptions: `a=crypto` (RFC 4568) with the suites of [`Suite`].
//!
//! A line that cannot be used is left out, as the standard wants it of lines an answerer does not know; the
//! first one's reason is kept for the refusal. Read here and not by `sdp-types`, whose errors and `Debug`
//! show the key.
#![forbid(unsafe_code)]

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sdp_types::Attribute;
use zeroize::Zeroizing;

use super::Audio;
use crate::error::RtpError;
use crate::srtp::{MAXIMUM_KEY_OCTETS, MasterKey, SrtpKeys, Suite};

/// Octets that base64 decodes to at most what it needs as room, the longest key's rounded up.
const DECODED_OCTETS: usize = MAXIMUM_KEY_OCTETS + 4;

/// RFC 4568 §6.1 leaves the padding out when it decodes: both are met.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One `a=crypto` line: a key that its side will send with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Names the line in its description; the answer repeats that of the line it takes.
    pub tag: u32,
    /// The key and its suite.
    pub key: MasterKey,
}

impl Crypto {
    /// A line for each of `suites`, in their order, with keys of octets that `fill_random` puts.
    pub fn generate(suites: &[Suite], mut fill_random: impl FnMut(&mut [u8])) -> Vec<Self> {
        (1..)
            .zip(suites)
            .map(|(tag, suite)| Self { tag, key: MasterKey::generate(*suite, &mut fill_random) })
            .collect()
    }

    /// Reads what stands behind `a=crypto:` (RFC 4568 §9.1).
    fn parse(value: &str) -> Result<Self, RtpError> {
        let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
        let tag = words.next().unwrap_or_default();
        let is_number = (1..=9).contains(&tag.len())
            && tag.bytes().all(|octet| octet.is_ascii_digit())
            && (tag == "0" || !tag.starts_with('0'));
        let number = tag.parse().ok().filter(|_| is_number);
        let number = number.ok_or_else(|| unusable("the tag", tag))?;
        let name = words.next().unwrap_or_default();
        let suite = Suite::from_name(name).ok_or_else(|| unusable("the suite", name))?;
        let key = parse_key(suite, words.next().unwrap_or_default())?;
        words.try_for_each(check_parameter)?;
        Ok(Self { tag: number, key })
    }

    /// The line, without lifetime, MKI and session parameters.
    pub(super) fn attribute(&self) -> Attribute {
        let key =
            Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(self.key.octets()));
        let value = format!("{} {} inline:{}", self.tag, self.key.suite().name(), key.as_str());
        Attribute::with_value("crypto", value)
    }
}

/// A line of an offer that is taken.
pub(super) struct Taken {
    tag: u32,
    pub keys: SrtpKeys,
}

impl Taken {
    /// The answer's line: the same tag with our key.
    pub fn line(&self) -> Crypto {
        Crypto { tag: self.tag, key: self.keys.local.clone() }
    }
}

/// The usable lines of a media line, and why the first of the others is not.
pub(super) fn read(media: &sdp_types::Media) -> (Vec<Crypto>, Option<String>) {
    let mut lines: Vec<Crypto> = Vec::new();
    let mut refusal = None;
    let values = media.attributes.iter().filter(|attribute| attribute.attribute == "crypto");
    for attribute in values {
        match Crypto::parse(attribute.value.as_deref().unwrap_or_default()) {
            // RFC 4568 §4: a tag names one line only.
            Ok(line) if lines.iter().any(|earlier| earlier.tag == line.tag) => {
                let error = unusable("the repeated tag", &line.tag.to_string());
                refusal.get_or_insert_with(|| error.to_string());
            }
            Ok(line) => lines.push(line),
            Err(error) => {
                refusal.get_or_insert_with(|| error.to_string());
            }
        }
    }
    (lines, refusal)
}

/// Takes the first line of an offer whose suite is among `ours` (RFC 4568 §5.1.2).
pub(super) fn take_offer(offered: &Audio, ours: &[Crypto]) -> Option<Taken> {
    offered.crypto.iter().find_map(|theirs| {
        let ours = ours.iter().find(|line| line.key.suite() == theirs.key.suite())?;
        let keys = SrtpKeys { local: ours.key.clone(), remote: theirs.key.clone() };
        Some(Taken { tag: theirs.tag, keys })
    })
}

/// Takes the one line of an answer, which names a line of our offer by its tag (RFC 4568 §5.1.3).
pub(super) fn take_answer(offered: &Audio, answered: &Audio) -> Result<SrtpKeys, RtpError> {
    let [theirs] = &answered.crypto[..] else {
        return Err(no_usable_crypto(answered));
    };
    let ours = offered
        .crypto
        .iter()
        .find(|line| line.tag == theirs.tag && line.key.suite() == theirs.key.suite())
        .ok_or_else(|| RtpError::NoUsableCrypto {
            reason: format!(
                "its tag {} with {} was not offered",
                theirs.tag,
                theirs.key.suite().name()
            ),
        })?;
    Ok(SrtpKeys { local: ours.key.clone(), remote: theirs.key.clone() })
}

/// Why none of the lines of `audio` is taken.
pub(super) fn no_usable_crypto(audio: &Audio) -> RtpError {
    let names: Vec<&str> =
        audio.crypto.iter().map(|line| line.key.suite().name()).take(8).collect();
    let reason = match &audio.refused_crypto {
        Some(refusal) if names.is_empty() => refusal.clone(),
        _ if names.is_empty() => "there is none".to_owned(),
        _ => format!("it names {}", names.join(" ")),
    };
    RtpError::NoUsableCrypto { reason }
}

/// `inline:` key and salt, possibly a lifetime (RFC 4568 §6.1).
fn parse_key(suite: Suite, text: &str) -> Result<MasterKey, RtpError> {
    let Some(inline) = text.strip_prefix("inline:") else {
        let method = text.split(':').next().unwrap_or_default();
        return Err(unusable("the key method", method));
    };
    // Several keys need an MKI to tell them apart.
    if inline.contains(';') {
        return Err(unusable("the list of several keys", suite.name()));
    }
    let mut parts = inline.split('|');
    let key = parts.next().unwrap_or_default();
    let mut lifetimes = 0;
    for part in parts {
        if part.contains(':') {
            return Err(unusable("the MKI", part));
        }
        lifetimes += 1;
        // The other side renews its key before that: nothing to keep of it.
        if lifetimes > 1 || !is_lifetime(part) {
            return Err(unusable("the lifetime", part));
        }
    }
    let mut octets = Zeroizing::new([0; DECODED_OCTETS]);
    let decoded = BASE64.decode_slice(key, &mut octets[..]).map_err(|_| {
        // Not the key itself: it may be right but for one character.
        unusable("the base64 of the key", &format!("{} characters", key.len()))
    })?;
    MasterKey::new(suite, &octets[..decoded])
}

/// A number of packets, possibly as a power of two, at most 2^48 (RFC 3711 §9.2).
fn is_lifetime(text: &str) -> bool {
    let number = |digits: &str| {
        let is_plain = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| is_plain)
    };
    match text.strip_prefix("2^") {
        Some(power) => number(power).is_some_and(|power| power <= 48),
        None => number(text).is_some_and(|packets| (1..=1 << 48).contains(&packets)),
    }
}

/// RFC 4568 §6.3: what changes the packets is not had; a window size is a hint; what starts with a dash may
/// be ignored.
fn check_parameter(parameter: &str) -> Result<(), RtpError> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let is_window = name == "WSH" && value.parse::<u32>().is_ok_and(|packets| packets >= 64);
    if is_window || (name.len() > 1 && name.starts_with('-')) {
        return Ok(());
    }
    // Not its value: that of FEC_KEY is a key.
    Err(unusable("the session parameter", name))
}

fn unusable(what: &'static str, found: &str) -> RtpError {
    RtpError::CryptoField { what, found: found.chars().take(60).collect() }
}

#[cfg(test)]
mod tests;
