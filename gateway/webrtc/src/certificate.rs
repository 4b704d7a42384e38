//! Our certificate, and the fingerprints by which both sides know each other's (RFC 8122).

use std::fmt;
use std::str::FromStr;

use dimpl::DtlsCertificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::digest::{SHA256, digest};

use crate::WebRtcError;

/// The SHA-256 of a certificate: the one hash that every browser offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(octets)
    }
}

impl fmt::Display for Fingerprint {
    /// As the value of `a=fingerprint`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256 ")?;
        for (place, octet) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02X}")?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = WebRtcError;

    fn from_str(text: &str) -> Result<Self, WebRtcError> {
        let octets = || {
            let (hash, value) = text.trim().split_once(' ')?;
            hash.eq_ignore_ascii_case("sha-256").then_some(())?;
            let octet = |pair: &str| {
                let is_hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
                is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
            };
            let octets: Option<Vec<u8>> = value.trim().split(':').map(octet).collect();
            octets?.try_into().ok()
        };
        octets().map(Self).ok_or(WebRtcError::Attribute { name: "fingerprint" })
    }
}

/// Our certificate: self-signed, since it is believed by its fingerprint alone.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(crate) dtls: DtlsCertificate,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// A new one, ECDSA on P-256, which every browser takes (RFC 8827 §6.5).
    ///
    /// # Errors
    /// [`WebRtcError::Certificate`] where the system gives no randomness.
    pub fn generate() -> Result<Self, WebRtcError> {
        let failed = |error: rcgen::Error| WebRtcError::Certificate(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Trunkline");
        let certificate = params.self_signed(&key).map_err(failed)?.der().to_vec();
        let fingerprint = Fingerprint::of(&certificate);
        let dtls = DtlsCertificate { certificate, private_key: key.serialize_der() };
        Ok(Self { dtls, fingerprint })
    }

    /// Its fingerprint, for our answers.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let ours = Certificate::generate().unwrap().fingerprint();
        let text = ours.to_string();
        assert_eq!(text.len(), "sha-256 ".len() + 32 * 3 - 1);
        assert_eq!(text.parse::<Fingerprint>().unwrap(), ours);
        assert_eq!(text.to_lowercase().parse::<Fingerprint>().unwrap(), ours);
    }

    #[test]
    fn another_hash_and_a_cut_value_are_refused() {
        let text = Fingerprint([7; 32]).to_string();
        assert!(text.replace("sha-256", "sha-1").parse::<Fingerprint>().is_err());
        assert!(text[..text.len() - 3].parse::<Fingerprint>().is_err());
        assert!(text.replace("07", "+7").parse::<Fingerprint>().is_err());
    }
}
