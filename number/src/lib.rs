//! Telephone numbers as people write them, the dialling policy, tel URIs and linked data.
//!
//! Everything here is pure: text and bytes come in, values and refusals come out. The one
//! exception is [`SigningKey::generate_pkcs8`], which asks the system for randomness.
//!
//! ```
//! use trunkline_number::{CountryProfile, Dialled, Policy};
//!
//! let japan = CountryProfile::japan();
//! let dialled = Dialled::parse("０３－３３３３－１２３４", &japan).unwrap();
//! assert_eq!(dialled.to_string(), "+81333331234");
//! assert!(Policy::default().check(&dialled).is_ok());
//! ```
#![forbid(unsafe_code)]

mod call_token;
mod click_target;
mod country;
mod dialled;
mod e164;
mod error;
mod linked_data;
mod policy;
mod signature;

pub use call_token::{CallToken, TokenError};
pub use click_target::{ClickTarget, TelNumber};
pub use country::CountryProfile;
pub use dialled::Dialled;
pub use e164::E164;
pub use error::NumberError;
pub use linked_data::{DistrustReason, LinkedData, MAX_LINKED_DATA_OCTETS, Trust};
pub use policy::{Policy, Refusal};
pub use signature::{PublicKey, SigningKey};
