//! What a page may do: call one number from its browser, once, soon, and for so long.
//!
//! The web server signs a token when the person clicks; the gateway that the page shows it to believes the
//! signature and needs to ask nobody. `BASE64URL(JSON) "." BASE64URL(signature)`, short enough for a header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::{E164, PublicKey, SigningKey};

/// More than any token needs, in octets.
const TOKEN_OCTETS_MAX: usize = 1_024;

/// Stands before what is signed, so that no other signature of the key can be taken for a token's.
const DOMAIN: &[u8] = b"trunkline call token 1\n";

/// A page's permission for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallToken {
    /// The number, written with plus.
    pub number: E164,
    /// The page's origin (RFC 6454), as the browser sends it in `Origin`.
    pub origin: String,
    /// Seconds since 1970 from which it is no good for a new call.
    pub expires: u64,
    /// Longest duration of the call, s.
    pub longest_s: u32,
    /// Different in every token: each is good for one call.
    pub id: String,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token.
    #[error("the token cannot be read")]
    Syntax,
    /// None of the keys has signed it.
    #[error("the token is not signed by a web server that is trusted here")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

impl CallToken {
    /// The token as text, signed.
    pub fn sign(&self, key: &SigningKey) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.encode(json);
        let signature = key.sign(&[DOMAIN, payload.as_bytes()].concat());
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Reads a token, if one of `keys` has signed it and it is still good `now_unix_s`.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(text: &str, keys: &[PublicKey], now_unix_s: u64) -> Result<Self, TokenError> {
        if text.len() > TOKEN_OCTETS_MAX {
            return Err(TokenError::Syntax);
        }
        let (payload, signature) = text.split_once('.').ok_or(TokenError::Syntax)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Syntax)?;
        let message = [DOMAIN, payload.as_bytes()].concat();
        if !keys.iter().any(|key| key.verifies(&message, &signature)) {
            return Err(TokenError::Signature);
        }
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Syntax)?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| TokenError::Syntax)?;
        if token.expires <= now_unix_s {
            return Err(TokenError::Expired);
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
    }

    fn token() -> CallToken {
        CallToken {
            number: "+81333331234".parse().unwrap(),
            origin: "https://www.example.com".to_owned(),
            expires: 1_000,
            longest_s: 3_600,
            id: "c2FsdA".to_owned(),
        }
    }

    #[test]
    fn a_signed_token_is_good_until_it_expires() {
        let key = key();
        let (text, keys) = (token().sign(&key), [key.public_key()]);
        assert_eq!(CallToken::verify(&text, &keys, 999), Ok(token()));
        assert_eq!(CallToken::verify(&text, &keys, 1_000), Err(TokenError::Expired));
    }

    #[test]
    fn a_changed_token_and_a_strangers_are_refused() {
        let (ours, strangers) = (key(), key());
        let keys = [ours.public_key()];
        assert_eq!(
            CallToken::verify(&token().sign(&strangers), &keys, 0),
            Err(TokenError::Signature)
        );
        let text = token().sign(&ours);
        let other =
            CallToken { number: "+81909999999".parse().unwrap(), ..token() }.sign(&strangers);
        let (_, signature) = text.split_once('.').unwrap();
        let (payload, _) = other.split_once('.').unwrap();
        let mixed = format!("{payload}.{signature}");
        assert_eq!(CallToken::verify(&mixed, &keys, 0), Err(TokenError::Signature));
        for nonsense in ["", ".", "a.b", "💥.💥", &"x".repeat(5_000)] {
            assert!(CallToken::verify(nonsense, &keys, 0).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_token_for_no_number_is_refused() {
        let key = key();
        for number in ["sip:a@b", "", "+8133333123456789012345"] {
            let json = serde_json::to_string(&token()).unwrap().replace("+81333331234", number);
            let payload = URL_SAFE_NO_PAD.encode(json);
            let signature = key.sign(&[DOMAIN, payload.as_bytes()].concat());
            let text = format!("{payload}.{}", URL_SAFE_NO_PAD.encode(signature));
            let outcome = CallToken::verify(&text, &[key.public_key()], 0);
            assert_eq!(outcome, Err(TokenError::Syntax), "{number}");
        }
    }

    #[test]
    fn linked_data_signed_by_the_same_key_is_no_token() {
        let key = key();
        let json = serde_json::to_vec(&token()).unwrap();
        let payload = URL_SAFE_NO_PAD.encode(&json);
        let signature = URL_SAFE_NO_PAD.encode(key.sign(payload.as_bytes()));
        let text = format!("{payload}.{signature}");
        assert_eq!(CallToken::verify(&text, &[key.public_key()], 0), Err(TokenError::Signature));
    }
}
