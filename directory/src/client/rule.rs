//! From NAPTR rules to SIP addresses: sorting, the substitution, the URI.
//!
//! A rule comes from outside. Only the forms of expression that directories use are understood,
//! by hand and in bounded time; a rule with another is passed over, as RFC 6116 §5.2 has it for
//! rules that a client cannot use.

use crate::table::Digits;

/// A NAPTR record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Lower is used first.
    pub order: u16,
    /// Among equal orders, lower is used first.
    pub preference: u16,
    /// "u" where the rule gives a URI.
    pub flags: Vec<u8>,
    /// "E2U+sip".
    pub service: Vec<u8>,
    /// "!^.*$!sip:…!".
    pub regexp: Vec<u8>,
}

/// Rules that are read of one answer.
pub const RULES_MAX: usize = 64;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipTarget {
    /// The whole URI, for the request line.
    pub uri: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port; 5060, or 5061 for TLS, where the URI has none.
    pub port: u16,
    /// Transport that the URI asks for.
    pub transport: SipTransport,
}

/// Transport of SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipTransport {
    /// `;transport=udp`, or nothing.
    Udp,
    /// `;transport=tcp`.
    Tcp,
    /// `;transport=tls` or a `sips:` URI.
    Tls,
}

/// The SIP addresses of a number, the first choice first.
pub fn routes(mut rules: Vec<Rule>, number: Digits) -> Vec<SipTarget> {
    rules.sort_by_key(|rule| (rule.order, rule.preference));
    let text = format!("+{number}");
    rules.iter().filter_map(|rule| rule.apply(&text)).collect()
}

impl Rule {
    fn apply(&self, number: &str) -> Option<SipTarget> {
        // RFC 6116 §3.4.2, §3.6: terminal rules for a URI; flags and services know no case.
        let is_terminal = self.flags.eq_ignore_ascii_case(b"u");
        if !is_terminal || !leads_to_sip(&self.service) {
            return None;
        }
        let uri = substitute(str::from_utf8(&self.regexp).ok()?, number)?;
        SipTarget::read(&uri)
    }
}

/// Whether one of the services of `E2U+sip`, `E2U+voice:sip+sip:a` is SIP (RFC 6116 §3.4.3).
fn leads_to_sip(service: &[u8]) -> bool {
    let service = service.to_ascii_lowercase();
    let mut parts = service.split(|&octet| octet == b'+');
    parts.next() == Some(b"e2u")
        && parts.any(|part| part.split(|&octet| octet == b':').next() == Some(b"sip"))
}

/// Longest URI that is taken from a rule, in octets.
const URI_MAX_OCTETS: usize = 512;

/// Applies `!expression!replacement!` (RFC 3402 §3.2) to a number with its +.
fn substitute(regexp: &str, number: &str) -> Option<String> {
    let delimiter = regexp.chars().next()?;
    // RFC 3402 §3.2: no digit, no flag character; a backslash would delimit nothing.
    if delimiter.is_ascii_digit() || delimiter == 'i' || delimiter == '\\' {
        return None;
    }
    let mut parts = Vec::with_capacity(3);
    let mut part = String::new();
    let mut characters = regexp.chars().skip(1);
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped if escaped == delimiter => part.push(escaped),
                escaped => part.extend(['\\', escaped]),
            },
            _ if character == delimiter => parts.push(std::mem::take(&mut part)),
            _ => part.push(character),
        }
    }
    let [expression, replacement] = parts.as_slice() else {
        return None;
    };
    if !part.is_empty() && part != "i" {
        return None;
    }
    let rest = captured(expression, number)?;
    let mut uri = String::new();
    let mut characters = replacement.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                '1' => uri.push_str(rest?),
                '0'..='9' => return None,
                escaped => uri.push(escaped),
            },
            _ => uri.push(character),
        }
        if uri.len() > URI_MAX_OCTETS {
            return None;
        }
    }
    Some(uri)
}

/// Matches the expressions `^.*$`, `^(.*)$`, `^\+81(.*)$` and those without `^`, `$` or with
/// `.+` in place of `.*`. Inside: what the first bracket caught. None where the expression is
/// of another kind or does not match.
fn captured<'a>(expression: &str, number: &'a str) -> Option<Option<&'a str>> {
    let expression = expression.strip_prefix('^').unwrap_or(expression);
    let expression = expression.strip_suffix('$').unwrap_or(expression);
    let (literal, group, at_least) = ["(.*)", "(.+)", ".*", ".+"].into_iter().find_map(|any| {
        Some((expression.strip_suffix(any)?, any.starts_with('('), any.contains('+')))
    })?;
    let mut rest = number;
    let mut characters = literal.chars().peekable();
    while let Some(character) = characters.next() {
        let wanted = match character {
            '\\' => characters.next().filter(|escaped| *escaped == '+')?,
            '0'..='9' => character,
            _ => return None,
        };
        rest = match rest.strip_prefix(wanted) {
            Some(behind) => {
                characters.next_if_eq(&'?');
                behind
            }
            None => characters.next_if_eq(&'?').map(|_| rest)?,
        };
    }
    if at_least && rest.is_empty() {
        return None;
    }
    Some(group.then_some(rest))
}

impl SipTarget {
    /// Reads a SIP URI (RFC 3261 §19.1) as far as a call needs. None for any other text.
    pub fn read(uri: &str) -> Option<Self> {
        // What follows goes into a request line: nothing there that could end one.
        let is_uri = uri.len() <= URI_MAX_OCTETS
            && uri
                .bytes()
                .all(|octet| octet.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&octet));
        let (scheme, rest) = uri.split_once(':')?;
        let secure = scheme.eq_ignore_ascii_case("sips");
        if !is_uri || !(secure || scheme.eq_ignore_ascii_case("sip")) {
            return None;
        }
        // Headers in a URI would end up in our request.
        if rest.contains('?') {
            return None;
        }
        // In a user part, ; may stand before the @ (RFC 3261 §25.1, user-unreserved).
        let rest = rest.rsplit_once('@').map_or(rest, |(_, behind)| behind);
        let (authority, parameters) = rest.split_once(';').unwrap_or((rest, ""));
        let mut transport = if secure { SipTransport::Tls } else { SipTransport::Udp };
        for parameter in parameters.split(';') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.eq_ignore_ascii_case("transport") {
                transport = match value.to_ascii_lowercase().as_str() {
                    "udp" if !secure => SipTransport::Udp,
                    "tcp" if !secure => SipTransport::Tcp,
                    // RFC 3261 §26.2.2: sips with transport=tcp is TLS over TCP.
                    "tcp" | "tls" => SipTransport::Tls,
                    _ => return None,
                };
            }
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, behind) = inside.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
            }
            None => {
                let (host, port) = match authority.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (authority, None),
                };
                let is_host = !host.is_empty()
                    && host.bytes().all(|o| o.is_ascii_alphanumeric() || b".-_".contains(&o));
                (is_host.then_some(host)?, port)
            }
        };
        let port = match port {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0)?,
            None if transport == SipTransport::Tls => 5061,
            None => 5060,
        };
        Some(Self { uri: uri.to_owned(), host: host.to_owned(), port, transport })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NUMBER: &str = "+81333331234";

    fn rule(order: u16, preference: u16, regexp: &str) -> Rule {
        Rule {
            order,
            preference,
            flags: b"u".to_vec(),
            service: b"E2U+sip".to_vec(),
            regexp: regexp.as_bytes().to_vec(),
        }
    }

    fn uris(rules: Vec<Rule>) -> Vec<String> {
        let digits = Digits::read(&NUMBER[1..]).unwrap();
        routes(rules, digits).into_iter().map(|target| target.uri).collect()
    }

    #[test]
    fn routes_stand_in_order_then_preference() {
        let rules = vec![
            rule(20, 1, "!^.*$!sip:c@h!"),
            rule(10, 20, "!^.*$!sip:b@h!"),
            rule(10, 10, "!^.*$!sip:a@h!"),
        ];
        assert_eq!(uris(rules), ["sip:a@h", "sip:b@h", "sip:c@h"]);
    }

    #[test]
    fn rules_for_other_services_and_flags_are_passed_over() {
        let mut mail = rule(1, 1, "!^.*$!mailto:a@h!");
        mail.service = b"E2U+email:mailto".to_vec();
        let mut next = rule(2, 1, "!^.*$!sip:n@h!");
        next.flags = Vec::new();
        let mut upper = rule(3, 1, "!^.*$!sip:u@h!");
        upper.flags = b"U".to_vec();
        upper.service = b"e2u+Voice:tel+SIP".to_vec();
        assert_eq!(uris(vec![mail, next, upper]), ["sip:u@h"]);
    }

    #[test]
    fn substitution_fills_in_what_the_bracket_caught() {
        for (regexp, uri) in [
            ("!^.*$!sip:info@example.com!", Some("sip:info@example.com")),
            ("!^(.*)$!sip:\\1@h!", Some("sip:+81333331234@h")),
            ("!^\\+81(.*)$!sip:0\\1@h!", Some("sip:0333331234@h")),
            ("!^\\+?81(.+)$!sip:0\\1@h!", Some("sip:0333331234@h")),
            ("/^.*$/sip:a@h/", Some("sip:a@h")),
            ("!^.*$!sip:a\\!b@h!i", Some("sip:a!b@h")),
            ("!^\\+49(.*)$!sip:\\1@h!", None),
            ("!^.*$!sip:\\1@h!", None),
            ("!^(.*)$!sip:\\2@h!", None),
            ("!^([0-9]+)$!sip:\\1@h!", None),
            ("!^.*$!sip:a@h", None),
            ("!^.*$!sip:a@h!x", None),
            ("!!!", None),
            ("", None),
            ("1^.*$1sip:a@h1", None),
            ("!^.*$!sip:a@h!sip:b@h!", None),
            ("!^.*$!sip:a@h\\", None),
        ] {
            assert_eq!(substitute(regexp, NUMBER).as_deref(), uri, "{regexp}");
        }
    }

    #[test]
    fn uri_gives_host_port_and_transport() {
        let read =
            |uri| SipTarget::read(uri).map(|target| (target.host, target.port, target.transport));
        use SipTransport::{Tcp, Tls, Udp};
        for (uri, host, port, transport) in [
            ("sip:+81333331234@127.0.0.10:5060", "127.0.0.10", 5060, Udp),
            ("sip:+81333331234@gw.example.net", "gw.example.net", 5060, Udp),
            ("SIP:a@gw;user=phone;Transport=TCP", "gw", 5060, Tcp),
            ("sips:a@gw", "gw", 5061, Tls),
            ("sip:a;b=c@[2001:db8::1]:5070;transport=tls", "2001:db8::1", 5070, Tls),
        ] {
            assert_eq!(read(uri), Some((host.to_owned(), port, transport)), "{uri}");
        }
    }

    #[test]
    fn hostile_uris_are_refused() {
        for uri in [
            "tel:+81333331234",
            "sip:",
            "sip:a@",
            "sip:a@h:0",
            "sip:a@h:99999",
            "sip:a@h b",
            "sip:a@h\r\nVia: x",
            "sip:a@h?Route=x",
            "sip:a@[::1",
            "sip:a@[::1]5",
            "sip:a@h;transport=ws",
            "sip:a@ü",
        ] {
            assert_eq!(SipTarget::read(uri), None, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn any_rule_is_applied_in_bounds(
            regexp in proptest::collection::vec(any::<u8>(), 0..255),
            structured in "!\\^?[\\\\+0-9?]{0,8}(\\(\\.\\*\\)|\\.\\*)\\$?!sip:[\\\\01a@!]{0,250}!i?",
        ) {
            for regexp in [regexp, structured.into_bytes()] {
                let rule = Rule {
                    order: 0, preference: 0, flags: b"u".to_vec(), service: b"E2U+sip".to_vec(), regexp,
                };
                if let Some(target) = rule.apply(NUMBER) {
                    prop_assert!(target.uri.len() <= URI_MAX_OCTETS);
                }
            }
        }
    }
}
