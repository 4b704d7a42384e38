//! The table as SIP: a redirect server (RFC 3261 §8.3) for switches that route by SIP and ask no
//! ENUM.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trunkline_number::Dialled;
use trunkline_sip::{Endpoint, EndpointConfig, Event, Events, Rejection, SipError};

use crate::edition::Edition;
use crate::enum_server::Sees;
use crate::enum_server::udp::unix_s;
use crate::selection::Selection;
use crate::state::State;
use crate::table::{Digits, Found, Matched, Portability, WeekMinute};

/// What a switch is told about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// What kind of answer it is.
    pub kind: Kind,
    /// Reason phrase.
    pub phrase: String,
    /// Where the call may go, as values of Contact headers, the first choice first.
    pub contacts: Vec<String>,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// 302: there are gateways, or it is known to which network the number was ported.
    Gateways,
    /// 503: the number is known, and none of its gateways takes calls.
    NoGateway,
    /// 404: no such number.
    Unknown,
    /// 404: what is called is no telephone number.
    NoNumber,
    /// 403: the switch's network may not ask.
    Denied,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Gateways, Self::NoGateway, Self::Unknown, Self::NoNumber, Self::Denied];

    /// SIP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Gateways => 302,
            Self::NoGateway => 503,
            Self::Unknown | Self::NoNumber => 404,
            Self::Denied => 403,
        }
    }

    /// Q.850 cause, for switches that go on in ISUP or DSS1.
    pub fn cause(self) -> Option<u8> {
        match self {
            // No circuit available; unallocated number; invalid number format; call rejected.
            Self::NoGateway => Some(34),
            Self::Unknown => Some(1),
            Self::NoNumber => Some(28),
            Self::Denied => Some(21),
            Self::Gateways => None,
        }
    }

    /// Name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gateways => "gateways",
            Self::NoGateway => "no_gateway",
            Self::Unknown => "unknown",
            Self::NoNumber => "no_number",
            Self::Denied => "denied",
        }
    }
}

/// Contacts of an answer: nobody tries more, and an answer shall fit a datagram.
const CONTACTS_MAX: usize = 8;

/// Says where a call may go. `called` is the user part of the request URI, or the number of a tel
/// URI; `draw` is any number, new for each call.
pub fn redirect(
    edition: &Edition,
    called: &str,
    source: IpAddr,
    unix_s: u64,
    draw: u64,
) -> Redirection {
    let refusal =
        |kind, phrase: &str| Redirection { kind, phrase: phrase.to_owned(), contacts: Vec::new() };
    if *edition.zone.clients.sees(source) == Sees::Nothing {
        return refusal(Kind::Denied, "Your Network May Not Ask");
    }
    let number = match Dialled::parse(called, &edition.country) {
        Ok(Dialled::E164(number)) => number,
        Ok(Dialled::Short(_)) => {
            return refusal(Kind::NoNumber, "Short Code Of The Caller's Own Network");
        }
        Err(_) => return refusal(Kind::NoNumber, "Not A Telephone Number"),
    };
    let digits = Digits::from(&number);
    let Found::Routes(matched) = edition.table.find(digits) else {
        return refusal(Kind::Unknown, "Unknown Number");
    };
    let at = WeekMinute::from_unix(unix_s, edition.zone.utc_offset_min);
    let selection = Selection::new(&matched, &edition.gateways, at, draw);
    let contacts = contacts(edition, digits, &matched, &selection);
    if !contacts.is_empty() {
        return Redirection {
            kind: Kind::Gateways,
            phrase: "Moved Temporarily".to_owned(),
            contacts,
        };
    }
    let mut phrase = "No Gateway In Service".to_owned();
    for (place, candidate) in selection.left_out().iter().take(CONTACTS_MAX).enumerate() {
        let gateway = edition.gateways.gateway(candidate.choice.gateway);
        let name = gateway.map_or("?", |gateway| gateway.name.as_str());
        let reason = candidate.left_out.map_or("", |left_out| left_out.word());
        let before = if place == 0 { ":" } else { "," };
        let _ = write!(phrase, "{before} {name} {reason}");
    }
    Redirection { kind: Kind::NoGateway, phrase, contacts: Vec::new() }
}

fn contacts(
    edition: &Edition,
    digits: Digits,
    matched: &Matched<'_>,
    selection: &Selection,
) -> Vec<String> {
    let portability = matched.portability();
    // RFC 4694 §4: what is known of porting goes with the number, in a tel URI and in the user part
    // of a SIP URI.
    let number = fmt::from_fn(|f| match portability {
        None => write!(f, "{digits}"),
        Some(Portability::NotPorted) => write!(f, "{digits};npdi"),
        Some(Portability::Ported(rn)) => write!(f, "{digits};npdi;rn=+{rn}"),
    });
    let zone = &edition.zone;
    let expires_s = zone.route_ttl_s(&edition.gateways, selection);
    let gateways = selection
        .offered()
        .iter()
        .filter_map(|candidate| edition.gateways.gateway(candidate.choice.gateway));
    let mut contacts: Vec<String> = gateways
        .take(CONTACTS_MAX)
        .enumerate()
        .map(|(place, gateway)| {
            // The order also as q (§20.10), by which a proxy sorts them.
            let q = 9 - place;
            format!("<{}>;q=0.{q};expires={expires_s}", zone.uri(gateway, &number))
        })
        .collect();
    let leads_on = match portability {
        Some(Portability::Ported(_)) => true,
        // It is here, and those who serve it are out.
        Some(Portability::NotPorted) => selection.candidates().is_empty(),
        None => false,
    };
    if contacts.is_empty() && leads_on {
        contacts.push(format!("<tel:+{number}>;q=0.1;expires={expires_s}"));
    }
    contacts
}

/// How often each kind of answer was given.
#[derive(Debug, Default)]
pub(crate) struct Redirects([AtomicU64; Kind::ALL.len()]);

impl Redirects {
    /// How often this one was.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.0[kind as usize].load(Ordering::Relaxed)
    }
}

/// Opens the addresses, each for UDP and TCP.
pub(crate) async fn open(addresses: &[SocketAddr]) -> Result<(Endpoint, Events), SipError> {
    let configuration = EndpointConfig {
        udp: addresses.to_vec(),
        tcp: addresses.to_vec(),
        user_agent: "Trunkline directory".to_owned(),
        ..EndpointConfig::default()
    };
    Endpoint::start(configuration).await
}

/// Answers calls; does not return before the endpoint ends.
pub(crate) async fn serve(endpoint: Endpoint, mut events: Events, state: Arc<State>) {
    while let Some(event) = events.next().await {
        // Who gives up before the answer needs none.
        let Event::Invite(invite) = event else {
            continue;
        };
        let source = invite.source.ip();
        let edition = state.edition();
        let Redirection { kind, phrase, contacts } =
            redirect(&edition, &invite.request_uri.user, source, unix_s(), rand::random());
        state.redirects.0[kind as usize].fetch_add(1, Ordering::Relaxed);
        let rejection = Rejection {
            phrase: Some(phrase),
            cause: kind.cause(),
            headers: contacts.into_iter().map(|value| ("Contact".to_owned(), value)).collect(),
            ..Rejection::status(kind.status())
        };
        // It has hung up meanwhile, if that fails.
        let _ = endpoint.reject(invite.leg, rejection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enum_server::{ClientRule, Clients, Zone};
    use crate::gateways::{Standing, State};
    use crate::samples;

    const TABLE: &str = "\
gateways: { a: { sip: 127.0.0.10 }, b: { sip: '[::1]:5070', transport: tcp }, c: { sip: c.net } }
prefixes:
  - { prefix: '03', gateways: [{ name: b, order: 20 }, { name: a }, { name: c, order: 30 }] }
  - { prefix: '0469', gateways: [{ name: c }] }
  - { prefix: '+815212', gateways: [{ name: a }], rn: '+8139999' }
  - { prefix: '+815213', rn: '+8139999' }
  - { prefix: '+815214', npdi: true }
  - { prefix: '+815215', gateways: [{ name: c }], npdi: true }
";

    fn ask(called: &str) -> Redirection {
        let clients = Clients::new(vec![
            ClientRule { network: "0.0.0.0/0".parse().unwrap(), sees: Sees::Everything },
            ClientRule { network: "10.0.0.0/8".parse().unwrap(), sees: Sees::Nothing },
        ]);
        let dead = State { standing: Standing::Dead, ..State::default() };
        let states = [State::default(), State::default(), dead];
        let edition = samples::edition(TABLE, &states, Zone { clients, ..samples::zone() });
        let (called, source) = called.split_once(" from ").unwrap_or((called, "192.0.2.1"));
        redirect(&edition, called, source.parse().unwrap(), 1_800_000_000, 1)
    }

    #[test]
    fn contacts_are_the_gateways_in_service_in_order() {
        let found = ask("03-3333-1234");
        assert_eq!((found.kind.status(), found.kind.cause()), (302, None));
        let seconds = samples::zone().ttl_s;
        let wanted = [
            format!("<sip:+81333331234@127.0.0.10>;q=0.9;expires={seconds}"),
            format!("<sip:+81333331234@[::1]:5070;transport=tcp>;q=0.8;expires={seconds}"),
        ];
        assert_eq!(found.contacts, wanted);
    }

    #[test]
    fn what_is_known_of_porting_goes_with_the_number() {
        let contact = |called| ask(called).contacts[0].split('>').next().unwrap().to_owned();
        let gateway = "<sip:+815212345;npdi;rn=+8139999@127.0.0.10";
        assert_eq!(contact("+815212345"), gateway);
        assert_eq!(contact("+815213345"), "<tel:+815213345;npdi;rn=+8139999");
        assert_eq!(contact("+815214345"), "<tel:+815214345;npdi");
        assert_eq!(ask("+815215345").kind, Kind::NoGateway);
    }

    #[test]
    fn each_way_of_having_no_gateway_is_told_apart() {
        for (called, status, cause, phrase) in [
            ("0469221234", 503, 34, "No Gateway In Service: c dead"),
            ("+4930123456", 404, 1, "Unknown Number"),
            ("110", 404, 28, "Short Code Of The Caller's Own Network"),
            ("alice", 404, 28, "Not A Telephone Number"),
            ("", 404, 28, "Not A Telephone Number"),
            ("0333331234 from 10.1.1.1", 403, 21, "Your Network May Not Ask"),
        ] {
            let found = ask(called);
            assert_eq!(found.kind.status(), status, "{called}");
            assert_eq!(found.kind.cause(), Some(cause), "{called}");
            assert_eq!((found.phrase.as_str(), found.contacts.len()), (phrase, 0), "{called}");
        }
    }
}
