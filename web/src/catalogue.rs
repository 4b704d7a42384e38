//! Which numbers a site offers, and to whom the answer is no.

use std::collections::HashMap;

use trunkline_number::{CountryProfile, Dialled, E164, NumberError, Policy, Refusal};

use crate::language::Bilingual;

/// A number the site links to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The number as it is dialled.
    pub number: Dialled,
    /// The number as the page shows it.
    pub written: String,
    /// What the number is called in addresses and file names: ASCII.
    pub file_stem: String,
    /// What answers there; none for numbers that are not on the page.
    pub label: Option<Bilingual>,
    /// A line below the label, such as the hours.
    pub note: Option<Bilingual>,
    /// The gateway that serves the number, for links that leave the directory out.
    pub gateway: Option<String>,
}

/// The numbers of a site.
#[derive(Debug)]
pub struct Catalogue {
    country: CountryProfile,
    policy: Policy,
    listed: Vec<Offer>,
    by_number: HashMap<Dialled, usize>,
    prefixes: Vec<(E164, Option<String>)>,
}

/// What the catalogue says to a number in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The site links to it.
    Offered(Offer),
    /// The site does not know it.
    Unknown(Dialled),
    /// The policy refuses it.
    Refused(Refusal),
    /// It is not a telephone number.
    Unreadable(NumberError),
}

impl Catalogue {
    /// A catalogue of numbers on the page and of prefixes with their gateways.
    pub(crate) fn new(
        country: CountryProfile,
        policy: Policy,
        listed: Vec<Offer>,
        prefixes: Vec<(E164, Option<String>)>,
    ) -> Catalogue {
        let by_number =
            listed.iter().enumerate().map(|(at, offer)| (offer.number.clone(), at)).collect();
        Catalogue { country, policy, listed, by_number, prefixes }
    }

    /// The numbers on the page, in its order.
    pub fn listed(&self) -> &[Offer] {
        &self.listed
    }

    /// Looks up a number in any spelling.
    pub fn look_up(&self, text: &str) -> Lookup {
        let number = match Dialled::parse(text, &self.country) {
            Ok(number) => number,
            Err(error) => return Lookup::Unreadable(error),
        };
        if let Err(refusal) = self.policy.check(&number) {
            return Lookup::Refused(refusal);
        }
        if let Some(&at) = self.by_number.get(&number) {
            return Lookup::Offered(self.listed[at].clone());
        }
        let prefix = match &number {
            Dialled::E164(e164) => self
                .prefixes
                .iter()
                .filter(|(prefix, _)| e164.as_digits().starts_with(prefix.as_digits()))
                .max_by_key(|(prefix, _)| prefix.as_digits().len()),
            Dialled::Short(_) => None,
        };
        match prefix {
            Some((_, gateway)) => Lookup::Offered(Offer {
                written: number.to_string(),
                file_stem: file_stem(&number.to_string(), &number),
                number,
                label: None,
                note: None,
                gateway: gateway.clone(),
            }),
            None => Lookup::Unknown(number),
        }
    }
}

/// The number as written where that is safe in every address and file name, else its digits.
pub(crate) fn file_stem(written: &str, number: &Dialled) -> String {
    if written.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return written.to_owned();
    }
    number.to_string().chars().filter(|c| c.is_ascii_digit() || *c == '+').collect()
}
