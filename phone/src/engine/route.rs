//! Which gateways to try, and from which of our addresses they are reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use trunkline_directory::client::{
    EnumResolver, Resolution, ResolverSettings, SipTarget, SipTransport,
};

use super::CallError;
use crate::callee::Callee;
use crate::configuration::Configuration;

/// The gateways to try, best first: the one that the linked data names, or those that the
/// directory names.
pub(super) async fn gateways(
    configuration: &Configuration,
    callee: &Callee,
) -> Result<Vec<SipTarget>, CallError> {
    let number = callee.number;
    if let Some(gateway) = &callee.gateway {
        let uri = format!("sip:{number}@{gateway}");
        let target = SipTarget::read(&uri).ok_or_else(|| CallError::Gateway(gateway.clone()))?;
        return Ok(vec![target]);
    }
    let resolver = EnumResolver::new(ResolverSettings {
        servers: configuration.directory.clone(),
        apex: configuration.apex.clone(),
        ..ResolverSettings::default()
    })?;
    tracing::info!(target: "ladder", step = 407_u32, %number, "inquiry to the directory");
    match resolver.resolve(&number).await {
        Resolution::Routes(mut routes) => {
            // Before they are tried: TLS is not spoken here.
            routes.retain(|route| route.transport != SipTransport::Tls);
            let first = routes.first().ok_or(CallError::NoGateway)?;
            tracing::info!(target: "ladder", step = 408_u32, %number, "reply: gateway {}:{}", first.host, first.port);
            Ok(routes)
        }
        Resolution::UnknownNumber => Err(CallError::NoGateway),
        Resolution::NoGateway => Err(CallError::GatewaysOut),
        Resolution::Unavailable(why) => Err(why.into()),
    }
}

/// The address of a gateway.
pub(super) async fn address_of(gateway: &SipTarget) -> Result<SocketAddr, CallError> {
    let unusable = || CallError::Gateway(gateway.host.clone());
    let found = tokio::net::lookup_host((gateway.host.as_str(), gateway.port)).await;
    found.map_err(|_| unusable())?.next().ok_or_else(unusable)
}

/// The address from which a gateway is reached, by the system's routes.
pub(super) async fn own_address(gateway: &SipTarget) -> Result<IpAddr, CallError> {
    let unusable = || CallError::Gateway(gateway.host.clone());
    let address = address_of(gateway).await?;
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: connecting only asks for the way.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address).map_err(|_| unusable())?;
    Ok(socket.local_addr()?.ip())
}
