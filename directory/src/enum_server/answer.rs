//! From the octets of a query to the octets of its answer: no socket, no clock.

use std::fmt::Write as _;

use domain::base::iana::{Class, Opcode, OptRcode, Rcode};
use domain::base::message_builder::{MessageBuilder, PushError, StaticCompressor};
use domain::base::name::ParsedName;
use domain::base::opt::{Opt, OptRecord};
use domain::base::{CharStr, Message, Name, Question, Rtype, Serial, Ttl};
use domain::rdata::{Naptr, Ns, Soa};

use crate::enum_name::{self, Place};
use crate::table::{Digits, Found, Route, Snapshot};

/// What the server says besides the table.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Domains below which numbers are answered.
    pub apexes: Vec<Name<Vec<u8>>>,
    /// TTL of answers, in seconds.
    pub ttl_s: u32,
    /// TTL of "unknown number", in seconds.
    pub negative_ttl_s: u32,
    /// This server, in SOA and NS.
    pub server_name: Name<Vec<u8>>,
    /// The operator's mailbox, in SOA.
    pub contact: Name<Vec<u8>>,
    /// Serial of the SOA.
    pub serial: u32,
}

/// How the query came, and with it how long the answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// 512 octets, or what the client offers by EDNS, up to [`UDP_ANSWER_MAX_OCTETS`].
    Udp,
    /// 65,535 octets.
    Tcp,
}

/// Longest answer over UDP: IPv6's least MTU of 1280 octets without the headers, so that no path
/// breaks it into fragments.
pub const UDP_ANSWER_MAX_OCTETS: u16 = 1232;

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Kind of answer, for the counters.
    pub kind: Kind,
    /// The digits asked for, where the name was a number.
    pub digits: Option<Digits>,
    /// The answer did not fit and says so (TC).
    pub truncated: bool,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// NAPTRs of a known number.
    Hit,
    /// SOA or NS of an apex.
    Apex,
    /// NXDOMAIN: no such number.
    Miss,
    /// NODATA: the name is there, the type is not.
    NoData,
    /// REFUSED: outside the apexes, another class, ANY, or a zone transfer.
    Refused,
    /// FORMERR.
    Malformed,
    /// NOTIMP: no standard query.
    NotImplemented,
    /// BADVERS: EDNS of a later version.
    BadVersion,
    /// No answer: an answer, or too short to be a message.
    Dropped,
}

impl Kind {
    /// All kinds, in the order of the counters.
    pub const ALL: [Kind; 9] = [
        Kind::Hit,
        Kind::Apex,
        Kind::Miss,
        Kind::NoData,
        Kind::Refused,
        Kind::Malformed,
        Kind::NotImplemented,
        Kind::BadVersion,
        Kind::Dropped,
    ];

    /// RCODE of the answer as dig shows it; none when there is no answer.
    pub fn rcode(self) -> Option<&'static str> {
        match self {
            Kind::Hit | Kind::Apex | Kind::NoData => Some("NOERROR"),
            Kind::Miss => Some("NXDOMAIN"),
            Kind::Refused => Some("REFUSED"),
            Kind::Malformed => Some("FORMERR"),
            Kind::NotImplemented => Some("NOTIMP"),
            Kind::BadVersion => Some("BADVERS"),
            Kind::Dropped => None,
        }
    }

    /// Name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Hit => "hit",
            Kind::Apex => "apex",
            Kind::Miss => "miss",
            Kind::NoData => "no_data",
            Kind::Refused => "refused",
            Kind::Malformed => "malformed",
            Kind::NotImplemented => "not_implemented",
            Kind::BadVersion => "bad_version",
            Kind::Dropped => "dropped",
        }
    }
}

/// Answers a query into `out`, whose room is used again; it is empty afterwards when nothing is
/// to be sent.
pub fn answer(
    query: &[u8],
    zone: &Zone,
    table: &Snapshot,
    transport: Transport,
    out: &mut Vec<u8>,
) -> Answered {
    out.clear();
    let silent = Answered { kind: Kind::Dropped, digits: None, truncated: false };
    let Ok(message) = Message::from_slice(query) else {
        return silent;
    };
    // Answering answers would let two servers talk for ever.
    if message.header().qr() {
        return silent;
    }
    if message.header().opcode() != Opcode::QUERY {
        return bare(message, Kind::NotImplemented, Rcode::NOTIMP, out);
    }
    // RFC 9619 §4: more than one question is an error of form; none asks nothing.
    let Ok(question) = message.sole_question() else {
        return bare(message, Kind::Malformed, Rcode::FORMERR, out);
    };
    let Ok(edns) = edns(message) else {
        return bare(message, Kind::Malformed, Rcode::FORMERR, out);
    };
    let mut reply = Reply::new(message, &question, edns.as_ref(), zone, transport, out);
    let outcome = match edns.as_ref() {
        Some(opt) if opt.version() > 0 => {
            // RFC 6891 §6.1.3.
            reply.opt_rcode = OptRcode::BADVERS;
            Ok((Kind::BadVersion, None))
        }
        _ => reply.fill(&question, table),
    };
    let (kind, digits, truncated) = match outcome {
        Ok((kind, digits)) => (kind, digits, false),
        Err(Full { kind, digits }) => {
            reply.truncate();
            (kind, digits, true)
        }
    };
    *out = reply.finish();
    Answered { kind, digits, truncated }
}

/// Answers with only the question and TC, so that an honest client asks again over TCP. Never
/// longer than the query. False when the query cannot be answered at all.
pub fn answer_truncated(query: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let Ok(message) = Message::from_slice(query) else {
        return false;
    };
    let question = match message.sole_question() {
        Ok(question) if !message.header().qr() => question,
        _ => return false,
    };
    let mut builder = start(message, Rcode::NOERROR, out).question();
    let _ = builder.push(question);
    builder.header_mut().set_tc(true);
    *out = builder.finish().into_target();
    // A name that points into the message is longer when it is written out: no honest query has one.
    if out.len() > query.len() {
        out.clear();
    }
    !out.is_empty()
}

type Target = StaticCompressor<Vec<u8>>;
type AnswerBuilder = domain::base::message_builder::AnswerBuilder<Target>;
type QuestionOf<'a> = Question<ParsedName<&'a [u8]>>;
type OptOf<'a> = OptRecord<&'a [u8]>;

/// The answer's records did not fit.
struct Full {
    kind: Kind,
    digits: Option<Digits>,
}

struct Reply<'a> {
    builder: AnswerBuilder,
    zone: &'a Zone,
    edns: Option<&'a OptOf<'a>>,
    opt_rcode: OptRcode,
    authority: Option<&'a Name<Vec<u8>>>,
    limit_octets: usize,
}

impl<'a> Reply<'a> {
    fn new(
        message: &Message<[u8]>,
        question: &QuestionOf<'_>,
        edns: Option<&'a OptOf<'a>>,
        zone: &'a Zone,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut builder = start(message, Rcode::NOERROR, out).question();
        // Pushed as it was parsed: the case of its letters stays, by which resolvers know their
        // own question again.
        let _ = builder.push(question);
        let limit_octets = match (transport, edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            // RFC 1035 §4.2.1; RFC 6891 §6.2.5: less than 512 counts as 512.
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(opt)) => {
                usize::from(opt.udp_payload_size().clamp(512, UDP_ANSWER_MAX_OCTETS))
            }
        };
        let mut builder = builder.answer();
        let reserved_octets = if edns.is_some() { OPT_OCTETS } else { 0 };
        builder.set_push_limit(limit_octets - reserved_octets);
        Self { builder, zone, edns, opt_rcode: OptRcode::NOERROR, authority: None, limit_octets }
    }

    fn fill(
        &mut self,
        question: &QuestionOf<'_>,
        table: &Snapshot,
    ) -> Result<(Kind, Option<Digits>), Full> {
        let name = question.qname();
        let placed = self
            .zone
            .apexes
            .iter()
            .map(|apex| (apex, enum_name::place(name, apex)))
            .filter(|(_, place)| *place != Place::Outside)
            .max_by_key(|(apex, _)| apex.len());
        let (Some((apex, place)), Class::IN) = (placed, question.qclass()) else {
            self.rcode(Rcode::REFUSED);
            return Ok((Kind::Refused, None));
        };
        // ANY would be the best lever for amplification (RFC 8482 §4); zone transfers would give
        // the numbers away.
        if matches!(question.qtype(), Rtype::ANY | Rtype::AXFR | Rtype::IXFR) {
            self.rcode(Rcode::REFUSED);
            return Ok((Kind::Refused, None));
        }
        self.builder.header_mut().set_aa(true);
        match place {
            Place::Apex => self.fill_apex(question, apex),
            Place::Digits(digits) => match table.find(digits) {
                Found::Route { route, .. } if question.qtype() == Rtype::NAPTR => {
                    match self.push_route(name, digits, route, table) {
                        Ok(()) => Ok((Kind::Hit, Some(digits))),
                        Err(_) => Err(Full { kind: Kind::Hit, digits: Some(digits) }),
                    }
                }
                // RFC 8020 §2: with names below it the name itself is there.
                Found::Route { .. } | Found::Interior => {
                    self.authority = Some(apex);
                    Ok((Kind::NoData, Some(digits)))
                }
                Found::Nothing => {
                    self.rcode(Rcode::NXDOMAIN);
                    self.authority = Some(apex);
                    Ok((Kind::Miss, Some(digits)))
                }
            },
            Place::NotNumber | Place::Outside => {
                self.rcode(Rcode::NXDOMAIN);
                self.authority = Some(apex);
                Ok((Kind::Miss, None))
            }
        }
    }

    fn fill_apex(
        &mut self,
        question: &QuestionOf<'_>,
        apex: &'a Name<Vec<u8>>,
    ) -> Result<(Kind, Option<Digits>), Full> {
        let name = question.qname();
        let pushed = match question.qtype() {
            Rtype::SOA => {
                self.builder.push((name, Ttl::from_secs(self.zone.ttl_s), soa(self.zone)))
            }
            Rtype::NS => self.builder.push((
                name,
                Ttl::from_secs(self.zone.ttl_s),
                Ns::new(&self.zone.server_name),
            )),
            _ => {
                self.authority = Some(apex);
                return Ok((Kind::NoData, None));
            }
        };
        pushed.map(|()| (Kind::Apex, None)).map_err(|_| Full { kind: Kind::Apex, digits: None })
    }

    fn push_route(
        &mut self,
        name: &ParsedName<&[u8]>,
        digits: Digits,
        route: &Route,
        table: &Snapshot,
    ) -> Result<(), PushError> {
        for choice in route.choices() {
            let mut regexp = Text::default();
            // RFC 3402 §3.2: the whole number is replaced by the URI. The configuration keeps
            // gateways short enough; what would not fit is left out rather than sent cut.
            if write!(regexp, "!^.*$!{}!", table.gateway(choice).uri(&digits)).is_err() {
                continue;
            }
            let (Ok(flags), Ok(service), Ok(regexp)) = (
                CharStr::from_octets(b"u".as_slice()),
                CharStr::from_octets(b"E2U+sip".as_slice()),
                CharStr::from_octets(regexp.as_slice()),
            ) else {
                continue;
            };
            self.builder.push((
                name,
                Ttl::from_secs(self.zone.ttl_s),
                Naptr::new(
                    choice.order,
                    choice.preference,
                    flags,
                    service,
                    regexp,
                    Name::root_ref(),
                ),
            ))?;
        }
        Ok(())
    }

    fn rcode(&mut self, rcode: Rcode) {
        self.builder.header_mut().set_rcode(rcode);
    }

    /// RFC 2181 §9: no part of an answer that does not fit, but the sign that there is more.
    fn truncate(&mut self) {
        self.builder.rewind();
        self.builder.header_mut().set_tc(true);
    }

    fn finish(self) -> Vec<u8> {
        let mut builder = self.builder.authority();
        if let Some(apex) = self.authority {
            // RFC 2308 §5: the SOA's own TTL says how long the negative answer lives.
            let ttl = Ttl::from_secs(self.zone.negative_ttl_s);
            let _ = builder.push((apex, ttl, soa(self.zone)));
        }
        let mut builder = builder.additional();
        builder.set_push_limit(self.limit_octets);
        if let Some(edns) = self.edns {
            let _ = builder.opt(|opt| {
                opt.set_udp_payload_size(UDP_ANSWER_MAX_OCTETS);
                // RFC 3225 §3: copied, though there is nothing signed here.
                opt.set_dnssec_ok(edns.dnssec_ok());
                if self.opt_rcode != OptRcode::NOERROR {
                    opt.set_rcode(self.opt_rcode);
                }
                Ok(())
            });
        }
        builder.finish().into_target()
    }
}

fn soa(zone: &Zone) -> Soa<&Name<Vec<u8>>> {
    Soa::new(
        &zone.server_name,
        &zone.contact,
        Serial(zone.serial),
        Ttl::from_secs(3600),
        Ttl::from_secs(600),
        Ttl::from_secs(86_400),
        Ttl::from_secs(zone.negative_ttl_s),
    )
}

/// A builder on the room of `out` with the header of an answer to `message`.
fn start(message: &Message<[u8]>, rcode: Rcode, out: &mut Vec<u8>) -> MessageBuilder<Target> {
    let target = StaticCompressor::new(std::mem::take(out));
    let Ok(mut builder) = MessageBuilder::from_target(target);
    let asked = message.header();
    let header = builder.header_mut();
    header.set_id(asked.id());
    header.set_qr(true);
    header.set_opcode(asked.opcode());
    header.set_rd(asked.rd());
    header.set_rcode(rcode);
    builder
}

/// An answer of only a header: what was asked cannot be read.
fn bare(message: &Message<[u8]>, kind: Kind, rcode: Rcode, out: &mut Vec<u8>) -> Answered {
    *out = start(message, rcode, out).finish().into_target();
    Answered { kind, digits: None, truncated: false }
}

/// The OPT record of a query, which must be the only one (RFC 6891 §6.1.1).
fn edns(message: &Message<[u8]>) -> Result<Option<OptOf<'_>>, ()> {
    let mut found = None;
    for record in message.additional().map_err(|_| ())? {
        let record = record.map_err(|_| ())?;
        if let Some(record) = record.into_record::<Opt<_>>().map_err(|_| ())? {
            if found.is_some() {
                return Err(());
            }
            found = Some(OptRecord::from_record(record));
        }
    }
    Ok(found)
}

/// OPT record without options: root, type, class, TTL, length.
const OPT_OCTETS: usize = 11;

/// A character-string being written (RFC 1035 §3.3).
struct Text {
    octets: [u8; 255],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { octets: [0; 255], length: 0 }
    }
}

impl Text {
    fn as_slice(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.octets
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
