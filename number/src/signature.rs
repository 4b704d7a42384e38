//! Ed25519 keys (RFC 8032) for linked data.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::NumberError;

/// A private key. Its `Debug` shows the public half only.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new private key from the system's randomness, as a PKCS#8 v2 document (RFC 5958).
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate_pkcs8() -> Result<Vec<u8>, NumberError> {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| NumberError::Key {
                problem: "could not be made: the system gives no randomness",
            })
    }

    /// Reads a PKCS#8 document (DER), version 1 or 2.
    ///
    /// # Errors
    /// It is not an Ed25519 key in PKCS#8.
    pub fn from_pkcs8(document: &[u8]) -> Result<SigningKey, NumberError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map(SigningKey).map_err(|_| {
            NumberError::Key { problem: "is not an Ed25519 private key in PKCS#8 (DER)" }
        })
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", self.public_key())
    }
}

/// A public key, written as the base64 of its 32 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<PublicKey, NumberError> {
        STANDARD.decode(text).ok().and_then(|octets| octets.try_into().ok()).map(PublicKey).ok_or(
            NumberError::Key { problem: "is not the base64 of an Ed25519 public key's 32 octets" },
        )
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
