//! Names of numbers: their gateways as NAPTRs (RFC 6116), what is known of porting (RFC 4769), and
//! what is said when no gateway takes calls.

use std::fmt::{self, Write as _};

use domain::base::iana::exterr::ExtendedErrorCode;
use domain::base::message_builder::PushError;
use domain::base::{CharStr, Name, Rtype, Ttl};
use domain::rdata::Naptr;

use super::{Full, Kind, NO_GATEWAY_INFO_CODE, QuestionOf, Reply, Text, Zone};
use crate::edition::Edition;
use crate::gateways::{Gateway, Gateways};
use crate::selection::{Candidate, Selection};
use crate::table::{Digits, Found, Matched, Portability, WeekMinute};

impl<'a> Reply<'a> {
    pub(super) fn fill_number(
        &mut self,
        question: &QuestionOf<'_>,
        apex: &'a Name<Vec<u8>>,
        digits: Digits,
    ) -> Result<(Kind, Option<Digits>), Full> {
        let is_naptr = question.qtype() == Rtype::NAPTR;
        match self.edition.table.find(digits) {
            Found::Routes(matched) if is_naptr => self.fill_route(question, apex, digits, &matched),
            // RFC 8020 §2: with names below it the name itself is there.
            Found::Routes(_) | Found::Interior => {
                self.negative(apex);
                Ok((Kind::NoData, Some(digits)))
            }
            Found::Nothing => {
                self.rcode(domain::base::iana::Rcode::NXDOMAIN);
                self.negative(apex);
                Ok((Kind::Miss, Some(digits)))
            }
        }
    }

    fn fill_route(
        &mut self,
        question: &QuestionOf<'_>,
        apex: &'a Name<Vec<u8>>,
        digits: Digits,
        matched: &Matched<'_>,
    ) -> Result<(Kind, Option<Digits>), Full> {
        let at = WeekMinute::from_unix(self.asked.unix_s, self.zone.utc_offset_min);
        let selection = Selection::new(matched, &self.edition.gateways, at, self.asked.draw);
        if selection.offered().is_empty() && matched.portability().is_none() {
            self.negative_now(apex);
            self.explain_no_gateway(matched.prefix, &selection);
            return Ok((Kind::NoGateway, Some(digits)));
        }
        match self.push_route(question, digits, matched, &selection) {
            Ok(()) => Ok((Kind::Hit, Some(digits))),
            Err(_) => Err(Full { kind: Kind::Hit, digits: Some(digits) }),
        }
    }

    fn push_route(
        &mut self,
        question: &QuestionOf<'_>,
        digits: Digits,
        matched: &Matched<'_>,
        selection: &Selection,
    ) -> Result<(), PushError> {
        let ttl = Ttl::from_secs(self.zone.route_ttl_s(&self.edition.gateways, selection));
        each_rule(self.edition, digits, matched, selection, |rule| {
            let Rule { order, preference, service, regexp } = rule;
            let (Ok(flags), Ok(service), Ok(regexp)) = (
                CharStr::from_octets(b"u".as_slice()),
                CharStr::from_octets(service),
                CharStr::from_octets(regexp),
            ) else {
                return Ok(());
            };
            let naptr = Naptr::new(order, preference, flags, service, regexp, Name::root_ref());
            self.builder.push((question.qname(), ttl, naptr))
        })
    }

    /// `no gateway in service for +813: a dead, b draining`.
    fn explain_no_gateway(&mut self, prefix: Digits, selection: &Selection) {
        let gateways = &self.edition.gateways;
        let list = fmt::from_fn(|f| {
            let mut before = ": ";
            for candidate in selection.left_out() {
                let gateway = gateways.gateway(candidate.choice.gateway);
                let name = gateway.map_or("?", |gateway| gateway.name.as_str());
                let reason = candidate.left_out.map_or("", |left_out| left_out.word());
                write!(f, "{before}{name} {reason}")?;
                before = ", ";
            }
            Ok(())
        });
        let code = ExtendedErrorCode::from_int(NO_GATEWAY_INFO_CODE);
        self.explain(code, format_args!("no gateway in service for +{prefix}{list}"));
    }
}

/// What a NAPTR says, besides that its flags are "u" and that nothing follows it.
pub(super) struct Rule<'a> {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) service: &'static [u8],
    pub(super) regexp: &'a [u8],
}

/// Gives the NAPTRs of a route to `push`, in order.
pub(super) fn each_rule<E>(
    edition: &Edition,
    digits: Digits,
    matched: &Matched<'_>,
    selection: &Selection,
    mut push: impl FnMut(Rule<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rule = |order, preference, service, uri: &dyn fmt::Display| {
        let mut regexp = Text::default();
        // RFC 3402 §3.2: the whole number is replaced by the URI. Names and addresses are short
        // enough when they are taken in; what would not fit is left out rather than sent cut.
        match write!(regexp, "!^.*$!{uri}!") {
            Ok(()) => push(Rule { order, preference, service, regexp: regexp.as_slice() }),
            Err(fmt::Error) => Ok(()),
        }
    };
    let mut last = (10, 9);
    for candidate in selection.offered() {
        let choice = candidate.choice;
        let Some(gateway) = edition.gateways.gateway(choice.gateway) else {
            continue;
        };
        last = (choice.order, choice.preference);
        let uri = edition.zone.uri(gateway, &digits);
        rule(choice.order, choice.preference, b"E2U+sip".as_slice(), &uri)?;
    }
    if let Some(portability) = matched.portability() {
        // Behind the others, so that who cannot use it has come to them before.
        let uri = fmt::from_fn(|f| match portability {
            Portability::NotPorted => write!(f, "tel:+{digits};npdi"),
            Portability::Ported(rn) => write!(f, "tel:+{digits};npdi;rn=+{rn}"),
        });
        rule(last.0, last.1.saturating_add(1), b"E2U+pstn:tel".as_slice(), &uri)?;
    }
    Ok(())
}

impl Zone {
    /// The number at the gateway's name, where gateways have names, else at its address.
    pub fn uri(&self, gateway: &Gateway, number: &impl fmt::Display) -> impl fmt::Display {
        fmt::from_fn(move |f| match &self.gateway_domain {
            Some(domain) => {
                let parameter = gateway.transport.parameter();
                write!(f, "sip:+{number}@{}.{domain}{parameter}", gateway.name)
            }
            None => write!(f, "{}", gateway.uri(number)),
        })
    }

    /// How long a selection of gateways may be kept, in seconds.
    pub fn route_ttl_s(&self, gateways: &Gateways, selection: &Selection) -> u32 {
        let comes_and_goes =
            |candidate: &Candidate| gateways.state(candidate.choice.gateway).leased;
        match self.gateway_domain {
            None if selection.candidates().iter().any(comes_and_goes) => {
                self.ttl_s.min(self.live_ttl_s)
            }
            // With names, what moves are their records.
            _ => self.ttl_s,
        }
    }
}
