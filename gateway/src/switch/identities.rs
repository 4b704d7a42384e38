//! Who calls and who redirected the call, as SIP's headers and as Q.931's numbers have it.
//!
//! | SIP | the line |
//! |---|---|
//! | P-Asserted-Identity of a trusted peer, else From | calling party number |
//! | Privacy (RFC 3323), an anonymous From | its presentation indicator |
//! | who vouches for it: a trusted peer, or nobody | its screening indicator |
//! | History-Info (RFC 7044), else Diversion (RFC 5806) | redirecting number with its reason |

use std::net::IpAddr;

use trunkline_call::control::{LineOffer, PacketOffer};
use trunkline_call::identity::{Calling, Identity, Redirection, RedirectionReason, Screening};
use trunkline_call::routing::{LineNumber, NumberType};
use trunkline_call::trunk::BChannel;
use trunkline_isdn::{self as isdn, Number, Presentation, Redirecting, Setup, Side};
use trunkline_number::{CountryProfile, E164};
use trunkline_sip::{Address, IncomingInvite, Uri};

use super::lines::{line_number, number_type};

/// What call control is told of an INVITE.
///
/// The called number is the request URI's; for a `sip:` URI its user part. The calling number is
/// the one that a trusted peer vouches for, if there is one (RFC 3325 §9.1), else that of From.
pub fn offer_of_invite(invite: &IncomingInvite, trusted: bool) -> PacketOffer {
    // RFC 3325 §5: what a peer outside the trust domain asserts is not used.
    let asserted = Address::all(invite.asserted_identity.iter().filter(|_| trusted));
    let asserted = asserted.into_iter().map(|address| address.uri.user);
    let asserted = asserted.into_iter().find(|user| !user.is_empty());
    let from = &invite.from.uri;
    // RFC 3323 §4.1.1.3.
    let is_anonymous = from.user.eq_ignore_ascii_case("anonymous")
        || from.host.eq_ignore_ascii_case("anonymous.invalid");
    let screening = if asserted.is_some() { Screening::Network } else { Screening::NotScreened };
    let claimed = (!from.user.is_empty() && !is_anonymous).then(|| from.user.clone());
    let number = asserted.or(claimed);
    let restricted = asks_for_privacy(invite.privacy.as_deref()) || is_anonymous;
    PacketOffer {
        peer: format!("{} {}", invite.source, invite.transport),
        called: invite.request_uri.user.clone(),
        calling: (number.is_some() || restricted).then_some(Identity {
            number,
            restricted,
            screening,
        }),
        redirection: of_history(&Address::all(&invite.history_info), trusted)
            .or_else(|| of_diversion(&Address::all(&invite.diversion), trusted)),
        hops: invite.max_forwards,
    }
}

/// RFC 3323 §4.2: any of these asks that the identity not be shown; "none" asks that it be.
fn asks_for_privacy(privacy: Option<&str>) -> bool {
    let asks = |value: &str| {
        ["id", "user", "header"].iter().any(|asked| value.trim().eq_ignore_ascii_case(asked))
    };
    privacy.is_some_and(|privacy| privacy.split(';').any(asks))
}

/// The last diversion, which is the first that Diversion lists (RFC 5806 §4).
fn of_diversion(diversions: &[Address], trusted: bool) -> Option<Redirection<String>> {
    let last = diversions.iter().find(|address| !address.uri.user.is_empty())?;
    let is = |name, values: &[&str]| {
        let value = last.param(name);
        value.is_some_and(|value| values.iter().any(|known| known.eq_ignore_ascii_case(value)))
    };
    let screening = match trusted {
        true if is("screen", &["yes"]) => Screening::Passed,
        _ => Screening::NotScreened,
    };
    Some(Redirection {
        by: Identity {
            number: Some(last.uri.user.clone()),
            restricted: is("privacy", &["full", "name", "uri"]),
            screening,
        },
        reason: reason_of_diversion(last.param("reason").unwrap_or_default()),
    })
}

/// The last diversion of a history: the entry whose target was replaced by one with a `cause`
/// (RFC 4458 §2, RFC 7044 §9.3); `mp` says which entry that was, else it is the one before.
fn of_history(entries: &[Address], trusted: bool) -> Option<Redirection<String>> {
    let (place, target, reason) = entries.iter().enumerate().rev().find_map(|(place, entry)| {
        let cause: u16 = entry.uri.param("cause")?.parse().ok()?;
        Some((place, entry, reason_of_status(cause)))
    })?;
    let by = target
        .param("mp")
        .and_then(|index| entries.iter().find(|entry| entry.param("index") == Some(index)))
        .or_else(|| entries.get(place.checked_sub(1)?))?;
    let is_private = |value: &str| {
        value.split(';').any(|value| value.trim().eq_ignore_ascii_case("history"))
            || asks_for_privacy(Some(value))
    };
    let restricted = by.header("Privacy").is_some_and(is_private);
    let screening = if trusted { Screening::Passed } else { Screening::NotScreened };
    let number = Some(by.uri.user.clone()).filter(|user| !user.is_empty());
    Some(Redirection { by: Identity { number, restricted, screening }, reason })
}

/// Reasons as Diversion names them (RFC 5806 §4); what Q.931 has no word for is not known.
fn reason_of_diversion(text: &str) -> RedirectionReason {
    match text.to_ascii_lowercase().as_str() {
        "user-busy" => RedirectionReason::Busy,
        "no-answer" => RedirectionReason::NoReply,
        "unconditional" => RedirectionReason::Unconditional,
        "deflection" => RedirectionReason::Deflection,
        "unavailable" | "out-of-service" => RedirectionReason::OutOfOrder,
        _ => RedirectionReason::Unknown,
    }
}

fn diversion_of_reason(reason: RedirectionReason) -> &'static str {
    match reason {
        RedirectionReason::Unknown => "unknown",
        RedirectionReason::Busy => "user-busy",
        RedirectionReason::NoReply => "no-answer",
        RedirectionReason::Deflection => "deflection",
        RedirectionReason::OutOfOrder => "unavailable",
        RedirectionReason::Unconditional => "unconditional",
    }
}

/// Reasons as `cause` of a URI names them (RFC 4458 §2, RFC 7544 §7).
fn reason_of_status(status: u16) -> RedirectionReason {
    match status {
        302 => RedirectionReason::Unconditional,
        408 => RedirectionReason::NoReply,
        480 | 487 => RedirectionReason::Deflection,
        486 => RedirectionReason::Busy,
        503 => RedirectionReason::OutOfOrder,
        _ => RedirectionReason::Unknown,
    }
}

fn status_of_reason(reason: RedirectionReason) -> u16 {
    match reason {
        RedirectionReason::Unknown => 404,
        RedirectionReason::Busy => 486,
        RedirectionReason::NoReply => 408,
        RedirectionReason::Deflection => 480,
        RedirectionReason::OutOfOrder => 503,
        RedirectionReason::Unconditional => 302,
    }
}

/// What an INVITE says of the parties of a call: the user part of From, and headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Stated {
    /// User part of From.
    pub from: String,
    /// Headers by name and value.
    pub headers: Vec<(String, String)>,
}

/// How the parties of a call are told to the packet side.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// Our own address, whose numbers they are.
    pub own: IpAddr,
    /// Where the call goes.
    pub target: &'a Uri,
    /// Who is told belongs to the trust domain of RFC 3325.
    pub trusted: bool,
}

impl Telling<'_> {
    /// States who calls and who redirected the call.
    pub fn state(
        &self,
        calling: Option<&Calling>,
        redirection: Option<&Redirection<E164>>,
    ) -> Stated {
        let mut headers = Vec::new();
        let own = self.own.to_string();
        let number = calling.and_then(|calling| calling.number);
        let restricted = calling.is_some_and(|calling| calling.restricted);
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        if restricted {
            add("Privacy", "id".to_owned());
        }
        let vouched_for = calling.is_some_and(|calling| calling.screening.is_vouched_for());
        // RFC 3325 §5: what somebody vouches for goes to whom we trust, and to nobody else.
        if let Some(number) = number.filter(|_| self.trusted && vouched_for) {
            let uri = Uri::sip(&number.to_string(), &own, None);
            add("P-Asserted-Identity", format!("<{uri}>"));
        }
        if let Some(redirection) = redirection {
            self.state_redirection(redirection, &own, &mut add);
        }
        let from = number.filter(|_| !restricted).map(|number| number.to_string());
        Stated { from: from.unwrap_or_else(|| "anonymous".to_owned()), headers }
    }

    fn state_redirection(
        &self,
        redirection: &Redirection<E164>,
        own: &str,
        add: &mut impl FnMut(&str, String),
    ) {
        let by = &redirection.by;
        // A number that is not to be shown stays within the trust domain (RFC 5806 §6, RFC 7044 §10.1).
        let Some(number) = by.number.filter(|_| self.trusted || !by.restricted) else { return };
        let uri = Uri::sip(&number.to_string(), own, None);
        let privacy = if by.restricted { "full" } else { "off" };
        let screen = if by.screening.is_vouched_for() { "yes" } else { "no" };
        let reason = diversion_of_reason(redirection.reason);
        add("Diversion", format!("<{uri}>;reason={reason};privacy={privacy};screen={screen}"));
        let hidden = if by.restricted { "?Privacy=history" } else { "" };
        let target = Uri::sip(&self.target.user, &self.target.host, self.target.port);
        let cause = status_of_reason(redirection.reason);
        add(
            "History-Info",
            format!("<{uri}{hidden}>;index=1, <{target};cause={cause}>;index=1.1;mp=1"),
        );
    }
}

/// What call control is told of a SETUP on a channel.
pub fn offer_of_setup(channel: BChannel, setup: &Setup) -> LineOffer {
    let redirecting = setup.accompanying.redirecting.as_ref();
    LineOffer {
        channel,
        called: line_number(&setup.called),
        calling: setup.calling.as_ref().map(identity),
        redirection: redirecting.map(|redirecting| Redirection {
            by: identity(&redirecting.number),
            reason: match redirecting.reason {
                Some(isdn::RedirectionReason::Busy) => RedirectionReason::Busy,
                Some(isdn::RedirectionReason::NoReply) => RedirectionReason::NoReply,
                Some(isdn::RedirectionReason::Deflection) => RedirectionReason::Deflection,
                Some(isdn::RedirectionReason::OutOfOrder) => RedirectionReason::OutOfOrder,
                Some(
                    isdn::RedirectionReason::Unconditional | isdn::RedirectionReason::ByEquipment,
                ) => RedirectionReason::Unconditional,
                _ => RedirectionReason::Unknown,
            },
        }),
    }
}

/// A number of the line with what it says of itself.
fn identity(number: &Number) -> Identity<LineNumber> {
    Identity {
        number: (!number.digits.is_empty()).then(|| line_number(number)),
        restricted: number.presentation == Presentation::Restricted,
        screening: match number.screening {
            isdn::Screening::UserNotScreened => Screening::NotScreened,
            isdn::Screening::UserPassed => Screening::Passed,
            isdn::Screening::UserFailed => Screening::Failed,
            isdn::Screening::Network => Screening::Network,
        },
    }
}

/// Somebody's number as SETUP carries it, from this side of the interface.
pub fn number_of(
    identity: &Identity<E164>,
    side: Side,
    written_as: NumberType,
    profile: &CountryProfile,
) -> Number {
    let number = match &identity.number {
        Some(number) => {
            let number = LineNumber::from_e164(number, written_as, profile);
            Number::new(number_type(number.number_type), number.digits)
        }
        None => Number::default(),
    };
    Number {
        presentation: match identity.restricted {
            true => Presentation::Restricted,
            false => Presentation::Allowed,
        },
        screening: match (identity.screening, side) {
            (Screening::NotScreened, _) => isdn::Screening::UserNotScreened,
            (Screening::Failed, _) => isdn::Screening::UserFailed,
            // Only a network says "by the network".
            (Screening::Network, Side::Network) => isdn::Screening::Network,
            (Screening::Passed | Screening::Network, _) => isdn::Screening::UserPassed,
        },
        ..number
    }
}

/// Who redirected a call, as SETUP carries it.
pub fn redirecting_of(
    redirection: &Redirection<E164>,
    side: Side,
    written_as: NumberType,
    profile: &CountryProfile,
) -> Redirecting {
    Redirecting {
        number: number_of(&redirection.by, side, written_as, profile),
        reason: Some(match redirection.reason {
            RedirectionReason::Unknown => isdn::RedirectionReason::Unknown,
            RedirectionReason::Busy => isdn::RedirectionReason::Busy,
            RedirectionReason::NoReply => isdn::RedirectionReason::NoReply,
            RedirectionReason::Deflection => isdn::RedirectionReason::Deflection,
            RedirectionReason::OutOfOrder => isdn::RedirectionReason::OutOfOrder,
            RedirectionReason::Unconditional => isdn::RedirectionReason::Unconditional,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(lines: &[&str]) -> Vec<Address> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Address::all(&lines)
    }

    #[test]
    fn the_last_diversion_is_the_first_listed() {
        let listed = addresses(&[
            "<sip:+81311112222@a>;reason=user-busy;screen=yes;privacy=full",
            "<sip:+81399998888@b>;reason=unconditional",
        ]);
        let last = of_diversion(&listed, true).expect("a diversion");
        assert_eq!(last.by.number.as_deref(), Some("+81311112222"));
        assert_eq!(last.reason, RedirectionReason::Busy);
        assert_eq!((last.by.restricted, last.by.screening), (true, Screening::Passed));
        // A stranger's word on who has screened what is worth nothing.
        let strange = of_diversion(&listed, false).expect("a diversion");
        assert_eq!(strange.by.screening, Screening::NotScreened);
        assert_eq!(of_diversion(&[], true), None);
    }

    #[test]
    fn history_tells_who_was_replaced_last_and_why() {
        let history = addresses(&[
            "<sip:+81311112222@a?Privacy=history>;index=1, \
             <sip:+81322223333@a;cause=302>;index=1.1;mp=1",
            "<sip:+81344445555@a;cause=486>;index=1.1.1;mp=1.1",
        ]);
        let last = of_history(&history, false).expect("a diversion");
        assert_eq!(last.by.number.as_deref(), Some("+81322223333"));
        assert_eq!((last.reason, last.by.restricted), (RedirectionReason::Busy, false));
        let first = of_history(&history[..2], false).expect("a diversion");
        assert_eq!(first.by.number.as_deref(), Some("+81311112222"));
        assert_eq!((first.reason, first.by.restricted), (RedirectionReason::Unconditional, true));
        // A history in which nothing was diverted, as every proxy writes it.
        assert_eq!(of_history(&addresses(&["<sip:a@b>;index=1, <sip:c@d>;index=1.1"]), true), None);
    }

    #[test]
    fn what_is_told_in_sip_is_read_back_as_the_same() {
        let target: Uri = "sip:+81333331234@192.0.2.7".parse().expect("a URI");
        for reason in [
            RedirectionReason::Unknown,
            RedirectionReason::Busy,
            RedirectionReason::NoReply,
            RedirectionReason::Deflection,
            RedirectionReason::OutOfOrder,
            RedirectionReason::Unconditional,
        ] {
            let by = Identity {
                number: Some("81311112222".parse().expect("a number")),
                restricted: true,
                screening: Screening::Passed,
            };
            let redirection = Redirection { by, reason };
            let own = "192.0.2.1".parse().expect("an address");
            let telling = Telling { own, target: &target, trusted: true };
            let stated = telling.state(None, Some(&redirection));
            let value = |name: &str| {
                let found = stated.headers.iter().find(|(known, _)| known == name);
                addresses(&[found.expect("stated").1.as_str()])
            };
            for read in [
                of_diversion(&value("Diversion"), true).expect("a diversion"),
                of_history(&value("History-Info"), true).expect("a diversion"),
            ] {
                let read = read.understood(|number| number.parse().ok());
                assert_eq!(read.as_ref(), Some(&redirection));
            }
            // Nobody else is told whose number it is.
            assert_eq!(
                Telling { trusted: false, ..telling }.state(None, Some(&redirection)).headers,
                []
            );
        }
    }

    #[test]
    fn a_number_is_asserted_to_the_trusted_if_somebody_vouches_for_it() {
        let target: Uri = "sip:a@192.0.2.7".parse().expect("a URI");
        let own = "192.0.2.1".parse().expect("an address");
        let telling = Telling { own, target: &target, trusted: true };
        let number: E164 = "81469595678".parse().expect("a number");
        let names = |calling: &Calling, telling: Telling<'_>| -> Vec<String> {
            telling.state(Some(calling), None).headers.into_iter().map(|(name, _)| name).collect()
        };
        let vouched = Calling { screening: Screening::Passed, ..Identity::shown(number) };
        assert_eq!(names(&vouched, telling), ["P-Asserted-Identity"]);
        assert_eq!(names(&Identity::shown(number), telling), [""; 0]);
        let hidden = Calling { restricted: true, ..vouched };
        assert_eq!(names(&hidden, telling), ["Privacy", "P-Asserted-Identity"]);
        assert_eq!(telling.state(Some(&hidden), None).from, "anonymous");
        let stranger = Telling { trusted: false, ..telling };
        assert_eq!(names(&hidden, stranger), ["Privacy"]);
    }

    #[test]
    fn a_wish_not_to_be_shown_reaches_the_line_without_a_number() {
        let nobody = Calling { number: None, restricted: true, screening: Screening::NotScreened };
        let number = number_of(&nobody, Side::User, NumberType::National, &CountryProfile::japan());
        assert_eq!((number.digits.as_str(), number.presentation), ("", Presentation::Restricted));
        // And back: an exchange that withholds the number has only that to say.
        assert_eq!(identity(&number).understood(|_| None), Some(nobody));
    }

    #[test]
    fn only_a_network_says_that_the_network_gave_a_number() {
        let number: E164 = "81469595678".parse().expect("a number");
        let calling = Calling { screening: Screening::Network, ..Identity::shown(number) };
        let profile = CountryProfile::japan();
        let screening = |side| number_of(&calling, side, NumberType::National, &profile).screening;
        assert_eq!(screening(Side::Network), isdn::Screening::Network);
        assert_eq!(screening(Side::User), isdn::Screening::UserPassed);
    }
}
