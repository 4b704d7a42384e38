//! The web server whose pages carry telephone numbers and the data linked to them.
//!
//! It is the patent's WWW server 120: it sends a company page (`page`), and when a number on it
//! is clicked, the linked data (`link`): the name of the telephone program, the number and, where
//! the site wants the directory left out, the gateway's address. Which numbers a site offers is
//! configuration (`configuration` reads it, `catalogue` answers from it).
#![forbid(unsafe_code)]

mod calls;
mod catalogue;
mod configuration;
mod connection;
mod key;
mod language;
mod link;
mod metrics;
mod page;
mod server;

pub use calls::{CallSettings, Calls, PageGateway};
pub use catalogue::{Catalogue, Lookup, Offer};
pub use configuration::{Configuration, Site};
pub use key::{KeyError, generate_key, read_key};
pub use language::{Bilingual, Language};
pub use server::{router, serve};
