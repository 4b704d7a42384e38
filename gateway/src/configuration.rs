//! The gateway's configuration: YAML, checked whole before a socket opens.
//!
//! [`File`] is the file as written, with defaults; [`Configuration`] is what the gateway runs on,
//! with every name resolved. `trunkline-gateway check FILE` prints the former with all defaults
//! filled in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_call::interworking::CauseMap;
use trunkline_call::routing::{
    CallsFrom, NumberType, PacketTarget, PrefixRoute, Via, prefix_digits,
};
use trunkline_call::trunk::{Hunting, TrunkGroup};
use trunkline_directory::client::registrar::connection::RegistrationSettings;
use trunkline_number::{CountryProfile, Dialled, E164};
use trunkline_program::{ConfigurationError, Source};
use trunkline_rtp::codec::Codec;
use trunkline_sip::{Scheme, Uri};

mod browser;
mod causes;
mod interface;
mod line;
mod peer;
mod registration;
mod srtp;

pub use browser::{Browser, BrowserLimits};
pub use causes::Causes;
pub use interface::{DataLinkEntry, FrameFormat, Side, TimerName, TimersS, VariantName};
pub use line::{
    BuffersEntry, Clock, CodingName, DahdiEntry, DynamicEntry, EchoCancellerEntry, GainsEntry,
    LineEntry, PolicyName, SetUpEntry,
};
pub use peer::{PeerEntry, Terms};
pub use registration::Register;
pub use srtp::{Srtp, SrtpPeer, SrtpPolicy, SuiteName};

/// The configuration file as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Name of this gateway in logs, records and metrics.
    pub name: String,
    /// SIP listeners.
    pub sip: Sip,
    /// Address of the HTTP server with /metrics, /status and /healthz.
    pub http: SocketAddr,
    /// Who may give orders over HTTP.
    #[serde(default)]
    pub control: Control,
    /// RTP addresses and workers.
    pub rtp: Rtp,
    /// Codecs offered and accepted, best first.
    #[serde(default = "default_codecs")]
    pub codecs: Vec<CodecName>,
    /// SRTP with keys in session descriptions.
    #[serde(default)]
    pub srtp: Srtp,
    /// Calls from within web pages; none are taken without it.
    #[serde(default)]
    pub browser: Option<Browser>,
    /// How numbers are dialled here.
    #[serde(default)]
    pub country: CountryProfile,
    /// The directories asked for calls that come from the line.
    #[serde(default)]
    pub directory: Directory,
    /// The E1 and T1 spans.
    pub spans: Vec<SpanEntry>,
    /// Trunk groups.
    pub trunk_groups: Vec<TrunkGroupEntry>,
    /// Which prefixes this gateway serves.
    pub routes: Vec<RouteEntry>,
    /// How Q.850 causes become SIP statuses and back.
    #[serde(default)]
    pub causes: Causes,
    /// Phones that the line can call without registration.
    #[serde(default)]
    pub phones: Vec<PhoneEntry>,
    /// Where call records go, one JSON object a line; none are written without it.
    #[serde(default)]
    pub records: Option<PathBuf>,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
}

/// SIP listeners.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// UDP addresses.
    #[serde(default)]
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    #[serde(default)]
    pub tcp: Vec<SocketAddr>,
    /// Numbers whose phones may register here.
    #[serde(default)]
    pub registrations: Vec<String>,
    /// Hosts, as they stand in SIP URIs and source addresses, to whom a withheld calling number
    /// is told and whose own word on it is taken (the trust domain of RFC 3325).
    #[serde(default)]
    pub trusted: Vec<String>,
}

/// Who may give orders over HTTP.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// File with the token that an order needs; a relative path starts at the folder of this file.
    /// Without it orders are taken from this host only.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// RTP addresses and workers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rtp {
    /// Address that packets are sent from and received on.
    pub address: IpAddr,
    /// UDP ports for RTP and RTCP, `first-last`.
    #[serde(default)]
    pub ports: PortRange,
    /// Packet back end; `auto` takes the best that works.
    #[serde(default)]
    pub back_end: BackEnd,
    /// The network device that `af_xdp` takes past the kernel; none: the one that has `address`.
    #[serde(default)]
    pub device: Option<String>,
    /// Where `af_xdp` puts its program on the device.
    #[serde(default)]
    pub xdp: Xdp,
    /// Cores that a media worker is pinned to; empty for one worker on every core.
    #[serde(default)]
    pub workers: Vec<usize>,
    /// Calls between two peers on the packet side that need nothing done to their media are relayed
    /// in the kernel (`af_xdp` only).
    #[serde(default)]
    pub kernel_relay: KernelRelay,
    /// Packet time towards RTP, in ms: 10, 20, 30, 40 or 60.
    #[serde(default = "default_ptime_ms")]
    pub ptime_ms: u32,
    /// A call whose RTP stays away so long is cleared, in s; 0 never.
    #[serde(default = "default_rtp_timeout_s")]
    pub timeout_s: u64,
}

/// A range of UDP ports, written `first-last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port, even.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        Self { first: 20_000, last: 29_999 }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split_once('-')
            .and_then(|(first, last)| {
                let range =
                    Self { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
                (range.first >= 1024 && range.first.is_multiple_of(2) && range.last > range.first)
                    .then_some(range)
            })
            .ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "{text:?} is no port range: write first-last with an even first port from \
                     1024 up, as in 20000-29999"
                ))
            })
    }
}

/// Packet back end of the media workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackEnd {
    /// The best that works here.
    #[default]
    Auto,
    /// Past the kernel by AF_XDP.
    AfXdp,
    /// io_uring.
    IoUring,
    /// epoll through mio.
    Mio,
}

/// Where `af_xdp` puts its program on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Xdp {
    /// In the driver if it lets it, else behind it.
    #[default]
    Auto,
    /// In the driver.
    Native,
    /// Behind the driver: slower, but no driver can get it wrong.
    Generic,
}

/// Whether calls are relayed in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelRelay {
    /// Where the device is known to be able to send from there.
    #[default]
    Auto,
    /// With every device: not every driver can.
    On,
    /// Never.
    Off,
}

impl<'de> Deserialize<'de> for KernelRelay {
    /// As operators write it: `auto`, `on`, `off`, or YAML's `true` and `false`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Truth(bool),
            Word(String),
        }
        let written = Written::deserialize(deserializer);
        match written.as_ref().map(|written| match written {
            Written::Truth(true) => "on",
            Written::Truth(false) => "off",
            Written::Word(word) => word,
        }) {
            Ok("auto") => Ok(Self::Auto),
            Ok("on") => Ok(Self::On),
            Ok("off") => Ok(Self::Off),
            _ => Err(serde::de::Error::custom(
                "kernel_relay is none of auto, on and off: write one of them",
            )),
        }
    }
}

/// A codec by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecName {
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
    /// G.722; between a peer and the line its lower half.
    G722,
    /// Opus, narrow band.
    Opus,
}

impl CodecName {
    /// The codec with the settings that telephony asks for.
    pub fn codec(self) -> Codec {
        match self {
            Self::Pcma => Codec::Pcma,
            Self::Pcmu => Codec::Pcmu,
            Self::G722 => Codec::G722,
            Self::Opus => Codec::opus_telephony(),
        }
    }
}

/// The directories.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// ENUM servers, asked in this order.
    #[serde(default)]
    pub servers: Vec<SocketAddr>,
    /// Domain below which numbers are looked up.
    #[serde(default = "default_apex")]
    pub apex: String,
    /// Directories at which the gateway registers; none without it.
    #[serde(default)]
    pub register: Option<Register>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { servers: Vec::new(), apex: default_apex(), register: None }
    }
}

/// A span.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SpanEntry {
    /// Name in logs, metrics and trunk groups.
    pub name: String,
    /// What carries the span.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub line: LineEntry,
    /// Side of the PRI that this gateway takes.
    #[serde(default)]
    pub side: Side,
    /// National variant of what is spoken on the D channel.
    #[serde(default)]
    pub variant: VariantName,
    /// Frame format; none: the variant's.
    #[serde(default)]
    pub frame: Option<FrameFormat>,
    /// The other end may dial digit by digit (overlap receiving, Q.931 §5.2.4): a number is whole
    /// with so many digits, or when the other end says so, or when no more come for T302. None:
    /// every number comes whole.
    #[serde(default)]
    pub overlap_receiving_digits: Option<u8>,
    /// Timers of Q.931 that run otherwise than by the standard, in s.
    #[serde(default)]
    pub timers_s: TimersS,
    /// System parameters of the data link.
    #[serde(default)]
    pub data_link: DataLinkEntry,
    /// Core that the span's thread is pinned to.
    #[serde(default)]
    pub core: Option<usize>,
}

/// A trunk group.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkGroupEntry {
    /// Name in routes.
    pub name: String,
    /// Names of its spans, in hunting order.
    pub spans: Vec<String>,
    /// Order of hunting for a B channel.
    #[serde(default)]
    pub hunting: Hunting,
}

/// A prefix that this gateway serves: over the line, over other switches on the packet side, or over
/// the gateways that the directory names.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// `+` and leading E.164 digits, or an area code with trunk prefix (`03`).
    pub prefix: String,
    /// The calls that go this way, by the side that they come from. Those from the line for which
    /// there is no route are the directory's.
    #[serde(default)]
    pub calls_from: CallsFrom,
    /// Trunk groups that lead there, first choice first.
    #[serde(default)]
    pub trunk_groups: Vec<String>,
    /// Switches that lead there, first choice first; one without a user part is called with the
    /// dialled number.
    #[serde(default)]
    pub peers: Vec<PeerEntry>,
    /// The gateways that the directory names lead there.
    #[serde(default)]
    pub directory: bool,
    /// How the called number is written towards the line.
    #[serde(default)]
    pub called_as: NumberType,
}

/// A phone that the line can call.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneEntry {
    /// Its number.
    pub number: String,
    /// Its SIP URI.
    pub uri: String,
}

/// Limits.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls at a time; more are refused with 503.
    pub calls: usize,
    /// Longest time from offer to answer, in s.
    pub setup_s: u64,
    /// Longest time that SIGTERM waits for calls to end, in s.
    pub drain_s: u64,
    /// Share of its time, above 0 and up to 1, that a media worker may take to serve its calls; new
    /// ones that would make it more are refused.
    pub media_load: f64,
    /// A peer may send so many times the RTP packets that its packet time makes; what is over is
    /// dropped. 0: as many as it likes.
    pub rtp_rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 10_000, setup_s: 200, drain_s: 30, media_load: 0.8, rtp_rate: 4 }
    }
}

fn default_codecs() -> Vec<CodecName> {
    vec![CodecName::Pcma, CodecName::Pcmu, CodecName::Opus]
}

fn default_ptime_ms() -> u32 {
    20
}

fn default_rtp_timeout_s() -> u64 {
    60
}

fn default_apex() -> String {
    "e164.arpa".to_owned()
}

/// A configuration that was checked, with names resolved.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file with all defaults.
    pub file: File,
    /// Trunk groups with span indices.
    pub trunk_groups: Vec<TrunkGroup>,
    /// Routes with E.164 prefixes.
    pub routes: Vec<PrefixRoute>,
    /// The peers of routes, by what call control calls them.
    pub peers: HashMap<String, PeerEntry>,
    /// Phones with E.164 numbers.
    pub phones: Vec<(E164, PacketTarget)>,
    /// Numbers whose phones may register.
    pub registrations: Vec<E164>,
    /// Where and as what the gateway registers.
    pub registration: Option<RegistrationSettings>,
    /// How causes become statuses and back.
    pub causes: CauseMap,
    /// The token without which no orders are taken over HTTP.
    pub control_token: Option<String>,
}

impl Configuration {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let (file, source) = Source::read::<File>(path)?;
        Self::check(file, &source)
    }

    /// Checks what the file means: names, numbers and addresses that must fit one another.
    pub fn check(file: File, source: &Source) -> Result<Self, ConfigurationError> {
        if file.name.is_empty() {
            return Err(source.error("name", "is empty", "name the gateway, as in gateway-a"));
        }
        if file.sip.udp.is_empty() && file.sip.tcp.is_empty() {
            let remedy = "list at least one address under sip.udp or sip.tcp";
            return Err(source.error("sip", "has no listener", remedy));
        }
        for (key, addresses) in [("sip.udp", &file.sip.udp), ("sip.tcp", &file.sip.tcp)] {
            for (place, address) in addresses.iter().enumerate() {
                if address.ip().is_unspecified() {
                    return Err(source.error(
                        &format!("{key}.{place}"),
                        format!("{address} is no address that a peer could answer to"),
                        "write the address of the interface that peers reach",
                    ));
                }
            }
        }
        if file.rtp.address.is_unspecified() {
            return Err(source.error(
                "rtp.address",
                format!("{} is no address that a peer could send to", file.rtp.address),
                "write the address of the interface that carries RTP",
            ));
        }
        if !matches!(file.rtp.ptime_ms, 10 | 20 | 30 | 40 | 60) {
            return Err(source.error(
                "rtp.ptime_ms",
                format!("{} ms is no packet time", file.rtp.ptime_ms),
                "write 10, 20, 30, 40 or 60",
            ));
        }
        check_codecs("codecs", &file.codecs, file.rtp.ptime_ms, source)?;
        file.srtp.check(source)?;
        file.browser.iter().try_for_each(|browser| browser.check(file.rtp.ptime_ms, source))?;
        check_limits(&file.limits, source)?;
        check_spans(&file, source)?;
        let trunk_groups = trunk_groups(&file, source)?;
        let routes = routes(&file, source)?;
        let peers = peer::peers(&file, source)?;
        let phones = file
            .phones
            .iter()
            .enumerate()
            .map(|(place, phone)| {
                let key = format!("phones.{place}.number");
                let number = e164(&phone.number, &file.country, source, &key)?;
                let key = format!("phones.{place}.uri");
                let target = sip_uri(&phone.uri, source, &key, "as in sip:desk@192.0.2.7:5060")?;
                Ok((number, target))
            })
            .collect::<Result<Vec<_>, ConfigurationError>>()?;
        let registrations = file
            .sip
            .registrations
            .iter()
            .enumerate()
            .map(|(place, number)| {
                e164(number, &file.country, source, &format!("sip.registrations.{place}"))
            })
            .collect::<Result<Vec<_>, ConfigurationError>>()?;
        let registration = registration::registration(&file, source)?;
        let causes = file.causes.map(source)?;
        let control_token = control_token(&file.control, source)?;
        Ok(Self {
            file,
            trunk_groups,
            routes,
            peers,
            phones,
            registrations,
            registration,
            causes,
            control_token,
        })
    }

    /// The user parts under which phones may register: a number as it stands in the
    /// configuration, with its trunk prefix, and as E.164 with the plus.
    pub fn registrar_users(&self) -> Vec<String> {
        let mut users = self.file.sip.registrations.clone();
        let country = &self.file.country;
        for number in &self.registrations {
            let digits = number.as_digits();
            users.push(format!("+{digits}"));
            if let Some(national) = digits.strip_prefix(country.country_code.as_str()) {
                users.push(format!("{}{national}", country.trunk_prefix));
            }
        }
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether there are routes that lead on to switches on the packet side.
    pub fn reaches_peers(&self) -> bool {
        self.routes.iter().any(|route| matches!(route.via, Via::Peers(_) | Via::Directory))
    }

    /// What is agreed on with a target at `host` that the gateway calls: as its route says, else as
    /// with everybody there.
    pub fn terms_with(&self, target: &PacketTarget, host: &str) -> Terms {
        let peer = self.peers.get(&target.0);
        let srtp = peer.and_then(|peer| peer.srtp);
        let codecs = peer.and_then(|peer| peer.codecs.as_ref()).unwrap_or(&self.file.codecs);
        Terms {
            srtp: srtp.unwrap_or_else(|| self.file.srtp.policy_of(host)),
            codecs: codecs.iter().map(|codec| codec.codec()).collect(),
        }
    }

    /// What is agreed on with whoever calls from `host`.
    pub fn terms_of_caller(&self, host: &str) -> Terms {
        Terms {
            srtp: self.file.srtp.policy_of(host),
            codecs: self.file.codecs.iter().map(|codec| codec.codec()).collect(),
        }
    }

    /// The first key that lets SRTP's keys into session descriptions; none if nothing does.
    pub fn key_that_permits_srtp(&self) -> Option<String> {
        self.file.srtp.key_that_permits().or_else(|| {
            let permits = |peer: &PeerEntry| peer.srtp.is_some_and(SrtpPolicy::accepts);
            self.file.routes.iter().enumerate().find_map(|(place, route)| {
                let item = route.peers.iter().position(permits)?;
                Some(format!("routes.{place}.peers.{item}.srtp"))
            })
        })
    }

    /// Whether a host belongs to the trust domain of RFC 3325.
    pub fn trusts(&self, host: &str) -> bool {
        self.file.sip.trusted.iter().any(|trusted| trusted.eq_ignore_ascii_case(host))
    }

    /// The file with all its defaults, as YAML.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(&self.file).expect("what was read can be written")
    }

    /// Longest time from offer to answer.
    pub fn setup_max(&self) -> Duration {
        Duration::from_secs(self.file.limits.setup_s)
    }
}

/// More would overflow the program's arithmetic, and means a slip of the pen.
const LIMIT_MAX_S: u64 = 86_400;
/// A packet of 20 ms every 0.2 ms.
const RTP_RATE_MAX: u64 = 100;
/// As many B channels as 2,000 E1 spans have.
const CALLS_MAX: usize = 60_000;

/// The token in the file that `control` names.
fn control_token(control: &Control, source: &Source) -> Result<Option<String>, ConfigurationError> {
    let Some(file) = &control.token_file else { return Ok(None) };
    let path = registration::beside(source, file);
    let problem = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim();
            if !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic()) {
                return Ok(Some(token.to_owned()));
            }
            "holds no token".to_owned()
        }
        Err(error) => error.to_string(),
    };
    let problem = format!("{}: {problem}", path.display());
    let remedy = "write a secret word into it that only operators can read";
    Err(source.error("control.token_file", problem, remedy))
}

/// Codecs that stand under `key`: some, and such that have packets of `ptime_ms`.
fn check_codecs(
    key: &str,
    codecs: &[CodecName],
    ptime_ms: u32,
    source: &Source,
) -> Result<(), ConfigurationError> {
    if codecs.is_empty() {
        return Err(source.error(key, "is empty", "list pcma, pcmu, g722 or opus"));
    }
    if ptime_ms == 30 && codecs.contains(&CodecName::Opus) {
        return Err(source.error(
            "rtp.ptime_ms",
            "Opus has no packets of 30 ms",
            format!("write 20, 40 or 60, or leave opus out of {key}"),
        ));
    }
    Ok(())
}

fn check_limits(limits: &Limits, source: &Source) -> Result<(), ConfigurationError> {
    let between = |key: &str, value: u64, first: u64, last: u64| {
        if (first..=last).contains(&value) {
            return Ok(());
        }
        let remedy = format!("write a number from {first} to {last}");
        Err(source.error(key, format!("{value} is out of range"), remedy))
    };
    between("limits.calls", limits.calls as u64, 1, CALLS_MAX as u64)?;
    between("limits.setup_s", limits.setup_s, 1, LIMIT_MAX_S)?;
    between("limits.drain_s", limits.drain_s, 0, LIMIT_MAX_S)?;
    between("limits.rtp_rate", limits.rtp_rate.into(), 0, RTP_RATE_MAX)?;
    if !(limits.media_load > 0.0 && limits.media_load <= 1.0) {
        let problem = format!("{} is no share of a worker's time", limits.media_load);
        let remedy = "write a number above 0 and up to 1, as in 0.8";
        return Err(source.error("limits.media_load", problem, remedy));
    }
    Ok(())
}

fn check_spans(file: &File, source: &Source) -> Result<(), ConfigurationError> {
    let mut names = BTreeMap::new();
    let mut locals = BTreeMap::new();
    let mut dahdi_spans = BTreeMap::new();
    for (place, span) in file.spans.iter().enumerate() {
        if let Some(other) = names.insert(&span.name, place) {
            return Err(source.error(
                &format!("spans.{place}.name"),
                format!("{:?} is the name of span {other} too", span.name),
                "give each span its own name",
            ));
        }
        interface::check(place, span, source)?;
        match &span.line {
            LineEntry::Tdmoe { local, .. } => {
                if let Some(other) = locals.insert(local, place) {
                    return Err(source.error(
                        &format!("spans.{place}.line.tdmoe.local"),
                        format!("{local} is used by span {other} too"),
                        "give each span its own UDP port",
                    ));
                }
            }
            LineEntry::Dahdi(dahdi) => {
                line::check_dahdi(place, span, dahdi, source)?;
                if let Some(other) = dahdi_spans.insert(dahdi.span, place) {
                    return Err(source.error(
                        &format!("spans.{place}.line.dahdi.span"),
                        format!("DAHDI's span {} is used by span {other} too", dahdi.span),
                        "give each span its own span of DAHDI",
                    ));
                }
            }
        }
    }
    Ok(())
}

fn trunk_groups(file: &File, source: &Source) -> Result<Vec<TrunkGroup>, ConfigurationError> {
    let mut groups: Vec<TrunkGroup> = Vec::new();
    for (place, group) in file.trunk_groups.iter().enumerate() {
        if groups.iter().any(|known| known.name == group.name) {
            return Err(source.error(
                &format!("trunk_groups.{place}.name"),
                format!("{:?} is used twice", group.name),
                "give each trunk group its own name",
            ));
        }
        let spans = group
            .spans
            .iter()
            .enumerate()
            .map(|(item, name)| {
                file.spans.iter().position(|span| span.name == *name).ok_or_else(|| {
                    source.error(
                        &format!("trunk_groups.{place}.spans.{item}"),
                        format!("there is no span named {name:?}"),
                        format!("name one of: {}", names(file.spans.iter().map(|span| &span.name))),
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if spans.is_empty() {
            let key = format!("trunk_groups.{place}.spans");
            return Err(source.error(&key, "is empty", "list the names of its spans"));
        }
        groups.push(TrunkGroup { name: group.name.clone(), spans, hunting: group.hunting });
    }
    Ok(groups)
}

fn routes(file: &File, source: &Source) -> Result<Vec<PrefixRoute>, ConfigurationError> {
    let mut routes: Vec<PrefixRoute> = Vec::new();
    for (place, route) in file.routes.iter().enumerate() {
        let key = format!("routes.{place}.prefix");
        let prefix = prefix_digits(&route.prefix, &file.country).ok_or_else(|| {
            source.error(
                &key,
                format!("{:?} is no prefix", route.prefix),
                "write + and leading digits with the country code (+813), or an area code (03)",
            )
        })?;
        let calls_from = route.calls_from;
        let is_same =
            |known: &PrefixRoute| known.prefix == prefix && known.calls_from.overlaps(calls_from);
        if routes.iter().any(is_same) {
            return Err(source.error(
                &key,
                format!("{:?} (+{prefix}) is routed twice", route.prefix),
                "put all trunk groups or peers of a prefix into one entry",
            ));
        }
        routes.push(PrefixRoute { prefix, calls_from, via: via(place, route, file, source)? });
    }
    Ok(routes)
}

/// What leads to the numbers of a route.
fn via(
    place: usize,
    route: &RouteEntry,
    file: &File,
    source: &Source,
) -> Result<Via, ConfigurationError> {
    let remedy = "list under trunk_groups the lines that lead there, or under peers the switches, or \
                  write directory: true";
    let kinds = [
        (!route.trunk_groups.is_empty(), "trunk_groups"),
        (!route.peers.is_empty(), "peers"),
        (route.directory, "directory"),
    ];
    let written: Vec<&str> =
        kinds.iter().filter(|(is_there, _)| *is_there).map(|(_, kind)| *kind).collect();
    let key = format!("routes.{place}");
    match written[..] {
        [] => {
            let problem = "has none of trunk_groups, peers and directory";
            return Err(source.error(&key, problem, remedy));
        }
        [_] => {}
        _ => {
            return Err(source.error(&key, format!("has {}", written.join(" and ")), remedy));
        }
    }
    if route.directory && file.directory.servers.is_empty() {
        return Err(source.error(
            &format!("routes.{place}.directory"),
            "there is no directory to ask",
            "list its addresses under directory.servers",
        ));
    }
    for (item, name) in route.trunk_groups.iter().enumerate() {
        if !file.trunk_groups.iter().any(|group| group.name == *name) {
            return Err(source.error(
                &format!("routes.{place}.trunk_groups.{item}"),
                format!("there is no trunk group named {name:?}"),
                format!(
                    "name one of: {}",
                    names(file.trunk_groups.iter().map(|group| &group.name))
                ),
            ));
        }
    }
    if route.directory {
        return Ok(Via::Directory);
    }
    let peers = route.peers.iter().enumerate().map(|(item, peer)| {
        let key = format!("routes.{place}.peers.{item}");
        sip_uri(&peer.uri, source, &key, "as in sip:192.0.2.7:5060")
    });
    let peers = peers.collect::<Result<Vec<_>, _>>()?;
    if !peers.is_empty() {
        return Ok(Via::Peers(peers));
    }
    Ok(Via::TrunkGroups { groups: route.trunk_groups.clone(), number_type: route.called_as })
}

/// A target on the packet side, as it stands under `key`.
fn sip_uri(
    text: &str,
    source: &Source,
    key: &str,
    example: &str,
) -> Result<PacketTarget, ConfigurationError> {
    let problem = match text.parse::<Uri>() {
        Ok(uri) if uri.host.is_empty() => "it names no host".to_owned(),
        // The stack has no TLS.
        Ok(uri) if uri.scheme != Scheme::Sip => "it is no sip: URI".to_owned(),
        Ok(_) => return Ok(PacketTarget(text.to_owned())),
        Err(error) => error.to_string(),
    };
    let problem = format!("{text:?} cannot be called: {problem}");
    Err(source.error(key, problem, format!("write a SIP URI, {example}")))
}

fn e164(
    text: &str,
    profile: &CountryProfile,
    source: &Source,
    key: &str,
) -> Result<E164, ConfigurationError> {
    let remedy = "write a whole number, as in 03-3333-1234 or +81333331234";
    match Dialled::parse(text, profile) {
        Ok(Dialled::E164(number)) => Ok(number),
        Ok(_) => Err(source.error(key, format!("{text:?} is a short code"), remedy)),
        Err(error) => Err(source.error(key, error.to_string(), remedy)),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "(none is configured)".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
