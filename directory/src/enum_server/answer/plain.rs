//! The question that nearly all clients ask, NAPTRs of a number without anything unusual in the
//! message, answered octet by octet: the answer begins as the query does, and nothing is taken apart
//! that is not needed. Whatever is unusual goes the general way, which says the same.

use std::fmt;

use domain::base::Name;
use domain::base::iana::{Class, Rcode, Rtype};

use super::number::{Rule, each_rule};
use super::{Answered, Asked, Kind, Transport, UDP_ANSWER_MAX_OCTETS, Zone};
use crate::edition::Edition;
use crate::selection::Selection;
use crate::table::{Digits, Found, WeekMinute};

/// A question that can be answered here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    /// The number.
    pub(crate) digits: Digits,
    /// Where the domain stands in the message: what a record's name can point to.
    apex_at: u16,
    question_end: usize,
    edns: Option<Edns>,
}

#[derive(Clone, Copy, Debug)]
struct Edns {
    payload_octets: u16,
    dnssec_ok: bool,
}

const HEADER_OCTETS: usize = 12;

impl Plain {
    /// Looks whether a query is one.
    pub(crate) fn read(asked: &Asked<'_>, zone: &Zone) -> Option<Self> {
        let query = asked.query;
        let (header, rest) = query.split_at_checked(HEADER_OCTETS)?;
        // A query of one question, without an answer; RD, AD, CD as they like.
        let is_query = header[2] & !0x01 == 0 && header[3] & !0x30 == 0;
        let additional = match header[4..] {
            [0, 1, 0, 0, 0, 0, 0, additional] if is_query => additional,
            _ => return None,
        };
        let mut end = 0;
        loop {
            match usize::from(*rest.get(end)?) {
                0 => break,
                length @ 1..64 => end += 1 + length,
                _ => return None,
            }
        }
        let (name, rest) = rest.split_at(end + 1);
        let (kind, rest) = rest.split_at_checked(4)?;
        let [0, rtype, 0, class] = *kind else {
            return None;
        };
        if u16::from(rtype) != Rtype::NAPTR.to_int() || u16::from(class) != Class::IN.to_int() {
            return None;
        }
        let edns = match (additional, rest) {
            (0, []) => None,
            (1, &[0, 0, 41, high, low, 0, 0, flags, 0, 0, 0]) if flags & 0x7f == 0 => {
                let payload_octets = u16::from_be_bytes([high, low]);
                Some(Edns { payload_octets, dnssec_ok: flags != 0 })
            }
            _ => return None,
        };
        if zone.gateway_domain.as_ref().is_some_and(|domain| ends_with(name, domain)) {
            return None;
        }
        // The longest domain below which there are only digits.
        let placed = zone.apexes.iter().enumerate().filter_map(|(place, apex)| {
            let digits = digits(name, apex)?;
            Some((place, apex, digits))
        });
        let (place, apex, digits) = placed.max_by_key(|(_, apex, _)| apex.len())?;
        // A domain below another may itself be a name of digits.
        if zone.apexes.len() > 1 && zone.apexes.iter().any(|apex| is_name(name, apex)) {
            return None;
        }
        zone.clients.sees(asked.source).apex(place).then_some(Self {
            digits,
            apex_at: (HEADER_OCTETS + name.len() - apex.len()) as u16,
            question_end: HEADER_OCTETS + name.len() + kind.len(),
            edns,
        })
    }

    /// Answers into `out`. None where there is something to explain, or where the answer does not
    /// fit: `out` is of no use then.
    pub(crate) fn answer(
        &self,
        asked: &Asked<'_>,
        edition: &Edition,
        out: &mut Vec<u8>,
    ) -> Option<Answered> {
        out.clear();
        out.extend_from_slice(&asked.query[..self.question_end]);
        let (kind, rcode, answers) = match edition.table.find(self.digits) {
            Found::Routes(matched) => {
                let at = WeekMinute::from_unix(asked.unix_s, edition.zone.utc_offset_min);
                let selection = Selection::new(&matched, &edition.gateways, at, asked.draw);
                if selection.offered().is_empty() && matched.portability().is_none() {
                    return None;
                }
                let ttl_s = edition.zone.route_ttl_s(&edition.gateways, &selection);
                let mut answers = 0;
                each_rule(edition, self.digits, &matched, &selection, |rule| {
                    answers += 1;
                    push_naptr(out, ttl_s, rule)
                })
                .ok()?;
                (Kind::Hit, Rcode::NOERROR, answers)
            }
            Found::Interior => (Kind::NoData, Rcode::NOERROR, 0),
            Found::Nothing => (Kind::Miss, Rcode::NXDOMAIN, 0),
        };
        if answers == 0 {
            self.push_soa(&edition.zone, out);
        }
        if let Some(edns) = self.edns {
            out.extend_from_slice(&[0, 0, 41]);
            out.extend_from_slice(&UDP_ANSWER_MAX_OCTETS.to_be_bytes());
            out.extend_from_slice(&[0, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
        let header = out.first_chunk_mut::<HEADER_OCTETS>()?;
        // QR, AA, and RD as it was asked.
        header[2] = 0x84 | header[2] & 0x01;
        header[3] = rcode.to_int();
        header[6..8].copy_from_slice(&u16::to_be_bytes(answers));
        header[9] = u8::from(answers == 0);
        let most = match (asked.transport, self.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(edns)) => edns.payload_octets.clamp(512, UDP_ANSWER_MAX_OCTETS),
        };
        (out.len() <= usize::from(most)).then_some(Answered {
            kind,
            digits: Some(self.digits),
            truncated: false,
        })
    }

    fn push_soa(&self, zone: &Zone, out: &mut Vec<u8>) {
        let (server, contact) = (zone.server_name.as_slice(), zone.contact.as_slice());
        let length = server.len() + contact.len() + 20;
        out.extend_from_slice(&(0xc000 | self.apex_at).to_be_bytes());
        push_fixed(out, Rtype::SOA, zone.negative_ttl_s, length);
        out.extend_from_slice(server);
        out.extend_from_slice(contact);
        for field in super::soa_fields(zone) {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
}

/// Type, class, TTL and length of a record.
fn push_fixed(out: &mut Vec<u8>, rtype: Rtype, ttl_s: u32, length: usize) {
    out.extend_from_slice(&rtype.to_int().to_be_bytes());
    out.extend_from_slice(&Class::IN.to_int().to_be_bytes());
    out.extend_from_slice(&ttl_s.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
}

/// A NAPTR (RFC 3403 §4.1) of the name that was asked for.
fn push_naptr(out: &mut Vec<u8>, ttl_s: u32, rule: Rule<'_>) -> fmt::Result {
    let Rule { order, preference, service, regexp } = rule;
    let length = 2 + 2 + 2 + 1 + service.len() + 1 + regexp.len() + 1;
    out.extend_from_slice(&[0xc0, HEADER_OCTETS as u8]);
    push_fixed(out, Rtype::NAPTR, ttl_s, length);
    out.extend_from_slice(&order.to_be_bytes());
    out.extend_from_slice(&preference.to_be_bytes());
    out.extend_from_slice(b"\x01u");
    push_text(out, service);
    push_text(out, regexp);
    out.push(0);
    Ok(())
}

/// A character-string, which has at most 255 octets (RFC 1035 §3.3).
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// The number whose name below a domain this is: only digits, from the last to the first.
fn digits(name: &[u8], apex: &Name<Vec<u8>>) -> Option<Digits> {
    if !ends_with(name, apex) {
        return None;
    }
    let (labels, rest) = name[..name.len() - apex.len()].as_chunks::<2>();
    if labels.is_empty() || !rest.is_empty() {
        return None;
    }
    labels.iter().rev().try_fold(Digits::default(), |digits, label| match label {
        [1, octet @ b'0'..=b'9'] => digits.push(octet - b'0'),
        _ => None,
    })
}

fn is_name(name: &[u8], apex: &Name<Vec<u8>>) -> bool {
    name.len() == apex.len() && ends_with(name, apex)
}

/// Whether a name ends in the octets of another; lengths of labels are no letters, so that only
/// letters are compared without their case (RFC 4343).
fn ends_with(name: &[u8], apex: &Name<Vec<u8>>) -> bool {
    let end = name.len().checked_sub(apex.len()).map(|start| &name[start..]);
    end.is_some_and(|end| end.eq_ignore_ascii_case(apex.as_slice()))
}
