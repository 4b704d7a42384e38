//! A party on the packet side for tests of lines: SIP over UDP and RTP in A-law, without any of our
//! own stack, so that what it says and hears is not judged by what it tests. One call at a time.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Octets of a packet of 20 ms.
const PACKET_OCTETS: usize = 160;
const PACKET_TIME: Duration = Duration::from_millis(20);
/// What stands for a packet that did not come: silence in A-law.
const SILENCE: u8 = 0xd5;
/// RFC 3261 §17.1.1.2, for a test on one machine.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(500);

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    /// The system refused something.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The call was refused with this status.
    #[error("refused with {status} {reason}")]
    Refused {
        /// Status of SIP.
        status: u16,
        /// The Reason header, or nothing.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("{0} did not come")]
    Late(&'static str),
    /// A message cannot be understood.
    #[error("{0} is missing in a message: {1}")]
    Malformed(&'static str, String),
}

/// A party at an address: SIP at the port given, RTP above it.
#[derive(Debug)]
pub struct Party {
    sip: UdpSocket,
    rtp: UdpSocket,
    address: SocketAddr,
    /// Number of the present call among those of all parties.
    call: u32,
}

/// Calls of all parties so far: no two may have the same Call-ID.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// A call that is up.
#[derive(Debug)]
pub struct Conversation {
    /// Where requests of ours go.
    peer: SocketAddr,
    remote_uri: String,
    /// From and To of requests of ours.
    from: String,
    to: String,
    call_id: String,
    sequence: u32,
    media: SocketAddr,
    /// What a repeated 200 is answered with, or a repeated INVITE.
    repeated: String,
    /// The other side has hung up.
    pub is_over: bool,
    /// The Reason header with which it did, or nothing.
    pub reason: String,
}

/// A SIP message in parts.
struct Message {
    first_line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn parse(octets: &[u8]) -> Self {
        let text = String::from_utf8_lossy(octets);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (long_name(name.trim()).to_ascii_lowercase(), value.trim().into()))
            .collect();
        Self { first_line, headers, body: body.to_owned() }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| &value[..])
    }

    fn header(&self, name: &'static str) -> Result<&str, PartyError> {
        let missing = || PartyError::Malformed(name, self.first_line.clone());
        self.all(name).next().ok_or_else(missing)
    }

    fn status(&self) -> Option<u16> {
        self.first_line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    fn is_request(&self, method: &str) -> bool {
        self.first_line.split(' ').next() == Some(method)
    }

    /// Address and port of the audio.
    fn media(&self) -> Result<SocketAddr, PartyError> {
        let line = |start| self.body.lines().find_map(|line| line.trim().strip_prefix(start));
        let address = line("c=IN IP4 ").and_then(|address| address.parse().ok());
        let port = line("m=audio ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        address
            .zip(port)
            .map(|(address, port)| SocketAddr::new(IpAddr::V4(address), port))
            .ok_or_else(|| PartyError::Malformed("the media", self.first_line.clone()))
    }
}

/// RFC 3261 §7.3.3.
fn long_name(name: &str) -> &str {
    match name {
        "v" | "V" => "via",
        "f" | "F" => "from",
        "t" | "T" => "to",
        "i" | "I" => "call-id",
        "m" | "M" => "contact",
        "l" | "L" => "content-length",
        "c" | "C" => "content-type",
        name => name,
    }
}

/// The URI of a Contact, From or To.
fn uri(value: &str) -> &str {
    let inner = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(|| value.split(';').next().unwrap_or(value), |(uri, _)| uri)
}

impl Party {
    /// A party at this address.
    pub fn at(address: SocketAddr) -> Result<Self, PartyError> {
        let sip = UdpSocket::bind(address)?;
        let rtp = UdpSocket::bind((address.ip(), address.port() + 2))?;
        rtp.set_nonblocking(true)?;
        Ok(Self { sip, rtp, address, call: 0 })
    }

    fn receive(&self, patience: Duration) -> Result<Option<(Message, SocketAddr)>, PartyError> {
        self.sip.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut octets = [0; 8_192];
        match self.sip.recv_from(&mut octets) {
            Ok((size, from)) => Ok(Some((Message::parse(&octets[..size]), from))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn description(&self) -> String {
        let (address, port) = (self.address.ip(), self.address.port() + 2);
        format!(
            "v=0\r\no=- {0} {0} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n",
            self.call
        )
    }

    fn via(&self, branch: &str) -> String {
        format!("Via: SIP/2.0/UDP {};branch=z9hG4bK{branch};rport\r\n", self.address)
    }

    /// Calls a number through a gateway and waits for the answer.
    pub fn call(
        &mut self,
        gateway: SocketAddr,
        own_number: &str,
        number: &str,
        patience: Duration,
    ) -> Result<Conversation, PartyError> {
        self.call = CALLS.fetch_add(1, Relaxed) + 1;
        self.forget_voice()?;
        let id = format!("{}-{}-{}", self.address.port(), std::process::id(), self.call);
        let call_id = format!("{id}@{}", self.address.ip());
        let from = format!("<sip:{own_number}@{}>;tag=a{id}", self.address);
        let target = format!("sip:{number}@{gateway}");
        let description = self.description();
        let invite = format!(
            "INVITE {target} SIP/2.0\r\n{}Max-Forwards: 70\r\nFrom: {from}\r\nTo: <{target}>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:{own_number}@{}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{description}",
            self.via(&id),
            self.address,
            description.len(),
        );
        let deadline = Instant::now() + patience;
        let mut responded = false;
        while Instant::now() < deadline {
            if !responded {
                self.sip.send_to(invite.as_bytes(), gateway)?;
            }
            let Some((message, _)) = self.receive(RETRANSMIT_AFTER)? else { continue };
            let Some(status) = message.status() else { continue };
            if message.header("call-id")? != call_id {
                continue;
            }
            responded = true;
            if status < 200 {
                continue;
            }
            let to = message.header("to")?.to_owned();
            let ack = |target: &str, branch: &str| {
                format!(
                    "ACK {target} SIP/2.0\r\n{}Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
                     Call-ID: {call_id}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
                    self.via(branch)
                )
            };
            if status >= 300 {
                self.sip.send_to(ack(&target, &id).as_bytes(), gateway)?;
                let reason = message.all("reason").collect::<Vec<_>>().join(", ");
                return Err(PartyError::Refused { status, reason });
            }
            let remote_uri = uri(message.header("contact")?).to_owned();
            let repeated = ack(&remote_uri, &format!("{id}-ack"));
            self.sip.send_to(repeated.as_bytes(), gateway)?;
            return Ok(Conversation {
                peer: gateway,
                remote_uri,
                from,
                to,
                call_id,
                sequence: 1,
                media: message.media()?,
                repeated,
                is_over: false,
                reason: String::new(),
            });
        }
        Err(PartyError::Late("the answer"))
    }

    /// Waits to be called, and answers.
    pub fn answer(&mut self, patience: Duration) -> Result<Conversation, PartyError> {
        self.call = CALLS.fetch_add(1, Relaxed) + 1;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let Some((message, peer)) = self.receive(RETRANSMIT_AFTER)? else { continue };
            if !message.is_request("INVITE") {
                continue;
            }
            self.forget_voice()?;
            let to = format!("{};tag=b{}-{}", message.header("to")?, std::process::id(), self.call);
            let description = self.description();
            let answer = format!(
                "{}Contact: <sip:party@{}>\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{description}",
                response_head("200 OK", &message, &to)?,
                self.address,
                description.len(),
            );
            self.sip.send_to(answer.as_bytes(), peer)?;
            return Ok(Conversation {
                peer,
                remote_uri: uri(message.header("contact")?).to_owned(),
                from: to,
                to: message.header("from")?.to_owned(),
                call_id: message.header("call-id")?.to_owned(),
                sequence: 0,
                media: message.media()?,
                repeated: answer,
                is_over: false,
                reason: String::new(),
            });
        }
        Err(PartyError::Late("a call"))
    }

    /// Looks after what came by SIP meanwhile.
    fn attend(&self, call: &mut Conversation, patience: Duration) -> Result<(), PartyError> {
        let Some((message, from)) = self.receive(patience)? else { return Ok(()) };
        if message.header("call-id")? != call.call_id {
            return Ok(());
        }
        if message.is_request("BYE") {
            call.is_over = true;
            call.reason = message.all("reason").collect::<Vec<_>>().join(", ");
            let to = message.header("to")?.to_owned();
            let head = response_head("200 OK", &message, &to)?;
            self.sip.send_to(format!("{head}Content-Length: 0\r\n\r\n").as_bytes(), from)?;
        } else if message.is_request("INVITE")
            || message.status() == Some(200) && message.header("cseq")?.ends_with("INVITE")
        {
            self.sip.send_to(call.repeated.as_bytes(), call.peer)?;
        }
        Ok(())
    }

    /// Forgets what a call before has left in the socket.
    fn forget_voice(&self) -> Result<(), PartyError> {
        let mut octets = [0; 2_048];
        while self.rtp.recv_from(&mut octets).is_ok() {}
        Ok(())
    }

    /// Says these octets in packets of 20 ms, then silence, for `time` all together or until the
    /// other side hangs up. Gives what was heard, each packet where its timestamp puts it.
    pub fn talk(
        &self,
        call: &mut Conversation,
        said: &[u8],
        time: Duration,
    ) -> Result<Vec<u8>, PartyError> {
        let begun = Instant::now();
        let mut heard = Heard::default();
        let packets = (time.as_millis() / PACKET_TIME.as_millis()) as u32;
        let silence = [SILENCE; PACKET_OCTETS];
        for number in 0..packets {
            let due = begun + PACKET_TIME * number;
            loop {
                self.hear(&mut heard)?;
                let now = Instant::now();
                if now >= due {
                    break;
                }
                // SIP is looked after while there is time.
                self.attend(call, (due - now).min(Duration::from_millis(5)))?;
            }
            if call.is_over {
                break;
            }
            let from = number as usize * PACKET_OCTETS;
            let payload = said.get(from..from + PACKET_OCTETS).unwrap_or(&silence);
            // RFC 3550 §5.1: version 2, PCMA, the marker on the first.
            let mut packet = vec![0x80, if number == 0 { 0x88 } else { 8 }];
            packet.extend((number as u16).to_be_bytes());
            packet.extend((number * PACKET_OCTETS as u32).to_be_bytes());
            packet.extend((0x7a11_0000 | self.call).to_be_bytes());
            packet.extend(payload);
            self.rtp.send_to(&packet, call.media)?;
        }
        self.hear(&mut heard)?;
        Ok(heard.octets)
    }

    fn hear(&self, heard: &mut Heard) -> Result<(), PartyError> {
        let mut packet = [0; 2_048];
        loop {
            match self.rtp.recv_from(&mut packet) {
                Ok((size, _)) => heard.packet(&packet[..size]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The other side's port is closed already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the other side hangs up.
    pub fn await_end(&self, call: &mut Conversation, patience: Duration) -> Result<(), PartyError> {
        let deadline = Instant::now() + patience;
        while !call.is_over {
            if Instant::now() >= deadline {
                return Err(PartyError::Late("the end of the call"));
            }
            self.attend(call, Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Hangs up, and waits for the response.
    pub fn hang_up(&self, mut call: Conversation) -> Result<(), PartyError> {
        call.sequence += 1;
        let bye = format!(
            "BYE {} SIP/2.0\r\n{}Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {} BYE\r\nContent-Length: 0\r\n\r\n",
            call.remote_uri,
            self.via(&format!("bye-{}-{}", self.address.port(), self.call)),
            call.from,
            call.to,
            call.call_id,
            call.sequence,
        );
        for _ in 0..10 {
            self.sip.send_to(bye.as_bytes(), call.peer)?;
            let sent = Instant::now();
            while sent.elapsed() < RETRANSMIT_AFTER {
                let Some((message, _)) = self.receive(RETRANSMIT_AFTER)? else { break };
                let is_ours = message.header("call-id")? == call.call_id;
                if is_ours && message.status().is_some_and(|status| status >= 200) {
                    return Ok(());
                }
            }
        }
        Err(PartyError::Late("the response to BYE"))
    }
}

/// A response up to its own headers.
fn response_head(status: &str, request: &Message, to: &str) -> Result<String, PartyError> {
    let mut head = format!("SIP/2.0 {status}\r\n");
    for (name, title) in [("via", "Via"), ("record-route", "Record-Route")] {
        for value in request.all(name) {
            head.push_str(&format!("{title}: {value}\r\n"));
        }
    }
    head.push_str(&format!(
        "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        request.header("from")?,
        request.header("call-id")?,
        request.header("cseq")?,
    ));
    Ok(head)
}

/// What was heard, in order.
#[derive(Debug, Default)]
struct Heard {
    octets: Vec<u8>,
    first_timestamp: Option<u32>,
}

impl Heard {
    fn packet(&mut self, packet: &[u8]) {
        // No extension and no contributing sources: the gateway has none.
        let Some((header, payload)) = packet.split_first_chunk::<12>() else { return };
        if header[0] != 0x80 || header[1] & 0x7f != 8 {
            return;
        }
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let first = *self.first_timestamp.get_or_insert(timestamp);
        let at = timestamp.wrapping_sub(first) as usize;
        // Ten minutes: another stream, or one before the first.
        if at > 600 * 8_000 {
            return;
        }
        let end = at + payload.len();
        if self.octets.len() < end {
            self.octets.resize(end, SILENCE);
        }
        self.octets[at..end].copy_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parties_talk_to_one_another() {
        let at = |port| SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        let base = 20_000 + (std::process::id() % 1_500) as u16 * 8;
        let mut callee = Party::at(at(base)).unwrap();
        let mut caller = Party::at(at(base + 4)).unwrap();
        let said: Vec<u8> = (0..8_000_u32).map(|at| (at % 251) as u8).collect();
        let called = std::thread::spawn(move || {
            let mut call = callee.answer(Duration::from_secs(5)).unwrap();
            let heard = callee.talk(&mut call, &[], Duration::from_millis(700)).unwrap();
            callee.await_end(&mut call, Duration::from_secs(5)).unwrap();
            heard
        });
        let mut call = caller.call(at(base), "1", "2", Duration::from_secs(5)).unwrap();
        caller.talk(&mut call, &said, Duration::from_millis(600)).unwrap();
        caller.hang_up(call).unwrap();
        let heard = called.join().unwrap();
        assert_eq!(heard[..4_800], said[..4_800]);
    }
}
