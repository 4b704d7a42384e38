//! The query and the reading of its answer: octets in, octets out.

use domain::base::iana::Rcode;
use domain::base::message_builder::MessageBuilder;
use domain::base::opt::ExtendedError;
use domain::base::{Message, Name, Rtype, ToName};
use domain::rdata::Naptr;

use super::rule::{RULES_MAX, Rule};
use crate::enum_server::NO_GATEWAY_INFO_CODE;
use crate::table::Digits;

/// A query for the NAPTRs of a number.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    name: Name<Vec<u8>>,
    octets: Vec<u8>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Rules for the number.
    Rules {
        /// NAPTRs, as they came.
        rules: Vec<Rule>,
        /// The shortest TTL among them, in seconds.
        ttl_s: u32,
    },
    /// NXDOMAIN or NODATA.
    Unknown,
    /// The number is known, but none of its gateways takes calls now.
    NoGateway,
    /// Another RCODE.
    Refused(u8),
    /// There is more over TCP.
    Truncated,
    /// No answer to this query: other id, other question, malformed.
    NotOurs,
}

/// Longest apex: 15 digits with their length octets fit below it in 255 octets.
pub const APEX_MAX_OCTETS: usize = 255 - 2 * 15;

/// Longest answer that is asked for over UDP: no path breaks it into fragments.
pub const UDP_ANSWER_MAX_OCTETS: usize = 1232;

impl Query {
    /// `apex` must not be longer than [`APEX_MAX_OCTETS`].
    pub fn new(id: u16, digits: Digits, apex: &Name<Vec<u8>>) -> Self {
        let mut octets = Vec::with_capacity(2 * 15 + apex.len());
        for digit in digits.to_string().bytes().rev() {
            octets.extend_from_slice(&[1, digit]);
        }
        octets.extend_from_slice(apex.as_slice());
        let name = Name::from_octets(octets).expect("digits and a short apex are a name");
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        let mut builder = builder.question();
        builder.push((&name, Rtype::NAPTR)).expect("a vector takes a question");
        let mut builder = builder.additional();
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(UDP_ANSWER_MAX_OCTETS as u16);
                Ok(())
            })
            .expect("a vector takes an OPT record");
        let octets = builder.finish();
        Self { id, name, octets }
    }

    /// The message.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Reads what came from the server's address.
    pub fn read(&self, answer: &[u8]) -> Reading {
        self.try_read(answer).unwrap_or(Reading::NotOurs)
    }

    fn try_read(&self, answer: &[u8]) -> Option<Reading> {
        let message = Message::from_slice(answer).ok()?;
        let header = message.header();
        if !header.qr() || header.id() != self.id {
            return None;
        }
        let rcode = header.rcode();
        // A server that could not read the question, or would not, may leave it out.
        let counts = message.header_counts();
        let is_error = !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN);
        if is_error && counts.qdcount() == 0 {
            return Some(Reading::Refused(rcode.to_int()));
        }
        let question = message.sole_question().ok()?;
        if question.qtype() != Rtype::NAPTR || !question.qname().name_eq(&self.name) {
            return None;
        }
        if header.tc() {
            return Some(Reading::Truncated);
        }
        match rcode {
            Rcode::NOERROR => {}
            Rcode::NXDOMAIN => return Some(Reading::Unknown),
            _ => return Some(Reading::Refused(rcode.to_int())),
        }
        let mut rules = Vec::new();
        let mut shortest_ttl_s = u32::MAX;
        for record in message.answer().ok()?.limit_to::<Naptr<_, _>>() {
            let record = record.ok()?;
            if !record.owner().name_eq(&self.name) || rules.len() == RULES_MAX {
                continue;
            }
            shortest_ttl_s = shortest_ttl_s.min(record.ttl().as_secs());
            let data = record.data();
            rules.push(Rule {
                order: data.order(),
                preference: data.preference(),
                flags: data.flags().as_slice().to_vec(),
                service: data.services().as_slice().to_vec(),
                regexp: data.regexp().as_slice().to_vec(),
            });
        }
        Some(if rules.is_empty() && says_no_gateway(message) {
            Reading::NoGateway
        } else if rules.is_empty() {
            Reading::Unknown
        } else {
            Reading::Rules { rules, ttl_s: shortest_ttl_s }
        })
    }
}

/// Whether the answer has the extended error by which our directory tells this from an unknown number.
fn says_no_gateway(message: &Message<[u8]>) -> bool {
    message.opt().is_some_and(|opt| {
        let mut errors = opt.opt().iter::<ExtendedError<_>>().filter_map(Result::ok);
        errors.any(|error| error.code().to_int() == NO_GATEWAY_INFO_CODE)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use trunkline_number::CountryProfile;

    use super::*;
    use crate::Edition;
    use crate::enum_server::{Asked, Transport, answer};
    use crate::gateways::{Standing, State};
    use crate::samples;

    fn apex() -> Name<Vec<u8>> {
        "e164.arpa".parse().unwrap()
    }

    /// +81 3 at `gateways` gateways.
    fn asked(query: &Query, gateways: u16, transport: Transport) -> Vec<u8> {
        let mut table = "gateways:\n".to_owned();
        let mut choices = String::new();
        for index in 0..gateways {
            table += &format!("  g{index}: {{ sip: gateway-number-{index}.example.net:5060 }}\n");
            choices += &format!("{{ name: g{index}, order: {index} }}, ");
        }
        table += &format!("prefixes:\n- prefix: '03'\n  gateways: [{choices}]\n");
        answered(&samples::edition(&table, &[], samples::zone()), query, transport)
    }

    fn answered(edition: &Edition, query: &Query, transport: Transport) -> Vec<u8> {
        let source = [127, 0, 0, 1].into();
        let asked = Asked { query: query.octets(), source, transport, unix_s: 0, draw: 0 };
        let mut out = Vec::new();
        answer(&asked, edition, &mut out);
        out
    }

    fn query(number: &str) -> Query {
        Query::new(0x1234, Digits::read(number).unwrap(), &apex())
    }

    #[test]
    fn servers_answer_is_read() {
        let query = query("81333331234");
        let Reading::Rules { rules, ttl_s } = query.read(&asked(&query, 2, Transport::Udp)) else {
            panic!("no rules");
        };
        assert_eq!((rules.len(), ttl_s), (2, 60));
        assert_eq!(rules[1].order, 1);
        assert_eq!(rules[0].regexp, b"!^.*$!sip:+81333331234@gateway-number-0.example.net:5060!");
    }

    #[test]
    fn unknown_number_and_unknown_type_are_unknown() {
        let unknown = query("4930123456");
        assert_eq!(unknown.read(&asked(&unknown, 1, Transport::Udp)), Reading::Unknown);
        let beginning = query("81");
        assert_eq!(beginning.read(&asked(&beginning, 1, Transport::Udp)), Reading::Unknown);
    }

    #[test]
    fn answer_too_long_for_udp_asks_for_tcp() {
        let query = query("81333331234");
        assert_eq!(query.read(&asked(&query, 30, Transport::Udp)), Reading::Truncated);
        let Reading::Rules { rules, .. } = query.read(&asked(&query, 30, Transport::Tcp)) else {
            panic!("no rules");
        };
        assert_eq!(rules.len(), 30);
    }

    #[test]
    fn answers_to_other_questions_are_not_ours() {
        let ours = query("81333331234");
        let right = asked(&ours, 1, Transport::Udp);
        let mut other_id = right.clone();
        other_id[1] ^= 1;
        assert_eq!(ours.read(&other_id), Reading::NotOurs);
        let mut no_answer = right.clone();
        no_answer[2] &= 0x7f;
        assert_eq!(ours.read(&no_answer), Reading::NotOurs);
        let other = query("81333331235");
        assert_eq!(ours.read(&asked(&other, 1, Transport::Udp)), Reading::NotOurs);
        assert_eq!(ours.read(&right[..right.len() - 12]), Reading::NotOurs);
        assert_eq!(ours.read(b""), Reading::NotOurs);
    }

    #[test]
    fn refusal_is_told_with_its_code() {
        let outside = Query::new(1, Digits::read("81").unwrap(), &"example.org".parse().unwrap());
        let refused = asked(&outside, 1, Transport::Udp);
        assert_eq!(outside.read(&refused), Reading::Refused(5));
        let mut bare = refused[..12].to_vec();
        bare[4..12].fill(0);
        assert_eq!(outside.read(&bare), Reading::Refused(5));
    }

    #[test]
    fn number_whose_gateways_are_out_is_told_from_an_unknown_one() {
        let table = "gateways: { a: { sip: 127.0.0.10 } }\n\
                     prefixes:\n- prefix: '03'\n  gateways: [{ name: a }]\n";
        let dead = State { standing: Standing::Dead, ..State::default() };
        let edition = samples::edition(table, &[dead], samples::zone());
        let known = query("81333331234");
        assert_eq!(known.read(&answered(&edition, &known, Transport::Udp)), Reading::NoGateway);
        let unknown = query("81469595678");
        assert_eq!(unknown.read(&answered(&edition, &unknown, Transport::Udp)), Reading::Unknown);
    }

    #[test]
    fn countries_table_file_and_resolver_agree() {
        // The file's area code and the resolver's number meet in the same digits.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.yaml");
        std::fs::write(&path, "table: table.yaml\n").unwrap();
        std::fs::write(
            folder.path().join("table.yaml"),
            "gateways: { b: { sip: 127.0.0.20:5060 } }\nprefixes:\n- prefix: '0469'\n  gateways: [{ name: b }]\n",
        )
        .unwrap();
        let edition = crate::read_edition(Path::new(&path)).unwrap();
        assert_eq!(*edition.country, CountryProfile::japan());
        let query = query("81469595678");
        let out = answered(&edition, &query, Transport::Udp);
        let Reading::Rules { rules, .. } = query.read(&out) else { panic!("no rules") };
        assert_eq!(rules[0].regexp, b"!^.*$!sip:+81469595678@127.0.0.20:5060!");
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            query("81333331234").read(&octets);
        }

        #[test]
        fn a_damaged_answer_is_read_without_panic(
            place in 0_usize..400, octet: u8, cut in 0_usize..400,
        ) {
            let query = query("81333331234");
            let mut octets = asked(&query, 2, Transport::Udp);
            let length = octets.len();
            octets[place % length] = octet;
            octets.truncate(length - cut % length);
            query.read(&octets);
        }
    }
}
