//! Asks directories which gateways serve a number: ENUM over UDP, TCP where an answer is too
//! long for UDP, the next server when one is silent.

mod cache;
pub(crate) mod message;
pub mod registrar;
pub(crate) mod rule;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::base::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{timeout, timeout_at};
use trunkline_number::E164;

use cache::Cache;
use message::{Query, Reading};
pub use rule::{SipTarget, SipTransport};

use crate::table::Digits;

/// How to ask.
#[derive(Clone, Debug)]
pub struct ResolverSettings {
    /// ENUM servers, asked in this order.
    pub servers: Vec<SocketAddr>,
    /// Domain below which numbers are looked up.
    pub apex: String,
    /// How long one server may be silent before the next is asked.
    pub attempt_timeout: Duration,
    /// How long a look-up may take altogether.
    pub total_timeout: Duration,
}

impl Default for ResolverSettings {
    /// No server yet; 300 ms a server, 2 s altogether.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            apex: "e164.arpa".to_owned(),
            attempt_timeout: Duration::from_millis(300),
            total_timeout: Duration::from_secs(2),
        }
    }
}

/// What a look-up gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Where to call, the first choice first; never empty.
    Routes(Vec<SipTarget>),
    /// The directory knows no gateway for the number.
    UnknownNumber,
    /// The directory knows the number, but none of its gateways takes calls now.
    NoGateway,
    /// No directory gave an answer that can be used.
    Unavailable(Unavailable),
}

/// Why there is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No server is configured.
    #[error("no directory is configured")]
    NoServer,
    /// All servers were silent.
    #[error("no directory answers")]
    Silent,
    /// A server cannot be reached; the system's word of the last one.
    #[error("no directory can be reached: {0}")]
    Network(io::ErrorKind),
    /// A server answered that it cannot or will not say; its RCODE.
    #[error("the directory answers with error {0}")]
    Refused(u8),
    /// The answer has no rule that leads to a SIP address.
    #[error("the directory names no SIP gateway")]
    NoUsableRule,
}

/// The domain of a resolver is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{apex:?} is not a domain below which a number fits")]
pub struct BadApex {
    /// What was given.
    pub apex: String,
}

/// Asks directories and remembers their answers for as long as these allow.
#[derive(Debug)]
pub struct EnumResolver {
    settings: ResolverSettings,
    apex: Name<Vec<u8>>,
    cache: Mutex<Cache>,
}

impl EnumResolver {
    /// A resolver; nothing is asked yet.
    ///
    /// # Errors
    /// The apex is no domain name.
    pub fn new(settings: ResolverSettings) -> Result<Self, BadApex> {
        let apex = settings
            .apex
            .parse::<Name<Vec<u8>>>()
            .ok()
            .filter(|apex| apex.len() <= message::APEX_MAX_OCTETS)
            .ok_or_else(|| BadApex { apex: settings.apex.clone() })?;
        Ok(Self { settings, apex, cache: Mutex::default() })
    }

    /// Looks a number up.
    pub async fn resolve(&self, number: &E164) -> Resolution {
        let digits = Digits::from(number);
        if let Some(routes) = self.cache().routes(digits, Instant::now()) {
            return Resolution::Routes(routes);
        }
        let deadline = tokio::time::Instant::now() + self.settings.total_timeout;
        let answer = match timeout_at(deadline, self.ask_all(digits)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unavailable::Silent),
        };
        match answer {
            Ok(Reading::Rules { rules, ttl_s }) => {
                let routes = rule::routes(rules, digits);
                if routes.is_empty() {
                    return Resolution::Unavailable(Unavailable::NoUsableRule);
                }
                let lifetime = Duration::from_secs(u64::from(ttl_s));
                self.cache().keep(digits, routes.clone(), lifetime, Instant::now());
                Resolution::Routes(routes)
            }
            Ok(Reading::Unknown) => Resolution::UnknownNumber,
            Ok(Reading::NoGateway) => Resolution::NoGateway,
            Ok(Reading::Refused(rcode)) => Resolution::Unavailable(Unavailable::Refused(rcode)),
            // Over TCP there is nothing more to ask for.
            Ok(Reading::Truncated | Reading::NotOurs) => {
                Resolution::Unavailable(Unavailable::NoUsableRule)
            }
            Err(unavailable) => Resolution::Unavailable(unavailable),
        }
    }

    /// The servers in turn, over and over while one of them might only have lost a packet.
    async fn ask_all(&self, digits: Digits) -> Result<Reading, Unavailable> {
        loop {
            let mut worst = Err(Unavailable::NoServer);
            let mut silent = false;
            for &server in &self.settings.servers {
                match self.ask(server, digits).await {
                    Ok(
                        reading @ (Reading::Rules { .. } | Reading::Unknown | Reading::NoGateway),
                    ) => return Ok(reading),
                    Ok(reading) => worst = Ok(reading),
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => silent = true,
                    Err(error) => {
                        if worst.is_err() {
                            worst = Err(Unavailable::Network(error.kind()));
                        }
                    }
                }
            }
            if !silent {
                return worst;
            }
        }
    }

    async fn ask(&self, server: SocketAddr, digits: Digits) -> io::Result<Reading> {
        let query = Query::new(rand::random(), digits, &self.apex);
        let within = self.settings.attempt_timeout;
        let reading = timeout(within, ask_udp(server, &query)).await??;
        match reading {
            Reading::Truncated => timeout(within, ask_tcp(server, &query)).await?,
            reading => Ok(reading),
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask_udp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // RFC 5452 §9: a random port as well as a random id. The connected socket takes nothing from
    // another address.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query.octets()).await?;
    let mut answer = [0; message::UDP_ANSWER_MAX_OCTETS];
    for _ in 0..FOREIGN_ANSWERS_MAX {
        let length = socket.recv(&mut answer).await?;
        match query.read(&answer[..length]) {
            // Somebody guesses, or an answer to an earlier question was late.
            Reading::NotOurs => {}
            reading => return Ok(reading),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Answers with a wrong id or question that are passed over in one attempt.
const FOREIGN_ANSWERS_MAX: usize = 64;

async fn ask_tcp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let mut stream = TcpStream::connect(server).await?;
    let mut framed = (query.octets().len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(query.octets());
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(query.read(&answer))
}
