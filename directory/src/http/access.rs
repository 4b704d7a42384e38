//! Who may do what over HTTP: bearer tokens (RFC 6750) with scopes. Only hashes of tokens are kept.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::store::hex;

/// What a token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Looking at everything but tokens.
    Read,
    /// Registering as a gateway.
    Register,
    /// Draining gateways, setting and removing the operator's.
    Operate,
    /// Changing prefixes.
    Provision,
    /// Making and revoking tokens, and all of the above.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Read, Self::Register, Self::Operate, Self::Provision, Self::Admin];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Register => "register",
            Self::Operate => "operate",
            Self::Provision => "provision",
            Self::Admin => "admin",
        }
    }

    /// Whether who has this one may do what needs the other.
    fn covers(self, other: Self) -> bool {
        self == other
            || self == Self::Admin
            || other == Self::Read && matches!(self, Self::Operate | Self::Provision)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.word() == text)
            .ok_or_else(|| format!("{text:?} is no scope"))
    }
}

/// A token, as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name, in the log.
    pub name: String,
    /// What it permits.
    pub scopes: Vec<Scope>,
    /// The only gateway that may register by it.
    pub gateway: Option<String>,
    /// It stands in the configuration, where alone it can be taken out.
    pub configured: bool,
}

/// All tokens by the SHA-256 of them.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    by_hash: HashMap<[u8; 32], Token>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Name of the token.
    pub name: String,
    /// The only gateway that it may register.
    pub gateway: Option<String>,
}

impl Tokens {
    /// Adds a token by its hash, 64 hexadecimal digits. False when that is none.
    pub fn add(&mut self, sha256: &str, token: Token) -> bool {
        match read_sha256(sha256) {
            Some(hash) => {
                self.by_hash.insert(hash, token);
                true
            }
            None => false,
        }
    }

    /// Takes out the token of a name that is not configured. False when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.by_hash.len();
        self.by_hash.retain(|_, token| token.configured || token.name != name);
        self.by_hash.len() < before
    }

    /// Those of the configuration are these from now on.
    pub fn replace_configured(&mut self, configured: Self) {
        self.by_hash.retain(|_, token| !token.configured);
        self.by_hash.extend(configured.by_hash);
    }

    /// Those of the store are these from now on, by their hashes.
    pub fn replace_stored(&mut self, stored: Vec<(String, Token)>) {
        self.by_hash.retain(|_, token| token.configured);
        for (sha256, token) in stored {
            self.add(&sha256, token);
        }
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<&Token> {
        let mut list: Vec<&Token> = self.by_hash.values().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Lets pass who shows a token with this scope. As long as there is no token at all, everybody
    /// may read and nobody may change.
    pub(crate) fn permit(&self, headers: &HeaderMap, scope: Scope) -> Result<Who, Fault> {
        if self.by_hash.is_empty() {
            if scope == Scope::Read {
                return Ok(Who { name: "anybody".to_owned(), gateway: None });
            }
            return Err(Fault::new(
                StatusCode::FORBIDDEN,
                "no_tokens",
                "no token is configured, so nothing can be changed over HTTP",
            ));
        }
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        // What is compared is a hash that nobody can choose: how long it takes tells nothing.
        let token = shown.and_then(|token| self.by_hash.get(&sha256(token)));
        let Some(token) = token else {
            return Err(Fault::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "show a token: Authorization: Bearer TOKEN",
            ));
        };
        if !token.scopes.iter().any(|own| own.covers(scope)) {
            return Err(Fault::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("token {} does not have the scope {scope}", token.name),
            ));
        }
        Ok(Who { name: token.name.clone(), gateway: token.gateway.clone() })
    }
}

/// A new token and the hash that is kept of it.
pub fn new_token() -> (String, String) {
    let token = format!("tl_{}", hex(&rand::random::<[u8; 24]>()));
    let hash = hex(&sha256(&token));
    (token, hash)
}

/// Reads 64 hexadecimal digits.
pub fn read_sha256(text: &str) -> Option<[u8; 32]> {
    let is_hex = text.len() == 64 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    let octet = |place: usize| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok();
    let mut hash = [0; 32];
    for (place, own) in hash.iter_mut().enumerate().filter(|_| is_hex) {
        *own = octet(place)?;
    }
    is_hex.then_some(hash)
}

fn sha256(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers
    }

    #[test]
    fn token_permits_its_scopes_and_what_they_cover() {
        let mut tokens = Tokens::default();
        let nobody = HeaderMap::new();
        assert!(tokens.permit(&nobody, Scope::Read).is_ok());
        assert!(tokens.permit(&nobody, Scope::Provision).is_err());
        let mut make = |name: &str, scopes: &[Scope]| {
            let (token, hash) = new_token();
            let gateway = None;
            let own =
                Token { name: name.into(), scopes: scopes.into(), gateway, configured: false };
            assert!(tokens.add(&hash, own));
            token
        };
        let provision = make("p", &[Scope::Provision]);
        let register = make("g", &[Scope::Register]);
        let admin = make("a", &[Scope::Admin]);
        for (token, permitted) in [
            (&provision, &[Scope::Read, Scope::Provision][..]),
            (&register, &[Scope::Register]),
            (&admin, &Scope::ALL),
        ] {
            for scope in Scope::ALL {
                let result = tokens.permit(&with(token), scope);
                assert_eq!(result.is_ok(), permitted.contains(&scope), "{scope}");
            }
        }
        assert!(tokens.permit(&nobody, Scope::Read).is_err());
        assert!(tokens.permit(&with("tl_guess"), Scope::Read).is_err());
        assert!(tokens.remove("p") && !tokens.remove("p"));
        assert!(tokens.permit(&with(&provision), Scope::Read).is_err());
    }

    #[test]
    fn hash_that_is_none_is_refused() {
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(read_sha256(text), None);
        }
        assert_eq!(read_sha256(&"0f".repeat(32)), Some([15; 32]));
    }
}
