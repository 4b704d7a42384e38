//! From the octets of a query to the octets of its answer: no socket, no clock.

mod gateway_name;
mod number;
pub(super) mod plain;

use std::fmt::Write as _;
use std::net::IpAddr;

use domain::base::iana::exterr::ExtendedErrorCode;
use domain::base::iana::{Class, Opcode, OptRcode, Rcode};
use domain::base::message_builder::{MessageBuilder, StaticCompressor};
use domain::base::name::ParsedName;
use domain::base::opt::{Cookie, ExtendedError, Opt, OptRecord};
use domain::base::{Message, Name, Question, Rtype, Serial, Ttl};
use domain::dep::octseq::str::Str;
use domain::rdata::{Ns, Soa};

use plain::Plain;

use super::clients::{Clients, Sees};
use super::cookie::{CookieSecrets, Shown};
use crate::edition::Edition;
use crate::enum_name::{self, Place};
use crate::table::Digits;

/// What the server says besides table and gateways.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Domains below which numbers are answered.
    pub apexes: Vec<Name<Vec<u8>>>,
    /// Domain below which gateways have names that answers carry instead of addresses; their SRV and
    /// address records come and go with their state.
    pub gateway_domain: Option<Name<Vec<u8>>>,
    /// TTL of answers, in seconds.
    pub ttl_s: u32,
    /// TTL of "unknown number", in seconds.
    pub negative_ttl_s: u32,
    /// TTL of what moves with the state of gateways that hold a lease, in seconds.
    pub live_ttl_s: u32,
    /// This server, in SOA and NS.
    pub server_name: Name<Vec<u8>>,
    /// The operator's mailbox, in SOA.
    pub contact: Name<Vec<u8>>,
    /// Serial of the SOA.
    pub serial: u32,
    /// Local time's distance from UTC, for hours of the day, in minutes.
    pub utc_offset_min: i16,
    /// Who may ask.
    pub clients: Clients,
    /// Signs DNS cookies; none sets none.
    pub cookies: Option<CookieSecrets>,
}

/// A query as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The message.
    pub query: &'a [u8],
    /// Who asks.
    pub source: IpAddr,
    /// How.
    pub transport: Transport,
    /// When, in seconds since 1970 UTC.
    pub unix_s: u64,
    /// Any number, new for each query: it draws among gateways of equal preference.
    pub draw: u64,
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
    /// The number is known, and none of its gateways takes calls.
    NoGateway,
    /// Records of a gateway's name.
    GatewayName,
    /// SOA or NS of an apex.
    Apex,
    /// NXDOMAIN: no such number.
    Miss,
    /// NODATA: the name is there, the type is not.
    NoData,
    /// REFUSED: outside the apexes, another class, ANY, or a zone transfer.
    Refused,
    /// REFUSED: the client's network may not ask that.
    Denied,
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
    pub const ALL: [Kind; 12] = [
        Kind::Hit,
        Kind::NoGateway,
        Kind::GatewayName,
        Kind::Apex,
        Kind::Miss,
        Kind::NoData,
        Kind::Refused,
        Kind::Denied,
        Kind::Malformed,
        Kind::NotImplemented,
        Kind::BadVersion,
        Kind::Dropped,
    ];

    /// RCODE of the answer as dig shows it; none when there is no answer.
    pub fn rcode(self) -> Option<&'static str> {
        match self {
            Kind::Hit | Kind::NoGateway | Kind::GatewayName | Kind::Apex | Kind::NoData => {
                Some("NOERROR")
            }
            Kind::Miss => Some("NXDOMAIN"),
            Kind::Refused | Kind::Denied => Some("REFUSED"),
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
            Kind::NoGateway => "no_gateway",
            Kind::GatewayName => "gateway_name",
            Kind::Apex => "apex",
            Kind::Miss => "miss",
            Kind::NoData => "no_data",
            Kind::Refused => "refused",
            Kind::Denied => "denied",
            Kind::Malformed => "malformed",
            Kind::NotImplemented => "not_implemented",
            Kind::BadVersion => "bad_version",
            Kind::Dropped => "dropped",
        }
    }
}

/// INFO-CODE of the extended error (RFC 8914) that tells "known, but no gateway takes calls now" from
/// "no such number": the first of those for private use. Its text names the gateways and why each is
/// left out.
pub const NO_GATEWAY_INFO_CODE: u16 = 49_152;

/// Answers a query into `out`, whose room is used again; it is empty afterwards when nothing is
/// to be sent.
pub fn answer(asked: &Asked<'_>, edition: &Edition, out: &mut Vec<u8>) -> Answered {
    answer_read(Plain::read(asked, &edition.zone), asked, edition, out)
}

/// Answers a query of which is known whether it is a plain question.
pub(super) fn answer_read(
    plain: Option<Plain>,
    asked: &Asked<'_>,
    edition: &Edition,
    out: &mut Vec<u8>,
) -> Answered {
    match plain.and_then(|plain| plain.answer(asked, edition, out)) {
        Some(answered) => answered,
        None => answer_any(asked, edition, out),
    }
}

/// Answers whatever is asked.
fn answer_any(asked: &Asked<'_>, edition: &Edition, out: &mut Vec<u8>) -> Answered {
    out.clear();
    let silent = Answered { kind: Kind::Dropped, digits: None, truncated: false };
    let Ok(message) = Message::from_slice(asked.query) else {
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
    let mut reply = Reply::new(message, &question, edns.as_ref(), edition, asked, out);
    let outcome = match edns.as_ref() {
        Some(opt) if opt.version() > 0 => {
            // RFC 6891 §6.1.3.
            reply.opt_rcode = OptRcode::BADVERS;
            Ok((Kind::BadVersion, None))
        }
        _ if reply.malformed_cookie => {
            reply.rcode(Rcode::FORMERR);
            Ok((Kind::Malformed, None))
        }
        _ => reply.fill(&question),
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

/// Whether a query shows a cookie that this server gave to its source: then it is not forged.
pub fn has_valid_cookie(asked: &Asked<'_>, zone: &Zone) -> bool {
    let read = || {
        let message = Message::from_slice(asked.query).ok()?;
        let edns = edns(message).ok()??;
        let shown = zone.cookies.as_ref()?.read(edns.opt(), asked.source, asked.unix_s);
        Some(matches!(shown, Shown::Cookie { valid: true, .. }))
    };
    read().unwrap_or(false)
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
type OptBuilder<'a> = domain::base::message_builder::OptBuilder<'a, Target>;
type QuestionOf<'a> = Question<ParsedName<&'a [u8]>>;
type OptOf<'a> = OptRecord<&'a [u8]>;

/// The answer's records did not fit.
struct Full {
    kind: Kind,
    digits: Option<Digits>,
}

struct Reply<'a> {
    builder: AnswerBuilder,
    edition: &'a Edition,
    zone: &'a Zone,
    asked: &'a Asked<'a>,
    edns: Option<&'a OptOf<'a>>,
    opt_rcode: OptRcode,
    cookie: Option<Cookie>,
    malformed_cookie: bool,
    /// Explains the answer (RFC 8914).
    reason: Option<(ExtendedErrorCode, Text)>,
    /// The apex whose SOA goes with a negative answer, and for how long it holds, in seconds.
    authority: Option<(&'a Name<Vec<u8>>, u32)>,
    limit_octets: usize,
}

impl<'a> Reply<'a> {
    fn new(
        message: &Message<[u8]>,
        question: &QuestionOf<'_>,
        edns: Option<&'a OptOf<'a>>,
        edition: &'a Edition,
        asked: &'a Asked<'a>,
        out: &mut Vec<u8>,
    ) -> Self {
        let zone = &*edition.zone;
        let mut builder = start(message, Rcode::NOERROR, out).question();
        // Pushed as it was parsed: the case of its letters stays, by which resolvers know their
        // own question again.
        let _ = builder.push(question);
        let limit_octets = match (asked.transport, edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            // RFC 1035 §4.2.1; RFC 6891 §6.2.5: less than 512 counts as 512.
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(opt)) => {
                usize::from(opt.udp_payload_size().clamp(512, UDP_ANSWER_MAX_OCTETS))
            }
        };
        let shown = match (edns, &zone.cookies) {
            (Some(edns), Some(secrets)) => secrets.read(edns.opt(), asked.source, asked.unix_s),
            _ => Shown::None,
        };
        let (cookie, malformed_cookie) = match (&shown, &zone.cookies) {
            (Shown::Cookie { cookie, .. }, Some(secrets)) => {
                (Some(secrets.answer(cookie, asked.source, asked.unix_s)), false)
            }
            (shown, _) => (None, *shown == Shown::Malformed),
        };
        let mut builder = builder.answer();
        let reserved_octets = match edns {
            Some(_) => OPT_OCTETS + cookie.as_ref().map_or(0, |_| COOKIE_OPTION_OCTETS),
            None => 0,
        };
        builder.set_push_limit(limit_octets - reserved_octets);
        Self {
            builder,
            edition,
            zone,
            asked,
            edns,
            opt_rcode: OptRcode::NOERROR,
            cookie,
            malformed_cookie,
            reason: None,
            authority: None,
            limit_octets,
        }
    }

    fn fill(&mut self, question: &QuestionOf<'_>) -> Result<(Kind, Option<Digits>), Full> {
        let name = question.qname();
        let zone = self.zone;
        let sees = zone.clients.sees(self.asked.source);
        let is_gateway_name =
            zone.gateway_domain.as_ref().is_some_and(|domain| name.ends_with(domain));
        let placed = zone
            .apexes
            .iter()
            .enumerate()
            .map(|(index, apex)| (index, apex, enum_name::place(name, apex)))
            .filter(|(_, _, place)| *place != Place::Outside)
            .max_by_key(|(_, apex, _)| apex.len());
        let is_ours = is_gateway_name || placed.is_some();
        if *sees == Sees::Nothing
            || placed.is_some_and(|(index, ..)| !is_gateway_name && !sees.apex(index))
        {
            self.rcode(Rcode::REFUSED);
            self.explain(
                ExtendedErrorCode::PROHIBITED,
                format_args!("your network may not ask that here"),
            );
            return Ok((Kind::Denied, None));
        }
        // ANY would be the best lever for amplification (RFC 8482 §4); zone transfers would give
        // the numbers away.
        let is_whole = matches!(question.qtype(), Rtype::ANY | Rtype::AXFR | Rtype::IXFR);
        if !is_ours || question.qclass() != Class::IN || is_whole {
            self.rcode(Rcode::REFUSED);
            return Ok((Kind::Refused, None));
        }
        self.builder.header_mut().set_aa(true);
        match (&zone.gateway_domain, placed) {
            (Some(domain), _) if is_gateway_name => self.fill_gateway_name(question, domain),
            (_, Some((_, apex, Place::Apex))) => self.fill_apex(question, apex),
            (_, Some((_, apex, Place::Digits(digits)))) => self.fill_number(question, apex, digits),
            (_, Some((_, apex, _))) => {
                self.rcode(Rcode::NXDOMAIN);
                self.negative(apex);
                Ok((Kind::Miss, None))
            }
            (_, None) => Ok((Kind::Refused, None)),
        }
    }

    fn fill_apex(
        &mut self,
        question: &QuestionOf<'_>,
        apex: &'a Name<Vec<u8>>,
    ) -> Result<(Kind, Option<Digits>), Full> {
        let name = question.qname();
        let ttl = Ttl::from_secs(self.zone.ttl_s);
        let pushed = match question.qtype() {
            Rtype::SOA => self.builder.push((name, ttl, soa(self.zone))),
            Rtype::NS => self.builder.push((name, ttl, Ns::new(&self.zone.server_name))),
            _ => {
                self.negative(apex);
                return Ok((Kind::NoData, None));
            }
        };
        pushed.map(|()| (Kind::Apex, None)).map_err(|_| Full { kind: Kind::Apex, digits: None })
    }

    fn rcode(&mut self, rcode: Rcode) {
        self.builder.header_mut().set_rcode(rcode);
    }

    /// The answer says that there is nothing, for as long as such answers hold.
    fn negative(&mut self, apex: &'a Name<Vec<u8>>) {
        self.authority = Some((apex, self.zone.negative_ttl_s));
    }

    /// The answer says that there is nothing at the moment.
    fn negative_now(&mut self, apex: &'a Name<Vec<u8>>) {
        self.authority = Some((apex, self.zone.negative_ttl_s.min(self.zone.live_ttl_s)));
    }

    /// Tells the reason to those who understand EDNS; a text that is too long is cut.
    fn explain(&mut self, code: ExtendedErrorCode, text: std::fmt::Arguments<'_>) {
        let mut reason = Text::default();
        let _ = reason.write_fmt(text);
        self.reason = Some((code, reason));
    }

    /// RFC 2181 §9: no part of an answer that does not fit, but the sign that there is more.
    fn truncate(&mut self) {
        self.builder.rewind();
        self.builder.header_mut().set_tc(true);
    }

    fn finish(self) -> Vec<u8> {
        let mut builder = self.builder.authority();
        if let Some((apex, ttl_s)) = self.authority {
            // RFC 2308 §5: the SOA's own TTL says how long the negative answer lives.
            let _ = builder.push((apex, Ttl::from_secs(ttl_s), soa(self.zone)));
        }
        let mut builder = builder.additional();
        builder.set_push_limit(self.limit_octets);
        if let Some(edns) = self.edns {
            let reason = self.reason.as_ref().and_then(|(code, text)| {
                let text = Str::from_utf8(text.as_slice()).ok()?;
                ExtendedError::new(*code, Some(text)).ok()
            });
            let options = |opt: &mut OptBuilder<'_>, reason: Option<&ExtendedError<&[u8]>>| {
                opt.set_udp_payload_size(UDP_ANSWER_MAX_OCTETS);
                // RFC 3225 §3: copied, though there is nothing signed here.
                opt.set_dnssec_ok(edns.dnssec_ok());
                if self.opt_rcode != OptRcode::NOERROR {
                    opt.set_rcode(self.opt_rcode);
                }
                if let Some(cookie) = &self.cookie {
                    opt.push(cookie)?;
                }
                match reason {
                    Some(reason) => opt.push(reason),
                    None => Ok(()),
                }
            };
            if builder.opt(|opt| options(opt, reason.as_ref())).is_err() {
                // What explains gives way to what is needed.
                let _ = builder.opt(|opt| options(opt, None));
            }
        }
        builder.finish().into_target()
    }
}

fn soa(zone: &Zone) -> Soa<&Name<Vec<u8>>> {
    let [serial, refresh, retry, expire, minimum] = soa_fields(zone);
    Soa::new(
        &zone.server_name,
        &zone.contact,
        Serial(serial),
        Ttl::from_secs(refresh),
        Ttl::from_secs(retry),
        Ttl::from_secs(expire),
        Ttl::from_secs(minimum),
    )
}

/// Serial, refresh, retry, expire and minimum of the SOA (RFC 1035 §3.3.13).
fn soa_fields(zone: &Zone) -> [u32; 5] {
    [zone.serial, 3_600, 600, 86_400, zone.negative_ttl_s]
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

/// Code, length, the client's cookie and ours (RFC 9018 §4).
const COOKIE_OPTION_OCTETS: usize = 4 + 8 + 16;

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
