//! Calls through rtpengine, set up by its ng control protocol: a cookie and a bencoded dictionary
//! in each datagram, offers and answers as SDP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use trunkline_rtp::srtp::Suite;

use super::call_list::{Call, CallList, Leg};
use super::codecs::{Codecs, VoiceCodec};
use super::error::LoadError;
use super::protection::LegKeys;

/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a starting rtpengine may take until it answers at all.
const START: Duration = Duration::from_secs(10);

/// What is asked of rtpengine. The names are those of its documentation (`docs/ng_control_protocol`).
#[derive(Serialize)]
struct Request<'a> {
    command: &'static str,
    #[serde(rename = "ICE", skip_serializing_if = "Option::is_none")]
    ice: Option<&'static str>,
    #[serde(rename = "transport-protocol", skip_serializing_if = "Option::is_none")]
    transport_protocol: Option<&'static str>,
    #[serde(rename = "call-id", skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    #[serde(rename = "from-tag", skip_serializing_if = "Option::is_none")]
    from_tag: Option<&'static str>,
    #[serde(rename = "to-tag", skip_serializing_if = "Option::is_none")]
    to_tag: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<Manipulation>,
}

/// What becomes of the codecs of an offer.
#[derive(Serialize)]
struct Manipulation {
    /// Not passed on, but still spoken to who offers.
    mask: [&'static str; 1],
    /// Offered in their place.
    transcode: [&'static str; 1],
}

const PING: Request<'_> = Request {
    command: "ping",
    ice: None,
    transport_protocol: None,
    call_id: None,
    from_tag: None,
    to_tag: None,
    sdp: None,
    codec: None,
};

/// What it answers, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    result: String,
    sdp: Option<String>,
    #[serde(rename = "error-reason")]
    error_reason: Option<String>,
}

/// A client of rtpengine's ng port.
#[derive(Debug)]
pub struct Rtpengine {
    socket: UdpSocket,
    requests: u64,
}

impl Rtpengine {
    /// Waits until an rtpengine answers at `control`.
    ///
    /// # Errors
    /// If none does for ten seconds.
    pub fn connect(control: SocketAddr) -> Result<Self, LoadError> {
        let failed = |error| LoadError::system(format!("the ng port {control}"), error);
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(failed)?;
        socket.connect(control).map_err(failed)?;
        let mut client = Self { socket, requests: 0 };
        let deadline = Instant::now() + START;
        loop {
            match client.ask(&PING, Duration::from_millis(100)) {
                Ok(answer) if answer.result == "pong" => return Ok(client),
                Ok(answer) => return Err(refused("ping", 0, answer.result)),
                Err(_) if Instant::now() < deadline => {
                    // A refused datagram fails at once.
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Sets up a call between each two parties, if wanted with SRTP of a suite on both legs.
    ///
    /// # Errors
    /// The first request that is refused.
    pub fn open(
        &mut self,
        parties: &[(SocketAddrV4, SocketAddrV4)],
        codecs: Codecs,
        srtp: Option<Suite>,
    ) -> Result<CallList, LoadError> {
        let mut list = CallList::default();
        for (index, &(a, b)) in parties.iter().enumerate() {
            // What is offered to B names the port that B sends to, and the other way round.
            let line = |party| {
                let key = |suite| LegKeys::of(suite, party).to_relay;
                srtp.map(|suite| Line { tag: 1, suite, key: key(suite) })
            };
            let (offer, mut answer) = (line(2 * index), line(2 * index + 1));
            let for_b = self.request("offer", index, codecs, (a, offer.as_ref()))?;
            // An answer takes a line of the offer by its tag (RFC 4568 §5.1.2).
            if let (Some(answer), Some(theirs)) = (&mut answer, &for_b.srtp) {
                answer.tag = theirs.tag;
            }
            let for_a = self.request("answer", index, codecs, (b, answer.as_ref()))?;
            let leg = |party, own: Option<Line>, theirs: Media| {
                let srtp = own.zip(theirs.srtp).map(|(own, theirs)| LegKeys {
                    suite: own.suite,
                    to_relay: own.key,
                    from_relay: theirs.key,
                });
                Leg { party, relay: theirs.address, srtp }
            };
            list.calls.push(Call { a: leg(a, offer, for_a), b: leg(b, answer, for_b) });
        }
        Ok(list)
    }

    /// Offers or answers the SDP of a party; gives what rtpengine put in its place.
    fn request(
        &mut self,
        command: &'static str,
        index: usize,
        codecs: Codecs,
        (party, line): (SocketAddrV4, Option<&Line>),
    ) -> Result<Media, LoadError> {
        let is_offer = command == "offer";
        let codec = if is_offer { codecs.a } else { codecs.b };
        let (call_id, sdp) = (format!("load-{index}"), describe(party, codec, line));
        let other = codecs.b.rtpmap().split_once('/').map_or("", |(name, _)| name);
        let request = Request {
            command,
            ice: Some("remove"),
            transport_protocol: line.map(|_| "RTP/SAVP"),
            call_id: Some(&call_id),
            from_tag: Some("a"),
            to_tag: (!is_offer).then_some("b"),
            sdp: Some(&sdp),
            codec: (is_offer && codecs.differ())
                .then_some(Manipulation { mask: ["all"], transcode: [other] }),
        };
        let answer = self
            .ask(&request, ANSWER)
            .map_err(|error| refused(command, index, error.to_string()))?;
        if answer.result != "ok" {
            return Err(refused(command, index, answer.error_reason.unwrap_or(answer.result)));
        }
        let suite = line.map(|line| line.suite);
        let media = answer.sdp.as_deref().and_then(|sdp| media(sdp, suite)).ok_or_else(|| {
            refused(command, index, "its session description names no address".to_owned())
        })?;
        match suite {
            Some(suite) if media.srtp.is_none() => {
                Err(refused(command, index, format!("no key for {}", suite.name())))
            }
            _ => Ok(media),
        }
    }

    /// Sends a request and waits for the answer with its cookie.
    fn ask(&mut self, request: &Request<'_>, patience: Duration) -> io::Result<Answer> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        self.requests += 1;
        let cookie = format!("{}_{} ", std::process::id(), self.requests);
        let mut datagram = cookie.clone().into_bytes();
        datagram.extend(serde_bencode::to_bytes(request).map_err(invalid)?);
        self.socket.send(&datagram)?;
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 65_536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            let length = self.socket.recv(&mut buffer)?;
            // An answer with another cookie is a late one.
            if let Some(answer) = buffer[..length].strip_prefix(cookie.as_bytes()) {
                return serde_bencode::from_bytes(answer).map_err(invalid);
            }
        }
    }
}

fn refused(request: &'static str, call: usize, reason: String) -> LoadError {
    LoadError::Rtpengine { request, call, reason }
}

/// A line of `a=crypto`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    tag: u32,
    suite: Suite,
    key: Vec<u8>,
}

/// What a description says of its audio stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Media {
    address: SocketAddrV4,
    srtp: Option<Line>,
}

/// The SDP of a party that speaks one codec at 20 ms.
fn describe(party: SocketAddrV4, codec: VoiceCodec, srtp: Option<&Line>) -> String {
    let (address, port) = (party.ip(), party.port());
    let (number, map) = (codec.payload_type(), codec.rtpmap());
    let profile = if srtp.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto = srtp.map(|Line { tag, suite, key }| {
        format!("a=crypto:{tag} {} inline:{}\r\n", suite.name(), BASE64.encode(key))
    });
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} {profile} {number}\r\na=rtpmap:{number} {map}\r\na=ptime:20\r\n\
         {}a=sendrecv\r\n",
        crypto.unwrap_or_default()
    )
}

/// Where the first audio stream of an SDP goes, and under which key of this suite; none if it does
/// not say where.
fn media(sdp: &str, suite: Option<Suite>) -> Option<Media> {
    let after = |prefix: &str| sdp.lines().find_map(|line| line.trim().strip_prefix(prefix));
    let port = after("m=audio ")?.split(' ').next()?.parse().ok()?;
    let address = after("c=IN IP4 ")?.split('/').next()?.trim().parse().ok()?;
    let line = |line: &str| crypto(line.trim().strip_prefix("a=crypto:")?);
    let srtp = sdp.lines().filter_map(line).find(|line| Some(line.suite) == suite);
    (port != 0).then_some(Media { address: SocketAddrV4::new(address, port), srtp })
}

/// A line of `a=crypto`, if it is of a suite that we have.
fn crypto(value: &str) -> Option<Line> {
    let mut words = value.split_whitespace();
    let tag = words.next()?.parse().ok()?;
    let suite = Suite::from_name(words.next()?)?;
    let key = words.next()?.strip_prefix("inline:")?.split('|').next()?;
    Some(Line { tag, suite, key: BASE64.decode(key).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_names_the_party_it_is_of_and_its_key() {
        let address = "10.98.1.1:20000".parse().unwrap();
        let line = |suite| Line { tag: 7, suite, key: LegKeys::of(suite, 3).to_relay };
        for suite in Suite::ALL.map(Some).into_iter().chain([None]) {
            let srtp = suite.map(line);
            let sdp = describe(address, VoiceCodec::Pcma, srtp.as_ref());
            assert_eq!(media(&sdp, suite), Some(Media { address, srtp }), "{sdp}");
        }
    }

    #[test]
    fn keys_of_other_suites_are_passed_over() {
        let other = "c=IN IP4 10.0.0.1\r\nm=audio 30000 RTP/SAVP 8\r\n\
                     a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:AAAA\r\na=crypto:x\r\n";
        assert_eq!(media(other, Some(Suite::AesCm128HmacSha1_80)).unwrap().srtp, None);
    }

    #[test]
    fn a_description_without_port_or_address_names_nobody() {
        assert_eq!(media("v=0\r\nc=IN IP4 10.0.0.1\r\n", None), None);
        assert_eq!(media("c=IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 8\r\n", None), None);
        assert_eq!(media("m=audio 30000 RTP/AVP 8\r\n", None), None);
    }

    #[test]
    fn a_request_is_bencoded_without_what_it_does_not_say() {
        let octets = serde_bencode::to_bytes(&PING).unwrap();
        assert_eq!(octets, b"d7:command4:pinge");
        let offer = Request { command: "offer", ice: Some("remove"), sdp: Some("v=0"), ..PING };
        let octets = serde_bencode::to_bytes(&offer).unwrap();
        assert_eq!(octets, b"d3:ICE6:remove7:command5:offer3:sdp3:v=0e");
    }

    /// Answers requests with these, as rtpengine does.
    fn answerer(answers: Vec<String>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            for answer in answers {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let space = buffer[..length].iter().position(|&octet| octet == b' ').unwrap();
                let answer = [&buffer[..=space], answer.as_bytes()].concat();
                socket.send_to(&answer, from).unwrap();
            }
        });
        address
    }

    fn pong() -> String {
        "d6:result4:ponge".to_owned()
    }

    /// With an entry that nobody asked for.
    fn ok() -> String {
        let sdp = "c=IN IP4 10.99.0.2\r\nm=audio 30000 RTP/AVP 8\r\n";
        format!("d6:result2:ok3:sdp{}:{sdp}4:tagsl1:ai7eee", sdp.len())
    }

    #[test]
    fn a_call_takes_an_offer_and_an_answer() {
        let control = answerer(vec![pong(), ok(), ok()]);
        let parties = ["10.98.1.1:20000".parse().unwrap(), "10.98.2.1:20000".parse().unwrap()];
        let mut client = Rtpengine::connect(control).unwrap();
        let list = client.open(&[(parties[0], parties[1])], Codecs::ALIKE, None).unwrap();
        let relay = "10.99.0.2:30000".parse().unwrap();
        assert_eq!(list.calls[0].a, Leg::plain(parties[0], relay));
        assert_eq!(list.calls[0].b, Leg::plain(parties[1], relay));
    }

    /// The error of a call to which rtpengine answers this.
    fn refusal(answer: &str) -> String {
        let control = answerer(vec![pong(), answer.to_owned()]);
        let party = "10.98.1.1:20000".parse().unwrap();
        let mut client = Rtpengine::connect(control).unwrap();
        client.open(&[(party, party)], Codecs::ALIKE, None).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_request_call_and_reason() {
        let error = refusal("d12:error-reason16:Ran out of ports6:result5:errore");
        assert_eq!(error, "rtpengine, offer of call 0: Ran out of ports");
    }

    #[test]
    fn an_answer_that_is_none_or_names_no_port_is_refused() {
        for answer in ["d6:result", "", "i7e", "d6:result2:oke", "d6:result2:ok3:sdp3:v=0e"] {
            let error = refusal(answer);
            assert!(error.starts_with("rtpengine, offer of call 0: "), "{error}");
        }
    }
}
