//! Names of gateways (`a.gw.example.net`): how to reach each by SIP (RFC 3263), as long as it takes
//! calls.

use std::net::IpAddr;

use domain::base::iana::exterr::ExtendedErrorCode;
use domain::base::iana::{Rcode, Rtype};
use domain::base::message_builder::PushError;
use domain::base::name::{ToLabelIter, ToName};
use domain::base::{CharStr, Name, Ttl};
use domain::rdata::{A, Aaaa, Cname, Naptr, Srv};

use super::{Full, Kind, NO_GATEWAY_INFO_CODE, QuestionOf, Reply};
use crate::gateways::{Gateway, Standing, Transport};
use crate::table::Digits;

/// What a name below the domain of gateways is.
enum Part {
    /// `a`: the gateway.
    Host,
    /// `_udp.a`: nothing itself, but there is something below it.
    Protocol,
    /// `_sip._udp.a`: its SIP service.
    Service,
}

impl<'a> Reply<'a> {
    pub(super) fn fill_gateway_name(
        &mut self,
        question: &QuestionOf<'_>,
        domain: &'a Name<Vec<u8>>,
    ) -> Result<(Kind, Option<Digits>), Full> {
        if question.qname().name_eq(domain) {
            return self.fill_apex(question, domain);
        }
        let Some((place, part)) = self.find_gateway(question, domain) else {
            self.rcode(Rcode::NXDOMAIN);
            self.negative(domain);
            return Ok((Kind::Miss, None));
        };
        let Some(gateway) = self.edition.gateways.gateway(place) else {
            return Ok((Kind::NoData, None));
        };
        let state = self.edition.gateways.state(place);
        let is_asked = matches!(
            (&part, question.qtype()),
            (Part::Service, Rtype::SRV) | (Part::Host, Rtype::A | Rtype::AAAA | Rtype::NAPTR)
        );
        if !is_asked {
            self.negative(domain);
            return Ok((Kind::NoData, None));
        }
        if state.standing != Standing::InService {
            self.negative_now(domain);
            let code = ExtendedErrorCode::from_int(NO_GATEWAY_INFO_CODE);
            let word = state.standing.word();
            self.explain(code, format_args!("gateway {} is {word}", gateway.name));
            return Ok((Kind::NoGateway, None));
        }
        let ttl_s =
            if state.leased { self.zone.ttl_s.min(self.zone.live_ttl_s) } else { self.zone.ttl_s };
        match self.push_gateway(question, domain, gateway, Ttl::from_secs(ttl_s)) {
            Ok(true) => Ok((Kind::GatewayName, None)),
            // An IPv4 address where IPv6's is asked, or the other way round.
            Ok(false) => {
                self.negative(domain);
                Ok((Kind::NoData, None))
            }
            Err(_) => Err(Full { kind: Kind::GatewayName, digits: None }),
        }
    }

    fn find_gateway(
        &self,
        question: &QuestionOf<'_>,
        domain: &Name<Vec<u8>>,
    ) -> Option<(u32, Part)> {
        let mut labels = question.qname().iter_labels().rev().skip(domain.iter_labels().count());
        let text = |label: &domain::base::name::Label| {
            Some(str::from_utf8(label.as_slice()).ok()?.to_ascii_lowercase())
        };
        let name = text(labels.next()?)?;
        let place = self.edition.gateways.place(&name)?;
        let transport = self.edition.gateways.gateway(place)?.transport;
        let Some(protocol) = labels.next() else {
            return Some((place, Part::Host));
        };
        let (wanted_service, wanted_protocol) = service_labels(transport);
        if text(protocol)? != wanted_protocol {
            return None;
        }
        match labels.next() {
            None => Some((place, Part::Protocol)),
            Some(service) if text(service)? == wanted_service && labels.next().is_none() => {
                Some((place, Part::Service))
            }
            Some(_) => None,
        }
    }

    /// False where there is no record of the type that is asked for.
    fn push_gateway(
        &mut self,
        question: &QuestionOf<'_>,
        domain: &Name<Vec<u8>>,
        gateway: &Gateway,
        ttl: Ttl,
    ) -> Result<bool, PushError> {
        let owner = question.qname();
        let (host, port) = gateway.host_and_port();
        let address = host.parse::<IpAddr>().ok();
        let own_name = || format!("{}.{domain}", gateway.name);
        let name = |text: String| text.parse::<Name<Vec<u8>>>();
        match (question.qtype(), address) {
            (Rtype::SRV, _) => {
                let target = if address.is_some() { own_name() } else { host.to_owned() };
                let default = if gateway.transport == Transport::Tls { 5061 } else { 5060 };
                let Ok(target) = name(target) else {
                    return Ok(false);
                };
                self.builder.push((owner, ttl, Srv::new(0, 0, port.unwrap_or(default), target)))?;
            }
            (Rtype::A, Some(IpAddr::V4(address))) => {
                self.builder.push((owner, ttl, A::new(address)))?;
            }
            (Rtype::AAAA, Some(IpAddr::V6(address))) => {
                self.builder.push((owner, ttl, Aaaa::new(address)))?;
            }
            (Rtype::A | Rtype::AAAA, None) => {
                let Ok(target) = name(host.to_owned()) else {
                    return Ok(false);
                };
                self.builder.push((owner, ttl, Cname::new(target)))?;
            }
            // RFC 3263 §4.1: which transport, and where its SRV is.
            (Rtype::NAPTR, _) => {
                let (service, protocol) = service_labels(gateway.transport);
                let Ok(target) = name(format!("{service}.{protocol}.{}", own_name())) else {
                    return Ok(false);
                };
                let way: &[u8] = match gateway.transport {
                    Transport::Udp => b"SIP+D2U",
                    Transport::Tcp => b"SIP+D2T",
                    Transport::Tls => b"SIPS+D2T",
                };
                let (Ok(flags), Ok(way), Ok(regexp)) = (
                    CharStr::from_octets(b"s".as_slice()),
                    CharStr::from_octets(way),
                    CharStr::from_octets(b"".as_slice()),
                ) else {
                    return Ok(false);
                };
                self.builder.push((owner, ttl, Naptr::new(10, 10, flags, way, regexp, target)))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// RFC 3263 §4.1.
fn service_labels(transport: Transport) -> (&'static str, &'static str) {
    match transport {
        Transport::Udp => ("_sip", "_udp"),
        Transport::Tcp => ("_sip", "_tcp"),
        Transport::Tls => ("_sips", "_tcp"),
    }
}
